"""Scores with values worked out by hand; the confusion matrix as text."""

import itertools

import numpy as np
import pytest

from tasks import metrics

# scikit-learn has another version on each.
pytestmark = pytest.mark.every_platform


def test_classification():
    scores = metrics.classification([0, 0, 0, 1], [0, 0, 1, 1])
    assert scores["accuracy"] == scores["majority_accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_deviations_above_chance_are_over_all_orders_of_the_labels():
    labels = [2, 0, 2, 0, 2, 1]
    probabilities = np.random.RandomState(1).dirichlet([1, 1, 1, 1], len(labels))
    chosen = probabilities[np.arange(len(labels)), list(itertools.permutations(labels))].sum(1)
    expected = (chosen[0] - chosen.mean()) / chosen.std()  # the first order is the one given
    assert abs(expected) > 0.1
    assert metrics.deviations_above_chance(labels, probabilities) == pytest.approx(expected)


def test_the_same_probabilities_are_not_above_chance():
    assert metrics.deviations_above_chance([0, 1, 1], [[0.5, 0.5]] * 3) == 0.0
    assert metrics.deviations_above_chance([0], [[0.25, 0.75]]) == 0.0


def test_macro_f1_is_the_mean_over_the_classes_that_occur():
    assert metrics.classification([0, 1], [0, 1])["macro_f1"] == 1.0
    assert metrics.classification([0, 1, 1], [0, 1, 2])["macro_f1"] == pytest.approx(
        (1 + 2 / 3 + 0) / 3)


def test_cross_entropy():
    assert metrics.cross_entropy([0, 1], [[1.0, 0.0], [0.5, 0.5]]) == pytest.approx(np.log(2) / 2)


def test_matthews():
    # tp 2, tn 1, fp 1, fn 1: (2 * 1 - 1 * 1) / sqrt(3 * 3 * 2 * 2)
    assert metrics.matthews([1, 1, 1, 0, 0], [1, 1, 0, 0, 1])["matthews"] == pytest.approx(1 / 6)
    assert metrics.matthews([1, 0, 1], [1, 1, 1]) == {"matthews": 0.0}


def test_f1_of_the_positive_class():
    assert metrics.positive_f1([1, 1, 1, 0, 0], [1, 1, 0, 0, 1]) == pytest.approx(
        {"f1": 2 / 3, "accuracy_and_f1": (0.6 + 2 / 3) / 2})
    assert metrics.positive_f1([1, 1], [0, 0])["f1"] == 0.0


def test_multi_label():
    labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    probabilities = np.array([[0.9, 0.1, 0.2], [0.2, 0.8, 0.3], [0.1, 0.2, 0.3]])
    scores = metrics.multi_label(labels, (probabilities > 0.5).astype(int), probabilities)
    assert scores["subset_accuracy"] == pytest.approx(2 / 3)
    assert scores["micro_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert scores["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores["samples_f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)  # nothing of nothing is right
    assert scores["predicted_labels"] == pytest.approx(2 / 3)
    right = [0.9, 0.1, 0.8, 0.8, 0.8, 0.7, 0.9, 0.8, 0.7]
    assert scores["loss"] == pytest.approx(-np.log(right).mean())


def test_regression():
    scores = metrics.regression([1, 2, 3, 4], [1, 2, 3, 40])
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 3, 4], [1, 2, 3, 40])[0, 1])
    assert scores["mean_correlation"] == pytest.approx((scores["pearson"] + 1) / 2)
    assert scores["loss"] == 36 ** 2 / 4


@pytest.mark.parametrize("labels, predicted", [
    ([1, 2, 3], [2, 2, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [1, np.nan, 2]), ([1], [1]),
    ([0.1] * 3, [1, 2, 3]), ([1, 2, 3], [0.1] * 3), ([1, 2], [1, np.inf])])
def test_undefined_correlations_are_0(labels, predicted):
    scores = metrics.regression(labels, predicted)
    assert (scores["pearson"], scores["spearman"], scores["mean_correlation"]) == (0, 0, 0)


def test_confusion_as_text():
    matrix = metrics.confusion([0, 0, 0, 1, 2], [0, 0, 1, 1, 0], 3)
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert metrics.confusion_report(["a", "体育", "c"], matrix).split("\n") == [
        "labels in rows, predictions in columns",
        "      a  体育  c  precision  recall     f1",
        "a     2     1  0      0.667   0.667  0.667",
        "体育  0     1  0      0.500   1.000  0.667",
        "c     1     0  0          -   0.000  0.000"]


def test_the_most_frequent_labels_are_shown():
    names = ["label%d" % index for index in range(30)]
    matrix = np.diag(np.arange(1, 31))
    lines = metrics.confusion_report(names, matrix).split("\n")
    assert lines[0] == ("labels in rows, predictions in columns; the 20 most frequent of 30 labels")
    assert [line.split()[0] for line in lines[2:]] == names[10:]
    assert len(lines[1].split()) == 20 + 3


def test_labels_as_text():
    labels = np.array([[1, 1], [0, 1], [0, 1]])
    assert metrics.label_report(["red", "blue"], labels, np.array([[1, 0], [0, 1], [1, 1]])).split(
        "\n")[1:] == [
            "      examples  predicted  precision  recall     f1",
            "red          1          2      0.500   1.000  0.667",
            "blue         3          2      1.000   0.667  0.800"]


def test_long_names_are_cut():
    table = metrics.confusion_report(["一" * 20, "b" * 16], np.eye(2, dtype=int))
    assert "一" * 7 + "…" in table and "一" * 8 not in table and "b" * 16 in table
