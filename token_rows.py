"""How a batch lies in memory while the model computes it: with its padding, or its tokens alone.

Position-wise layers cost the same for padding as for tokens. `Packed` keeps the rows of the tokens
only, [T, W], and pads for attention, within a few groups of sequences of similar length. Outputs
and gradients of the tokens are those of `Padded`, [B, S, W], up to rounding.

    rows = Packed(input_mask)
    x = tf.gather(word_table, rows.place(input_ids))             # [T, E]
    x += rows.attend(query, key, value, num_heads=12)            # each [T, H]
    rows.padded(x)                                               # [B, S, H]

Dimensions: B batch, S sequence, T rows of tokens, H hidden, W any width, N heads, D head size
(H / N), Q queries a sequence, G groups of b sequences of at most L tokens and t tokens in all.
"""

import collections

import tensorflow.compat.v1 as tf

from layers import (
    attend,
    attention_bias,
    gather_rows,
    merge_heads,
    shape_list,
    split_heads,
)

ROW_MULTIPLE = 128  # T is a multiple of it, and L of LENGTH_MULTIPLE: oneDNN prepares its products
LENGTH_MULTIPLE = 16  # for every shape anew
NUM_GROUPS = 4
PREDICTION_MULTIPLE = 64  # as ROW_MULTIPLE, of `only_where`


class Padded(object):
    """A batch with its padding.

    Args:
      input_mask: int [B, S], 1 for tokens and 0 for padding.
    """

    def __init__(self, input_mask):
        self._length = shape_list(input_mask)[1]
        self._bias = attention_bias(input_mask)

    def place(self, values):
        """[B, S] of the batch -> [B, S], as this object wants rows."""
        return values

    def add_positions(self, x, table):
        """Rows [B, S, W] plus those of [positions, W] where they stand -> [B, S, W]."""
        return x + tf.cast(table[:self._length], x.dtype)

    def attend(self, query, key, value, num_heads, dropout_rate=0.0, seed=None):
        """Attention of [B, Q, H] to [B, S, H] twice -> [B, Q, H]."""
        return merge_heads(attend(
            split_heads(query, num_heads), split_heads(key, num_heads),
            split_heads(value, num_heads), self._bias, dropout_rate, seed))

    def at(self, x, positions):
        """Rows [B, S, W] at int [B, Q] -> [B, Q, W], which `attend` takes as queries."""
        return gather_rows(x, positions)

    def in_order(self, x):
        """[B, Q, W] of `at` in the order of the batch."""
        return x

    def first(self, x):
        """The rows of each sequence's first token, [B, W]."""
        return x[:, 0, :]

    def padded(self, x):
        """Rows -> [B, S, W]."""
        return x


# A group's rows are [begin, end) of [T]; sequences [first, last) of those sorted by length. unpack:
# int [b, N, L], which of its [t * N] head rows stands where; pack: int [t, N], where it is found
# again in [b * N * L]; with_zeros: unpack, but the row behind the last where there is padding.
Group = collections.namedtuple("Group", "first last unpack pack with_zeros bias")


class Packed(object):
    """The tokens of a batch alone, sequences in the order of their lengths.

    A sequence's first position always counts as a token.

    Args:
      input_mask: int [B, S], 1 for tokens and 0 for padding.
      num_groups: into how many groups the sequences are divided for attention.
    """

    def __init__(self, input_mask, num_groups=NUM_GROUPS):
        batch, length = shape_list(input_mask)
        self._shape = batch, length
        is_token = tf.concat(
            [tf.ones([batch, 1], tf.bool), input_mask[:, 1:] > 0], 1)  # [B, S]
        lengths = tf.reduce_max(
            tf.cast(is_token, tf.int32) * tf.range(1, length + 1), 1)  # [B]
        self._order = tf.argsort(lengths, stable=True)  # [B]
        self._rank = tf.argsort(self._order)
        flat = tf.reshape(tf.gather(is_token, self._order), [-1])
        token_slots = tf.cast(tf.squeeze(tf.where(flat), -1), tf.int32)  # in [B * S]
        self._num_tokens = tf.size(token_slots)
        spare = -self._num_tokens % ROW_MULTIPLE
        self._slots = tf.concat([token_slots, tf.zeros([spare], tf.int32)], 0)  # [T]
        # Padding has the row of the token before it: its weight in attention is 0.
        row_at = tf.reshape(tf.cumsum(tf.cast(flat, tf.int32)) - 1, [batch, length])
        self._row_at = tf.gather(row_at, self._rank)  # [B, S]
        self._sources = (tf.gather(self._order, self._slots // length) * length
                         + self._slots % length)  # [T]
        self._layout = row_at, tf.gather(lengths, self._order), tf.gather(
            input_mask, self._order), tf.gather(tf.cast(is_token, tf.int32), self._order)
        self._spare = spare
        self._num_groups = num_groups
        self._groups = {}

    def place(self, values):
        """[B, S] of the batch -> [T]."""
        return tf.gather(tf.reshape(values, [-1]), self._sources)

    def add_positions(self, x, table):
        """Rows [T, W] plus those of [positions, W], whose gradient is dense -> [T, W].

        By tf.add_n: the gradient of x + y asks for the shape of x here, so that x is computed, and
        TensorFlow's optimizer sums the terms of x once more with y. It begins with a term that
        nothing else needs by then, whichever that is, and runs would differ in their last bits.
        """
        positions = _rows(tf.convert_to_tensor(table), self._slots % self._shape[1])
        return tf.add_n([x, tf.cast(positions, x.dtype)])

    def attend(self, query, key, value, num_heads, dropout_rate=0.0, seed=None):
        """Attention of [T, H], or [B, Q, H] of `at`, to [T, H] twice -> as the queries."""
        groups = self._groups_of(num_heads)
        sizes = [tf.shape(group.pack)[0] for group in groups]
        keys, values = tf.split(key, sizes), tf.split(value, sizes)
        chosen = query.shape.ndims == 3
        queries = (tf.split(query, [group.last - group.first for group in groups])
                   if chosen else tf.split(query, sizes))
        contexts = []
        for number, group in enumerate(groups):
            own_seed = None if seed is None else seed + number
            heads = (split_heads(queries[number], num_heads) if chosen
                     else _unpacked(queries[number], group))
            context = attend(heads, _unpacked(keys[number], group),
                             _unpacked(values[number], group), group.bias, dropout_rate, own_seed)
            contexts.append(merge_heads(context) if chosen else _packed(context, group))
        return tf.concat(contexts, 0)

    def at(self, x, positions):
        """Rows [T, W] at int [B, Q] -> [B, Q, W], sequences in the order of their lengths."""
        in_order = self._layout[0][:, :, tf.newaxis]
        chosen = gather_rows(in_order, tf.gather(positions, self._order))
        return tf.gather(x, tf.squeeze(chosen, -1))

    def in_order(self, x):
        """[B, Q, W] of `at` in the order of the batch."""
        return tf.gather(x, self._rank)

    def first(self, x):
        """The rows of each sequence's first token, [B, W]."""
        return tf.gather(x, self._row_at[:, 0])

    def padded(self, x):
        """Rows [T, W] -> [B, S, W], zeros for padding."""
        batch, length = self._shape
        count = self._num_tokens
        flat = tf.scatter_nd(self._sources[:count, tf.newaxis], x[:count],
                             [batch * length, shape_list(x)[-1]])
        return tf.reshape(flat, [batch, length, shape_list(x)[-1]])

    def _groups_of(self, num_heads):
        """The Groups, made once for a number of heads."""
        if num_heads not in self._groups:
            batch = self._shape[0]
            bounds = [batch * number // self._num_groups
                      for number in range(self._num_groups + 1)]
            self._groups[num_heads] = [
                self._group(first, last, number == self._num_groups - 1, num_heads)
                for number, (first, last) in enumerate(zip(bounds, bounds[1:]))]
        return self._groups[num_heads]

    def _group(self, first, last, is_last, num_heads):
        row_at, lengths, mask, is_token = self._layout
        length = self._shape[1]
        begin = row_at[first, 0]
        end = tf.size(self._slots) if is_last else row_at[last, 0]
        # Spare rows of [T] stand at the last slot of the group's first sequence, which is padding,
        # and so have no gradient.
        has_spare = tf.cast(self._spare > 0, tf.int32) if is_last else 0
        longest = _rounded_up(lengths[last - 1] + has_spare, LENGTH_MULTIPLE)

        longest = tf.minimum(longest, length + LENGTH_MULTIPLE)

        def columns(values):
            """[b, L] of [B, S], zeros behind."""
            behind = tf.zeros([last - first, LENGTH_MULTIPLE], tf.int32)
            return tf.concat([values[first:last], behind], 1)[:, :longest]

        rows = columns(row_at - begin)
        heads = tf.range(num_heads)
        unpack = rows[:, tf.newaxis, :] * num_heads + heads[:, tf.newaxis]  # [b, N, L]
        token = columns(is_token)[:, tf.newaxis, :] > 0
        with_zeros = tf.where(token & (heads[:, tf.newaxis] >= 0), unpack,
                              tf.fill(tf.shape(unpack), (end - begin) * num_heads))
        slots = self._slots[begin:end]
        is_spare = tf.range(begin, end) >= self._num_tokens
        sequence = tf.where(is_spare, tf.zeros_like(slots), slots // length - first)
        column = tf.where(is_spare, tf.zeros_like(slots) + longest - 1, slots % length)
        pack = ((sequence[:, tf.newaxis] * num_heads + heads) * longest
                + column[:, tf.newaxis])  # [t, N]
        return Group(first, last, unpack, pack, with_zeros, attention_bias(columns(mask)))


def only_where(chosen, function, *inputs):
    """function(*inputs) computed for some rows only; the others are 0, and so are their gradients.

    Args:
      chosen: bool [n].
      function: tensors [m, ...] -> a tuple of tensors [m, ...], row by row.
      inputs: tensors [n, ...].
    """
    size = tf.size(chosen)
    indices = tf.cast(tf.where(chosen), tf.int32)  # [count, 1]
    count = tf.shape(indices)[0]
    spare = _rounded_up(tf.maximum(count, 1), PREDICTION_MULTIPLE) - count
    rows = tf.concat([indices[:, 0], tf.zeros([spare], tf.int32)], 0)  # [m]
    outputs = function(*[tf.gather(tensor, rows) for tensor in inputs])
    return tuple(tf.scatter_nd(indices, y[:count], [size] + shape_list(y)[1:]) for y in outputs)


def _rounded_up(value, multiple):
    return -(-value // multiple) * multiple


def _unpacked(x, group):
    """[t, H] -> [b, N, L, D]."""
    width = shape_list(x)[-1]
    num_heads = group.pack.shape.as_list()[1]

    @tf.custom_gradient
    def unpacked(x):
        def gradient(upstream):
            return tf.reshape(tf.gather(_head_rows(upstream), group.pack), [-1, width])

        return tf.gather(tf.reshape(x, [-1, width // num_heads]), group.unpack), gradient

    return unpacked(x)


def _packed(context, group):
    """[b, N, L, D] -> [t, H]."""
    shape = shape_list(context)
    width = group.pack.shape.as_list()[1] * shape[-1]

    @tf.custom_gradient
    def packed(context):
        def gradient(upstream):
            rows = tf.concat([tf.reshape(upstream, [-1, shape[-1]]),
                              tf.zeros([1, shape[-1]], upstream.dtype)], 0)
            return tf.gather(rows, group.with_zeros)

        return tf.reshape(tf.gather(_head_rows(context), group.pack), [-1, width]), gradient

    return packed(context)


def _head_rows(x):
    """[b, N, L, D] -> [b * N * L, D]."""
    return tf.reshape(x, [-1, shape_list(x)[-1]])


@tf.custom_gradient
def _rows(table, ids):
    """Rows of [P, W] at int [T]; the gradient of the table is dense, as that of a slice."""
    def gradient(upstream):
        return tf.math.unsorted_segment_sum(upstream, ids, table.shape.as_list()[0]), None

    return tf.gather(table, ids), gradient
