"""Answers to a question from the logits of its windows, without TensorFlow; see reading_heads.py.

    rows = bert_rows(logits, features, settings.n_best_size)       # of a window
    spans, odds = bert_spans(context, rows_of_all_windows, settings)

Dimensions: S sequence, K best starts of a window, E best ends of a window or of a start, W windows
of a question.
"""

import collections
import typing

import numpy as np

MASKED = -10000.0  # what the logit of a token that cannot be chosen is lowered by, as in attention


class Settings(typing.NamedTuple):
    """What heads are made of; each reads what it needs."""

    n_best_size: int = 20
    max_answer_length: int = 30                # tokens
    with_negative: bool = False                # whether questions may have no answer
    start_n_top: int = 5                       # K, of google_v2
    end_n_top: int = 5                         # E of each of them
    dropout: typing.Optional[float] = None     # None: as the head's original code


# The candidates of a question's windows at one end of the answer, [W, K, 1], [W, 1, E] or
# [W, K, E]. tokens: positions, -1 where there is no candidate; characters: in the context.
Side = collections.namedtuple("Side", "logits tokens characters")
# An answer: context[begin:end] without white space around it; "" and two 0 for "no answer".
Span = collections.namedtuple("Span", "text begin end start_logit end_logit")


def score(span):
    """What answers are ordered by."""
    return span.start_logit + span.end_logit


def best_spans(context, starts, ends, settings, keep_empty=False):
    """The best Spans of the windows of a question, no text twice.

    Args:
      starts, ends: a Side each.
      settings: Settings.
      keep_empty: whether white space is an answer too, the empty one.
    """
    is_span = ((starts.tokens >= 0) & (ends.tokens >= starts.tokens)
               & (ends.tokens < starts.tokens + settings.max_answer_length))
    starts, ends = (Side(*(np.broadcast_to(values, is_span.shape) for values in side))
                    for side in (starts, ends))
    scores = starts.logits + ends.logits
    order = np.argsort(-scores[is_span], kind="stable")
    answers = collections.OrderedDict()
    for span in map(tuple, np.argwhere(is_span)[order]):
        begin, end = int(starts.characters[span]), int(ends.characters[span])
        text = context[begin:end].strip()
        if (text or keep_empty) and text not in answers:
            begin = context.index(text, begin)
            answers[text] = Span(text, begin, begin + len(text), float(starts.logits[span]),
                                 float(ends.logits[span]))
            if len(answers) == settings.n_best_size:
                break
    return list(answers.values())


def probabilities(spans):
    """Softmax over the scores of Spans, the best first."""
    scores = np.array([score(span) for span in spans])
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


# ---- BERT's head ----

def bert_rows(logits, features, k):
    """What reading_heads.Bert predicts for a window, without TensorFlow.

    Args:
      logits: float [S, 2], of the output layer.
      features: of reading_windows.sequences.
      k: K.

    Returns:
      {name: [2] or [K]}.
    """
    mask = features["context_mask"]
    rows = {"null_logits": logits[0]}
    for side, name, is_candidate in ((0, "start", mask > 1), (1, "end", mask > 0)):
        values = np.where(is_candidate, logits[:, side], np.float32(MASKED))
        tokens = np.argsort(-values, kind="stable")[:k]
        nothing = k - len(tokens)
        rows[name + "_logits"] = np.pad(values[tokens], (0, nothing), "constant",
                                        constant_values=MASKED)
        rows[name + "_tokens"] = np.pad(np.where(is_candidate[tokens], tokens, -1), (0, nothing),
                                        "constant", constant_values=-1)
        rows[name + "_chars"] = np.pad(features["char_%ss" % name][tokens], (0, nothing),
                                       "constant")
    return rows


def bert_spans(context, rows, settings):
    """(Spans, the best first; odds of "no answer") of a question.

    The first answer without text is "no answer", which stands among the others where questions may
    have none and where no other was found. The odds are the difference in score between it and the
    best other one.

    Args:
      rows: {name: [W, ...]}, the predictions of its windows.
      settings: Settings.
    """
    starts, ends = (Side(*(np.expand_dims(rows[side + name], axis)
                           for name in ("_logits", "_tokens", "_chars")))
                    for side, axis in (("start", 2), ("end", 1)))
    spans = best_spans(context, starts, ends, settings)
    # The least likely one of the windows: the answer may stand in another window.
    null = Span("", 0, 0, *min(rows["null_logits"].tolist(), key=sum))
    odds = score(null) - (score(spans[0]) if spans else MASKED)
    if settings.with_negative or not spans:
        spans = sorted(spans + [null], key=lambda span: -score(span))
    return spans, odds


def best_text(spans):
    """The best of `bert_spans` that has a text, or "no answer" where none has."""
    return next((span for span in spans if span.text), spans[0])
