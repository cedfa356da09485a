"""Files in parts that end between documents or lines, for tasks."""

from util import files, portions, text_lines

import pytest

from text import corpus


def cut(path, step, first_break):
    """[(text_lines.Part, bytes)] of a file that is cut after every `step` bytes."""
    edges = list(range(0, files.size(path), step)) + [files.size(path)]
    parts = [text_lines.Part(path, *edge) for edge in zip(edges, edges[1:])]
    return portions.at_breaks(
        [(part, part.end - part.begin) for part in parts],
        {part: first_break(part) for part in parts if part.begin})


def test_parts_of_a_file_are_its_documents(tmp_path):
    path = str(tmp_path / "in.txt")
    lines = ["ab", "", "c" * 30, " ", "", "长江 ", "河", "", "x", "\t", "y" * 9, "z"]
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("\r\n".join(lines))
    size = files.size(path)
    whole = list(corpus.read_documents([path], {"lines": 0, "input bytes": 0}))
    numbers = set()
    for step in range(1, size + 2):
        moved = cut(path, step, corpus.first_break)
        counts = {"lines": 0, "input bytes": 0}
        assert list(corpus.read_documents([part for part, _ in moved], counts)) == whole
        assert counts == {"lines": len(lines), "input bytes": size}
        assert sum(size for _, size in moved) == size
        numbers.add(len(moved))
    assert numbers == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_parts_of_a_file_are_its_lines(tmp_path, end):
    path = str(tmp_path / "in.txt")
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write("\ufeffab\n\n" + "c" * 30 + "\r\n\n长江\nz" + end)
    whole = [text for _, text in text_lines.read_lines(path)]
    for step in range(1, files.size(path) + 2):
        moved = cut(path, step, text_lines.Part.first_line)
        assert [text for part, _ in moved for _, text in text_lines.read_lines(part)] == whole
        assert len(moved) > 1 or step > 20


def test_small_parts_together():
    sized = [("a", 5), ("b", 4), ("c", 99), ("d", 1), ("e", 9)]
    assert list(portions.grouped(sized, 10)) == [["a", "b"], ["c"], ["d", "e"]]
    assert len(list(portions.grouped([("a", 0)] * 2001, 10))) == 3
