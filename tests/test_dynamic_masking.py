"""Masks drawn while training: the same law as those made with the data, and repeatable."""

import collections
import random

import numpy as np
import pytest
import scipy.stats
import tensorflow.compat.v1 as tf

from pretraining import dynamic_masking, masking

# The golden masks below hold on both.
pytestmark = pytest.mark.one_platform

PAD, UNK, CLS, SEP, MASK = range(5)
V = 30
SETTINGS = masking.Settings(
    max_predictions_per_seq=20, masked_lm_prob=0.15, ngram=3, brightmart_labels=False,
    mask_id=MASK, special_ids=(PAD, UNK, CLS, SEP, MASK), vocab_size=V)
FIRST = 12  # tokens of texts made here are 12 to 29, so 5 to 11 come from the random ones only


def text(first, second, size=64):
    """The features of an unmasked record of two segments, given as lengths of words."""
    words = [1] + list(first) + [1] + list(second) + [1]
    length = sum(words)
    starts = np.concatenate([np.arange(word) == 0 for word in words])
    middle = 1 + sum(first)
    ids = FIRST + np.arange(length) % (V - FIRST)
    ids[[0, middle, -1]] = CLS, SEP, SEP
    features = {"input_ids": ids, "input_mask": np.ones(length), "word_starts": starts,
                "segment_ids": np.arange(length) > middle}
    return {name: np.pad(np.asarray(values, np.int32), (0, size - length), "constant")
            for name, values in features.items()}


def random_texts(count, size=64):
    """Texts of words of 1 to 4 tokens, every third as long as there is room, the others shorter."""
    rng = np.random.RandomState(3)
    texts = []
    for index in range(count):
        room = size - 3 if index % 3 == 0 else rng.randint(8, size - 3)
        words = rng.randint(1, 5, room // 4 + rng.randint(room))
        words = words[np.cumsum(words) < room].tolist()
        words.append(room - sum(words))
        cut = rng.randint(1, len(words))
        texts.append(text(words[:cut], words[cut:], size))
    return texts


def batch_of(texts):
    return {name: np.array([features[name] for features in texts]) for name in texts[0]}


def masked(batch, settings=SETTINGS, numbers=(0,), seed=7):
    """The masked batch, once for every number, one below the other."""
    with tf.Graph().as_default(), tf.Session() as session:
        def mask(number):
            features = {name: tf.constant(values) for name, values in batch.items()}
            return dynamic_masking.mask_batch(features, settings, [seed, number])

        dataset = tf.data.Dataset.from_tensor_slices(np.array(numbers, np.int64)).map(mask)
        following = tf.data.make_one_shot_iterator(dataset).get_next()
        made = [session.run(following) for _ in numbers]
    return {name: np.concatenate([one[name] for one in made]) for name in made[0]}


def chosen(made):
    """The positions of every example, lists without the padding."""
    return [positions[weights > 0].tolist() for positions, weights in zip(
        made["masked_lm_positions"], made["masked_lm_weights"])]


def at_positions(made, name):
    """The values [M] of a feature at all positions that are masked."""
    return np.concatenate([values[positions]
                           for values, positions in zip(made[name], chosen(made))])


def labels_of(made):
    return made["masked_lm_ids"][made["masked_lm_weights"] > 0]


def budget(features, settings):
    return masking.mask_budget(int(features["input_mask"].sum()), settings)


def statically_chosen(features, settings, count):
    """The positions that masking.py chooses in a text, `count` times."""
    length = features["input_mask"].sum()
    middle = int(np.argmax(features["segment_ids"])) - 1
    rng = random.Random(5)
    starts = features["word_starts"][:length].astype(bool)
    return [masking.choose_positions(
        starts, middle, budget(features, settings), masking.span_law(settings.ngram),
        rng)[0].tolist()
            for _ in range(count)]


def assert_same_law(first, second):
    """A two-sample chi-square test of two iterables; what is rare is pooled."""
    first, second = collections.Counter(first), collections.Counter(second)
    table = np.array([[first[key], second[key]] for key in set(first) | set(second)])
    often = table.sum(1) >= 20
    table = np.vstack([table[often], table[~often].sum(0)])
    table = table[table.sum(1) > 0]
    assert len(table) > 1
    assert scipy.stats.chi2_contingency(table)[1] > 1e-3, table


def assert_law(counts, shares):
    """A chi-square test of counts against their shares."""
    counts, shares = np.asarray(counts), np.asarray(shares, float)
    assert scipy.stats.chisquare(counts, counts.sum() * shares / shares.sum())[1] > 1e-3, counts


# ---- which tokens ----

@pytest.mark.slow
@pytest.mark.parametrize("first, second, changes", [
    ([1, 2, 1, 3], [2, 1, 1, 2], {"masked_lm_prob": 0.3}),
    ([2, 2, 2, 1], [3, 1, 4], {"masked_lm_prob": 0.25, "ngram": 5}),
    ([1, 2, 1, 3], [2, 1, 1, 2], {"masked_lm_prob": 0.3, "ngram": 1}),
    # Every try counts: one position of five is free for a span of two words.
    ([1, 1], [1], {"masked_lm_prob": 0.3, "ngram": 2}),
    # Every draw counts: one word of 16 fits the budget.
    ([3] * 8 + [1], [3] * 7, {"masked_lm_prob": 0.0, "ngram": 1}),
    # The spans are longer than the segments, and than the text.
    ([1], [2], {"masked_lm_prob": 1.0, "ngram": 10}),
    ([1, 1], [1, 1], {"masked_lm_prob": 1.0, "ngram": 4}),
    ([1, 2, 1, 3], [2, 1, 1, 2], {"masked_lm_prob": 0.9, "max_predictions_per_seq": 3}),
])
def test_sets_of_positions_have_the_law_of_static_masks(first, second, changes):
    settings = SETTINGS._replace(**changes)
    features = text(first, second)
    made = chosen(masked(batch_of([features] * 2000), settings, range(4)))
    static = statically_chosen(features, settings, len(made))
    assert_same_law(map(tuple, made), map(tuple, static))


def runs(positions):
    """The lengths of the runs of neighbours: [3, 4, 9] -> [2, 1]."""
    pieces = np.split(np.array(positions), np.flatnonzero(np.diff(positions) > 1) + 1)
    return list(map(len, pieces))


@pytest.mark.slow
@pytest.mark.parametrize("ngram", [3, 10])
def test_long_texts_have_the_law_of_static_masks(ngram):
    """In runs of neighbours, in words, and in how often each position is masked."""
    settings = SETTINGS._replace(ngram=ngram, max_predictions_per_seq=12)
    for features in random_texts(2):
        made = chosen(masked(batch_of([features] * 500), settings, range(3)))
        static = statically_chosen(features, settings, len(made))
        assert_same_law(sum(map(runs, made), []), sum(map(runs, static), []))
        assert_same_law(sum(made, []), sum(static, []))
        starts = features["word_starts"]
        assert_same_law(*([starts[positions].sum() for positions in both]
                          for both in (made, static)))


@pytest.mark.parametrize("changes", [
    {}, {"ngram": 1}, {"ngram": 10}, {"masked_lm_prob": 0.0}, {"masked_lm_prob": 1.0},
    {"max_predictions_per_seq": 3}, {"max_predictions_per_seq": 1},
    {"masked_lm_prob": 0.9, "max_predictions_per_seq": 63}])
def test_what_holds_for_every_mask(changes):
    settings = SETTINGS._replace(**changes)
    texts = random_texts(80) + [text([1], [1]), text([4], [3, 3])]
    made = masked(batch_of(texts), settings, range(2))
    wanted = settings.max_predictions_per_seq
    missed = 0
    for index, positions in enumerate(chosen(made)):
        features = texts[index % len(texts)]
        length = features["input_mask"].sum()
        words = np.cumsum(features["word_starts"])[:length]
        middle = int(np.argmax(features["segment_ids"])) - 1
        assert positions == sorted(set(positions))
        assert not {0, middle, length - 1} & set(positions)
        assert all(position < length for position in positions)
        assert len(positions) <= budget(features, settings)
        missed += len(positions) < budget(features, settings)
        masked_words = set(words[positions])  # whole: every token of theirs
        assert positions == np.flatnonzero(np.isin(words, list(masked_words))).tolist()
        padding = wanted - len(positions)
        assert made["masked_lm_weights"][index].tolist() == [1] * len(positions) + [0] * padding
        for name in ("masked_lm_positions", "masked_lm_ids"):
            assert not made[name][index, len(positions):].any()
        restored = made["input_ids"][index].copy()
        restored[positions] = made["masked_lm_ids"][index, :len(positions)]
        assert restored.tolist() == features["input_ids"].tolist()
        for name in ("input_mask", "segment_ids"):
            assert made[name][index].tolist() == features[name].tolist()
    if settings.masked_lm_prob < 0.5 and wanted > 3:  # else one word may be more than all that fits
        assert missed < (0.1 if settings.masked_lm_prob else 0.3) * len(made["input_ids"])


@pytest.mark.every_platform
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.15, 0.25, 0.35, 0.5, 1.0])
@pytest.mark.parametrize("most", [20, 77])
def test_budget_is_rounded_as_in_python(share, most):
    settings = SETTINGS._replace(masked_lm_prob=share, max_predictions_per_seq=most)
    lengths = list(range(5, 513))
    with tf.Graph().as_default(), tf.Session() as session:
        budgets = session.run(dynamic_masking.mask_budgets(tf.constant(lengths), 512, settings))
    assert budgets.tolist() == [masking.mask_budget(length, settings) for length in lengths]


@pytest.mark.parametrize("ngram", [1, 2, 3, 10])
def test_lengths_of_spans_follow_one_over_n_and_all_places_are_alike(ngram):
    settings = SETTINGS._replace(ngram=ngram)
    words = np.array([[30], [5]] * 400)
    with tf.Graph().as_default(), tf.Session() as session:
        spans = session.run(dynamic_masking.draw_spans(
            tf.constant(words, tf.int32), settings, tf.constant([3, 4], tf.int64)))
    begins, ends = np.split(spans, 2, axis=2)  # [N, B, T]
    assert begins.shape == (20 + 20 - 1, 800, 8)
    lengths = (ends - begins)[:, ::2]
    assert (lengths == lengths[:, :, :1]).all()
    counts = np.bincount(lengths[:, :, 0].ravel(), minlength=ngram + 1)
    assert counts[0] == 0 and len(counts) == ngram + 1
    if ngram > 1:
        assert_law(counts[1:], 1 / np.arange(1, ngram + 1))
    for length in range(1, ngram + 1):
        assert_law(np.bincount(begins[:, ::2][lengths == length]), np.ones(30 - length + 1))
    assert (ends[:, 1::2].max(), begins[:, 1::2].min()) == (5, 0)


# ---- what becomes of them ----

@pytest.fixture(scope="module")
def replaced():
    """1500 texts with half of their words, which have two tokens, masked."""
    batch = batch_of([text([2] * 12, [2] * 12)] * 500)
    return masked(batch, SETTINGS._replace(masked_lm_prob=0.5), range(3))


def test_eighty_ten_ten(replaced):
    shown, labels = at_positions(replaced, "input_ids"), labels_of(replaced)
    assert len(shown) >= 1500 * 20
    counts = [(shown == MASK).sum(), (shown == labels).sum(), (shown < FIRST).sum()]
    # 7 of the 25 ordinary tokens do not occur in the texts; one of 25 is the token itself.
    assert abs(counts[0] / len(shown) - 0.8) < 0.01
    random_ones = (shown != MASK) & (shown != labels)
    assert_law([counts[0], counts[1], random_ones.sum()], [0.8, 0.1 + 0.1 / 25, 0.1 * 24 / 25])
    assert_law(np.bincount(shown[random_ones & (shown < FIRST)])[MASK + 1:], np.ones(7))


def test_tokens_of_a_word_are_replaced_one_by_one(replaced):
    """Both tokens of a word are [MASK] in 64 % of the words."""
    both = (at_positions(replaced, "input_ids") == MASK).reshape(-1, 2).sum(1)
    assert_law(np.bincount(both), [0.04, 0.32, 0.64])


def test_random_tokens_are_all_but_the_special_ones():
    special = (0, 17, 18, 3, 29)  # wherever they stand in the vocabulary
    settings = SETTINGS._replace(masked_lm_prob=0.5, special_ids=special, mask_id=18)
    batch = batch_of([text([1] * 30, [1] * 30)] * 500)
    batch["input_ids"] = np.where(batch["input_ids"] > SEP, 3, batch["input_ids"])
    shown = at_positions(masked(batch, settings), "input_ids")
    counts = np.bincount(shown, minlength=V)
    assert np.flatnonzero(counts[list(special)]).tolist() == [2, 3]  # [MASK], and 3 where kept
    ordinary = sorted(set(range(V)) - set(special))
    assert_law(counts[ordinary], np.ones(len(ordinary)))


@pytest.mark.slow
def test_which_token_it_is_does_not_depend_on_where_it_is():
    """An example alone: the positions and the replacements come from different numbers."""
    settings = SETTINGS._replace(max_predictions_per_seq=1, ngram=1)
    made = masked(batch_of([text([1, 1], [1, 1])]), settings, range(3000))
    positions = made["masked_lm_positions"][:, 0]
    is_mask = at_positions(made, "input_ids") == MASK
    assert_law(np.bincount(positions)[[1, 2, 4, 5]], np.ones(4))
    for position in (1, 2, 4, 5):
        assert_law(np.bincount(is_mask[positions == position]), [0.2, 0.8])


@pytest.mark.every_platform
def test_brightmart_labels_are_the_stored_ones():
    batch = batch_of(random_texts(50))
    batch["label_ids"] = 1000 + batch["input_ids"]
    made = masked(batch, SETTINGS._replace(brightmart_labels=True))
    plain = masked({name: batch[name] for name in batch if name != "label_ids"})
    assert len(labels_of(made)) > 200
    np.testing.assert_array_equal(labels_of(made), 1000 + labels_of(plain))
    np.testing.assert_array_equal(made["input_ids"], plain["input_ids"])
    assert set(made) == set(plain)
    assert not made["masked_lm_ids"][made["masked_lm_weights"] == 0].any()


# ---- seeds ----

@pytest.mark.every_platform
def test_masks_depend_on_the_seed_and_the_number_of_the_batch():
    batch = batch_of(random_texts(20))
    made = masked(batch, numbers=[0, 1, 2, 1])
    again, other_seed = masked(batch, numbers=[1]), masked(batch, numbers=[1], seed=8)
    for name in again:
        parts = np.split(made[name], 4)
        np.testing.assert_array_equal(parts[1], parts[3])
        np.testing.assert_array_equal(parts[1], again[name])
        if name in ("input_ids", "masked_lm_positions", "masked_lm_ids"):
            assert len({part.tobytes() for part in parts[:3] + [other_seed[name]]}) == 4
    positions = chosen(made)
    for part in (positions[:20], positions[40:60], chosen(other_seed)):
        assert sum(one == other for one, other in zip(part, positions[20:40])) < 5


def test_examples_of_a_batch_are_masked_differently():
    made = masked(batch_of([text([1] * 30, [1] * 31)] * 100))
    assert len(set(map(tuple, chosen(made)))) == 100


@pytest.mark.every_platform
def test_masks_are_the_same_on_every_tensorflow():
    made = masked(batch_of([text([1, 2, 3] * 4, [2, 1] * 9)]), seed=12345, numbers=[10 ** 6])
    assert chosen(made) == [[7, 10, 11, 12, 13, 16, 17, 18]]
    assert at_positions(made, "input_ids").tolist() == [4, 19, 4, 4, 4, 28, 4, 4]


# ---- shapes ----

@pytest.mark.every_platform
@pytest.mark.parametrize("size", [6, None])
def test_shapes_are_as_static_as_the_batch(size):
    batch = batch_of(random_texts(6))
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.placeholder(tf.int32, [size, 64]) for name in batch}
        made = dynamic_masking.mask_batch(features, SETTINGS, (1, 2))
        shapes = {name: value.shape.as_list() for name, value in made.items()}
        feed = {features[name]: batch[name] for name in batch}
        values = session.run(made, feed)
        types = {operation.type for operation in session.graph.get_operations()}
    assert shapes == {name: [size, 64 if name.startswith("in") or name.startswith("seg") else 20]
                      for name in values}
    assert {name: value.shape[0] for name, value in values.items()} == dict.fromkeys(values, 6)
    assert not {name for name in types if "PyFunc" in name}  # a TPU's host runs no Python
    expected = masked(batch, seed=1, numbers=[2])
    for name in values:
        np.testing.assert_array_equal(values[name], expected[name])
