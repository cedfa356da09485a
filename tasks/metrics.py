"""Scores as the benchmarks define them, from scikit-learn and SciPy; confusion as a table.

Dimensions: N examples, L labels.
"""

import unicodedata

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

SHOWN_LABELS = 20  # of a confusion matrix on a screen


def classification(labels, predicted):
    """int [N] twice -> accuracy, macro F1 and the accuracy of always saying the largest class.

    Macro F1 is scikit-learn's: the mean over the classes that occur among labels or predictions.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    return {
        "accuracy": float(sklearn_metrics.accuracy_score(labels, predicted)),
        "macro_f1": float(sklearn_metrics.f1_score(
            labels, predicted, average="macro", zero_division=0)),
        "majority_accuracy": float(np.bincount(labels).max() / len(labels)),
    }


def deviations_above_chance(labels, probabilities):
    """int [N], float [N, L] -> by how many standard deviations the labels are more probable than
    the same labels in another order.

    It is 0 ± 1 where the probabilities say nothing about the labels, whatever they are (mean and
    variance over all orders: Hoeffding 1951), and at most about the square root of N (L - 1).
    """
    count = len(labels)
    excess = np.asarray(probabilities, np.float64)
    of_labels = np.bincount(labels, minlength=excess.shape[1])
    excess = excess - excess.mean(0)
    excess -= excess.dot(of_labels)[:, np.newaxis] / count
    deviation = np.sqrt(np.square(excess).dot(of_labels).sum() / max(count - 1, 1))
    return float(excess[np.arange(count), labels].sum() / deviation) if deviation else 0.0


def matthews(labels, predicted):
    """int [N] twice -> Matthews' correlation coefficient, CoLA's score; 0 where undefined."""
    return {"matthews": float(sklearn_metrics.matthews_corrcoef(labels, predicted))}


def positive_f1(labels, predicted):
    """0 or 1 [N] twice -> F1 of the class 1 and its mean with the accuracy (MRPC, QQP in GLUE)."""
    f1 = float(sklearn_metrics.f1_score(labels, predicted, zero_division=0))
    accuracy = float(sklearn_metrics.accuracy_score(labels, predicted))
    return {"f1": f1, "accuracy_and_f1": (accuracy + f1) / 2}


def cross_entropy(labels, probabilities):
    """int [N], float [N, L] -> the mean of -log p(label)."""
    chosen = np.asarray(probabilities)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-30)).mean())


def multi_label(labels, predicted, probabilities):
    """0 or 1 [N, L] twice, float [N, L] -> F1 in three averages, subset accuracy and more.

    Macro F1 is scikit-learn's: the mean over all L labels, 0 for those that do not occur. An
    example that has no label and is given none counts as right (F1 of samples 1).
    """
    def f1(average, zero_division=0):
        return float(sklearn_metrics.f1_score(
            labels, predicted, average=average, zero_division=zero_division))

    right = np.where(labels, probabilities, 1.0 - probabilities)
    return {
        "micro_f1": f1("micro"),
        "macro_f1": f1("macro"),
        "samples_f1": f1("samples", zero_division=1),
        "subset_accuracy": float(sklearn_metrics.accuracy_score(labels, predicted)),
        "predicted_labels": float(np.sum(predicted, -1).mean()),
        "loss": float(-np.log(np.maximum(right, 1e-30)).mean()),
    }


def regression(labels, predicted):
    """float [N] twice -> Pearson's and Spearman's correlation, their mean, MSE and spreads.

    A correlation that is undefined, because one side is constant, is 0.
    """
    labels, predicted = np.asarray(labels, np.float64), np.asarray(predicted, np.float64)
    pearson = spearman = 0.0
    # Not the deviation, which is 1e-17 for [0.1, 0.1, 0.1].
    if np.ptp(labels) > 0.0 and 0.0 < np.ptp(predicted) < np.inf:
        pearson = float(stats.pearsonr(labels, predicted)[0])
        spearman = float(stats.spearmanr(labels, predicted)[0])
    if not np.isfinite(pearson + spearman):  # differences that vanish when they are squared
        pearson = spearman = 0.0
    return {
        "pearson": pearson,
        "spearman": spearman,
        "mean_correlation": (pearson + spearman) / 2,
        "loss": float(np.square(labels - predicted).mean()),
        "label_deviation": float(labels.std()),
        "predicted_deviation": float(predicted.std()),
    }


def confusion(labels, predicted, num_labels):
    """int [N] twice -> int [L, L], rows are labels and columns predictions."""
    return sklearn_metrics.confusion_matrix(labels, predicted, labels=list(range(num_labels)))


def confusion_report(names, matrix):
    """The confusion matrix and every class's precision, recall and F1 as aligned text.

    Of more than 20 labels the 20 most frequent are shown, which the first line says.
    """
    shown = _most_frequent(matrix.sum(1))
    header = "labels in rows, predictions in columns"
    if len(shown) < len(names):
        header += "; the %d most frequent of %d labels" % (len(shown), len(names))
    rows = [[""] + [_cut(names[column]) for column in shown] + ["precision", "recall", "f1"]]
    for row in shown:
        rows.append([_cut(names[row])] + ["%d" % count for count in matrix[row, shown]]
                    + _ratios(matrix[row, row], matrix[:, row].sum(), matrix[row].sum()))
    return header + "\n" + aligned(rows)


def label_report(names, labels, predicted):
    """0 or 1 [N, L] twice -> every label's count, precision, recall and F1 as aligned text."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    shown = _most_frequent(labels.sum(0))
    rows = [["", "examples", "predicted", "precision", "recall", "f1"]]
    for index in shown:
        right = (labels[:, index] * predicted[:, index]).sum()
        chosen, gold = predicted[:, index].sum(), labels[:, index].sum()
        rows.append([_cut(names[index]), "%d" % gold, "%d" % chosen]
                    + _ratios(right, chosen, gold))
    header = "every label"
    if len(shown) < len(names):
        header = "the %d most frequent of %d labels" % (len(shown), len(names))
    return header + "\n" + aligned(rows)


def _most_frequent(counts):
    """Indices of the labels to show, in their own order."""
    return sorted(np.argsort(-np.asarray(counts), kind="stable")[:SHOWN_LABELS])


def _ratios(right, chosen, gold):
    """Counts of a class -> precision, recall and F1 as text; "-" where undefined."""
    return ["%.3f" % (above / below) if below else "-"
            for above, below in ((right, chosen), (right, gold), (2 * right, chosen + gold))]


def aligned(rows):
    """Rows of texts -> lines with columns of equal width, the first to the left."""
    widths = [max(map(_width, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        spaces = [" " * (width - _width(text)) for width, text in zip(widths, row)]
        lines.append("  ".join([row[0] + spaces[0]] + [
            space + text for space, text in zip(spaces[1:], row[1:])]).rstrip())
    return "\n".join(lines)


def _width(text):
    """Columns of a terminal that a text takes: two for a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _cut(text, width=16):
    """A long text cut to a few columns."""
    if _width(text) <= width:
        return text
    while _width(text) >= width:
        text = text[:-1]
    return text + "…"
