"""Sentence-order pairs drawn while training: another cut and another order in every epoch.

    features = dynamic_order.pair_batch(features, max_seq_length=128, order, seed=(12345, step))

A record made with --store_sentences holds consecutive sentences of a document, as many as an
instance takes. The law of cut, truncation and swap is that of instances.py, which also pairs while
the data is made; here it is a graph of plain TensorFlow operations over a whole batch. Masks follow
(dynamic_masking.py).

Dimensions: B batch, C tokens of the longest record of the batch, K its sentences, S max_seq_length;
2 the segments, in the order of the text until they are swapped, before they are truncated.
"""

import tensorflow.compat.v1 as tf

# Added to the seed of a run: its masks draw other numbers.
_STREAM = 1 << 40


def pair_batch(features, max_seq_length, order, seed):
    """Draws a pair from each of a batch of records.

    Args:
      features: {name: int32}: input_ids and word_starts [B, C], sentence_lengths [B, K], all padded
        with zeros, and, for brightmart_labels, label_ids [B, C].
      max_seq_length: S.
      order: masking.Order.
      seed: two integers, as in dynamic_masking.mask_batch.

    Returns:
      The features of unmasked records: input_ids, input_mask, segment_ids, word_starts and, if it
      was given, label_ids [B, S]; next_sentence_labels [B, 1].
    """
    seeds = [tf.stack([tf.cast(seed[0], tf.int64) + _STREAM, 2 * tf.cast(seed[1], tf.int64) + draw])
             for draw in range(2)]
    chance = tf.random.stateless_uniform(
        [tf.shape(features["sentence_lengths"])[0], 2], seeds[0])
    begins, ends = draw_cut(features["sentence_lengths"], chance[:, 0])  # [B, 2]
    is_swapped = chance[:, 1:] < 0.5  # [B, 1]
    begins, ends = (tf.where(tf.tile(is_swapped, [1, 2]), values[:, ::-1], values)
                    for values in (begins, ends))
    begins, ends = truncate(begins, ends, features["word_starts"], max_seq_length - 3, seeds[1])
    return dict(assemble(features, begins, ends, max_seq_length, order),
                next_sentence_labels=tf.cast(is_swapped, tf.int32))


def draw_cut(sentence_lengths, chance):
    """[B, K], [B] in [0, 1) -> (begins, ends) of both segments [B, 2], cut between any sentences.
    """
    sentences = tf.reduce_sum(tf.cast(sentence_lengths > 0, tf.int32), 1)  # [B]
    ends = tf.cumsum(sentence_lengths, 1)  # [B, K]
    last = tf.minimum(tf.cast(chance * tf.cast(sentences - 1, tf.float32), tf.int32),
                      sentences - 2)  # the last sentence of the first segment
    cut = tf.gather(tf.reshape(ends, [-1]),
                    tf.range(tf.shape(ends)[0]) * tf.shape(ends)[1] + last)
    return (tf.stack([tf.zeros_like(cut), cut], 1), tf.stack([cut, ends[:, -1]], 1))


def truncate(begins, ends, word_starts, room, seed):
    """instances.truncate_pair: ranges [B, 2] -> ranges of `room` tokens together.

    The longer segment loses tokens first, each at a random end, and then what is left of words cut
    in two; a word longer than the segment is cut all the same.
    """
    lengths = ends - begins
    first, second = lengths[:, 0], lengths[:, 1]
    fits = first + second <= room
    kept = tf.where(fits, second, tf.minimum(second, tf.maximum(room // 2, room - first)))
    surplus = lengths - tf.stack([tf.where(fits, first, room - kept), kept], 1)
    positions = tf.range(tf.shape(word_starts)[1])  # [C]
    at_front = tf.random.stateless_uniform(
        tf.concat([tf.shape(begins), tf.shape(positions)], 0), seed) < 0.5  # [B, 2, C]
    front = tf.reduce_sum(tf.cast(
        at_front & (positions < surplus[:, :, tf.newaxis]), tf.int32), 2)
    cut_begins, cut_ends = begins + front, ends - (surplus - front)
    # The first beginning of a word from there on, and the last one up to there.
    starts = tf.zeros_like(surplus)[:, :, tf.newaxis] + tf.where(
        word_starts > 0, tf.zeros_like(word_starts) + positions,
        tf.fill(tf.shape(word_starts), -1))[:, tf.newaxis]  # [B, 2, C], -1 within words
    size = tf.shape(positions)[0]
    later = tf.reduce_min(tf.where(
        starts >= cut_begins[:, :, tf.newaxis], starts, tf.fill(tf.shape(starts), size)), 2)
    earlier = tf.reduce_max(tf.where(
        starts <= cut_ends[:, :, tf.newaxis], starts, tf.zeros_like(starts)), 2)
    whole_begins = tf.minimum(later, cut_ends)
    whole_ends = tf.where(tf.equal(cut_ends, ends), ends, tf.maximum(earlier, whole_begins))
    is_whole = whole_begins < whole_ends
    return (tf.where(is_whole, whole_begins, cut_begins), tf.where(is_whole, whole_ends, cut_ends))


def assemble(features, begins, ends, max_seq_length, order):
    """[CLS] first [SEP] second [SEP] of ranges [B, 2], as instances.make_instance."""
    first, second = (ends - begins)[:, :1], (ends - begins)[:, 1:]  # lengths [B, 1]
    position = tf.range(max_seq_length) + tf.zeros_like(first)  # [B, S]
    middle, last = first + 1, first + second + 2  # of both [SEP]
    is_text = (position > 0) & (position < last) & tf.not_equal(position, middle)
    begins_segment = tf.equal(position, 1) | tf.equal(position, middle + 1)
    size = tf.shape(features["input_ids"])[1]
    source = tf.where(position < middle, begins[:, :1] + position - 1,
                      begins[:, 1:] + position - middle - 1)
    source = size * tf.range(tf.shape(begins)[0])[:, tf.newaxis] + tf.clip_by_value(
        source, 0, size - 1)

    def text(name):
        return tf.gather(tf.reshape(features[name], [-1]), source)

    ones = tf.ones_like(position)
    mask = tf.cast(position <= last, tf.int32)
    special = mask * tf.where(tf.equal(position, 0), order.cls_id * ones, order.sep_id * ones)
    ids = tf.where(is_text, text("input_ids"), special)
    made = {"input_ids": ids, "input_mask": mask,
            "segment_ids": mask * tf.cast(position > middle, tf.int32),
            "word_starts": tf.where(is_text & tf.logical_not(begins_segment),
                                    text("word_starts"), mask)}
    if "label_ids" in features:
        made["label_ids"] = tf.where(is_text & tf.logical_not(begins_segment),
                                     text("label_ids"), ids)
    return made
