"""Pre-training instances: sentence order, whole words, n-gram spans, 80/10/10, in numbers."""

import collections
import re
import types

from util import tfrecords

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import create_vocab
import tokenization
from factories import assert_share
from pretraining import inputs, records
from pretraining import instances as instances_of
from text import corpus as corpus_of
from text import segmentation

# The golden bytes of test_data_files.py hold on all.
pytestmark = pytest.mark.one_platform

PAD, UNK, CLS, SEP, MASK = range(5)
RANDOM = range(5, 10)  # the only ids that `replace` may draw in a numbered document
FIRST = 10  # the id of a numbered document's first token: an id says where the token stands
SETTINGS = instances_of.Settings(
    max_seq_length=64, max_predictions_per_seq=20, masked_lm_prob=0.15, short_seq_prob=0.1,
    dupe_factor=10, ngram=3, whole_words=True, brightmart_labels=False, store_word_starts=False,
    random_seed=12345)
NUMBERED = types.SimpleNamespace(cls_id=CLS, sep_id=SEP, mask_id=MASK, pad_id=PAD,
                                 ordinary_ids=list(RANDOM))


def numbered(lengths, word_length=1, seed=b"text"):
    """A Document of sentences so long, in words of `word_length` tokens; no token occurs twice."""
    bounds = np.cumsum([0] + list(lengths))
    starts = np.concatenate([np.arange(length) % word_length == 0 for length in lengths])
    ids = np.arange(FIRST, FIRST + bounds[-1], dtype=np.int32)
    return instances_of.Document(ids, starts, bounds, seed, [])


def make(documents, vocabulary=NUMBERED, **changes):
    settings = SETTINGS._replace(**changes)
    return [instance for document in documents
            for instance in instances_of.document_instances(document, settings, vocabulary)]


def restore(instance):
    """The tokens with the labels put back, as two lists: what stands before and after [SEP]."""
    tokens = instance.tokens.copy()
    tokens[instance.positions] = instance.labels
    middle, end = np.flatnonzero(tokens == SEP)
    assert tokens[0] == CLS
    assert end == len(tokens) - 1
    assert instance.segments.tolist() == [0] * (middle + 1) + [1] * (end - middle)
    return tokens[1:middle].tolist(), tokens[middle + 1:end].tolist()


def in_text_order(instance):
    first, second = restore(instance)
    return (second, first) if instance.is_swapped else (first, second)


def budget(instance, settings=SETTINGS):
    return min(settings.max_predictions_per_seq,
               max(1, int(round(len(instance.tokens) * settings.masked_lm_prob))))


@pytest.fixture(scope="module")
def tokenizer(sample_vocab):
    return tokenization.load_tokenizer(sample_vocab)


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return instances_of.Vocabulary(tokenizer)


@pytest.fixture(scope="module")
def corpus():
    """The sample's documents, lists of sentences."""
    return list(corpus_of.read_documents(["data/news_zh_1.txt"], collections.Counter()))


@pytest.fixture(scope="module")
def jieba_cut():
    return segmentation.load("jieba")


@pytest.fixture(scope="module")
def encoded(corpus, tokenizer, jieba_cut):
    return [instances_of.encode_document(document, tokenizer, jieba_cut)
            for document in corpus]


# ---- sentence order ----

@pytest.mark.parametrize("length", [16, 64, 512])
def test_segments_are_consecutive_pieces_of_the_text(length):
    rng = np.random.RandomState(0)
    documents = [numbered(rng.randint(1, 40, rng.randint(2, 30)), seed=bytes([index]))
                 for index in range(40)]
    for document in documents:
        made = make([document], max_seq_length=length, dupe_factor=3)
        assert made
        for instance in made:
            assert len(instance.tokens) <= length
            first, second = in_text_order(instance)
            for segment in (first, second):  # never empty, never with a hole
                assert segment == list(range(segment[0], segment[-1] + 1))
            # Between them at most what truncation cut off at this end of one of two sentences.
            assert first[-1] < second[0]
            if len(instance.tokens) < length:
                assert second[0] == first[-1] + 1
                assert first[0] - FIRST in document.bounds
                assert second[0] - FIRST in document.bounds
                assert second[-1] + 1 - FIRST in document.bounds


def test_segments_join_at_a_sentence_and_cover_the_document():
    made = make([numbered([1] * 500)], short_seq_prob=0.0, dupe_factor=1)
    joined = sum((sum(in_text_order(instance), []) for instance in made), [])
    assert joined == list(range(FIRST, FIRST + 500))
    assert [len(instance.tokens) for instance in made] == [64] * 8 + [500 - 8 * 61 + 3]


def test_swapped_label_is_the_order():
    made = make([numbered([5] * 400)], dupe_factor=50)
    assert len(made) > 1500
    for instance in made:
        first, second = restore(instance)
        assert instance.is_swapped == int(first[0] > second[0])
    assert_share(sum(instance.is_swapped for instance in made), len(made), 0.5)


@pytest.mark.parametrize("sentences, dupe_factor", [
    ([5] * 400, 50), ([40, 40] * 50, 20), ([300, 200], 1000)])
def test_order_is_independent_of_the_lengths(sentences, dupe_factor):
    """Truncated or not: of two long segments the first keeps the odd token, swapped or not."""
    made = make([numbered(sentences)], dupe_factor=dupe_factor)
    longer = [instance.is_swapped for instance in made
              if np.argmax(instance.tokens == SEP) >= len(instance.tokens) / 2]
    assert len(longer) > 500
    assert_share(sum(longer), len(longer), 0.5)


def test_text_of_a_pair_stands_in_its_own_document(corpus, encoded, tokenizer, vocabulary):
    texts = ["".join(tokenizer.tokenize("".join(sentences))) for sentences in corpus]
    for text, document in zip(texts, encoded):
        for instance in make([document], vocabulary, dupe_factor=1):
            for segment in restore(instance):
                assert "".join(tokenizer.convert_ids_to_tokens(segment)) in text


def test_one_sentence_makes_no_pair():
    assert not make([numbered([200])])
    assert not make([numbered([1])])


def test_document_without_tokens_is_empty(tokenizer):
    document = instances_of.encode_document([" ", "\u200b"], tokenizer)
    assert document.bounds.tolist() == [0]
    assert not make([document])


def test_sentence_without_tokens_is_left_out(tokenizer):
    document = instances_of.encode_document(["长江", "\u200b", "河"], tokenizer)
    assert document.bounds.tolist() == [0, 2, 3]


def test_two_long_sentences_are_a_pair_cut_to_length():
    made = make([numbered([300, 200])], dupe_factor=20)
    assert len(made) == 20
    for instance in made:
        first, second = in_text_order(instance)
        assert len(instance.tokens) == 64
        assert list(map(len, restore(instance))) == [31, 30]
        assert FIRST <= first[0] <= first[-1] < FIRST + 300 <= second[0]
    # Ends are cut at random: neither end of a sentence is always kept.
    assert len({in_text_order(instance)[0][0] for instance in made}) > 10


def test_short_segment_keeps_all_beside_a_long_one():
    for instance in make([numbered([7, 300])]):
        first, second = in_text_order(instance)
        assert first == list(range(FIRST, FIRST + 7))
        assert len(second) == 61 - 7


def test_last_sentence_that_is_left_over_is_paired_with_the_one_before():
    made = make([numbered([30, 31, 12])], short_seq_prob=0.0, dupe_factor=5)
    assert [sum(in_text_order(instance), []) for instance in made] == [
        list(range(FIRST, FIRST + 61)), list(range(FIRST + 30, FIRST + 73))] * 5


@pytest.mark.parametrize("word_length", [2, 3, 7])
def test_truncation_cuts_between_words(word_length):
    document = numbered([70 * word_length, 50 * word_length], word_length)
    for instance in make([document], dupe_factor=30):
        assert 64 - 4 * (word_length - 1) <= len(instance.tokens) <= 64
        for segment in restore(instance):
            assert (segment[0] - FIRST) % word_length == 0
            assert len(segment) % word_length == 0


def test_word_longer_than_the_instance_is_cut():
    for instance in make([numbered([500, 500], word_length=500)]):
        assert len(instance.tokens) == 64


def test_short_instances():
    document = numbered([1] * 610)
    target = [instance.tokens.size for instance in make([document], short_seq_prob=1.0)]
    assert min(target) < 10
    assert max(target) > 55
    whole = sum(len(make([document], dupe_factor=1, random_seed=seed)) == 10
                for seed in range(300))
    assert_share(300 - whole, 300, 0.1)


# ---- masking ----

@pytest.mark.parametrize("changes", [
    {}, {"ngram": 1}, {"ngram": 10}, {"whole_words": False}, {"masked_lm_prob": 0.0},
    {"masked_lm_prob": 1.0}, {"max_predictions_per_seq": 3}, {"max_seq_length": 8},
    {"max_seq_length": 512, "max_predictions_per_seq": 51, "masked_lm_prob": 0.10}])
def test_budget_is_met_and_never_exceeded(encoded, vocabulary, changes):
    settings = SETTINGS._replace(dupe_factor=2, **changes)
    made = make(encoded, vocabulary, **settings._asdict())
    assert len(made) > 300
    missed = 0
    for instance in made:
        assert 0 <= len(instance.positions) <= budget(instance, settings)
        assert len(instance.labels) == len(instance.positions)
        missed += len(instance.positions) < budget(instance, settings)
        assert len(set(instance.positions)) == len(instance.positions)
        assert (np.diff(instance.positions) > 0).all()
        special = {0, len(instance.tokens) - 1, list(instance.segments).index(1) - 1}
        assert not special & set(instance.positions)
    if settings.masked_lm_prob < 1 and settings.max_seq_length > 8:
        assert missed < 0.02 * len(made)


@pytest.mark.parametrize("word_length", [1, 2, 3])
def test_masked_words_are_whole(word_length):
    document = numbered([6 * word_length] * 100, word_length)
    for instance in make([document], max_seq_length=128):
        indices = instance.labels - FIRST
        words = collections.Counter(indices // word_length)
        assert set(words.values()) <= {word_length}
        assert sum(instance.span_lengths) == len(words)


def test_labels_are_the_true_tokens(encoded, vocabulary):
    for document in encoded[:40]:
        text = set(document.ids.tolist())
        for instance in make([document], vocabulary, dupe_factor=2):
            assert set(instance.labels.tolist()) <= text
    for instance in make([numbered([5] * 100)]):
        first, second = restore(instance)
        assert first == list(range(first[0], first[0] + len(first)))
        assert second == list(range(second[0], second[0] + len(second)))


@pytest.mark.parametrize("ngram, favor_shorter", [
    (1, True), (2, True), (3, True), (5, True), (3, False)])
def test_span_lengths_follow_one_over_n(ngram, favor_shorter):
    """Reversed where longer spans are favored."""
    made = make([numbered([5] * 400)], ngram=ngram, dupe_factor=500,
                favor_shorter_ngram=favor_shorter)
    first = collections.Counter(instance.span_lengths[0] for instance in made
                                if len(instance.tokens) > 40)
    total = sum(first.values())
    assert total > 14000
    assert set(first) == set(range(1, ngram + 1))
    law = 1.0 / np.arange(1, ngram + 1)[::1 if favor_shorter else -1]
    expected = total * law / law.sum()
    chi_square = sum((first[n] - expected[n - 1]) ** 2 / expected[n - 1]
                     for n in range(1, ngram + 1))
    # The 99.9 % point of the law with ngram - 1 degrees of freedom.
    assert chi_square < {1: 1e-9, 2: 10.8, 3: 13.8, 5: 18.5}[ngram]


def test_spans_do_not_cross_sep():
    """Two segments of two words: a span of three or four words would have to cross [SEP]."""
    made = make([numbered([2, 2])], ngram=4, masked_lm_prob=1.0, dupe_factor=200)
    assert {len(instance.positions) for instance in made} == {4}
    spans = [length for instance in made for length in instance.span_lengths]
    assert set(spans) == {1, 2}


def test_every_place_is_masked_equally_often():
    made = make([numbered([10, 10])], ngram=1, dupe_factor=6000)
    counts = collections.Counter(index for instance in made
                                 for index in (instance.labels - FIRST).tolist())
    total = sum(counts.values())
    for index in range(20):
        assert_share(counts[index], total, 1 / 20)


def test_eighty_ten_ten():
    made = make([numbered([5] * 400)], dupe_factor=100)
    shown = np.concatenate([instance.tokens[instance.positions] for instance in made])
    labels = np.concatenate([instance.labels for instance in made])
    assert len(shown) > 20000
    assert_share((shown == MASK).sum(), len(shown), 0.8)
    assert_share((shown == labels).sum(), len(shown), 0.1)
    assert_share(np.isin(shown, RANDOM).sum(), len(shown), 0.1)
    for token in RANDOM:
        assert_share((shown == token).sum(), len(shown), 0.02)


def test_tokens_of_a_word_are_replaced_one_by_one():
    """80/10/10 a token: both tokens of a word are [MASK] in 64 % of the words."""
    made = make([numbered([6] * 400, word_length=2)], dupe_factor=50)
    shown = np.concatenate([instance.tokens[instance.positions].reshape(-1, 2)
                            for instance in made])
    assert_share((shown == MASK).all(axis=1).sum(), len(shown), 0.64)


def test_random_tokens_are_never_special(tokenizer, vocabulary):
    special = {PAD, UNK, CLS, SEP, MASK}
    assert len(vocabulary.ordinary_ids) == tokenizer.vocab_size - 5
    assert not special & set(vocabulary.ordinary_ids)
    made = make([numbered([5] * 100)], vocabulary, dupe_factor=20)
    replaced = np.concatenate([instance.tokens[instance.positions] for instance in made])
    assert set(replaced.tolist()) & special == {MASK}
    untouched = [np.delete(instance.tokens, instance.positions) for instance in made]
    assert all((tokens != MASK).all() for tokens in untouched)


# ---- words ----

def words_of(text, tokenizer, cut=None):
    """The words that are masked together, as their tokens in a row."""
    document = instances_of.encode_document([text], tokenizer, cut)
    pieces = np.split(document.ids, np.flatnonzero(document.starts)[1:])
    return ["".join(tokenizer.convert_ids_to_tokens(piece)) for piece in pieces]


@pytest.mark.parametrize("text, words", [
    ("长江发源于青藏高原", ["长江", "发源", "于", "青藏高原"]),
    ("中华人民共和国成立", ["中[UNK]人民共和国", "成立"]),  # 华 is not in the sample
    ("我 喜欢，汤", ["我", "喜欢", "，", "汤"]),
    ("全长6300公里", ["全长", "6##3##0##0", "公里"]),
    ("卡拉OK之夜", ["卡拉", "[UNK]", "之夜"]),
    ("长江lowest河", ["长江", "low##est", "河"]),
    ("长江\u200b发源", ["长江", "发源"]),
])
def test_jieba_words(tokenizer, jieba_cut, text, words):
    assert words_of(text, tokenizer, jieba_cut) == words


def test_unknown_characters_inside_a_word(tmp_path, jieba_cut):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n长\n发\n源\n高\n原\n", encoding="utf-8")
    tokenizer = tokenization.load_tokenizer(str(path))
    assert words_of("长江发源于青藏高原", tokenizer, jieba_cut) == [
        "长[UNK]", "发源", "[UNK]", "[UNK][UNK]高原"]


def test_english_words_by_their_pieces(tokenizer):
    assert words_of("the lowest unlower, 1999", tokenizer) == [
        "the", "low##est", "[UNK]", ",", "1##9##9##9"]


def test_english_words_by_their_sentencepiece_starts(tmp_path):
    lines = ["the rain falls on the plain", "it rains lower and lowest, in spain"] * 50
    path = tmp_path / "tiny.model"
    path.write_bytes(create_vocab.train_sentencepiece(lines, 50, 1.0))
    tokenizer = tokenization.load_tokenizer(spm_model_file=str(path))
    assert words_of("The rains fall lowest", tokenizer) == [
        "\u2581the", "\u2581rains", "\u2581fall", "\u2581lowest"]
    assert len(tokenizer.tokenize("The rains fall lowest")) > 4


def test_chinese_without_jieba_is_masked_by_the_character(tokenizer):
    assert words_of("长江发源", tokenizer) == list("长江发源")


def test_no_token_gets_a_prefix(encoded, tokenizer, vocabulary):
    """`##字` comes into the tokens as a random token only, and into the labels never."""
    glued = {index for index, token in enumerate(tokenizer.tokens)
             if token[:2] == "##" and tokenization.is_cjk(token[2])}
    assert len(glued) > 500
    for instance in make(encoded, vocabulary, dupe_factor=1):
        assert not glued & set(sum(restore(instance), []))


def test_brightmart_labels(encoded, tokenizer, vocabulary):
    plain = make(encoded, vocabulary, dupe_factor=2)
    marked = make(encoded, vocabulary, dupe_factor=2, brightmart_labels=True)
    changed = kept = 0
    for one, other in zip(plain, marked):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.positions, other.positions)
        later = np.diff(one.positions, prepend=-9) == 1
        for before, after, may_continue in zip(one.labels, other.labels, later):
            token = tokenizer.tokens[before]
            if before == after:
                kept += may_continue
                continue
            changed += 1
            assert may_continue
            assert tokenizer.tokens[after] == "##" + token
    assert min(changed, kept) > 500


def test_brightmart_labels_of_a_known_word(tokenizer, vocabulary, jieba_cut):
    """Every character of a word but its first, where the vocabulary has the ##-token."""
    texts = ["中华人民共和国", "长江"]  # 华 is [UNK] and stays so
    document = instances_of.encode_document(texts, tokenizer, jieba_cut)
    seen = set()
    for instance in make([document], vocabulary, masked_lm_prob=1.0, brightmart_labels=True):
        for label in instance.labels:
            seen.add(tokenizer.tokens[label])
    later = {"##" + char if "##" + char in tokenizer.vocab else char for char in "人民共和国江"}
    assert seen == later | {"中", "[UNK]", "长"}


def test_brightmart_labels_of_single_tokens(encoded, tokenizer, vocabulary):
    """Masks of single tokens are labelled by words too, as often as the text has such tokens."""
    plain = make(encoded, vocabulary, dupe_factor=2, whole_words=False)
    marked = make(encoded, vocabulary, dupe_factor=2, whole_words=False, brightmart_labels=True)
    changed = total = 0
    for one, other in zip(plain, marked):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.positions, other.positions)
        total += len(one.labels)
        for before, after in zip(one.labels, other.labels):
            if before != after:
                changed += 1
                assert tokenizer.tokens[after] == "##" + tokenizer.tokens[before]
    text = np.concatenate([document.ids for document in encoded])
    later = ~np.concatenate([document.starts for document in encoded])
    expected = np.mean(later & (vocabulary.continuation_ids[text] != text))
    assert expected > 0.1
    assert changed / total == pytest.approx(expected, abs=0.02)


# ---- determinism and features ----

def features_of(instance, settings=SETTINGS):
    """{name: padded array} of one instance, which is batched with another as records are."""
    other = instance._replace(**{name: value[:1] for name, value in instance._asdict().items()
                                 if isinstance(value, np.ndarray)})
    return {name: rows[1]
            for name, rows in instances_of.features([other, instance], settings).items()}


def as_lists(made):
    return [[np.asarray(field).tolist() for field in instance] for instance in made]


def test_instances_depend_on_the_document_alone(encoded, vocabulary):
    together = as_lists(make(encoded, vocabulary))
    apart = as_lists(sum((make([document], vocabulary) for document in reversed(encoded)), []))
    assert sorted(together) == sorted(apart)


def test_seed_and_duplicate_change_the_instances(encoded, vocabulary):
    first = as_lists(make(encoded, vocabulary))
    assert first == as_lists(make(encoded, vocabulary))
    second = as_lists(make(encoded, vocabulary, random_seed=54321))
    assert not {str(instance) for instance in first} & {str(instance) for instance in second}
    one_document = as_lists(make(encoded[:1], vocabulary))
    assert len({str(instance) for instance in one_document}) == len(one_document)


def parsed(features):
    """What a reader of the record finds: {name: (field of the Feature, list of values)}."""
    example = tf.train.Example.FromString(tfrecords.serialize(features))
    return {name: (feature.WhichOneof("kind"),
                   list(getattr(feature, feature.WhichOneof("kind")).value))
            for name, feature in example.features.feature.items()}


def padded(values, size):
    values = np.asarray(values).tolist()
    return values + [0] * (size - len(values))


def test_features_are_the_original_codes(encoded, vocabulary):
    """Names, lengths and types: int64 lists, and a float list of weights."""
    for instance in make(encoded[:20], vocabulary):
        length, predictions = len(instance.tokens), len(instance.positions)
        assert parsed(features_of(instance)) == {
            "input_ids": ("int64_list", padded(instance.tokens, 64)),
            "input_mask": ("int64_list", padded([1] * length, 64)),
            "segment_ids": ("int64_list", padded(instance.segments.astype(int), 64)),
            "masked_lm_positions": ("int64_list", padded(instance.positions, 20)),
            "masked_lm_ids": ("int64_list", padded(instance.labels, 20)),
            "masked_lm_weights": ("float_list", padded([1.0] * predictions, 20)),
            "next_sentence_labels": ("int64_list", [instance.is_swapped])}


def test_features_fit_the_reader(encoded, vocabulary):
    for changes, spec in [
            ({}, records.masked_spec(64, 20)),
            ({"store_word_starts": True}, records.unmasked_spec(64, False)),
            ({"store_word_starts": True, "brightmart_labels": True},
             records.unmasked_spec(64, True))]:
        instance = make(encoded[:1], vocabulary, **changes)[0]
        features = features_of(instance, SETTINGS._replace(**changes))
        with tf.Graph().as_default(), tf.Session() as session:
            read = session.run(tf.parse_single_example(
                tfrecords.serialize(features), inputs.parsing_spec(spec)))
        assert set(read) == set(features)
        for name, values in features.items():
            np.testing.assert_array_equal(read[name], values)


# ---- unmasked instances, with their words ----

def test_unmasked_instances_are_the_masked_ones_restored(encoded, vocabulary):
    """Where a document makes one instance; the second one's order follows from other draws."""
    settings = {"dupe_factor": 1, "max_seq_length": 512, "short_seq_prob": 0.0}
    single = 0
    for document in encoded:
        masked = make([document], vocabulary, **settings)
        unmasked = make([document], vocabulary, store_word_starts=True, **settings)
        assert len(masked) == len(unmasked)
        for instance in unmasked:
            assert (instance.positions.size, instance.span_lengths) == (0, [])
            np.testing.assert_array_equal(instance.labels, instance.tokens)
            assert MASK not in instance.tokens
        if len(masked) == 1:
            one, other = masked[0], unmasked[0]
            one.tokens[one.positions] = one.labels
            np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_array_equal(one.starts, other.starts)
            assert one.is_swapped == other.is_swapped
            single += 1
    assert single > 150


@pytest.mark.parametrize("changes, expected", [
    ({}, ["[CLS]", "长江", "发源", "[SEP]", "青藏高原", "[SEP]"]),
    ({"whole_words": False},
     ["[CLS]"] + list("长江发源") + ["[SEP]"] + list("青藏高原") + ["[SEP]"])])
def test_word_starts_are_the_words(tokenizer, vocabulary, jieba_cut, changes, expected):
    document = instances_of.encode_document(["长江发源", "青藏高原"], tokenizer, jieba_cut)
    for instance in make([document], vocabulary, store_word_starts=True, **changes):
        features = features_of(instance, SETTINGS._replace(store_word_starts=True))
        assert list(features) == [
            "input_ids", "input_mask", "segment_ids", "next_sentence_labels", "word_starts"]
        length = len(instance.tokens)
        assert not features["word_starts"][length:].any()
        pieces = np.split(features["input_ids"][:length],
                          np.flatnonzero(features["word_starts"])[1:])
        words = ["".join(tokenizer.convert_ids_to_tokens(piece)) for piece in pieces]
        middle = words.index("[SEP]")
        if instance.is_swapped:
            words = words[:1] + words[middle + 1:-1] + words[middle:middle + 1] + (
                words[1:middle] + words[-1:])
        assert words == expected


def test_label_ids_are_those_of_brightmart_for_every_token(encoded, tokenizer, vocabulary):
    settings = SETTINGS._replace(store_word_starts=True, brightmart_labels=True)
    changed = kept = 0
    for instance in make(encoded[:60], vocabulary, **settings._asdict()):
        features = features_of(instance, settings)
        rows = zip(features["input_ids"], features["label_ids"], features["word_starts"])
        for token, label, begins in list(rows)[:len(instance.tokens)]:
            glued = "##" + tokenizer.tokens[token]
            if begins or glued not in tokenizer.vocab or not tokenization.is_cjk(glued[2]):
                assert label == token
                kept += not begins
            else:
                assert label == tokenizer.vocab[glued]
                changed += 1
        assert not features["label_ids"][len(instance.tokens):].any()
    assert min(changed, kept) > 500


# ---- what a Document holds ----

def test_unknown_pieces_are_kept_as_they_were_written(tokenizer):
    document = instances_of.encode_document(["中华 OK龘", "长江", "河Ж"], tokenizer)
    assert document.unknown == ["华", "OK", "龘", "Ж"]
    assert (document.ids == UNK).sum() == 4


def test_masked_share_is_what_was_asked_for(encoded, vocabulary):
    """In long instances, where rounding to whole tokens is little."""
    for share in (0.10, 0.15, 0.25):
        made = make(encoded, vocabulary, dupe_factor=2, masked_lm_prob=share, max_seq_length=512,
                    max_predictions_per_seq=200, short_seq_prob=0.0)
        tokens = sum(len(instance.tokens) for instance in made)
        masked = sum(len(instance.positions) for instance in made)
        assert abs(masked / tokens - share) < 0.01 * share


# ---- words that are masked whole, of real tokenizers ----

ENGLISH = ["The rain (it rains!) falls on the plain's plains; don't go outside, please.",
           "Lower, lowest and unlovely: 1999, the \"lowest\" rain-falls in Spain...",
           "Unable to go? Then stay, said the ablest of all unrainy-day people's friends."]
# As BERT has them; SentencePiece keeps apostrophes inside words.
WORDS = {"wordpiece": r"[A-Za-z0-9]+|[^\sA-Za-z0-9]", "sentencepiece": r"[\w']+|[^\s\w']"}


def english_tokenizer(tmp_path, model):
    if model == "wordpiece":
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "rain", "low", "##er"]
        tokens += list(letters) + ["##" + letter for letter in letters] + list("!\"'(),-.:;?")
        (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
        return tokenization.load_tokenizer(str(tmp_path / "vocab.txt"))
    clean = tokenization.SentencePieceCleaner().clean
    (tmp_path / "tiny.model").write_bytes(create_vocab.train_sentencepiece(
        [clean(line)[0] for line in ENGLISH * 50], 60, 1.0))
    return tokenization.load_tokenizer(spm_model_file=str(tmp_path / "tiny.model"))


def words_in_text(sentence, model, tokenizer):
    """For every token of a sentence the number of its word, by where it stands in the text."""
    begins = [match.start() for match in re.finditer(WORDS[model], sentence)]
    tokens, offsets, _ = tokenizer.tokenize_with_offsets(sentence)
    numbers = np.searchsorted(begins, offsets, side="right").tolist()
    # A "▁" that stands alone before punctuation is a word by itself.
    return [-number if token == "▁" and not sentence[offset].isalnum() else number
            for token, offset, number in zip(tokens, offsets, numbers)]


@pytest.mark.parametrize("model", ["wordpiece", "sentencepiece"])
def test_english_words_are_masked_whole(tmp_path, model):
    """By the characters of the text, not by what the tokens look like."""
    tokenizer = english_tokenizer(tmp_path, model)
    vocabulary = instances_of.Vocabulary(tokenizer)
    several = punctuation = 0
    for first, second in zip(ENGLISH, ENGLISH[1:]):
        document = instances_of.encode_document([first, second], tokenizer)
        numbers = [[(text, number) for number in words_in_text(text, model, tokenizer)]
                   for text in (first, second)]
        for instance in make([document], vocabulary, dupe_factor=200, max_seq_length=256):
            one, other = numbers[::-1] if instance.is_swapped else numbers
            words = ["[CLS]"] + one + ["[SEP]"] + other + ["[SEP] at the end"]
            assert len(words) == len(instance.tokens)
            sizes = collections.Counter(words)
            masked = collections.Counter(words[position] for position in instance.positions)
            for word, count in masked.items():
                assert count == sizes[word]
                several += count > 1
            punctuation += sum(tokenizer.tokens[label] in "(),;:!?.\"-"
                               for label in instance.labels)
    assert min(several, punctuation) > 400
