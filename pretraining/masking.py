"""Which tokens of an instance are masked and what replaces them: the law, and static masks by it.

Spans of whole words, p(n) ~ 1/n for n words (ALBERT paper, section 4.1), until a budget of tokens
is met; then 80 % [MASK], 10 % a random token, 10 % kept, a token at a time (BERT paper, 3.1).

The functions here mask while the data is made, with Python's random numbers. dynamic_masking.py
masks while training: a TensorFlow graph with the same constants and tables.
"""

import bisect
import functools
import itertools
import typing

import numpy as np

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens
KEPT_SHARE = 1 - MASK_SHARE - RANDOM_SHARE
TRIES = 8  # places that are tried for a span before its draw counts as a miss
MAX_MISSES = 20  # after so many an instance keeps the spans it has


class Order(typing.NamedTuple):
    """What dynamic_order.py draws sentence-order pairs with, besides the record and the seed."""
    cls_id: int
    sep_id: int


class Settings(typing.NamedTuple):
    """All that masks depend on besides the record and the seed."""
    max_predictions_per_seq: int  # P, below max_seq_length
    masked_lm_prob: float         # share of tokens to mask
    ngram: int                    # longest span in whole words
    brightmart_labels: bool       # the labels are the record's label_ids; else the input_ids
    mask_id: int
    special_ids: tuple            # never drawn as a random token; [MASK] is one of them
    vocab_size: int
    favor_shorter_ngram: bool = True  # p(n) ~ 1/n; else the longest span is the likeliest
    order: typing.Optional[Order] = None  # None: the records hold their pairs


def mask_budget(length, settings):
    """How many of `length` tokens are masked, at most.

    Args:
      settings: has masked_lm_prob and max_predictions_per_seq.
    """
    return min(settings.max_predictions_per_seq,
               max(1, int(round(length * settings.masked_lm_prob))))


@functools.lru_cache()
def span_law(ngram, favor_shorter=True):
    """The cumulated p(n) ~ 1/n of spans of 1...ngram words: 3 -> [6/11, 9/11, 1].

    Without `favor_shorter` the probabilities are reversed, as in albert_zh's copy of Google's code.
    """
    weights = [1.0 / length for length in range(1, ngram + 1)]
    if not favor_shorter:
        weights.reverse()
    return [total / sum(weights) for total in itertools.accumulate(weights)]


def ordinary_ids(vocab_size, special_ids):
    """The ids that a random token is drawn from: all but the special ones."""
    special = set(special_ids)
    return [index for index in range(vocab_size) if index not in special]


def choose_positions(starts, middle, budget, law, rng):
    """Draws spans of 1...ngram whole words.

    Args:
      starts: bool [L], whether a token begins a word.
      middle: position of the first [SEP]; it, [CLS] and the last token are never masked and no
        span crosses them.
      budget: at most so many tokens.
      law: of span_law.
      rng: random.Random.

    Returns:
      (sorted token positions, words in every span in the order drawn). A span over the budget is
      shortened to the words that fit.
    """
    word_bounds = starts.nonzero()[0].tolist() + [len(starts)]
    taken = bytearray(len(word_bounds) - 1)
    taken[0] = taken[bisect.bisect_left(word_bounds, middle)] = taken[-1] = 1
    bounds, random = law[:-1], rng.random
    positions, span_lengths = [], []
    misses = 0
    while budget > 0 and misses < MAX_MISSES:
        length = 1 + bisect.bisect_right(bounds, random())
        choices = len(taken) - length + 1
        for _ in range(TRIES if choices > 0 else 0):
            begin = int(random() * choices)
            end = begin + length
            if taken.find(1, begin, end) < 0:
                break
        else:
            misses += 1
            continue
        first = word_bounds[begin]
        while word_bounds[end] - first > budget:
            end -= 1
        if begin == end:
            misses += 1
            continue
        taken[begin:end] = b"\1" * (end - begin)
        positions += range(first, word_bounds[end])
        budget -= word_bounds[end] - first
        span_lengths.append(end - begin)
    positions.sort()
    return np.array(positions, np.int32), span_lengths


def replace(tokens, positions, vocabulary, rng):
    """Replaces chosen tokens in place, each by its own draw.

    Args:
      tokens: int [L].
      positions: int [M], of the chosen tokens.
      vocabulary: has mask_id and ordinary_ids.
      rng: random.Random.
    """
    new, random, ordinary = tokens[positions].tolist(), rng.random, vocabulary.ordinary_ids
    for index in range(len(new)):
        chance = random()
        if chance < MASK_SHARE:
            new[index] = vocabulary.mask_id
        elif chance < MASK_SHARE + RANDOM_SHARE:
            new[index] = ordinary[int(random() * len(ordinary))]
    tokens[positions] = new
