"""The grid: which trainings, what is said of them, refusals, what happens after it."""

import contextlib
import json
import logging
import os

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tiny
from finetuning import command_line, grid_search
from training import estimators
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


class Task(object):
    metric = "f1"
    larger_is_better = True


def test_every_point_is_trained_and_the_best_one_predicts(here, monkeypatch):
    settings = command_line.settings(flags_of(
        here, learning_rates="1e-6,0.001", seeds="1,2", do_train=True, do_eval=True,
        do_predict=True))
    (here / "out").mkdir()
    seen = []

    def train_once(task, point):
        rate, seed = point.schedule.learning_rate, point.run.seed
        seen.append((rate, seed, point.do_train, point.do_predict,
                     os.path.basename(point.output_dir), point.cache_dir))
        return {"f1": {(1e-6, 1): 0.3, (1e-6, 2): 0.4, (0.001, 1): 0.9, (0.001, 2): 0.8}[
            rate, seed], "accuracy": 1.0}

    grid_search.run(train_once, Task, settings)
    cache = str(here / "out" / "cache")
    assert seen == [
        (1e-6, 1, True, False, "rate1e-06-seed1", cache),
        (1e-6, 2, True, False, "rate1e-06-seed2", cache),
        (0.001, 1, True, False, "rate0.001-seed1", cache),
        (0.001, 2, True, False, "rate0.001-seed2", cache),
        (0.001, 1, False, True, "rate0.001-seed1", cache)]
    grid = json.loads((here / "out" / "grid.json").read_text())
    assert grid["best"]["score"] == 0.9 and grid["best"]["directory"].endswith("rate0.001-seed1")
    monkeypatch.setattr(Task, "larger_is_better", False)
    grid_search.run(train_once, Task, settings)
    assert seen[-1][:2] == (1e-6, 1)


@pytest.mark.parametrize("losses, best", [
    ({1: 0.6, 2: 0.4, 3: 0.5}, 2), ({1: np.nan, 2: 0.4, 3: 0.5}, 2), ({}, 1)])
@pytest.mark.parametrize("larger_is_better", [True, False])
def test_of_equal_scores_the_lowest_loss_is_best(here, monkeypatch, losses, best, larger_is_better):
    monkeypatch.setattr(Task, "larger_is_better", larger_is_better)

    def train_once(task, point):
        seed = point.run.seed
        return dict({"f1": 0.7}, **({"loss": losses[seed]} if losses else {}))

    grid_search.run(train_once, Task, command_line.settings(flags_of(
        here, seeds="1,2,3", do_train=True, do_eval=True)))
    grid = json.loads((here / "out" / "grid.json").read_text())
    assert grid["best"]["seed"] == best
    losses = {seed: loss for seed, loss in losses.items() if not np.isnan(loss)}
    assert [one["loss"] for one in grid["runs"]] == [losses.get(seed) for seed in (1, 2, 3)]


@pytest.mark.parametrize("failing, scores, best", [
    ({1e-6}, [None, 0.7], 0.7), ({0.001}, [0.7, None], 0.7), ({1e-6, 0.001}, [None, None], None)])
def test_a_point_that_diverges_is_a_row(here, caplog, failing, scores, best):
    settings = command_line.settings(flags_of(
        here, learning_rates="1e-6,0.001", do_train=True, do_eval=True))

    def train_once(task, point):
        if point.schedule.learning_rate in failing:
            raise estimators.Diverged("the loss is NaN at step 3")
        return {"f1": 0.7}

    with caplog.at_level(logging.INFO, "albert"), contextlib.ExitStack() as stack:
        if best is None:
            stack.enter_context(pytest.raises(UserError, match="no point of the grid has a score"))
        grid_search.run(train_once, Task, settings)
    assert caplog.messages.count("no score: the loss is NaN at step 3") == len(failing)
    grid = json.loads((here / "out" / "grid.json").read_text())
    assert [one["score"] for one in grid["runs"]] == scores
    assert (grid["best"] and grid["best"]["score"]) == best


def test_table_of_points_without_a_score():
    lines = grid_search.table(runs((1e-5, 1, 0.5), (1e-5, 2, None), (1e-4, 1, None)), "f1")
    assert lines.split("\n")[2:] == [
        "| 1e-05 | 0.5000 | 0.5000, none |", "| 0.0001 | none | none |"]


@pytest.mark.slow
@pytest.mark.one_platform
def test_a_small_grid_from_end_to_end(here):
    output = run(here, seeds="1,2", do_train=True, do_eval=True, do_predict=True, train_step=2)
    grid = json.loads((output / "grid.json").read_text())
    assert [(one["learning_rate"], one["seed"]) for one in grid["runs"]] == [(0.001, 1), (0.001, 2)]
    weights = [tiny.weights(tf.train.latest_checkpoint(one["directory"]))["output_weights"]
               for one in grid["runs"]]
    assert np.abs(weights[0] - weights[1]).max() > 0.01  # of two seeds
    predicted = [name for name in os.listdir(str(output)) if os.path.exists(
        str(output / name / "test_results.tsv"))]
    assert predicted == [os.path.basename(grid["best"]["directory"])]
    assert sorted(path.name.split("-")[0] for path in (output / "cache").glob("*.tfrecord")) == [
        "dev", "test", "train"]  # made once for all


@pytest.mark.parametrize("changes, message", [
    ({"learning_rates": "1e-5,x"}, "--learning_rates=1e-5,x: 'x' is not a number above 0"),
    ({"learning_rates": "1e-5,0"}, "'0' is not a number above 0"),
    ({"learning_rates": "1e-5,nan"}, "'nan' is not a number above 0"),
    ({"learning_rates": "inf"}, "'inf' is not a number above 0"),
    ({"seeds": "100000000000000000000"}, "is not a whole number from 0"),
    ({"seeds": "1,1"}, "--seeds=1,1: '1' is not a whole number from 0, or is repeated"),
    ({"seeds": "1,-2"}, "'-2' is not a whole number"),
    ({"seeds": "1", "do_eval": False}, "add --do_train and --do_eval"),
])
def test_refused(here, changes, message):
    flags = flags_of(here, **dict({"do_train": True, "do_eval": True}, **changes))
    with pytest.raises(UserError, match=message):
        command_line.settings(flags)
