"""The tokenizer within a graph gives the tokens of tokenization.py."""

import os
import random
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tokenization
from conftest import ROOT
from serving import text_signature

try:
    text_signature.library()
    HAS_TEXT = True
except ImportError:
    HAS_TEXT = False
needs_text = pytest.mark.skipif(not HAS_TEXT, reason=text_signature.REQUIREMENTS)
VOCAB = os.path.join(ROOT, "tests", "golden", "tokenization_vocab.txt")


def wordpiece(do_lower_case=True):
    return tokenization.load_tokenizer(VOCAB, do_lower_case=do_lower_case)


@pytest.fixture(scope="module")
def spm_model_file(tmp_path_factory):
    """A SentencePiece model of the sample and of numbers with commas."""
    sentencepiece = pytest.importorskip("sentencepiece")
    prefix = str(tmp_path_factory.mktemp("spm") / "small")
    lines = [text for text in text_signature.samples()[:1000] if text.strip()]
    lines += ["in %d, the x%d,%03d foxes" % (1900 + number, number, number) for number in range(99)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=prefix, vocab_size=2000, minloglevel=2,
        pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    return prefix + ".model"


@needs_text
@pytest.mark.parametrize("do_lower_case", [True, False])
def test_words(do_lower_case):
    texts = text_signature.EDGES + text_signature.samples(seed=1)[-300:]
    assert text_signature.difference(wordpiece(do_lower_case), texts) is None


@needs_text
@pytest.mark.slow
@pytest.mark.every_platform
@pytest.mark.parametrize("do_lower_case", [True, False])
def test_words_of_every_character(do_lower_case):
    texts = text_signature.samples()
    assert len(texts) > 6000 and {chr(0x1f600), "\u0301", "한", "ß"} <= set("".join(texts))
    assert text_signature.difference(wordpiece(do_lower_case), texts) is None


@needs_text
@pytest.mark.slow
@pytest.mark.every_platform
@pytest.mark.parametrize("do_lower_case", [True, False])
def test_pieces_of_every_character(spm_model_file, do_lower_case):
    tokenizer = tokenization.load_tokenizer(spm_model_file=spm_model_file,
                                            do_lower_case=do_lower_case)
    number = tokenizer.tokenize("x1999, 1,000,")
    assert number.count(",") == 3  # so the rule of numbers is in what is compared
    assert text_signature.difference(tokenizer, text_signature.samples()) is None


@needs_text
@pytest.mark.parametrize("name, broken, text", [
    ("_settle_sigmas", lambda codes, rows: codes, "ΑΣ"),
    ("_unknown_character", lambda tokens: ord("的"), "a" * 201),
    ("DROPPED", -1, "a\u200bb"),
])
def test_other_tokens_are_found(name, broken, text, monkeypatch, tmp_path):
    """Each rule that is broken shows, with the text and both lists of ids."""
    with open(VOCAB, encoding="utf-8") as stream:
        tokens = stream.read().rstrip("\n").split("\n")
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(tokens + [token for token in ("α", "##ς", "##σ", "a", "##b", "的")
                                         if token not in tokens]) + "\n", encoding="utf-8")
    tokenizer = tokenization.load_tokenizer(str(vocab))
    assert text_signature.difference(tokenizer, ["x", text]) is None
    monkeypatch.setattr(text_signature, name, broken)
    found = text_signature.difference(tokenizer, ["x", text])
    assert found.startswith(repr(text[:80])) and "in the graph, [" in found


@pytest.mark.skipif(tf.__version__.startswith("1."), reason="needs ragged slices of TensorFlow 2")
def test_pack():
    """As tokenization.pack, of lengths around what fits."""
    tokenizer, draw = wordpiece(), random.Random(0)
    rows = [([7] * draw.randrange(12), [8] * draw.choice([0, 0, 1, 5, 11])) for _ in range(60)]
    for limit in (8, 9, 16):
        with tf.Graph().as_default(), tf.Session() as session:
            features = session.run(text_signature.pack(
                *[tf.ragged.constant([row[index] for row in rows], dtype=tf.int32)
                  for index in range(2)], tokenizer=tokenizer, max_seq_length=limit))
        expected = [tokenization.pack(first, second, tokenizer, limit) for first, second in rows]
        padded = tokenization.pad(expected)
        for name in ("input_ids", "segment_ids"):
            np.testing.assert_array_equal(features[name], padded[name])
        assert features["lengths"].tolist() == [len(row["input_ids"]) for row in expected]


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match="pip install --no-deps -r requirements-text.txt"):
        text_signature.difference(wordpiece(), ["a"])
