"""What each family of tasks makes of an item, and of what the model computes for it.

    family = answers.create(package, top=5)
    rows = family.rows({"text": "长江很长", "text_b": None})   # features, one sequence each
    family.answer(fields, rows, outputs)                       # a dict, outputs one a row

Nothing here loads TensorFlow. Dimensions: S sequence, O outputs, P masks, V vocabulary.
"""

from util.errors import UserError

import numpy as np

import tokenization
from interchange.tables import POSITIONS

MASK = "[MASK]"


class Family(object):
    """The base of all.

    Args:
      package: serving.package.Package.
    """

    def __init__(self, package):
        self._package = package
        self._tokenizer = package.tokenizer

    def rows(self, fields):
        """{field: text} of items.fields -> a list of {feature: array}, one a sequence.

        Each has "input_ids" and "segment_ids" [S], and "cut", how many tokens did not fit.

        Raises:
          UserError: there is nothing to answer in the item.
        """
        raise NotImplementedError

    def answer(self, fields, rows, outputs):
        """The answer as a dict of what JSON can hold.

        Args:
          fields, rows: as of `rows`.
          outputs: an array for every row: logits [O], or [S, O] of a head on tokens.
        """
        raise NotImplementedError

    def _pack(self, first, second=None):
        """`tokenization.pack`, with "cut"."""
        features = tokenization.pack(first, second, self._tokenizer, self._package.max_seq_length)
        whole = len(first) + (len(second) + 3 if second else 2)
        return dict(features, cut=whole - len(features["input_ids"]))


class Classification(Family):
    """One label, several, or a number, of a text or a pair."""

    def rows(self, fields):
        second = fields["text_b"]
        return [self._pack(list(self._tokenizer.encode(fields["text"])),
                           None if second is None else list(self._tokenizer.encode(second)))]

    def answer(self, fields, rows, outputs):
        logits, labels = outputs[0].astype(np.float64), self._package.labels
        if self._package.kind == "regression":
            return {"value": float(logits[0])}
        if self._package.kind == "multi_label":
            shares = 1.0 / (1.0 + np.exp(-logits))
            return {"labels": [label for label, share in zip(labels, shares) if share > 0.5],
                    "probabilities": named(labels, shares)}
        shares = softmax(logits)
        return {"label": labels[int(np.argmax(shares))], "probabilities": named(labels, shares)}


class Words(Family):
    """The words for every [MASK], by a pre-trained model."""

    def __init__(self, package, top):
        super().__init__(package)
        self._top = top

    def rows(self, fields):
        second = fields["text_b"]
        features = self._pack(self._encode(fields["text"]),
                              None if second is None else self._encode(second))
        features[POSITIONS] = np.flatnonzero(features["input_ids"] == self._tokenizer.mask_id)
        if not len(features[POSITIONS]):
            raise UserError("no %s among the tokens that fit; a pre-trained model fills %s"
                            % (MASK, MASK))
        return [features]

    def _encode(self, text):
        ids = []
        for number, part in enumerate(text.split(MASK)):
            ids += ([self._tokenizer.mask_id] if number else []) + list(
                self._tokenizer.encode(part))
        return ids

    def answer(self, fields, rows, outputs):
        return {"masks": [self._words(logits) for logits in outputs[0]]}

    def _words(self, logits):
        shares = softmax(logits.astype(np.float64))
        best = np.argsort(-shares, kind="stable")[:self._top]
        return [(self._tokenizer.tokens[index], float(shares[index])) for index in best]


def softmax(logits):
    """float [O] -> float [O]."""
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def named(labels, shares):
    """{label: probability}."""
    return {label: float(share) for label, share in zip(labels, shares)}


def create(package, top):
    """The Family of a Package's head; `top`: how many words for a [MASK]."""
    if package.head is None:
        return Words(package, top)
    return {"classification": Classification}[package.head](package)
