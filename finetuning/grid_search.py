"""Grid search over learning rates and seeds, one training after another.

    run(train_once, task, settings)     # with --learning_rates=1e-5,1e-4 --seeds=1,2,3
"""

import collections
import math
import os
import statistics

from util import console, whole_files
from util.errors import UserError

from finetuning.settings import Export, Vectors
from training import checkpoints, estimators

# One training of the grid; `directory` holds its checkpoints and results. The score may be None; so
# may the loss, which only some tasks have: it decides between equal scores.
Run = collections.namedtuple("Run", "learning_rate seed directory score loss", defaults=(None,))


def run(train_once, task, settings):
    """Trains at every point of the grid; prints mean and deviation by rate, and the best run.

    When the same command is started again, finished points are only scored. A point whose loss
    becomes NaN has no score; the others go on. Predictions and vectors, if asked for, are those of
    the best run.

    Args:
      train_once: function of (task, finetuning.settings.Settings) -> {metric: number} on the dev
        file.
      settings: Settings with a grid.

    Raises:
      UserError: no point has a score.
    """
    runs, best, best_scores = [], None, {}
    for number, (rate, seed) in enumerate(settings.grid, 1):
        point = settings.at(rate, seed, os.path.join(
            settings.output_dir, "rate%g-seed%d" % (rate, seed)))
        console.say("== %d of %d: learning rate %g, seed %d", number, len(settings.grid), rate,
                    seed)
        try:
            scores = train_once(task, point._replace(
                do_predict=False, vectors=Vectors(), export=Export()))
        except estimators.Diverged as error:
            console.say("no score: %s", error)
            scores = {task.metric: math.nan}
        runs.append(Run(rate, seed, point.output_dir, _number(scores[task.metric]),
                        _number(scores.get("loss", math.nan))))
        if checkpoints.is_better(scores, best_scores, task.metric, task.larger_is_better):
            best, best_scores = runs[-1], scores
    whole_files.write_json(os.path.join(settings.output_dir, "grid.json"), {
        "metric": task.metric, "runs": [run._asdict() for run in runs],
        "best": best and best._asdict()})
    console.say("%s", table(runs, task.metric))
    if best is None:
        raise UserError("no point of the grid has a score (%s); use lower --learning_rates"
                        % task.metric)
    console.say("best: %s %.4f with learning rate %g, seed %d, in %s", task.metric, best.score,
                best.learning_rate, best.seed, best.directory)
    if settings.do_predict or settings.vectors.level or settings.export.directory:
        train_once(task, settings.at(best.learning_rate, best.seed, best.directory)._replace(
            do_train=False, do_eval=settings.export.has_threshold))


def _number(value):
    """A number as it is; None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value


def table(runs, metric):
    """[Run] -> Markdown: by learning rate the mean, the standard deviation and every score."""
    by_rate = collections.OrderedDict()
    for one in runs:
        by_rate.setdefault(one.learning_rate, []).append(one.score)
    lines = ["| learning rate | %s: mean ± deviation | runs |" % metric, "| --- | --- | --- |"]
    for rate, scores in by_rate.items():
        numbers = [score for score in scores if score is not None]
        spread = " ± %.4f" % statistics.stdev(numbers) if len(numbers) > 1 else ""
        lines.append("| %g | %s%s | %s |" % (
            rate, "%.4f" % statistics.mean(numbers) if numbers else "none", spread,
            ", ".join("none" if score is None else "%.4f" % score for score in scores)))
    return "\n".join(lines)
