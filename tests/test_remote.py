"""util/remote.py: files of object stores, without TensorFlow; an S3 server on this machine."""

import subprocess
import sys

from util import files, remote, text_lines, whole_files
from util.errors import UserError

import pytest

from factories import ROOT

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["memory://", "s3a://bucket/"])
def root(request):
    """An empty place of a store."""
    if request.param.startswith("s3a"):
        request.getfixturevalue("object_store")
    path = request.param + request.node.name.split("[")[0]
    yield path
    files.remove_directory(path)


def test_files_are_as_local_ones(root):
    path = root + "/deep/a.txt"
    assert not files.exists(path)
    files.make_directory(root + "/deep")
    whole_files.write_lines(path, ["长江", "b"])
    assert files.size(path) == 9
    assert files.is_file(path) and not files.is_directory(path)
    assert files.is_directory(root + "/deep")
    assert list(text_lines.read_lines(path)) == [(1, "长江"), (2, "b")]
    whole_files.write_lines(path, ["c"])  # replaces it
    assert list(text_lines.read_lines(path)) == [(1, "c")]
    whole_files.write_lines(root + "/deep/a10.txt", ["d"])
    whole_files.write_lines(root + "/deep/a9.txt", ["d"])
    assert files.expand(root + "/deep/a*.txt") == [
        root + "/deep/%s.txt" % name for name in ("a9", "a10", "a")]
    files.remove(path)
    assert not files.exists(path)
    files.remove_directory(root)
    assert not files.exists(root + "/deep/a9.txt")
    files.remove_directory(root)  # which is not there any more


def test_output_that_fails_leaves_nothing(root):
    with pytest.raises(RuntimeError), whole_files.replacing(root + "/a.txt") as temporary, \
            files.open_file(temporary, "w") as stream:
        stream.write("half")
        raise RuntimeError
    with pytest.raises(UserError, match="no such file"):
        files.expand(root + "/*")


def test_part_of_a_remote_file(root):
    whole_files.write_lines(root + "/a.txt", ["长江", "b", "c", "d"])
    part = text_lines.Part(root + "/a.txt", 7, 11)
    assert list(text_lines.read_lines(part)) == [(1, "b"), (2, "c")]


def test_file_that_is_not_there(root):
    with pytest.raises(FileNotFoundError) as raised:
        list(text_lines.read_lines(root + "/none.txt"))
    assert raised.value.filename == root + "/none.txt"
    assert raised.value.strerror == "No such file or directory"


def test_bucket_that_is_not_there(object_store):
    with pytest.raises(UserError, match="none/a.txt: FileNotFoundError: The specified bucket"):
        whole_files.write_lines("s3a://none/a.txt", ["a"])


def test_store_without_credentials(object_store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.get_filesystem_class("s3a").clear_instance_cache()
    with pytest.raises(UserError, match="s3a://bucket/a.txt: NoCredentialsError: Unable to locate"):
        whole_files.write_lines("s3a://bucket/a.txt", ["a"])
    fsspec.get_filesystem_class("s3a").clear_instance_cache()


def test_unknown_file_system_is_left_to_tensorflow():
    assert remote.file_system("ram://a/b.txt") is None


def test_neither_tensorflow_nor_fsspec_is_loaded_for_nothing():
    code = ("import sys; from util import files; files.exists('a');"
            "before = 'fsspec' in sys.modules; files.exists('memory://a');"
            "print(before, 'fsspec' in sys.modules, 'tensorflow' in sys.modules)")
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)
    assert printed.decode("utf-8").strip() == "False True False"
