"""What --inspect says of a file, and the config that --text finds."""

import re

from util.errors import UserError

import numpy as np
import pytest

import convert_checkpoint
import tiny
import tokenization
from interchange import inspection, proof, tensorflow_files
from test_conversion import random_weights

pytestmark = pytest.mark.one_platform  # names, shapes and graphs that other tests build


def shapes(weights):
    return {name: array.shape for name, array in weights.arrays.items()}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tokenization.load_tokenizer(tiny.write_vocab(
        tmp_path_factory.mktemp("vocab") / "vocab.txt"))


def test_description():
    weights = random_weights(num_hidden_groups=2, inner_group_num=2)
    names = dict(shapes(weights), **{
        "global_step": (), "bert/pooler/dense/bias/adam_m": (16,), "strange/array": (2,)})
    found = inspection.describe(names, step=7)
    assert found.layout == "google" and found.step == 7 and found.slots == 1
    assert found.sizes == {
        "vocab_size": 100, "embedding_size": 8, "hidden_size": 16, "intermediate_size": 32,
        "max_position_embeddings": 32, "type_vocab_size": 2, "num_hidden_groups": 2,
        "inner_group_num": 2}
    assert found.heads == ["masked LM", "sentence order"] and found.other == ["strange/array"]
    assert found.parameters == sum(array.size for array in weights.arrays.values()) + 2
    text = inspection.report("a.ckpt", found)
    assert "slots         1 arrays (--strip drops them)" in text and "strange/array" in text
    assert "num_attention_heads, hidden_act, num_hidden_layers" in text


def test_released_sizes_name_their_config():
    """From the shapes of albert_tiny_zh; parameters with and without sharing of its 4 layers."""
    weights = random_weights(vocab_size=21128, embedding_size=128, hidden_size=312,
                             num_attention_heads=12, intermediate_size=1248, num_hidden_layers=4,
                             max_position_embeddings=512)
    found = inspection.describe(shapes(weights))
    assert found.matching == ["albert_config/albert_config_tiny.json"]
    layer = sum(array.size for name, array in weights.arrays.items() if "layer_shared" in name)
    assert found.unshared - found.parameters == 3 * layer
    assert inspection.config_values(found)["num_hidden_layers"] == 4


def test_bert_and_what_is_none():
    kernel = "bert/encoder/layer_%d/intermediate/dense/kernel"
    found = inspection.describe({
        "bert/embeddings/word_embeddings": (50, 16), kernel % 0: (16, 32), kernel % 1: (16, 32)})
    assert found.layout == "bert" and found.sizes["num_hidden_layers"] == 2
    assert "convert it: --from=bert" in inspection.report("a", found)
    with pytest.raises(UserError, match="no ALBERT or BERT encoder among its 1 names: expected "
                                        "bert/embeddings/word_embeddings .* found resnet/kernel"):
        inspection.describe({"resnet/kernel": (3, 3)})


@pytest.mark.slow
@pytest.mark.parametrize("heads, act", [(1, "relu"), (2, "gelu")])
def test_the_right_config_reads_best(tmp_path, tokenizer, monkeypatch, heads, act):
    """The masked tokens of a text are those that the true config finds likeliest."""
    monkeypatch.setattr(inspection, "HEAD_SIZES", range(8, 17))
    monkeypatch.setattr(inspection, "DEPTHS", (1, 2))
    monkeypatch.setattr(inspection, "ACTIVATIONS", ("gelu", "relu"))  # two kinds of gelu are near
    weights = random_weights(num_hidden_layers=2, num_attention_heads=heads, hidden_act=act)
    weights.arrays["cls/predictions/transform/LayerNorm/gamma"] *= 8.0  # sure of what it says
    for name, array in weights.arrays.items():  # and of other tokens at other places
        if "attention" in name and name.endswith("kernel") or "transform/dense/k" in name:
            array *= 5.0
    weights.arrays["bert/embeddings/word_embeddings"][4] = 0.0  # [MASK] itself says nothing
    weights.arrays["cls/predictions/output_bias"][:5] = -100.0  # no special token
    tensorflow_files.write_tensorflow(weights.arrays, str(tmp_path / "model.ckpt"))
    ids = np.random.RandomState(0).randint(5, 100, [4, 24]).astype(np.int32)
    masked = np.broadcast_to(np.arange(24) % 7 == 3, ids.shape)
    features = {"input_ids": np.where(masked, tokenizer.mask_id, ids),
                "input_mask": np.ones_like(ids), "segment_ids": np.zeros_like(ids)}
    ids[masked] = proof.outputs(weights, features)["masked_lm"][masked].argmax(-1)
    assert len(set(ids[masked])) > 3
    found = inspection.describe(shapes(weights))
    ranked = inspection.rank(str(tmp_path / "model.ckpt"), found, ids, tokenizer)
    best = ranked[0][1]
    assert (best.num_hidden_layers, best.num_attention_heads, best.hidden_act) == (2, heads, act)
    guessing = inspection.frequency_loss(ids, tokenizer)
    assert ranked[0][0] < guessing < ranked[-1][0]
    assert "no config reads this text" not in inspection.ranking_report(ranked, guessing)
    assert "no config reads this text" in inspection.ranking_report(ranked[-1:], guessing)


def test_loss_of_guessing(tokenizer):
    ids = np.array([[2, 10, 10, 10, 11, 3, 0, 0]])
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert inspection.frequency_loss(ids, tokenizer) == pytest.approx(expected)


def test_lines_of_a_text(tokenizer):
    text = "".join(tiny.CHARACTERS)
    ids = inspection.text_ids(["", text[:2], text[:6], text], tokenizer, length=16)
    assert ids.shape == (2, 16) and list(ids[0, :8]) == [2, 5, 6, 7, 8, 9, 10, 3]
    assert list(ids[1, [0, 1, 14, 15]]) == [2, 5, 18, 3]
    with pytest.raises(UserError, match="--text: no line of four tokens or more"):
        inspection.text_ids(["a"], tokenizer, 16)


@pytest.mark.slow
def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inspection, "DEPTHS", (1,))
    monkeypatch.setattr(inspection, "HEAD_SIZES", (8, 16, 32))
    weights = random_weights(hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
    tensorflow_files.write_tensorflow(weights.arrays, str(tmp_path / "model.ckpt"))
    text = tmp_path / "text.txt"
    text.write_text("".join(tiny.CHARACTERS) + "\n", encoding="utf-8")
    values = {"inspect": tmp_path, "text": text}
    parsed = tiny.parse(convert_checkpoint.define_flags, **values)
    with pytest.raises(UserError, match="--text needs the vocabulary"):
        convert_checkpoint.main(parsed)
    tiny.write_vocab(tmp_path / "vocab.txt")
    capsys.readouterr()
    convert_checkpoint.main(parsed)
    printed = capsys.readouterr().out
    assert "model.ckpt: the brightmart layout" in printed
    assert "by guessing each token by its frequency" in printed
    assert len(re.findall("gelu|relu", printed)) == 6  # the best of 9


def test_what_stands_beside_a_checkpoint(tmp_path, capsys):
    weights = random_weights()
    tensorflow_files.write_tensorflow(weights.arrays, str(tmp_path / "model.ckpt"))
    tiny.write_config(tmp_path / "albert_config.json")
    tiny.write_vocab(tmp_path / "vocab.txt")
    parsed = tiny.parse(convert_checkpoint.define_flags, inspect=tmp_path)
    convert_checkpoint.main(parsed)
    printed = capsys.readouterr().out
    assert "albert_config.json fits: 2 layers, 2 heads, hidden_act gelu" in printed
    assert "vocab.txt fits: 100 tokens" in printed
    tiny.write_vocab(tmp_path / "vocab.txt", tiny.CHARACTERS[:-1])
    with pytest.raises(UserError, match="vocab.txt does not fit: 99 tokens there and 100 in"):
        convert_checkpoint.main(parsed)
    tiny.write_config(tmp_path / "albert_config.json", hidden_size=32)
    with pytest.raises(UserError, match="albert_config.json does not fit: hidden_size is 32 there"):
        convert_checkpoint.main(parsed)
