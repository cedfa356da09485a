"""Globs, comma lists, names and what is there."""

import os

from util import files
from util.errors import UserError

import pytest

pytestmark = pytest.mark.every_platform  # Pythons differ in what they say of files


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


def test_sorted_as_people_count(tmp_path):
    names = ["part_%d" % number for number in (1, 2, 3, 9, 10, 11, 12, 100)]
    root = write(tmp_path, **{name: "" for name in names})
    (tmp_path / "part_12b.txt").write_bytes(b"")
    expected = [root + name + ".txt" for name in names]
    expected.insert(7, root + "part_12b.txt")
    assert files.expand(root + "part_*.txt") == expected
    assert files.expand(",".join(reversed(expected))) == expected
    names = ["b01", "b1", "b1²0", "b1²3", "b1²20"]  # to Python ² is a digit, but no number
    write(tmp_path, **{name: "" for name in names})
    assert files.expand(root + "b*.txt") == [root + name + ".txt" for name in names]


def test_glob_below_a_directory_with_the_letters_of_one(tmp_path):
    folder = tmp_path / "lr[1e-4] *"
    folder.mkdir()
    (folder / "a1.txt").write_text("")
    (folder / "a2.txt").write_text("")
    assert files.expand("%s/a*.txt" % folder) == [str(folder / "a1.txt"), str(folder / "a2.txt")]
    with pytest.raises(UserError, match="no such file"):
        files.expand("%s/b*" % folder)


def test_stamps_of_files_that_change(tmp_path):
    kept, grown, gone = (tmp_path / name for name in ("a", "b", "c"))
    for path in (kept, grown, gone):
        path.write_text("x")
    stamps = files.stamps([str(kept), str(grown), str(gone)])
    assert files.changed(stamps) == [] and files.stamps(str(kept)) == {str(kept): stamps[str(kept)]}
    grown.write_text("xy")
    gone.unlink()
    assert files.changed(stamps) == [str(grown), str(gone)]
    os.utime(str(kept), (1, 1))
    assert str(kept) in files.changed(stamps)


def test_path_with_the_letters_of_a_glob(tmp_path):
    root = write(tmp_path, **{"a[1]": "", "a1": ""})
    assert files.expand(root + "a[1].txt") == [root + "a[1].txt"]


@pytest.mark.parametrize("pattern", ["none.txt", "none_*.txt", "none/*.txt", "directory"])
def test_pattern_without_a_file(tmp_path, pattern):
    root = write(tmp_path, a="")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match=pattern.replace("*", r"\*") + ": no such file"):
        files.expand("%sa.txt,%s%s" % (root, root, pattern))


def test_comma_inside_a_name(tmp_path):
    root = write(tmp_path, **{"a,b": "", "a": "", "b": ""})
    assert files.expand(root + r"a\,b.txt") == [root + "a,b.txt"]
    assert files.expand(root + r"a\,*.txt," + root + "b.txt") == [root + "a,b.txt", root + "b.txt"]
    with pytest.raises(UserError, match=r"no such file; .* \(a comma inside a name is written \\,"):
        files.expand(root + "a,b.txt")
    assert files.split_list(r" a\,b , c,,") == ["a,b", "c"]
    assert files.split_list(None) == []


def test_name_that_is_not_utf8(tmp_path):
    """It can be opened, and neither printed nor written into a description."""
    with open(os.path.join(os.fsencode(str(tmp_path)), b"a\xff.txt"), "w"):
        pass
    with pytest.raises(UserError, match="a\ufffd.txt: this is not UTF-8; rename the file"):
        files.expand(str(tmp_path / "*.txt"))
    with pytest.raises(UserError, match="a\ufffd.txt: this is not UTF-8; rename the file"):
        files.require_file(str(tmp_path / "a\udcff.txt"), "vocab_file")


def test_pipe_cannot_be_read_again(tmp_path):
    root = write(tmp_path, a="")
    os.mkfifo(root + "pipe")
    files.check_rereadable([root + "a.txt"])
    with pytest.raises(UserError, match="pipe is a pipe, and this command reads its input several"):
        files.check_rereadable([root + "a.txt", root + "pipe"])
    assert files.is_empty(root + "a.txt") and not files.is_empty(root + "pipe")


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
