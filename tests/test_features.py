"""Features and their cache, and batches of similar length that hold what they should."""

import collections
import shutil

from util import tfrecords

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_classifier
import tiny
from finetuning import command_line, harness
from finetuning import features as featurizing
from tasks import base
from training import estimators
from training.settings import Schedule
from tuning import flags_of, prepare, texts, write_tsv

FEATURES = dict(base.SEQUENCE, **featurizing.INDEX_FEATURES)


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


def asked(here, **changes):
    """(task, config, tokenizer, Settings) of a run that predicts."""
    flags = flags_of(here, do_predict=True, **changes)
    settings = command_line.settings(flags)
    task = run_classifier.create_task(flags)
    task.setup()
    return (task,) + harness.load(settings.inputs) + (settings,)


def split_of(here, name="dev", **changes):
    task, _, tokenizer, settings = asked(here, **changes)
    return featurizing.Split(task, name, tokenizer, harness.feature_settings(settings))


def batches_of(input_fn, count=None):
    """The first `count` batches, or all."""
    with tf.Graph().as_default(), tf.Session() as session:
        following = tf.data.make_one_shot_iterator(input_fn({})).get_next()
        found = []
        while count is None or len(found) < count:
            try:
                found.append(session.run(following))
            except tf.errors.OutOfRangeError:
                break
    return found


def test_one_pass_holds_every_example_once_and_little_padding(here):
    batches = batches_of(split_of(here, eval_batch_size=7).input_fn())
    assert [len(batch["window"]) for batch in batches] == [7] * 12 + [6]
    by_window = {}
    for batch in batches:
        longest = batch["lengths"].max()
        assert batch["input_ids"].shape == (len(batch["window"]), longest)
        assert batch["lengths"].max() - batch["lengths"].min() <= 1
        np.testing.assert_array_equal(batch["input_mask"].sum(-1), batch["lengths"])
        np.testing.assert_array_equal(batch["input_ids"] > 0, batch["input_mask"] > 0)
        by_window.update(zip(batch["window"], batch["input_ids"]))
    ids = {character: 5 + index for index, character in enumerate(tiny.CHARACTERS)}
    for number, (text, _) in enumerate(texts(90, 1)):
        assert by_window[number][:len(text) + 2].tolist() == (
            [2] + [ids[character] for character in text] + [3])


def test_batches_in_order(here):
    batches = batches_of(split_of(here, eval_batch_size=7).input_fn(in_order=True))
    assert [sorted(batch["window"]) for batch in batches] == [
        list(range(begin, min(begin + 7, 90))) for begin in range(0, 90, 7)]


def epochs(here, count, **changes):
    """[windows of every batch] of `count` epochs of 640 examples, 40 batches each."""
    split = split_of(here, "train", **changes)
    return [batch["window"].tolist() for batch in batches_of(
        split.training_input_fn(), 40 * count)]


def test_training_sees_every_example_once_an_epoch_in_ever_new_company(here):
    batches = epochs(here, 3)
    for begin in (0, 40, 80):
        assert sorted(sum(batches[begin:begin + 40], [])) == list(range(640))
    together = [{frozenset(pair) for batch in batches[begin:begin + 40] for pair in zip(
        sorted(batch), sorted(batch)[1:])} for begin in (0, 40)]
    # Of 600 neighbours few meet again: two of one length do by chance in one of six batches.
    assert len(together[0] & together[1]) < 150


def test_order_of_batches_says_nothing_of_length(here):
    split = split_of(here, "train")
    batches = batches_of(split.training_input_fn(), 400)
    lengths = np.array([batch["lengths"].mean() for batch in batches])
    assert abs(np.corrcoef(np.arange(400), lengths)[0, 1]) < 0.15
    assert abs(np.corrcoef(lengths[1:], lengths[:-1])[0, 1]) < 0.25
    padded = np.mean([1 - batch["input_mask"].mean() for batch in batches])
    assert padded < 0.04  # 0.19 where batches are drawn at random


@pytest.mark.parametrize("first_step", [1, 9, 10, 57])
def test_a_resumed_run_reads_what_an_uninterrupted_one_would(here, first_step):
    split = split_of(here, "train")
    whole = batches_of(split.training_input_fn(), first_step + 12)[first_step:]
    resumed = batches_of(split.training_input_fn(first_step), 12)
    for expected, found in zip(whole, resumed):
        np.testing.assert_array_equal(found["window"], expected["window"])


@pytest.mark.parametrize("full_length", [False, True])
def test_no_tuner_runs_that_the_end_of_an_epoch_would_wait_for(here, full_length):
    task, _, tokenizer, settings = asked(here)
    split = featurizing.Split(task, "train", tokenizer, harness.feature_settings(
        settings)._replace(full_length=full_length))
    for input_fn in (split.training_input_fn(), split.input_fn(), split.input_fn(in_order=True)):
        with tf.Graph().as_default():
            assert not tiny.is_tuned(input_fn({}))


def test_another_seed_is_another_order(here):
    assert epochs(here, 1)[0] != epochs(here, 1, seed=2)[0]


@pytest.mark.slow
def test_same_predictions_as_with_full_padding(here, groups_of_lengths):
    length = 32
    task, config, tokenizer, settings = asked(here, eval_batch_size=7, max_seq_length=length)
    reading = harness.feature_settings(settings)
    split = featurizing.Split(task, "dev", tokenizer, reading)
    padded = featurizing.Split(task, "dev", tokenizer, reading._replace(full_length=True))
    estimator = estimators.create(harness.model_fn_builder(
        task, config, settings.run, Schedule(5e-5, 1, 0)), settings.run)
    estimator.train(split.training_input_fn(), max_steps=1)
    found = [harness.predict(estimator, one, None)["probabilities"]
             for one in (split, padded)]
    assert found[0].shape == (90, 2) and found[0].std(0).min() > 1e-3
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert {batch["input_ids"].shape[1] for batch in batches_of(padded.input_fn())} == {length}


def loss_and_gradients(here, batch):
    """Of the task on a batch, with weights that depend on their names only."""
    task, config, _, settings = asked(here)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        features = {name: tf.constant(value) for name, value in batch.items()}
        model = harness.create_model(config, features, False, settings.run.devices)
        loss = tf.reduce_mean(task.build(config, model, features, False)[0])
        gradients = tf.gradients(loss, tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        return session.run([loss] + [tf.convert_to_tensor(value) for value in gradients])


def test_same_gradients_as_with_full_padding(here, groups_of_lengths):
    batch = batches_of(split_of(here, "train").training_input_fn(), 1)[0]
    missing = 32 - batch["input_ids"].shape[1]
    assert missing > 10
    padded = {name: np.pad(value, [(0, 0), (0, missing)]) if value.ndim == 2 else value
              for name, value in batch.items()}
    short, long = loss_and_gradients(here, batch), loss_and_gradients(here, padded)
    assert len(short) > 20
    for found, expected in zip(short, long):
        np.testing.assert_allclose(
            found, expected, rtol=1e-5, atol=1e-5 * max(np.abs(expected).max(), 1e-3))


def written_choices(path):
    """Two examples, of two choices and of three."""
    features = dict(base.CHOICES, **featurizing.INDEX_FEATURES)
    arrays = [{"input_ids": [[2, 7, 3], [2, 3, 0]], "segment_ids": [[0] * 3] * 2, "lengths": [3, 2],
               "example": [0], "window": [0]},
              {"input_ids": [[2, 3, 0, 0], [2, 9, 8, 3], [2, 5, 3, 0]],
               "segment_ids": [[0] * 4] * 3, "lengths": [2, 4, 3], "example": [1], "window": [1]}]
    tfrecords.write(str(path), (tfrecords.serialize(
        {name: np.ravel(value) for name, value in one.items()}) for one in arrays))
    return features


def test_choices_are_padded_to_the_most_and_the_longest(tmp_path):
    features = written_choices(tmp_path / "f.tfrecord")
    batch, = batches_of(lambda _: featurizing.sorted_batches(
        tf.data.TFRecordDataset(str(tmp_path / "f.tfrecord")).map(featurizing.parser(features)),
        features, 2, 1))
    assert batch["window"].tolist() == [0, 1]
    assert batch["lengths"].tolist() == [[3, 2, 0], [2, 4, 3]]
    assert batch["input_ids"].tolist() == [
        [[2, 7, 3, 0], [2, 3, 0, 0], [0] * 4], [[2, 3, 0, 0], [2, 9, 8, 3], [2, 5, 3, 0]]]
    assert batch["input_mask"].tolist() == [
        [[1, 1, 1, 0], [1, 1, 0, 0], [0] * 4], [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]]
    assert featurizing.full_shapes(features, 9, 4) == {
        "input_ids": [4, 9], "segment_ids": [4, 9], "lengths": [4], "example": [], "window": []}


def test_windows_know_their_example(here, monkeypatch):
    task_class = type(run_classifier.create_task(flags_of(here)))
    featurize = task_class.featurize

    def twice(self, example, tokenizer, max_seq_length):
        for features in featurize(self, example, tokenizer, max_seq_length):
            yield features
            yield features

    monkeypatch.setattr(task_class, "featurize", twice)
    split = split_of(here)
    assert split.num_windows == 180 and len(split.examples) == 90
    places = collections.OrderedDict()
    for batch in batches_of(split.input_fn()):
        places.update(zip(batch["window"], batch["example"]))
    assert [places[window] for window in range(180)] == [window // 2 for window in range(180)]


def cached(here, **changes):
    """The features' file of the dev split, made when absent."""
    return split_of(here, cache_dir=here / "cache", **changes).path


def test_features_are_made_anew_when_anything_changes(here, monkeypatch):
    first = cached(here)
    assert cached(here) == cached(here, output="elsewhere") == first
    moved = here / "moved"
    moved.mkdir()
    for name in ("train.tsv", "dev.tsv"):
        shutil.copy(str(here / name), str(moved / name))
    assert cached(here, data_dir=moved) == first
    paths = [first, cached(here, max_seq_length=12), cached(here, do_lower_case=False),
             cached(here, labels="yes,no"), cached(here, text_b_column="label")]
    characters = tiny.CHARACTERS[1:] + tiny.CHARACTERS[:1]
    tiny.write_vocab(here / "vocab.txt", characters)
    paths.append(cached(here))
    write_tsv(here / "dev.tsv", texts(90, 3))
    paths.append(cached(here))
    monkeypatch.setattr(featurizing, "code_version", lambda task, tokenizer: "another")
    paths.append(cached(here))
    assert len(set(paths)) == 8
    assert sorted(paths) == sorted(str(path) for path in (here / "cache").glob("*.tfrecord"))


@pytest.mark.parametrize("ending", ["", ".json"])
def test_a_truncated_cache_is_made_anew(here, caplog, ending):
    caplog.set_level("INFO", "albert")
    path = cached(here)
    with open(path + ending, "rb") as stream:
        content = stream.read()
    with open(path + ending, "rb+") as stream:
        stream.truncate(len(content) // 2)
    assert cached(here) == path
    with open(path + ending, "rb") as stream:
        assert stream.read() == content
    assert "%s is damaged: the features are made anew" % path in caplog.text
