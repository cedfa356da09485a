"""Trains to the last step or the end of a budget, model after model, and evaluates on the way.

    settings = training_loop.Settings(training, evaluation, run, eval_every_steps=500)
    training_loop.train_in_stages(parts, create, settings, num_train_steps=2000)
"""

import itertools
import os
import typing

from util import console

from pretraining import held_out, inputs, learning_curve, recipes, stages
from training import budget as budgets
from training import checkpoints, estimators, hooks
from training.settings import Run

RESULTS_FILE = "eval_results.txt"


class Settings(typing.NamedTuple):
    """What a run of run_pretraining.py trains on, and how it is judged."""

    training: inputs.Data  # without paths: nothing is trained
    evaluation: inputs.Data  # without paths: nothing is evaluated
    run: Run
    eval_every_steps: int = 0  # 0: only at the end
    max_eval_steps: typing.Optional[int] = None  # batches an evaluation, at most; None: all
    baseline: typing.Optional[float] = None  # as in objectives.model_fn_builder
    budget: typing.Optional[budgets.Budget] = None  # None: the number of steps is given


def train_in_stages(parts, create, settings, num_train_steps):
    """train_and_evaluate of one model after the other, but for those that are done already.

    Args:
      parts: [stages.Stage].
      create: function of an AlbertConfig -> estimator.
      settings: Settings.
      num_train_steps: the last step; ignored with a budget.

    Returns:
      the last stage's estimator.
    """
    budget = settings.budget
    for stage in parts:
        until = round(stage.until * num_train_steps)
        if budget:
            budget.begin_stage(stage.until)
        if stage is not parts[-1]:
            step = checkpoints.checkpoint_step(
                checkpoints.latest(settings.run.checkpointing.output_dir))
            if not settings.training.paths or (
                    budget.is_used_up() if budget else step >= until):
                continue
            console.say("with %s up to %s of the training", stages.layers(stage.config),
                        "{:.0%}".format(stage.until))
        estimator = create(stage.config)
        train_and_evaluate(estimator, settings, until)
    if budget:
        console.say("%s of the budget of %s are used", *map(
            hooks.duration, (budget.used(), budget.seconds)))
    return estimator


def train_and_evaluate(estimator, settings, num_train_steps):
    """Trains to a step, or to the end of a budget's stage; evaluates on the way if asked, and then.
    """
    training, budget = settings.training, settings.budget
    for stop in _stops(estimator, settings, num_train_steps):
        if training.paths and not (budget and budget.is_used_up()):
            step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
            estimators.train(estimator, training.input_fn(first_step=step), stop, training.paths,
                             settings.run, _budget_hooks(settings))
        results = None
        if settings.evaluation.paths and estimators.is_chief():
            results = _evaluate(estimator, settings)
        if training.paths and estimators.is_chief():
            curve = learning_curve.read(settings.run.checkpointing.output_dir)
            for sentence in learning_curve.sentences(curve, results, settings.baseline):
                console.say("%s", sentence)
        if budget and budget.is_used_up():
            break


def _stops(estimator, settings, num_train_steps):
    """The steps up to which to train before an evaluation, the last one included."""
    is_evaluated = settings.training.paths and settings.evaluation.paths
    every = settings.eval_every_steps if is_evaluated else 0
    last = budgets.ENDLESS if settings.budget else num_train_steps
    step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
    first = step + every - step % every if every else last
    return itertools.chain(range(first, last, every or 1), [last])


def _evaluate(estimator, settings):
    """The results of held_out.evaluate, which become RESULTS_FILE; a budget learns what it takes.
    """
    run, evaluation, budget = settings.run, settings.evaluation, settings.budget
    began = budget and budget.used()
    results = held_out.evaluate(estimator, evaluation.paths, evaluation.input_fn,
                                run.batches.eval_batch_size, settings.max_eval_steps)
    estimators.write_results(
        os.path.join(run.checkpointing.output_dir, RESULTS_FILE), results)
    if budget:
        budget.keep(budget.used() - began, is_measured=True)
    return results


def _budget_hooks(settings):
    """The session hooks of a training with a budget; none without one."""
    if not settings.budget:
        return []
    batches = settings.run.batches
    examples = inputs.total_records(settings.evaluation.paths)
    return [budgets.BudgetHook(settings.budget, batches.step_examples, min(
        examples, (settings.max_eval_steps or examples) * batches.eval_batch_size))]


def say_passes(training, schedule, step_examples, budget=None):
    """Says how often a training reads its records, as soon as its number of steps is known."""
    num_records = inputs.described_records(training.paths)
    if not num_records:
        return

    def say(steps):
        console.say("%s", recipes.passes_sentence(
            steps * step_examples, num_records, training.masking))

    if budget:
        budget.when_planned(say)
    else:
        say(schedule.num_train_steps)
