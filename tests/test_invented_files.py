"""Invented files of every form are read as what was written, or end in one sentence."""

import csv
import functools
import io
import json

from util import text_lines
from util.errors import UserError

import numpy as np

import invented
import tokenization
from finetuning import limits
from invented import st
from tasks import (
    choice,
    choice_data,
    classification,
    classification_data,
    reading,
    reading_data,
    tag_schemes,
    tagging,
    tagging_data,
)

# Cells and tokens are read without white space around them.
CELLS = invented.texts(excluded="\t\r\ufeff").map(str.strip).filter(bool)
LABELS = st.sampled_from(["x", "y", "体育", "a,b", "-1", "0.5"])
TEXTS = invented.texts(min_size=1)


@invented.inputs(lines=st.lists(invented.texts(excluded="\r")))
def test_lines_are_those_that_were_written(lines):
    with invented.file("lines.txt", "".join(line + "\n" for line in lines)) as path:
        assert [text for _, text in text_lines.read_lines(path)] == [
            line[number == 0 and line.startswith("\ufeff"):] for number, line in enumerate(lines)]


# ---- one task for every form of file ----

def own(form, columns=("text", "label"), header=False, **options):
    """A maker of classification tasks of own files, as `tasks_of` wants it."""
    def make(path, split, skip_bad_lines=False):
        dataset = classification_data.custom_dataset(
            form, columns[0], None, columns[1],
            ["x", "y"] if split == "test" and not options.get("regression") else None, header,
            **options)
        return classification.Classification(
            form, dataset, None, {split: path, "train": path}, skip_bad_lines=skip_bad_lines)
    return make


def row(module, family, name):
    """The same of a data set."""
    def make(path, split, skip_bad_lines=False):
        return family(name, module.DATASETS[name], None, {split: path, "train": path},
                      skip_bad_lines=skip_bad_lines)
    return make


def own_tagging(form):
    def make(path, split, skip_bad_lines=False):
        labels = ["PER"] if split == "test" else None
        return tagging.Tagging(form, tagging_data.custom_dataset(form, labels), None,
                               {split: path, "train": path}, "BIO" if labels else None,
                               skip_bad_lines=skip_bad_lines)
    return make


TABLES = {
    "tsv": own("tsv", ("0", "1")), "tsv with header": own("tsv", header=True),
    "csv": own("tsv", ("0", "1")), "labels": own("tsv", ("0", "1"), multi_label=True),
    "numbers": own("tsv", ("0", "1"), regression=True),
    "lcqmc": row(classification_data, classification.Classification, "lcqmc"),
    "xnli": row(classification_data, classification.Classification, "xnli"),
    "conll": own_tagging("conll"), "weibo": row(tagging_data, tagging.Tagging, "weibo")}
OBJECTS = dict(
    {name: row(classification_data, classification.Classification, name)
     for name in ("afqmc", "csl", "cluewsc2020", "copa")},
    jsonl=own("jsonl"), tags=own("jsonl", multi_label=True), spans=own_tagging("jsonl"),
    cluener=row(tagging_data, tagging.Tagging, "cluener"),
    squad=row(reading_data, reading.Reading, "squad"),
    squad2=row(reading_data, reading.Reading, "squad2"),
    cmrc2018=row(reading_data, reading.Reading, "cmrc2018"),
    **{"%s of choices" % name: row(choice_data, choice.Choice, name)
       for name in ("race", "c3", "jsonl")})
# Own files of choices have no other name than the row "jsonl".
ENDINGS = {"csv": ".csv", "xnli": ".tsv", "afqmc": ".json"}
SPLITS = st.sampled_from(["train", "dev", "test"])


def examples_of(make, path, split, **options):
    """The examples of a file, or None where it ends in one sentence; nothing else may happen."""
    task = make(path, split, **options)
    try:
        task.setup()
        return task.examples(split)
    except UserError as error:
        assert "\n" not in str(error).replace(path, "") or "\n" in path
        return None


def file_of(name, content):
    return invented.file("f" + ENDINGS.get(name, ".txt"), content)


@invented.inputs(
    name=st.sampled_from(sorted(TABLES) + sorted(OBJECTS)), split=SPLITS, skip=st.booleans(),
    content=st.one_of(
        st.binary(max_size=60),
        st.lists(st.one_of(CELLS, invented.texts(), st.sampled_from(
            ["\t", "\n", " ", "x", "text\tlabel\n", "B-PER\n", " O\n", "\r\n", '{"text": "']))
        ).map(lambda parts: "".join(parts).encode("utf-8"))))
def test_any_content_is_read_or_told(name, split, skip, content):
    with file_of(name, content) as path:
        examples_of({**TABLES, **OBJECTS}[name], path, split, skip_bad_lines=skip)


KEYS = ["text", "label", "sentence1", "sentence2", "abst", "keyword", "target", "span1_text",
        "span1_index", "span2_text", "span2_index", "premise", "choice0", "choice1", "question",
        "data", "paragraphs", "context", "qas", "id", "answers", "answer_start", "is_impossible",
        "article", "questions", "options", "choice", "choices", "answer", "name", "PER"]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.floats(), st.just(10 ** 30), TEXTS,
    st.sampled_from(["x", "\ud83d", "cause", "A", ""]))
VALUES = st.recursive(LEAVES, lambda values: st.one_of(
    st.lists(values, max_size=4),
    st.dictionaries(st.one_of(st.sampled_from(KEYS), invented.texts()), values, max_size=6)))


@invented.inputs(name=st.sampled_from(sorted(OBJECTS)), split=SPLITS, skip=st.booleans(),
                 values=st.lists(VALUES, min_size=1, max_size=3), ascii_only=st.booleans())
def test_any_json_is_read_or_told(name, split, skip, values, ascii_only):
    text = "\n".join(json.dumps(value) for value in values)
    if not ascii_only:
        text = "\n".join(json.dumps(value, ensure_ascii=False) for value in values)
    with file_of(name, text.encode("utf-8", "surrogatepass")) as path:
        examples_of(OBJECTS[name], path, split, skip_bad_lines=skip)


def record_of(name, text, other):
    """A valid document of a form, of two texts."""
    qas = [{"id": "q", "question": other, "answers": [{"text": text[:1], "answer_start": 0}]}]
    return {
        "afqmc": {"sentence1": text, "sentence2": other, "label": "0"},
        "csl": {"abst": text, "keyword": [other], "label": "1"},
        "cluewsc2020": {"text": "甲乙" + text, "label": "true", "target": {
            "span1_text": "甲", "span1_index": 0, "span2_text": "乙", "span2_index": 1}},
        "copa": {"premise": text, "choice0": other, "choice1": text, "question": "cause",
                 "label": 1},
        "jsonl": {"text": text, "label": "x"}, "tags": {"text": text, "label": ["x", other]},
        "spans": {"text": "甲" + text, "label": {"PER": {"甲": [[0, 0]]}}},
        "cluener": {"text": "甲" + text, "label": {"name": {"甲": [[0, 0]]}}},
        "race of choices": {"article": text, "questions": [other], "options": [[text, other]],
                            "answers": ["A"]},
        "c3 of choices": [[[text], [{"question": other, "choice": ["a", "b"], "answer": "a"}], 1]],
        "jsonl of choices": {"question": text, "choices": [text, other, ""], "answer": 0},
    }.get(name) or {"data": [{"paragraphs": [{"context": text, "qas": qas}]}]}


@invented.inputs(name=st.sampled_from(sorted(OBJECTS)), split=SPLITS, skip=st.booleans(),
                 text=TEXTS, other=TEXTS, cut=st.floats(0, 1), removed=st.integers(0, 5),
                 put=st.one_of(st.just(""), invented.texts(), st.sampled_from('{}[],:"'),
                               st.sampled_from(["null", "true", "-1", "1e999", "\n", "NaN"])))
def test_damaged_json_is_read_or_told(name, split, skip, text, other, cut, removed, put):
    whole = json.dumps(record_of(name, text, other), ensure_ascii=False)
    at = int(cut * len(whole))
    with file_of(name, whole[:at] + put + whole[at + removed:] + "\n" + whole) as path:
        examples_of(OBJECTS[name], path, split, skip_bad_lines=skip)


# ---- what is read is what was written ----

ROWS = st.lists(st.tuples(CELLS, LABELS), min_size=2, max_size=6).filter(
    lambda rows: len({label for _, label in rows}) > 1 and rows[0][0].lower() not in (
        "text", "sentence", "content"))


def read_rows(make, path):
    """[(text, label)] of a training file, and the task."""
    task = make(path, "train")
    task.setup()
    examples = task.examples("train")
    return [(example.text_a, task.labels[example.label]) for example in examples], task, examples


def write_and_count(task, directory, examples, predictions):
    """The lines of every file of predictions; those of a table however a reader breaks lines."""
    lines = {}
    for path in task.write_predictions(directory, "test", examples, predictions):
        with open(path, encoding="utf-8", newline="") as stream:
            text = stream.read()
        lines[path.rsplit("/", 1)[-1]] = (
            text.splitlines() if path.endswith(".tsv") else text.split("\n")[:-1])
    return lines


@invented.inputs(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]), blank=st.booleans())
def test_tables_of_tabs(rows, end, blank):
    lines = ["\t".join(row) for row in rows]
    with invented.file("train.tsv", (end + (" " + end if blank else "")).join(lines)) as path:
        found, task, examples = read_rows(TABLES["tsv"], path)
        assert found == rows
        lines = write_and_count(task, path + ".out", examples, {
            "probabilities": np.full([len(rows), len(task.labels)], 0.5)})
    assert len(lines["test_results.tsv"]) == len(rows) + 1


# The csv module reads no NUL before Python 3.11.
QUOTED = st.tuples(invented.texts(excluded="\r\x00").map(
    lambda text: (text + "\n!").strip()), LABELS)


@invented.inputs(drawn=st.lists(QUOTED), quoting=st.sampled_from(
    [csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_tables_of_commas(drawn, quoting):
    rows = drawn + [("a", "x"), ("b", "y")]
    stream = io.StringIO()
    csv.writer(stream, quoting=quoting, lineterminator="\n").writerows([("text", "label")] + rows)
    with invented.file("train.csv", stream.getvalue()) as path:
        assert read_rows(TABLES["csv"], path)[0] == rows


@invented.inputs(
    rows=st.lists(st.tuples(TEXTS.map(str.strip).filter(bool), LABELS), min_size=2).filter(
        lambda rows: len({label for _, label in rows}) > 1),
    form=st.sampled_from(["lines", "array", "indented"]), ascii_only=st.booleans())
def test_json_of_texts(rows, form, ascii_only):
    records = [{"text": text, "label": label} for text, label in rows]
    text = ("\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
            if form == "lines" else json.dumps(records, ensure_ascii=ascii_only,
                                               indent=1 if form == "indented" else None))
    with invented.file("train.jsonl", text) as path:
        found, task, examples = read_rows(OBJECTS["jsonl"], path)
        assert found == rows
        examples = [example._replace(id=example.text_a) for example in examples]
        lines = write_and_count(task, path + ".out", examples, {
            "probabilities": np.full([len(rows), len(task.labels)], 0.5)})
    assert len(lines["test_results.tsv"]) == len(rows) + 1


TOKENS = invented.texts(min_size=1, excluded="\t\r\ufeff ").filter(
    lambda text: text.strip() == text and text != "-DOCSTART-" and not text.startswith('{"'))
SENTENCES = st.lists(st.lists(st.tuples(TOKENS, st.sampled_from(["O", "PER", "LOC"]),
                                        st.integers(1, 3)), min_size=1, max_size=4),
                     min_size=1, max_size=3)


def entities_of(spans):
    """[(token, type, how many tokens)] -> (tokens, [Entity])."""
    tokens, entities = [], []
    for token, entity_type, count in spans:
        if entity_type != "O":
            entities.append(tag_schemes.Entity(entity_type, len(tokens), len(tokens) + count))
        tokens += [token] * count
    return tokens, entities


@invented.inputs(drawn=SENTENCES, scheme=st.sampled_from(sorted(tag_schemes.SCHEMES)),
                 separator=st.sampled_from(["\t", " ", "  "]))
def test_tagged_tokens(drawn, scheme, separator):
    sentences = [entities_of(spans) for spans in drawn]
    text = "\n\n".join("\n".join(map(separator.join, zip(
        tokens, tag_schemes.encode(entities, len(tokens), scheme))))
        for tokens, entities in sentences)
    with invented.file("dev.conll", text) as path:
        task = tagging.Tagging("conll", tagging_data.custom_dataset("conll", ["PER", "LOC"]), None,
                               {"dev": path}, scheme)
        task.setup()
        examples = task.examples("dev")
        assert [(example.text, example.entities) for example in examples] == [
            ("".join(tokens), entities) for tokens, entities in sentences]
        lines = write_and_count(task, path + ".out", examples, {
            "example": [], "first_units": [], "last_units": [], "tag_ids": []})
    assert len(lines["test_predictions.json"]) == len(sentences)


@invented.inputs(context=TEXTS.filter(lambda text: text.strip()), question=invented.texts(),
                 begin=st.integers(0, 20), size=st.integers(1, 10), ascii_only=st.booleans(),
                 form=st.sampled_from(["squad", "cmrc2018", "hugging face", "lines"]))
def test_answers(context, question, begin, size, form, ascii_only):
    begin = min(begin, len(context) - 1)
    answer = context[begin:begin + size]
    if form == "cmrc2018":
        document = [{"context_text": context, "qas": [
            {"query_id": "q", "query_text": question, "answers": [answer]}]}]
    elif form == "squad":
        document = {"data": [{"paragraphs": [{"context": context, "qas": [
            {"id": "q", "question": question,
             "answers": [{"text": answer, "answer_start": begin}]}]}]}]}
    else:
        document = [{"id": name, "context": context, "question": question,
                     "answers": {"text": [answer], "answer_start": [begin]}} for name in "qr"]
    text = ("\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in document)
            if form == "lines" else json.dumps(document, ensure_ascii=ascii_only))
    with invented.file("dev.json", text) as path:
        found = examples_of(row(reading_data, reading.Reading, "squad"), path, "dev")[0]
    assert found[2:4] == (question, context) and found.label.texts == (answer,)
    if answer.strip():
        assert context[found.label.begin:found.label.end] == answer
        assert form == "cmrc2018" or found.label.begin == begin


@invented.inputs(records=st.lists(st.tuples(
    invented.texts(), invented.texts(), st.lists(invented.texts(), min_size=2, max_size=4),
    st.integers(0, 1)), min_size=1, max_size=3), by_text=st.booleans(), as_array=st.booleans())
def test_questions_with_choices(records, by_text, as_array):
    objects = [{"context": context, "question": question, "choices": choices,
                "answer": choices[answer] if by_text else answer}
               for context, question, choices, answer in records]
    text = json.dumps(objects) if as_array else "\n".join(
        json.dumps(one, ensure_ascii=False) for one in objects)
    with invented.file("dev.jsonl", text) as path:
        task = OBJECTS["jsonl of choices"](path, "dev")
        examples = task.examples("dev")
        assert [(example.passage, example.question, example.choices) for example in examples] == [
            ((context,), question, choices) for context, question, choices, _ in records]
        for example, (_, _, choices, answer) in zip(examples, records):
            assert example.choices[example.label] == choices[answer]
        lines = write_and_count(task, path + ".out", examples, {
            "probabilities": [np.ones(len(example.choices)) for example in examples]})
    assert len(lines["test_predictions.json"]) == len(records)


# ---- what is read becomes features ----

@functools.lru_cache(None)
def small_tokenizer():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ab", "##c", "x", "01", "##2", ","]
    with invented.file("vocab.txt", "\n".join(tokens + list("天地玄黄"))) as path:
        return tokenization.load_tokenizer(path)


@invented.inputs(name=st.sampled_from(["afqmc", "cluener", "squad", "jsonl of choices"]),
                 text=TEXTS.filter(lambda text: text.strip()), length=st.integers(8, 20),
                 other=TEXTS.filter(lambda text: text.strip()), repeated=st.integers(1, 9))
def test_features_and_their_limits(name, text, length, other, repeated):
    whole = json.dumps(record_of(name, text * repeated, other))
    with file_of(name, whole) as path:
        task = OBJECTS[name](path, "dev")
        if name == "squad":
            task = reading.Reading(name, reading_data.DATASETS[name], None, {"dev": path},
                                   max_query_length=3, doc_stride=2)
        task.setup()
        example, = task.examples("dev")
    windows = list(task.featurize(example, small_tokenizer(), length))
    for window in windows:
        assert window["input_ids"].shape == window["segment_ids"].shape
        assert window["input_ids"].shape[-1] == window["lengths"].max() <= length
    found = limits.Limits()
    found.add(task, example, windows, small_tokenizer(), length)
    assert all(0 <= some <= of for some, of in list(found.counts.values()) + [found.tokens])
