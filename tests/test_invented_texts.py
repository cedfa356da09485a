"""Texts to records on invented texts, vocabularies and flags: the right result, or one sentence.

    pytest tests/test_invented_texts.py --invented=1000
"""

import collections
import contextlib
import functools
import gzip
import os
import random
import re
import shutil
import string
import tempfile
import types
import unicodedata
from unittest import mock

from util import files, whole_files
from util.errors import UserError

import jieba
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import create_pretraining_data
import create_vocab
import invented
import tokenization
from definitions import check_offsets, google_pieces, slow_tokens
from factories import news
from pretraining import instances, masking, shards
from text import corpus, segmentation, sentences
from tiny import parse

st = invented.st
VOCAB = os.path.join(os.path.dirname(__file__), "golden", "tokenization_vocab.txt")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LINE_PARTS = ("", " ", "\u200b", "\ufeff", "<doc id=\"1\">", "</doc>", "\u3164", "好。", "a b.")
lines = st.lists(st.one_of(st.sampled_from(LINE_PARTS), invented.texts()), max_size=12)


# ---- text as documents ----

def is_invisible(text):
    """White space, control and format characters, and what Unicode says to show nothing for."""
    return all(char.isspace() or unicodedata.category(char) in ("Cc", "Cf")
               or char in "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
               or "\ufe00" <= char <= "\ufe0f" or "\u2060" <= char <= "\u206f"
               or "\ufff0" <= char <= "\ufff8" or "\U000e0000" <= char <= "\U000e0fff"
               for char in text)


def slow_documents(text):
    """The documents of a file with this text by their definition."""
    return documents_of(text[text.startswith("\ufeff"):].split("\n"))


def documents_of(lines):
    documents = [[]]
    for line in map(str.strip, lines):
        if is_invisible(line) or line == "</doc>" or re.match("<doc( .*)?>$", line):
            documents.append([])
        else:
            documents[-1].append(line)
    return [document for document in documents if document]


def read(path, **options):
    """(documents, counts) of a file."""
    counts = collections.Counter()
    return list(corpus.read_documents([path], counts, **options)), counts


@contextlib.contextmanager
def one_sentence():
    """Lets a UserError pass that is one sentence, and no other error."""
    try:
        yield
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) > 20


@invented.inputs(lines=lines, end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_documents(lines, end, last):
    text = end.join(lines) + end * last
    with invented.file("in.txt", text) as path:
        try:
            documents, counts = read(path)
        except UserError as error:
            assert "its lines end with CR alone" in str(error)
            assert "\n" not in text and "\r" in text
            return
        assert counts["input bytes"] == os.path.getsize(path)
    assert documents == slow_documents(text)
    assert counts["lines"] == len(text.split("\n")) - (text.endswith("\n") or not text)
    with invented.file("in.txt.gz", gzip.compress(text.encode("utf-8"))) as path:
        assert read(path)[0] == documents


@invented.inputs(lines=lines, size=st.integers(8, 40))
def test_long_lines_lose_no_character(lines, size):
    text = "\n".join(line for line in lines if "doc" not in line)  # a tag in pieces is none
    with invented.file("in.txt", text) as path, one_sentence(), \
            mock.patch.object(corpus, "MAX_LINE_BYTES", size), \
            mock.patch.object(corpus, "MAX_DOCUMENT_CHARACTERS", size):
        made = sum(read(path)[0], [])
        assert [char for char in "".join(made) if not is_invisible(char)] == [
            char for char in text if not is_invisible(char)]
        assert max(len(line.encode("utf-8")) for line in [""] + made) <= size


@invented.inputs(content=st.lists(st.one_of(
    st.binary(max_size=8), st.sampled_from([b"\n", b"\xff", b"\xe5\xa5", "好".encode("gbk")]),
    invented.texts().map(lambda text: text.encode("utf-8"))), max_size=12).map(b"".join))
def test_bytes(content):
    """What is UTF-8 is read, what is not is said or counted."""
    good = []
    bad = 0
    for number, line in enumerate(content.split(b"\n")):
        try:
            good.append(line.decode("utf-8" if number else "utf-8-sig"))
        except UnicodeDecodeError:
            bad += 1
    with invented.file("in.txt", content) as path, one_sentence():
        documents, counts = read(path, skip_bad_lines=True)
        assert documents == documents_of(good)
        assert counts["bad lines"] == bad
        if bad:
            with pytest.raises(UserError, match="in.txt line [0-9]+: byte [0-9]+ is not UTF-8"):
                read(path)
        else:
            assert read(path)[0] == documents


@invented.inputs(lengths=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4)),
                 characters=st.integers(1, 60))
def test_chunks_are_the_documents(lengths, characters):
    documents = [["x" * length for length in document] for document in lengths]
    made = list(corpus.chunks(iter(documents), characters, collections.Counter()))
    assert sum((chunk.documents for chunk in made), []) == documents
    assert [chunk.first for chunk in made] == [
        sum(len(chunk.documents) for chunk in made[:number]) for number in range(len(made))]


names = st.text(st.one_of(st.sampled_from(",\\*?[]{}!~$ .-@汉"), st.characters(
    blacklist_categories=("Cs",), blacklist_characters="/\x00")), min_size=1, max_size=12).filter(
        lambda name: name == name.strip() and name.strip(".") and not name.endswith("\\"))


@invented.inputs(name=names)
def test_names_of_files(name):
    """Whatever a file is called, it is found by its name, with its commas marked."""
    with invented.file(name, "a") as path:
        assert files.expand(path.replace(",", "\\,")) == [path]
        whole_files.check_outputs([path])
        with pytest.raises(UserError, match="is one of the input files"):
            whole_files.check_outputs([os.path.join(os.path.dirname(path), ".", name)], [path])
        whole_files.write_lines(path, ["b"])
        assert os.listdir(os.path.dirname(path)) == [name]


# ---- sentences and words ----

PUNCTUATION = "。！？；…，：“”‘’「」（）《》!?.,;:\"'()—~ \t\u3000[]Mr.No.1"
paragraphs = st.lists(st.one_of(st.text(PUNCTUATION, max_size=4), invented.texts())).map("".join)


@invented.inputs(paragraph=paragraphs)
def test_sentences_are_the_paragraph(paragraph):
    made = sentences.split_sentences(paragraph)
    assert "".join("".join(made).split()) == "".join(paragraph.split())
    position = 0
    for sentence in made:
        assert sentence == sentence.strip() != ""
        position = paragraph.index(sentence, position) + len(sentence)
        assert sentences.split_sentences(sentence) == [sentence]


@invented.inputs(text=paragraphs)
def test_words(text):
    assert segmentation.load("jieba")(text) == jieba.lcut(text)
    with contextlib.suppress(UserError):  # an optional package
        assert "".join(segmentation.load("rjieba")(text)) == text


# ---- tokens ----

@functools.lru_cache(None)
def wordpiece(do_lower_case=True):
    return tokenization.WordPieceTokenizer(VOCAB, do_lower_case)


@functools.lru_cache(None)
def sentencepiece():
    """A small model of the sample and some English."""
    clean = tokenization.SentencePieceCleaner().clean
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "a.model")
        text = news().split("\n")[:300] + ["Café %d, low lower, it's 2,000 한국어" % number
                                           for number in range(50)]
        with open(path, "wb") as stream:
            stream.write(create_vocab.train_sentencepiece(
                [clean(line)[0] for line in text if line], 1600, 0.9995))
        return tokenization.SentencePieceTokenizer(path)


@invented.inputs(text=st.one_of(invented.texts(), paragraphs), do_lower_case=st.booleans())
def test_wordpiece(text, do_lower_case):
    tokenizer = wordpiece(do_lower_case)
    assert tokenizer.tokenize(text) == slow_tokens(tokenizer, text)
    assert tokenizer.encode(text) == tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
    basic = tokenization.BasicTokenizer(do_lower_case)
    for token, span in check_offsets(tokenizer, text):
        assert span and not span[0].isspace() and not span[-1].isspace()
        piece = token if token == "##" else token.replace("##", "", 1)
        assert token == "[UNK]" or piece.replace("ς", "σ") in basic.normalize(
            span).replace("ς", "σ")


@invented.inputs(text=st.one_of(invented.texts(), paragraphs))
def test_sentencepiece(text):
    tokenizer = sentencepiece()
    assert tokenizer.tokenize(text) == google_pieces(tokenizer.model, text)
    ids = tokenizer.encode(text)
    assert all(0 <= index < tokenizer.vocab_size for index in ids)
    assert not {tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.pad_id} & set(ids)
    clean = tokenization.SentencePieceCleaner().clean
    for token, span in check_offsets(tokenizer, text):
        assert not span or not span[0].isspace()
        if token in tokenizer.vocab and token.strip("▁"):
            normal = tokenizer.model.normalize(clean(span)[0])
            assert token.strip("▁") in normal


tokens = st.lists(st.one_of(
    st.text("ab好", max_size=2), st.text("ab好", max_size=2).map(lambda text: "##" + text),
    st.sampled_from(SPECIAL), invented.texts()), max_size=12)


@invented.inputs(tokens=tokens, order=st.randoms(use_true_random=False), text=invented.texts(),
                 content=st.one_of(st.none(), st.binary(max_size=20)))
def test_vocabularies(tokens, order, text, content):
    """A list of tokens of any kind, or other bytes."""
    tokens = list(dict.fromkeys(tokens + SPECIAL))
    order.shuffle(tokens)
    if content is None:
        content = "\n".join(tokens).encode("utf-8")
    with invented.file("vocab.txt", content) as path, one_sentence():
        tokenizer = tokenization.WordPieceTokenizer(path)
        assert len(tokenizer.tokens) == len(set(tokenizer.tokens)) > len(SPECIAL)
        assert tokenizer.tokenize(text + "aab好") == slow_tokens(tokenizer, text + "aab好")
        list(check_offsets(tokenizer, text + "aab好"))


@invented.inputs(text=lines.map("\n".join), repeated=st.integers(1, 3),
                 vocab_size=st.integers(100, 130), min_frequency=st.integers(1, 4),
                 do_lower_case=st.booleans(), length=st.integers(8, 64))
def test_vocabulary_of_a_text(text, repeated, vocab_size, min_frequency, do_lower_case, length):
    """It holds every character that is frequent enough, is the same again, and is read again."""
    with invented.file("in.txt", "\n".join([text] * repeated)) as path, one_sentence(), \
            mock.patch.object(corpus, "MAX_LINE_BYTES", length):
        flags = types.SimpleNamespace(
            input_file=path, output_file=path + ".vocab", model_type="wordpiece",
            vocab_size=vocab_size, min_frequency=min_frequency, do_lower_case=do_lower_case,
            character_coverage=1.0, skip_bad_lines=False)
        create_vocab.main(flags)
        first = tokenization.WordPieceTokenizer(flags.output_file, do_lower_case)
        flags.output_file = path + ".again"
        create_vocab.main(flags)
        again = tokenization.WordPieceTokenizer(flags.output_file, do_lower_case)
        assert first.tokens == again.tokens and len(first.tokens) <= vocab_size
        counts = create_vocab.count_characters(create_vocab.Corpus([path]), do_lower_case)
        frequent = {char for char, count in counts.items() if count >= min_frequency}
        if len(frequent) + len(SPECIAL) <= vocab_size:
            assert frequent <= set(first.tokens)


# ---- instances and masks ----

@invented.inputs(document=st.lists(paragraphs, max_size=5),
                 source=st.sampled_from(["jieba", "wordpiece", "sentencepiece"]))
def test_word_starts(document, source):
    tokenizer = sentencepiece() if source == "sentencepiece" else wordpiece()
    cut = segmentation.load("jieba") if source == "jieba" else None
    encoded = instances.encode_document(document, tokenizer, cut)
    all_ids = [tokenizer.encode(sentence) for sentence in document]
    assert encoded.ids.tolist() == sum(all_ids, [])
    assert encoded.bounds.tolist() == np.cumsum(
        [0] + [len(ids) for ids in all_ids if ids]).tolist()
    assert encoded.starts[encoded.bounds[:-1][:len(encoded.ids)]].all()
    assert len(encoded.unknown) == encoded.ids.tolist().count(tokenizer.unk_id)
    begins = [begin for sentence in document
              for begin in slow_starts(sentence, tokenizer, cut)]
    assert encoded.starts.tolist() == begins


def slow_starts(sentence, tokenizer, cut):
    """Whether each token begins a word: the first that starts in it, and is no continuation."""
    ids, offsets, _ = tokenizer.encode_with_offsets(sentence)
    ends = np.cumsum([len(word) for word in cut(sentence)] if cut else [], dtype=int)
    words = [sum(end <= offset for end in ends) for offset in offsets]
    return [index == 0 or bool(tokenizer.is_word_start[token])
            and (cut is None or words[index] != words[index - 1])
            for index, token in enumerate(ids)]


@invented.inputs(first=st.lists(st.integers(1, 9), min_size=1, max_size=20),
                 second=st.lists(st.integers(1, 9), min_size=1, max_size=20),
                 budget=st.integers(1, 30), ngram=st.integers(1, 10), shorter=st.booleans(),
                 seed=st.integers())
def test_masks(first, second, budget, ngram, shorter, seed):
    """Whole words, within the budget, never a special token."""
    words = [1] + first + [1] + second + [1]
    bounds = np.cumsum([0] + words)
    starts = np.isin(np.arange(bounds[-1]), bounds)
    middle = 1 + sum(first)
    rng = random.Random(seed)
    positions, span_lengths = masking.choose_positions(
        starts, middle, budget, masking.span_law(ngram, shorter), rng)
    assert positions.tolist() == sorted(set(positions.tolist()))
    assert len(positions) <= budget
    assert not {0, middle, bounds[-1] - 1} & set(positions.tolist())
    of_words = np.searchsorted(bounds, positions, side="right") - 1
    for word, count in collections.Counter(of_words.tolist()).items():
        assert count == words[word]
    assert sum(span_lengths) == len(set(of_words.tolist()))
    assert all(1 <= length <= ngram for length in span_lengths)
    tokens = np.arange(100, 100 + bounds[-1])
    vocabulary = types.SimpleNamespace(mask_id=4, ordinary_ids=[50, 51])
    masking.replace(tokens, positions, vocabulary, rng)
    assert set(tokens[positions].tolist()) <= {4, 50, 51} | set((100 + positions).tolist())
    others = np.setdiff1d(np.arange(bounds[-1]), positions)
    assert tokens[others].tolist() == (100 + others).tolist()


# ---- a whole run ----

FLAGS = st.fixed_dictionaries({
    "max_seq_length": st.integers(8, 40), "max_predictions_per_seq": st.integers(1, 12),
    "masked_lm_prob": st.floats(0, 1), "short_seq_prob": st.sampled_from([0.0, 0.1, 1.0]),
    "dupe_factor": st.integers(1, 3), "ngram": st.integers(1, 10),
    "favor_shorter_ngram": st.booleans(), "do_whole_word_mask": st.booleans(),
    "non_chinese": st.booleans(), "do_lower_case": st.booleans(),
    "brightmart_labels": st.booleans(), "store_word_starts": st.booleans(),
    "split_sentences": st.booleans(), "random_seed": st.integers(-9, 9)})
sentence = st.one_of(st.text("天地玄黄宇宙洪荒日月盈昃，。", min_size=1, max_size=20),
                     st.sampled_from(string.printable.split()), invented.texts(excluded="\r"))
documents = st.lists(st.lists(sentence, min_size=1, max_size=6), min_size=1, max_size=5)


def make(text, flags, num_workers, pieces):
    """{name: bytes of the output}, in `pieces`, the sizes of chunks and runs; or the sentence."""
    with invented.file("in.txt", text) as path:
        out = os.path.join(os.path.dirname(path), "out")
        values = dict(flags, input_file=path, output_file=out + "/t@2.tfrecord", vocab_file=VOCAB,
                      num_workers=num_workers)
        with mock.patch.object(shards, "MIN_CHUNK", pieces), \
                mock.patch.object(shards, "RUN_BYTES", 50 * pieces):
            try:
                create_pretraining_data.main(parse(create_pretraining_data.define_flags, **values))
            except UserError as error:
                assert not os.path.exists(out) or os.listdir(out) == []
                return str(error).replace(os.path.dirname(path), "")
        made = {}
        for name in os.listdir(out):
            with open(os.path.join(out, name), "rb") as stream:
                made[name] = stream.read()
        return made


def records_of(made):
    """[{feature: numbers}] of all shards."""
    directory = tempfile.mkdtemp()
    try:
        found = []
        for name in sorted(made):
            path = os.path.join(directory, name)
            with open(path, "wb") as stream:
                stream.write(made[name])
            if not name.endswith(".json"):
                found += [tf.train.Example.FromString(record).features.feature
                          for record in tf.python_io.tf_record_iterator(path)]
        return [{name: list(feature.int64_list.value or feature.float_list.value)
                 for name, feature in features.items()} for features in found]
    finally:
        shutil.rmtree(directory)


@invented.inputs(documents=documents, flags=FLAGS, pieces=st.integers(1, 40),
                 num_workers=st.sampled_from([1, 1, 1, 2]))
def test_records(documents, flags, pieces, num_workers):
    """The same with any number of workers and pieces; the labels give the text back."""
    text = "\n\n".join("\n".join(document) for document in documents)
    made = make(text, flags, 1, 1 << 20)
    assert make(text, flags, num_workers, pieces) == made
    if isinstance(made, str):
        assert "\n" not in made
        return
    tokenizer = wordpiece(flags["do_lower_case"])
    split = sentences.split_sentences if flags["split_sentences"] else lambda line: [line]
    ids = [sum((tokenizer.encode(part) for line in document for part in split(line)), [])
           for document in slow_documents(text)]
    for record in records_of(made):
        assert_sound(record, flags, ids, tokenizer)


def assert_sound(record, flags, documents, tokenizer):
    """A record holds two segments of one document, in the order it says, under masks."""
    length = sum(record["input_mask"])
    assert length <= flags["max_seq_length"] == len(record["input_ids"])
    assert not any(record["input_ids"][length:])
    tokens = record["input_ids"][:length]
    if not flags["store_word_starts"]:
        count = int(sum(record["masked_lm_weights"]))
        assert count <= min(flags["max_predictions_per_seq"],
                            max(1, int(round(length * flags["masked_lm_prob"]))))
        for position, label in zip(record["masked_lm_positions"][:count],
                                   record["masked_lm_ids"]):
            tokens[position] = label
    middle = record["segment_ids"].index(1) - 1
    assert [tokens[index] for index in (0, middle, -1)] == [
        tokenizer.cls_id, tokenizer.sep_id, tokenizer.sep_id]
    segments = [tokens[1:middle], tokens[middle + 1:-1]]
    if record["next_sentence_labels"][0]:
        segments.reverse()
    assert all(segments)
    if flags["store_word_starts"] or not flags["brightmart_labels"]:
        assert any(follows(document, *segments) for document in documents)


def follows(document, first, second):
    """Whether the document holds the one and, somewhere behind it, the other."""
    def find(part, begin):
        return next((index for index in range(begin, len(document) - len(part) + 1)
                     if document[index:index + len(part)] == part), None)

    begin = find(first, 0)
    return begin is not None and find(second, begin + len(first)) is not None
