"""NAME@N.EXT."""

from util import shard_names
from util.errors import UserError

import pytest


@pytest.mark.parametrize("name, paths", [
    ("a.tsv", ["a.tsv"]), ("me@2/a", ["me@2/a"]), ("a@x.tsv", ["a@x.tsv"]),
    ("d/a@2.tsv.gz", ["d/a-00000-of-00002.tsv.gz", "d/a-00001-of-00002.tsv.gz"])])
def test_paths(name, paths):
    assert shard_names.paths_of(name) == paths


def test_what_is_no_set(tmp_path):
    with pytest.raises(UserError, match="a@0: 0 shards, expected 1 to 99999"):
        shard_names.paths_of("a@0")
    (tmp_path / "a-00001-of-00003.tsv").write_text("")
    (tmp_path / "a-big-00000-of-00008.tsv").write_text("")  # of another name
    paths = shard_names.paths_of(str(tmp_path / "a@2.tsv"))
    with pytest.raises(UserError, match="a-00001-of-00003.tsv is of another set"):
        shard_names.check_others(paths)
    (tmp_path / "a-00001-of-00003.tsv").unlink()
    shard_names.check_others(paths)


def test_set_of_a_shard():
    assert shard_names.set_of("d/a-00001-of-00003.tsv.gz") == "d/a.tsv.gz"
    assert shard_names.set_of("d-00001-of-00003/a.tsv") == "d-00001-of-00003/a.tsv"
    assert shard_names.pattern_of("d/a@3.tsv") == "d/a-*.tsv"
