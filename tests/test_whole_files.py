"""Files that are complete or absent, and input that stays."""

import concurrent.futures
import json
import os

from util import whole_files
from util.errors import UserError

import pytest

pytestmark = pytest.mark.every_platform  # Pythons differ in what they say of files


@pytest.fixture
def root(tmp_path):
    """A directory, with the separator, that holds a.txt, "old"."""
    (tmp_path / "a.txt").write_text("old")
    return str(tmp_path) + os.sep


def test_replacing_makes_directories_and_overwrites(tmp_path):
    path = str(tmp_path / "deep" / "er" / "a.txt")
    for text in ("first", "second"):
        with whole_files.replacing(path) as temporary:
            assert os.path.dirname(temporary) == os.path.dirname(path)
            with open(temporary, "w") as stream:
                stream.write(text)
        with open(path) as stream:
            assert stream.read() == text
    assert os.listdir(os.path.dirname(path)) == ["a.txt"]


def test_replacing_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with whole_files.replacing("a.txt") as temporary, open(temporary, "w"):
        pass
    assert os.listdir(str(tmp_path)) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_leaves_the_old_file_on_an_error(root, error):
    with pytest.raises(error), whole_files.replacing(root + "a.txt") as temporary:
        with open(temporary, "w") as stream:
            stream.write("half")
        raise error
    assert os.listdir(root) == ["a.txt"]
    with open(root + "a.txt") as stream:
        assert stream.read() == "old"


def test_replacing_a_directory_is_refused_at_once(tmp_path):
    for path in (str(tmp_path), str(tmp_path) + "/", str(tmp_path / "none") + "/"):
        with pytest.raises(UserError, match="a directory, expected"), whole_files.replacing(path):
            raise AssertionError("the work began")


@pytest.mark.parametrize("name", ["a.txt", "./a.txt", "link", "hard"])
def test_input_is_not_overwritten_by_any_name(tmp_path, root, name):
    (tmp_path / "b.txt").write_text("")
    os.symlink("a.txt", root + "link")
    os.link(root + "a.txt", root + "hard")
    for other in ("a.txt", "link", "hard"):
        with pytest.raises(UserError, match="%s is one of the input files; name another" % name):
            whole_files.check_outputs([root + "new", root + name], [root + other])
        with whole_files.protecting([root + other]):
            with pytest.raises(UserError, match=name), whole_files.replacing(root + name):
                raise AssertionError("the work began")
            with whole_files.replacing(root + "b.txt") as temporary, open(temporary, "w"):
                pass
    assert sorted(os.listdir(root)) == ["a.txt", "b.txt", "hard", "link"]
    with whole_files.replacing(root + "a.txt") as temporary, open(temporary, "w"):
        pass  # the inputs of another command


def test_outputs_are_files_of_their_own(root):
    os.mkfifo(root + "pipe")
    os.symlink("/dev/null", root + "null")
    whole_files.check_outputs([root + "a.txt", root + "deep/b", root + "c"])
    assert sorted(os.listdir(root)) == ["a.txt", "null", "pipe"]
    for path in ("pipe", "null", "/dev/null"):
        for write_it in (lambda path: whole_files.check_outputs([path]),
                         lambda path: whole_files.write_lines(path, [])):
            with pytest.raises(UserError, match=path + ": a device or a pipe, expected the name"):
                write_it(os.path.join(root, path))
    with pytest.raises(UserError, match="deep/b and .*deep/./b are one file to write"):
        whole_files.check_outputs([root + "deep/b", root + "deep/./b"])


def test_name_that_cannot_be_written_is_said_before_the_work(root):
    with pytest.raises(UserError, match=r"a.txt/b cannot be written \(Not a directory\); give"):
        whole_files.check_outputs([root + "a.txt/b"])
    with pytest.raises(UserError, match=r"c/x+ cannot be written \(File name too long\); give"):
        whole_files.check_outputs([root + "b/c/" + "x" * 250])
    with pytest.raises(UserError, match=r"x cannot be written \(File name too long\); give"):
        whole_files.check_outputs([root + "b", root + "x" * 250])
    assert os.listdir(root) == ["a.txt"]


def test_several_processes_may_try_at_once(tmp_path):
    """Workers of a cluster, in a directory that none of them has made yet."""
    for trial in range(50):
        path = str(tmp_path / str(trial) / "deep" / "a.txt")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert list(pool.map(whole_files.check_outputs, [[path]] * 32)) == [None] * 32
    assert os.listdir(str(tmp_path)) == []


def test_error_of_a_write_names_the_file(tmp_path):
    with pytest.raises(OSError) as raised, whole_files.replacing(str(tmp_path / "a")) as temporary:
        os.symlink("/dev/full", temporary)
        with open(temporary, "wb") as stream:
            stream.write(b"a")
    assert raised.value.filename == str(tmp_path / "a")
    assert os.listdir(str(tmp_path)) == []


def test_json_is_sorted_and_readable(tmp_path):
    values = {"b": [1, 2.5], "a": {"汉字": None}}
    whole_files.write_json(str(tmp_path / "a"), values)
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert json.loads(text) == values
    assert text.index("汉字") < text.index('"b"')
    assert text.endswith("}\n")


@pytest.fixture(params=["same", "other"])
def other_place(request, tmp_path):
    """A directory of the same and of another file system."""
    if request.param == "same":
        yield tmp_path / "new"
        return
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(str(tmp_path)).st_dev:
        pytest.skip("/dev/shm is not another file system here")
    path = tmp_path.__class__("/dev/shm/test_files_%d" % os.getpid())
    yield path
    for name in os.listdir(str(path)):
        (path / name).unlink()
    path.rmdir()


def test_move(tmp_path, other_place):
    content = os.urandom(3 << 20)
    for old in (None, b"old"):
        (tmp_path / "a").write_bytes(content)
        other_place.mkdir(exist_ok=True)
        if old:
            (other_place / "b").write_bytes(old)
        whole_files.move(str(tmp_path / "a"), str(other_place / "b"))
        assert (other_place / "b").read_bytes() == content
        assert os.listdir(str(other_place)) == ["b"]
        assert not (tmp_path / "a").exists()


def test_move_that_fails_leaves_the_file(tmp_path, other_place):
    (tmp_path / "a").write_bytes(b"content")
    (other_place / "b").mkdir(parents=True)
    with pytest.raises(UserError, match="b: a directory, expected"):
        whole_files.move(str(tmp_path / "a"), str(other_place / "b"))
    assert (tmp_path / "a").read_bytes() == b"content"
    (other_place / "b").rmdir()
    assert os.listdir(str(other_place)) == []
