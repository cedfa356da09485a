"""What each family of tasks makes of an item, and of what the model computes for it.

    family = answers.create(package, top=5)
    rows = family.rows({"text": "长江很长", "text_b": None})   # features, one sequence each
    family.answer(fields, rows, outputs)                       # a dict, outputs one a row

Nothing here loads TensorFlow. Dimensions: S sequence, O outputs, P masks, V vocabulary.
"""

import re

from util.errors import UserError

import numpy as np

import tokenization
from interchange.tables import POSITIONS
from tasks import choice_windows, reading_answers, reading_windows

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


class Tagging(Family):
    """Entities with their characters in the text."""

    def __init__(self, package):
        super().__init__(package)
        from tasks import tagging_windows  # loads seqeval, which takes a second
        self._windows = tagging_windows

    def rows(self, fields):
        _, ends = self._units(fields["text"])
        return [dict(features, cut=0) for features in self._windows.windows(
            fields["text"], ends, self._tokenizer, self._package.max_seq_length)]

    def answer(self, fields, rows, outputs):
        text, tokens = fields["text"], []
        starts, ends = self._units(text)
        for row, logits in zip(rows, outputs):
            tokens += self._windows.labelled_tokens(
                row["first_units"], row["last_units"], logits.argmax(-1))
        return {"entities": [
            {"type": entity.type, "start": starts[entity.begin], "end": ends[entity.end - 1],
             "text": text[starts[entity.begin]:ends[entity.end - 1]]}
            for entity in self._windows.entities(tokens, self._package.labels)]}

    def _units(self, text):
        """Where what has a tag of its own starts and ends: words between white space if the model
        was trained on words, else characters."""
        if self._package.options["units"] == "words":
            spans = [match.span() for match in re.finditer(r"\S+", text)]
            return [start for start, _ in spans], [end for _, end in spans]
        return range(len(text)), range(1, len(text) + 1)


class Reading(Family):
    """The piece of a context that answers a question, or none where the model was trained so."""

    def __init__(self, package):
        super().__init__(package)
        options = package.options
        self._settings = reading_answers.Settings(
            options["n_best_size"], options["max_answer_length"], options["with_negative"])

    def rows(self, fields):
        options, question = self._package.options, fields["question"]
        cut = max(0, len(self._tokenizer.encode(question)) - options["max_query_length"])
        return [dict(features, cut=cut) for _, features in reading_windows.sequences(
            question, reading_windows.encode(fields["context"], self._tokenizer), self._tokenizer,
            self._package.max_seq_length, options["doc_stride"], options["max_query_length"])]

    def answer(self, fields, rows, outputs):
        windows = [reading_answers.bert_rows(logits, row, self._settings.n_best_size)
                   for row, logits in zip(rows, outputs)]
        spans, odds = reading_answers.bert_spans(fields["context"], {
            name: np.stack([window[name] for window in windows]) for name in windows[0]},
            self._settings)
        is_null = (self._settings.with_negative
                   and odds > self._package.options["null_score_diff_threshold"])
        chosen = (next(span for span in spans if not span.text) if is_null
                  else reading_answers.best_text(spans))
        probability = float(reading_answers.probabilities(spans)[spans.index(chosen)])
        has_text = bool(chosen.text)
        reply = {"answer": chosen.text, "start": chosen.begin if has_text else None,
                 "end": chosen.end if has_text else None, "probability": probability,
                 "score": reading_answers.score(chosen)}
        return dict(reply, no_answer_odds=odds) if self._settings.with_negative else reply


class Choice(Family):
    """One of several choices about a context."""

    def rows(self, fields):
        question = choice_windows.question_of(
            fields["context"] or "", fields["question"] or "", fields["choices"])
        options = self._package.options
        passage = len(choice_windows.passage_ids(question, self._tokenizer)[0])
        rows = []
        for choice, features in zip(question.choices, choice_windows.sequences(
                question, self._tokenizer, self._package.max_seq_length,
                options["max_qa_length"], options["fills_blanks"])):
            answer = len(self._tokenizer.encode(choice_windows.join(
                question.question, choice, options["fills_blanks"])))
            whole = passage + answer + (3 if answer else 2)
            rows.append(dict(features, cut=whole - len(features["input_ids"])))
        return rows

    def answer(self, fields, rows, outputs):
        shares = softmax(np.concatenate(outputs).astype(np.float64))
        chosen = int(shares.argmax())
        return {"choice": chosen, "text": fields["choices"][chosen],
                "probabilities": [float(share) for share in shares]}


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
    return {"classification": Classification, "tagging": Tagging, "reading": Reading,
            "choice": Choice}[package.head](package)
