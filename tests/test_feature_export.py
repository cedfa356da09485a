"""Exported vectors are those of the model, example by example."""

import collections
import json

from util import console
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tiny
from finetuning import feature_export
from finetuning.settings import Vectors
from tasks import base
from tuning import prepare, run, texts


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A directory with a trained model in "out"."""
    here = prepare(tmp_path_factory.mktemp("export"))
    tiny.write_config(here / "config.json")
    run(here, do_train=True, train_step=2)
    return here


def vectors(checkpoint, number):
    """The layers' outputs [1, S, H] and the pooled output [1, H] of a text of the test file."""
    text, _ = texts(70, 2)[number]
    ids = [2] + [5 + tiny.CHARACTERS.index(character) for character in text] + [3]
    with tf.Graph().as_default(), tf.Session() as session:
        model = modeling.AlbertModel(tiny.config(), False, tf.constant([ids]), scope="bert")
        tf.train.Saver().restore(session, checkpoint)
        return session.run([model.get_all_encoder_layers(), model.get_pooled_output()])


@pytest.mark.one_platform
@pytest.mark.parametrize("where", ["output", pytest.param("init", marks=pytest.mark.slow)])
def test_vectors_of_sentences(here, where):
    checkpoint = tf.train.latest_checkpoint(str(here / "out"))
    if where == "init":
        output = run(here, "other", export_features="sentence", init_checkpoint=checkpoint,
                     eval_batch_size=8)
    else:
        output = run(here, export_features="sentence", eval_batch_size=8)
    pooled, mean = (np.load(str(output / ("test_%s.npy" % name))) for name in ("sentence", "mean"))
    assert pooled.shape == mean.shape == (70, 16) and pooled.dtype == np.float32
    for number in (0, 1, 9, 69):
        layers, expected = vectors(checkpoint, number)
        np.testing.assert_allclose(pooled[number], expected[0], atol=1e-5)
        np.testing.assert_allclose(mean[number], layers[-1][0].mean(0), atol=1e-5)


def test_a_text_in_several_windows_has_one_row(tmp_path):
    """It is the mean over the windows; the others are as they are alone."""
    batches = [{"example": np.array([1, 0]), "window": np.array([1, 0]),
                "sentence": np.array([[2.0], [5.0]], np.float32),
                "mean": np.array([[4.0], [6.0]], np.float32)},
               {"example": np.array([1]), "window": np.array([2]),
                "sentence": np.array([[4.0]], np.float32), "mean": np.array([[8.0]], np.float32)}]
    Example = collections.namedtuple("Example", "id")
    with console.progress(total=3) as bar:
        paths = feature_export._write_sentences(
            batches, str(tmp_path / "test"), [Example("a"), Example(7)], None, bar)
    assert [path.rsplit("_")[-1] for path in paths] == ["mean.npy", "sentence.npy", "ids.txt"]
    assert np.load(paths[0]).tolist() == [[6.0], [6.0]]
    assert np.load(paths[1]).tolist() == [[5.0], [3.0]]
    assert (tmp_path / "test_ids.txt").read_text() == "a\n7\n"


@pytest.mark.slow
@pytest.mark.one_platform
def test_vectors_of_tokens(here):
    output = run(here, export_features="token", feature_layers="-1,-2", eval_batch_size=8)
    lines = (output / "test_tokens.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [(record["linex_index"], record["id"], record["window"]) for record in records] == [
        (number, "test-%d" % (number + 1), 0) for number in range(70)]
    for number in (0, 11):
        features = records[number]["features"]
        assert [one["token"] for one in features] == (
            ["[CLS]"] + list(texts(70, 2)[number][0]) + ["[SEP]"])
        layers, _ = vectors(tf.train.latest_checkpoint(str(output)), number)
        assert [one["index"] for one in features[0]["layers"]] == [-1, -2]
        for place in (-1, -2):
            found = [one["layers"][-place - 1]["values"] for one in features]
            np.testing.assert_allclose(found, layers[place][0], atol=1e-5)


@pytest.mark.parametrize("changes, message", [
    ({"feature_layers": "-3"}, "--feature_layers=-3: expected numbers from -2 to -1"),
    ({"feature_layers": "last"}, "--feature_layers=last: expected numbers"),
    ({"output": "empty"}, "out.* holds no checkpoint|empty holds no checkpoint and "
                          "--init_checkpoint is missing"),
])
def test_refused(here, changes, message):
    with pytest.raises(UserError, match=message):
        run(here, **dict({"export_features": "token"}, **changes))


def test_choices_are_refused():
    class Choices(object):
        features = base.CHOICES

    with pytest.raises(UserError, match="several sequences each"):
        feature_export.check(Choices(), Vectors("token"), 2)
