"""Invented files of every form are read right, or end in one sentence."""

from util import files

import invented
from invented import st


@invented.inputs(lines=st.lists(invented.texts(excluded="\r")))
def test_lines_are_those_that_were_written(lines):
    with invented.file("lines.txt", "".join(line + "\n" for line in lines)) as path:
        assert [text for _, text in files.read_lines(path)] == [
            line[number == 0 and line.startswith("\ufeff"):] for number, line in enumerate(lines)]
