"""Records: their features, the checks before a run, damage, and the order of the examples."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import records
from errors import UserError

S, P, V = 12, 3, 50


def example(number=7, **changes):
    """The features of a record whose first token says its number; a change of None drops one."""
    features = {
        "input_ids": np.arange(S) + number, "input_mask": np.ones(S, int),
        "segment_ids": np.zeros(S, int), "masked_lm_positions": np.arange(P),
        "masked_lm_ids": np.arange(P), "masked_lm_weights": np.ones(P, np.float32),
        "next_sentence_labels": np.array([1])}
    features.update(changes)
    return {name: values for name, values in features.items() if values is not None}


def write(path, numbers=(0, 1, 2, 3, 4), **changes):
    count = records.write_records(str(path), (records.serialize(example(number, **changes))
                                              for number in numbers))
    assert count == len(numbers)
    return str(path)


def write_sidecar(path, counts, size=V, length=S, predictions=P):
    with open(path, "w") as stream:
        json.dump({"flags": {"max_seq_length": length, "max_predictions_per_seq": predictions},
                   "vocab": {"size": size, "file": "vocab.txt"}, "files": counts}, stream)


def cut(path, size):
    with open(path, "r+b") as stream:
        stream.truncate(size)


def check(path, length=S, predictions=P, vocab_size=V):
    records.check_pretraining_files([path], length, predictions, vocab_size)


def first_tokens(input_fn, batch_size=1, limit=None):
    """The first token of every example, in order, of `limit` examples or all."""
    with tf.Graph().as_default(), tf.Session() as session:
        batch = input_fn({"batch_size": batch_size}).make_one_shot_iterator().get_next()
        tokens = []
        while limit is None or len(tokens) < limit:
            try:
                tokens += session.run(batch["input_ids"])[:, 0].tolist()
            except tf.errors.OutOfRangeError:
                break
    return tokens


# ---- features ----

def test_names_types_and_lengths_are_the_original_codes():
    spec = records.pretraining_spec(S, P)
    assert [(name, feature.shape, feature.dtype) for name, feature in spec.items()] == [
        ("input_ids", [S], tf.int64), ("input_mask", [S], tf.int64),
        ("segment_ids", [S], tf.int64), ("masked_lm_positions", [P], tf.int64),
        ("masked_lm_ids", [P], tf.int64), ("masked_lm_weights", [P], tf.float32),
        ("next_sentence_labels", [1], tf.int64)]


def test_serialize_keeps_numbers_and_kinds():
    features = tf.train.Example.FromString(records.serialize(
        {"ints": [1, -2, 2 ** 40], "floats": np.array([0.5, 1.0], np.float32),
         "bools": np.array([True, False])})).features.feature
    assert list(features["ints"].int64_list.value) == [1, -2, 2 ** 40]
    assert list(features["floats"].float_list.value) == [0.5, 1.0]
    assert list(features["bools"].int64_list.value) == [1, 0]


def test_write_records_is_complete_or_absent(tmp_path):
    def broken():
        yield b"one"
        raise KeyError

    with pytest.raises(KeyError):
        records.write_records(str(tmp_path / "a"), broken())
    assert os.listdir(str(tmp_path)) == []


# ---- what a run refuses ----

def test_fitting_files_pass(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    check(path)
    write_sidecar(path + ".json", {"a.tfrecord": 5})
    check(path)


@pytest.mark.parametrize("changed, message", [
    ({"length": 16}, r"a\.tfrecord was made with --max_seq_length=16, this run has 12; pass "
                     r"--max_seq_length=16"),
    ({"predictions": 4}, r"was made with --max_predictions_per_seq=4, this run has 3"),
    ({"size": 60}, r"vocabulary of 60 tokens \(vocab\.txt\), the config's vocab_size is 50"),
])
def test_sidecar_that_differs_from_the_flags(tmp_path, changed, message):
    path = write(tmp_path / "a.tfrecord")
    write_sidecar(path + ".json", {"a.tfrecord": 5}, **changed)
    with pytest.raises(UserError, match=message):
        check(path)


@pytest.mark.parametrize("flags, message", [
    ({"length": 16}, "record 0 has 12 int64 values in 'input_ids', the flags say 16"),
    ({"length": 8}, "record 0 has 12 int64 values in 'input_ids', the flags say 8"),
    ({"predictions": 4}, "record 0 has 3 int64 values in 'masked_lm_positions', the flags say 4"),
    ({"vocab_size": 18}, "record 0 holds token id 18, the config's vocab_size is 18"),
])
def test_first_record_that_differs_from_the_flags(tmp_path, flags, message):
    with pytest.raises(UserError, match=r"a\.tfrecord: " + message):
        check(write(tmp_path / "a.tfrecord", [7]), **flags)
    check(write(tmp_path / "b.tfrecord", [7]), vocab_size=19)


@pytest.mark.parametrize("changed, message", [
    ({"segment_ids": None}, "record 0 has no feature 'segment_ids'; expected input_ids, "),
    ({"masked_lm_weights": np.ones(P, int)}, "0 float32 values in 'masked_lm_weights'"),
    ({"input_mask": np.ones(S)}, "0 int64 values in 'input_mask'"),
])
def test_first_record_with_other_features(tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        check(write(tmp_path / "a.tfrecord", **changed))


def test_files_without_records_of_ours(tmp_path):
    with pytest.raises(UserError, match=r"a: no record in this file"):
        check(write(tmp_path / "a", []))
    records.write_records(str(tmp_path / "b"), [b"\xff\xff"])
    with pytest.raises(UserError, match=r"b: record 0 is not a tf\.train\.Example"):
        check(str(tmp_path / "b"))
    (tmp_path / "c").write_text("plain text, which is no TFRecord at all")
    with pytest.raises(UserError, match="c: truncated or corrupt after 0 complete records"):
        check(str(tmp_path / "c"))


@pytest.mark.parametrize("text", ["{", "[]", "7", "{\"flags\": {}}"])
def test_other_file_in_the_place_of_a_sidecar(tmp_path, text):
    path = write(tmp_path / "a.tfrecord")
    (tmp_path / "a.tfrecord.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.tfrecord\.json: not a description that create_pre"):
        check(path)


# ---- damage and counts ----

def test_truncated_file_says_after_how_many_records(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    assert records.count_records(path) == 5
    record = os.path.getsize(path) // 5
    # 5 bytes of a header: TensorFlow takes them for the end of the file.
    for size, complete in [(record * 5 - 1, 4), (record * 3 + 5, 3), (record + 13, 1), (3, 0)]:
        cut(path, size)
        message = "a.tfrecord: truncated or corrupt after %d complete records" % complete
        with pytest.raises(UserError, match=message):
            records.count_records(path)
        assert message in str(records.damage(path))


def test_truncated_first_record(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    cut(path, 30)
    with pytest.raises(UserError, match="a.tfrecord: truncated or corrupt after 0"):
        check(path)


def test_flipped_byte_is_found(tmp_path):
    paths = [write(tmp_path / "a"), write(tmp_path / "b")]
    records.find_damaged(paths)
    with open(paths[1], "r+b") as stream:
        stream.seek(os.path.getsize(paths[1]) // 5 * 2 + 40)
        stream.write(b"\xff")
    with pytest.raises(UserError, match="b: truncated or corrupt after 2 complete records"):
        records.find_damaged(paths)


@pytest.mark.parametrize("path, sidecar", [
    ("data/tf.tfrecord", "data/tf.tfrecord.json"),
    ("data/tf-00003-of-00064.tfrecord", "data/tf.tfrecord.json"),
    ("data/tf.tfrecord-00003-of-00064", "data/tf.tfrecord.json"),
    ("tf_1.tfrecord", "tf_1.tfrecord.json"),
])
def test_sidecar_path(path, sidecar):
    assert records.sidecar_path(path) == sidecar


def test_total_records(tmp_path):
    paths = [write(tmp_path / "t-0-of-2"), write(tmp_path / "t-1-of-2", range(4)),
             write(tmp_path / "u", range(2))]
    assert records.total_records(paths) == 11
    write_sidecar(str(tmp_path / "t.json"), {"t-0-of-2": 500, "t-1-of-2": 400})
    assert records.total_records(paths) == 902  # of "t" as described, of "u" as counted
    write_sidecar(str(tmp_path / "t.json"), {"t-0-of-2": 500})
    assert records.total_records(paths) == 506


# ---- the order of the examples ----

@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three files of 20, 7 and 10 records, numbered 0 to 36."""
    root = tmp_path_factory.mktemp("shards")
    return [write(root / "a", range(20)), write(root / "b", range(20, 27)),
            write(root / "c", range(27, 37))]


def training(paths, **options):
    return records.pretraining_input_fn(paths, S, P, is_training=True, **options)


def test_batches_are_int32_and_float32(shards):
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = training(shards)({"batch_size": 4})
        batch = session.run(dataset.make_one_shot_iterator().get_next())
    for name, feature in records.pretraining_spec(S, P).items():
        assert batch[name].shape == (4,) + tuple(feature.shape)
        assert batch[name].dtype == (np.float32 if feature.dtype == tf.float32 else np.int32)


def test_evaluation_reads_everything_once_in_order(shards):
    input_fn = records.pretraining_input_fn(shards, S, P, is_training=False)
    assert first_tokens(input_fn, batch_size=8) == list(range(37))


@pytest.mark.parametrize("buffer", [10000, 5])
def test_every_epoch_is_another_permutation(shards, buffer):
    order = first_tokens(training(shards, shuffle_buffer=buffer), limit=4 * 37)
    epochs = [order[begin:begin + 37] for begin in range(0, 4 * 37, 37)]
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert order == first_tokens(training(shards, shuffle_buffer=buffer), limit=4 * 37)


def test_order_of_the_files_changes_too(shards):
    order = first_tokens(training(shards, shuffle_buffer=1), limit=4 * 37)
    assert len({tuple(order[begin:begin + 37]) for begin in range(0, 4 * 37, 37)}) > 1


@pytest.mark.parametrize("buffer", [10000, 5])
@pytest.mark.parametrize("first_example", [1, 36, 37, 50, 74, 100])
def test_going_on_reads_the_rest_of_the_uninterrupted_order(shards, first_example, buffer):
    options = {"shuffle_buffer": buffer, "seed": 3}
    order = first_tokens(training(shards, **options), limit=140)
    rest = first_tokens(training(shards, first_example=first_example, **options),
                        limit=140 - first_example)
    assert rest == order[first_example:]


def test_other_seed_other_order(shards):
    orders = {tuple(first_tokens(training(shards, seed=seed), limit=37)) for seed in (1, 200, 3000)}
    assert len(orders) == 3


def test_order_is_the_same_under_a_graph_seed(shards):
    """As the Estimator sets one (RunConfig.tf_random_seed)."""
    orders = []
    for first_example in (0, 40):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(77)
            dataset = training(shards, first_example=first_example)({"batch_size": 1})
            batch = dataset.make_one_shot_iterator().get_next()["input_ids"]
            orders.append([session.run(batch)[0, 0] for _ in range(60 - first_example)])
    assert orders[0][40:] == orders[1]


def test_endless_spans_epochs_within_a_batch(shards):
    order = first_tokens(training(shards), batch_size=10, limit=70)
    assert sorted(order[:37]) == list(range(37))
    assert order == first_tokens(training(shards), limit=70)
