"""A document -> pre-training instances: a pure function of text, settings and seed.

Sentence-order pairs of one document, whole words and n-gram spans to mask, 80/10/10 (ALBERT paper,
sections 3.1 and 4.1). Drivers (create_pretraining_data.py) read documents and write instances; the
same document gives the same instances whoever calls.
"""

import collections
import hashlib
import logging
import random

import jieba
import numpy as np

import tokenization

jieba.setLogLevel(logging.WARNING)

Settings = collections.namedtuple("Settings", [
    "max_seq_length",           # S, [CLS] and [SEP] included
    "max_predictions_per_seq",  # P
    "masked_lm_prob",           # share of tokens to mask
    "short_seq_prob",           # share of documents cut to a random shorter length
    "dupe_factor",              # how often a document is used, each time with other masks
    "ngram",                    # longest span in whole words, p(n) ~ 1/n
    "whole_words",              # False: every token is a word of its own
    "brightmart_labels",        # labels of later characters of a word are the ids of `##字`
    "random_seed",
])

# The sentences of a document one after another. ids: int32 [T]; starts: bool [T], whether a token
# begins a word; bounds: int [sentences + 1], where each sentence begins and the last one ends.
Document = collections.namedtuple("Document", "ids starts bounds seed")

# One training example before padding. tokens, segments: int [L]; positions, labels: int [M];
# is_swapped: the sentence-order label; span_lengths: words in every masked span.
Instance = collections.namedtuple(
    "Instance", "tokens segments positions labels is_swapped span_lengths")


def jieba_boundaries(sentence):
    """Where jieba ends its words in the raw sentence: "我喜欢汤" -> [1, 3, 4]."""
    return np.cumsum([len(word) for word in jieba.cut(sentence)])


def encode_document(sentences, tokenizer, boundaries=None):
    """A list of raw sentences -> a Document; sentences without tokens are left out.

    Args:
      sentences: list of str.
      tokenizer: a tokenizer of tokenization.py.
      boundaries: function sentence -> word ends in characters (jieba_boundaries), or None: word
        starts then come from the tokens alone (`##` or `▁`).
    """
    is_word_start = tokenizer.is_word_start
    all_ids, all_starts = [], []
    for sentence in sentences:
        ids, offsets, _ = tokenizer.encode_with_offsets(sentence)
        if not len(ids):
            continue
        starts = np.array([is_word_start[index] for index in ids])
        if boundaries is not None:
            words = np.searchsorted(boundaries(sentence), offsets, side="right")
            starts[1:] &= words[1:] != words[:-1]
        starts[0] = True
        all_ids.append(np.array(ids, np.int32))
        all_starts.append(starts)
    bounds = np.cumsum([0] + [len(ids) for ids in all_ids])
    digest = hashlib.blake2b("\n".join(sentences).encode("utf-8"), digest_size=8).digest()
    if not all_ids:
        return Document(np.zeros(0, np.int32), np.zeros(0, bool), bounds, digest)
    return Document(np.concatenate(all_ids), np.concatenate(all_starts), bounds, digest)


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
    a, b = document.ids[slice(*first)], document.ids[slice(*second)]
    cls, sep = [vocabulary.cls_id], [vocabulary.sep_id]
    tokens = np.concatenate([cls, a, sep, b, sep]).astype(np.int32)
    segments = np.repeat(np.array([0, 1], np.int32), [len(a) + 2, len(b) + 1])
    starts = np.ones(len(tokens), bool)
    if settings.whole_words:
        starts[1:1 + len(a)] = document.starts[slice(*first)]
        starts[2 + len(a):-1] = document.starts[slice(*second)]
        starts[[1, 2 + len(a)]] = True
    word_starts = np.flatnonzero(starts)  # the specials are words of their own
    budget = min(settings.max_predictions_per_seq,
                 max(1, int(round(len(tokens) * settings.masked_lm_prob))))
    frozen = {0, int(np.searchsorted(word_starts, len(a) + 1)), len(word_starts) - 1}
    positions, span_lengths = choose_positions(
        word_starts.tolist() + [len(tokens)], frozen, budget, settings.ngram, rng)
    labels = tokens[positions]
    if settings.brightmart_labels:
        later = ~starts[positions]
        labels[later] = vocabulary.continuation_ids[labels[later]]
    replace(tokens, positions, vocabulary, rng)
    return Instance(tokens, segments, positions, labels, int(is_swapped), span_lengths)


def choose_positions(word_bounds, frozen, budget, ngram, rng):
    """Draws spans of 1...ngram whole words, p(n) ~ 1/n (ALBERT paper, section 3.1).

    Args:
      word_bounds: where each word begins, and the end of the last one.
      frozen: indices of words that are never masked ([CLS], [SEP]); no span crosses them.
      budget: at most so many tokens.
      ngram: the longest span, in words.
      rng: random.Random.

    Returns:
      (sorted token positions, words in every span in the order drawn). A span over the budget is
      shortened to the words that fit.
    """
    words = len(word_bounds) - 1
    taken = [index in frozen for index in range(words)]
    law = np.cumsum(1.0 / np.arange(1, ngram + 1))
    law = (law / law[-1]).tolist()
    positions, span_lengths = [], []
    misses = 0
    while len(positions) < budget and misses < 20:
        chance = rng.random()
        wanted = 1 + sum(chance >= bound for bound in law[:-1])
        begin, end = _free_span(taken, wanted, rng)
        while end > begin and word_bounds[end] - word_bounds[begin] > budget - len(positions):
            end -= 1
        if begin == end:
            misses += 1
            continue
        taken[begin:end] = [True] * (end - begin)
        positions.extend(range(word_bounds[begin], word_bounds[end]))
        span_lengths.append(end - begin)
    return np.array(sorted(positions), np.int32), span_lengths


def _free_span(taken, wanted, rng, tries=8):
    """A random range of `wanted` words that are not taken; an empty one when none is found."""
    places = len(taken) - wanted + 1
    for _ in range(tries if places > 0 else 0):
        begin = int(rng.random() * places)
        if not any(taken[begin:begin + wanted]):
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
    """An Instance -> {feature name: array}, padded, with the original codes' names and types."""
    length, predictions = len(instance.tokens), len(instance.positions)

    def padded(values, size, dtype=np.int64):
        array = np.zeros(size, dtype)
        array[:len(values)] = values
        return array

    long, short = settings.max_seq_length, settings.max_predictions_per_seq
    return collections.OrderedDict([
        ("input_ids", padded(instance.tokens, long)),
        ("input_mask", padded(np.ones(length), long)),
        ("segment_ids", padded(instance.segments, long)),
        ("masked_lm_positions", padded(instance.positions, short)),
        ("masked_lm_ids", padded(instance.labels, short)),
        ("masked_lm_weights", padded(np.ones(predictions), short, np.float32)),
        ("next_sentence_labels", np.array([instance.is_swapped])),
    ])
