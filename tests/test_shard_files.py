"""Names of record files, and how finished shards get them."""

import json
import os

import pytest

from pretraining import shard_files


@pytest.mark.parametrize("output_file, paths", [
    ("a.tfrecord", ["a.tfrecord"]),
    ("d/a@2.tfrecord", ["d/a-00000-of-00002.tfrecord", "d/a-00001-of-00002.tfrecord"]),
    ("a@1", ["a-00000-of-00001"]),
    ("a@2, b@1.x,c", ["a-00000-of-00002", "a-00001-of-00002", "b-00000-of-00001.x", "c"]),
    ("a@x.tfrecord", ["a@x.tfrecord"]),  # no number of shards: a name
    ("me@2/a", ["me@2/a"]),
    ("d/@2", ["d/@2"]),
])
def test_names_of_the_output(output_file, paths):
    assert shard_files.output_paths(output_file) == paths


def test_many_shards_have_five_digits():
    paths = shard_files.output_paths("a@99999.tfrecord")
    assert paths[-1] == "a-99998-of-99999.tfrecord"
    assert sorted(paths) == paths


@pytest.mark.parametrize("outputs, work_dir, path", [
    (["d/tf-00000-of-00002.tfrecord"], None, "d/.tf.tfrecord.work"),
    (["a", "d/b"], None, ".a.work"),
    (["d/a"], "/w", "/w/.a.4d614069.work"),  # with a hash of d/a: /w may serve several outputs
])
def test_directory_for_unfinished_work(outputs, work_dir, path):
    assert shard_files.work_path(outputs, work_dir) == path


def test_publish(tmp_path):
    """Shards get their names, every set a description, and what a killed run left is removed."""
    shards = []
    for number, content in enumerate(["one", "two", "three"]):
        (tmp_path / ("shard-%d" % number)).write_text(content)
        shards.append((str(tmp_path / ("shard-%d" % number)), len(content)))
    out = tmp_path / "out"
    out.mkdir()
    (out / ".t-00000-of-00002.77.tmp").write_text("abandoned")
    names = ["t-00000-of-00002", "t-00001-of-00002", "u"]
    shard_files.publish(shards, [str(out / name) for name in names], {"flags": {"ngram": 3}})
    assert sorted(os.listdir(str(tmp_path))) == ["out"]
    assert sorted(os.listdir(str(out))) == names[:2] + ["t.json", "u", "u.json"]
    assert [(out / name).read_text() for name in names] == ["one", "two", "three"]
    assert json.loads((out / "t.json").read_text()) == {
        "flags": {"ngram": 3}, "files": {"t-00000-of-00002": 3, "t-00001-of-00002": 3}}
    assert json.loads((out / "u.json").read_text())["files"] == {"u": 5}


def test_publish_gives_all_names_or_none(tmp_path):
    (tmp_path / "shard").write_text("new")
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="missing"):
        shard_files.publish([(str(tmp_path / "shard"), 1), (str(tmp_path / "missing"), 1)],
                            [str(tmp_path / "a"), str(tmp_path / "b")], {})
    assert (tmp_path / "a").read_text() == "old"
    assert not (tmp_path / "b").exists() and not (tmp_path / "a.json").exists()
