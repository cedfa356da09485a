"""Up to which step each training goes before an evaluation, and which models are passed over."""

import pytest

import tiny
from pretraining import held_out, inputs, learning_curve, stages, training_loop
from training import budget as budgets
from training import checkpoints, estimators, settings

NOTHING = inputs.Data([], None, None)


class Machine:
    """Stands for an Estimator and its directory; a training ends where it is told, or at `ends`."""

    def __init__(self, step, ends=None):
        self.step, self.ends, self.done = step, ends, []

    def latest_checkpoint(self):
        return self.step

    def train(self, estimator, input_fn, stop, paths, run, hooks):
        del estimator, paths, run
        assert input_fn == "from %d" % self.step
        self.done.append((self.step, stop))
        self.step = self.ends or stop
        for hook in hooks:
            hook._budget.seconds = 0.0

    def evaluate(self, *arguments):
        del arguments
        self.done.append(self.step)
        return {}


@pytest.fixture
def machine(monkeypatch):
    def create(*arguments, **values):
        made = Machine(*arguments, **values)
        monkeypatch.setattr(checkpoints, "latest", lambda directory: made.step)
        monkeypatch.setattr(checkpoints, "checkpoint_step", lambda prefix: prefix)
        monkeypatch.setattr(estimators, "train", made.train)
        monkeypatch.setattr(estimators, "write_results", lambda path, results: None)
        monkeypatch.setattr(held_out, "evaluate", made.evaluate)
        monkeypatch.setattr(inputs, "total_records", len)
        monkeypatch.setattr(learning_curve, "read", lambda directory: [])
        monkeypatch.setattr(learning_curve, "sentences", lambda *arguments: [])
        return made

    return create


def asked(tmp_path, trains=True, evaluates=True, **values):
    run = settings.Run(settings.Checkpointing(str(tmp_path)))
    return training_loop.Settings(
        inputs.Data(["a"], lambda first_step: "from %d" % first_step, None) if trains else NOTHING,
        inputs.Data(["b"], None, None) if evaluates else NOTHING, run, **values)


@pytest.mark.parametrize("step, values, expected", [
    (0, {}, [(0, 10), 10]),
    (0, {"eval_every_steps": 4}, [(0, 4), 4, (4, 8), 8, (8, 10), 10]),
    (5, {"eval_every_steps": 4}, [(5, 8), 8, (8, 10), 10]),
    (0, {"eval_every_steps": 4, "evaluates": False}, [(0, 10)]),
    (5, {"eval_every_steps": 4, "trains": False}, [5])])
def test_evaluations_on_the_way(machine, tmp_path, step, values, expected):
    estimator = machine(step)
    training_loop.train_and_evaluate(estimator, asked(tmp_path, **values), 10)
    assert estimator.done == expected


def test_a_budget_that_is_used_up_ends_the_training(machine, tmp_path):
    """Its last evaluation is still made, and its steps are not known before."""
    estimator = machine(0, ends=7)
    training_loop.train_and_evaluate(
        estimator, asked(tmp_path, eval_every_steps=4, budget=budgets.Budget(3600.0)), 10)
    assert estimator.done == [(0, 4), 7]
    estimator = machine(0, ends=7)
    training_loop.train_and_evaluate(estimator, asked(tmp_path, budget=budgets.Budget(3600.0)), 10)
    assert estimator.done == [(0, budgets.ENDLESS), 7]


@pytest.mark.parametrize("step, trains, expected", [
    (0, True, [(1, 2), (2, 6), (4, 10)]), (2, True, [(2, 6), (4, 10)]), (7, True, [(4, 10)]),
    (7, False, [])])
def test_models_that_are_done_are_passed_over(machine, tmp_path, step, trains, expected):
    parts = stages.planned(["0.2", "0.6"], tiny.config(num_hidden_layers=4), "c.json", ())
    estimator = machine(step)
    made = []

    def create(config):
        made.append(config.num_hidden_layers)
        return estimator

    training_loop.train_in_stages(
        parts, create, asked(tmp_path, trains, evaluates=False), num_train_steps=10)
    assert [(depth, stop) for depth, (_, stop) in zip(made, estimator.done)] == expected
    assert made[-1] == 4
