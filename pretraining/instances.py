"""A document -> pre-training instances: a pure function of text, settings and seed.

Sentence-order pairs of one document (ALBERT paper, section 3.1), masked by masking.py. The drivers,
shards.py and spark.py, read documents and write instances; the same document gives the same
instances under both.
"""

import hashlib
import random
import typing

import numpy as np

import tokenization
from pretraining import masking

_NO_POSITIONS = np.zeros(0, np.int32)


class Settings(typing.NamedTuple):
    """All that instances depend on besides the text and the vocabulary."""
    max_seq_length: int           # S, [CLS] and [SEP] included
    max_predictions_per_seq: int  # P
    masked_lm_prob: float         # share of tokens to mask
    short_seq_prob: float         # share of documents cut to a random shorter length
    dupe_factor: int              # how often a document is used, each time with other masks
    ngram: int                    # longest span in whole words, p(n) ~ 1/n
    whole_words: bool             # False: every token is masked by itself
    brightmart_labels: bool       # labels of later characters of a word are the ids of `##字`
    store_word_starts: bool       # nothing is masked: dynamic_masking.py does it while training
    random_seed: int
    favor_shorter_ngram: bool = True  # else the longest span is the likeliest
    store_sentences: bool = False  # nothing is paired either: dynamic_order.py does it; it goes
    # with store_word_starts


class Document(typing.NamedTuple):
    """The tokens of a document, its sentences concatenated."""
    ids: np.ndarray     # int32 [T]
    starts: np.ndarray  # bool [T], whether a token begins a word
    bounds: np.ndarray  # int [sentences + 1], where each sentence begins and the last one ends
    seed: bytes         # a hash of the text
    unknown: list       # the pieces of text that became [UNK]


class Instance(typing.NamedTuple):
    """A training example of L tokens, M of them masked, before padding.

    With store_word_starts nothing is masked: positions and span_lengths are empty, and labels [L]
    are those that the tokens have if they are masked later. With store_sentences nothing is paired
    either: tokens are those of the sentences alone, and there are no segments.
    """
    tokens: np.ndarray     # int32 [L], with [CLS], [SEP] and [MASK]
    segments: np.ndarray   # bool [L], False up to the first [SEP]
    starts: np.ndarray     # bool [L], whether a token begins a word
    positions: np.ndarray  # int32 [M], sorted
    labels: np.ndarray     # int32 [M]
    is_swapped: int        # the sentence-order label
    span_lengths: list     # words in every masked span
    sentence_lengths: np.ndarray = None  # int [sentences] with store_sentences, else None

    @property
    def length(self):
        """Tokens with [CLS] and [SEP]."""
        return len(self.tokens) + (0 if self.sentence_lengths is None else 3)


def encode_document(sentences, tokenizer, cut=None):
    """A list of raw sentences -> a Document; sentences without tokens are left out.

    Args:
      sentences: list of str.
      tokenizer: a tokenizer of tokenization.py.
      cut: function sentence -> list of words (segmentation.py), or None: word starts then come from
        the tokens alone (`##` or `▁`).
    """
    ids, offsets, words, unknown = [], [], [], []  # of all sentences together
    counts, lengths = [], []  # of each: tokens, characters
    for sentence in sentences:
        new_ids, new_offsets, ends = tokenizer.encode_with_offsets(sentence)
        if not new_ids:
            continue
        if tokenizer.unk_id in new_ids:
            unknown += [sentence[offset:end]
                        for index, offset, end in zip(new_ids, new_offsets, ends)
                        if index == tokenizer.unk_id]
        ids += new_ids
        offsets += new_offsets
        counts.append(len(new_ids))
        lengths.append(len(sentence))
        if cut:
            words += cut(sentence)
    ids = np.array(ids, np.int32)
    bounds = np.cumsum([0] + counts)
    starts = tokenizer.is_word_start[ids]
    if cut:
        offsets = np.array(offsets, int) + np.repeat(np.cumsum([0] + lengths)[:-1], counts)
        ends = np.cumsum(list(map(len, words)))  # in the characters of all sentences
        numbers = np.searchsorted(ends, offsets, side="right")  # of the words of the tokens
        starts[1:] &= numbers[1:] != numbers[:-1]
    starts[bounds[:-1]] = True
    digest = hashlib.blake2b("\n".join(sentences).encode("utf-8"), digest_size=8).digest()
    return Document(ids, starts, bounds, digest, unknown)


def document_instances(document, settings, vocabulary):
    """Yields the Instances of a Document, made anew `dupe_factor` times.

    Each (document, duplicate) has its own seed, from the document's text, so neither its position
    in the corpus nor the number of workers matters. A document of fewer than two sentences yields
    none.
    """
    for duplicate in range(settings.dupe_factor):
        rng = random.Random("%d %s %d" % (settings.random_seed, document.seed.hex(), duplicate))
        for begin, end in sentence_groups(document, settings, rng):
            if settings.store_sentences:
                yield sentences_instance(document, begin, end, settings, vocabulary)
            else:
                pair = draw_pair(document, begin, end, settings, rng)
                yield make_instance(document, *pair, settings, vocabulary, rng)


def draw_pair(document, begin, end, settings, rng):
    """Sentences from `begin` to before `end` -> (first, second, is_swapped), to fit an instance.

    They are split in two between sentences (as BERT's and ALBERT's create_instances_from_document,
    but never with a segment of another document): segments are (begin, end) token ranges, swapped
    with probability 1/2. Only then are they truncated, as there: of two long ones the first keeps
    a token more, which would tell the order of the text.
    """
    cut = begin + 1 + int(rng.random() * (end - begin - 1))
    bounds = document.bounds
    first, second = ((int(bounds[left]), int(bounds[right]))
                     for left, right in ((begin, cut), (cut, end)))
    is_swapped = rng.random() < 0.5
    if is_swapped:
        first, second = second, first
    room = settings.max_seq_length - 3  # [CLS], [SEP], [SEP]
    return truncate_pair(first, second, room, document.starts, rng) + (is_swapped,)


def sentence_groups(document, settings, rng):
    """Yields (first sentence, the one behind the last) of at least two, up to a target length."""
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
        yield begin, end
        begin = end


def truncate_pair(first, second, room, starts, rng):
    """Truncates two token ranges to `room` tokens together, each at random ends (as BERT)."""
    lengths = first[1] - first[0], second[1] - second[0]
    if sum(lengths) <= room:
        return first, second
    keep = tokenization.fit_pair(*lengths, room)
    return tuple(_truncate(segment, length, starts, rng)
                 for segment, length in zip((first, second), keep))


def _truncate(segment, length, starts, rng):
    """Drops tokens at random ends down to `length`, and then what is left of words cut in two."""
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
    # A word longer than the segment (a URL, say) cannot be kept whole.
    return (whole_begin, whole_end) if whole_begin < whole_end else (cut_begin, cut_end)


def make_instance(document, first, second, is_swapped, settings, vocabulary, rng):
    """Two token ranges -> an Instance: joined, masked."""
    middle = 1 + first[1] - first[0]  # position of the first [SEP]
    tokens = np.empty(middle + second[1] - second[0] + 2, np.int32)
    tokens[0], tokens[middle], tokens[-1] = (
        vocabulary.cls_id, vocabulary.sep_id, vocabulary.sep_id)
    tokens[1:middle] = document.ids[first[0]:first[1]]
    tokens[middle + 1:-1] = document.ids[second[0]:second[1]]
    segments = np.zeros(len(tokens), bool)
    segments[middle + 1:] = True
    word_starts = np.ones(len(tokens), bool)  # [CLS] and [SEP] each count as a word
    word_starts[2:middle] = document.starts[first[0] + 1:first[1]]
    word_starts[middle + 2:-1] = document.starts[second[0] + 1:second[1]]
    labels = labels_of(tokens, word_starts, settings, vocabulary)
    starts = word_starts if settings.whole_words else np.ones(len(tokens), bool)
    if settings.store_word_starts:
        return Instance(tokens, segments, starts, _NO_POSITIONS, labels, int(is_swapped), [])
    positions, span_lengths = masking.choose_positions(
        starts, middle, masking.mask_budget(len(tokens), settings),
        masking.span_law(settings.ngram, settings.favor_shorter_ngram), rng)
    labels = labels[positions]
    masking.replace(tokens, positions, vocabulary, rng)
    return Instance(tokens, segments, starts, positions, labels, int(is_swapped), span_lengths)


def labels_of(tokens, word_starts, settings, vocabulary):
    """int32 [L], bool [L] -> int32 [L]: the label of each token if it is masked."""
    if settings.brightmart_labels:
        return np.where(word_starts, tokens, vocabulary.continuation_ids[tokens])
    return tokens


def sentences_instance(document, begin, end, settings, vocabulary):
    """Sentences from `begin` to before `end` -> an Instance of their tokens alone, not paired."""
    bounds = document.bounds[begin:end + 1]
    tokens = document.ids[bounds[0]:bounds[-1]]
    starts = document.starts[bounds[0]:bounds[-1]]
    labels = labels_of(tokens, starts, settings, vocabulary)
    return Instance(tokens, _NO_POSITIONS, starts if settings.whole_words else np.ones_like(starts),
                    _NO_POSITIONS, labels, 0, [], np.diff(bounds))


class Vocabulary:
    """The ids of a tokenizer that instances need: special ones, random tokens, `##字`.

    Attributes:
      cls_id, sep_id, mask_id, pad_id: int.
      ordinary_ids: list of the ids that a random token is drawn from.
      continuation_ids: int [V], for an id of `字` that of `##字` where there is one, else itself.
    """

    def __init__(self, tokenizer):
        self.cls_id, self.sep_id = tokenizer.cls_id, tokenizer.sep_id
        self.mask_id, self.pad_id = tokenizer.mask_id, tokenizer.pad_id
        self.ordinary_ids = masking.ordinary_ids(
            tokenizer.vocab_size,
            (self.cls_id, self.sep_id, self.mask_id, self.pad_id, tokenizer.unk_id))
        vocab = tokenizer.vocab
        self.continuation_ids = np.array(
            [vocab.get("##" + token, index) if len(token) == 1 and token > "\u2e7f" else index
             for index, token in enumerate(tokenizer.tokens)], np.int32)


def sentences_features(instance, settings):
    """An Instance of whole sentences -> {name: array}: records.sentences_spec."""
    features = {"input_ids": instance.tokens, "word_starts": instance.starts,
                "sentence_lengths": instance.sentence_lengths}
    return dict(features, label_ids=instance.labels) if settings.brightmart_labels else features


def features(instances, settings):
    """n Instances -> {name: padded array [n, S] or [n, P]}: records.masked_spec, unmasked_spec.
    """
    size, predictions = settings.max_seq_length, settings.max_predictions_per_seq
    is_token = _are_filled([len(one.tokens) for one in instances], size)
    arrays = {
        "input_ids": _padded([one.tokens for one in instances], is_token, np.int32),
        "input_mask": is_token,
        "segment_ids": _padded([one.segments for one in instances], is_token, bool),
        "next_sentence_labels": np.array([[one.is_swapped] for one in instances], bool),
    }
    if settings.store_word_starts:
        arrays["word_starts"] = _padded([one.starts for one in instances], is_token, bool)
        if settings.brightmart_labels:
            arrays["label_ids"] = _padded([one.labels for one in instances], is_token, np.int32)
        return arrays
    is_masked = _are_filled([len(one.positions) for one in instances], predictions)
    arrays["masked_lm_positions"] = _padded(
        [one.positions for one in instances], is_masked, np.int32)
    arrays["masked_lm_ids"] = _padded([one.labels for one in instances], is_masked, np.int32)
    arrays["masked_lm_weights"] = is_masked.astype(np.float32)
    return arrays


def _are_filled(lengths, size):
    """[n] -> bool [n, size]: True for so many at the beginning of each row."""
    return np.arange(size) < np.array(lengths)[:, None]


def _padded(rows, is_filled, dtype):
    """List of arrays -> [n, size], the rows padded with zeros at their ends."""
    array = np.zeros(is_filled.shape, dtype)
    array[is_filled] = np.concatenate(rows)
    return array
