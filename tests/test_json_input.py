"""JSON values that know where they stand: what they give, and what each error says."""

import json

from util.errors import UserError

import pytest

from tasks import json_input, names


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
    (" a ", "a"), (7, "7"), (0.5, "0.5"), (True, "true"), (None, ""), ("\ud800a", "\ufffda")])
def test_cells(value, text):
    assert node(value).cell() == text


@pytest.mark.parametrize("look, sentence", [
    (lambda: node(3).text(), "f.json: found 3, expected a text"),
    (lambda: node("x" * 60).nodes(), 'f.json: found "%s…, expected a list' % ("x" * 39)),
    (lambda: node({"k": [1]}).get("k").texts(), "f.json k[0]: found 1, expected a text"),
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


def test_files(tmp_path):
    path = tmp_path / "f"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [(one.location, one.value) for one in json_input.read_lines(str(path))] == [
        ("%s line 1" % path, {"a": 1}), ("%s line 3" % path, {"a": 2})]
    assert [one.value["a"] for one in json_input.read_file_or_lines(str(path))] == [1, 2]
    with pytest.raises(UserError, match="f line 3 column 1: not JSON .Extra data., expected one "
                                        "JSON value; the file may be cut off, copy it again$"):
        json_input.read_file(str(path))
    path.write_text(json.dumps({"a": 3}, indent=1))
    assert json_input.read_file(str(path)).value == {"a": 3}
    assert [one.location for one in json_input.read_file_or_lines(str(path))] == [str(path)]


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
