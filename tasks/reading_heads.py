"""Output layers of extractive reading, and the answers that follow from what they predict.

BERT's asks for start and end alone; that of Google's ALBERT for SQuAD 2.0 asks for the end given
the start, and whether there is an answer at all.

    head = reading_heads.create("google_v2", reading_answers.Settings(with_negative=True))
    loss, predictions = head.build(config, model.get_sequence_output(), features, is_training)

Dimensions: B batch, S sequence, H hidden, K best starts of a window, E best ends of a window or of
a start, N starts, W windows of a question.
"""

import collections

import numpy as np
import tensorflow.compat.v1 as tf

import layers
from tasks import base, reading_answers
from tasks.reading_answers import MASKED, Side, Span, best_spans

# What a logit that cannot be chosen is lowered by, in Google's code.
_GOOGLE_MASKED = -1e30
# The logits of a question without any candidate in Google's n-best lists.
_NOTHING = -1e6


class Head(object):
    """An output layer on [B, S, H] and its answers."""

    default_dropout = 0.0
    # Whether the threshold of "no answer", if none is given, is the one with the best F1.
    finds_threshold = False
    logit_keys = ("start_logit", "end_logit")

    def __init__(self, settings):
        self._settings = settings
        self._dropout = self.default_dropout if settings.dropout is None else settings.dropout

    def build(self, config, hidden, features, is_training):
        """(float [B], the loss of every window, {name: [B, ...]}, its predictions).

        Args:
          config: an AlbertConfig.
          hidden: float [B, S, H], what the encoder gives.
          features: as Reading.features says.
        """
        raise NotImplementedError

    def n_best(self, context, rows):
        """(n-best list, odds of "no answer") of a question.

        An answer is {"text", "probability", "start_logit", "end_logit"}, the last two under the
        names of the head's original code.

        Args:
          rows: {name: [W, ...]}, the predictions of its windows.
        """
        raise NotImplementedError

    def best(self, likeliest):
        """The text of an n-best list to give where an answer is to be given, or ""."""
        raise NotImplementedError

    def highest_odds(self, threshold):
        """The highest odds of "no answer" with which an answer is still given."""
        raise NotImplementedError

    def _listed(self, spans):
        """Spans, the best first -> an n-best list."""
        start_key, end_key = self.logit_keys
        return [collections.OrderedDict([
            ("text", span.text), ("probability", float(probability)),
            (start_key, span.start_logit), (end_key, span.end_logit)])
            for span, probability in zip(spans, reading_answers.probabilities(spans))]


def _is_allowed(context_mask):
    """bool [B, S]: the context, and the first token for "no answer"."""
    is_first = tf.equal(tf.range(layers.shape_list(context_mask)[1]), 0)  # [S]
    return tf.logical_or(context_mask > 0, is_first)


class Bert(Head):
    """Softmax over the start and over the end, with "no answer" at the first token.

    As BERT's run_squad.py; the variables are those of brightmart's and Google's version 1 codes.
    """

    def build(self, config, hidden, features, is_training):
        logits = base.output_layer(
            hidden, 2, config, self._dropout if is_training else 0.0, scope="squad/")  # [B, S, 2]
        mask = features["context_mask"]  # [B, S]
        is_allowed = tf.cast(_is_allowed(mask), logits.dtype)
        logits += MASKED * (1.0 - is_allowed)[:, :, tf.newaxis]
        start_logits, end_logits = tf.unstack(logits, axis=-1)  # [B, S] twice
        loss = tf.add_n([
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tf.reshape(features[name], [-1]), logits=side)
            for name, side in (("start_positions", start_logits), ("end_positions", end_logits))])
        predictions = {"null_logits": logits[:, 0, :]}  # [B, 2]
        for name, side, is_candidate in (("start", start_logits, mask > 1),
                                         ("end", end_logits, mask > 0)):
            (predictions[name + "_logits"], predictions[name + "_tokens"],
             predictions[name + "_chars"]) = top_tokens(
                 side, is_candidate, features["char_%ss" % name], self._settings.n_best_size)
        return loss / 2.0, predictions

    def n_best(self, context, rows):
        """See reading_answers.bert_spans."""
        spans, odds = reading_answers.bert_spans(context, rows, self._settings)
        return self._listed(spans), odds

    def best(self, likeliest):
        return next((answer["text"] for answer in likeliest if answer["text"]), "")

    def highest_odds(self, threshold):
        return threshold


def top_tokens(logits, is_candidate, characters, k):
    """The K best tokens of every window.

    Args:
      logits: float [B, S].
      is_candidate: bool [B, S].
      characters: int [B, S], where the tokens begin or end in the context.

    Returns:
      (float [B, K], their logits; int [B, K], their positions, -1 for no candidate; int
      [B, K], their characters).
    """
    masked = tf.where(is_candidate, logits, tf.fill(layers.shape_list(logits), MASKED))
    values, tokens = top_k(masked, k, MASKED)
    characters = tf.gather(characters, tokens, batch_dims=1)
    is_candidate = tf.gather(is_candidate, tokens, batch_dims=1)
    return values, tf.where(is_candidate, tokens, -tf.ones_like(tokens)), characters


def top_k(values, k, nothing):
    """tf.nn.top_k over [..., S], filled up with `nothing` at position 0 where S is below `k`."""
    length = layers.shape_list(values)[-1]
    count = min(k, length) if isinstance(length, int) else tf.minimum(k, length)
    filled = []
    for tensor, filler in zip(tf.nn.top_k(values, count), (nothing, 0)):
        before = [[0, 0]] * (values.shape.ndims - 1)
        tensor = tf.pad(tensor, before + [[0, k - count]], constant_values=filler)
        tensor.set_shape(values.shape.as_list()[:-1] + [k])
        filled.append(tensor)
    return tuple(filled)


class GoogleV2(Head):
    """The end given the start, and a classifier of "no answer", as Google's run_squad_v2.py.

    In training the end is asked for at the right start, in prediction at each of the K best ones.
    "No answer" is decided by the classifier alone; it is no entry of the n-best lists.
    """

    default_dropout = 0.1
    finds_threshold = True
    logit_keys = ("start_log_prob", "end_log_prob")

    def build(self, config, hidden, features, is_training):
        is_allowed = _is_allowed(features["context_mask"])  # [B, S]
        start_logits = self._start_logits(config, hidden, is_allowed)
        gold_starts, gold_ends = (tf.reshape(features[name], [-1])
                                  for name in ("start_positions", "end_positions"))  # [B] twice
        gold_end_logits = tf.squeeze(self._end_logits(
            config, hidden, is_allowed, gold_starts[:, tf.newaxis]), 1)  # [B, S]
        null_logits = self._null_logits(
            config, hidden, start_logits, self._dropout if is_training else 0.0)  # [B]
        # A window without the answer has both ends at the first token.
        is_null = tf.cast(tf.equal(gold_starts, 0), tf.float32)
        loss = tf.add_n([
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=gold_starts, logits=start_logits),
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=gold_ends, logits=gold_end_logits),
            tf.nn.sigmoid_cross_entropy_with_logits(labels=is_null, logits=null_logits)])
        return loss / 2.0, dict(
            self._candidates(config, hidden, features, is_allowed, start_logits),
            cls_logits=null_logits)

    def _start_logits(self, config, hidden, is_allowed):
        """-> [B, S]."""
        with tf.variable_scope("start_logits"):
            logits = layers.dense(hidden, 1, "dense", config.initializer_range)  # [B, S, 1]
        return _google_mask(tf.squeeze(logits, -1), is_allowed)

    def _end_logits(self, config, hidden, is_allowed, starts):
        """Starts, int [B, N] -> [B, N, S]."""
        width = config.hidden_size
        # Training computes no others than those at the right start: the graph has both.
        with tf.variable_scope("end_logits", reuse=tf.AUTO_REUSE):
            kernel, bias = layers.dense_variables(
                2 * width, width, "dense_0", config.initializer_range)
            # One product over the pair, without an array [B, N, S, 2 H].
            of_token = layers.matmul_last(hidden, kernel[:width], bias)  # [B, S, H]
            of_start = layers.matmul_last(
                layers.gather_rows(hidden, starts), kernel[width:])  # [B, N, H]
            both = tf.tanh(of_token[:, tf.newaxis] + of_start[:, :, tf.newaxis])  # [B, N, S, H]
            logits = layers.dense(
                layers.layer_norm(both), 1, "dense_1", config.initializer_range)
        return _google_mask(tf.squeeze(logits, -1), is_allowed[:, tf.newaxis])

    def _null_logits(self, config, hidden, start_logits, dropout):
        """-> [B], high where there is no answer."""
        start_probabilities = tf.nn.softmax(start_logits)[:, tf.newaxis]  # [B, 1, S]
        start = tf.squeeze(tf.matmul(start_probabilities, hidden), 1)  # [B, H]
        with tf.variable_scope("answer_class"):
            both = layers.dense(tf.concat([start, hidden[:, 0]], -1), config.hidden_size,
                                "dense_0", config.initializer_range, tf.tanh)  # [B, H]
            kernel, _ = layers.dense_variables(
                config.hidden_size, 1, "dense_1", config.initializer_range, has_bias=False)
            logits = layers.matmul_last(layers.dropout(both, dropout), kernel)  # [B, 1]
        return tf.squeeze(logits, -1)

    def _candidates(self, config, hidden, features, is_allowed, start_logits):
        """{name: [B, K] of the best starts, [B, K, E] of the best ends of each}.

        Characters are -1 for tokens that cannot begin or end an answer here: such ones are among
        the best too, as in Google's code, which leaves them out afterwards.
        """
        start_log_probs, starts = top_k(
            tf.nn.log_softmax(start_logits), self._settings.start_n_top, _GOOGLE_MASKED)
        end_log_probs, ends = top_k(
            tf.nn.log_softmax(self._end_logits(config, hidden, is_allowed, starts)),
            self._settings.end_n_top, _GOOGLE_MASKED)
        mask, predictions = features["context_mask"], {}
        for side, log_probs, tokens, is_candidate in (
                ("start", start_log_probs, starts, mask > 1),
                ("end", end_log_probs, ends, mask > 0)):
            characters = features["char_%ss" % side]
            characters = tf.where(is_candidate, characters, -tf.ones_like(characters))
            predictions[side + "_top_log_probs"] = log_probs
            predictions[side + "_top_index"] = tokens
            predictions[side + "_top_chars"] = tf.gather(characters, tokens, batch_dims=1)
        return predictions

    def n_best(self, context, rows):
        """The odds are the lowest of the classifier's logits, as the answer may stand in another
        window.
        """
        starts, ends = (Side(
            np.asarray(rows[side + "_top_log_probs"], np.float64),
            np.where(rows[side + "_top_chars"] < 0, -1, rows[side + "_top_index"]),
            rows[side + "_top_chars"]) for side in ("start", "end"))
        starts = Side(*(values[:, :, np.newaxis] for values in starts))
        answers = best_spans(context, starts, ends, self._settings, keep_empty=True)
        return (self._listed(answers or [Span("", 0, 0, _NOTHING, _NOTHING)]),
                float(np.min(rows["cls_logits"])))

    def best(self, likeliest):
        return likeliest[0]["text"]

    def highest_odds(self, threshold):
        # Odds that equal the threshold are "no answer" already.
        return float(np.nextafter(threshold, -np.inf))


def _google_mask(logits, is_allowed):
    is_allowed = tf.cast(is_allowed, logits.dtype)
    return logits * is_allowed + _GOOGLE_MASKED * (1.0 - is_allowed)


HEADS = {"bert": Bert, "google_v2": GoogleV2}


def create(name, settings):
    """The head of a --squad_head."""
    return HEADS[name](settings)


def recognise(names):
    """The key of HEADS whose variables a checkpoint holds, by their names; None without any."""
    for key, marks in (("google_v2", ("answer_class/",)), ("bert", ("squad/", "cls/squad/"))):
        if any(name.startswith(marks) for name in names):
            return key
    return None
