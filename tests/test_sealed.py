"""Pieces of unfinished work that are whole, or are not used."""

import os

from util import sealed

import pytest


def test_what_was_written_is_read(tmp_path):
    for number, chunks in enumerate([[], [b""], [b"a", b"bc"], [b"x" * (1 << 20), b"y"]]):
        path = str(tmp_path / str(number))
        sealed.write(path, iter(chunks))
        assert sealed.is_whole(path)
        assert sealed.read(path) == b"".join(chunks)
    assert len(os.listdir(str(tmp_path))) == 4


@pytest.mark.parametrize("damage", [
    lambda content: b"",
    lambda content: content[:5],
    lambda content: content[:-1],
    lambda content: content[:-sealed.SEAL_BYTES],
    lambda content: content + b"\0",
    lambda content: b"\0" * len(content),
    lambda content: content[:600] + b"\0" * 512 + content[1112:],
    lambda content: b"b" + content[1:],
])
def test_damage_is_seen(tmp_path, damage):
    path = tmp_path / "a"
    sealed.write(str(path), [b"a" * 5000])
    path.write_bytes(damage(path.read_bytes()))
    assert not sealed.is_whole(str(path))
    assert sealed.read(str(path)) is None


def test_texts_have_a_name_of_their_own(tmp_path):
    names = [sealed.keep(str(tmp_path), texts) for texts in (["长江", None], [], ["长江", None])]
    assert names[0] == names[2] and sorted(os.listdir(str(tmp_path))) == sorted(names[:2])
    assert sealed.kept(str(tmp_path), names[0]) == ["长江", None]
    (tmp_path / names[0]).write_bytes(b"")
    assert sealed.keep(str(tmp_path), ["长江", None]) == names[0]
    assert sealed.kept(str(tmp_path), names[0]) == ["长江", None]


def test_file_that_is_not_there_is_not_whole(tmp_path):
    assert not sealed.is_whole(str(tmp_path / "a"))
    assert sealed.read(str(tmp_path / "a")) is None
