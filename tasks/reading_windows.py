"""A question and its context as sequences of tokens, without TensorFlow.

Dimensions: W windows of a question, T tokens of a context, S sequence.
"""

from util.errors import UserError

import numpy as np

import tokenization


def windows(num_tokens, room, stride):
    """[(begin, end)] of windows of `room` tokens, every `stride` tokens, to the last token.

    windows(10, 6, 3) -> [(0, 6), (3, 9), (6, 10)]
    """
    spans = [(0, min(room, num_tokens))]
    while spans[-1][1] < num_tokens:
        begin = spans[-1][0] + min(stride, room)
        spans.append((begin, min(begin + room, num_tokens)))
    return spans


def best_windows(spans, num_tokens):
    """[(begin, end)] of W windows -> int [T], in which one a token has the most context.

    That is the smaller of its two sides' numbers of tokens, and a little for long windows (as
    BERT).
    """
    tokens = np.arange(num_tokens)
    begins, ends = np.array(spans).T[:, :, np.newaxis]  # [W, 1] twice
    context = np.minimum(tokens - begins, ends - 1 - tokens) + 0.01 * (ends - begins)
    return np.where((tokens >= begins) & (tokens < ends), context, -1.0).argmax(0)


def encode(context, tokenizer):
    """(list of ids, int [T] of where they start, int [T] of where they end) of a context."""
    ids, starts, ends = tokenizer.encode_with_offsets(context)
    return ids, np.array(starts, np.int32), np.array(ends, np.int32)


def sequences(question, context, tokenizer, max_seq_length, doc_stride, max_query_length):
    """[CLS] question [SEP] context [SEP], for every window of the context.

    Args:
      question: a text; its first `max_query_length` tokens count.
      context: of `encode`.

    Yields:
      ((begin, end) of the window's tokens, features): those of `tokenization.pack`, and int [S]
      "context_mask", "char_starts", "char_ends" as Reading.features says.

    Raises:
      UserError: the question leaves no room.
    """
    question = tokenizer.encode(question)[:max_query_length]
    room = max_seq_length - len(question) - 3
    if room < 1:
        raise UserError("--max_seq_length=%d leaves no room for a context beside a question of "
                        "%d tokens; raise it or lower --max_query_length=%d" % (
                            max_seq_length, len(question), max_query_length))
    ids, char_starts, char_ends = context
    spans = windows(len(ids), room, doc_stride)
    best = best_windows(spans, len(ids))
    offset = len(question) + 2
    for number, (begin, end) in enumerate(spans):
        features = tokenization.pack(question, ids[begin:end], tokenizer, max_seq_length)
        for name, values in (("context_mask", 1 + (best[begin:end] == number)),
                             ("char_starts", char_starts[begin:end]),
                             ("char_ends", char_ends[begin:end])):
            features[name] = np.zeros(len(features["input_ids"]), np.int32)
            features[name][offset:offset + end - begin] = values
        yield (begin, end), features
