"""Masks drawn while training: whole-word n-gram spans, other ones in every epoch.

    settings = masking.Settings(
        max_predictions_per_seq=20, masked_lm_prob=0.15, ngram=3, brightmart_labels=False,
        mask_id=103, special_ids=(0, 100, 101, 102, 103), vocab_size=21128)
    features = dynamic_masking.mask_batch(features, settings, seed=(12345, batch_number))

The law is masking.py's, which also masks while the data is made; here it is a graph of plain
TensorFlow operations over a whole batch, so that it runs in any input pipeline.

Dimensions: B batch, S max_seq_length, P max_predictions_per_seq, N draws of a span, T tries a draw.
The S tokens of an example have S + 1 boundaries: before, between and after them. A span goes from
one to another.
"""

import numpy as np
import tensorflow.compat.v1 as tf

from pretraining import masking


def mask_batch(features, settings, seed):
    """Masks a batch of unmasked records.

    Args:
      features: {name: int32 [B, S]}: input_ids, input_mask, segment_ids, word_starts (1 where a
        token begins a word) and, with brightmart_labels, label_ids. Others are passed through.
      settings: masking.Settings.
      seed: two integers, such as the seed of a run and the number of a batch, or an int64 [2].

    Returns:
      The features of masked records: masked_lm_positions, masked_lm_ids (int32 [B, P]) and
      masked_lm_weights (float32 [B, P]) in place of word_starts and label_ids, and in the input_ids
      80 % [MASK], 10 % random tokens and 10 % what was there at those positions.
    """
    features = dict(features)
    ids = features["input_ids"]
    labels = features.pop("label_ids") if settings.brightmart_labels else ids
    seed = tf.cast(seed, tf.int64)
    seeds = [tf.stack([seed[0], 3 * seed[1] + draw]) for draw in range(3)]
    chosen = choose_tokens(features["input_mask"], features["segment_ids"],
                           features.pop("word_starts"), settings, seeds[0])  # [B, S]
    size = ids.shape[1].value
    # Counted from the end, the first of the chosen tokens have the largest numbers.
    from_end, _ = tf.nn.top_k(chosen * tf.range(size, 0, -1), settings.max_predictions_per_seq)
    real = tf.minimum(from_end, 1)  # [B, P], 0 in the padding
    positions = real * (size - from_end)
    rows = size * tf.range(tf.shape(ids)[0])[:, tf.newaxis]  # [B, 1]
    features["input_ids"] = tf.where(chosen > 0, replacements(ids, settings, seeds[1:]), ids)
    features["masked_lm_positions"] = positions
    features["masked_lm_ids"] = real * tf.gather(tf.reshape(labels, [-1]), rows + positions)
    features["masked_lm_weights"] = tf.cast(real, tf.float32)
    return features


def replacements(ids, settings, seeds):
    """What each token of [B, S] becomes if it is chosen: 80 % [MASK], 10 % random, 10 % kept."""
    shape = tf.shape(ids)
    ordinary = masking.ordinary_ids(settings.vocab_size, settings.special_ids)
    chance = tf.random.stateless_uniform(shape, seeds[0])
    random_ids = tf.gather(tf.constant(ordinary, tf.int32), tf.random.stateless_uniform(
        shape, seeds[1], 0, len(ordinary), tf.int32))
    return tf.where(chance < masking.MASK_SHARE, tf.fill(shape, settings.mask_id), tf.where(
        chance < masking.MASK_SHARE + masking.RANDOM_SHARE, random_ids, ids))


def choose_tokens(input_mask, segment_ids, word_starts, settings, seed):
    """Draws spans of whole words until the budget is met; returns int32 [B, S], 1 in the spans.

    As masking.choose_positions, a span of every example at a time.
    """
    tries = masking.TRIES
    batch = input_mask.shape[0].value or tf.shape(input_mask)[0]  # static where it can be
    size = input_mask.shape[1].value + 1
    lengths = tf.reduce_sum(input_mask, 1, keepdims=True)  # [B, 1]
    # Boundaries are numbered through the whole batch, so that one gather serves all examples.
    rows = size * tf.range(batch)[:, tf.newaxis]  # [B, 1]
    boundaries = rows + tf.range(size)  # [B, S + 1]
    word_begins, last_begins = word_tables(word_starts, lengths, rows)
    spans = tf.gather(word_begins, rows + draw_spans(
        tf.reduce_sum(word_starts, 1, keepdims=True), settings, seed))  # [N, B, 2 * T]
    frozen = frozen_tokens(input_mask, segment_ids)  # [B, S]

    def draw(step, before, left, misses):
        """before [B, S + 1]: chosen and frozen tokens before each boundary; left, misses [B, 1]."""
        span = spans[step]  # [B, 2 * T]
        counts = tf.gather(tf.reshape(before, [-1]), span)
        free = tf.equal(counts[:, :tries], counts[:, tries:])  # [B, T]
        first = (2 * tries * tf.range(batch)
                 + tf.argmax(tf.cast(free, tf.int32), 1, output_type=tf.int32))
        span = tf.reshape(span, [-1])
        begin = tf.gather(span, first)[:, tf.newaxis]
        end = tf.minimum(tf.gather(span, first + tries)[:, tf.newaxis], begin + left)
        any_free = tf.cast(tf.reduce_any(free, 1, keepdims=True), tf.int32)
        taken = any_free * (tf.gather(last_begins, end) - begin)  # whole words that fit
        before += tf.minimum(tf.maximum(boundaries - begin, 0), taken)
        misses += tf.cast(tf.equal(taken, 0), tf.int32)
        left = (left - taken) * tf.cast(misses < masking.MAX_MISSES, tf.int32)
        return step + 1, before, left, misses

    _, before, _, _ = tf.while_loop(
        lambda step, before, left, misses: tf.reduce_any(left > 0), draw,
        [tf.constant(0), tf.pad(tf.cumsum(frozen, 1), [[0, 0], [1, 0]]),
         mask_budgets(lengths, size - 1, settings), tf.zeros_like(lengths)], back_prop=False)
    return before[:, 1:] - before[:, :-1] - frozen


def mask_budgets(lengths, max_length, settings):
    """masking.mask_budget of each of some lengths up to `max_length`, from a table of all."""
    return tf.gather(tf.constant([masking.mask_budget(length, settings)
                                  for length in range(max_length + 1)], tf.int32), lengths)


def frozen_tokens(input_mask, segment_ids):
    """int32 [B, S], 1 for [CLS] and for both [SEP], which are the last tokens of the segments."""
    def following(values):
        return tf.pad(values[:, 1:], [[0, 0], [0, 1]])

    first = tf.one_hot([0], input_mask.shape[1].value, dtype=tf.int32)  # [1, S]
    middle = tf.maximum(following(segment_ids) - segment_ids, 0)
    return first + middle + input_mask - following(input_mask)


def word_tables(word_starts, lengths, rows):
    """Where words begin. (The last word is [SEP], so no span ends where it ends.)

    Args:
      word_starts: int32 [B, S], 1 where a token begins a word, as the first one does.
      lengths: int32 [B, 1].
      rows: int32 [B, 1], the number of each example's first boundary.

    Returns:
      Two int32 [B * (S + 1)] of boundaries: where each word begins (further ones: where the last
      word ends), and for each boundary the last one up to it where a word begins.
    """
    boundaries = tf.range(word_starts.shape[1].value + 1)
    numbers = tf.cumsum(tf.pad(word_starts, [[0, 0], [0, 1]]), 1)  # [B, S + 1], from 1 on
    begins = tf.minimum(tf.searchsorted(numbers, tf.zeros_like(numbers) + boundaries + 1), lengths)
    begins = tf.reshape(rows + begins, [-1])
    return begins, tf.gather(begins, tf.reshape(rows + numbers - 1, [-1]))


def draw_spans(words, settings, seed):
    """Draws lengths of spans by masking.span_law, and for each length T spans.

    Args:
      words: int32 [B, 1], how many words each example has.

    Returns:
      int32 [N, B, 2 * T]: the numbers of the words with which the spans begin, and then of those
      before which they end.
    """
    draws = settings.max_predictions_per_seq + masking.MAX_MISSES - 1  # each a token or a miss
    chance = tf.random.stateless_uniform([draws, tf.shape(words)[0], 1 + masking.TRIES], seed)
    law = masking.span_law(settings.ngram, settings.favor_shorter_ngram)
    bounds = np.array(law[:-1], np.float32)
    lengths = 1 + tf.reduce_sum(tf.cast(chance[:, :, :1] >= bounds, tf.int32), 2, keepdims=True)
    # A span longer than the text begins with [CLS] and so is never free.
    choices = tf.maximum(words - lengths + 1, 0)  # [N, B, 1]
    begins = tf.cast(chance[:, :, 1:] * tf.cast(choices, tf.float32), tf.int32)
    return tf.concat([begins, tf.minimum(begins + lengths, words)], 2)
