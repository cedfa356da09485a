"""Pairs drawn while training: the same law as those made with the data, and repeatable."""

import collections
import operator
import random
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from pretraining import dynamic_order, instances, masking
from test_dynamic_masking import assert_law, assert_same_law

pytestmark = pytest.mark.one_platform

CLS, SEP = 2, 3
ORDER = masking.Order(CLS, SEP)
VOCABULARY = types.SimpleNamespace(cls_id=CLS, sep_id=SEP, continuation_ids=np.arange(1000) + 500)


def document(sentences):
    """Sentences as lists of lengths of words -> an instances.Document of the tokens 10, 11, ..."""
    words = [word for sentence in sentences for word in sentence]
    starts = np.concatenate([np.arange(word) == 0 for word in words])
    bounds = np.cumsum([0] + [sum(sentence) for sentence in sentences])
    return instances.Document(10 + np.arange(len(starts), dtype=np.int32), starts, bounds, b"1", [])


def settings(size, **changes):
    return instances.Settings(
        max_seq_length=size, max_predictions_per_seq=3, masked_lm_prob=0.15, short_seq_prob=0.0,
        dupe_factor=1, ngram=3, whole_words=True, brightmart_labels=True, store_word_starts=True,
        random_seed=1)._replace(**changes)


def batch_of(documents, size):
    """The features of records of whole sentences, padded as a batch of them is read."""
    made = settings(size, store_sentences=True)
    records = [instances.sentences_features(instances.sentences_instance(
        one, 0, len(one.bounds) - 1, made, VOCABULARY), made) for one in documents]
    longest = {name: max(len(record[name]) for record in records) for name in records[0]}
    return {name: np.array([np.pad(record[name].astype(np.int32), (0, length - len(record[name])),
                                   "constant") for record in records])
            for name, length in longest.items()}


def drawn(documents, size, numbers=(0,), seed=7):
    """The pairs of a batch, once for every number, one below the other."""
    batch = batch_of(documents, size)
    with tf.Graph().as_default(), tf.Session() as session:
        number = tf.placeholder(tf.int64, [])
        made = dynamic_order.pair_batch({name: tf.constant(value) for name, value in batch.items()},
                                        size, ORDER, [seed, number])
        assert all(value.shape.as_list()[1] in (1, size) for value in made.values())
        found = [session.run(made, {number: value}) for value in numbers]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def statically_drawn(one, size, count):
    """`count` pairs as instances.py makes them of all sentences of a document, as `drawn`."""
    made, rng = settings(size), random.Random(5)
    for _ in range(count):
        pair = instances.draw_pair(one, 0, len(one.bounds) - 1, made, rng)
        yield {name: rows[0] for name, rows in instances.features(
            [instances.make_instance(one, *pair, made, VOCABULARY, rng)], made).items()}


def keys(records):
    """What there is to a pair, all features of it, in a form to be counted."""
    return [tuple(tuple(np.asarray(record[name]).astype(int).tolist()) for name in (
        "input_ids", "input_mask", "segment_ids", "word_starts", "label_ids",
        "next_sentence_labels")) for record in records]


def rows(made):
    return [{name: values[row] for name, values in made.items()}
            for row in range(len(made["input_ids"]))]


@pytest.mark.parametrize("sentences, size", [
    ([[1, 2], [3], [1, 1, 1], [2]], 20),                 # all fits
    ([[1, 2, 1], [3, 2], [1, 1, 1]], 12),                # one token too many, then more
    ([[2, 2], [3, 3, 3, 3, 3]], 12),                     # the longer one is cut
    ([[9], [1, 1]], 9),                                  # a word longer than its segment
    ([[1], [9], [1, 4, 4]], 11),
])
def test_pairs_have_the_law_of_those_made_with_the_data(sentences, size):
    """In every feature of the record: cut, truncation at both ends, swap, labels."""
    one = document(sentences)
    made = keys(rows(drawn([one] * 1500, size, range(2))))
    static = keys(statically_drawn(one, size, len(made)))
    assert len(set(static)) >= 4
    assert_same_law(made, static)


def test_cuts_are_uniform_and_half_of_the_pairs_are_swapped():
    one = document([[1], [2], [1, 1], [3], [1]])
    made = drawn([one] * 2000, 16)
    swapped = made["next_sentence_labels"][:, 0]
    assert_law(np.bincount(swapped), [1, 1])
    first_sep = np.argmax(made["segment_ids"], 1) - 1
    lengths = np.where(swapped, made["input_mask"].sum(1) - first_sep - 2, first_sep - 1)
    assert sorted(set(lengths.tolist())) == [1, 3, 5, 8]
    counts = collections.Counter(zip(lengths.tolist(), swapped.tolist()))
    assert_law([counts[key] for key in sorted(counts)], np.ones(8))


def test_records_of_a_batch_do_not_touch_each_other():
    """Lengths differ, so the shorter ones are padded; each pair is of its own record's tokens."""
    documents = [document([[1], [2]]), document([[2, 2], [1, 3], [2]]), document([[5], [1] * 30])]
    for record, one in zip(rows(drawn(documents, 16)), documents):
        length = record["input_mask"].sum()
        assert length == min(len(one.ids) + 3, 16)
        text = record["input_ids"][(record["input_ids"] >= 10)]
        assert set(text.tolist()) <= set(one.ids.tolist()) and len(text) == length - 3
        assert not record["input_ids"][length:].any() and not record["word_starts"][length:].any()


def test_pairs_depend_on_the_seed_and_the_number_of_the_batch():
    documents = [document([[1]] * 9)] * 50
    made = drawn(documents, 16, numbers=[0, 1, 0])
    parts = [keys(rows(made))[begin:begin + 50] for begin in (0, 50, 100)]
    assert parts[0] == parts[2]
    for other in (parts[1], keys(rows(drawn(documents, 16, seed=8)))):
        assert sum(map(operator.eq, parts[0], other)) < 15  # of 50; there are 16 different ones
    assert len(set(parts[0])) > 8


@pytest.mark.every_platform
def test_pairs_are_the_same_on_every_tensorflow():
    made = drawn([document([[1, 2], [3], [1, 1], [2, 1]])], 12, numbers=[10 ** 6], seed=12345)
    assert {name: value[0].tolist() for name, value in made.items()} == {
        "input_ids": [2, 18, 19, 20, 3, 11, 12, 13, 14, 15, 16, 3],
        "input_mask": [1] * 12, "segment_ids": [0] * 5 + [1] * 7,
        "word_starts": [1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1],
        "label_ids": [2, 18, 519, 20, 3, 11, 512, 13, 514, 515, 16, 3],
        "next_sentence_labels": [1]}
