"""Flags, defaults and names of the original codes: tables that fit, code that runs as written."""

from util import commands, originals
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from absl import flags as absl_flags

import create_pretraining_data
import create_vocab
import lamb_optimizer
import modeling
import optimization
import run_classifier
import run_ner
import run_pretraining
import run_race
import run_squad
import tiny
import tokenization

MODULES = {"create_pretraining_data": create_pretraining_data, "run_pretraining": run_pretraining,
           "run_classifier": run_classifier, "run_ner": run_ner, "run_squad": run_squad,
           "run_race": run_race}


def parse(command, **values):
    """A command's flags with those of the originals, parsed."""
    def define():
        MODULES[command].define_flags()
        commands.define_original_flags(absl_flags, command)
    return tiny.parse(define, **values)


def applied(command, **values):
    flags = parse(command, **values)
    commands.apply_original_flags(flags, command)
    return flags


@pytest.mark.parametrize("command", sorted(MODULES))
def test_rows_name_flags_that_exist(command):
    flags = parse(command)
    for flag in originals.flags_of(command):
        assert flag.name in flags
        assert not flag.here or flag.here in flags
        assert bool(flag.here) + bool(flag.ignored) + bool(flag.refused) == 1
    for defaults in originals.defaults_of(command).values():
        parse(command, **{name: value for name, value in defaults.items()
                          if name != "use_checkpoint"})


def test_rows_name_commands_that_exist():
    named = {command for flag in originals.FLAGS for command in flag.commands}
    named.update(command for code in originals.CODES for command in originals.DEFAULTS[code])
    assert named == set(MODULES)


def test_an_original_flag_is_another_name():
    assert parse("run_squad", predict_batch_size=3).eval_batch_size == 3
    assert parse("run_race", dropout_prob=0.25).classifier_dropout == 0.25


def test_an_original_flag_is_ignored_with_a_reason(caplog):
    with caplog.at_level("INFO", "albert"):
        applied("create_pretraining_data", input_file_mode="r")
    assert caplog.messages == [
        "--input_file_mode is ignored: text is read as UTF-8, compressed or not"]


def test_an_original_flag_is_refused_unless_it_is_harmless():
    applied("create_pretraining_data", random_next_sentence=False)
    with pytest.raises(UserError, match="--random_next_sentence=True: segments always follow"):
        applied("create_pretraining_data", random_next_sentence=True)


def test_defaults_are_those_of_the_code_and_given_flags_win(caplog):
    with caplog.at_level("INFO", "albert"):
        flags = applied("run_pretraining", defaults="albert_zh", learning_rate=0.5)
    assert (flags.learning_rate, flags.num_train_steps, flags.optimizer, flags.lamb_exclude) == (
        0.5, 100000, "lamb", "none")
    message, = caplog.messages
    assert message.startswith("--defaults=albert_zh: --beta_2=0.999 --eval_batch_size=8 ")
    assert "learning_rate" not in message
    assert applied("create_pretraining_data", defaults="google", ngram=2).ngram == 2
    assert applied("create_pretraining_data", defaults="google").dupe_factor == 40
    assert applied("create_pretraining_data").dupe_factor == parse(
        "create_pretraining_data").dupe_factor != 40


@pytest.mark.parametrize("given, joined", [
    (["--do_train", "true", "--do_eval"], ["--do_train=true", "--do_eval"]),
    (["-do_train", "False"], ["-do_train=False"]),
    (["--task_name", "true"], ["--task_name", "true"]),  # no bool
    (["--none", "true", "true"], ["--none", "true", "true"]),
])
def test_booleans_after_a_blank(given, joined):
    assert commands.join_booleans(["command"] + given, parse("run_race")) == ["command"] + joined


# What follows calls every name as the originals' scripts do.

WORDS = ["un", "##aff", "##able", "安", "the"]


def test_full_tokenizer(tmp_path):
    vocab_file = tiny.write_vocab(tmp_path / "vocab.txt", WORDS)
    tokenizer = tokenization.FullTokenizer(vocab_file=vocab_file, do_lower_case=True)
    tokens = tokenizer.tokenize("The unaffable\u3000安 x")
    assert tokens == ["the", "un", "##aff", "##able", "安", "[UNK]"]
    ids = tokenizer.convert_tokens_to_ids(["[CLS]"] + tokens)
    assert ids == [2, 9, 5, 6, 7, 8, 1]
    assert [tokenizer.inv_vocab[index] for index in ids] == tokenizer.convert_ids_to_tokens(ids)
    assert list(tokenizer.vocab.keys())[5:] == WORDS
    assert tokenization.FullTokenizer(vocab_file, False).tokenize("The the") == ["[UNK]", "the"]
    assert tokenizer.tokenize("安".encode("utf-8")) == ["安"]


def test_full_tokenizer_of_sentencepiece(tmp_path):
    path = tmp_path / "tiny.model"
    path.write_bytes(create_vocab.train_sentencepiece(["a cafe of 1990, 19, we"] * 20, 30, 1.0))
    tokenizer = tokenization.FullTokenizer.from_scratch(
        vocab_file=None, do_lower_case=True, spm_model_file=str(path))
    ours = tokenization.SentencePieceTokenizer(str(path))
    text = "A Café\n of 1990, 19,"
    clean = tokenization.preprocess_text(text, lower=True)
    assert clean == "a cafe of 1990, 19,"
    assert tokenization.preprocess_text("É\n a", remove_space=False) == "E\n a"
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(clean)) == ours.encode(text)
    assert tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"]) == [2, 3]
    assert tokenizer.tokenize("A") == ["▁", "A"]  # not cleaned
    assert tokenizer.sp_model.PieceToId("[CLS]") == tokenizer.vocab["[CLS]"] == 2


def test_parts_of_the_tokenizer():
    assert tokenization.BasicTokenizer(do_lower_case=True).tokenize(" HeLLo!how  安x") == [
        "hello", "!", "how", "安", "x"]
    pieces = tokenization.WordpieceTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    assert pieces.tokenize("") == []
    assert pieces.tokenize("unaffable  un unx") == ["un", "##aff", "##able", "un", "[UNK]"]
    short = tokenization.WordpieceTokenizer(WORDS, unk_token="?", max_input_chars_per_word=3)
    assert short.tokenize("the unaff") == ["the", "?"]


@pytest.mark.parametrize("function", [
    tokenization.convert_to_unicode, tokenization.printable_text])
def test_texts_and_bytes(function):
    assert function("安") == function("安".encode("utf-8") + b"\xff") == "安"
    with pytest.raises(ValueError, match="7 is a int, expected text or bytes"):
        function(7)


def test_case_of_berts_checkpoints():
    check = tokenization.validate_case_matches_checkpoint
    for lower, path in ((True, None), (False, "albert/model.ckpt"),
                        (True, "x/chinese_L-12_H-768_A-12/bert_model.ckpt"),
                        (False, "cased_L-12_H-768_A-12/bert_model.ckpt")):
        check(lower, path)
    with pytest.raises(ValueError, match="--do_lower_case=False with .*chinese.*=True$"):
        check(False, "x/chinese_L-12_H-768_A-12/bert_model.ckpt")
    with pytest.raises(ValueError, match="is a model of cased text; pass --do_lower_case=False"):
        check(True, "cased_L-12_H-768_A-12/bert_model.ckpt")


SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 8}


def test_configs():
    config = modeling.AlbertConfig(30000)
    assert (config.hidden_size, config.num_attention_heads, config.layout) == (4096, 64, "google")
    config = modeling.AlbertConfig(30, 16, 32, 4, 2, 8)
    assert (config.embedding_size, config.hidden_size, config.num_hidden_layers,
            config.num_hidden_groups, config.num_attention_heads) == (16, 32, 4, 2, 8)
    config = modeling.BertConfig(21128)
    assert (config.hidden_size, config.hidden_dropout_prob, config.type_vocab_size,
            config.layout) == (768, 0.1, 16, "brightmart")
    assert modeling.BertConfig(**SIZES).intermediate_size == 8
    assert modeling.AlbertConfig(**SIZES).num_hidden_groups == 1
    with pytest.raises(UserError, match="the key 'vocab_size' is missing"):
        modeling.AlbertConfig()


def test_configs_of_files(tmp_path):
    path = tiny.write_config(tmp_path / "config.json", directionality="bidi")
    config = modeling.BertConfig.from_json_file(path)
    assert config == modeling.AlbertConfig.from_json_file(path) == tiny.config()
    assert modeling.BertConfig.from_dict(config.to_dict()) == config
    google = modeling.AlbertConfig.from_dict(dict(SIZES, num_hidden_groups=1, net_structure_type=0))
    assert google.layout == "google"


def inputs():
    ids = tf.constant([[5, 6, 7, 0], [8, 9, 5, 6]])
    return {"input_ids": ids, "input_mask": tf.constant([[1, 1, 1, 0], [1, 1, 1, 1]]),
            "token_type_ids": tf.zeros_like(ids)}


@pytest.mark.parametrize("config_class, model_class, more, layer", [
    (modeling.BertConfig, modeling.BertModel, {}, "layer_shared/attention/self/query"),
    (modeling.AlbertConfig, modeling.AlbertModel, {"use_einsum": False},
     "transformer/group_0/inner_group_0/attention_1/self/query")])
def test_models(config_class, model_class, more, layer):
    """create_model of run_classifier.py in albert_zh and in Google's code."""
    config = config_class(**SIZES)
    with tf.Graph().as_default(), tf.Session() as session:
        model = model_class(config=config, is_training=True, use_one_hot_embeddings=False,
                            scope="bert", **dict(inputs(), **more))
        pooled = model.get_pooled_output()
        session.run(tf.global_variables_initializer())
        assert session.run(pooled).shape == (2, 16)
        assert modeling.get_shape_list(model.get_sequence_output(), expected_rank=3) == [2, 4, 16]
        assert modeling.get_shape_list(model.get_embedding_table()) == [30, 128]
        if more:
            assert model.get_embedding_projection() is None
        else:
            assert modeling.get_shape_list(model.get_embedding_table_2()) == [128, 16]
        assert "bert/encoder/%s/kernel" % layer in {
            variable.op.name for variable in tf.trainable_variables()}


def test_shapes_and_small_functions():
    with tf.Graph().as_default(), tf.Session() as session:
        tensor = tf.placeholder(tf.float32, [None, 3], name="x")
        size, width = modeling.get_shape_list(tensor, expected_rank=[2, 3])
        assert width == 3 and session.run(size, {tensor: np.zeros([5, 3])}) == 5
        with pytest.raises(ValueError, match="x:0: rank 2, expected 3"):
            modeling.get_shape_list(tensor, expected_rank=3)
        with pytest.raises(ValueError, match="ids: rank 2, expected 1 or 3"):
            modeling.get_shape_list(tensor, expected_rank=[1, 3], name="ids")
        drawn = session.run(modeling.create_initializer(0.5)([1000]))
        assert 0.35 < drawn.std() < 0.5
        assert modeling.get_activation("linear") is None
        assert session.run(modeling.get_activation("tanh")(tf.constant(1.0))) == pytest.approx(
            np.tanh(1))


@pytest.fixture
def checkpoint(tmp_path):
    return tiny.save_checkpoint(tmp_path / "model.ckpt", {
        "bert/a": [1.0], "bert/transformer/group_0/b": [2.0], "other": [3.0]})


def test_assignment_map(checkpoint):
    """The lines of every model_fn of both codes."""
    with tf.Graph().as_default(), tf.Session() as session:
        for name in ("bert/a", "bert/transformer/group_0/b", "output_bias"):
            tf.get_variable(name, initializer=[0.0])
        tvars = tf.trainable_variables()
        assignment_map, initialized = modeling.get_assignment_map_from_checkpoint(
            tvars, checkpoint)
        assert [var.name in initialized for var in tvars] == [True, True, False]
        tf.train.init_from_checkpoint(checkpoint, assignment_map)
        session.run(tf.global_variables_initializer())
        assert np.ravel(session.run(tvars)).tolist() == [1.0, 2.0, 0.0]


def test_assignment_maps_of_groups(checkpoint):
    """Google's run_pretraining.py with --num_of_initialize_group=3."""
    with tf.Graph().as_default(), tf.Session() as session:
        for name in ["bert/a"] + ["bert/transformer/group_%d/b" % group for group in range(3)]:
            tf.get_variable(name, initializer=[0.0])
        tvars = tf.trainable_variables()
        assignment_map, initialized = modeling.get_assignment_map_from_checkpoint(
            tvars, checkpoint, 3)
        assert len(assignment_map) == 3 and all(var.name in initialized for var in tvars)
        for gid in range(3):
            tf.train.init_from_checkpoint(checkpoint, assignment_map[gid])
        session.run(tf.global_variables_initializer())
        assert np.ravel(session.run(tvars)).tolist() == [1.0, 2.0, 2.0, 2.0]


SCOPES = {"google": "bert/encoder/transformer/group_0/", "brightmart": "bert/encoder/layer_shared/"}


def after_updates(layout, make_train_op, steps=4):
    """(global step, weights) after updates of a kernel that decays and a bias that does not."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable(SCOPES[layout] + "kernel", initializer=[3.0, -1.0])
        tf.get_variable(SCOPES[layout] + "bias", initializer=[1.0, 2.0])
        loss = tf.add_n([tf.nn.l2_loss(variable) for variable in tf.trainable_variables()])
        train_op = make_train_op(loss)
        session.run(tf.global_variables_initializer())
        for _ in range(steps):
            session.run(train_op)
        weights = np.ravel(session.run(tf.trainable_variables()))
        return session.run(tf.train.get_global_step()), weights.tolist()


def our_train_op(name, lamb_exclude="no_decay", **options):
    return lambda loss: optimization.create_train_op(
        optimization.compute_gradients(loss), name, 0.05, 10, 2, lamb_exclude=lamb_exclude,
        **options).train_op


@pytest.mark.parametrize("layout, arguments, options, ours", [
    # albert_zh's run_pretraining.py; Google's run_race.py and run_squad_v2.py
    ("brightmart", (), {}, ("lamb", "none")), ("google", (), {}, ("adamw",)),
    # Google's run_pretraining.py and classifier_utils.py
    ("google", ("lamb", 1.0, 0), {}, ("lamb", "no_decay")), ("google", ("adamw",), {}, ("adamw",)),
    ("brightmart", (), {"optimizer": "adamw"}, ("adamw",)),
])
def test_create_optimizer(layout, arguments, options, ours):
    found = after_updates(layout, lambda loss: optimization.create_optimizer(
        loss, 0.05, 10, 2, False, *arguments, **options))
    assert found == after_updates(layout, our_train_op(*ours))
    assert found[0] == 4 and found[1][0] < 3.0


def test_create_optimizer_with_googles_last_arguments():
    found = after_updates("google", lambda loss: optimization.create_optimizer(
        loss, 0.05, 10, 2, False, poly_power=2.0, start_warmup_step=1,
        colocate_gradients_with_ops=True, excluded_tvars=[SCOPES["google"] + "bias:0"]))
    assert found[1][2:] == [1.0, 2.0] and found[1][0] != 3.0


def original_train_op(optimizer_class):
    """What the originals' create_optimizer does with an optimizer, the step included."""
    def create(loss):
        global_step = tf.train.get_or_create_global_step()
        optimizer = optimizer_class(
            learning_rate=0.05, weight_decay_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-6,
            exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"])
        tvars = tf.trainable_variables()
        grads = tf.gradients(loss, tvars)
        (grads, _) = tf.clip_by_global_norm(grads, clip_norm=1.0)
        train_op = optimizer.apply_gradients(zip(grads, tvars), global_step=global_step)
        new_global_step = global_step + 1
        return tf.group(train_op, [global_step.assign(new_global_step)])
    return create


def constant_rate_train_op(name, lamb_exclude="no_decay"):
    def create(loss):
        gradients, tvars = zip(*optimization.make_optimizer(name, 0.05).compute_gradients(loss))
        clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
        return optimization.make_optimizer(name, 0.05, lamb_exclude=lamb_exclude).apply_gradients(
            zip(clipped, tvars), tf.train.get_or_create_global_step())
    return create


@pytest.mark.parametrize("optimizer_class, ours", [
    (optimization.AdamWeightDecayOptimizer, ("adamw",)),
    (lamb_optimizer.LAMBOptimizer, ("lamb", "no_decay")),
    (optimization.LAMBOptimizer, ("lamb", "none"))])
def test_optimizers(optimizer_class, ours):
    step, weights = after_updates("google", original_train_op(optimizer_class))
    assert step == 4
    np.testing.assert_allclose(
        weights, after_updates("google", constant_rate_train_op(*ours))[1], rtol=1e-6)


def test_optimizers_without_arguments_neither_decay_nor_exclude():
    """Their defaults in both codes."""
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("kernel", initializer=[2.0])
        update = optimization.AdamWeightDecayOptimizer(0.1).apply_gradients(
            [(tf.zeros([1]), variable)])
        session.run(tf.global_variables_initializer())
        session.run(update)
        assert session.run(variable) == [2.0]
