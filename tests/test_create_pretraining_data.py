"""create_pretraining_data.py: text in, records out, the same every time, and well mixed.

What happens to a run that is stopped is in test_shards.py.
"""

import bz2
import collections
import glob
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil

from util import external_sort, shard_names

import jieba
import numpy as np
import pytest
from absl import flags as absl_flags

import create_pretraining_data as command
import create_vocab
import tokenization
from factories import (
    NEWS,
    TEXT,
    assert_share,
    description,
    everything,
    flags,
    make,
    news,
    read,
    refused,
)
from pretraining import inputs, records, shard_files, shards
from processes import needs_proc
from text import segmentation, sentences
from tiny import parse
from training import input_pipeline

# The golden bytes below hold on both.
pytestmark = pytest.mark.one_platform


def restored(example, tokenizer):
    """A record with its labels put back -> for each segment (tokens, masked positions)."""
    length, predictions = sum(example["input_mask"]), int(sum(example["masked_lm_weights"]))
    ids = np.array(example["input_ids"][:length])
    masked = np.array(example["masked_lm_positions"][:predictions], int)
    ids[masked] = example["masked_lm_ids"][:predictions]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    separators = np.flatnonzero(ids == tokenizer.sep_id).tolist()
    assert ids[0] == tokenizer.cls_id and len(separators) == 2 and separators[1] == length - 1
    middle = separators[0]
    assert example["segment_ids"] == ([0] * (middle + 1) + [1] * (length - middle - 1)
                                      + [0] * (len(example["input_mask"]) - length))
    return ((tokens[1:middle], (masked[masked < middle] - 1).tolist()),
            (tokens[middle + 1:-1], (masked[masked > middle] - middle - 1).tolist()))


def in_text_order(example, segments):
    return segments[::-1] if example["next_sentence_labels"][0] else segments


# ---- end to end ----

@pytest.mark.slow
def test_command_end_to_end(tmp_path, run_command, sample_vocab):
    path = tmp_path / "out" / "tf_news.tfrecord"
    changes = {"input_file": NEWS, "output_file": path, "max_seq_length": 64,
               "max_predictions_per_seq": 10, "masked_lm_prob": 0.15}
    status, output = run_command("create_pretraining_data.py",
                                 **flags(tmp_path, sample_vocab, num_workers=None, **changes))
    assert status == 0, output
    assert sorted(os.listdir(str(path.parent))) == ["tf_news.tfrecord", "tf_news.tfrecord.json"]
    before = everything(path.parent)
    assert before == everything(make(tmp_path, sample_vocab, **changes))  # another process
    size = tokenization.load_tokenizer(sample_vocab).vocab_size
    inputs.check_pretraining_files([str(path)], 64, 10, size)
    count = input_pipeline.count_records(str(path))
    assert count == inputs.total_records([str(path)]) > 1000
    for line in ("documents                                               180",
                 "instances                                             {:,}".format(count),
                 "written to %s" % path,
                 "next: python3 run_pretraining.py --input_file=%s --max_seq_length=64" % path):
        assert line in output
    assert "warning" not in output


def test_records_hold_whole_instances(tmp_path, sample_vocab):
    out = make(tmp_path, sample_vocab, input_file=NEWS, max_seq_length=64, dupe_factor=1)
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    text = "".join(tokenizer.tokenize(news()))
    examples = read(out / "a.tfrecord")
    for example in examples:
        assert {name: len(values) for name, values in example.items()} == {
            name: feature.length for name, feature in records.masked_spec(64, 5).items()}
        assert 1 <= sum(example["masked_lm_weights"]) <= 5
        for tokens, _ in restored(example, tokenizer):
            assert "".join(tokens) in text
    swapped = sum(example["next_sentence_labels"][0] for example in examples)
    assert abs(swapped - len(examples) / 2) < 2 * len(examples) ** 0.5


def test_description_says_how_the_data_was_made(tmp_path, sample_vocab):
    out = make(tmp_path, sample_vocab, ngram=2, random_seed=7, do_lower_case=False)
    tokenizer = tokenization.load_tokenizer(sample_vocab, do_lower_case=False)
    made = description(out / "a.tfrecord")
    assert made["flags"] == {
        "max_seq_length": 32, "max_predictions_per_seq": 5, "masked_lm_prob": 0.1,
        "short_seq_prob": 0.1, "dupe_factor": 2, "ngram": 2, "whole_words": True,
        "brightmart_labels": False, "store_word_starts": False, "random_seed": 7,
        "do_lower_case": False, "non_chinese": False, "segmenter": "jieba",
        "split_sentences": False, "favor_shorter_ngram": True, "store_sentences": False,
        "dedupe": False}
    assert made["vocab"] == {
        "file": sample_vocab, "size": tokenizer.vocab_size, "fingerprint": tokenizer.fingerprint,
        "special_ids": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}}
    examples = read(out / "a.tfrecord")
    assert made["files"] == {"a.tfrecord": len(examples)}
    expected = {
        "lines": 8, "documents": 3, "sentences": 6, "tokens of the text": 45, "unknown tokens": 0,
        "documents dropped (fewer than two sentences)": 1, "instances": len(examples),
        "instances swapped": sum(sum(example["next_sentence_labels"]) for example in examples),
        "tokens": sum(sum(example["input_mask"]) for example in examples),
        "masked tokens": sum(sum(example["masked_lm_weights"]) for example in examples)}
    assert {name: count for name, count in made["counts"].items() if count} == {
        name: count for name, count in expected.items() if count}


def test_document_makes_the_same_records_in_any_corpus(tmp_path, sample_vocab):
    whole = map(str, read(make(tmp_path, sample_vocab) / "a.tfrecord"))
    alone = map(str, read(make(tmp_path, sample_vocab, TEXT.split("\n\n")[1]) / "a.tfrecord"))
    assert set(alone) < set(whole)


def test_other_seed_other_records(tmp_path, sample_vocab):
    one, other = (set(map(str, read(make(tmp_path, sample_vocab, input_file=NEWS, dupe_factor=1,
                                         random_seed=seed) / "a.tfrecord"))) for seed in (1, 2))
    assert len(one & other) < 0.01 * len(one)  # a pair of very short sentences may come again


@pytest.mark.parametrize("changes, cuts", [
    ({}, 5), ({"non_chinese": True}, 0), ({"do_whole_word_mask": False}, 0)])
def test_jieba_cuts_every_sentence_unless_told_not_to(tmp_path, sample_vocab, monkeypatch, changes,
                                                      cuts):
    load, seen = segmentation.load, []

    def spied(name):
        cut = load(name)
        return lambda sentence: seen.append(sentence) or cut(sentence)

    monkeypatch.setattr(segmentation, "load", spied)
    out = make(tmp_path, sample_vocab, TEXT[:TEXT.index("只有")], **changes)
    assert len(seen) == cuts
    assert read(out / "a.tfrecord")


# ---- the same bytes ----

SMALL = {"max_seq_length": 64, "max_predictions_per_seq": 10}
# SHA-256 of the records of the sample on every platform. After a change that is meant to change
# the records, put in what the failing test shows; a change of code alone must not need that.
GOLDEN = {
    (): "6b7fea7bd7d62b15792a8dbd1102765a6c5b8592823341dfeb52e0e28cc61670",
    ("store_word_starts", "brightmart_labels"):
        "5395616f134b6b0e6569def01efb282b29db4894cb5bcad321ef4df939aa9677",
    ("non_chinese", "ngram"): "545eda8f2833a548d9197870b4d2b908b873c04241671f7ba294670171e9551b",
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory, sample_vocab):
    """(records, description) of the sample, made by one process in one file."""
    out = make(tmp_path_factory.mktemp("reference"), sample_vocab, news(), **SMALL)
    return (out / "a.tfrecord").read_bytes(), description(out / "a.tfrecord")


def assert_same(out, reference, name="a.tfrecord"):
    assert (out / name).read_bytes() == reference[0]
    assert description(out / name) == reference[1]


@pytest.mark.every_platform
@pytest.mark.parametrize("switches", sorted(GOLDEN))
def test_records_of_the_sample_never_change(tmp_path, sample_vocab, switches):
    changes = {name: 2 if name == "ngram" else True for name in switches}
    out = make(tmp_path, sample_vocab, news(), **dict(SMALL, **changes))
    content = (out / "a.tfrecord").read_bytes()
    assert hashlib.sha256(content).hexdigest() == GOLDEN[switches]


@pytest.mark.parametrize("num_workers", [2, 4])
def test_same_bytes_for_any_number_of_workers(tmp_path, sample_vocab, monkeypatch, reference,
                                              num_workers):
    monkeypatch.setattr(shards, "MIN_CHUNK", 1)  # 41 chunks
    out = make(tmp_path, sample_vocab, news(), num_workers=num_workers, **SMALL)
    assert_same(out, reference)


@pytest.mark.parametrize("compress", [None, gzip.compress])
def test_same_bytes_for_text_in_many_files(tmp_path, sample_vocab, reference, compress):
    """part_2 comes before part_10."""
    text = news()
    ends = [match.end() for match in re.finditer("\n\n", text)]
    edges = [0] + [ends[14 * part] for part in range(1, 12)] + [len(text)]
    for part, (begin, end) in enumerate(zip(edges, edges[1:]), 1):
        content = text[begin:end].encode("utf-8")
        path = tmp_path / ("part_%d.txt%s" % (part, ".gz" if compress else ""))
        path.write_bytes(compress(content) if compress else content)
    assert len(list(tmp_path.iterdir())) == 12
    out = make(tmp_path, sample_vocab, input_file=tmp_path / "part_*", **SMALL)
    assert_same(out, reference)


@pytest.mark.parametrize("suffix, compress", [
    (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_same_bytes_for_compressed_text(tmp_path, sample_vocab, reference, suffix, compress):
    (tmp_path / ("a.txt" + suffix)).write_bytes(compress(news().encode("utf-8")))
    out = make(tmp_path, sample_vocab, input_file=tmp_path / ("a.txt" + suffix), **SMALL)
    assert_same(out, reference)


@pytest.mark.parametrize("module, name, value", [
    (shards, "MIN_CHUNK", 1 << 20),  # one chunk
    (shards, "RUN_BYTES", 3000),  # a few records a run
    (external_sort, "WINDOW_BYTES", 20000),  # and a few in memory
])
def test_same_bytes_for_any_size_of_the_pieces(tmp_path, sample_vocab, monkeypatch, reference,
                                               module, name, value):
    monkeypatch.setattr(module, name, value)
    assert_same(make(tmp_path, sample_vocab, news(), **SMALL), reference)


def test_unfinished_work_goes_where_it_is_told(tmp_path, sample_vocab, monkeypatch, reference):
    work, seen = tmp_path / "work", []
    publish = shard_files.publish

    def spied(*arguments):
        seen.extend(os.listdir(str(path)) for path in (work, tmp_path / "out") if path.exists())
        publish(*arguments)

    monkeypatch.setattr(shard_files, "publish", spied)
    out = make(tmp_path, sample_vocab, news(), work_dir=work, **SMALL)
    assert_same(out, reference)
    assert len(seen) == 1 and len(seen[0]) == 1 and seen[0][0].startswith(".a.tfrecord.")
    assert os.listdir(str(work)) == []


# ---- files ----

def test_globs_and_comma_lists(tmp_path, sample_vocab):
    parts = TEXT.split("\n\n")
    for index, part in enumerate(parts):
        (tmp_path / ("part_%d.txt" % index)).write_text(part, encoding="utf-8")
    pattern = "%s/part_[12].txt,%s/part_0.txt" % (tmp_path, tmp_path)
    out = make(tmp_path, sample_vocab, input_file=pattern)
    several = (out / "a.tfrecord").read_bytes()
    assert description(out / "a.tfrecord")["counts"]["documents"] == 3  # a file ends a document
    assert (make(tmp_path, sample_vocab) / "a.tfrecord").read_bytes() == several


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 64, 999])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_shards_are_the_single_file_cut(tmp_path, sample_vocab, reference, number, num_workers):
    out = make(tmp_path, sample_vocab, news(), num_workers=num_workers,
               output_file=tmp_path / "out" / ("tf@%d.tfrecord" % number), **SMALL)
    names = ["tf-%05d-of-%05d.tfrecord" % (shard, number) for shard in range(number)]
    assert sorted(os.listdir(str(out))) == names + ["tf.tfrecord.json"]
    assert b"".join((out / name).read_bytes() for name in names) == reference[0]
    described = description(out / "tf.tfrecord")
    counts = described.pop("files")
    assert described == {name: part for name, part in reference[1].items() if name != "files"}
    assert sum(counts.values()) == reference[1]["files"]["a.tfrecord"]
    assert max(counts.values()) - min(counts.values()) <= 1
    for name in names[::97]:
        assert input_pipeline.count_records(str(out / name)) == counts[name]


def test_comma_list_of_files(tmp_path, sample_vocab, reference):
    names = ["t-%05d-of-00003.tfrecord" % shard for shard in range(3)] + ["u.tfrecord"]
    out = make(tmp_path, sample_vocab, news(),
               output_file=" , ".join(str(tmp_path / "out" / name) for name in names), **SMALL)
    assert sorted(os.listdir(str(out))) == sorted(names + ["t.tfrecord.json", "u.tfrecord.json"])
    assert b"".join((out / name).read_bytes() for name in names) == reference[0]
    counts = {name: len(read(out / name)) for name in names}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert description(out / "t.tfrecord")["files"] == {name: counts[name] for name in names[:3]}
    assert description(out / "u.tfrecord")["files"] == {"u.tfrecord": counts["u.tfrecord"]}


@pytest.mark.parametrize("number", ["0", "00", "100000"])
def test_number_of_shards_out_of_range(tmp_path, sample_vocab, number):
    sentence = refused(tmp_path, sample_vocab, output_file="%s/a@%s.tfrecord" % (tmp_path, number))
    assert sentence == "error: --output_file=%s/a@%s.tfrecord: %d shards, expected 1 to 99999" % (
        tmp_path, number, int(number))


def test_set_of_another_size_beside_it(tmp_path, sample_vocab):
    for name in ("t[1]-00003-of-00008.tfrecord", "u-00000-of-00002"):
        (tmp_path / name).write_text("")
    stem = str(tmp_path / "t[1]")
    for output_file in (stem + "@2.tfrecord", "%s/v@2,%s@2.tfrecord" % (tmp_path, stem)):
        assert refused(tmp_path, sample_vocab, output_file=output_file) == (
            "error: %s-00003-of-00008.tfrecord is of another set with the name of --output_file; "
            "delete the set or give another name" % stem)
    for output_file in ("t[1]@8.tfrecord", "t[1]@2", "t@2.tfrecord", "t[1].tfrecord", "u@2"):
        shard_names.check_others(shard_files.output_paths(str(tmp_path / output_file)))


def test_same_command_again_replaces_its_set(tmp_path, sample_vocab):
    output = {"output_file": tmp_path / "out" / "t@2.tfrecord"}
    make(tmp_path, sample_vocab, **output)
    first = everything(tmp_path / "out")
    assert len(first) == 3
    assert everything(make(tmp_path, sample_vocab, **output)) == first
    assert everything(make(tmp_path, sample_vocab, random_seed=1, **output)) != first


# ---- the order of the records ----

DOCUMENTS, SHARDS = 400, 5


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """For every record of five shards, in their order, the number of its document.

    A document of the corpus has its own character, so that the tokens of a record say where
    it was: about ten records for each of 400 documents.
    """
    directory = tmp_path_factory.mktemp("shuffled")
    characters = [chr(0x4e00 + number) for number in range(DOCUMENTS)]
    vocab = directory / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + characters),
                     encoding="utf-8")
    text = "\n".join((character * 4 + "\n") * 6 for character in characters)
    out = make(directory, str(vocab), text, output_file=directory / "out" / ("t@%d" % SHARDS),
               max_seq_length=16, max_predictions_per_seq=2, dupe_factor=5,
               do_whole_word_mask=False)
    numbers = []
    for example in read(*sorted(glob.glob(str(out / "t-*")))):
        tokens = collections.Counter(token - 5 for token in example["input_ids"] if token > 4)
        numbers.append(tokens.most_common(1)[0][0])
    assert set(numbers) == set(range(DOCUMENTS))
    assert len(numbers) > 9 * DOCUMENTS
    return np.array(numbers)


def test_neighbours_are_of_one_document_by_chance_only(shuffled):
    """Pairs of records at most ten apart: a Poisson law. In the order of the text it were 4,000."""
    sizes = np.bincount(shuffled)
    same = sum((shuffled[distance:] == shuffled[:-distance]).sum() for distance in range(1, 11))
    chance = sum(len(shuffled) - distance for distance in range(1, 11)) * (
        (sizes * (sizes - 1)).sum() / (len(shuffled) * (len(shuffled) - 1.0)))
    assert 50 < chance < 150
    assert abs(same - chance) < 4 * chance ** 0.5


def test_documents_are_spread_over_the_shards(shuffled):
    """Chi-square of the records of every document in every shard, which have equal sizes."""
    shards = np.arange(len(shuffled)) * SHARDS // len(shuffled)
    table = np.zeros([DOCUMENTS, SHARDS])
    np.add.at(table, (shuffled, shards), 1)
    expected = np.outer(table.sum(1), table.sum(0)) / len(shuffled)
    chi_square = ((table - expected) ** 2 / expected).sum()
    freedom = (DOCUMENTS - 1) * (SHARDS - 1)
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


def test_place_in_the_output_says_nothing_of_the_place_in_the_text(shuffled):
    """Spearman's rank correlation, whose standard deviation is 1 / sqrt(N - 1)."""
    ranks = np.argsort(np.argsort(shuffled, kind="stable"))
    correlation = np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]
    assert abs(correlation) < 4 / (len(ranks) - 1) ** 0.5


# ---- masks ----

@pytest.fixture(scope="module")
def pairs(tmp_path_factory, sample_vocab):
    """(records, tokenizer, {tokens of a sentence: its number}), a pair of sentences a document."""
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    numbers, documents = {}, []
    for document in news().split("\n\n"):
        lines = [line for line in document.split("\n") if 8 < len(tokenizer.encode(line)) < 60
                 and " ".join(tokenizer.tokenize(line)) not in numbers]
        for first, second in zip(lines[::2], lines[1::2]):
            for line in (first, second):
                numbers.setdefault(" ".join(tokenizer.tokenize(line)), (len(numbers), line))
            documents.append(first + "\n" + second + "\n")
    out = make(tmp_path_factory.mktemp("pairs"), sample_vocab, "\n".join(documents),
               max_seq_length=128, max_predictions_per_seq=20, masked_lm_prob=0.15, dupe_factor=5)
    examples = read(out / "a.tfrecord")
    assert len(examples) == 5 * len(documents) > 3000
    return examples, tokenizer, numbers


def test_labels_and_order_give_the_text_back(pairs):
    examples, tokenizer, numbers = pairs
    for example in examples:
        first, second = (numbers[" ".join(tokens)][0] for tokens, _ in in_text_order(
            example, restored(example, tokenizer)))
        assert first % 2 == 0 and second == first + 1
    assert_share(sum(example["next_sentence_labels"][0] for example in examples), len(examples), .5)


def test_masked_words_are_jiebas(pairs):
    examples, tokenizer, numbers = pairs
    long = 0
    for example in examples:
        for tokens, masked in restored(example, tokenizer):
            line = numbers[" ".join(tokens)][1]
            _, offsets, _ = tokenizer.encode_with_offsets(line)
            begins = [begin for _, begin, _ in jieba.tokenize(line)]
            words = np.searchsorted(begins, offsets, side="right")
            for word, count in collections.Counter(words[masked].tolist()).items():
                assert count == (words == word).sum()
                long += count > 1
    assert long > 3000


def test_masked_share_and_what_stands_there(pairs):
    examples, tokenizer, _ = pairs
    shown, labels, wanted = [], [], 0
    for example in examples:
        predictions = int(sum(example["masked_lm_weights"]))
        shown += [example["input_ids"][position]
                  for position in example["masked_lm_positions"][:predictions]]
        labels += example["masked_lm_ids"][:predictions]
        wanted += min(20, round(sum(example["input_mask"]) * 0.15))
        assert not any(example["masked_lm_positions"][predictions:])
        assert not any(example["masked_lm_ids"][predictions:])
    shown, labels = np.array(shown), np.array(labels)
    assert 0.99 * wanted < len(labels) <= wanted
    assert_share((shown == tokenizer.mask_id).sum(), len(shown), 0.8)
    assert_share((shown == labels).sum(), len(shown), 0.1)
    others = shown[(shown != labels) & (shown != tokenizer.mask_id)]
    assert_share(len(others), len(shown), 0.1)
    assert others.min() > 4  # never a special one
    assert len(set(others.tolist())) > 0.5 * len(others)  # of the whole vocabulary


def test_spans_are_as_long_as_one_over_n(tmp_path, sample_vocab):
    """With three masked tokens an instance the law 6 : 3 : 2 of the spans can be calculated.

    A span of three comes first or never (2/11). One of two comes first (3/11), or after a single
    word (6/11) when two or three are drawn (5/11), of which two fit.
    """
    out = make(tmp_path, sample_vocab, "\n".join(news().split("\n\n")), max_seq_length=512,
               max_predictions_per_seq=3, dupe_factor=40, do_whole_word_mask=False,
               short_seq_prob=0.0, report=tmp_path / "report.json")
    with open(str(tmp_path / "report.json"), encoding="utf-8") as stream:
        spans = {int(length): counted["spans"]
                 for length, counted in json.load(stream)["span_lengths"].items()}
    examples = read(out / "a.tfrecord")
    count = len(examples)
    assert count > 3000
    assert sum(length * number for length, number in spans.items()) == 3 * count
    assert_share(spans[3], count, 2 / 11)
    assert_share(spans[2], count, 3 / 11 + 30 / 121)
    in_a_row = sum(example["masked_lm_positions"][2] - example["masked_lm_positions"][0] == 2
                   for example in examples)
    assert 0 <= in_a_row - spans[3] < 0.02 * count  # shorter spans stand side by side at times


ENGLISH = ["The rain (it rains!) falls on the plain's plains; don't go outside, please.",
           "Lower, lowest and unlovely: 1999, the lowest rain-falls in Spain..."]


@pytest.mark.parametrize("model", ["wordpiece", "sentencepiece"])
def test_english_words_are_masked_whole(tmp_path, model):
    if model == "wordpiece":
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(letters)
            + ["##" + letter for letter in letters] + list("!'(),-.:;")) + "\n")
        tokenizer = tokenization.load_tokenizer(str(path))
        changes = {"non_chinese": True}
    else:
        path = tmp_path / "tiny.model"
        clean = tokenization.SentencePieceCleaner().clean
        path.write_bytes(create_vocab.train_sentencepiece(
            [clean(line)[0] for line in ENGLISH * 50], 45, 1.0))
        tokenizer = tokenization.load_tokenizer(spm_model_file=str(path))
        changes = {"spm_model_file": path}
    out = make(tmp_path, str(path), "\n".join(ENGLISH), max_seq_length=256, dupe_factor=300,
               max_predictions_per_seq=30, masked_lm_prob=0.15, **changes)
    long = alone = 0
    for example in read(out / "a.tfrecord"):
        for tokens, masked in restored(example, tokenizer):
            # "##" continues a word; with SentencePiece a letter without "▁" does, and punctuation
            # never. (No apostrophe here is next to other punctuation.)
            begins = [token[:2] != "##" if model == "wordpiece" else
                      token[0] == "▁" or not (token[0].isalnum() or token[0] == "'")
                      for token in tokens]
            words = np.cumsum(begins)
            for word, count in collections.Counter(words[masked].tolist()).items():
                assert count == (words == word).sum()
                long += count > 1
            alone += sum(tokens[position] in "!(),-.:;" for position in masked)
    assert min(long, alone) > 500


# ---- options ----

def test_split_sentences(tmp_path, sample_vocab):
    """Paragraphs give the records of their sentences."""
    documents = [document.replace("\n", "") for document in news().split("\n\n")]
    paragraphs = "\n\n".join(documents)
    lines = "\n\n".join("\n".join(sentences.split_sentences(document)) for document in documents)
    one = make(tmp_path, sample_vocab, paragraphs, split_sentences=True) / "a.tfrecord"
    records_of_one, described = one.read_bytes(), description(one)
    other = make(tmp_path, sample_vocab, lines) / "a.tfrecord"
    assert other.read_bytes() == records_of_one
    assert described["flags"]["split_sentences"] is True
    assert described["counts"]["sentences"] == description(other)["counts"]["sentences"] > 1000


def test_rjieba(tmp_path, sample_vocab):
    pytest.importorskip("rjieba")
    one = make(tmp_path, sample_vocab) / "a.tfrecord"
    content = one.read_bytes()
    other = make(tmp_path, sample_vocab, segmenter="rjieba") / "a.tfrecord"
    assert description(other)["flags"]["segmenter"] == "rjieba"
    assert other.read_bytes() == content


def test_word_starts(tmp_path, sample_vocab):
    """Nothing is masked; the words, put together, are those of jieba."""
    lines = ["长江发源于青藏高原的唐古拉山脉。", "随后江水穿过三峡进入平原，河道变宽。"]
    out = make(tmp_path, sample_vocab, "\n".join(lines), max_seq_length=64, dupe_factor=None,
               store_word_starts=True)
    example, = read(out / "a.tfrecord")  # used once, not ten times
    assert {name: len(values) for name, values in example.items()} == {
        "input_ids": 64, "input_mask": 64, "segment_ids": 64, "word_starts": 64,
        "next_sentence_labels": 1}
    length = sum(example["input_mask"])
    tokens = tokenization.load_tokenizer(sample_vocab).convert_ids_to_tokens(
        example["input_ids"][:length])
    assert not any(example["word_starts"][length:])
    words = []
    for token, begins in zip(tokens, example["word_starts"]):
        words += [token] if begins else [words.pop() + token]
    first, second = map(jieba.lcut, in_text_order(example, lines))
    assert words == ["[CLS]"] + first + ["[SEP]"] + second + ["[SEP]"]
    assert max(map(len, words[1:-1])) > 2
    made = description(out / "a.tfrecord")
    assert made["flags"]["store_word_starts"] is True
    assert made["flags"]["dupe_factor"] == 1
    assert made["counts"]["masked tokens"] == 0


def test_sentences(tmp_path, sample_vocab, caplog):
    """A record holds all sentences of an instance as they are; what the training draws is left."""
    lines = ["长江发源于青藏高原的唐古拉山脉。", "随后江水穿过三峡。", "河道变宽。"]
    with caplog.at_level("INFO", "albert"):
        out = make(tmp_path, sample_vocab, "\n".join(lines), max_seq_length=24, dupe_factor=None,
                   store_sentences=True)
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    # 25 tokens in the first two leave no room for the third; it is paired with the one before it.
    second, first = sorted(read(out / "a.tfrecord"), key=lambda record: len(record["input_ids"]))
    assert [first["sentence_lengths"], second["sentence_lengths"]] == [[16, 9], [9, 5]]
    assert "".join(tokenizer.convert_ids_to_tokens(first["input_ids"])) == "".join(lines[:2])
    assert len(first["word_starts"]) == 25 and sum(first["word_starts"]) < 20
    assert set(first) == {"input_ids", "word_starts", "sentence_lengths"}
    made = description(out / "a.tfrecord")["flags"]
    assert (made["store_sentences"], made["store_word_starts"], made["dupe_factor"]) == (
        True, True, 1)
    assert "instances swapped" not in caplog.text
    assert " --do_train --dynamic_masking --bert_config_file" in caplog.messages[-1]


def test_word_starts_as_often_as_asked(tmp_path, sample_vocab):
    counts = [len(read(make(tmp_path, sample_vocab, store_word_starts=True, dupe_factor=times)
                       / "a.tfrecord")) for times in (1, 3)]
    assert counts == [2, 6]


def test_word_starts_with_the_labels_of_brightmart(tmp_path, sample_vocab):
    out = make(tmp_path, sample_vocab, news(), store_word_starts=True, brightmart_labels=True,
               max_seq_length=64)
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    glued = 0
    for example in read(out / "a.tfrecord"):
        assert len(example["label_ids"]) == 64
        for token, label, begins in zip(
                example["input_ids"], example["label_ids"], example["word_starts"]):
            if label != token:
                assert not begins
                assert tokenizer.tokens[label] == "##" + tokenizer.tokens[token]
                glued += 1
            elif not begins and tokenization.is_cjk(tokenizer.tokens[token][0]):
                assert "##" + tokenizer.tokens[token] not in tokenizer.vocab
    assert glued > 5000


@pytest.mark.parametrize("changes", [{}, {"store_word_starts": True}])
def test_unmasked_records_are_said_to_the_next_command(tmp_path, sample_vocab, caplog, changes):
    caplog.set_level("INFO", "albert")
    make(tmp_path, sample_vocab, output_file=tmp_path / "out" / "t@2.tfrecord", **changes)
    assert ("next: python3 run_pretraining.py --input_file=%s --max_seq_length=32 "
            "--max_predictions_per_seq=5 --do_train%s --bert_config_file"
            % (tmp_path / "out" / "t-*.tfrecord", " --dynamic_masking" if changes else "")
            ) in caplog.text


def test_report_that_cannot_be_written_is_said_before_the_work(tmp_path, sample_vocab):
    assert refused(tmp_path, sample_vocab, report="/proc/none/a.json") == (
        "error: /proc/none/a.json cannot be written (No such file or directory); give another path")


def test_report(tmp_path, sample_vocab):
    path = tmp_path / "reports" / "a.json"
    out = make(tmp_path, sample_vocab, news(), report=path, **SMALL)
    report = json.loads(path.read_text(encoding="utf-8"))
    examples = read(out / "a.tfrecord")
    lengths = collections.Counter(sum(example["input_mask"]) for example in examples)
    masked = sum(sum(example["masked_lm_weights"]) for example in examples)
    assert report["counts"] == description(out / "a.tfrecord")["counts"]
    assert report["lengths"] == {str(length): count for length, count in lengths.items()}
    tokens = sum(length * count for length, count in lengths.items())
    assert report["mean_length"] == pytest.approx(tokens / len(examples))
    assert report["masked_share"] == pytest.approx(masked / tokens)
    assert report["swapped_share"] == pytest.approx(
        sum(example["next_sentence_labels"][0] for example in examples) / len(examples))
    spans = report["span_lengths"]
    assert set(spans) == {"1", "2", "3"}
    assert sum(span["share"] for span in spans.values()) == pytest.approx(1)
    assert spans["1"]["spans"] > spans["2"]["spans"] > spans["3"]["spans"]
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    text = tokenizer.encode(news())
    assert report["unknown_share"] == pytest.approx(text.count(tokenizer.unk_id) / len(text))
    assert report["unknown_characters"]
    assert all(character not in tokenizer.vocab for character, _ in report["unknown_characters"])
    assert report["warnings"] == []


def test_report_is_a_file_or_nothing(tmp_path, sample_vocab):
    assert refused(tmp_path, sample_vocab, report=tmp_path) == (
        "error: %s: a directory, expected the name of a file to write" % tmp_path)
    make(tmp_path, sample_vocab)
    assert sorted(os.listdir(str(tmp_path))) == ["in.txt", "out"]


def test_corpus_without_blank_lines_is_a_warning(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    make(tmp_path, sample_vocab, TEXT.replace("\n\n", "\n"))
    assert "warning: 1 document(s) in 6 sentences, 0 cut in pieces for their length; documents " \
           "must be separated" in caplog.text
    caplog.clear()
    make(tmp_path, sample_vocab)
    assert "documents dropped (fewer than two sentences)              1" in caplog.text
    assert "warning" not in caplog.text


def test_tags_of_wikiextractor_are_counted(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    plain = (make(tmp_path, sample_vocab) / "a.tfrecord").read_bytes()
    text = TEXT.replace("\n\n", '\n</doc>\n<doc id="12" url="https://a?b" title="c">\n\n')
    out = make(tmp_path, sample_vocab, '<doc id="1">\n' + text)
    assert (out / "a.tfrecord").read_bytes() == plain
    assert description(out / "a.tfrecord")["counts"]["<doc> tags left out"] == 5
    assert "<doc> tags left out                                       5\n" in caplog.text


# ---- what the command refuses ----

BAD_LINE = TEXT.encode("utf-8") + "中文编码\n".encode("gbk") + TEXT.encode("utf-8")


@pytest.mark.parametrize("changes, message", [
    ({"input_file": None}, "no input files given"),
    ({"input_file": "/none/a.txt"}, "/none/a.txt: no such file"),
    ({"input_file": "/none/*.txt"}, "/none/*.txt: no such file"),
    ({"output_file": None}, "--output_file is missing"),
    ({"output_file": " , "}, "--output_file is missing"),
    ({"output_file": "/tmp"}, "/tmp: a directory, expected the name of a file"),
    ({"output_file": "/tmp/a,/tmp/b,/tmp/a"}, "--output_file names /tmp/a twice"),
    ({"output_file": "/tmp/a@2,/tmp/a-00001-of-00002"},
     "--output_file names /tmp/a-00001-of-00002 twice"),
    ({"output_file": "/etc/hostname/a.tfrecord"}, "/etc/hostname"),  # is a file
    ({"output_file": "/proc/none/a.tfrecord"},
     "/proc/none/a.tfrecord.json cannot be written (No such file or directory); give another path"),
    ({"output_file": "/dev/null"}, "/dev/null: a device or a pipe, expected the name of a file"),
    ({"report": "/dev/full"}, "/dev/full: a device or a pipe, expected the name of a file"),
    ({"output_file": "/tmp/%s.tfrecord" % ("长" * 90)}, "cannot be written (File name too long)"),
    ({"output_file": "/tmp/a\udcff.tfrecord"}, "/tmp/a�.tfrecord: this is not UTF-8; rename"),
    ({"vocab_file": None}, "neither --vocab_file nor --spm_model_file is given"),
    ({"vocab_file": "/none/vocab.txt"}, "--vocab_file=/none/vocab.txt: no such file"),
    ({"vocab_file": NEWS}, "expected every token once"),
    ({"max_predictions_per_seq": 32}, "--max_predictions_per_seq=32 is not below --max_seq_length"),
    ({"spm_model_file": "a.model", "brightmart_labels": True},
     "--brightmart_labels needs a WordPiece --vocab_file"),
    ({"work_dir": "gs://bucket/work"}, "--work_dir=gs://bucket/work is not local; give a directory "
                                       "of this machine"),
    ({"work_dir": "/proc/none/work"}, "/proc/none: No such file or directory"),
    ({"spark_conf": "spark.a=b"}, "--spark_conf without --runner=spark; add it, or leave that out"),
    ({"spark_master": "local[2]"}, "--spark_master without --runner=spark; add it"),
    ({"runner": "spark", "work_dir": "/tmp", "num_workers": None},
     "--work_dir=/tmp with --runner: workers on other machines do not see it"),
    ({"runner": "spark"}, "--num_workers=1 with --runner: Spark takes what its cluster offers"),
    ({"text": ""}, "in.txt: empty; expected one sentence a line"),
    ({"text": "\n \n"}, "0 instances for 1 output files"),
    ({"text": "一句。\n\n又一句。\n"}, "the input needs documents of two or more sentences"),
    ({"text": "长江发源于青藏高原" * 200 + "\n一句。\n"},
     "99 % of the text is in no instance, because sentences are long for --max_seq_length=32 or "
     "alone in their documents; raise it, or pass --split_sentences if lines are paragraphs; "
     "2 sentences in 1 documents were found"),
    ({"text": TEXT.replace("\n", "\r")}, "in.txt line 1: its lines end with CR alone, expected LF"),
    ({"text": BAD_LINE}, "in.txt line 9: byte 1 is not UTF-8; it looks like GBK: convert the file "
                         "(iconv -f gb18030 -t utf-8) or "
                         "pass --skip_bad_lines"),
])
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, sample_vocab, changes, message):
    sentence = refused(tmp_path, **dict({"vocab": sample_vocab}, **changes))
    assert sentence.startswith("error: ")
    assert message in sentence


def test_vocabulary_of_special_tokens_only(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    assert refused(tmp_path, str(tmp_path / "vocab.txt")) == (
        "error: %s/vocab.txt: nothing but the special tokens [PAD] [UNK] [CLS] [SEP] [MASK], "
        "expected words or characters too; make it anew with create_vocab.py or take that of the "
        "model" % tmp_path)


def test_vocabulary_without_mask(tmp_path, sample_vocab):
    with open(sample_vocab, encoding="utf-8") as stream:
        tokens = stream.read().replace("[MASK]\n", "").replace("[CLS]\n", "")
    (tmp_path / "vocab.txt").write_text(tokens, encoding="utf-8")
    sentence = refused(tmp_path, str(tmp_path / "vocab.txt"))
    assert "vocab.txt: no [CLS] [MASK] among its" in sentence


@pytest.mark.parametrize("flag", ["output_file", "report"])
@pytest.mark.parametrize("name", ["in.txt", "./in.txt", "../{dir}/in.txt", "link", "hard", "v.txt"])
def test_output_that_is_an_input(tmp_path, sample_vocab, flag, name):
    (tmp_path / "in.txt").write_text(TEXT, encoding="utf-8")
    os.symlink(str(tmp_path / "in.txt"), str(tmp_path / "link"))
    os.link(str(tmp_path / "in.txt"), str(tmp_path / "hard"))
    shutil.copy(sample_vocab, str(tmp_path / "v.txt"))
    path = "%s/%s" % (tmp_path, name.format(dir=tmp_path.name))
    assert refused(tmp_path, str(tmp_path / "v.txt"), **{flag: path}) == (
        "error: %s is one of the input files; name another" % path)


def test_files_to_write_that_are_one(tmp_path, sample_vocab):
    changes = {"output_file": "%s/a,%s/./a" % (tmp_path, tmp_path)}
    assert refused(tmp_path, sample_vocab, **changes) == (
        "error: %s/a and %s/./a are one file to write; name each once" % (tmp_path, tmp_path))
    changes = {"output_file": tmp_path / "a", "report": tmp_path / "a.json"}
    assert "a.json are one file to write" in refused(tmp_path, sample_vocab, **changes)


def test_description_that_is_an_input(tmp_path, sample_vocab):
    """in.txt.json would be the description of in.txt."""
    text = tmp_path / "a.json"
    text.write_text(TEXT, encoding="utf-8")
    sentence = refused(tmp_path, sample_vocab, input_file=text, output_file=tmp_path / "a")
    assert sentence == "error: %s is one of the input files; name another" % text


def test_sets_with_numbers_in_their_names_have_their_own_descriptions(tmp_path, sample_vocab):
    """Only what the command itself writes for NAME@N is one set."""
    names = ["part-1-of-3/tf.tfrecord", "part-00002-of-00003/tf.tfrecord", "wiki-1-of-2.tfrecord",
             "wiki-2-of-2.tfrecord", "part-00003-of-00003/tf.tfrecord"]
    for seed, name in enumerate(names):
        make(tmp_path, sample_vocab, output_file=tmp_path / "out" / name, random_seed=seed)
    for seed, name in enumerate(names):
        made = description(tmp_path / "out" / name)
        assert made["flags"]["random_seed"] == seed
        assert list(made["files"]) == [os.path.basename(name)]


def test_comma_in_a_name(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    (tmp_path / "a,b.txt").write_text(TEXT, encoding="utf-8")
    make(tmp_path, sample_vocab, input_file="%s/a\\,b.txt" % tmp_path,
         output_file="%s/out/c\\,d@2" % tmp_path)
    assert sorted(os.listdir(str(tmp_path / "out"))) == [
        "c,d-00000-of-00002", "c,d-00001-of-00002", "c,d.json"]
    assert "--input_file=%s/out/c\\,d-* " % tmp_path in caplog.text
    assert "a comma inside a name is written \\,)" in refused(
        tmp_path, sample_vocab, input_file=tmp_path / "a,b.txt")


@needs_proc
@pytest.mark.parametrize("num_workers", [1, 2])
def test_text_from_a_pipe(tmp_path, sample_vocab, num_workers):
    """As --input_file=<(zcat a.gz): it is read once, and has no size."""
    expected = (make(tmp_path, sample_vocab) / "a.tfrecord").read_bytes()
    reading, writing = os.pipe()
    os.write(writing, TEXT.encode("utf-8"))
    os.close(writing)
    out = make(tmp_path, sample_vocab, input_file="/proc/self/fd/%d" % reading,
               num_workers=num_workers)
    os.close(reading)
    assert (out / "a.tfrecord").read_bytes() == expected


def test_fewer_instances_than_files(tmp_path, sample_vocab):
    sentence = refused(tmp_path, sample_vocab, output_file=tmp_path / "t@9")
    assert sentence.startswith("error: 4 instances for 9 output files; the input needs documents")


def test_bad_lines_are_counted_and_left_out(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    out = make(tmp_path, sample_vocab, BAD_LINE, skip_bad_lines=True)
    assert description(out / "a.tfrecord")["counts"]["bad lines"] == 1
    assert "warning: 1 of 17 lines are not UTF-8 and were left out" in caplog.text
    content = (out / "a.tfrecord").read_bytes()
    assert (make(tmp_path, sample_vocab, TEXT + TEXT) / "a.tfrecord").read_bytes() == content


def test_old_output_stays_when_the_new_one_fails(tmp_path, sample_vocab):
    make(tmp_path, sample_vocab)
    assert "line 9" in refused(tmp_path, sample_vocab, BAD_LINE)  # compares every file's content


@pytest.mark.parametrize("arguments, message", [
    (["data.txt"], "unexpected argument 'data.txt'; flags are written --name=value"),
    (["--max_predictions_per_seq=0"], "--max_predictions_per_seq=0"),
])
def test_bad_flags_end_with_status_1(tmp_path, run_command, sample_vocab, arguments, message):
    values = flags(tmp_path, sample_vocab)
    values.pop("max_predictions_per_seq")
    status, output = run_command("create_pretraining_data.py", *arguments, **values)
    assert status == 1
    assert message in output
    assert "Traceback" not in output
    assert os.listdir(str(tmp_path)) == ["in.txt"]


@pytest.mark.parametrize("name, value", [
    ("max_seq_length", 7), ("masked_lm_prob", 1.5), ("masked_lm_prob", -0.1), ("ngram", 0),
    ("short_seq_prob", 2), ("dupe_factor", 0), ("max_predictions_per_seq", "many"),
    ("num_workers", 0), ("segmenter", "other"), ("runner", "other")])
def test_flag_out_of_range(name, value):
    with pytest.raises(absl_flags.IllegalFlagValueError, match=name):
        parse(command.define_flags, **{name: value})
