"""What a record holds, its description beside the files, and masks by it: without TensorFlow."""

import json
import subprocess
import sys

from util.errors import UserError

import pytest

import tokenization
from factories import (
    MADE_UNMASKED,
    MASKING,
    ROOT,
    SPECIAL_IDS,
    P,
    S,
    V,
    write_description,
)
from pretraining import records

INTS = records.Feature(S, "int64")


def described(path, **changes):
    """The path of an unmasked record file of which only the description exists."""
    write_description(str(path) + ".json", {path.name: 5}, **dict(MADE_UNMASKED, **changes))
    return str(path)


# ---- features ----

def test_features_of_a_masked_record():
    assert list(records.masked_spec(S, P).items()) == [
        ("input_ids", INTS), ("input_mask", INTS), ("segment_ids", INTS),
        ("masked_lm_positions", (P, "int64")), ("masked_lm_ids", (P, "int64")),
        ("masked_lm_weights", (P, "float32")), ("next_sentence_labels", (1, "int64"))]


@pytest.mark.parametrize("brightmart_labels, labels", [(False, []), (True, ["label_ids"])])
def test_features_of_an_unmasked_record(brightmart_labels, labels):
    names = ["input_ids", "input_mask", "segment_ids", "word_starts"] + labels
    assert list(records.unmasked_spec(S, brightmart_labels).items()) == [
        (name, INTS) for name in names] + [("next_sentence_labels", (1, "int64"))]


def test_spec_is_that_of_the_description():
    unmasked = {"flags": dict(MADE_UNMASKED, brightmart_labels=True)}
    assert records.described_spec(unmasked, S, P) == records.unmasked_spec(S, True)
    for masked in (None, {"flags": {}}, {"flags": {"store_word_starts": False}}):
        assert records.described_spec(masked, S, P) == records.masked_spec(S, P)


# ---- descriptions ----

@pytest.mark.parametrize("path, description", [
    ("data/tf.tfrecord", "data/tf.tfrecord.json"),
    ("data/tf-00003-of-00064.tfrecord", "data/tf.tfrecord.json"),
    ("data/tf.tfrecord-00003-of-00064", "data/tf.tfrecord.json"),
    ("a-00001-of-00002/tf-3-of-64.tfrecord", "a-00001-of-00002/tf-3-of-64.tfrecord.json"),
    ("a-00001-of-00002-b.tfrecord", "a-00001-of-00002-b.tfrecord.json"),
    ("tf_1.tfrecord", "tf_1.tfrecord.json"),
])
def test_description_path(path, description):
    assert records.description_path(path) == description


def test_description_is_read_as_it_was_written(tmp_path, sample_vocab):
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    lengths = {"max_seq_length": S, "max_predictions_per_seq": P}
    description = records.describe(lengths, "vocab.txt", tokenizer, {"documents": 7})
    assert description == {
        "flags": lengths, "counts": {"documents": 7},
        "vocab": {"file": "vocab.txt", "size": tokenizer.vocab_size, "special_ids": SPECIAL_IDS,
                  "fingerprint": tokenizer.fingerprint}}
    paths = [str(tmp_path / name) for name in ("t-00000-of-00002", "t-00001-of-00002", "u")]
    texts = records.description_texts(description, dict(zip(paths, (3, 4, 5))))
    assert sorted(texts) == [str(tmp_path / "t.json"), str(tmp_path / "u.json")]
    for path, text in texts.items():
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    read = records.read_descriptions(paths + [str(tmp_path / "v")])
    of_t = dict(description, files={"t-00000-of-00002": 3, "t-00001-of-00002": 4})
    assert read == {paths[0]: of_t, paths[1]: of_t, str(tmp_path / "v"): None,
                    paths[2]: dict(description, files={"u": 5})}
    assert [records.described_size(path, read[path]) for path in read] == [3, 4, 5, None]
    assert records.described_size("t-00002-of-00002", of_t) is None


@pytest.mark.parametrize("part, key, value, problem", [
    ("flags", "max_seq_length", None, "no flags.max_seq_length"),
    ("flags", "max_seq_length", "12", "flags.max_seq_length is '12'"),
    ("flags", "max_predictions_per_seq", float("nan"), "flags.max_predictions_per_seq is nan"),
    ("flags", "masked_lm_prob", None, "no flags.masked_lm_prob"),
    ("flags", "masked_lm_prob", 1e20, "flags.masked_lm_prob is 1e"),
    ("flags", "brightmart_labels", 0, "flags.brightmart_labels is 0"),
    ("vocab", "size", 10 ** 30, "vocab.size is 10+"),
    ("vocab", "special_ids", ["[MASK]"], r"vocab.special_ids is \['\[MASK\]'\]"),
    ("vocab", "fingerprint", 7, "vocab.fingerprint is 7"),
    ("files", "a", "5", "'files' does not hold numbers of records"),
    ("files", "a", -1, "'files' does not hold numbers of records"),
])
def test_description_with_a_wrong_value(tmp_path, part, key, value, problem):
    path = described(tmp_path / "a")
    with open(path + ".json") as stream:
        description = json.load(stream)
    description[part][key] = value
    if value is None:
        del description[part][key]
    (tmp_path / "a.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=r"/a.json: not a description that create_pretraining_data."
                       r"py wrote \(%s.*\); delete it" % problem):
        records.read_descriptions([path])


def test_description_that_fits_a_run(tmp_path):
    path = described(tmp_path / "a")
    with open(path + ".json") as stream:
        description = json.load(stream)
    records.check_description(path, description, S, 1, V)
    for arguments in [(S + 1, 1, V), (S, S, V), (S, 1, V + 1)]:
        with pytest.raises(UserError):
            records.check_description(path, description, *arguments)


# ---- masks by the description ----

def test_masks_are_drawn_as_the_description_says_or_the_flags(tmp_path):
    path = described(tmp_path / "a")
    assert records.masking_settings([path], P) == MASKING
    assert records.masking_settings([path], 7, 0.0, 1) == MASKING._replace(
        max_predictions_per_seq=7, masked_lm_prob=0.0, ngram=1)
    other = described(tmp_path / "b", brightmart_labels=True, special_ids={
        "<pad>": 0, "<unk>": 1, "[CLS]": 7, "[SEP]": 9, "[MASK]": 8})
    assert records.masking_settings([other], P) == MASKING._replace(
        brightmart_labels=True, mask_id=8, special_ids=(0, 1, 7, 8, 9))
    static, with_description = str(tmp_path / "c"), str(tmp_path / "d")
    write_description(with_description + ".json", {"d": 5}, store_word_starts=False, ngram=3)
    assert records.masking_settings([static, with_description], P) is None
    assert records.masking_settings([], P) is None


@pytest.mark.parametrize("changes, message", [
    ({"ngram": 3}, r"/a was made with ngram 2 and \S*/b with 3; use files that were made alike"),
    ({"masked_lm_prob": 0.1}, r"/a was made with masked_lm_prob 0.25 and \S*/b with 0.1; "),
    ({"special_ids": dict(SPECIAL_IDS, **{"[MASK]": 9})}, r"/a was made with mask_id 4 and \S*/b "),
])
def test_unmasked_files_that_were_made_differently(tmp_path, changes, message):
    paths = [described(tmp_path / "a"), described(tmp_path / "b", **changes)]
    with pytest.raises(UserError, match=message):
        records.masking_settings(paths, P)
    if "special_ids" not in changes:
        assert records.masking_settings(paths, P, 0.5, 4) == MASKING._replace(
            masked_lm_prob=0.5, ngram=4)


@pytest.mark.parametrize("static_name", ["a", "z"])
def test_files_of_both_kinds(tmp_path, static_name):
    paths = [described(tmp_path / "m"), str(tmp_path / static_name)]
    with pytest.raises(UserError, match=r"/%s holds masks and \S*/m does not \(it was made with "
                                        r"--store_word_starts\); use files" % static_name):
        records.masking_settings(paths, P)


def test_tensorflow_is_not_loaded():
    """Neither by the module nor by the command that writes descriptions."""
    for module in ("pretraining.records", "create_pretraining_data", "create_vocab"):
        code = "import sys, %s; assert 'tensorflow' not in sys.modules" % module
        subprocess.check_call([sys.executable, "-c", code], cwd=ROOT)
