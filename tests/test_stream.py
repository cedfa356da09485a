"""Lines answered as they come."""

import io
import sys

from util import text_lines
from util.errors import UserError

import pytest

from serving import stream
from test_lines import Lengths


class Stdin(io.TextIOWrapper):
    def __init__(self, content):
        super().__init__(io.BytesIO(content), encoding="utf-8")


def test_standard_input(monkeypatch, capsysbinary):
    monkeypatch.setattr(stream, "CHUNK", 2)
    monkeypatch.setattr(sys, "stdin", Stdin("\ufeff我\r\nab\n\xff".encode("utf-8") + b"\n\xff\nc"))
    stream.score(Lengths(), stream.of_standard_input(), skip_bad_lines=True)
    assert capsysbinary.readouterr().out.decode("utf-8").splitlines() == [
        "我\t1.000000", "ab\t2.000000", "\xff\t1.000000",
        "\terror: not UTF-8; convert the file (iconv -f ITS_ENCODING -t utf-8)", "c\t1.000000"]


def test_a_bad_line_of_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"a\n\xff\n"))
    with pytest.raises(UserError, match="^line 2: not UTF-8"):
        stream.score(Lengths(), stream.of_standard_input())


def test_to_a_file_that_is_complete_or_absent(tmp_path):
    path = str(tmp_path / "out.gz")
    with pytest.raises(UserError, match="^line 2"):
        stream.score(Lengths(), [("line 1", "a"), ("line 2", "")], path)
    assert list(tmp_path.iterdir()) == []
    stream.score(Lengths(), [("line 1", "a")], path)
    assert list(text_lines.read_lines(path)) == [(1, "a\t1.000000")]


class Predictor(Lengths):
    def predict(self, items):
        rows = [self.rows(item) for item in items]
        return [self.answer(item, of_item, self.compute(of_item))
                for item, of_item in zip(items, rows)]


def test_a_dialogue(monkeypatch, capsys, caplog):
    caplog.set_level("INFO", "albert")
    monkeypatch.setattr(sys, "stdin", io.StringIO("ab ||| abcdef\nbad\nabcdef\n\nafter\n"))
    stream.interactive(Predictor())
    assert capsys.readouterr().out.splitlines() == ["4.000000", "6.000000"]
    assert caplog.messages[1:] == [
        "bad is no item; expected another", "2 tokens did not fit and were cut"]
