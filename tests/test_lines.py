"""Items and answers as lines."""

import json

from util.errors import UserError

import pytest

from serving import items, lines


class Lengths(object):
    """A predictor of how long a text is; tokens are characters, of which four fit.

    Args:
      stop: called before every answer.
    """

    def __init__(self, stop=lambda: None):
        self._stop = stop

    def rows(self, item):
        fields = items.fields(item, "classification")
        if fields["text"] == "bad":
            raise UserError("bad is no item; expected another")
        return [fields["text"]] * (2 if fields["text_b"] else 1)

    def compute(self, rows):
        self._stop()
        return [len(row) for row in rows]

    def answer(self, item, rows, outputs):
        assert list(map(len, rows)) == outputs
        return {"value": float(sum(outputs)), "tokens_cut": max(0, outputs[0] - 4)}


def test_every_line_gives_a_line():
    answered = lines.answer(Lengths(), ["abc", "ab\tc", '{"text": "abcdef", "id": 7}'])
    assert answered.lines[:2] == ["abc\t3.000000", "ab\tc\t4.000000"]
    assert json.loads(answered.lines[2]) == {
        "text": "abcdef", "id": 7, "prediction": {"value": 6.0, "tokens_cut": 2}}
    assert answered.num_cut == 1 and answered.num_bad == 0
    assert lines.answer(Lengths(), []) == ([], 0, 0)


BAD = [("a\tb\tc", "expected a text or a pair of texts"), ("", "text is empty"),
       ("bad", "bad is no item"), ("{a", "starts with { and is not JSON"), (None, "not UTF-8"),
       ("[" * 9000 + "\t\t", "expected a text"), ('{"a":' * 9000, "starts with { and is not JSON"),
       ('{"text": 1}', "expected a text")]


@pytest.mark.parametrize("line, reason", BAD)
def test_bad_line(line, reason):
    with pytest.raises(UserError, match="^f line 2: %s.* or pass --skip_bad_lines$" % reason):
        lines.answer(Lengths(), ["a", line], ["f line 1", "f line 2"])


def test_bad_lines_that_are_skipped_stay_in_their_rows():
    answered = lines.answer(Lengths(), ["ab"] + [line for line, _ in BAD] + ["abc"],
                            skip_bad_lines=True)
    assert answered.num_bad == len(BAD) and len(answered.lines) == len(BAD) + 2
    assert answered.lines[0] == "ab\t2.000000" and answered.lines[-1] == "abc\t3.000000"
    for (line, reason), found in zip(BAD[:-1], answered.lines[1:]):
        assert found.startswith((line or "") + "\terror: " + reason)
    assert json.loads(answered.lines[-2])["error"].startswith("expected a text")


def test_half_a_surrogate_pair_can_be_written():
    answered = lines.answer(Lengths(), ['{"text": "\\ud800"}'])
    assert json.loads(answered.lines[0].encode("utf-8").decode("utf-8"))["text"] == "\ufffd"


@pytest.mark.parametrize("answer, columns", [
    ({"value": 1.5}, ["1.500000"]),
    ({"label": "b", "probabilities": {"a": 0.25, "b": 0.75}}, ["b", "a:0.250000", "b:0.750000"]),
    ({"labels": ["a", "b"], "probabilities": {"a": 0.75, "b": 1.0}},
     ["a,b", "a:0.750000", "b:1.000000"]),
    ({"masks": [[("长", 0.5), ("大", 0.25)]]}, ["长:0.5000 大:0.2500"]),
    ({"entities": [{"type": "LOC", "start": 0, "end": 2, "text": "长江"}]}, ["LOC:0-2:长江"]),
    ({"entities": []}, []),
    ({"answer": "长江", "start": 3, "end": 5, "probability": 0.5, "score": 1.0},
     ["长江", "3-5", "0.500000"]),
    ({"answer": "", "start": None, "end": None, "probability": 0.5, "score": 1.0},
     ["", "-", "0.500000"]),
    ({"choice": 1, "text": "b", "probabilities": [0.25, 0.75]},
     ["1", "b", "0:0.250000", "1:0.750000"])])
def test_columns(answer, columns):
    assert lines.columns(answer) == columns


def test_numbered_lines_of_a_file_with_broken_ones(tmp_path):
    (tmp_path / "f").write_bytes(b"\xff\na\n\xff\n\xfe\nb\n\xff\n\xff")
    assert list(lines.numbered(str(tmp_path / "f"))) == [
        (1, None), (2, "a"), (3, None), (4, None), (5, "b"), (6, None), (7, None)]
