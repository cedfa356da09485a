"""Globs, lines with their places, and files that are complete or absent."""

import os

import pytest

import files
from errors import UserError


def write(directory, **contents):
    for name, content in contents.items():
        path = directory / (name + ".txt")
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(directory) + os.sep


def test_globs_and_comma_lists(tmp_path):
    root = write(tmp_path, b="", news_2="", news_1="", other="")
    (tmp_path / "news_directory.txt").mkdir()
    expected = [root + name for name in ("b.txt", "news_1.txt", "news_2.txt")]
    assert files.expand("%sb.txt, %snews_*.txt,%snews_1.txt," % (root, root, root)) == expected


@pytest.mark.parametrize("pattern", ["none.txt", "none_*.txt", "none/*.txt", "directory"])
def test_pattern_without_a_file(tmp_path, pattern):
    root = write(tmp_path, a="")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match=pattern.replace("*", r"\*") + ": no such file"):
        files.expand("%sa.txt,%s%s" % (root, root, pattern))


@pytest.mark.parametrize("nothing", [None, "", " , "])
def test_no_pattern(nothing):
    with pytest.raises(UserError, match="no input files given"):
        files.expand(nothing)


def test_require_file(tmp_path):
    root = write(tmp_path, a="")
    assert files.require_file(root + "a.txt", "vocab_file") == root + "a.txt"
    with pytest.raises(UserError, match="--vocab_file is missing"):
        files.require_file(None, "vocab_file")
    for path in (root + "none.txt", root):
        with pytest.raises(UserError, match="--vocab_file=.*: no such file"):
            files.require_file(path, "vocab_file")


@pytest.mark.parametrize("content, lines", [
    (b"", []),
    (b"\n", [(1, "")]),
    ("长江\n\n河".encode("utf-8"), [(1, "长江"), (2, ""), (3, "河")]),
    (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
    (b"\xef\xbb\xbfa\nb\n", [(1, "a"), (2, "b")]),  # a byte-order mark
    ("a\u2028b\x0bc\n".encode("utf-8"), [(1, "a\u2028b\x0bc")]),  # no line breaks, these
])
def test_lines(tmp_path, content, lines):
    root = write(tmp_path, a=content)
    assert list(files.read_lines(root + "a.txt")) == lines


def test_line_that_is_not_utf8(tmp_path):
    root = write(tmp_path, a="长江\n".encode("utf-8") + "abc河\n".encode("gbk") + b"end\n")
    with pytest.raises(UserError, match=r"a\.txt line 2: byte 4 is not UTF-8.*iconv -t utf-8\)$"):
        list(files.read_lines(root + "a.txt"))
    with pytest.raises(UserError, match=r"\(iconv -t utf-8\) or pass --skip_bad_lines$"):
        list(files.read_lines(root + "a.txt", or_else=files.OR_SKIP))
    bad = []
    assert list(files.read_lines(root + "a.txt", bad.append)) == [(1, "长江"), (3, "end")]
    assert bad == [2]


def test_replacing_makes_directories_and_overwrites(tmp_path):
    path = str(tmp_path / "deep" / "er" / "a.txt")
    for text in ("first", "second"):
        with files.replacing(path) as temporary:
            assert os.path.dirname(temporary) == os.path.dirname(path)
            with open(temporary, "w") as stream:
                stream.write(text)
        with open(path) as stream:
            assert stream.read() == text
    assert os.listdir(os.path.dirname(path)) == ["a.txt"]


def test_replacing_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with files.replacing("a.txt") as temporary, open(temporary, "w"):
        pass
    assert os.listdir(str(tmp_path)) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_leaves_the_old_file_on_an_error(tmp_path, error):
    root = write(tmp_path, a="old")
    with pytest.raises(error), files.replacing(root + "a.txt") as temporary:
        with open(temporary, "w") as stream:
            stream.write("half")
        raise error
    assert os.listdir(root) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_replacing_a_directory_is_refused_at_once(tmp_path):
    for path in (str(tmp_path), str(tmp_path) + "/", str(tmp_path / "none") + "/"):
        with pytest.raises(UserError, match="a directory, expected"), files.replacing(path):
            raise AssertionError("the work began")
