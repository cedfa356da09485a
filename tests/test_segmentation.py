"""Words of raw sentences: known ones, the same by every engine, and an engine that is missing."""

import marshal
import math
import os
import random
import subprocess
import sys
import tempfile

from util.errors import UserError

import jieba
import pytest

from text import decoding, segmentation

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
def cut(request):
    if request.param == "rjieba":
        pytest.importorskip("rjieba", reason="the package rjieba is optional")
    return segmentation.load(request.param)


@pytest.fixture(scope="module")
def both():
    pytest.importorskip("rjieba", reason="the package rjieba is optional")
    return segmentation.load("jieba"), segmentation.load("rjieba")


def test_engines():
    assert segmentation.ENGINES == ("jieba", "rjieba")


def test_words(cut):
    assert cut("我喜欢汤") == ["我", "喜欢", "汤"]


@pytest.mark.parametrize("text", [
    "长江 发源 于 青藏高原", "中华人民共和国 成立", "我 喜欢 ， 汤", "卡拉 OK 之夜",
    "全长 6300 公里", "用 C++ 语言", "占 3.14% 。", "AT&T 公司", "8.0 . 13 版", "B - Tree",
    "cus _ order 表", "github . com", "C . G . M", "1.2 . 3.4", "a . b% c", "2020 - 01 - 01",
    "a __ b", "......", "Ａ Ｂ", "😀 😀 好 𠀀 𠀁", "T恤 和 IP卡"])
def test_known_words(cut, text):
    assert cut("".join(text.split())) == text.split()


@pytest.mark.parametrize("text", ODD)
def test_words_of_odd_text(cut, text):
    assert "".join(cut(text)) == text
    assert all(cut(text))


def test_jieba_reads_no_cache_of_others(tmp_path, monkeypatch):
    """jieba.cache in the directory of temporary files would change the words of the records."""
    with open(str(tmp_path / "jieba.cache"), "wb") as stream:
        marshal.dump(({"我喜": 10 ** 9, "我": 1, "喜": 0}, 10 ** 9), stream)
    planted = (tmp_path / "jieba.cache").read_bytes()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    segmentation._load_jieba.cache_clear()
    assert segmentation.load("jieba")("我喜欢汤")[0] == "我"
    assert jieba.Tokenizer().lcut("我喜欢汤")[0] == "我喜"  # as jieba itself does
    assert (tmp_path / "jieba.cache").read_bytes() == planted
    assert os.listdir(str(tmp_path)) == ["jieba.cache"]


def texts_of(alphabet, longest, number=3000):
    rng = random.Random(1)
    return ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, longest)))
            for _ in range(number)]


def test_jieba_is_the_reference(sample):
    """Also in texts that are mostly ties, unknown words and mere beginnings of words."""
    cut = decoding.Decoder().cut
    letters = [char for line in sample for char in line]
    made = texts_of(ALPHABET, 14) + texts_of(letters, 30) + texts_of("差评的", 9)
    for text in sample + ODD + made:
        assert cut(text) == jieba.lcut(text), text


def test_dictionary_is_that_of_jieba():
    weights, unknown = decoding._dictionary()
    counts, total = jieba.Tokenizer.gen_pfdict(jieba.Tokenizer().get_dict_file())
    assert weights == {word: math.log(count) - math.log(total) if count else 0.0
                       for word, count in counts.items()}
    assert unknown == math.log(1) - math.log(total)


def test_engines_agree_on_the_news(both, sample):
    by_jieba, by_rjieba = ([cut(sentence) for sentence in sample] for cut in both)
    assert len(sample) == 1577
    assert sum(map(len, by_jieba)) == 25832
    assert by_rjieba == by_jieba


def test_engines_agree_on_odd_text(both):
    for text in ODD + texts_of(ALPHABET, 14):
        one, other = (cut(text) for cut in both)
        assert one == other, text


def test_engines_differ_in_near_ties(both):
    """Two paths of the hidden Markov model, 2e-7 apart: 3 of 251,813 sentences are such."""
    one, other = (cut("常在较陡峭") for cut in both)
    assert (one, other) == (["常", "在", "较", "陡峭"], ["常在", "较", "陡峭"])


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


def test_jieba_compiles_without_a_word():
    """Python 3.12 warns of escapes in its patterns, where there is no byte code yet."""
    command = [sys.executable, "-B", "-X", "pycache_prefix=" + os.devnull, "-c",
               "from text import decoding"]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=True)
    assert done.stderr.decode() == ""
