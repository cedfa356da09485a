"""create_pretraining_data.py: text in, records out, the same every time, and well mixed.

The files and their bytes are in test_data_files.py, what is refused in test_data_refused.py, a run
that is stopped in test_shards.py.
"""

import collections
import glob
import json
import os

import jieba
import numpy as np
import pytest

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
from pretraining import inputs, records
from text import segmentation, sentences
from training import input_pipeline

# The golden bytes of test_data_files.py hold on all.
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
    out = make(tmp_path, sample_vocab, news(), report=path, max_seq_length=64,
               max_predictions_per_seq=10)
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
