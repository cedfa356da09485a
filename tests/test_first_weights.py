"""First weights from counts: what was counted, what the model begins with, how a run takes them."""

import json
import logging
import shutil

from util import tfrecords
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import factories
import modeling
import run_pretraining
import tiny
from pretraining import command_line as pretraining_flags
from pretraining import first_weights, records
from test_budget import HUNDRED, clock  # noqa: F401 - a fixture
from test_clusters import two_devices  # noqa: F401 - a fixture
from training import command_line

SIZE = 60


def write(path, sequences):
    """Unmasked records of these token ids, [CLS] and [SEP] around them."""
    tfrecords.write(str(path), [tfrecords.serialize(
        {"input_ids": np.array([2] + list(ids) + [3], np.int64)}) for ids in sequences])
    return str(path)


def counted(tmp_path, sequences, width=8):
    return first_weights.count([write(tmp_path / "a.tfrecord", sequences)], factories.MASKING,
                               tiny.config(vocab_size=SIZE, embedding_size=width))


def test_counts_ordinary_tokens(tmp_path):
    counts = counted(tmp_path, [[10, 11, 11], [12, 11, 1]])
    assert counts.tokens == 5
    assert {token: number for token, number in enumerate(counts.frequencies) if number} == {
        10: 1, 11: 3, 12: 1}


def test_neighbours_by_distance_within_a_record():
    ids = np.array([2, 10, 11, 3] + [4] * first_weights.WINDOW + [12, 10])
    ordinary = np.arange(SIZE) > 4
    table = first_weights._count_neighbours(ids, ordinary, np.array([10, 11, 12, 2]))
    expected = np.zeros_like(table)
    expected[10, 1] = expected[11, 0] = 1  # beside each other
    expected[10, 2] = expected[12, 0] = 1  # not of the record before
    np.testing.assert_allclose(table, expected)
    apart = np.array([10, 20, 20, 11])
    table = first_weights._count_neighbours(apart, ordinary, np.array([11]))
    assert table[10, 0] == pytest.approx(1 / 3) and table[20, 0] == pytest.approx(1 / 2 + 1)
    # However the text is portioned.
    many = np.random.RandomState(0).randint(0, SIZE, 1000)
    contexts = np.arange(5, 30)
    np.testing.assert_allclose(
        first_weights._count_neighbours(many, ordinary, contexts, chunk=64),
        first_weights._count_neighbours(many, ordinary, contexts), rtol=1e-4)


def test_tokens_with_the_same_neighbours_are_near(tmp_path):
    rng = np.random.RandomState(0)
    pair = {10: range(20, 24), 11: range(20, 24), 12: range(30, 34), 13: range(30, 34)}
    counts = counted(tmp_path, [
        [rng.choice(pair[token]), token, rng.choice(pair[token])]
        for token in rng.choice(list(pair), 2000)])
    near = counts.vectors.dot(counts.vectors.T)
    assert near[10, 11] > 0.9 and near[12, 13] > 0.9
    assert abs(near[10, 12]) < 0.3 and abs(near[11, 13]) < 0.3
    seen = counts.frequencies >= first_weights.FEWEST
    np.testing.assert_allclose(np.diag(near)[seen], 1, rtol=1e-5)
    assert not counts.vectors[~seen].any()


def test_as_many_tokens_of_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr(first_weights, "MOST_TOKENS", 60)
    paths = [write(tmp_path / name, [[token] * 20] * 9) for name, token in (("a", 10), ("b", 11))]
    frequencies = first_weights.count(
        paths, factories.MASKING, tiny.config(vocab_size=SIZE)).frequencies
    assert 0 < frequencies[10] == frequencies[11] <= 30


COUNTS = first_weights.Counts(
    1000, np.arange(SIZE), np.eye(SIZE, 128)[np.random.RandomState(0).permutation(SIZE)])
IDS = np.random.RandomState(1).randint(5, SIZE, [2, 40])
CONFIGS = {
    "google": {"layout": "google"}, "brightmart": {"layout": "brightmart"},
    "pre-LN": {"layout": "google", "ln_type": "preln"},
    "pre-LN, brightmart": {"layout": "brightmart", "ln_type": "preln"},
    "BERT": {"layout": "google", "embedding_size": 312, "num_hidden_groups": 2},
    "heads of 64": {"layout": "google", "hidden_size": 512, "num_attention_heads": 8},
}


def shapes_of(variables):
    return {variable.op.name: variable.shape.as_list() for variable in variables}


@pytest.fixture
def build():
    """A function of changes to a config -> (config, AlbertModel of 40 tokens, values, session)."""
    def built(**changes):
        config = tiny.config(**dict({
            "vocab_size": SIZE, "hidden_size": 312, "num_attention_heads": 12,
            "embedding_size": 128, "intermediate_size": 64, "num_hidden_layers": 2,
            "max_position_embeddings": 64}, **changes))
        types = tf.constant(np.repeat([[0] * 20 + [1] * 20], 2, 0))
        model = modeling.AlbertModel(config, False, tf.constant(IDS), token_type_ids=types,
                                     scope="bert")
        counts = COUNTS._replace(vectors=np.eye(SIZE, config.embedding_size))
        values = first_weights.values(config, shapes_of(tf.trainable_variables()), counts, seed=1)
        session.run(tf.global_variables_initializer())
        for variable in tf.trainable_variables():
            if variable.op.name in values:
                variable.load(values[variable.op.name], session)
        return config, model, values, session

    with tf.Graph().as_default(), tf.Session() as session:
        yield built


def first_attention(session):
    """[B, N, S, S]"""
    return session.run([operation for operation in tf.get_default_graph().get_operations()
                        if operation.type == "Softmax"][0].outputs[0])


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_look_at_their_distances(build, name):
    config, _, _, session = build(**CONFIGS[name])
    weights = first_attention(session)
    for head, distance in enumerate(first_weights.looking_heads(config)):
        inner = np.arange(10, 30)  # those that have a neighbour there
        found = weights[:, head, inner, inner + distance]
        assert found.min() > 0.4 and found.mean() > 0.75, (head, found.min(), found.mean())
    matching = first_weights.matching_heads(config)
    others = weights[:, len(first_weights.looking_heads(config)):matching.start, 10:30]
    assert others.max() < 0.5
    for head in matching:
        for distance in first_weights.looking_heads(config):
            assert weights[:, head, inner, inner + distance].mean() < 0.2, (head, distance)


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_look_at_their_segment(build, name):
    """The first 20 tokens or the last 20, about alike at each of them."""
    config, _, _, session = build(**CONFIGS[name])
    signs = first_weights.segment_heads(config)
    assert len(signs) >= 1
    weights = first_attention(session)[:, len(first_weights.looking_heads(config)):]
    sides = np.repeat([-1, 1], 20)
    for head, sign in enumerate(signs):
        there = sides[:, np.newaxis] * sides == sign  # [S, S]
        found = (weights[:, head] * there).sum(-1)
        assert found.min() > 0.85 and found.mean() > 0.94, (head, found.min(), found.mean())
        assert (weights[:, head] * there).max() < 0.5


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_look_at_the_same_word(build, name):
    """Tokens that the other segment has too at those; the rest less at any there."""
    config, _, _, session = build(**CONFIGS[name])
    heads = first_weights.matching_heads(config)
    assert len(heads) >= 1
    sides = np.repeat([-1, 1], 20)
    is_other = sides[:, np.newaxis] != sides
    there = (IDS[:, :, np.newaxis] == IDS[:, np.newaxis]) & is_other
    is_there = there.any(-1)  # [B, S]
    assert 0.2 < is_there.mean() < 0.8
    weights = first_attention(session)
    for head in heads:
        found = (weights[:, head] * there).sum(-1)[is_there]
        assert found.min() > 0.5 and found.mean() > 0.8, (head, found.min(), found.mean())
        assert (weights[:, head] * is_other)[~is_there].max(-1).mean() < 0.4


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_values(build, layout):
    config, model, values, session = build(layout=layout)
    assert len(first_weights.looking_heads(config)) == 8
    bias = values["cls/predictions/output_bias"]
    np.testing.assert_allclose(np.exp(bias), (COUNTS.frequencies + 1) / (1000 + SIZE), rtol=1e-5)
    # Words are turned, in whatever dimensions: as far apart as their vectors.
    words = values["bert/embeddings/word_embeddings"]
    lengths = np.linalg.norm(words, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
    near = words.dot(words.T) / lengths[0] ** 2
    if layout == "brightmart":
        np.testing.assert_allclose(near, np.eye(SIZE), atol=1e-5)
    # The layers' inputs are about 1 in size, as those of random weights.
    for layer in model.get_all_encoder_layers():
        assert 0.5 < np.std(session.run(layer)) < 2
    for name, value in values.items():
        assert value.dtype == np.float32 and np.isfinite(value).all(), name
        if value.ndim == 2 and not name.startswith("bert/embeddings"):
            assert 0.02 < value.std() < 0.2, name


def test_the_seed_decides(build):
    config, _, first, _ = build(layout="google")
    same, other = (first_weights.values(config, shapes_of(tf.trainable_variables()),
                                        COUNTS._replace(vectors=np.eye(SIZE, 128)), seed)
                   for seed in (1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], same[name], name)
    told = {"cls/predictions/output_bias", "bert/embeddings/position_embeddings",
            "bert/embeddings/token_type_embeddings"}
    for name in set(first) - told:
        assert (first[name] != other[name]).mean() > 0.5, name


# ---- run_pretraining.py --init_from_counts ----

@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sample's records without masks, and a config."""
    directory = tmp_path_factory.mktemp("data")
    (directory / "vocab").mkdir()
    characters = sorted(set(factories.TEXT) - {"\n"})
    vocab = tiny.write_vocab(directory / "vocab" / "vocab.txt", characters)
    factories.make(directory, vocab, store_sentences=True, max_seq_length=32)
    tiny.write_config(directory / "config.json", vocab_size=len(characters) + 5, layout="google")
    return directory


def config_of(data):
    return modeling.AlbertConfig.from_json_file(str(data / "config.json"))


def run(data, output, **changes):
    values = dict(tiny.PRETRAINING, **dict({
        "input_file": data / "out" / "a.tfrecord", "bert_config_file": data / "config.json",
        "output_dir": output, "max_seq_length": 32, "num_train_steps": 4, "train_batch_size": 8,
        "save_checkpoints_steps": 2, "dynamic_masking": True, "init_from_counts": True,
        "amp": False},
        **changes))
    if "budget_hours" in changes:
        del values["num_train_steps"], values["num_warmup_steps"]
    run_pretraining.main(tiny.parse(run_pretraining.define_flags, **{
        name: value for name, value in values.items() if value is not None}))
    return output


def test_a_run_begins_with_them_and_goes_on(data, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "albert"):
        run(data, tmp_path / "out")
    assert "the first weights come from" in caplog.text
    first = tiny.weights(tmp_path / "out" / "model.ckpt-0")
    paths = [str(data / "out" / "a.tfrecord")]
    counts = first_weights.count(
        paths, records.masking_settings(paths, tiny.PREDICTIONS), config_of(data))
    shapes = {name: value.shape for name, value in first.items() if "/adam_" not in name}
    expected = first_weights.values(config_of(data), shapes, counts, 12345)
    assert "cls/predictions/output_bias" in expected and len(expected) > 10
    for name, value in expected.items():
        np.testing.assert_allclose(first[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    caplog.clear()
    (tmp_path / "again").mkdir()
    for path in (tmp_path / "out").glob("model.ckpt-2.*"):
        shutil.copy(str(path), str(tmp_path / "again"))
    tf.train.update_checkpoint_state(
        str(tmp_path / "again"), str(tmp_path / "again" / "model.ckpt-2"))
    with caplog.at_level(logging.INFO, "albert"):
        run(data, tmp_path / "again")
    assert "the first weights come from" not in caplog.text
    tiny.assert_same_weights(tmp_path / "out" / "model.ckpt-4", tmp_path / "again" / "model.ckpt-4")


@pytest.mark.parametrize("changes, expected", [
    ({"budget_hours": HUNDRED / 5}, True), ({"num_train_steps": 1}, False),
    ({"budget_hours": HUNDRED / 5, "init_from_counts": False}, False)])
@pytest.mark.usefixtures("clock")
def test_a_budget_begins_with_them_and_one_layer(data, tmp_path, caplog, changes, expected):
    with caplog.at_level(logging.INFO, "albert"):
        run(data, tmp_path, **dict({"init_from_counts": None}, **changes))
    assert ("the first weights come from" in caplog.text) == expected
    assert ("with one layer up to 6% of the training" in caplog.text) == expected


@pytest.mark.parametrize("given, is_counted, expected", [
    ({}, True, (0.01, 0.1)), ({}, False, (0.05, 1.0)),
    ({"warmup_proportion": 0.2, "order_rate": 0.5}, True, (0.2, 0.5))])
def test_schedule_of_a_budget(given, is_counted, expected, tmp_path):
    flags = tiny.parse(run_pretraining.define_flags, budget_hours=1, output_dir=tmp_path, **given)
    schedule = pretraining_flags.choose_schedule(flags, tiny.config(), 64, is_counted)
    assert (schedule.warmup_proportion, schedule.order_rate) == expected
    assert schedule.learning_rate == (9.9e-4 if is_counted else 2.83e-4)
    assert schedule.optimizer == ("muon" if is_counted else "adamw")


@pytest.mark.parametrize("trained, wanted", [("adamw", "adamw"), ("muon", "muon"), (None, "muon")])
def test_a_budget_that_goes_on_keeps_its_optimizer(tmp_path, trained, wanted):
    (tmp_path / "run.json").write_text(json.dumps({"training": {"optimizer": trained}}))
    flags = tiny.parse(run_pretraining.define_flags, budget_hours=1, output_dir=tmp_path)
    assert pretraining_flags.choose_schedule(flags, tiny.config(), 64, True).optimizer == wanted


@pytest.mark.every_platform
@pytest.mark.usefixtures("two_devices")
def test_two_devices_begin_as_one(data, tmp_path):
    first, second = (run(data, tmp_path / str(count), num_gpus=count, num_train_steps=1)
                     for count in (1, 2))
    tiny.assert_same_weights(first / "model.ckpt-0", second / "model.ckpt-0")


@pytest.mark.parametrize("changes, message", [
    ({"init_checkpoint": "there"}, "--init_checkpoint=there has the first weights"),
    ({"use_tpu": True}, "it is for the devices of one machine; train the first steps on one"),
    ({"bert_config_file": "narrow"}, "narrow.json has an embedding_size of 4, expected 8 to its "
                                     "hidden_size"),
    ({"do_train": False, "do_eval": True, "eval_on_train_data": True}, "without --do_train")])
def test_no_counts(data, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(command_line, "check_flags", lambda *arguments: None)
    if "bert_config_file" in changes:
        changes = {"bert_config_file": tiny.write_config(
            tmp_path / "narrow.json", vocab_size=config_of(data).vocab_size, embedding_size=4)}
    with pytest.raises(UserError, match="--init_from_counts:? .*" + message):
        run(data, tmp_path, **changes)


@pytest.mark.usefixtures("clock")
def test_masked_records_are_not_counted(data, tmp_path, caplog):
    tiny.write_records(tmp_path / "masked.tfrecord", 8)
    masked = {"input_file": tmp_path / "masked.tfrecord", "dynamic_masking": False,
              "max_seq_length": tiny.LENGTH,
              "bert_config_file": tiny.write_config(tmp_path / "c.json")}
    with pytest.raises(UserError, match="--init_from_counts: .*masked.tfrecord holds masks, and .*"
                                        "make the data again with --store_sentences"):
        run(data, tmp_path / "out", **masked)
    with caplog.at_level(logging.INFO, "albert"):
        run(data, tmp_path / "out", init_from_counts=None, budget_hours=HUNDRED / 50, **masked)
    assert "the first weights are random, not from counts: " in caplog.text


def test_damaged_records(data, tmp_path):
    whole = (data / "out" / "a.tfrecord").read_bytes()
    description = (data / "out" / "a.tfrecord.json").read_bytes()
    (tmp_path / "a.tfrecord.json").write_bytes(description)
    (tmp_path / "a.tfrecord").write_bytes(whole[:-3])
    with pytest.raises(UserError, match="a.tfrecord: .*truncated"):
        run(data, tmp_path / "out", input_file=tmp_path / "a.tfrecord")
    stored = factories.read(data / "out" / "a.tfrecord")
    stored[-1]["input_ids"][1] = 9999
    tfrecords.write(str(tmp_path / "a.tfrecord"), [tfrecords.serialize(
        {name: np.array(value) for name, value in record.items()}) for record in stored])
    with pytest.raises(UserError, match="record [0-9]+ holds token id 9999"):
        run(data, tmp_path / "out", input_file=tmp_path / "a.tfrecord")
