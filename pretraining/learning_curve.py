"""Where a pre-training stands, in words, from its event files and its evaluation.

    curve = learning_curve.read(output_dir)
    for sentence in learning_curve.sentences(curve, results, baseline): console.say("%s", sentence)
"""

import contextlib
import math
import os
import typing

import numpy as np
import tensorflow.compat.v1 as tf

from training import hooks

# Points of the curve, one every hundred steps, whose mean is compared.
WINDOW = 5
# An estimate is of the last three doublings of the steps, if there are so many points. On the last
# half alone most of the fall would be that of the rate.
SPAN, FEWEST = 8, 20
# Times the accuracy of guessing: a window of training batches, some thousand predictions, is above
# it only when the plateau is left.
OFF_PLATEAU = 1.3


class Point(typing.NamedTuple):
    """The values of one training step."""
    step: int
    loss: float      # masked LM
    accuracy: float  # masked LM


def read(directory):
    """The Points in the event files of a directory; of a step that was repeated, the last."""
    points = {}
    for path in sorted(tf.gfile.Glob(os.path.join(directory, "events.out.tfevents.*"))):
        # The last event of a run that was killed may be cut off.
        with contextlib.suppress(tf.errors.DataLossError):
            for event in tf.train.summary_iterator(path):
                values = {value.tag: value.simple_value for value in event.summary.value}
                if "masked_lm_loss" in values and "masked_lm_accuracy" in values:
                    points[event.step] = Point(
                        event.step, values["masked_lm_loss"], values["masked_lm_accuracy"])
    return [points[step] for step in sorted(points)]


def sentences(curve, results, baseline):
    """Lines that say where the run stands.

    Args:
      curve: Points.
      results: of held_out.evaluate, or None without an evaluation.
      baseline: the accuracy of guessing (inputs.guessing_accuracy), or None.
    """
    lines = []
    if baseline:
        lines += masked_lm_sentence(curve, results, baseline)
    if results:
        lines.append(order_sentence(results["sentence_order_accuracy"], results["eval_records"]))
    return lines + forecast_sentence(curve)


def masked_lm_sentence(curve, results, baseline):
    """[a line on the masked words]; [] where nothing is known."""
    if results:
        accuracy, of = results["masked_lm_accuracy"], "held-out predictions"
    elif len(curve) >= WINDOW:
        accuracy, of = np.mean([point.accuracy for point in curve[-WINDOW:]]), "training batches"
    else:
        return []
    line = "masked words: %.3f right (%s), guessing and copying what is not masked gives %.3f" % (
        accuracy, of, baseline)
    if accuracy <= hooks.AT_BASELINE * baseline:
        return [line + ": at the level of guessing by word frequency, nothing of context yet"]
    step = end_of_plateau(curve, baseline)
    return [line + ("; left that plateau at about step {:,}".format(step) if step else "")]


def end_of_plateau(curve, baseline):
    """The step from which on the accuracy stays above guessing; None if it always or never was."""
    means = np.convolve([point.accuracy for point in curve], np.ones(WINDOW) / WINDOW, "valid") if (
        len(curve) >= WINDOW) else np.zeros(0)
    below = np.flatnonzero(means <= OFF_PLATEAU * baseline)
    if not len(below) or below[-1] == len(means) - 1:
        return None
    return curve[below[-1] + WINDOW].step


def order_sentence(accuracy, count):
    """Whether the accuracy on so many pairs is beyond chance, by its 95 % interval."""
    half = 1.96 * math.sqrt(0.25 / count)
    return "sentence order: %.3f of %s pairs right, %s chance (0.500 ± %.3f)" % (
        accuracy, "{:,}".format(count),
        "still at" if abs(accuracy - 0.5) <= half else
        "beyond" if accuracy > 0.5 else "worse than", half)


def forecast_sentence(curve):
    """[a line on what longer training would give]; [] where the points are too few."""
    late = [point for point in curve if curve and point.step >= curve[-1].step / SPAN]
    if len(late) < FEWEST:
        return []
    logs, losses = np.log([point.step for point in late]), [point.loss for point in late]
    (slope, level), covariance = np.polyfit(logs, losses, 1, cov=True)
    error = 2 * math.sqrt(covariance[0][0])
    now = level + slope * logs[-1]
    line = ("estimate, from a line over the logarithm of the last %d logged steps: the masked-LM "
            "loss of the training, now %.2f, " % (len(late), now))
    if slope + error >= 0:
        return [line + "does not fall beyond its noise"]
    return [line + "would be %s" % ", ".join(
        "%.2f ± %.2f after %s as long" % (
            now + slope * math.log(times), error * math.log(times), word)
        for times, word in ((2, "twice"), (4, "four times")))]
