"""Reading data sets: tables, labels, every bad file; the bundled ones; packing of pairs."""

import collections
import gzip
import json
import os

from util.errors import UserError

import numpy as np
import pytest

import tokenization
from interchange import company
from tasks import base, classification, classification_data, tables
from tasks.tables import JsonLines, Tsv

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
PAIR = {"text_a": 0, "text_b": 1, "label": 2}
NAMED = {"text_a": "premise", "label": "gold"}


def rows(table, path, text, label_is_optional=False):
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return [row.cells for row in table.rows(str(path), label_is_optional) if row.cells != {}]


@pytest.mark.parametrize("table, text", [
    (Tsv({"text_a": 1, "label": 0}), "x\ta b\ny\tc\n"),
    (Tsv({"text_a": 1, "label": 2}, header=False), "1\ta b\tx\n\n2\tc \ty\n"),
    (Tsv({"text_a": 0, "label": 1}), "text\tlabel\na b\tx\nc\ty\n"),  # a header is recognised
    (Tsv({"text_a": 0, "label": 1}), "\ufefftext\tlabel\r\na b\tx\r\nc\ty\r\n"),
    (Tsv(NAMED, header=True), "id\tgold\tpremise\n7\tx\ta b\n8\ty\tc\n"),
    (Tsv(NAMED, header=True, where={"language": "zh"}),
     "language\tgold\tpremise\nzh\tx\ta b\nfr\ty\tz\nzh\ty\tc\n"),
    (JsonLines(NAMED), '{"premise": "a b", "gold": "x"}\n\n{"gold": "y", "premise": "c"}\n'),
])
def test_tables(tmp_path, table, text):
    assert rows(table, tmp_path / "f", text) == [
        {"text_a": "a b", "label": "x"}, {"text_a": "c", "label": "y"}]


@pytest.mark.parametrize("gold, label", [
    ("0", "0"), ("true", "true"), ("2.5", "2.5"), ('" x"', "x"), ('["x ", 7]', ["x", "7"]),
    ("[]", []),
])
def test_json_values_that_are_no_text(tmp_path, gold, label):
    assert rows(JsonLines(NAMED), tmp_path / "f", '{"premise": 7, "gold": %s}' % gold) == [
        {"text_a": "7", "label": label}]


def test_a_header_of_texts_alone_is_recognised(tmp_path):
    for header in ("sentence1\tsentence2\n", "text_a\ttext_b\n", ""):
        assert rows(Tsv(PAIR, width=3), tmp_path / "f", header + "a\tb\n", True) == [
            {"text_a": "a", "text_b": "b"}]


def test_ids_are_read_where_there_are_some(tmp_path):
    for table in (Tsv({"id": "id", "text_a": "text"}, header=True),
                  JsonLines({"id": "id", "text_a": "text"})):
        texts = (("text\na\n", "id\ttext\n7\ta\n") if isinstance(table, Tsv)
                 else ('{"text": "a"}', '{"text": "a", "id": 7}'))
        assert [rows(table, tmp_path / "f", text) for text in texts] == [
            [{"text_a": "a"}], [{"text_a": "a", "id": "7"}]]


def test_bad_lines_are_skipped_where_they_are_known(tmp_path):
    table = Tsv({"text_a": "text", "label": "label"}, header=True, skip_bad_lines=True)
    text = "text\tlabel\na\t0\nb\nc\t1\td\ne\t1\n"
    assert rows(table, tmp_path / "f", text) == [
        {"text_a": "a", "label": "0"}, None, None, {"text_a": "e", "label": "1"}]
    with pytest.raises(UserError, match="f line 3: 1 columns, expected 2"):
        rows(table, tmp_path / "f", text, label_is_optional=True)


@pytest.mark.parametrize("table, text", [
    (Tsv(PAIR, width=3), "a\tb\nc\td\n"),
    (Tsv({"text_a": 0, "text_b": 1, "label": 2}), "a\tb\nc\td\n"),
    (Tsv({"text_a": "one", "text_b": "two", "label": "gold"}, header=True),
     "one\ttwo\na\tb\nc\td\n"),
    (JsonLines({"text_a": "one", "text_b": "two", "label": "gold"}),
     '{"one": "a", "two": "b"}\n{"one": "c", "two": "d"}\n'),
])
def test_a_test_file_may_lack_labels(tmp_path, table, text):
    assert rows(table, tmp_path / "f", text, label_is_optional=True) == [
        {"text_a": "a", "text_b": "b"}, {"text_a": "c", "text_b": "d"}]
    with pytest.raises(UserError, match="f line 1: (2 columns, expected 3|no (column|key) 'gold')"):
        rows(table, tmp_path / "f", text)


@pytest.mark.parametrize("table, text, message", [
    (Tsv(PAIR, width=3), "a\tb\t1\nc\td\n", r"f line 2: 2 columns, expected 3 \(tab-separated\)"),
    (Tsv(PAIR, width=3), "a\tb\t1\tx\n", "f line 1: 4 columns, expected 3"),
    (Tsv({"text_a": 0}), "a\n\nb\tc\n", "f line 3: 2 columns, expected 1"),
    (Tsv(NAMED, header=True), "gold\ttext\n1\ta\n", "f line 1: no column 'premise' in the header, "
                                                    "found gold, text"),
    (Tsv(NAMED, header=True), "gold\tpremise\n1\n", "f line 2: 1 columns, expected 2"),
    (Tsv(PAIR), b"a\tb\t1\nc\t\xff\t0\n", "f line 2: byte 3 is not UTF-8; convert the file"),
    (JsonLines(NAMED), "{", r"f line 1 column 2: not JSON \(Expecting .*\), expected one object a "
                            "line; the file may be cut off, copy it again$"),
    (JsonLines(NAMED), "[1]", r"f \[0\]: found 1, expected an object with 'premise'$"),
    (JsonLines(NAMED), "a\tb\n", "f line 1 column 1: not JSON .*; check that it is the right "
                                 "file, and of the form that the command reads$"),
    (JsonLines(NAMED), "[" * 100000, r"f line 1: JSON that cannot be read \(lists in lists\)"),
    (Tsv({"text_a": 0, "label": 1}), "a,1\n", "f line 1: 1 columns, expected 2 .*; a comma-"
                                              "separated file is read if it is called .csv$"),
    (Tsv({"text_a": 0, "label": 1}), '{"text": "a"}', "it looks like JSON, which --task_name=jsonl "
                                                      "reads$"),
    (JsonLines(NAMED), '{"gold": null, "premise": "a"}', "f line 1: no key 'gold', found premise"),
    (JsonLines(NAMED), '{"gold": "1", "premise": ["a"]}',
     r'f line 1 premise: found \["a"\], expected a text or a number$'),
    (JsonLines(NAMED), '{"gold": {}, "premise": "a"}',
     "f line 1 gold: found {}, expected a text or a number$"),
    (JsonLines(NAMED), '{"gold": "1", "text": "a"}', "f line 1: no key 'premise', found gold, t"),
])
def test_bad_lines_are_named(tmp_path, table, text, message):
    with pytest.raises(UserError, match=message):
        rows(table, tmp_path / "f", text)


def create(name, directory, dataset=None):
    task = classification.Classification(
        name, dataset or classification_data.DATASETS[name], directory)
    task.setup()
    return task


def lcqmc(tmp_path, text, split="dev"):
    (tmp_path / (split + ".txt")).write_text(text, encoding="utf-8")
    return create("lcqmc", str(tmp_path)).examples(split)


def test_examples(tmp_path):
    first, second = lcqmc(tmp_path, "你好\t您好\t1\n\n再见\t你好\t0\n")
    assert first == ("dev-1", "%s/dev.txt line 1" % tmp_path, "你好", "您好", 1)
    assert second == ("dev-3", "%s/dev.txt line 3" % tmp_path, "再见", "你好", 0)
    assert lcqmc(tmp_path, "你好\t您好\n", "test")[0].label is None


@pytest.mark.parametrize("text, message", [
    ("a\tb\t2\n", "dev.txt line 1: unknown label '2', expected one of 0, 1"),
    ("a\tb\t1\na\tb\t\n", "dev.txt line 2: an empty label; every line needs one, correct it or "
                       "pass --skip_bad_lines$"),
    ("a\t \t1\n", "dev.txt line 1: an empty text; every line needs all its texts"),
    ("", "dev.txt: no examples in this file"),
    ("a\tb\tlabel\n\n", "dev.txt: no examples in this file"),
])
def test_bad_examples(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        lcqmc(tmp_path, text)


def test_missing_files(tmp_path):
    dataset = classification_data.DATASETS["lcqmc"]
    with pytest.raises(UserError, match="no dev data: none of %s/dev.txt, %s/dev.tsv exists; check "
                       "--data_dir" % (tmp_path, tmp_path)):
        classification.Classification("lcqmc", dataset, str(tmp_path)).path("dev")
    with pytest.raises(UserError, match=r"--data_dir is missing; .*\(or give --dev_file"):
        classification.Classification("lcqmc", dataset, None).path("dev")
    with pytest.raises(UserError, match="--dev_file=/none: no such file"):
        classification.Classification("lcqmc", dataset, None, {"dev": "/none"}).path("dev")


def test_the_first_name_that_exists_counts(tmp_path):
    names = ("a/dev.tsv", "dev.tsv")
    (tmp_path / "dev.tsv").write_text("x")
    assert base.find_file(str(tmp_path), names, "dev") == str(tmp_path / "dev.tsv")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "dev.tsv").write_text("x")
    assert base.find_file(str(tmp_path), names, "dev") == str(tmp_path / "a" / "dev.tsv")


def test_xnli_spelling_of_contradiction_and_languages(tmp_path):
    (tmp_path / "multinli.train.zh.tsv").write_text(
        "premise\thypo\tlabel\na\tb\tcontradictory\nc\td\tentailment\n")
    (tmp_path / "xnli.dev.tsv").write_text(
        "language\tgold_label\tsentence1\tsentence2\nfr\tneutral\ta\tb\nzh\tcontradiction\tc\td\n")
    task = create("xnli", str(tmp_path))
    assert [example.label for example in task.examples("train")] == [0, 1]
    assert [example[2:] for example in task.examples("dev")] == [("c", "d", 0)]


@pytest.mark.parametrize("name, counts", [
    ("lcqmc", {"train": [1168, 1167], "dev": [96, 96], "test": [95, 96]}),
    ("xnli", {"train": [60, 60, 60], "dev": [20, 20, 20], "test": [20, 20, 20]}),
])
def test_bundled_data(name, counts):
    task = create(name, os.path.join(DATA, name))
    texts = {}
    for split, expected in counts.items():
        examples = task.examples(split)
        found = collections.Counter(example.label for example in examples)
        assert [found[label] for label in range(len(task.labels))] == expected
        texts[split] = {(example.text_a, example.text_b) for example in examples}
    assert not texts["train"] & (texts["dev"] | texts["test"]) and not texts["dev"] & texts["test"]


def custom(tmp_path, text, form="tsv", text_b=None, columns=("0", "1"), labels=None, header=False):
    (tmp_path / ("train." + form)).write_text(text, encoding="utf-8")
    dataset = classification_data.custom_dataset(
        form, columns[0], text_b, columns[1], labels, header)
    return create(form, str(tmp_path), dataset)


def test_labels_of_own_files_are_those_of_the_training_file(tmp_path):
    task = custom(tmp_path, "a\tsport\nb\teconomy\nc\tsport\n")
    assert task.labels == ("economy", "sport")
    assert [example.label for example in task.examples("train")] == [1, 0, 1]
    assert task.identity() == {"task": "tsv", "labels": "economy,sport"}
    assert custom(tmp_path, "a\tx\n", labels=["y", "x"]).examples("train")[0].label == 1


def test_labels_of_a_run_are_known_without_the_training_file():
    dataset = classification_data.custom_dataset("tsv", "0", None, "1", None, False)
    for labels in (("x", "y"), ("a,b", "c"), ('["x"', "y")):
        known = {"task": "tsv", "labels": company.join_labels(labels), "hidden_size": 8}
        task = classification.Classification("tsv", dataset, None)
        task.setup(known)
        assert task.labels == labels and task.identity()["labels"] == known["labels"]
    with pytest.raises(UserError, match="--data_dir is missing"):
        classification.Classification("tsv", dataset, None).setup(dict(known, task="other"))


@pytest.mark.parametrize("options, text", [
    ({}, "a\tx\nb\ty\n"),
    ({"header": True, "columns": ("title", "topic")}, "id\ttopic\ttitle\n1\tx\ta\n2\ty\tb\n"),
    ({"form": "jsonl", "columns": ("title", "topic")},
     "".join(json.dumps({"title": title, "topic": topic}) + "\n" for title, topic in ("ax", "by"))),
])
def test_own_files(tmp_path, options, text):
    task = custom(tmp_path, text, **options)
    assert task.labels == ("x", "y")
    assert [example[2:] for example in task.examples("train")] == [("a", None, 0), ("b", None, 1)]


def test_own_pairs(tmp_path):
    task = custom(tmp_path, "x\tb\ta\ny\td\tc\n", text_b="1", columns=("2", "0"))
    assert task.examples("train")[0][2:] == ("a", "b", 0)


def test_own_files_that_do_not_fit(tmp_path):
    with pytest.raises(UserError, match="--text_a_column=title: not a number; without a header"):
        custom(tmp_path, "", columns=("title", "1"))
    with pytest.raises(UserError, match="the label column holds 'x'; expected two labels or more"):
        custom(tmp_path, "a\tx\nb\tx\n")
    with pytest.raises(UserError, match="the label column holds nothing"):
        custom(tmp_path, "")


def test_labels_are_shown_with_their_counts(tmp_path, said):
    task = custom(tmp_path, "a\tsport\nb\teconomy\nc\tsport\n", labels=["sport", "art", "economy"])
    assert said(task.examples, "train")[1] == [
        "train.tsv: 3 examples; labels: sport 2, art 0, economy 1"]
    (tmp_path / "dev.tsv").write_text("a\tart\nb\tsport\n")
    assert said(task.examples, "dev")[1] == [
        "dev.tsv: 2 examples; labels: sport 1, art 1, economy 0",
        "dev.tsv: art: no training example has this label, so it will hardly be predicted"]


def test_a_header_without_its_flag_is_no_example(tmp_path, said):
    for header in ("text\tlabel", "review\tsentiment", "文本\t标签", "Sentence\tx1"):
        task, messages = said(custom, tmp_path, header + "\na\tx\nb\ty\n")
        assert task.labels == ("x", "y") and len(task.examples("train")) == 2
        assert messages == ["train.tsv line 1 is taken for a header, not for an example: "
                            + header.replace("\t", ", ")]


@pytest.mark.parametrize("rows, doubt", [
    (["t%d\tlabel %d" % (number, number) for number in range(12)],
     "12 of 12 labels occur once, as label 0, label 1, label 10; is it the right column?"),
    (["a\tSport", "b\tsport", "c\tart"], "the labels 'Sport', 'sport' differ only in form and are "
                                         "trained as 2 classes; write them alike if they are one"),
    (["a\t1", "b\t１", "c\t1.0", "d\t2"], "the labels '1', '1.0', '１' differ only in form and are "
                                         "trained as 3 classes; write them alike if they are one"),
])
def test_labels_that_look_wrong(tmp_path, said, rows, doubt):
    task = custom(tmp_path, "\n".join(rows))
    assert said(task.examples, "train")[1][1] == "train.tsv: " + doubt


def test_an_empty_label_is_no_class(tmp_path):
    with pytest.raises(UserError, match="train.tsv line 2: an empty label; every line needs one"):
        custom(tmp_path, "a\tx\nb\t\nc\ty\n")


def test_bad_lines_are_counted_where_they_may_be_skipped(tmp_path, said, caplog):
    (tmp_path / "train.tsv").write_bytes(
        "a\tx\n\ty\nb\t\nc\ty\nd\n".encode("utf-8") + b"\xff\tx\n")
    dataset = classification_data.custom_dataset("tsv", "0", None, "1", None, False)
    task = classification.Classification(
        "tsv", dataset, str(tmp_path), skip_bad_lines=True)
    task.setup()
    examples, messages = said(task.examples, "train")
    assert task.labels == ("x", "y") and [example.text_a for example in examples] == ["a", "c"]
    assert "train.tsv: 4 bad lines are left out; the first: " in caplog.messages[0]
    assert messages[1] == "train.tsv: 2 examples; labels: x 1, y 1"


def test_ids_name_the_lines_of_a_test_file(tmp_path, said):
    task = custom(tmp_path, "a\tx\nb\ty\n")
    (tmp_path / "test.tsv").write_text("好\n\n坏\n\n")
    examples, messages = said(task.examples, "test")
    assert [example.id for example in examples] == ["test-1", "test-3"]
    assert messages == ["test.tsv: 2 examples, left out: 1 blank; no labels"]


@pytest.mark.parametrize("text, labels", [
    ("a\t-1\nb\t-1\n", [None, None]), ("a\t\nb\tx\n", [None, 0]), ("a\tx\nb\ty\n", [0, 1]),
    ("a\t?\n", [None])])
def test_labels_of_test_files_may_be_placeholders(tmp_path, said, text, labels):
    task = custom(tmp_path, "a\tx\nb\ty\n")
    (tmp_path / "test.tsv").write_text(text)
    examples, messages = said(task.examples, "test")
    assert [example.label for example in examples] == labels
    assert any("is taken as one without labels" in message for message in messages) == (
        "-" in text or "?" in text)
    (tmp_path / "test.tsv").write_text("a\t-1\nb\t-2\n")
    with pytest.raises(UserError, match="test.tsv line 1: unknown label '-1', expected one of x"):
        task.examples("test")


def test_a_test_file_may_lack_a_label_that_is_not_the_last_column(tmp_path):
    task = custom(tmp_path, "x\ta\tb\ny\tc\td\n", text_b="2", columns=("1", "0"))
    (tmp_path / "test.tsv").write_text("a\tb\n")
    assert task.examples("test")[0][2:] == ("a", "b", None)


def test_own_files_may_be_compressed_or_comma_separated(tmp_path):
    with gzip.open(str(tmp_path / "train.tsv.gz"), "wb") as stream:
        stream.write(b"a\tx\nb\ty\n")
    (tmp_path / "dev.csv").write_text('text,label\n"a, ""b""\nc",x\n\nd,y\n')
    dataset = classification_data.custom_dataset("tsv", "0", None, "1", None, False)
    task = create("tsv", str(tmp_path), dataset)
    assert [example.text_a for example in task.examples("train")] == ["a", "b"]
    assert [example[:3] for example in task.examples("dev")] == [
        ("dev-1", "%s/dev.csv line 2" % tmp_path, 'a, "b"\nc'),
        ("dev-3", "%s/dev.csv line 5" % tmp_path, "d")]
    (tmp_path / "dev.csv").write_text('a,x\n"b,y\n')
    with pytest.raises(UserError, match="dev.csv line 2: not comma-separated .*; correct the quot"):
        task.examples("dev")


class Tokenizer(object):
    cls_id, sep_id = 2, 3

    @staticmethod
    def encode(text):
        return [ord(char) for char in text]


def packed(*arguments):
    features = tokenization.pack(*arguments)
    assert features["lengths"].tolist() == [len(features["input_ids"])]
    assert all(array.dtype == np.int32 for array in features.values())
    return features["input_ids"].tolist(), features["segment_ids"].tolist()


def test_pack():
    assert packed([5, 6], [7], Tokenizer, 8) == ([2, 5, 6, 3, 7, 3], [0, 0, 0, 0, 1, 1])
    assert packed([5, 6, 7], None, Tokenizer, 4) == ([2, 5, 6, 3], [0, 0, 0, 0])
    assert packed([5] * 9, [6] * 3, Tokenizer, 10) == (
        [2, 5, 5, 5, 5, 3, 6, 6, 6, 3], [0] * 6 + [1] * 4)


def bert_lengths(first, second, room):
    """BERT's _truncate_seq_pair, on lengths."""
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def test_pairs_are_cut_as_bert_cuts_them():
    for first in range(1, 14):
        for second in range(1, 14):
            for room in range(2, 16):
                assert tokenization.fit_pair(first, second, room) == bert_lengths(
                    first, second, room), (first, second, room)


def test_featurize(tmp_path):
    task = create("lcqmc", None)
    example, = lcqmc(tmp_path, "AB\tC\t1\n")
    features, = task.featurize(example, Tokenizer, 16)
    assert set(features) == set(task.features)
    assert {name: array.tolist() for name, array in features.items()} == {
        "input_ids": [2, 65, 66, 3, 67, 3], "segment_ids": [0, 0, 0, 0, 1, 1], "lengths": [6],
        "label_ids": [1]}


def test_evaluation_needs_labels(tmp_path):
    examples = lcqmc(tmp_path, "a\tb\n", "test")
    task = create("lcqmc", None)
    with pytest.raises(UserError, match="test.txt line 1: no label; labels are needed to evaluate"):
        task.score(examples, {"probabilities": np.ones([1, 2])})


def test_predictions_as_a_table(tmp_path):
    examples = lcqmc(tmp_path, "a\tb\nc\td\n", "test")
    task = create("lcqmc", None)
    paths = task.write_predictions(str(tmp_path), "test", examples, {
        "probabilities": np.array([[0.25, 0.75], [0.9, 0.1]])})
    assert paths == [str(tmp_path / "test_results.tsv")]
    assert (tmp_path / "test_results.tsv").read_text() == (
        "id\tlabel\tprobability_0\tprobability_1\n"
        "test-1\t1\t0.250000\t0.750000\ntest-2\t0\t0.900000\t0.100000\n")


def test_cells_of_tables_are_escaped(tmp_path):
    tables.write(str(tmp_path / "f"), [["id", "label"], ["a\tb", "c\n\u2028d\\"]])
    assert (tmp_path / "f").read_text(encoding="utf-8") == "id\tlabel\na\\tb\tc\\n\\u2028d\\\n"
