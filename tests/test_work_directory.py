"""tests/test_shards.py tries the directory under kills and beside other processes."""

import os

from util import work_directory

import pytest


def test_is_removed_at_the_end_and_kept_with_its_pieces_after_an_error(tmp_path):
    path = str(tmp_path / "w")
    with pytest.raises(KeyError), work_directory.work_directory(path):
        (tmp_path / "w" / "piece").write_text("")
        raise KeyError
    assert sorted(os.listdir(path)) == ["lock", "piece"]
    with work_directory.work_directory(path):
        pass
    assert not os.path.exists(path)
