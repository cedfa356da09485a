"""Prediction targets: one label, several labels, or a number; and the weights of labels in a loss.

Dimensions: B batch, N examples, L labels, O outputs of the task's layer.
"""

import collections
import math
import unicodedata

from util import text_lines
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

from tasks import metrics
from tasks.base import Feature

SHOWN_LABELS = 30  # of a list of counts
# The value of --class_weights that stands for the inverse of the labels' frequencies.
BALANCED = "balanced"
_WEIGH = "weigh rare labels (--class_weights=balanced)"
_LEARNT = 3.0  # standard deviations above chance: once in 700 models that know nothing
_REMEDIES = ("try another --learning_rate (often a lower one), train longer "
             "(--num_train_epochs)%s, and check that --init_checkpoint is a pre-trained model")


class OneLabel(object):
    """One of L labels: softmax; a label is its index.

    Attributes of every target:
      name: in run.json; None for this one.
      metric: the score that decides where the row names none.
      has_labels: whether there is a list of labels.
      can_be_weighted: whether --class_weights make sense.
      labels: the labels' texts, in the order of the outputs.
      size: O, the outputs of the head.
      feature: the Feature of an example's label.
    """

    name, metric = None, "accuracy"
    has_labels = can_be_weighted = True

    def __init__(self, dataset, labels):
        self.labels, self.size = labels, len(labels)
        self.feature = Feature((), tf.int32)
        self._extra_scores = dataset.extra_scores
        self._ids = _ids(dataset, labels)

    @staticmethod
    def texts(cell, separator, location):
        """The labels' texts in a cell of a file, or a UserError."""
        del separator
        if isinstance(cell, list):
            raise UserError("%s: the label is a list %r, expected one; files of your own whose "
                            "examples have several are read with --multi_label" % (location, cell))
        if not cell:
            raise UserError("%s: an empty label; every line needs one, correct it%s"
                            % (location, text_lines.OR_SKIP))
        return [cell]

    def read(self, cell, location):
        """A cell of a file -> the label, or a UserError."""
        return self._id_of(self.texts(cell, None, location)[0], location)

    def is_known(self, cell):
        """Whether a cell holds a label."""
        try:
            self.read(cell, None)
        except UserError:
            return False
        return True

    def _id_of(self, text, location):
        if text not in self._ids:
            raise UserError("%s: unknown label %r, expected one of %s"
                            % (location, text, some(self.labels)))
        return self._ids[text]

    def chosen(self, labels):
        """The indices of the labels that examples have, a set."""
        return set(labels)

    def counts(self, labels):
        """How often each label occurs, as text: "labels: no 320, yes 318"."""
        return "labels: " + self._listed(collections.Counter(labels))

    def _listed(self, counter):
        shown = sorted(range(self.size), key=lambda label: -counter[label])[:SHOWN_LABELS]
        texts = ["%s %d" % (self.labels[label], counter[label]) for label in sorted(shown)]
        return ", ".join(texts) + (
            "" if len(shown) == self.size else " and %d rarer ones" % (self.size - len(shown)))

    def doubts(self, labels):
        """Yields sentences on training labels that look like another column, or like misspellings.
        """
        counter = collections.Counter(labels)
        once = [label for label, count in sorted(counter.items()) if count == 1]
        if 2 * len(once) > len(counter) and len(labels) >= 10:
            yield ("%d of %d labels occur once, as %s; is it the right column?" % (
                len(once), len(counter), some([self.labels[label] for label in once[:3]])))
        yield from alike(self.labels)

    def array(self, label):
        """A label, or None for an unknown one, as a feature."""
        return np.array([label or 0], np.int32)

    def losses(self, logits, labels):
        """float [B, O], the labels' features -> float [B]."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.reshape(labels, [-1]), logits=logits)

    def weights(self, class_weights, labels):
        """float [L], the labels' features -> the weight of every example, float [B]."""
        return tf.gather(tf.constant(class_weights, tf.float32), tf.reshape(labels, [-1]))

    def predictions(self, logits):
        """float [B, O] -> {name: [B, ...]}."""
        return {"probabilities": tf.nn.softmax(logits)}

    def score(self, labels, predictions):
        """The labels of N examples, their predictions -> {metric: number}."""
        probabilities = np.asarray(predictions["probabilities"])
        predicted = probabilities.argmax(-1)
        scores = metrics.classification(labels, predicted)
        scores["loss"] = metrics.cross_entropy(labels, probabilities)
        scores["deviations_above_chance"] = metrics.deviations_above_chance(labels, probabilities)
        for extra in self._extra_scores:
            scores.update(extra(labels, predicted))
        return scores

    def warning(self, scores, is_weighted=False):
        """A sentence about scores that show that nothing was learnt, else None.

        Args:
          is_weighted: labels had different weights in the loss, which costs accuracy on purpose.
        """
        has_learnt = scores["deviations_above_chance"] > _LEARNT
        if scores["majority_accuracy"] == 1.0 or has_learnt and is_weighted or (
                scores["accuracy"] > scores["majority_accuracy"] + 1e-9):
            return None
        finding = ("accuracy %.4f is not above %.4f, that of always saying the most frequent label"
                   % (scores["accuracy"], scores["majority_accuracy"]))
        if has_learnt:
            return ("%s, yet the labels are more probable than in another order, by %.1f standard "
                    "deviations: the model has learnt which examples are likelier to have rarer "
                    "labels, but seldom finds these the likeliest; %s" % (
                        finding, scores["deviations_above_chance"], _WEIGH))
        return "%s: the model has learnt nothing; %s" % (
            finding, _REMEDIES % ("" if is_weighted else ", " + _WEIGH))

    def confusion(self, labels, predictions):
        """(the labels' texts, int [L, L]), or None for other targets."""
        return list(self.labels), metrics.confusion(
            labels, np.asarray(predictions["probabilities"]).argmax(-1), self.size)

    def report(self, labels, predictions):
        """Text for people, or None."""
        return metrics.confusion_report(*self.confusion(labels, predictions))

    def errors(self, labels, predictions):
        """Yields (index, {column: text}) of the examples that were predicted wrongly."""
        for index, (label, row) in enumerate(zip(labels, predictions["probabilities"])):
            predicted = int(np.argmax(row))
            if predicted != label:
                yield index, {"label": self.labels[label], "predicted": self.labels[predicted],
                              "probability": "%.6f" % row[predicted]}

    def columns(self):
        """Names of the columns that `table` gives beside the label."""
        return ["probability_%s" % label for label in self.labels]

    def table(self, predictions):
        """Yields (predicted label as text, [further cells]) of every example."""
        for row in predictions["probabilities"]:
            yield self.labels[int(np.argmax(row))], ["%.6f" % value for value in row]


class SeveralLabels(OneLabel):
    """Any number of L labels: a sigmoid each, threshold 0.5; a label is a tuple of indices."""

    name, metric = "multi_label", "micro_f1"
    can_be_weighted = False

    def __init__(self, dataset, labels):
        super().__init__(dataset, labels)
        self.feature = Feature((len(labels),), tf.float32)
        self._separator = dataset.separator

    @staticmethod
    def texts(cell, separator, location):
        parts = cell if isinstance(cell, list) else cell.split(separator)
        return [part.strip() for part in parts if part.strip()]

    def read(self, cell, location):
        return tuple(sorted({self._id_of(text, location)
                             for text in self.texts(cell, self._separator, location)}))

    def chosen(self, labels):
        return {index for label in labels for index in label}

    def counts(self, labels):
        listed = self._listed(collections.Counter(index for label in labels for index in label))
        return "labels: %s; %d examples have none" % (listed, labels.count(()))

    def doubts(self, labels):
        return super().doubts([index for label in labels for index in label])

    def array(self, label):
        return self._indicators([label or ()])[0].astype(np.float32)

    def losses(self, logits, labels):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.reshape(labels, [-1, self.size]), logits=logits), -1)

    def predictions(self, logits):
        return {"probabilities": tf.sigmoid(logits)}

    def score(self, labels, predictions):
        return metrics.multi_label(self._indicators(labels), self._predicted(predictions),
                                   np.asarray(predictions["probabilities"], np.float64))

    def warning(self, scores, is_weighted=False):
        if scores["predicted_labels"]:
            return None
        return ("no label of any example has a probability above 0.5: the model has learnt nothing "
                "yet; %s" % (_REMEDIES % ""))

    def confusion(self, labels, predictions):
        return None

    def report(self, labels, predictions):
        return metrics.label_report(
            self.labels, self._indicators(labels), self._predicted(predictions))

    def errors(self, labels, predictions):
        predicted = self._predicted(predictions)
        wrong = np.flatnonzero((self._indicators(labels) != predicted).any(-1))
        for index in wrong:
            row = predictions["probabilities"][index]
            columns = sorted(set(labels[index]) | set(np.flatnonzero(predicted[index])))
            yield int(index), {
                "label": self._text(labels[index]),
                "predicted": self._text(np.flatnonzero(predicted[index])),
                "probability": self._separator.join(
                    "%s %.6f" % (self.labels[column], row[column]) for column in columns)}

    def table(self, predictions):
        for chosen, row in zip(self._predicted(predictions), predictions["probabilities"]):
            yield self._text(np.flatnonzero(chosen)), ["%.6f" % value for value in row]

    def _indicators(self, labels):
        """Tuples of indices -> 0 or 1 [N, L]."""
        indicators = np.zeros([len(labels), self.size], np.int32)
        for row, label in zip(indicators, labels):
            row[list(label)] = 1
        return indicators

    def _predicted(self, predictions):
        return (np.asarray(predictions["probabilities"]) > 0.5).astype(np.int32)

    def _text(self, indices):
        return self._separator.join(self.labels[index] for index in indices)


class Number(OneLabel):
    """A number, as similarity from 0 to 5: squared error; a label is a float."""

    name, metric = "regression", "mean_correlation"
    has_labels = can_be_weighted = False

    def __init__(self, dataset, labels):
        super().__init__(dataset, labels)
        self.size = 1
        self.feature = Feature((), tf.float32)

    def is_known(self, cell):
        return cell != "-1" and super().is_known(cell)

    def chosen(self, labels):
        return set()  # any number may be predicted

    def counts(self, labels):
        return "labels from %g to %g, %g in the mean" % (
            min(labels), max(labels), sum(labels) / len(labels))

    def doubts(self, labels):
        if min(labels) == max(labels):
            yield ("all labels are the number %g, so no correlation is defined; is it the right "
                   "column?" % labels[0])

    def read(self, cell, location):
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise UserError("%s: label %r, expected a number; is it the right column?"
                            % (location, cell))
        return number

    def array(self, label):
        return np.array([label or 0.0], np.float32)

    def losses(self, logits, labels):
        return tf.square(tf.squeeze(logits, -1) - tf.reshape(labels, [-1]))

    def predictions(self, logits):
        return {"values": tf.squeeze(logits, -1)}

    def score(self, labels, predictions):
        return metrics.regression(labels, predictions["values"])

    def warning(self, scores, is_weighted=False):
        if scores["label_deviation"] < 1e-12:
            return ("all labels are the same number, so no correlation is defined; evaluate on a "
                    "file with different ones")
        if scores["predicted_deviation"] > 0.02 * scores["label_deviation"] and (
                scores["pearson"] > 0.0):
            return None
        return ("the predictions (standard deviation %.4f, that of the labels %.4f, correlation "
                "%.4f) say nothing about the labels: the model has learnt nothing; %s" % (
                    scores["predicted_deviation"], scores["label_deviation"], scores["pearson"],
                    _REMEDIES % ""))

    def confusion(self, labels, predictions):
        return None

    def report(self, labels, predictions):
        return None

    def errors(self, labels, predictions):
        """Those farther off than the root of the mean squared error, the farthest first."""
        off = np.abs(np.asarray(predictions["values"], np.float64) - np.asarray(labels))
        for index in np.argsort(-off, kind="stable"):
            if off[index] > math.sqrt(np.square(off).mean()):
                yield int(index), {"label": "%g" % labels[index],
                                   "predicted": "%.6f" % predictions["values"][index],
                                   "error": "%.6f" % off[index]}

    def columns(self):
        return []

    def table(self, predictions):
        for value in predictions["values"]:
            yield "%.6f" % value, []


def _ids(dataset, labels):
    """{a label's text: its index}, other spellings among them."""
    ids = {label: index for index, label in enumerate(labels)}
    ids.update((other, ids[label]) for other, label in dataset.aliases.items() if label in ids)
    return ids


def alike(labels):
    """Yields sentences on labels that differ only in form."""
    by_form = collections.OrderedDict()
    for text in labels:
        by_form.setdefault(_form(text), []).append(text)
    for texts in by_form.values():
        if len(texts) > 1:
            yield ("the labels %s differ only in form and are trained as %d classes; write them "
                   "alike if they are one" % (some(list(map(repr, texts))), len(texts)))


def _form(text):
    """What labels that differ only in form have in common: " Sport" and "sport", "1.0" and "1"."""
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    try:
        return float(plain)
    except ValueError:
        return plain


def some(labels):
    """A list of labels as text, cut where it is very long."""
    shown = ", ".join(labels[:30])
    return shown if len(labels) <= 30 else "%s and %d more" % (shown, len(labels) - 30)


def balanced_weights(counts):
    """Counts of L labels -> weights in inverse proportion whose mean over the examples is 1.

    As scikit-learn's "balanced". A label without examples has no effect, and the weight 1.
    """
    counts = np.asarray(counts, np.float64)
    present = counts > 0
    return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 1.0)


def class_weights(given, target):
    """What --class_weights says -> None, BALANCED or a list of positive numbers, one a label."""
    given = [given] if isinstance(given, str) else list(given or [])
    if not given:
        return None
    if not target.can_be_weighted:
        raise UserError("--class_weights: only for one label an example, not for several labels "
                        "or a number; leave it out")
    if given == [BALANCED]:
        return BALANCED
    try:
        weights = [float(weight) for weight in given]
    except ValueError:
        weights = []
    are_positive = all(0 < weight < float("inf") for weight in weights)
    if len(weights) != len(target.labels) or not are_positive:
        raise UserError("--class_weights=%s: expected %d positive numbers, for the labels %s, or "
                        "%s" % (",".join(map(str, given)), len(target.labels),
                                ", ".join(target.labels), BALANCED))
    return weights
