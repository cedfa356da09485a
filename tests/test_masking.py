"""The law of masks in numbers, and static masks drawn by it."""

import collections
import random
import subprocess
import sys
import types

import numpy as np
import pytest

from factories import MASKING, ROOT
from pretraining import masking

# ---- the law ----

def test_span_lengths_have_one_over_n():
    assert masking.span_law(1) == [1]
    assert masking.span_law(3) == pytest.approx([6 / 11, 9 / 11, 1])
    probabilities = np.diff([0] + masking.span_law(10))
    np.testing.assert_allclose(probabilities * np.arange(1, 11), probabilities[0])


@pytest.mark.parametrize("length, share, most, budget", [
    (128, 0.15, 20, 19), (128, 0.15, 10, 10), (512, 0.10, 51, 51), (5, 0.0, 20, 1), (0, 0.15, 9, 1),
    (10, 0.25, 20, 2), (30, 0.25, 20, 8),  # 2.5 and 7.5 are rounded to even
])
def test_budget(length, share, most, budget):
    settings = MASKING._replace(masked_lm_prob=share, max_predictions_per_seq=most)
    assert masking.mask_budget(length, settings) == budget


def test_eighty_ten_ten():
    assert (masking.MASK_SHARE, masking.MASK_SHARE + masking.RANDOM_SHARE) == (0.8, 0.9)


def test_ordinary_ids():
    assert masking.ordinary_ids(7, (0, 5, 2)) == [1, 3, 4, 6]


def test_without_tensorflow():
    code = "import sys; from pretraining import masking; assert 'tensorflow' not in sys.modules"
    subprocess.check_call([sys.executable, "-c", code], cwd=ROOT)


# ---- static masks ----

def test_positions_are_drawn_in_words_between_the_specials():
    """Over sentences and words of any length."""
    rng = random.Random(4)
    for _ in range(500):
        lengths = [rng.choice([1, 1, 2, 3, 9]) for _ in range(rng.randrange(2, 40))]
        split = rng.randrange(1, len(lengths))
        words = [1] + lengths[:split] + [1] + lengths[split:] + [1]  # with [CLS], [SEP] and [SEP]
        bounds = np.cumsum([0] + words)
        starts = np.zeros(bounds[-1], bool)
        starts[bounds[:-1]] = True
        middle = bounds[split + 1]
        size, ngram = rng.randrange(1, 30), rng.randrange(1, 6)
        positions, span_lengths = masking.choose_positions(
            starts, middle, size, masking.span_law(ngram), rng)
        assert positions.dtype == np.int32
        assert len(positions) <= size
        assert not {0, middle, bounds[-1] - 1} & set(positions.tolist())
        assert (np.diff(positions) > 0).all()
        number = np.cumsum(starts) - 1  # of the word of every token
        masked = collections.Counter(number[positions].tolist())
        assert all(count == words[word] for word, count in masked.items())
        assert sum(span_lengths) == len(masked)
        assert not span_lengths or 1 <= min(span_lengths) <= max(span_lengths) <= ngram


class Draws:
    """A generator that gives the same number again and again, and counts how often."""

    def __init__(self, number):
        self.number, self.count = number, 0

    def random(self):
        self.count += 1
        return self.number


def test_draws_end_after_twenty_misses_of_eight_tries():
    """Always the span from [CLS] on, which is never free: 20 lengths and 160 places are drawn."""
    rng = Draws(0.0)
    positions, span_lengths = masking.choose_positions(
        np.ones(9, bool), 4, 3, masking.span_law(3), rng)
    assert (positions.tolist(), span_lengths) == ([], [])
    assert rng.count == 20 * (1 + 8)


@pytest.mark.parametrize("draw, token", [(0.0, 1), (0.799, 1), (0.8, 28), (0.899, 28), (0.9, 7)])
def test_replacement_by_the_draw(draw, token):
    vocabulary = types.SimpleNamespace(mask_id=1, ordinary_ids=list(range(20, 30)))
    tokens = np.array([7, 7, 7])
    masking.replace(tokens, [1], vocabulary, Draws(draw))
    assert tokens.tolist() == [7, token, 7]
