"""Where a run stands, in words."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from pretraining import learning_curve
from pretraining.learning_curve import Point


def write_events(directory, points, cut=0):
    """Event files as the Estimator writes them, an event a Point; `cut` bytes are lost at the end.
    """
    writer = tf.summary.FileWriter(str(directory))
    writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag="examples/sec", simple_value=3)]), 7)
    for point in points:
        writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag="masked_lm_loss", simple_value=point.loss),
            tf.Summary.Value(tag="masked_lm_accuracy", simple_value=point.accuracy)]), point.step)
    writer.close()
    path, = directory.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:len(content) - cut])
    return path


def test_a_killed_run_and_its_resumption_are_one_curve(tmp_path):
    """The last event was cut off, and what came after the checkpoint was done again."""
    first, second = tmp_path / "1", tmp_path / "2"
    for directory in (first, second):
        directory.mkdir()
    write_events(first, [Point(100, 6.0, 0.0), Point(200, 5.0, 0.5), Point(300, 9.0, 0.0)], cut=3)
    write_events(second, [Point(200, 4.5, 0.25), Point(300, 4.0, 0.5)]).rename(
        first / "events.out.tfevents.9999999999.later")
    assert learning_curve.read(str(first)) == [
        Point(100, 6.0, 0.0), Point(200, 4.5, 0.25), Point(300, 4.0, 0.5)]


@pytest.mark.parametrize("leaves_at, found", [(1000, 1000), (None, None), (0, None)])
def test_end_of_the_plateau(leaves_at, found):
    """Within the noise of a batch; a run that never was on it has not left it."""
    rng = np.random.RandomState(1)
    curve = [Point(step, 5.0, rng.uniform(0.04, 0.06) if leaves_at is None or step < leaves_at
                   else 0.25) for step in range(0, 3000, 100)]
    step = learning_curve.end_of_plateau(curve, baseline=0.05)
    assert step == found if found is None else abs(step - found) <= 200
    assert learning_curve.end_of_plateau(curve[:3], 0.05) is None


def test_words_on_the_masked_words():
    flat = [Point(step, 5.0, 0.05) for step in range(0, 1000, 100)]
    results = {"masked_lm_accuracy": 0.052}
    assert learning_curve.masked_lm_sentence(flat, results, 0.05) == [
        "masked words: 0.052 right (held-out predictions), guessing and copying what is not "
        "masked gives 0.050: at the level of guessing by word frequency, nothing of context yet"]
    curve = flat + [Point(step, 4.0, 0.3) for step in range(1000, 2000, 100)]
    line, = learning_curve.masked_lm_sentence(curve, None, 0.05)
    assert line.startswith("masked words: 0.300 right (training batches), guessing and copying ")
    assert line.endswith("gives 0.050; left that plateau at about step 1,000")
    assert learning_curve.masked_lm_sentence([], None, 0.05) == []


@pytest.mark.parametrize("accuracy, word", [(0.515, "still at"), (0.516, "beyond"),
                                            (0.485, "still at"), (0.484, "worse than")])
def test_words_on_the_order(accuracy, word):
    assert learning_curve.order_sentence(accuracy, 4096) == (
        "sentence order: %.3f of 4,096 pairs right, %s chance (0.500 ± 0.015)" % (accuracy, word))


def test_estimate_is_of_a_line_over_the_logarithm():
    """7 - 0.5 log(step): 0.35 less after twice as long, within the error that is said."""
    rng = np.random.RandomState(2)
    curve = [Point(step, 7 - 0.5 * np.log(step) + rng.normal(0, 0.05), 0.3)
             for step in range(100, 10100, 100)]
    line, = learning_curve.forecast_sentence(curve)
    assert line.startswith("estimate, from a line over the logarithm of the last 88 logged steps: ")
    now, twice, error = (float(line.split(word)[1].split()[0].rstrip(","))
                         for word in ("now ", "be ", "± "))
    assert now == pytest.approx(7 - 0.5 * np.log(10000), abs=0.03)
    assert now - twice == pytest.approx(0.5 * np.log(2), abs=error) and 0.005 < error < 0.05
    noise = [Point(step, 5 + rng.normal(0, 0.1), 0.1) for step in range(100, 10100, 100)]
    assert learning_curve.forecast_sentence(noise)[0].endswith("does not fall beyond its noise")
    assert learning_curve.forecast_sentence(curve[:20]) == []
    assert learning_curve.forecast_sentence([]) == []
