"""Every data set in its published form, and files that are not."""

from util.errors import UserError

import pytest

import run_classifier
import tiny
from published import (
    MNLI_HEADER,
    MNLI_ROW,
    STS_HEADER,
    STS_ROW,
    copa,
    create,
    lines,
    pair,
    set_up,
    write,
    wsc,
)
from tasks import classification, classification_data


def found(task, split):
    """[(id, text_a, text_b, label as text)] of a split."""
    return [(example.id, example.text_a, example.text_b,
             task.labels[example.label] if task.labels and example.label is not None
             else example.label) for example in task.examples(split)]


# (task, split, file, its text, all examples as `found` says them)
OFFICIAL = [
    ("lcqmc", "train", "train.txt", lines(("你好", "您好", "1")), ("train-1", "你好", "您好", "1")),
    ("xnli", "train", "train.json", lines({"premise": "a", "hypo": "b", "label": "contradictory"}),
     ("train-1", "a", "b", "contradiction")),
    ("bq", "test", "test.txt", lines(("sentence1", "sentence2", "label"), ("a", "b", "0")),
     ("test-1", "a", "b", "0")),
    ("paws-x", "dev", "dev_2k.tsv",
     lines(("id", "sentence1", "sentence2", "label"), ("4", "a", "b", "1")), ("4", "a", "b", "1")),
    ("chnsenticorp", "train", "train.tsv", lines(("label", "text_a"), ("1", "好")),
     ("train-1", "好", None, "1")),
    ("chnsenticorp", "test", "test.tsv", lines(("qid", "text_a"), ("0", "好")),
     ("0", "好", None, None)),
    ("afqmc", "train", "train.json", lines(pair("0")), ("train-1", "你好", "您好", "0")),
    ("afqmc", "test", "test.json", lines(pair(id=0)), ("0", "你好", "您好", None)),
    ("afqmc", "dev", "dev.tsv", lines(("a", "b", "1")), ("dev-1", "a", "b", "1")),
    ("tnews", "dev", "dev.json", lines({"label": "102", "label_desc": "news_entertainment",
                                        "sentence": "江疏影", "keywords": "江疏影,美少女"}),
     ("dev-1", "江疏影", None, "102")),
    ("tnews", "test", "test1.0.json", lines({"id": 0, "sentence": "a", "keywords": ""}),
     ("0", "a", None, None)),
    ("iflytek", "train", "train.json",
     lines({"label": "118", "label_des": "其他", "sentence": "应用"}),
     ("train-1", "应用", None, "118")),
    ("cmnli", "dev", "dev.json", lines(pair("-"), pair("neutral")),
     ("dev-2", "你好", "您好", "neutral")),
    ("ocnli", "train", "train.50k.json", lines(pair("entailment", level="easy", label0="-", id=3)),
     ("3", "你好", "您好", "entailment")),
    ("ocnli", "dev", "dev.tsv", lines(("a", "b", "neutral")), ("dev-1", "a", "b", "neutral")),
    ("nli", "dev", "dev.tsv", lines(("a", "b", "neutral")), ("dev-1", "a", "b", "neutral")),
    ("csl", "train", "train.json", lines({"id": 1, "abst": "摘要", "keyword": ["水", "气体"],
                                          "label": "0"}), ("1", "水 气体", "摘要", "0")),
    ("cluewsc2020", "train", "train.json", lines(wsc("true", idx=3)),
     ("train-1", "_小明_打球，[他]累了", None, "true")),
    ("cluewsc2020", "test", "test.json", lines(wsc(id=7)),
     ("7", "_小明_打球，[他]累了", None, None)),
    ("copa", "test", "test.json", lines(copa("effect")), ("test-1", "他累了", "他睡了", None),
     ("test-2", "他累了", "他跑了", None)),
    ("copa", "train", "train.json", lines(copa("cause", 1)), ("train-1", "他睡了", "他累了", "0"),
     ("train-2", "他跑了", "他累了", "1")),
    ("sentence_pair", "train", "train_0827.tsv", lines(("0", "c", "d"), ("1", "a", "b")),
     ("train-1", "a", "b", "1")),
    ("cola", "train", "train.tsv", lines(("gj04", "0", "*", 'They "drank.')),
     ("train-1", 'They "drank.', None, "0")),
    ("cola", "test", "test.tsv", lines(("index", "sentence"), ("0", "a b")),
     ("0", "a b", None, None)),
    ("sst-2", "dev", "dev.tsv", lines(("sentence", "label"), ("good ", "1")),
     ("dev-1", "good", None, "1")),
    ("sst-2", "test", "test.tsv", lines(("index", "sentence"), ("0", "good")),
     ("0", "good", None, None)),
    ("mrpc", "train", "msr_paraphrase_train.txt", "\ufeff" + lines(
        ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"), ("1", "70", "71", '"a', 'b"')),
     ("train-1", '"a', 'b"', "1")),
    ("mrpc", "test", "test.tsv", lines(
        ("index", "#1 ID", "#2 ID", "#1 String", "#2 String"), ("0", "70", "71", "a", "b")),
     ("0", "a", "b", None)),
    ("sts-b", "dev", "dev.tsv", lines(STS_HEADER + ("score",), STS_ROW + ("3.800",)),
     ("0", "a", "b", 3.8)),
    ("sts-b", "test", "test.tsv", lines(STS_HEADER, STS_ROW), ("0", "a", "b", None)),
    ("qqp", "train", "train.tsv", lines(
        ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
        ("9", "1", "2", "broken"), ("8", "1", "2", "a", "", "0"), ("7", "3", "4", "a", "b", "1")),
     ("7", "a", "b", "1")),
    ("qqp", "test", "test.tsv", lines(("id", "question1", "question2"), ("0", "a", "b")),
     ("0", "a", "b", None)),
    ("mnli", "train", "train.tsv", lines(
        MNLI_HEADER + ("label1", "gold_label"), MNLI_ROW + ("neutral", "neutral")),
     ("0", 'a "quote', "b", "neutral")),
    ("mnli", "dev", "dev_matched.tsv", lines(
        MNLI_HEADER + ("label1", "gold_label"), MNLI_ROW + ("neutral", "-"),
        MNLI_ROW + ("neutral", "neutral")), ("0", 'a "quote', "b", "neutral")),
    ("mnli", "dev_mm", "dev_mismatched.tsv", lines(
        MNLI_HEADER + ("label1", "gold_label"), MNLI_ROW + ("neutral", "entailment")),
     ("0", 'a "quote', "b", "entailment")),
    ("mnli", "test", "test_matched.tsv", lines(MNLI_HEADER, MNLI_ROW),
     ("0", 'a "quote', "b", None)),
    ("mnli", "test_mm", "test_mismatched.tsv", lines(MNLI_HEADER, MNLI_ROW),
     ("0", 'a "quote', "b", None)),
    ("mnli", "ax", "diagnostic.tsv", lines(("index", "sentence1", "sentence2"), ("0", "a", "b")),
     ("0", "a", "b", None)),
    ("mismnli", "train", "train.tsv", lines(
        MNLI_HEADER + ("label1", "gold_label"), MNLI_ROW + ("neutral", "neutral")),
     ("0", 'a "quote', "b", "neutral")),
    ("mismnli", "dev", "dev_mismatched.tsv", lines(
        MNLI_HEADER + ("label1", "gold_label"), MNLI_ROW + ("neutral", "entailment")),
     ("0", 'a "quote', "b", "entailment")),
    ("mismnli", "test", "test_mismatched.tsv", lines(MNLI_HEADER, MNLI_ROW),
     ("0", 'a "quote', "b", None)),
    ("qnli", "train", "train.tsv", lines(("index", "question", "sentence", "label"),
                                         ("0", "When?", "Then.", "not_entailment")),
     ("0", "When?", "Then.", "not_entailment")),
    ("rte", "dev", "dev.tsv", lines(("index", "sentence1", "sentence2", "label"),
                                    ("0", "a", "b", "entailment")), ("0", "a", "b", "entailment")),
    ("wnli", "dev", "dev.tsv", lines(("index", "sentence1", "sentence2", "label"),
                                     ("0", "a", "b", "1")), ("0", "a", "b", "1")),
]


@pytest.mark.parametrize("name, split, file_name, text, examples", [
    row[:4] + (list(row[4:]),) for row in OFFICIAL])
def test_official_forms(tmp_path, name, split, file_name, text, examples):
    (tmp_path / file_name).write_text(text, encoding="utf-8")
    task = create(name, tmp_path)
    assert found(task, split) == examples
    assert split in task.splits(split.split("_")[0] if split != "ax" else "test")


# The directories that Google's run_classifier.py looks for in --data_dir.
GLUE_DIRECTORIES = {
    "cola": "CoLA", "sst-2": "SST-2", "mrpc": "MRPC", "sts-b": "STS-B", "qqp": "QQP",
    "mnli": "MNLI", "mismnli": "MNLI", "qnli": "QNLI", "rte": "RTE", "wnli": "WNLI"}


@pytest.mark.parametrize("name, split, file_name, text, first", [
    row for row in OFFICIAL if row[0] in GLUE_DIRECTORIES])
def test_the_data_directory_may_be_that_above_glues(tmp_path, name, split, file_name, text, first):
    directory = tmp_path / (GLUE_DIRECTORIES[name] if split != "ax" else "diagnostic")
    directory.mkdir()
    with pytest.raises(UserError, match="no %s data: none of .*%s, .*%s/%s.* exists" % (
            split, file_name, GLUE_DIRECTORIES[name], file_name)):
        create(name, tmp_path).examples(split)
    (directory / file_name).write_text(text, encoding="utf-8")
    task = create(name, tmp_path)
    assert found(task, split) == [first]
    assert split in task.splits(split.split("_")[0] if split != "ax" else "test")


def test_every_row_has_an_example_above():
    assert {row[0] for row in OFFICIAL} == set(classification_data.DATASETS)


def test_first_lines_are_left_out_as_albert_zh_does(tmp_path):
    """Its processors begin with the second line of train.txt, dev.txt and test.txt."""
    dataset = classification_data.without_first_lines(classification_data.DATASETS["lcqmc"])

    def texts(text):
        write(tmp_path, dev__txt=text)
        task = set_up(classification.Classification("lcqmc", dataset, str(tmp_path)))
        return [example.text_a for example in task.examples("dev")]

    rows = [("a", "b", "1"), ("c", "d", "0"), ("e", "f", "1")]
    assert texts(lines(*rows)) == ["c", "e"]
    assert texts(lines(("x",), *rows)) == ["a", "c", "e"]  # of any number of columns
    assert texts(lines(("text_a", "text_b", "label"), *rows)) == ["a", "c", "e"]  # not twice


def test_skip_first_line_is_a_flag(tmp_path):
    write(tmp_path, dev__txt=lines(("a", "b", "1"), ("c", "d", "0")))
    counts = []
    for skip in (False, True):
        task = set_up(run_classifier.create_task(tiny.parse(
            run_classifier.define_flags, task_name="lcqmc", data_dir=tmp_path,
            skip_first_line=skip)))
        counts.append(len(task.examples("dev")))
    assert counts == [2, 1]


@pytest.mark.parametrize("given, name", [
    ("mnli-mm", "mismnli"), ("MisMNLI", "mismnli"), ("COPA", "copa"),
    ("sentence-pair", "sentence_pair"),
    ("lcqmc_pair", "lcqmc"), ("LCQMC", "lcqmc"), ("XNLI", "xnli"), ("CoLA", "cola"),
    ("SST-2", "sst-2"), ("sst2", "sst-2"), ("STS-B", "sts-b"), ("MNLI", "mnli"), ("wsc",
                                                                                 "cluewsc2020"),
    ("ChnSentiCorp", "chnsenticorp"), ("PAWS-X", "paws-x"), ("paws_x", "paws-x"), ("TSV", "tsv"),
])
def test_spellings(given, name):
    assert classification_data.find(given) == name


def test_unknown_tasks():
    with pytest.raises(UserError, match="--task_name=lcqcm: no such task, expected one of afqmc, "
                                        ".*, tsv, jsonl; did you mean lcqmc\\?"):
        classification_data.find("lcqcm")
    with pytest.raises(UserError, match="--task_name is missing, expected one of .* jsonl$"):
        classification_data.find(None)


@pytest.mark.parametrize("name, file_name, text, message", [
    ("csl", "dev.json", lines({"abst": "a", "keyword": "水", "label": "0"}),
     'dev.json line 1 keyword: found "水", expected a list of texts$'),
    ("cluewsc2020", "dev.json", lines({"text": "a", "label": "true"}),
     "dev.json line 1: no key 'target', found label, text$"),
    ("cluewsc2020", "dev.json", lines(wsc("true", text="小红打球，他累了")),
     "dev.json line 1 target.span1_index: found 0, expected the number, from 0, of the character "
     "where '小明' begins$"),
    ("tnews", "dev.json", lines({"sentence": "a", "label": "105"}),
     "dev.json line 1: unknown label '105', expected one of 100, 101"),
    ("iflytek", "dev.json", lines({"sentence": "a", "label": "119"}),
     "unknown label '119', expected one of 0, .*, 29 and 89 more"),
    ("copa", "dev.json", lines(copa("why", 0)),
     "line 1 question: found \"why\", expected cause or"),
    ("copa", "dev.json", lines(copa("cause", 2)), "line 1 label: found 2, expected 0 or 1"),
    ("copa", "dev.json", lines(copa("cause")), "dev.json line 1: no key 'label', found"),
    ("afqmc", "dev.json", lines({"sentence1": "a", "label": "0"}), "line 1: no key 'sentence2'"),
    ("afqmc", "dev.json", lines(pair("0", sentence2="")), "line 1: an empty text"),
    ("afqmc", "dev.json", lines(pair()), "dev.json line 1: no key 'label', found sentence1"),
    ("afqmc", "dev.json", "[]", "dev.json: no examples in this file$"),
    ("afqmc", "dev.json", "[[]]", r"dev.json \[0\]: found \[\], expected an object with '"),
    ("afqmc", "dev.json", lines(pair(["0"])), "line 1: the label is a list .*expected one; files "
                                              "of your own .* with --multi_label"),
    ("afqmc", "dev.json", "", "dev.json: no examples in this file$"),
    ("cmnli", "dev.json", lines(pair("-")), r"no examples in this file \(left out: 1 without a l"),
    ("afqmc", "dev.json", b"\xc4\xe3\xba\xc3", "line 1: byte 1 is not UTF-8; it looks like "
                                                "GBK: convert"),
    ("sts-b", "dev.tsv", lines(STS_HEADER + ("score",), STS_ROW + ("high",)),
     "dev.tsv line 2: label 'high', expected a number; is it the right column?"),
    ("sts-b", "dev.tsv", lines(STS_HEADER + ("score",), STS_ROW + ("nan",)), "label 'nan', expec"),
    ("qqp", "dev.tsv", lines(("id", "question1", "is_duplicate")),
     "dev.tsv line 1: no column 'question2' in the header, found id, question1, is_duplicate"),
    ("cola", "dev.tsv", lines(("a", "1", "b")), "dev.tsv line 1: 3 columns, expected 4"),
])
def test_bad_files(tmp_path, name, file_name, text, message):
    (tmp_path / file_name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    with pytest.raises(UserError, match=message):
        create(name, tmp_path).examples("dev")


def test_what_is_left_out_is_counted(tmp_path, caplog):
    row = ("1", "2", "a", "b", "1")
    write(tmp_path, train__tsv=lines(
        ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"), ("0",) + row,
        ("1", "1", "2"), ("2",) + row, ("3", "1", "2", "a", "", "1"), ("4", "5")))
    with caplog.at_level("INFO", "albert"):
        task = create("qqp", tmp_path)
        assert [example.id for example in task.examples("train")] == ["0", "2"]
    message, = caplog.messages
    assert message.endswith("train.tsv: 2 examples, left out: 2 with another number of columns "
                            "than the header, 1 with a missing text; labels: 0 0, 1 2")


def test_dev_and_test_files_are_read_in_full(tmp_path):
    header = ("id", "sentence1", "sentence2", "label")
    text = lines(header, ("1", "a", "NS", "1"), ("2", "a", "", "0"), ("3", "a", "b", "0"))
    write(tmp_path, translated_train__tsv=text, dev_2k__tsv=text, test_2k__tsv=text)
    task = create("paws-x", tmp_path)
    assert [[example.id for example in task.examples(split)] for split in (
        "train", "dev", "test")] == [["3"], ["1", "2", "3"], ["1", "2", "3"]]


def test_a_list_of_labels_beside_the_data_counts(tmp_path):
    assert create("tnews", tmp_path).labels[:3] == ("100", "101", "102")
    write(tmp_path, labels__json=lines({"label": "b", "label_desc": "x"}, {"label": "a"}),
          dev__json=lines({"sentence": "t", "label": "a"}))
    task = create("tnews", tmp_path)
    assert task.labels == ("b", "a") and task.examples("dev")[0].label == 1
    write(tmp_path, labels__json=lines({"label": "b"}))
    with pytest.raises(UserError, match="labels.json: expected two labels or more"):
        create("tnews", tmp_path)


def test_json_comes_before_tsv_and_custom_files_have_the_table_of_their_ending(tmp_path):
    write(tmp_path, dev__json=lines(pair("0")), dev__tsv=lines(("a", "b", "1")))
    assert found(create("afqmc", tmp_path), "dev")[0][1] == "你好"
    custom_task = create("afqmc", tmp_path, custom_files={"dev": str(tmp_path / "dev.tsv")})
    assert found(custom_task, "dev")[0][1] == "a"
    with pytest.raises(UserError, match="no train data: none of .*train.json, .*train.tsv, "):
        custom_task.path("train")


def test_splits_of_mnli(tmp_path):
    task = create("mnli", tmp_path)
    assert task.splits("train") == ("train",) and task.splits("dev") == ("dev",)
    write(tmp_path, dev_mismatched__tsv="", test_mismatched__tsv="", diagnostic__tsv="")
    assert task.splits("dev") == ("dev", "dev_mm")
    assert task.splits("test") == ("test", "test_mm", "ax")
    assert create("mnli", tmp_path, custom_files={"test": "x.tsv"}).splits("test") == ("test",)
    (tmp_path / "diagnostic.tsv").unlink()
    (tmp_path / "MNLI").mkdir()
    (tmp_path / "AX").mkdir()
    (tmp_path / "AX" / "AX.tsv").write_text("")
    assert create("mnli", tmp_path / "MNLI").splits("test") == ("test", "ax")
