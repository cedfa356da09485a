"""A budget of time: the rate, the end, and what a run that is killed and goes on has left."""

import functools
import re
import types

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import optimization
import run_pretraining
import tiny
from pretraining import held_out
from test_clusters import two_devices  # noqa: F401 - a fixture
from test_run_pretraining import prepare, run
from training import budget, checkpoints

HUNDRED = 100 / 3600  # hours


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


class Clock:
    """A clock that stands still, but for what a test adds."""

    seconds = 1e9

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    """A clock on which a step takes a second, and everything else no time."""
    clock, begin_step = Clock(), budget.Budget.begin_step

    def second_later(self):
        begin_step(self)
        clock.seconds += 1.0

    monkeypatch.setattr(budget.Budget.__init__, "__defaults__", (clock,))
    monkeypatch.setattr(budget.Budget, "begin_step", second_later)
    return clock


def used_of(output):
    """What the newest checkpoint says: its step, seconds used and kept."""
    prefix = checkpoints.latest(str(output))
    used, kept = tiny.weights(prefix)[budget.VARIABLE]
    return checkpoints.checkpoint_step(prefix), used, kept


def test_rate_follows_the_share_of_the_time_that_is_used():
    clock = Clock()
    allowance = budget.Budget(110, clock)
    allowance.keep(10)
    with tf.Graph().as_default(), tf.Session() as session:
        share, noted = allowance.graph()
        rate = optimization.create_learning_rate(share, 0.1, 1.0, 0.05)
        session.run(tf.global_variables_initializer())
        rates = []
        for seconds in (0, 2.5, 5, 50, 100, 105):
            clock.seconds = 1e9 + seconds
            allowance.begin_step()
            rates.append(session.run([rate, noted])[0])
        np.testing.assert_allclose(rates, [0, 0.05, 0.095, 0.05, 0, 0], atol=1e-7)
        assert session.run(tf.global_variables()[0]).tolist() == [105, 10]


def test_estimate_of_the_evaluation_gives_way_to_its_measure():
    allowance = budget.Budget(1000, Clock())
    allowance.keep(20)
    allowance.keep(30)
    assert allowance.kept == 30
    allowance.keep(7, is_measured=True)
    allowance.keep(30)
    assert allowance.kept == 7
    allowance.keep(900, is_measured=True)
    assert allowance.kept == 500


@pytest.mark.parametrize("records, kept, steps, warned", [
    (0, 0, 3 + 147, False), (320, 1 + 20, 3 + 144, False), (3200, 1 + 200, 3 + 114, True)])
def test_plans_and_keeps_time_for_the_evaluation(said, records, kept, steps, warned):
    """Half of the time before the first step, and a third of a step's for as many examples."""
    clock = Clock()
    allowance = budget.Budget(900, clock)
    hook = budget.BudgetHook(allowance, step_examples=32, eval_examples=records)
    hook._step, hook._first = 0, None

    def three_steps():
        for seconds in (2, 6, 6):
            hook.before_run(None)
            clock.seconds += seconds
            hook.after_run(types.SimpleNamespace(request_stop=pytest.fail), None)

    _, lines = said(three_steps)
    assert allowance.kept == pytest.approx(kept)
    assert "0.167 steps a second: about %d steps in all, as " % steps in lines[-1]
    assert warned == lines[0].startswith("warning: the evaluation at the end takes about 0:03:21 ")


def test_ends_on_time_at_rate_nearly_0(here, clock, said):
    """Fifty steps of a second, each with its share of the rate; then nothing is left."""
    options = {"budget_hours": HUNDRED / 2}
    output, lines = said(lambda: run_budget(here, **options))
    step, used, _ = used_of(output)
    assert (step, used) == (50, 50)
    assert "0:00:50 of the budget of 0:00:50 are used" in lines
    assert [line for line in lines if re.match("1 steps a second: about 50 steps in all", line)]
    _, lines = said(lambda: run_budget(here, **options))
    assert "out and the budget of time is used up: nothing is trained" in lines
    assert used_of(output)[0] == 50


def run_budget(here, output="out", **changes):
    """Trains with a budget of a hundred seconds, saving every ten steps."""
    values = dict({"input_file": here / "train.tfrecord", "eval_input_file": here / "dev.tfrecord",
                   "bert_config_file": here / "config.json", "output_dir": here / output,
                   "train_batch_size": 8, "save_checkpoints_steps": 10, "budget_hours": HUNDRED,
                   "amp": False},
                  **changes)
    defaults = {name: value for name, value in tiny.PRETRAINING.items()
                if name != "num_warmup_steps"}
    run_pretraining.main(tiny.parse(run_pretraining.define_flags, **dict(defaults, **values)))
    return here / output


@pytest.mark.slow
@pytest.mark.every_platform
@pytest.mark.usefixtures("two_devices")
def test_two_devices_have_one_clock(here, clock):
    output = run_budget(here, num_gpus=2, budget_hours=HUNDRED / 10)
    assert used_of(output)[:2] == (10, 10)


@pytest.mark.slow
def test_a_killed_run_spends_the_rest(here, clock, monkeypatch):
    """Killed at step 37, it goes on from step 30 and its 30 seconds; every evaluation takes 4."""
    evaluate = held_out.evaluate

    def slowly(*arguments, **options):
        clock.seconds += 4
        return evaluate(*arguments, **options)

    monkeypatch.setattr(held_out, "evaluate", slowly)
    with monkeypatch.context() as patched, pytest.raises(tiny.StopHere):
        tiny.stop_at(patched, 37)
        run_budget(here, save_checkpoints_steps=30)
    assert used_of(here / "out")[:2] == (30, 30)
    clock.seconds += 1e6  # the machine was off
    output = run_budget(here, do_eval=True, eval_every_steps=40, save_checkpoints_steps=30)
    step, used, kept = used_of(output)
    # Evaluated at step 40 and 80, each 4 seconds, and at the end, for which 4 are kept.
    assert (step, used, kept) == (88, 96, 4)


@pytest.mark.one_platform
def test_a_run_by_steps_cannot_go_on_by_time(here, clock):
    run(here, num_train_steps=1)
    with pytest.raises(UserError, match="model.ckpt-1 was trained by steps and does not say what "
                       "time it took; go on with --num_train_steps, or give it as --init_check"):
        run_budget(here)


@pytest.mark.parametrize("changes, message", [
    ({"num_train_steps": 5}, "--budget_hours=0.0277778 with --num_train_steps=5: a budget of time "
                             "chooses the steps itself"),
    ({"num_warmup_steps": 5}, r"its warmup is --warmup_proportion\); leave one of them out"),
    ({"budget_hours": 0}, "--budget_hours=0: expected a number above 0"),
    ({"do_train": False}, "--budget_hours=0.0277778 without --do_train: "),
    ({"use_tpu": True}, "--budget_hours=0.0277778 with --use_tpu: a budget of time is for the dev"),
])
def test_refused(here, changes, message):
    with pytest.raises(UserError, match=message):
        run_budget(here, **changes)
    with pytest.raises(UserError, match="--warmup_proportion=0.1 is a share of --budget_hours, wh"):
        run(here, warmup_proportion=0.1)


def test_one_layer_then_two(here, clock, said):
    """At 20 of 50 s the second stage; more hours, of which that were the first, keep two layers."""
    tiny.write_config(here / "config.json", num_hidden_layers=4)
    options = {"shallow_share": "0.2,0.6", "save_checkpoints_steps": 20, "keep_checkpoint_max": 9}
    output, lines = said(lambda: run_budget(here, budget_hours=HUNDRED / 2, **options))
    stages = [line for line in lines if "layer" in line]
    assert stages == ["with one layer up to 20% of the training",
                      "with 2 layers up to 60% of the training"]
    (output / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-20"\n')
    for path in output.glob("model.ckpt-[345]*"):
        path.unlink()
    output, lines = said(lambda: run_budget(here, budget_hours=HUNDRED * 2, **options))
    assert [line for line in lines if line.startswith("with ")] == stages[1:]
    assert used_of(output)[:2] == (200, 200)


def test_one_layer_first(here, clock, said):
    """Two fifths of the time; then both layers go on at the rate of the whole schedule."""
    tiny.write_config(here / "config.json", num_hidden_layers=2)
    options = {"budget_hours": HUNDRED / 2, "shallow_share": 0.4}
    output, lines = said(lambda: run_budget(here, **options))
    assert used_of(output)[:2] == (50, 50)
    told = [line for line in lines if re.search("layer|steps in", line)]
    assert told == [
        "with one layer up to 40% of the training",
        "1 steps a second: about 20 steps in this stage, as 0:00:18 of its 0:00:20 is left",
        "1 steps a second: about 50 steps in all, as 0:00:28 of the budget of 0:00:50 is left"]
    _, lines = said(lambda: run_budget(here, **options))
    assert "out and the budget of time is used up: nothing is trained" in lines
    # Of more hours 50 s are in the first stage; the run has left it behind and stays there.
    for hours, seconds in ((2 * HUNDRED, 200), (4 * HUNDRED, 400)):
        output, lines = said(functools.partial(
            run_budget, here, shallow_share=0.4, budget_hours=hours))
        assert not [line for line in lines if "one layer" in line]
        assert used_of(output)[:2] == (seconds, seconds)
