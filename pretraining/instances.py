"""A document -> pre-training instances: a pure function of text, settings and seed.

Sentence-order pairs of one document, whole words and n-gram spans to mask, 80/10/10 (ALBERT paper,
sections 3.1 and 4.1). Drivers (create_pretraining_data.py, pretraining/beam.py) read documents and
write instances; the same document gives the same instances whoever calls.
"""

import bisect
import collections
import functools
import hashlib
import itertools
import random

import numpy as np

import tokenization

Settings = collections.namedtuple("Settings", [
    "max_seq_length",           # S, [CLS] and [SEP] included
    "max_predictions_per_seq",  # P
    "masked_lm_prob",           # share of tokens to mask
    "short_seq_prob",           # share of documents cut to a random shorter length
    "dupe_factor",              # how often a document is used, each time with other masks
    "ngram",                    # longest span in whole words, p(n) ~ 1/n
    "whole_words",              # False: every token is a word of its own
    "brightmart_labels",        # labels of later characters of a word are the ids of `##字`
    "store_word_starts",        # nothing is masked: dynamic_masking.py does it while training
    "random_seed",
])

# The sentences of a document one after another. ids: int32 [T]; starts: bool [T], whether a token
# begins a word; bounds: int [sentences + 1], where each sentence begins and the last one ends;
# unknown: the pieces of text that became [UNK].
Document = collections.namedtuple("Document", "ids starts bounds seed unknown")

# One training example before padding. tokens: int [L], masked; segments, starts: bool [L];
# positions, labels: int [M]; is_swapped: the sentence-order label; span_lengths: words in every
# masked span. With store_word_starts nothing is masked: positions and span_lengths are empty and
# labels [L] are those of every token, should it be masked.
Instance = collections.namedtuple(
    "Instance", "tokens segments starts positions labels is_swapped span_lengths")


def encode_document(sentences, tokenizer, boundaries=None):
    """A list of raw sentences -> a Document; sentences without tokens are left out.

    Args:
      sentences: list of str.
      tokenizer: a tokenizer of tokenization.py.
      boundaries: function sentence -> word ends in characters (segmentation.py), or None: word
        starts then come from the tokens alone (`##` or `▁`).
    """
    all_ids, all_starts, unknown = [np.zeros(0, np.int32)], [np.zeros(0, bool)], []
    for sentence in sentences:
        ids, offsets, ends = tokenizer.encode_with_offsets(sentence)
        if not ids:
            continue
        if tokenizer.unk_id in ids:
            unknown += [sentence[offset:end] for index, offset, end in zip(ids, offsets, ends)
                        if index == tokenizer.unk_id]
        ids = np.array(ids, np.int32)
        starts = tokenizer.is_word_start[ids]
        if boundaries is not None:
            words = np.searchsorted(boundaries(sentence), offsets, side="right")
            starts[1:] &= words[1:] != words[:-1]
        starts[0] = True
        all_ids.append(ids)
        all_starts.append(starts)
    bounds = np.cumsum([len(ids) for ids in all_ids])
    digest = hashlib.blake2b("\n".join(sentences).encode("utf-8"), digest_size=8).digest()
    return Document(np.concatenate(all_ids), np.concatenate(all_starts), bounds, digest, unknown)


def document_instances(document, settings, vocabulary):
    """Yields every Instance of a Document, `dupe_factor` times over.

    The seed of a (document, duplicate) is made of the document's text, so neither its place in the
    corpus nor the number of workers matters. A document of fewer than two sentences yields none.
    """
    for duplicate in range(settings.dupe_factor):
        rng = random.Random("%d %s %d" % (settings.random_seed, document.seed.hex(), duplicate))
        for first, second in sentence_order_pairs(document, settings, rng):
            yield make_instance(document, first, second, settings, vocabulary, rng)


def sentence_order_pairs(document, settings, rng):
    """Yields pairs of consecutive segments, (begin, end) token ranges in the order of the text.

    Sentences are gathered up to the target length and cut in two between sentences (as BERT's and
    ALBERT's create_instances_from_document, but never with a segment of another document).
    """
    bounds = document.bounds.tolist()
    count = len(bounds) - 1
    room = settings.max_seq_length - 3  # [CLS], [SEP], [SEP]
    target = room
    if rng.random() < settings.short_seq_prob:
        target = 2 + int(rng.random() * (room - 1))
    begin = 0
    while count >= 2 and begin < count:
        end = begin + 1
        while end < count and (end - begin < 2 or bounds[end] - bounds[begin] < target):
            end += 1
        if end - begin < 2:  # one sentence is left over: pair it with the one before
            begin -= 1
        cut = begin + 1 + int(rng.random() * (end - begin - 1))
        first = (bounds[begin], bounds[cut])
        second = (bounds[cut], bounds[end])
        yield truncate_pair(first, second, room, document.starts, rng)
        begin = end


def truncate_pair(first, second, room, starts, rng):
    """Cuts two token ranges to `room` tokens together, each at both ends at random (as BERT)."""
    keep = tokenization.fit_pair(first[1] - first[0], second[1] - second[0], room)
    return tuple(_cut(segment, length, starts, rng)
                 for segment, length in zip((first, second), keep))


def _cut(segment, length, starts, rng):
    """Cuts a range to `length` tokens, each from a random end, and then the rests of cut words."""
    begin, end = segment
    surplus = end - begin - length
    if not surplus:
        return segment
    front = bin(rng.getrandbits(surplus)).count("1")
    cut_begin, cut_end = begin + front, end - (surplus - front)
    whole_begin, whole_end = cut_begin, cut_end
    while whole_begin < cut_end and not starts[whole_begin]:
        whole_begin += 1
    while whole_end > whole_begin and whole_end < end and not starts[whole_end]:
        whole_end -= 1
    # A word longer than the segment (an address, say) cannot be kept whole.
    return (whole_begin, whole_end) if whole_begin < whole_end else (cut_begin, cut_end)


def make_instance(document, first, second, settings, vocabulary, rng):
    """Two token ranges -> an Instance: swapped with probability 1/2, joined, masked."""
    is_swapped = rng.random() < 0.5
    if is_swapped:
        first, second = second, first
    middle = 1 + first[1] - first[0]  # where the first [SEP] stands
    tokens = np.empty(middle + second[1] - second[0] + 2, np.int32)
    tokens[0], tokens[middle], tokens[-1] = (
        vocabulary.cls_id, vocabulary.sep_id, vocabulary.sep_id)
    tokens[1:middle] = document.ids[first[0]:first[1]]
    tokens[middle + 1:-1] = document.ids[second[0]:second[1]]
    segments = np.arange(len(tokens)) > middle
    starts = np.ones(len(tokens), bool)  # the specials are words of their own
    if settings.whole_words:
        starts[2:middle] = document.starts[first[0] + 1:first[1]]
        starts[middle + 2:-1] = document.starts[second[0] + 1:second[1]]
    labels = tokens.copy()
    if settings.brightmart_labels:
        labels[~starts] = vocabulary.continuation_ids[tokens[~starts]]
    if settings.store_word_starts:
        return Instance(tokens, segments, starts, _NONE, labels, int(is_swapped), [])
    positions, span_lengths = choose_positions(
        starts, middle, mask_budget(len(tokens), settings), settings.ngram, rng)
    replace(tokens, positions, vocabulary, rng)
    return Instance(tokens, segments, starts, positions, labels[positions], int(is_swapped),
                    span_lengths)


_NONE = np.zeros(0, np.int32)


def mask_budget(length, settings):
    """How many of `length` tokens are masked, at most."""
    return min(settings.max_predictions_per_seq,
               max(1, int(round(length * settings.masked_lm_prob))))


@functools.lru_cache()
def span_law(ngram):
    """The cumulated p(n) ~ 1/n of spans of 1...ngram words: 3 -> [6/11, 9/11, 1]."""
    weights = [1.0 / length for length in range(1, ngram + 1)]
    return [total / sum(weights) for total in itertools.accumulate(weights)]


def choose_positions(starts, middle, budget, ngram, rng):
    """Draws spans of 1...ngram whole words, p(n) ~ 1/n (ALBERT paper, section 3.1).

    Args:
      starts: bool [L], whether a token begins a word.
      middle: where the first [SEP] stands; it, [CLS] and the last token are never masked and no
        span crosses them.
      budget: at most so many tokens.
      ngram: the longest span, in words.
      rng: random.Random.

    Returns:
      (sorted token positions, words in every span in the order drawn). A span over the budget is
      shortened to the words that fit.
    """
    word_bounds = np.flatnonzero(starts).tolist() + [len(starts)]
    taken = bytearray(len(word_bounds) - 1)
    taken[0] = taken[bisect.bisect_left(word_bounds, middle)] = taken[-1] = 1
    law = span_law(ngram)[:-1]
    positions, span_lengths = [], []
    misses = 0
    while len(positions) < budget and misses < 20:
        wanted = 1 + bisect.bisect_right(law, rng.random())
        begin, end = _free_span(taken, wanted, rng)
        while end > begin and word_bounds[end] - word_bounds[begin] > budget - len(positions):
            end -= 1
        if begin == end:
            misses += 1
            continue
        taken[begin:end] = b"\1" * (end - begin)
        positions.extend(range(word_bounds[begin], word_bounds[end]))
        span_lengths.append(end - begin)
    return np.array(sorted(positions), np.int32), span_lengths


def _free_span(taken, wanted, rng, tries=8):
    """A random range of `wanted` words that are not taken; an empty one when none is found."""
    places = len(taken) - wanted + 1
    for _ in range(tries if places > 0 else 0):
        begin = int(rng.random() * places)
        if taken.find(1, begin, begin + wanted) < 0:
            return begin, begin + wanted
    return 0, 0


def replace(tokens, positions, vocabulary, rng):
    """In place, a token at a time: 80 % [MASK], 10 % a random token, 10 % kept (BERT)."""
    for position in positions:
        chance = rng.random()
        if chance < 0.8:
            tokens[position] = vocabulary.mask_id
        elif chance < 0.9:
            ordinary = vocabulary.ordinary_ids
            tokens[position] = ordinary[int(rng.random() * len(ordinary))]


class Vocabulary(object):
    """What masking needs to know of a tokenizer: special ids, random tokens, `##字` ids."""

    def __init__(self, tokenizer):
        self.cls_id, self.sep_id = tokenizer.cls_id, tokenizer.sep_id
        self.mask_id, self.pad_id = tokenizer.mask_id, tokenizer.pad_id
        special = {self.cls_id, self.sep_id, self.mask_id, self.pad_id, tokenizer.unk_id}
        self.ordinary_ids = [index for index in range(tokenizer.vocab_size)
                             if index not in special]
        vocab = tokenizer.vocab
        self.continuation_ids = np.array(
            [vocab.get("##" + token, index) if len(token) == 1 and token > "\u2e7f" else index
             for index, token in enumerate(tokenizer.tokens)], np.int32)


def instance_features(instance, settings):
    """An Instance -> {feature name: array}, padded.

    Names and lengths are the original codes'. With store_word_starts there are `word_starts` (and
    `label_ids`, where they are not the tokens) in place of what is masked.
    """
    long, short = settings.max_seq_length, settings.max_predictions_per_seq
    features = {
        "input_ids": _padded(instance.tokens, long),
        "input_mask": np.arange(long) < len(instance.tokens),
        "segment_ids": _padded(instance.segments, long),
        "next_sentence_labels": np.array([instance.is_swapped]),
    }
    if settings.store_word_starts:
        features["word_starts"] = _padded(instance.starts, long)
        if settings.brightmart_labels:
            features["label_ids"] = _padded(instance.labels, long)
        return features
    features["masked_lm_positions"] = _padded(instance.positions, short)
    features["masked_lm_ids"] = _padded(instance.labels, short)
    features["masked_lm_weights"] = (
        np.arange(short) < len(instance.positions)).astype(np.float32)
    return features


def _padded(values, size):
    """[n] -> [size], with zeros behind."""
    array = np.zeros(size, values.dtype)
    array[:len(values)] = values
    return array
