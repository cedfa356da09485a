"""create_vocab.py: what goes into a vocabulary, the same file every time, every error."""

import os
import subprocess
import sys
import types

from util import files
from util.errors import UserError

import pytest

import create_vocab
import tokenization

# The trainer, tokenizers, has another version on each.
pytestmark = pytest.mark.every_platform

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXT = ("我喜欢妈妈做的汤，2019年。\nThe lower lows are lower than the LOWEST of Café\u0301s!\n\n"
        "汤很好喝，做汤的妈妈更好。\nlower, lowest, lowering, 2019 and 2020\n") * 3 + "龘\n"


def flags(tmp_path, **changes):
    values = {"input_file": str(tmp_path / "in.txt"), "output_file": str(tmp_path / "vocab.txt"),
              "model_type": "wordpiece", "vocab_size": 200, "min_frequency": 2,
              "do_lower_case": True, "character_coverage": 1.0, "skip_bad_lines": False}
    values.update(changes)
    return types.SimpleNamespace(**values)


def make(tmp_path, text=TEXT, **changes):
    (tmp_path / "in.txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    create_vocab.main(flags(tmp_path, **changes))
    return tmp_path


def command(*arguments):
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, "create_vocab.py")] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        env=dict(os.environ, PYTHONIOENCODING="utf-8"), cwd=ROOT)


def test_wordpiece_vocabulary(tmp_path):
    make(tmp_path)
    tokenizer = tokenization.WordPieceTokenizer(str(tmp_path / "vocab.txt"))
    tokens = tokenizer.tokens
    assert tokens[:5] == SPECIAL
    assert tokens[5] == "e"  # the most frequent character, ideographs and letters alike
    assert tokenizer.unk_id not in tokenizer.encode("妈妈喝汤，2019，lowest cafes!")
    assert tokenizer.tokenize("LOWER 2019") == ["lower", "2019"]
    assert tokenizer.encode("龘") == [tokenizer.unk_id]  # it occurs once
    assert not [token for token in tokens if token[:2] == "##" and tokenization.is_cjk(token[2])]
    assert len(tokens) == len(set(tokens)) < 200


def test_wordpiece_is_the_same_every_time(tmp_path):
    first = make(tmp_path).joinpath("vocab.txt").read_bytes()
    assert make(tmp_path).joinpath("vocab.txt").read_bytes() == first


def test_smaller_vocabulary_is_the_beginning_of_the_larger(tmp_path):
    (tmp_path / "in.txt").write_bytes(TEXT.encode("utf-8"))
    corpus = create_vocab.Corpus([str(tmp_path / "in.txt")])
    counts = create_vocab.count_characters(corpus, True)
    assert (counts["汤"], counts["e"], counts["##e"], counts["龘"]) == (9, 30, 30, 1)
    full = create_vocab.train_wordpiece(corpus, counts, 200, 2, True)
    for size in (20, 60, 80):
        assert create_vocab.train_wordpiece(corpus, counts, size, 2, True) == full[:size]


def test_cased_vocabulary_keeps_case_and_accents(tmp_path):
    make(tmp_path, do_lower_case=False)
    tokens = tokenization.WordPieceTokenizer(str(tmp_path / "vocab.txt"), False).tokens
    assert "L" in tokens and "##é" in tokens


def test_sentencepiece_vocabulary(tmp_path):
    make(tmp_path, model_type="sentencepiece", output_file=str(tmp_path / "new" / "tiny.model"))
    tokenizer = tokenization.SentencePieceTokenizer(str(tmp_path / "new" / "tiny.model"))
    assert tokenizer.tokens[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.unk_id not in tokenizer.encode("Lower 2019 妈妈做汤")
    listing = (tmp_path / "new" / "tiny.vocab").read_bytes().decode("utf-8").split("\n")
    assert [line.split("\t")[0] for line in listing[:-1]] == tokenizer.tokens
    model = (tmp_path / "new" / "tiny.model").read_bytes()
    make(tmp_path, model_type="sentencepiece", output_file=str(tmp_path / "again"))
    assert (tmp_path / "again.model").read_bytes() == model
    assert sorted(os.listdir(str(tmp_path / "new"))) == ["tiny.model", "tiny.vocab"]


def test_measure_counts_unknown_and_uncovered_characters(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("\n".join(SPECIAL + ["a", "##b", "好"]).encode("utf-8"))
    (tmp_path / "in.txt").write_bytes("好ab axa\n".encode("utf-8"))
    tokenizer = tokenization.WordPieceTokenizer(str(tmp_path / "vocab.txt"))
    total = create_vocab.measure(tokenizer, create_vocab.Corpus([str(tmp_path / "in.txt")]))
    assert total == {"tokens": 4, "characters": 6, "unknown": 3, "uncovered": 1}


@pytest.mark.parametrize("flag, value, message", [
    ("input_file", "", "no input files given"),
    ("input_file", "none*.txt", r"none\*.txt: no such file"),
    ("output_file", None, "--output_file is missing"),
    ("output_file", ROOT, "a directory, expected the name of a file to write"),
    ("output_file", "/dev/null/vocab.txt", "/dev/null/vocab.txt cannot be written"),
    ("output_file", "/dev/null", "/dev/null: a device or a pipe, expected the name of a file"),
    ("output_file", "/tmp/" + "a" * 250, r"cannot be written \(File name too long\)"),
    ("min_frequency", 100000, "--min_frequency=100000: no character of the text occurs so often, "
                              "the most frequent one 30 times; lower it or give more text"),
    ("vocab_size", 99, "--vocab_size=99 is out of range; give a number of tokens from 100 to "),
    ("min_frequency", 0, "--min_frequency=0 is out of range"),
    ("character_coverage", 0.5, "--character_coverage=0.5 is out of range"),
])
def test_flag_errors(tmp_path, flag, value, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path, **{flag: value})
    assert os.listdir(str(tmp_path)) == ["in.txt"]


@pytest.mark.parametrize("model_type", ["wordpiece", "sentencepiece"])
@pytest.mark.parametrize("text, message", [
    (b" \n\n", "no text in 1 files"),
    (b"good\nb\xffd\n", "in.txt line 2: byte 2 is not UTF-8"),
])
def test_input_errors(tmp_path, model_type, text, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path, text, model_type=model_type)
    assert os.listdir(str(tmp_path)) == ["in.txt"]


def test_sentencepiece_needs_room_for_its_characters(tmp_path):
    text = "".join(chr(code) for code in range(0x4e00, 0x4f00))
    with pytest.raises(UserError, match="sentencepiece cannot make 100 tokens of this .*raise"):
        make(tmp_path, text, model_type="sentencepiece", vocab_size=100)
    assert os.listdir(str(tmp_path)) == ["in.txt"]


@pytest.mark.parametrize("model_type, library", [("wordpiece", "tokenizers"),
                                                 ("sentencepiece", "sentencepiece")])
def test_missing_library(tmp_path, monkeypatch, model_type, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match="pip install %s$" % library):
        make(tmp_path, model_type=model_type)


def test_skipped_lines_are_counted(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"good\n\xff\ngood\n")
    corpus = create_vocab.Corpus(files.expand(str(tmp_path / "in.txt")), skip_bad_lines=True)
    assert list(corpus.lines("reading")) == ["good", "good"]
    assert corpus.counts["bad lines"] == 1


@pytest.mark.parametrize("model_type, output_file", [
    ("wordpiece", "in.txt"), ("wordpiece", "./in.txt"), ("sentencepiece", "text.model")])
def test_input_is_not_overwritten(tmp_path, model_type, output_file):
    (tmp_path / "text.vocab").write_text("low lower\n" * 9)
    with pytest.raises(UserError, match="is one of the input files; name another"):
        make(tmp_path, model_type=model_type, output_file="%s/%s" % (tmp_path, output_file),
             input_file="%s/in.txt,%s/text.vocab" % (tmp_path, tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == ["in.txt", "text.vocab"]


def test_pipe_is_refused(tmp_path):
    """It would be empty the second time."""
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(UserError, match="pipe is a pipe, and this command reads its input several "
                                        "times; give a file"):
        make(tmp_path, input_file=str(tmp_path / "pipe"))


def test_sentencepiece_learns_from_every_line(tmp_path, caplog):
    """It would leave out long lines, and those with a sign of its own, without a word."""
    caplog.set_level("INFO", "albert")
    text = "low lower\n" * 20 + "qz " * 22000 + "\n" + "\u2585 jj\n" * 5
    make(tmp_path, text, model_type="sentencepiece", output_file=str(tmp_path / "a"))
    tokens = "".join(tokenization.SentencePieceTokenizer(str(tmp_path / "a.model")).tokens)
    assert all(letter in tokens for letter in "lowerqzj")
    assert "  1 long lines were cut in pieces" in caplog.text


@pytest.mark.parametrize("model_type", ["wordpiece", "sentencepiece"])
def test_tags_of_wikiextractor_are_left_out(tmp_path, caplog, model_type):
    caplog.set_level("INFO", "albert")
    text = '<doc id="1" url="https://x?y=1" title="汤">\n\n%s\n</doc>\n' % TEXT
    for name in ("a", "b"):
        make(tmp_path, text if name == "a" else TEXT, model_type=model_type,
             output_file=str(tmp_path / name))
    suffix = "" if model_type == "wordpiece" else ".model"
    assert (tmp_path / ("a" + suffix)).read_bytes() == (tmp_path / ("b" + suffix)).read_bytes()
    assert "  2 lines are <doc ...> or </doc> and were left out" in caplog.text


def test_command_says_what_it_made_and_what_comes_next(tmp_path):
    (tmp_path / "in.txt").write_bytes(TEXT.encode("utf-8") + b"\xff\n")
    run = command("--input_file=%s" % (tmp_path / "in.txt"), "--skip_bad_lines",
                  "--output_file=%s" % (tmp_path / "vocab.txt"), "--vocab_size=500")
    assert run.returncode == 0, run.stderr
    size = len((tmp_path / "vocab.txt").read_bytes().splitlines())
    assert "vocab.txt: %d tokens" % size in run.stderr
    assert "set vocab_size to %d" % size in run.stderr
    assert "1 lines are not UTF-8 and were left out" in run.stderr
    assert "310 characters 99.677 % are covered and 0.323 % fall in [UNK]" in run.stderr
    assert "next: python create_pretraining_data.py --input_file=%s --vocab_file=%s" % (
        tmp_path / "in.txt", tmp_path / "vocab.txt") in run.stderr


def test_command_ends_with_one_sentence_and_status_1(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"good\n\xff\n")
    run = command("--input_file=%s" % (tmp_path / "in.txt"),
                  "--output_file=%s" % (tmp_path / "vocab.txt"))
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: %s line 2" % (tmp_path / "in.txt"))
    assert "Traceback" not in run.stderr
    assert os.listdir(str(tmp_path)) == ["in.txt"]
