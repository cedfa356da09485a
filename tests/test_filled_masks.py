"""Held-out sentences with their masks filled, as a person reads them."""

import types

from util.errors import UserError

import numpy as np
import pytest

import tiny
import tokenization
from pretraining import filled_masks

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + "长 江 发 源 the low ##er ##江".split()


def line(ids, positions, labels, said, probabilities, tokens=WORDS, order=(0.75, 0.25)):
    tokenizer = types.SimpleNamespace(tokens=tokens, pad_id=0, cls_id=2, sep_id=3)
    padding = 4 - len(positions)
    record = {
        "input_ids": ids, "masked_lm_positions": positions + [0] * padding,
        "masked_lm_ids": labels + [0] * padding, "said_ids": said + [0] * padding,
        "masked_lm_weights": [1.0] * len(positions) + [0.0] * padding,
        "said_probabilities": probabilities + [1.0] * padding,
        "next_sentence_labels": [1], "order_probabilities": order}
    return filled_masks.Shower(tokenizer, 1).sentence(
        {name: np.array(values) for name, values in record.items()})


def test_brackets_hold_neighbouring_masks_and_their_joint_probability():
    """The second label is that of --brightmart_labels; the last token was kept as it is."""
    assert line([2, 4, 4, 7, 3, 8, 5, 3, 0], [1, 2, 6], [5, 12, 5], [5, 8, 8], [0.5, 0.5, 0.125]
                ) == "[长江 -> 长源 0.25]发 | 源[长 -> 源 0.12]  (swapped -> in order 0.75)"


def test_words_are_separated_by_spaces_and_characters_are_not():
    found = line([2, 9, 4, 11, 5, 9, 3, 4, 9, 3], [2, 7], [10, 9], [9, 10], [0.5, 1.0])
    assert found.split("  (")[0] == "the [low -> the 0.50]er长the | [the -> low 1.00] the"


def test_pieces_of_sentencepiece_bring_their_spaces():
    pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "\u2581the", "\u2581cat", "s"]
    assert line([2, 5, 4, 7, 3, 6, 3], [2], [6], [5], [0.5], pieces, (0.25, 0.75)
                ) == "the [cat -> the 0.50]s | cat  (swapped -> swapped 0.75)"


def test_vocabulary_is_that_of_the_records(tmp_path):
    path = tiny.write_vocab(tmp_path / "vocab.txt")
    made_with = tokenization.load_tokenizer(path, None, False).fingerprint
    description = {"vocab": {"file": path, "fingerprint": made_with},
                   "flags": {"do_lower_case": False}}
    assert filled_masks.load_tokenizer(description, None, 100).fingerprint == made_with
    for wrong, given, size, message in [
            (dict(description, flags={"do_lower_case": True}), None, 100,
             r"vocab.txt \(100 tokens\) is not the vocabulary that the records were made with"),
            (None, path, 99, "is not the vocabulary"), (description, "/none", 100, "/none: no suc"),
            (None, None, 100, "no description beside the records names their vocabulary; name ")]:
        with pytest.raises(UserError, match=message):
            filled_masks.load_tokenizer(wrong, given, size)
