"""What is said of a corpus: every number of a known one, and each warning in its place only."""

import collections
import json

import numpy as np
import pytest

import tokenization
from pretraining import instances as instances_of
from pretraining import report as reports
from pretraining.report import Statistics

SETTINGS = instances_of.Settings(
    max_seq_length=64, max_predictions_per_seq=10, masked_lm_prob=0.15, short_seq_prob=0.1,
    dupe_factor=2, ngram=3, whole_words=True, brightmart_labels=False, store_word_starts=False,
    random_seed=12345)
DROPPED = "documents dropped (fewer than two sentences)"


def instance(length, masked, is_swapped, span_lengths):
    return instances_of.Instance(
        np.zeros(length, np.int32), np.zeros(length, bool), np.ones(length, bool),
        np.arange(masked), np.zeros(masked, np.int32), is_swapped, span_lengths)


@pytest.fixture
def known(tmp_path):
    """Two documents of a text and three instances made up, one of them of no masks."""
    path = tmp_path / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "长", "江", "a", "##b", ",", "c"]
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = tokenization.load_tokenizer(str(path))
    statistics = Statistics()
    for sentences in (["长江,ab", "", "长河 AX ca 河"], ["江鿋"]):
        document = instances_of.encode_document(sentences, tokenizer)
        statistics.add_document(sentences, document, tokenizer.vocab)
    statistics.add_instances([instance(20, 3, 1, [1, 2]), instance(30, 6, 0, [1, 1, 4])])
    statistics.add_instances([instance(20, 0, 1, [])])
    return statistics


def test_every_number_of_a_known_corpus(known):
    assert known.counts == {
        "documents": 2, "sentences": 4, DROPPED: 1,
        "tokens of the text": 5 + 5 + 2,  # 长 江 , a ##b | 长 河 [AX] [ca] 河 | 江 鿋
        "unknown tokens": 5, "instances": 3, "instances swapped": 2, "tokens": 70,
        "masked tokens": 9}
    report = json.loads(json.dumps(reports.report(known, SETTINGS)))
    warnings = report.pop("warnings")
    assert report == {
        "counts": dict(known.counts),
        "mean_length": 70 / 3,
        "lengths": {"20": 2, "30": 1},
        "unknown_share": 5 / 12,
        # "a" has a token, "x" has none; "c" and "a" have theirs, but together they are unknown.
        "unknown_characters": [["河", 2], ["c…", 1], ["x", 1], ["鿋", 1]],
        "masked_share": 9 / 70,
        "span_lengths": {"1": {"spans": 3, "share": 0.6}, "2": {"spans": 1, "share": 0.2},
                         "4": {"spans": 1, "share": 0.2}},
        "swapped_share": 2 / 3,
    }
    assert [text.split(",")[0] for text in warnings] == [
        "41.7 % of the tokens are [UNK]",
        "an instance has 23 tokens on average"]


def test_unknown_characters_are_the_most_frequent_fifty():
    statistics = Statistics()
    statistics.unknown.update({chr(0x4e00 + index): 1 + index % 100 for index in range(200)})
    shown = reports.report(statistics, SETTINGS)["unknown_characters"]
    assert shown == [(chr(0x4e00 + index + more), index + 1)
                     for index in range(99, 74, -1) for more in (0, 100)]


def test_words_without_number_fill_no_memory():
    """Base64, say: its characters are known, its words are too long."""
    statistics = Statistics()
    vocab = {"a": 0, "##a": 1, "b": 2}
    for number in range(1000):
        document = instances_of.Document([], [], [0], b"", ["a" * 300 + "b" * number, "ba"])
        statistics.add_document([], document, vocab)
    assert statistics.unknown == {"a…": 1000, "b…": 1000}


def test_empty_corpus_divides_by_nothing():
    report = reports.report(Statistics(), SETTINGS)
    assert report == {
        "counts": {}, "mean_length": 0, "lengths": {}, "unknown_share": 0, "masked_share": 0,
        "unknown_characters": [], "span_lengths": {}, "swapped_share": 0, "warnings": []}
    assert "documents" in reports.closing_table(Statistics(), SETTINGS, ["a"])


def test_statistics_of_workers_add_up(known):
    """Also those of a run before, which come from JSON."""
    again = Statistics.from_json(json.loads(json.dumps(known.to_json())))
    assert again.to_json() == known.to_json()
    assert set(again.lengths) == {20, 30}
    again.update(known)
    assert again.counts == {name: 2 * count for name, count in known.counts.items()}
    assert again.lengths == {20: 4, 30: 2}
    assert again.span_lengths == {1: 6, 2: 2, 4: 2}
    assert again.unknown == {"河": 4, "x": 2, "c…": 2, "鿋": 2}
    assert known.lengths == {20: 2, 30: 1}
    assert all(isinstance(getattr(again, name), collections.Counter) for name in again.names)


# ---- warnings ----

# Nothing to complain of: 53 tokens an instance, all of the text twice, 15 % of them masked.
HEALTHY = {"documents": 100, "sentences": 1000, "tokens of the text": 10000, "lines": 1100,
           "instances": 400, "instances swapped": 200, "tokens": 400 * 3 + 20000,
           "masked tokens": 3180}
SHORT = {"instances": 1000, "masked tokens": 5000}  # with tokens of its own


def warnings(settings=SETTINGS, **changes):
    statistics = Statistics()
    statistics.counts.update(dict(HEALTHY, **changes))
    statistics.unknown.update({"河": 3, "龘": 1})
    return reports.warnings(statistics, settings)


def test_healthy_corpus_has_no_warning():
    assert warnings() == []


@pytest.mark.parametrize("changes, warning", [
    ({"documents": 1}, "1 document(s) in 1,000 sentences, 0 cut in pieces for their length; "
                       "documents must be separated by blank lines, or pairs span unrelated texts"),
    ({"documents cut in pieces": 7}, "100 document(s) in 1,000 sentences, 7 cut in pieces"),
    ({"unknown tokens": 201}, "2.0 % of the tokens are [UNK], most often 河 龘; the vocabulary "
                              "does not fit the text (check --vocab_file and --do_lower_case, or "
                              "make one with create_vocab.py)"),
    ({DROPPED: 51}, "51 % of the documents have fewer than two sentences and were dropped; put "
                    "one sentence on a line, or pass --split_sentences"),
    (dict(SHORT, tokens=31999), "an instance has 32 tokens on average, under half of "
                                "--max_seq_length=64; the documents are short: lower it"),
    ({"tokens": 1200 + 15999}, "20 % of the text is in no instance, because sentences are long "
                               "for --max_seq_length=64 or alone in their documents; raise it, or "
                               "pass --split_sentences"),
    ({"masked tokens": 2225}, "10.5 % of the tokens are masked, --masked_lm_prob=0.15 asks for "
                              "more; raise --max_predictions_per_seq=10 to about 10"),
    ({"lines": 989, "bad lines": 11}, "11 of 1000 lines are not UTF-8 and were left out; without "
                                      "--skip_bad_lines an error says how to convert the text"),
])
def test_each_warning_comes_alone(changes, warning):
    text, = warnings(**changes)
    assert text.startswith(warning)


@pytest.mark.parametrize("changes", [
    {"documents": 2}, {"unknown tokens": 200}, {DROPPED: 50}, dict(SHORT, tokens=32000),
    {"tokens": 1200 + 16000}, {"masked tokens": 2226}, {"lines": 990, "bad lines": 10}])
def test_at_the_threshold_there_is_no_warning(changes):
    assert warnings(**changes) == []


def test_unmasked_records_lack_no_masks():
    assert warnings(SETTINGS._replace(store_word_starts=True), **{"masked tokens": 0}) == []
    assert len(warnings(**{"masked tokens": 0})) == 1


def test_text_is_counted_as_often_as_it_is_used():
    """Half the tokens are all of the text with --dupe_factor=1."""
    changes = {"instances": 200, "tokens": 600 + 10000, "masked tokens": 1590}
    assert warnings(SETTINGS._replace(dupe_factor=1), **changes) == []
    assert "50 % of the text is in no instance" in warnings(**changes)[0]


def test_no_instance_is_the_fault_of_the_documents_alone():
    text, = warnings(**{"instances": 0, "tokens": 0, "masked tokens": 0, DROPPED: 100})
    assert text.startswith("100 % of the documents")


# ---- the table ----

def test_closing_table(known):
    known.counts["documents"] = 1234567
    known.counts["long lines cut"] = 2
    table = reports.closing_table(known, SETTINGS, ["a.tfrecord", "b.tfrecord"])
    assert table.split("\n")[:14] == [
        "documents                                         1,234,567",
        "sentences                                                 4",
        "documents dropped (fewer than two sentences)              1",
        "documents cut in pieces                                   0",
        "long lines cut                                            2",
        "bad lines                                                 0",
        "<doc> tags left out                                       0",
        "instances                                                 3",
        "tokens an instance                                     23.3",
        "masked tokens an instance                               3.0",
        "instances swapped                                     66.7%",
        "[UNK]                                                 41.7%",
        "written to a.tfrecord, b.tfrecord",
        "warning: " + reports.warnings(known, SETTINGS)[0]]


def test_table_of_many_files_names_two():
    table = reports.closing_table(Statistics(), SETTINGS, ["a%d" % n for n in range(64)])
    assert table.endswith("written to a0 ... a63")
