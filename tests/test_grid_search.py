"""The grid: which trainings, what is said of them, refusals, what happens after it."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import grid_search
import tiny
from errors import UserError
from tuning import flags_of, prepare, run


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


def runs(*points):
    return [grid_search.Run(rate, seed, "", score) for rate, seed, score in points]


def test_table_gives_mean_and_sample_deviation():
    lines = grid_search.table(runs((1e-5, 1, 0.5), (1e-5, 2, 0.7), (1e-4, 1, 0.8)), "f1")
    assert lines.split("\n") == [
        "| learning rate | f1: mean ± deviation | runs |", "| --- | --- | --- |",
        "| 1e-05 | 0.6000 ± 0.1414 | 0.5000, 0.7000 |", "| 0.0001 | 0.8000 | 0.8000 |"]


def test_trains_every_point_and_predicts_with_the_best(here):
    output = run(here, learning_rates="1e-6,0.001", seeds="1,2", do_train=True, do_eval=True,
                 do_predict=True, num_train_epochs=3)
    with open(str(output / "grid.json"), encoding="utf-8") as stream:
        grid = json.load(stream)
    assert [(one["learning_rate"], one["seed"]) for one in grid["runs"]] == [
        (1e-6, 1), (1e-6, 2), (0.001, 1), (0.001, 2)]
    scores = [one["score"] for one in grid["runs"]]
    assert min(scores[2:]) > 0.8 > max(scores[:2])
    weights = [tiny.weights(tf.train.latest_checkpoint(one["directory"]))["output_weights"]
               for one in grid["runs"]]
    assert np.abs(weights[2] - weights[3]).max() > 0.01  # of two seeds
    best = grid["best"]
    assert best["score"] == max(scores) and best["learning_rate"] == 0.001
    assert os.path.exists(os.path.join(best["directory"], "test_results.tsv"))
    predicted = [name for name in os.listdir(str(output)) if os.path.exists(
        str(output / name / "test_results.tsv"))]
    assert predicted == [os.path.basename(best["directory"])]
    assert sorted(path.name.split("-")[0] for path in (output / "cache").iterdir()) == [
        "dev", "test", "train"]  # made once for all


@pytest.mark.parametrize("changes, message", [
    ({"learning_rates": "1e-5,x"}, "--learning_rates=1e-5,x: 'x' is not a number above 0"),
    ({"learning_rates": "1e-5,0"}, "'0' is not a number above 0"),
    ({"seeds": "1,1"}, "--seeds=1,1: '1' is not a whole number above 0 that comes once"),
    ({"seeds": "1,-2"}, "'-2' is not a whole number"),
    ({"seeds": "1", "do_eval": False}, "add --do_train and --do_eval"),
])
def test_refused(here, changes, message):
    flags = flags_of(here, **dict({"do_train": True, "do_eval": True}, **changes))
    with pytest.raises(UserError, match=message):
        grid_search.check_flags(flags)
