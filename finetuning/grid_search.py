"""A grid of learning rates and seeds, one training after another, and what they come to.

    run(train_once, task, flags)        # with --learning_rates=1e-5,1e-4 --seeds=1,2,3
"""

import collections
import copy
import os
import statistics

from util import console, files
from util.errors import UserError

import tensorflow.compat.v1 as tf

from training import estimators

# One training of the grid; `directory` holds its checkpoints and results.
Run = collections.namedtuple("Run", "learning_rate seed directory score")


def define_flags():
    tf.flags.DEFINE_list("learning_rates", None, "Train once with each of these peak rates and of "
                         "--seeds, in directories of their own in OUTPUT_DIR.")
    tf.flags.DEFINE_list("seeds", None, "Train once with each of these seeds; see "
                         "--learning_rates.")


def is_asked(flags):
    return bool(flags.learning_rates or flags.seeds)


def check_flags(flags):
    """Refuses a grid that no score would come of, or that holds what are no numbers."""
    if not is_asked(flags):
        return
    if not (flags.do_train and flags.do_eval):
        raise UserError("--learning_rates and --seeds compare trainings; add --do_train and "
                        "--do_eval")
    if estimators.this_cluster():
        raise UserError("--learning_rates and --seeds with TF_CONFIG: a grid runs on one machine; "
                        "start a run for every point")
    if flags.init_checkpoint is None:
        console.say("no --init_checkpoint: the grid trains from random weights")
    _grid(flags)


def _grid(flags):
    """[(learning rate, seed)], without repetitions."""
    rates = _numbers("learning_rates", flags.learning_rates, float) or [flags.learning_rate]
    seeds = _numbers("seeds", flags.seeds, int) or [flags.seed]
    return [(rate, seed) for rate in rates for seed in seeds]


def _numbers(name, texts, kind):
    numbers = []
    for text in texts or ():
        try:
            number = kind(text)
        except ValueError:
            number = -1
        if number < 0 or number in numbers or (kind is float and not number):
            raise UserError("--%s=%s: %r is not a %s above 0 that comes once" % (
                name, ",".join(texts), text, "number" if kind is float else "whole number"))
        numbers.append(number)
    return numbers


def run(train_once, task, flags):
    """Trains at every point of the grid; prints mean and deviation by rate, and the best run.

    Points that are done are only scored again when the same command is started twice. What else
    the flags ask (predictions, features) is done by the best run.

    Args:
      train_once: function of (task, flags) -> {metric: number} on the dev file.
    """
    asked = copy.copy(flags)
    asked.do_predict, asked.export_features = False, None
    asked.cache_dir = flags.cache_dir or os.path.join(flags.output_dir, "cache")
    runs = []
    grid = _grid(flags)
    for number, (rate, seed) in enumerate(grid, 1):
        point = copy.copy(asked)
        point.learning_rate, point.seed = rate, seed
        point.output_dir = os.path.join(flags.output_dir, "rate%g-seed%d" % (rate, seed))
        console.say("== %d of %d: learning rate %g, seed %d", number, len(grid), rate, seed)
        scores = train_once(task, point)
        runs.append(Run(rate, seed, point.output_dir, scores[task.metric]))
    best = (max if task.larger_is_better else min)(runs, key=lambda run: run.score)
    text = table(runs, task.metric)
    files.write_json(os.path.join(flags.output_dir, "grid.json"), {
        "metric": task.metric, "runs": [run._asdict() for run in runs], "best": best._asdict()})
    console.say("%s\nbest: %s %.4f with learning rate %g, seed %d, in %s", text, task.metric,
                 best.score, best.learning_rate, best.seed, best.directory)
    if flags.do_predict or flags.export_features:
        chosen = copy.copy(flags)
        chosen.do_train = chosen.do_eval = False
        chosen.cache_dir = asked.cache_dir
        chosen.learning_rate, chosen.seed = best.learning_rate, best.seed
        chosen.output_dir = best.directory
        train_once(task, chosen)


def table(runs, metric):
    """[Run] -> Markdown: by learning rate the mean, the standard deviation and every score."""
    by_rate = collections.OrderedDict()
    for one in runs:
        by_rate.setdefault(one.learning_rate, []).append(one.score)
    lines = ["| learning rate | %s: mean ± deviation | runs |" % metric, "| --- | --- | --- |"]
    for rate, scores in by_rate.items():
        spread = " ± %.4f" % statistics.stdev(scores) if len(scores) > 1 else ""
        lines.append("| %g | %.4f%s | %s |" % (
            rate, statistics.mean(scores), spread, ", ".join("%.4f" % score for score in scores)))
    return "\n".join(lines)
