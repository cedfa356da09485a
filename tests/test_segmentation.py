"""Words of raw sentences: known ones, the same by every engine, and an engine that is missing."""

import marshal
import os
import random
import sys
import tempfile

from util.errors import UserError

import jieba
import numpy as np
import pytest

from text import segmentation

pytestmark = pytest.mark.every_platform  # each Python has its own Unicode tables

ODD = [
    "", " ", "\t\r\n", "a\tb\r\nc  d", "。", "......", "\x00\x85", "你好\u3000世界\xa0x\u200by",
    "１２３ＡＢＣ", "naïve café", "²½①", "1.٣4", "々〇",
    "豈人", "😀😀好𠀀𠀁国", "国中𠀀国一", "㐀㐁", "龥鿕鿖鿿",
    "C++和C#", "AT&T公司", "a+b", "8.0.13.", "x-", "-x", "a--b", "a_b__c", "1%2%.5%", "%50",
    "见github.com/a_b-c.md", "e.g. B-Tree", "T恤和IP卡", "4S店3D打印"]
# What either engine treats in a way of its own.
ALPHABET = list("我喜欢中国人民长江的了在一二年月文字学生超店abzAB019+#&._%-/, \t\r\n"
                "，。“Ａé٣\u200b\u3000㐀鿖豈😀𠀀")
ALPHABET += ["\r\n", "C++", "C#", "AT&T", "B超", "1.2.3", "T恤", "4S店"]


@pytest.fixture(scope="module")
def sample():
    with open("data/news_zh_1.txt", encoding="utf-8") as stream:
        return [line.strip() for line in stream if line.strip()]


@pytest.fixture(scope="module", params=segmentation.ENGINES)
def word_ends(request):
    if request.param == "rjieba":
        pytest.importorskip("rjieba", reason="the package rjieba is optional")
    return segmentation.load(request.param)


@pytest.fixture(scope="module")
def both():
    pytest.importorskip("rjieba", reason="the package rjieba is optional")
    return segmentation.load("jieba"), segmentation.load("rjieba")


def test_engines():
    assert segmentation.ENGINES == ("jieba", "rjieba")


def test_ends_in_characters(word_ends):
    ends = word_ends("我喜欢汤")
    assert ends.tolist() == [1, 3, 4]
    assert ends.dtype == int


@pytest.mark.parametrize("text", [
    "长江 发源 于 青藏高原", "中华人民共和国 成立", "我 喜欢 ， 汤", "卡拉 OK 之夜",
    "全长 6300 公里", "用 C++ 语言", "占 3.14% 。", "AT&T 公司", "8.0 . 13 版", "B - Tree",
    "cus _ order 表", "github . com", "C . G . M", "1.2 . 3.4", "a . b% c", "2020 - 01 - 01",
    "a __ b", "......", "Ａ Ｂ", "😀 😀 好 𠀀 𠀁", "T恤 和 IP卡"])
def test_known_words(word_ends, text):
    words = text.split()
    assert word_ends("".join(words)).tolist() == np.cumsum([len(word) for word in words]).tolist()


@pytest.mark.parametrize("text", ODD)
def test_ends_of_odd_text(word_ends, text):
    ends = word_ends(text)
    assert ends.dtype == int
    assert (np.diff(ends, prepend=0) > 0).all()
    assert ends[-1:].tolist() == ([len(text)] if text else [])


def test_jieba_reads_no_cache_of_others(tmp_path, monkeypatch):
    """jieba.cache in the directory of temporary files would change the words of the records."""
    with open(str(tmp_path / "jieba.cache"), "wb") as stream:
        marshal.dump(({"我喜": 10 ** 9, "我": 1, "喜": 0}, 10 ** 9), stream)
    planted = (tmp_path / "jieba.cache").read_bytes()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    segmentation._load_jieba.cache_clear()
    assert segmentation.load("jieba")("我喜欢汤").tolist() == [1, 3, 4]
    assert jieba.Tokenizer().lcut("我喜欢汤")[0] == "我喜"  # as jieba itself does
    assert (tmp_path / "jieba.cache").read_bytes() == planted
    assert os.listdir(str(tmp_path)) == ["jieba.cache"]


def test_jieba_is_the_reference(sample):
    word_ends = segmentation.load("jieba")
    for sentence in sample[:200] + ODD:
        assert word_ends(sentence).tolist() == np.cumsum(
            [len(word) for word in jieba.cut(sentence)]).tolist()


def test_engines_agree_on_the_news(both, sample):
    by_jieba, by_rjieba = ([word_ends(sentence).tolist() for sentence in sample]
                           for word_ends in both)
    assert len(sample) == 1577
    assert sum(map(len, by_jieba)) == 25832
    assert by_rjieba == by_jieba


def test_engines_agree_on_odd_text(both):
    rng = random.Random(1)
    texts = ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 14))) for _ in range(3000)]
    for text in ODD + texts:
        one, other = (word_ends(text).tolist() for word_ends in both)
        assert one == other, text


def test_engines_differ_in_near_ties(both):
    """Two paths of the hidden Markov model, 2e-7 apart: 3 of 251,813 sentences are such."""
    one, other = (word_ends("常在较陡峭").tolist() for word_ends in both)
    assert (one, other) == ([1, 2, 3, 5], [2, 3, 5])


@pytest.mark.parametrize("version, sentence", [
    ((3, 7, 17), "--segmenter=rjieba needs Python 3.9 or newer, this is Python 3.7; use "
     "--segmenter=jieba"),
    ((3, 11, 2), "--segmenter=rjieba needs the package rjieba (%s); pip install rjieba==0.2.2, or "
     "use --segmenter=jieba")])
def test_missing_package(monkeypatch, version, sentence):
    monkeypatch.setitem(sys.modules, "rjieba", None)
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(UserError) as raised:
        segmentation.load("rjieba")
    reason = "import of rjieba halted; None in sys.modules"
    assert str(raised.value) == (sentence % reason if "%s" in sentence else sentence)


def test_unknown_engine():
    with pytest.raises(UserError, match="--segmenter=pkuseg: no such engine; use jieba or rjieba"):
        segmentation.load("pkuseg")
