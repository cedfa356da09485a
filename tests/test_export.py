"""SavedModels of fine-tuned models: what they predict, and what is refused."""

import os
import types

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tiny
from finetuning import export
from finetuning.settings import Export
from tuning import prepare, run, texts


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("export"))


def probabilities(directory, inputs):
    """What the only SavedModel in a directory predicts for {name: int [B, S]}."""
    version, = os.listdir(str(directory))
    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.load(session, ["serve"], str(directory / version)).signature_def[
            "serving_default"]
        return session.run(signature.outputs["probabilities"].name, {
            signature.inputs[name].name: value for name, value in inputs.items()})


def test_predicts_as_the_command_does(here):
    output = run(here, do_train=True, do_eval=True, do_predict=True, train_step=2,
                 eval_every_steps=1, export_dir=here / "export", threshold_to_export=0.0)
    rows = [line.split("\t") for line in (output / "test_results.tsv").read_text().splitlines()]
    for number in (0, 5):
        text, _ = texts(70, 2)[number]
        ids = [2] + [5 + tiny.CHARACTERS.index(character) for character in text] + [3]
        padded = np.array([ids + [0, 0], ids + [0, 0]])
        found = probabilities(here / "export", {
            "input_ids": padded, "input_mask": (padded > 0).astype(int),
            "segment_ids": np.zeros_like(padded)})
        np.testing.assert_allclose(found, [[float(cell) for cell in rows[1 + number][2:]]] * 2,
                                   atol=1e-5)


def test_a_low_score_is_not_exported(here):
    run(here, do_eval=True, export_dir=here / "low", threshold_to_export=1.1)
    assert not (here / "low").exists()


@pytest.mark.parametrize("changes, message", [
    ({"output": "empty"}, "--export_dir needs a checkpoint in --output_dir"),
    ({"threshold_to_export": 0.5}, "--threshold_to_export=0.5 without a score; add --do_eval"),
])
def test_refused(here, changes, message):
    with pytest.raises(UserError, match=message):
        run(here, **dict({"export_dir": here / "refused"}, **changes))


def test_a_task_that_needs_its_texts():
    with pytest.raises(UserError, match="need its texts beside the tokens"):
        export.check(types.SimpleNamespace(pooled_only=False), Export("out"), do_eval=False)


@pytest.mark.slow
@pytest.mark.one_platform
@pytest.mark.parametrize("threshold, is_exported", [(0.0, True), (1.1, False)])
def test_the_best_run_of_a_grid_is_measured_by_the_threshold(here, threshold, is_exported):
    directory = here / ("of_grid_%s" % is_exported)
    run(here, do_train=True, do_eval=True, train_step=2, seeds="1,2", output="grid",
        export_dir=directory, threshold_to_export=threshold)
    assert directory.exists() == is_exported


def test_a_threshold_without_a_score_is_refused_before_training(here):
    with pytest.raises(UserError, match="--threshold_to_export=0.5 without a score; add --do_eval"):
        run(here, do_train=True, train_step=2, output="unscored", export_dir=here / "refused",
            threshold_to_export=0.5)
    assert not (here / "unscored").exists()
