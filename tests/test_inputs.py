"""Records as a run reads them: the checks before it, damage, and the order of the examples."""

import os
import types

from util import tfrecords
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tiny
from factories import MADE_UNMASKED, MASKING, P, S, V, write_description
from pretraining import inputs, masking, records
from training import input_pipeline


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
    count = tfrecords.write(str(path), (tfrecords.serialize(example(number, **changes))
                                        for number in numbers))
    assert count == len(numbers)
    return str(path)


UNMASKED = dict.fromkeys(["masked_lm_positions", "masked_lm_ids", "masked_lm_weights"])
UNMASKED.update(word_starts=np.ones(S, int), segment_ids=np.array([0] * 6 + [1] * 6))
def write_unmasked(path, numbers=(0, 1, 2, 3, 4), features=UNMASKED, **changes):
    """Records as --store_word_starts makes them, with what describes them."""
    write_description(str(path) + ".json", {path.name: len(numbers)},
                      **dict(MADE_UNMASKED, **changes))
    return write(path, [5 + number for number in numbers], **features)


def cut(path, size):
    with open(path, "r+b") as stream:
        stream.truncate(size)


def check(path, length=S, predictions=P, vocab_size=V):
    inputs.check_pretraining_files([path], length, predictions, vocab_size)


def first_tokens(input_fn, limit=None):
    """The first token of every example, in order, of `limit` examples or all."""
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(input_fn({})).get_next()
        tokens = []
        while limit is None or len(tokens) < limit:
            try:
                tokens += session.run(batch["input_ids"])[:, 0].tolist()
            except tf.errors.OutOfRangeError:
                break
    return tokens


# ---- features ----

def test_names_types_and_lengths_are_the_original_codes():
    spec = inputs.parsing_spec(records.masked_spec(S, P))
    assert [(name, feature.shape, feature.dtype) for name, feature in spec.items()] == [
        ("input_ids", [S], tf.int64), ("input_mask", [S], tf.int64),
        ("segment_ids", [S], tf.int64), ("masked_lm_positions", [P], tf.int64),
        ("masked_lm_ids", [P], tf.int64), ("masked_lm_weights", [P], tf.float32),
        ("next_sentence_labels", [1], tf.int64)]


def test_names_and_lengths_of_unmasked_records():
    for brightmart_labels in (False, True):
        spec = inputs.parsing_spec(records.unmasked_spec(S, brightmart_labels))
        assert [(name, feature.shape, feature.dtype) for name, feature in spec.items()] == [
            (name, [S], tf.int64) for name in [
                "input_ids", "input_mask", "segment_ids", "word_starts"]
            + ["label_ids"] * brightmart_labels] + [("next_sentence_labels", [1], tf.int64)]


# ---- what a run refuses ----

def test_fitting_files_pass(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    check(path)
    write_description(path + ".json", {"a.tfrecord": 5})
    check(path)


@pytest.mark.parametrize("changed, message", [
    ({"length": 16}, r"a\.tfrecord was made with --max_seq_length=16, this run has 12; pass "
                     r"--max_seq_length=16"),
    ({"predictions": 4}, r"was made with --max_predictions_per_seq=4, this run has 3"),
    ({"size": 60}, r"vocabulary of 60 tokens \(vocab\.txt\), the config's vocab_size is 50"),
])
def test_description_that_differs_from_the_flags(tmp_path, changed, message):
    path = write(tmp_path / "a.tfrecord")
    write_description(path + ".json", {"a.tfrecord": 5}, **changed)
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
    tfrecords.write(str(tmp_path / "b"), [b"\xff\xff"])
    with pytest.raises(UserError, match=r"b: record 0 is not a tf\.train\.Example"):
        check(str(tmp_path / "b"))
    (tmp_path / "c").write_text("plain text, which is no TFRecord at all")
    with pytest.raises(UserError, match="c: expected a file of records, found another kind; make "
                                        "records of text with create_pretraining_data.py$"):
        check(str(tmp_path / "c"))


@pytest.mark.parametrize("text", ["{", "[]", "7", "{\"flags\": {}}"])
def test_other_file_in_place_of_a_description(tmp_path, text):
    path = write(tmp_path / "a.tfrecord")
    (tmp_path / "a.tfrecord.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.tfrecord\.json: not a description that create_pre"):
        check(path)


# ---- unmasked records ----

def test_unmasked_files_pass_with_any_number_of_predictions(tmp_path):
    path = write_unmasked(tmp_path / "a.tfrecord")
    for predictions in (1, P, S - 1):
        check(path, predictions=predictions)
    labelled = dict(UNMASKED, label_ids=np.arange(S))
    check(write_unmasked(tmp_path / "b.tfrecord", features=labelled, brightmart_labels=True))


@pytest.mark.parametrize("changes, message", [
    ({"length": 16}, r"a\.tfrecord was made with --max_seq_length=16, this run has 12; pass"),
    ({"size": 60}, "vocabulary of 60 tokens"),
    ({"special_ids": None}, r"a\.tfrecord holds no masks, and drawing them needs the special ids, "
                            r"vocab\.special_ids in \S*/a\.tfrecord\.json; copy that file"),
    ({"store_word_starts": False}, r"a\.tfrecord holds no masks, and drawing them needs"),
    ({"brightmart_labels": True}, "record 0 has no feature 'label_ids'; expected input_ids, "),
    ({"features": {}}, "record 0 has no feature 'word_starts'; expected input_ids, "),
    ({"features": dict(UNMASKED, word_starts=np.ones(7, int))},
     "record 0 has 7 int64 values in 'word_starts', the flags say 12"),
    ({"numbers": [40]}, "record 0 holds token id 56, the config's vocab_size is 50"),
])
def test_unmasked_file_that_does_not_fit(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        check(write_unmasked(tmp_path / "a.tfrecord", **changes))


def test_unmasked_file_without_a_description(tmp_path):
    path = write_unmasked(tmp_path / "a-00000-of-00001.tfrecord")
    os.remove(path + ".json")
    with pytest.raises(UserError, match=r"a-00000-of-00001.tfrecord holds no masks, .* in "
                                        r"\S*/a\.tfrecord\.json; copy that file from where"):
        check(path)


def test_more_predictions_than_tokens(tmp_path):
    path = write_unmasked(tmp_path / "a.tfrecord")
    with pytest.raises(UserError, match="--max_predictions_per_seq=12 is not below "
                                        "--max_seq_length=12; usual is"):
        check(path, predictions=S)


def test_unmasked_record_unlike_the_first_is_named(tmp_path):
    path = write_unmasked(tmp_path / "a.tfrecord")
    static = write(tmp_path / "b.tfrecord")
    inputs.check_every_record([path, static], S, P, V)
    tfrecords.write(path, [tfrecords.serialize(example(5, **UNMASKED)),
                           tfrecords.serialize(example(48, **UNMASKED))])
    with pytest.raises(UserError, match="a.tfrecord: record 1 holds token id 59"):
        inputs.check_every_record([static, path], S, P, V)


# ---- damage and counts ----

def test_truncated_file_says_after_how_many_records(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    assert input_pipeline.count_records(path) == 5
    record = os.path.getsize(path) // 5
    # 5 bytes of a header: TensorFlow takes them for the end of the file.
    for size, complete in [(record * 5 - 1, 4), (record * 3 + 5, 3), (record + 13, 1), (3, 0)]:
        cut(path, size)
        message = "a.tfrecord: truncated or corrupt after %d complete records" % complete
        with pytest.raises(UserError, match=message):
            input_pipeline.count_records(path)
        assert message in str(input_pipeline.damage_error(path))


def test_truncated_first_record(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    cut(path, 30)
    with pytest.raises(UserError, match="a.tfrecord: truncated or corrupt after 0"):
        check(path)


def test_flipped_byte_is_found(tmp_path):
    paths = [write(tmp_path / "a"), write(tmp_path / "b")]
    input_pipeline.find_damaged(paths)
    with open(paths[1], "r+b") as stream:
        stream.seek(os.path.getsize(paths[1]) // 5 * 2 + 40)
        stream.write(b"\xff")
    with pytest.raises(UserError, match="b: truncated or corrupt after 2 complete records"):
        input_pipeline.find_damaged(paths)


def test_total_records(tmp_path):
    paths = [write(tmp_path / "t-00000-of-00002"), write(tmp_path / "t-00001-of-00002", range(4)),
             write(tmp_path / "u", range(2))]
    assert inputs.total_records(paths) == 11
    write_description(str(tmp_path / "t.json"), {"t-00000-of-00002": 500, "t-00001-of-00002": 4})
    assert inputs.total_records(paths) == 506  # the smallest of "t", and "u", are counted
    write_description(str(tmp_path / "t.json"), {"t-00000-of-00002": 500, "t-00001-of-00002": 400})
    with pytest.raises(UserError, match=r"t.json says that \S*t-00001-of-00002 holds 400 records, "
                                        "and it holds 4; make the data again, or correct the"):
        inputs.total_records(paths)


@pytest.mark.parametrize("changes, message", [
    ({"input_ids": np.full(S, -1)}, "holds -1 in 'input_ids', expected 0 to 49"),
    ({"masked_lm_ids": np.full(P, V)}, r"holds token id 50, .* \(feature 'masked_lm_ids'\)"),
    ({"next_sentence_labels": np.array([2])}, "holds 2 in 'next_sentence_labels', expected 0 to 1"),
    ({"input_mask": np.full(S, 3)}, "holds 3 in 'input_mask', expected 0 to 1"),
    ({"masked_lm_weights": np.full(P, -1.0)}, "holds the weights -1.0 -1.0 -1.0"),
    ({"masked_lm_weights": np.full(P, np.inf)}, "holds the weights inf inf inf"),
])
def test_values_out_of_range(tmp_path, changes, message):
    with pytest.raises(UserError, match="a: record 0 " + message):
        check(write(tmp_path / "a", [7], **changes))


@pytest.mark.parametrize("changes", [
    {"input_ids": np.full(S, V)}, {"input_ids": np.full(S, 2 ** 32)}, {"input_ids": -np.ones(S)},
    {"masked_lm_positions": np.full(P, S)}, {"masked_lm_ids": np.full(P, -1)},
    {"next_sentence_labels": np.array([2])}, {"masked_lm_weights": np.array([1, 0, np.nan])}])
def test_pipeline_fails_at_values_out_of_range(tmp_path, changes):
    kinds = {name: np.float32 if "weights" in name else np.int64 for name in changes}
    changes = {name: values.astype(kinds[name]) for name, values in changes.items()}
    paths = [write(tmp_path / "good"), write(tmp_path / "odd", [0], **changes)]
    input_fn = inputs.pretraining_input_fn(paths, S, P, 6, is_training=False, vocab_size=V)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a record holds values out of range"):
        first_tokens(input_fn)
    assert len(first_tokens(inputs.pretraining_input_fn(
        paths[:1], S, P, 6, is_training=False, vocab_size=V))) == 5


def test_fingerprint_is_of_names_sizes_and_first_records(tmp_path):
    first = inputs.fingerprint([write(tmp_path / "a"), write(tmp_path / "b")])
    (tmp_path / "moved").mkdir()
    assert inputs.fingerprint([write(tmp_path / "moved" / "b"), write(tmp_path / "a")]) == first
    others = {inputs.fingerprint([write(tmp_path / "a", [1, 1, 2, 3, 4]), str(tmp_path / "b")]),
              inputs.fingerprint([write(tmp_path / "a", range(6)), str(tmp_path / "b")]),
              inputs.fingerprint([write(tmp_path / "c"), str(tmp_path / "b")])}
    assert len(others | {first}) == 4


# ---- the order of the examples ----

@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three files of 20, 7 and 10 records, numbered 0 to 36."""
    root = tmp_path_factory.mktemp("shards")
    return [write(root / "a", range(20)), write(root / "b", range(20, 27)),
            write(root / "c", range(27, 37))]


def training(paths, batch_size=1, **options):
    return inputs.pretraining_input_fn(paths, S, P, batch_size, is_training=True, **options)


def test_batches_are_int32_and_float32(shards):
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = training(shards, 4)({})
        batch = session.run(dataset.make_one_shot_iterator().get_next())
    for name, feature in records.masked_spec(S, P).items():
        assert batch[name].shape == (4, feature.length)
        assert batch[name].dtype == (np.float32 if feature.dtype == "float32" else np.int32)


def test_evaluation_reads_everything_once_in_order(shards):
    input_fn = inputs.pretraining_input_fn(shards, S, P, 8, is_training=False)
    assert first_tokens(input_fn) == list(range(37))


@pytest.mark.parametrize("on_tpu, sizes, weights", [(False, [8] * 4 + [5], 37),
                                                    (True, [8] * 5, 37)])
def test_the_last_batch_counts_whole_or_filled_up(shards, on_tpu, sizes, weights):
    """A TPU's batches have one static size; what fills the last one up weighs nothing."""
    host = types.SimpleNamespace(current_input_fn_deployment=lambda: (None, 0, 1, 1))
    input_fn = inputs.pretraining_input_fn(shards, S, P, 8, is_training=False)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(
            input_fn({"context": host} if on_tpu else {})).get_next()
        assert batch["input_ids"].shape.as_list() == [8 if on_tpu else None, S]
        made = [session.run(batch) for _ in sizes]
    assert [len(one["input_ids"]) for one in made] == sizes
    assert sum(one["record_weights"].sum() for one in made) == weights
    assert sum(one["masked_lm_weights"].sum() for one in made) == weights * P


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
@pytest.mark.parametrize("first_step", [1, 36, 37, 50, 74, 100])
def test_going_on_reads_the_rest_of_the_uninterrupted_order(shards, first_step, buffer):
    options = {"shuffle_buffer": buffer, "seed": 3}
    order = first_tokens(training(shards, **options), limit=140)
    rest = first_tokens(training(shards, first_step=first_step, **options),
                        limit=140 - first_step)
    assert rest == order[first_step:]


def test_other_seed_other_order(shards):
    orders = {tuple(first_tokens(training(shards, seed=seed), limit=37)) for seed in (1, 200, 3000)}
    assert len(orders) == 3


def test_order_is_the_same_under_a_graph_seed(shards):
    """As the Estimator sets one (RunConfig.tf_random_seed)."""
    orders = []
    for first_step in (0, 40):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(77)
            dataset = training(shards, first_step=first_step)({})
            batch = dataset.make_one_shot_iterator().get_next()["input_ids"]
            orders.append([session.run(batch)[0, 0] for _ in range(60 - first_step)])
    assert orders[0][40:] == orders[1]


def test_endless_spans_epochs_within_a_batch(shards):
    order = first_tokens(training(shards, 10), limit=70)
    assert sorted(order[:37]) == list(range(37))
    assert order == first_tokens(training(shards), limit=70)


# ---- several devices ----

def shares(count, parts):
    """What the input_fn of every one of `count` machines with `parts` devices is given."""
    return [tf.distribute.InputContext(count, index, count * parts) for index in range(count)]


@pytest.mark.parametrize("context", [None] + shares(1, 2))
@pytest.mark.parametrize("is_training", [True, False])
def test_no_tuner_runs_that_the_end_of_a_session_would_wait_for(shards, is_training, context):
    with tf.Graph().as_default():
        dataset = inputs.pretraining_input_fn(shards, S, P, 4, is_training)({}, context)
        assert not tiny.is_tuned(dataset)
        assert tiny.is_tuned(tf.data.TFRecordDataset(shards).prefetch(4))


@pytest.mark.slow
@pytest.mark.parametrize("records_are, count, parts", [
    ("masked", 2, 3), ("unmasked", 2, 3), ("unmasked", 1, 2), ("unmasked", 2, 1)])
def test_devices_share_the_batches_of_one(shards, unmasked_shards, records_are, count, parts):
    options = {"masking": MASKING} if records_are == "unmasked" else {}
    paths, steps, made = (unmasked_shards if options else shards), 5, []
    for context in [None] + shares(count, parts):
        with tf.Graph().as_default(), tf.Session() as session:
            dataset = training(paths, 12, first_step=2, **options)({}, context)
            batch = tf.data.make_one_shot_iterator(dataset).get_next()
            assert batch["input_ids"].shape.as_list() == [12 // (context and count * parts or 1), S]
            made.append([session.run(batch) for _ in range(steps * (parts if context else 1))])
    for step in range(steps):
        shared = [batches[step * parts + part] for batches in made[1:] for part in range(parts)]
        for name, whole in made[0][step].items():
            np.testing.assert_array_equal(np.concatenate([one[name] for one in shared]), whole)


def test_share_of_a_tpu_host():
    host = types.SimpleNamespace(current_input_fn_deployment=lambda: ("/cpu:0", 1, 4, 8))
    assert input_pipeline.input_share({"context": host}, None) == (1, 4, 8)
    assert input_pipeline.input_share({}, None) == (0, 1, 1)


def test_accuracy_of_guessing(tmp_path):
    """7 five times and 8 three times; the 9 is padding. A tenth is kept, a tenth misleads."""
    paths = [write(tmp_path / name, range(count), masked_lm_ids=np.array(labels),
                   masked_lm_weights=np.array([1, 1, 0], np.float32))
             for name, count, labels in (("a", 3, [7, 8, 9]), ("b", 1, [7, 7, 9]))]
    assert inputs.guessing_accuracy(paths) == pytest.approx(0.1 + 0.8 * 5 / 8)
    assert inputs.guessing_accuracy(paths, limit=3) == pytest.approx(0.1 + 0.8 * 0.5)
    unmasked = write_unmasked(tmp_path / "c", [0, 0])  # 5 to 16
    assert inputs.guessing_accuracy(
        [unmasked], MASKING._replace(special_ids=(5, 6))) == pytest.approx(0.1 + 0.8 * 0.1)


# ---- masks drawn while reading ----

@pytest.fixture(scope="module")
def unmasked_shards(tmp_path_factory):
    """Two files of 13 and 10 records, whose first tokens are 5 to 27."""
    root = tmp_path_factory.mktemp("unmasked")
    return [write_unmasked(root / "a", range(13)), write_unmasked(root / "b", range(13, 23))]


def masked_batches(paths, count, is_training=True, batch_size=4, masking=MASKING, **options):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(77)  # as the Estimator does
        dataset = inputs.pretraining_input_fn(
            paths, S, P, batch_size, is_training, masking=masking, **options)({})
        following = tf.data.make_one_shot_iterator(dataset).get_next()
        return [session.run(following) for _ in range(count)]


def assert_equal_batches(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_batches_are_those_of_masked_records(unmasked_shards):
    batch, = masked_batches(unmasked_shards, 1)
    assert set(batch) == set(records.masked_spec(S, P))
    for name, feature in records.masked_spec(S, P).items():
        assert batch[name].shape == (4, feature.length)
        assert batch[name].dtype == (np.float32 if feature.dtype == "float32" else np.int32)
    assert batch["masked_lm_weights"].sum() == 4 * 3  # 12 tokens, a quarter of them
    assert ((batch["input_ids"] == 4).sum(1) <= 3).all()
    restored = batch["input_ids"].copy()
    np.put_along_axis(restored, batch["masked_lm_positions"], batch["masked_lm_ids"], 1)
    assert (np.diff(restored) == 1).all()  # as `example` makes them


def test_labels_of_unmasked_records(tmp_path):
    path = write_unmasked(tmp_path / "a", range(5), brightmart_labels=True,
                          features=dict(UNMASKED, label_ids=np.arange(S) + 30))
    batch, = masked_batches([path], 1, masking=MASKING._replace(brightmart_labels=True))
    np.testing.assert_array_equal(batch["masked_lm_ids"], batch["masked_lm_positions"] + 30)


@pytest.mark.slow
@pytest.mark.parametrize("first_batch", [1, 6])
def test_going_on_draws_the_masks_of_the_uninterrupted_run(unmasked_shards, first_batch):
    """23 records of 4 a batch: the second epoch begins within the sixth batch."""
    whole = masked_batches(unmasked_shards, 14, seed=3)
    rest = masked_batches(unmasked_shards, 14 - first_batch, seed=3, first_step=first_batch)
    assert_equal_batches(rest, whole[first_batch:])


def test_every_epoch_has_other_masks(unmasked_shards):
    seen = {}
    for batch in masked_batches(unmasked_shards, 23):
        restored = batch["input_ids"].copy()
        np.put_along_axis(restored, batch["masked_lm_positions"], batch["masked_lm_ids"], 1)
        for first, positions in zip(restored[:, 0].tolist(), batch["masked_lm_positions"]):
            seen.setdefault(first, []).append(tuple(positions))
    assert sorted(seen) == list(range(5, 28))
    assert {len(masks) for masks in seen.values()} == {4}
    assert np.mean([len(set(masks)) for masks in seen.values()]) > 3.5


# ---- pairs drawn while reading ----

SENTENCES = {"input_mask": None, "segment_ids": None, "next_sentence_labels": None,
             "word_starts": np.ones(14, int), "sentence_lengths": np.array([3, 1, 4, 2, 4])}
PAIRING = MASKING._replace(order=masking.Order(cls_id=2, sep_id=3))


def write_sentences(path, numbers=(0, 1, 2), **changes):
    """Records as --store_sentences makes them: 14 tokens from the number on, of five sentences."""
    write_description(str(path) + ".json", {path.name: len(numbers)}, store_sentences=True,
                      **MADE_UNMASKED)
    tfrecords.write(str(path), (tfrecords.serialize(example(**dict(
        UNMASKED, **dict(dict(SENTENCES, input_ids=np.arange(14) + 5 + number), **changes))))
        for number in numbers))
    return str(path)


def test_sentences_become_pairs_with_masks(tmp_path):
    path = write_sentences(tmp_path / "a")
    check(path)
    assert records.masking_settings([path], P) == PAIRING
    batch, = masked_batches([path], 1, masking=PAIRING, vocab_size=V)
    assert {name: value.shape for name, value in batch.items()} == {
        name: (4, feature.length) for name, feature in records.masked_spec(S, P).items()}
    assert batch["input_mask"].all()  # 14 + 3 tokens are cut to 12
    assert (batch["masked_lm_weights"].sum(1) > 0).all()
    assert inputs.guessing_accuracy([path], PAIRING) == pytest.approx(0.1 + 0.8 * 3 / 42)


@pytest.mark.slow
@pytest.mark.every_platform
def test_going_on_draws_the_pairs_of_the_uninterrupted_run(tmp_path):
    """23 records of 4 a batch: the second epoch begins within the sixth batch."""
    paths = [write_sentences(tmp_path / "a", range(13)),
             write_sentences(tmp_path / "b", range(13, 23))]
    whole = masked_batches(paths, 14, seed=3, masking=PAIRING)
    rest = masked_batches(paths, 14 - 6, seed=3, masking=PAIRING, first_step=6)
    assert_equal_batches(rest, whole[6:])
    orders = np.concatenate([batch["next_sentence_labels"] for batch in whole])
    assert 10 < orders.sum() < 46


def test_every_epoch_has_other_cuts_and_orders(tmp_path):
    """One record, whose four cuts are known by the length of the first segment."""
    path = write_sentences(tmp_path / "a", [0])
    batches = masked_batches([path], 40, batch_size=1, masking=PAIRING)
    pairs = {(int(batch["segment_ids"].sum()), int(batch["next_sentence_labels"][0, 0]))
             for batch in batches}
    assert len(pairs) >= 6
    assert_equal_batches(batches, masked_batches([path], 40, batch_size=1, masking=PAIRING))


@pytest.mark.parametrize("changes, message", [
    ({"sentence_lengths": np.array([14])}, "record 0 holds sentences of 14 tokens in 'sentence_le"),
    ({"sentence_lengths": np.array([3, 4])}, r"of 3 \+ 4 tokens in 'sentence_lengths' and 14 in "),
    ({"word_starts": np.ones(9, int)}, "14 in 'input_ids', 9 in 'word_starts'; expected at least "),
    ({"input_ids": np.zeros(0, int)}, "0 in 'input_ids', 14 in 'word_starts'"),
    ({"sentence_lengths": None}, "record 0 has no feature 'sentence_lengths'; expected input_ids"),
    ({"input_ids": np.full(14, V)}, "holds token id 50, the config's vocab_size is 50"),
])
def test_sentences_that_cannot_be_paired(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        check(write_sentences(tmp_path / "a", **changes))


@pytest.mark.parametrize("lengths", [[14], [10, 5]])
def test_sentences_are_judged_as_they_are_read(tmp_path, lengths):
    paths = [write_sentences(tmp_path / "a"),
             write_sentences(tmp_path / "b", sentence_lengths=np.array(lengths))]
    with pytest.raises(tf.errors.InvalidArgumentError, match="a record holds values out of range"):
        masked_batches(paths, 2, is_training=False, batch_size=3, masking=PAIRING, vocab_size=V)


def test_pairs_and_sentences_do_not_mix(tmp_path):
    with pytest.raises(UserError, match=r"/b holds pairs and \S*/a whole sentences \(it was made "
                       r"with --store_sentences\); use files of one kind"):
        records.masking_settings(
            [write_sentences(tmp_path / "a"), write_unmasked(tmp_path / "b")], P)


def test_seed_decides_the_masks(unmasked_shards):
    """In evaluation, where it decides nothing else."""
    masks = [masked_batches(unmasked_shards, 1, is_training=False, seed=seed)[0]
             for seed in (1, 2)]
    assert (masks[0]["masked_lm_positions"] != masks[1]["masked_lm_positions"]).any()


def test_evaluation_masks_alike_every_time(unmasked_shards):
    first, second = (masked_batches(unmasked_shards, 5, is_training=False, batch_size=5)
                     for _ in range(2))
    assert_equal_batches(first, second)
    assert [len(batch["input_ids"]) for batch in first] == [5, 5, 5, 5, 3]
    positions = np.concatenate([batch["masked_lm_positions"] for batch in first])
    assert len(set(map(tuple, positions))) > 12
    assert (positions[:5] != positions[5:10]).any()
