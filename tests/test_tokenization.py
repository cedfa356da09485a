"""tokenization.py: the golden tokens, the places of tokens in raw text, and every error."""

import io
import itertools
import json
import os
import pickle
import random
import sys

from util.errors import UserError

import pytest

import create_vocab
import tokenization
from definitions import check_offsets, google_pieces, slow_clean, slow_tokens, slow_words

pytestmark = pytest.mark.every_platform  # each Python has its own Unicode tables

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")
# Data that stays outside the repository, beside the checkout.
SHARED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data")
VOCAB = os.path.join(GOLDEN, "tokenization_vocab.txt")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Letters whose lower case or accents change lengths, marks, controls, spaces, CJK, punctuation.
TRICKY = ("abAB019éÅ\u0301\u0308ΣσΑ.İıẞßﬁ≠;\u1fef你好豈\U0002f800，。「!$^_-'`\"＄１Ⅳ①㎡한ᄒ\u3099"
          "かก\u0e38😀\U0001f3fd\u200b\u200d\u00ad\x00\x07\ufffd\ufeff\x85\x1c \t\n\r\u3000\xa0"
          "\u2028\ue000\ud800")


def golden_cases():
    with io.open(os.path.join(GOLDEN, "tokenization_wordpiece.json"), encoding="utf-8") as stream:
        return json.load(stream)


@pytest.fixture(scope="module")
def lower():
    return tokenization.WordPieceTokenizer(VOCAB)


@pytest.fixture(scope="module")
def cased():
    return tokenization.WordPieceTokenizer(VOCAB, do_lower_case=False)


@pytest.fixture(scope="module")
def spm_file(tmp_path_factory):
    lines = ["hello world, the cafe of %d, %d and 한국어" % (1990 + i, 2 * i) for i in range(60)]
    path = tmp_path_factory.mktemp("spm") / "tiny.model"
    path.write_bytes(create_vocab.train_sentencepiece(lines, 90, 1.0))
    return str(path)


@pytest.fixture(scope="module")
def spm(spm_file):
    return tokenization.SentencePieceTokenizer(spm_file)


def random_texts(count, seed=1):
    draw = random.Random(seed)
    return ["".join(draw.choice(TRICKY) for _ in range(draw.randint(1, 25))) for _ in range(count)]


def spans(tokenizer, text):
    return [text[start:end] for start, end in zip(*tokenizer.tokenize_with_offsets(text)[1:])]


def test_golden_tokens(lower, cased):
    cases = golden_cases()
    assert len(cases) == 65
    for case in cases:
        assert lower.tokenize(case["text"]) == case["lower"], case["text"]
        assert lower.encode(case["text"]) == case["lower_ids"], case["text"]
        assert cased.tokenize(case["text"]) == case["cased"], case["text"]


@pytest.mark.slow
def test_fast_path_equals_the_definition(lower, cased):
    for text in random_texts(3000):
        assert lower.tokenize(text) == slow_tokens(lower, text), ascii(text)
        assert cased.tokenize(text) == slow_tokens(cased, text), ascii(text)


@pytest.mark.slow
def test_every_character_alone_equals_the_definition(lower, cased):
    for code in itertools.chain(range(0x10000), range(0x1d000, 0x20100), range(0x2f800, 0x2fa20)):
        text = "a%sb" % chr(code)
        assert lower.tokenize(text) == slow_tokens(lower, text), hex(code)
        assert cased.tokenize(text) == slow_tokens(cased, text), hex(code)


def test_basic_tokenizer_equals_the_definition():
    texts = [text for text in random_texts(1000, seed=2) if "Σ" not in text]
    for do_lower_case in (True, False):
        tokenize = tokenization.BasicTokenizer(do_lower_case).tokenize
        assert [tokenize(text) for text in texts] == [slow_words(text, do_lower_case)
                                                      for text in texts]


@pytest.mark.parametrize("text, expected", [
    ("我用Tensorflow", ["我", "用", "Te", "ns", "or", "flow"]),
    (" Café\u0301!", ["C", "a", "fé\u0301", "!"]),
    ("İstanbul", ["İs", "tan", "bu", "l"]),
    ("\u200bne\u200bural\x00", ["ne", "ura", "l"]),
    ("한x", ["한", "한", "한", "x"]),
    ("１２３", ["１２", "３"]),
    ("😀👍好", ["😀👍", "好"]),
    ("\u2260\u3000豈", ["\u2260", "豈"]),
    ("a" * 201 + "好", ["a" * 201, "好"]),
])
def test_spans_are_raw_text(lower, text, expected):
    if text.startswith(" Caf"):
        assert lower.tokenize(text)[0] == "cafe"
        expected = ["Café\u0301", "!"]
    if text.endswith("x"):
        assert lower.tokenize(text)[:3] == ["ᄒ", "##ᅡ", "##ᆫ"]
    assert spans(lower, text)[:len(expected)] == expected


def test_normalized_spans_hold_their_tokens(lower, cased):
    for tokenizer in (lower, cased):
        basic = tokenization.BasicTokenizer(tokenizer.do_lower_case)
        for text in random_texts(2000, seed=3):
            for token, span in check_offsets(tokenizer, text):
                assert span and not span[0].isspace() and not span[-1].isspace(), ascii(text)
                if token != "[UNK]":
                    found = basic.normalize(span).replace("ς", "σ")
                    token = token if token == "##" else token.replace("##", "")
                    assert token.replace("ς", "σ") in found, (ascii(text), token)


def test_released_vocabulary_loads():
    path = os.path.join(SHARED, "vocab_chinese_21128.txt")
    if not os.path.exists(path):
        pytest.skip("the vocabulary of the released models is not here: %s" % path)
    tokenizer = tokenization.WordPieceTokenizer(path)
    assert tokenizer.vocab_size == 21128
    assert [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id,
            tokenizer.mask_id] == [0, 100, 101, 102, 103]
    assert tokenizer.encode("我喜欢") == [2769, 1599, 3614]
    assert (~tokenizer.is_word_start).sum() == 9614


def test_interface(lower, cased):
    ids, starts, ends = lower.encode_with_offsets("Hello, 世界")
    assert (ids, starts, ends) == ([427, 14, 93, 262], [0, 5, 7, 8], [5, 6, 8, 9])
    assert lower.convert_ids_to_tokens(ids) == ["hello", ",", "世", "界"]
    assert lower.convert_tokens_to_ids(["世", "nothing"]) == [93, lower.unk_id]
    assert not lower.is_word_start[lower.vocab["##na"]]
    assert len(lower.fingerprint) == 64 and lower.fingerprint != cased.fingerprint
    copy = pickle.loads(pickle.dumps(cased))
    assert copy.fingerprint == cased.fingerprint
    assert copy.tokenize("ABC abc") == ["[UNK]", "abc"]


def vocabulary(tmp_path, content):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("content, message", [
    (b"\n", "the file is empty"),
    (b"[PAD]\n[UNK]\n\xff\n", "line 3: not UTF-8"),
    (b"[PAD]\n[UNK]\nx\n[CLS]\nx\n", "line 5: token 'x' is already on line 3"),
    (b"[PAD]\n[UNK]\n[CLS]\na\n", r"no \[SEP\] \[MASK\] among its 4 tokens"),
])
def test_vocabulary_errors(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        tokenization.WordPieceTokenizer(vocabulary(tmp_path, content))


def test_line_breaks_and_byte_order_mark_of_windows(tmp_path):
    content = b"\xef\xbb\xbf" + "\r\n".join(SPECIAL + ["\u2028", "好", ""]).encode("utf-8")
    tokenizer = tokenization.WordPieceTokenizer(vocabulary(tmp_path, content))
    assert tokenizer.tokens == SPECIAL + ["\u2028", "好"]
    assert tokenizer.pad_id == 0 and tokenizer.encode("好") == [6]


def test_load_tokenizer_picks_by_file(spm_file):
    assert isinstance(tokenization.load_tokenizer(VOCAB), tokenization.WordPieceTokenizer)
    both = tokenization.load_tokenizer(VOCAB, spm_file)
    assert isinstance(both, tokenization.SentencePieceTokenizer)
    with pytest.raises(UserError, match="neither --vocab_file nor --spm_model_file"):
        tokenization.load_tokenizer()
    with pytest.raises(UserError, match="--vocab_file=none.txt: no such file"):
        tokenization.load_tokenizer("none.txt")
    with pytest.raises(UserError, match="--spm_model_file=none.model: no such file"):
        tokenization.load_tokenizer(spm_model_file="none.model")


@pytest.mark.one_platform  # the trainer and TensorFlow 1.15 in one process crash
@pytest.mark.parametrize("option, message", [
    ({"treat_whitespace_as_suffix": True}, r"marks the ends of words \(treat_whitespace_as_suffix"),
    ({"byte_fallback": True}, r"cuts unknown characters into bytes \(byte fallback\)"),
])
def test_sentencepiece_models_that_no_albert_has(tmp_path, option, message):
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "a.txt").write_text("the cat sat on the mat\na dog and a cat\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "a.txt"), model_prefix=str(tmp_path / "a"), vocab_size=300,
        hard_vocab_limit=False, user_defined_symbols="[CLS],[SEP],[MASK]", pad_id=3,
        minloglevel=9, **option)
    with pytest.raises(UserError, match=message):
        tokenization.load_tokenizer(spm_model_file=str(tmp_path / "a.model"))


def test_sentencepiece_errors(tmp_path, spm_file, monkeypatch):
    with pytest.raises(UserError, match="not a SentencePiece model"):
        tokenization.SentencePieceTokenizer(VOCAB)
    with io.open(spm_file, "rb") as stream:
        content = stream.read()
    path = tmp_path / "plain.model"
    path.write_bytes(content.replace("한".encode("utf-8"), b"\xff\xff\xff"))
    with pytest.raises(UserError, match="plain.model: damaged, it holds pieces that are not UTF-8"):
        tokenization.SentencePieceTokenizer(str(path))
    path.write_bytes(content.replace(b"[MASK]", b"[MUSK]"))
    with pytest.raises(UserError, match=r"no \[MASK\] among"):
        tokenization.SentencePieceTokenizer(str(path))
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match="pip install -r requirements.txt"):
        tokenization.SentencePieceTokenizer(spm_file)


def test_sentencepiece_clean_up_equals_the_definition():
    clean = tokenization.SentencePieceCleaner().clean
    for text in random_texts(2000, seed=4):
        text = text.replace("\ud800", "''")
        cleaned, starts, ends = clean(text)
        assert cleaned == slow_clean(text), ascii(text)
        assert len(starts) == len(cleaned) + 1 and len(ends) == len(cleaned)
    assert clean("\ud800") == ("\ufffd", [0, 1], [1])


def test_sentencepiece_splits_number_and_comma(spm):
    assert spm.tokenize("1990, 12,")[-1] == ","
    assert all(token == "," or "," not in token for token in spm.tokenize("1990, 2,000, 1991,"))
    assert "".join(spm.tokenize("in 2,000, 1991,")) == "▁in▁2,000,▁1991,"


class Spelled(object):
    """A model of SentencePiece whose pieces are as given: {text: its pieces}."""

    def __init__(self, pieces):
        self._pieces = pieces

    def encode(self, text, out_type):
        return list(self._pieces[text])

    def normalize(self, text, with_offsets):
        return text, list(range(-1, len(text) + 1))  # a "▁" before it


def test_a_number_within_a_word_gets_a_space_before_it_as_in_googles_code(spm, monkeypatch):
    monkeypatch.setattr(spm, "model", Spelled({
        "a2,x 19,70,": ["▁a", "2,", "x", "▁19,", "70,"], "2": ["▁", "2"], "19": ["▁19"],
        "70": ["▁7", "0"]}))
    spm._cached_split.cache_clear()
    tokens, starts, ends = spm.tokenize_with_offsets("a2,x 19,70,")
    spm._cached_split.cache_clear()
    assert tokens == ["▁a", "▁", "2", ",", "x", "▁19", ",", "▁7", "0", ","]
    assert ["a2,x 19,70,"[start:end] for start, end in zip(starts, ends)] == [
        "a", "", "2", ",", "x", "19", ",", "7", "0", ","]


QUOTES = ["``%s''", "''%s, ``%s", "\"%s,\"", "it's %s,%s,x", "Café %s, RÉSUMÉ%s,", "a%s,000",
          "½%s,"]


def english_lines(count):
    """Lines of numbers, commas, all kinds of quotes, accents and upper case."""
    draw = random.Random(6)
    for _ in range(count):
        quote = draw.choice(QUOTES)
        numbers = ["{:,}".format(draw.randrange(10 ** draw.randint(1, 6)))
                   for _ in range(quote.count("%s"))]
        yield "In %d, the %s of Hello" % (draw.randint(1, 2000), quote % tuple(numbers))


def test_sentencepiece_equals_googles_code(tmp_path):
    """FullTokenizer.tokenize(preprocess_text(line)) of Google's ALBERT, by its definition.

    The code itself, on 5,901 English lines and a model of 4,000 pieces: no line differs, where
    2,488 did while \" replaced `` and '' and numbers within words kept their form.
    """
    path = tmp_path / "numbers.model"
    lines = list(english_lines(1000))
    path.write_bytes(create_vocab.train_sentencepiece(map(slow_clean, lines), 300, 1.0))
    tokenizer = tokenization.SentencePieceTokenizer(str(path))
    split = within = 0
    for text in lines:
        numbers = [piece for piece in tokenizer.model.encode(slow_clean(text), out_type=str)
                   if piece[-1] == "," and piece[-2:-1].isdigit()]
        split += len(numbers)
        within += sum(piece[0] != "▁" for piece in numbers)
        expected = google_pieces(tokenizer.model, text)
        assert tokenizer.tokenize(text) == expected
        assert tokenizer.encode(text) == [tokenizer.model.piece_to_id(piece) for piece in expected]
        check_offsets(tokenizer, text)
    assert min(split, within) > 300


def test_sentencepiece_interface(spm, spm_file):
    assert [spm.pad_id, spm.unk_id, spm.cls_id, spm.sep_id, spm.mask_id] == [0, 1, 2, 3, 4]
    assert spm.tokens[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert spm.is_word_start[spm.vocab["▁"]] and spm.is_word_start[spm.vocab[","]]
    assert spm.encode("Hello Café") == spm.encode(" hello  cafe\n")
    assert spm.convert_tokens_to_ids(spm.tokenize("hello")) == spm.encode("hello")
    assert set(spm.encode("[CLS]")).isdisjoint([spm.cls_id])
    assert pickle.loads(pickle.dumps(spm)).encode("world") == spm.encode("world")
    cased = tokenization.SentencePieceTokenizer(spm_file, do_lower_case=False)
    assert cased.fingerprint != spm.fingerprint
    assert cased.unk_id in cased.encode("HELLO") and spm.unk_id not in spm.encode("HELLO")


def test_sentencepiece_spans(spm):
    text = "  Hello\u3000 Cafe\u0301, ``1990,'' 龘x한 "
    tokens, starts, ends = spm.tokenize_with_offsets(text)
    words = {}
    for token, start, end in zip(tokens, starts, ends):
        words.setdefault(token.lstrip("▁"), text[start:end])
    assert words[","] == "," and words["龘x"] == "龘x" and words["한"] == "한"
    assert "".join(spans(spm, text)) == "HelloCafe\u0301,``1990,''龘x한"


def test_sentencepiece_spans_are_in_order_and_inside(spm):
    for text in random_texts(2000, seed=5):
        for _, span in check_offsets(spm, text):
            assert not span or not span[0].isspace(), ascii(text)
    assert spm.tokenize_with_offsets(" \n") == ([], [], [])
