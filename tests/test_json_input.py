"""JSON values that know where they stand: what they give, and what each error says."""

import json

from util.errors import UserError

import pytest

from tasks import json_input, names
from tasks.bad_lines import BadLines


def node(value):
    return json_input.Node(value, "f.json")


def test_values_know_where_they_stand():
    record = node({"data": [{"qas": ["a", "b"]}]})
    texts = record.get("data").nodes()[0].get("qas")
    assert texts.texts() == ["a", "b"]
    assert texts.nodes()[1].location == "f.json data[0].qas[1]"
    assert texts.nodes()[1].path == "data[0].qas[1]"
    assert record.location == "f.json"
    assert node([["a"]]).nodes()[0].nodes()[0].location == "f.json [0][0]"


def test_keys():
    record = node({"b": 1, "a": None})
    assert record.get("x", "b").value == 1
    assert [record.has(key) for key in "abx"] == [True, True, False]
    assert [record.peek(key, 7) for key in "abx"] == [None, 1, 7]
    assert [key for key, _ in record.entries()] == ["a", "b"]
    assert record.replaced(a=2).get("a").value == 2 and record.get("a").value is None


@pytest.mark.parametrize("value, text", [
    (" a ", "a"), (7, "7"), (0.5, "0.5"), (True, "true"), (None, "")])
def test_cells(value, text):
    assert node(value).cell() == text


@pytest.mark.parametrize("look, sentence", [
    (lambda: node(True).text(), "f.json: found true, expected a text"),
    (lambda: node("x" * 60).nodes(), 'f.json: found "%s…, expected a list' % ("x" * 39)),
    (lambda: node({"k": [[]]}).get("k").texts(), "f.json k[0]: found [], expected a text"),
    (lambda: node({"k": 1}).get("k").texts(), "f.json k: found 1, expected a list of texts"),
    (lambda: node(["a"]).texts(at_least=2), "f.json: found 1 texts, expected 2 or more"),
    (lambda: node({"b": 1, "c": None}).get("a", "x"), "f.json: no key 'a' or 'x', found b"),
    (lambda: node({}).get("a"), "f.json: no key 'a', found none"),
    (lambda: node([]).get("a"), "f.json: found [], expected an object with 'a'"),
    (lambda: node([]).entries(), "f.json: found [], expected an object"),
    (lambda: node({}).cell(), "f.json: found {}, expected a text or a number"),
])
def test_errors(look, sentence):
    with pytest.raises(UserError) as raised:
        look()
    assert str(raised.value) == sentence


def records(path, text):
    path.write_text(text)
    return [(number, one.location[len(str(path)):], one.value)
            for number, one in json_input.read_records(str(path))]


def test_records_are_one_a_line_or_in_one_array_or_only_one(tmp_path, caplog):
    path, objects = tmp_path / "f", [{"a": 1}, {"a": [2]}]
    with caplog.at_level("INFO", "albert"):
        assert records(path, '{"a": 1}\n\n{"a": [2]}\n\n') == [
            (1, " line 1", objects[0]), (3, " line 3", objects[1])]
    assert caplog.messages == [
        "%s: 1 blank lines are left out; numbers are those of the lines" % path]
    for text in (json.dumps(objects), json.dumps(objects, indent=2), '[\n{"a": 1},\n{"a": [2]}\n]'):
        assert records(path, text) == [(1, " [0]", objects[0]), (2, " [1]", objects[1])]
    assert records(path, json.dumps(objects[1], indent=2)) == [(1, " line 1", objects[1])]
    assert records(path, "\n") == records(path, "[]") == []


def test_a_file_of_one_value_may_have_one_a_line(tmp_path):
    path = tmp_path / "f"
    path.write_text('[1]\n\n[2, 3]\n')
    assert json_input.read_file(str(path)).value == [[1], [2, 3]]
    path.write_text(json.dumps({"a": 3}, indent=1))
    assert json_input.read_file(str(path)).value == {"a": 3}
    assert json_input.read_file(str(path)).location == str(path)


@pytest.mark.parametrize("text, sentence", [
    ('{"a": 1}\n{"a": 2\n', "line 2 column 8: not JSON .*, expected one object a line; the file "
                            "may be cut off"),
    ('[\n{"a": 1},\n{"a"', "line 3 column 5: not JSON .*; the file may be cut off, copy it again"),
    ('"' + "9" * 5000 + "\n", "not JSON"),
    ("[" * 100000, r"line 1: JSON that cannot be read \(lists in lists\); correct the file"),
])
def test_broken_files(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        records(tmp_path / "f", text)


def test_half_surrogate_pairs_cannot_be_written_and_are_replaced(tmp_path):
    value = {"\ufffd": ["a\ufffd", "\U0001f600", 1.5]}
    assert records(tmp_path / "f", r'{"\ude00": ["a\ud83d", "\ud83d\ude00", 1.5]}') == [
        (1, " line 1", value)]


def test_numbers_are_texts_as_the_file_writes_them(tmp_path):
    (_, _, values), = records(tmp_path / "f", '{"k": [2008, 3.10, -0.0, 1e3, "x"]}')
    assert node(values).get("k").texts() == ["2008", "3.10", "-0.0", "1e3", "x"]


@pytest.mark.parametrize("record, identifier", [
    ({"id": 7}, 7), ({"id": "a"}, "a"), ({"id": 1.5}, "1.5"), ({"id": None}, "x"), ({}, "x")])
def test_identifiers(record, identifier):
    assert node(record).identifier("x") == identifier


def test_no_line_is_skipped_in_the_midst_of_a_value(tmp_path):
    (tmp_path / "f").write_bytes(b'[\n{"a": 1,\n"\xff": 2,\n"b": 3}\n]\n')
    with pytest.raises(UserError, match="f line 3: byte 2 is not UTF-8"):
        list(json_input.read_records(str(tmp_path / "f"), BadLines(skip=True)))


def test_lines_that_are_skipped_are_counted(tmp_path, caplog):
    path, bad_lines = tmp_path / "f", BadLines(skip=True)
    path.write_bytes(b'{"a": 1}\n{"a"\n\xff\n{"a": 2}\n')
    assert [number for number, _ in json_input.read_records(str(path), bad_lines)] == [1, 4]
    with caplog.at_level("INFO", "albert"):
        bad_lines.report("f")
    assert caplog.messages == [
        "f: 2 bad lines are left out; the first: %s line 3: not UTF-8" % path]


@pytest.mark.parametrize("given", ["paws-x", "PAWS_X", "pawsx", "paws x", "paws.zh"])
def test_spellings_of_names(given):
    assert names.find(given, ["bq", "paws-x"], {"paws_zh": "paws-x"}) == "paws-x"


@pytest.mark.parametrize("given, sentence", [
    ("pawsy", "--task_name=pawsy: no such task, expected one of bq, paws-x or none; did you mean "
              "paws-x?"),
    ("zzz", "--task_name=zzz: no such task, expected one of bq, paws-x or none"),
    (None, "--task_name is missing, expected one of bq, paws-x or none")])
def test_unknown_names(given, sentence):
    with pytest.raises(UserError) as raised:
        names.find(given, ["bq", "paws-x"], or_else=" or none")
    assert str(raised.value) == sentence
