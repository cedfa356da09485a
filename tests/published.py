"""Examples of data sets in their published forms, and their tasks."""

import json

from tasks import classification, classification_data


def lines(*rows):
    """Rows of cells, or dicts -> the text of a TSV or of JSON lines."""
    return "".join((json.dumps(row, ensure_ascii=False) if isinstance(row, dict)
                    else "\t".join(row)) + "\n" for row in rows)


def write(directory, **texts):
    """write(here, train__tsv="...") writes train.tsv."""
    for name, text in texts.items():
        (directory / name.replace("__", ".")).write_text(text, encoding="utf-8")


def create(name, directory, **options):
    key = classification_data.find(name)
    return set_up(classification.Classification(
        key, classification_data.DATASETS[key], str(directory), **options))


def set_up(task):
    task.setup()
    return task


def pair(label=None, **more):
    record = dict({"sentence1": "你好", "sentence2": "您好"}, **more)
    return record if label is None else dict(record, label=label)


def wsc(label=None, **more):
    record = dict({"text": "小明打球，他累了", "target": {
        "span1_text": "小明", "span1_index": 0, "span2_text": "他", "span2_index": 5}}, **more)
    return record if label is None else dict(record, label=label)


def copa(question, label=None):
    record = {"premise": "他累了", "choice0": "他睡了", "choice1": "他跑了", "question": question}
    return record if label is None else dict(record, label=label, idx=0)


MNLI_HEADER = ("index", "promptID", "pairID", "genre", "sentence1_binary_parse",
               "sentence2_binary_parse", "sentence1_parse", "sentence2_parse", "sentence1",
               "sentence2")
MNLI_ROW = ("0", "1", "1n", "slate", "( a )", "( b )", "(A a)", "(B b)", 'a "quote', "b")
STS_HEADER = ("index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1",
              "sentence2")
STS_ROW = ("0", "news", "MSRpar", "2012", "1", "none", "none", "a", "b")
