"""An evaluation on held-out records: how many of them, and its numbers.

    results = held_out.evaluate(estimator, paths, input_fn, batch_size=64)
    results["masked_lm_perplexity"], results["eval_records"]
"""

import math

from util import console

from pretraining import inputs
from training import estimators


def evaluate(estimator, paths, input_fn, batch_size, max_steps=None):
    """Evaluates the newest checkpoint; says over how many records.

    Args:
      paths: record files.
      input_fn: over them, of inputs.pretraining_input_fn.
      batch_size: its batches'.
      max_steps: batches, at most; None: all records.

    Returns:
      {name: number}: losses and accuracies over all predictions, and over all sentence pairs, of
      the records; `masked_lm_perplexity`; how many `eval_records` and `eval_predictions` they were.
    """
    total = inputs.total_records(paths)
    steps = -(-total // batch_size)
    with estimators.damage_named(paths):
        results = estimator.evaluate(input_fn, steps=min(steps, max_steps or steps))
    results = completed(results)
    console.say("evaluated on %s of %s held-out records, %s predictions%s",
                *("{:,}".format(number) for number in (
                    results["eval_records"], total, results["eval_predictions"])),
                "" if results["eval_records"] == total else " (--max_eval_steps=%d)" % max_steps)
    return results


def completed(results):
    """What an Estimator returns -> the results.

    Its loss is a mean over batches; this one is over predictions and pairs, as its two parts are.
    """
    loss = results["masked_lm_loss"]
    return dict(
        results, loss=loss + results["sentence_order_loss"],
        masked_lm_perplexity=math.exp(min(loss, 700)),
        **{name: int(round(float(results[name]))) for name in ("eval_records", "eval_predictions")})
