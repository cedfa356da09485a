"""Scores as the benchmarks define them, from scikit-learn."""

import numpy as np
from sklearn import metrics as sklearn_metrics


def classification(labels, predicted, num_labels):
    """int [N] twice -> accuracy, macro F1 and the accuracy of always saying the largest class."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    return {
        "accuracy": float(sklearn_metrics.accuracy_score(labels, predicted)),
        "macro_f1": float(sklearn_metrics.f1_score(
            labels, predicted, labels=list(range(num_labels)), average="macro", zero_division=0)),
        "majority_accuracy": float(np.bincount(labels).max() / len(labels)),
    }


def cross_entropy(labels, probabilities):
    """int [N], float [N, L] -> the mean of -log p(label)."""
    chosen = np.asarray(probabilities)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-30)).mean())
