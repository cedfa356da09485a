"""What a pre-training record holds, and the description beside the record files: all but reading.

A record is a tf.train.Example with the features of `masked_spec`, of `unmasked_spec` (made with
--store_word_starts) or of `sentences_spec` (--store_sentences). A description is a JSON file that
says how a set of record files was made:

    {"flags": {"max_seq_length": 128, "ngram": 3, ...},
     "vocab": {"file": "vocab.txt", "size": 21128, "fingerprint": "...", "special_ids": {...}},
     "counts": {"documents": 180, "instances": 1043, ...},
     "files": {"tf.tfrecord": 1043}}

Nothing here needs TensorFlow: create_pretraining_data.py writes descriptions, inputs.py reads them.

Dimensions: S max_seq_length, P max_predictions_per_seq.
"""

import collections
import itertools
import json
import os
import typing

from util import files, shard_names, whole_files
from util.errors import UserError

from pretraining import masking


class Feature(typing.NamedTuple):
    """The values of a feature in every record; a length of None is free."""
    length: typing.Optional[int]
    dtype: str = "int64"  # or "float32"


def masked_spec(max_seq_length, max_predictions_per_seq):
    """{name: Feature} of a record with masks; names and types are the original codes'."""
    return _spec(
        max_seq_length,
        masked_lm_positions=Feature(max_predictions_per_seq),
        masked_lm_ids=Feature(max_predictions_per_seq),
        masked_lm_weights=Feature(max_predictions_per_seq, "float32"))


def unmasked_spec(max_seq_length, brightmart_labels):
    """{name: Feature} of a record made with --store_word_starts, which dynamic_masking.py masks."""
    labels = {"label_ids": Feature(max_seq_length)} if brightmart_labels else {}
    return _spec(max_seq_length, word_starts=Feature(max_seq_length), **labels)


def sentences_spec(brightmart_labels):
    """{name: Feature} of a record made with --store_sentences, which dynamic_order.py pairs.

    sentence_lengths are those of at least two sentences, whose tokens the others describe.
    """
    names = ["input_ids", "word_starts", "sentence_lengths"] + ["label_ids"] * brightmart_labels
    return collections.OrderedDict((name, Feature(None)) for name in names)


def _spec(max_seq_length, **masks):
    return collections.OrderedDict(
        input_ids=Feature(max_seq_length), input_mask=Feature(max_seq_length),
        segment_ids=Feature(max_seq_length), **masks, next_sentence_labels=Feature(1))


def described_spec(description, max_seq_length, max_predictions_per_seq):
    """The spec of the records that a description, or None, belongs to."""
    if _holds_sentences(description):
        return sentences_spec(description["flags"]["brightmart_labels"])
    if _is_unmasked(description):
        return unmasked_spec(max_seq_length, description["flags"]["brightmart_labels"])
    return masked_spec(max_seq_length, max_predictions_per_seq)


def _is_unmasked(description):
    return bool(description and description["flags"].get("store_word_starts"))


def _holds_sentences(description):
    return _is_unmasked(description) and bool(description["flags"].get("store_sentences"))


def bounds(max_seq_length, vocab_size):
    """{name of a feature: its values are from 0 on and below this}; the others hold weights."""
    ids = dict.fromkeys(["input_ids", "masked_lm_ids", "label_ids"], vocab_size)
    bits = dict.fromkeys(["input_mask", "segment_ids", "word_starts", "next_sentence_labels"], 2)
    return dict(ids, masked_lm_positions=max_seq_length, sentence_lengths=1 << 31, **bits)


# ---- writing descriptions ----

def description_path(record_path):
    """The path of a record file's description; the shards of one set share it.

    "data/tf.tfrecord" -> "data/tf.tfrecord.json"
    "data/tf-00003-of-00064.tfrecord" -> "data/tf.tfrecord.json"
    "part-1-of-3/tf-3-of-64.tfrecord" -> "part-1-of-3/tf-3-of-64.tfrecord.json"
    """
    return shard_names.set_of(record_path) + ".json"


def describe(flag_values, vocab_file, tokenizer, counts):
    """The description of records, still without "files".

    Args:
      flag_values: {name: value} of all flags that decide what the records are.
      vocab_file: path of the vocabulary or SentencePiece model.
      tokenizer: of tokenization.py.
      counts: {what was counted: how often}.
    """
    special_ids = {tokenizer.tokens[index]: index for index in (
        tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)}
    return {
        "flags": dict(flag_values),
        "vocab": {"file": vocab_file, "size": tokenizer.vocab_size,
                  "fingerprint": tokenizer.fingerprint, "special_ids": special_ids},
        "counts": dict(counts),
    }


def description_texts(description, sizes):
    """The JSON files to write beside a set of record files.

    Args:
      description: of `describe`.
      sizes: {path of a record file: its number of records}.

    Returns:
      {path of a description: its content}.
    """
    sets = collections.defaultdict(dict)
    for path, size in sizes.items():
        sets[description_path(path)][os.path.basename(path)] = size
    return {path: whole_files.json_text(dict(description, files=of_set)) + "\n"
            for path, of_set in sets.items()}


# ---- reading descriptions ----

def read_descriptions(paths):
    """{record file: its description, or None where there is none}."""
    read = {path: _read_description(path) for path in set(map(description_path, paths))}
    return {path: read[description_path(path)] for path in paths}


def _is_count(value):
    return type(value) is int and 0 <= value < 1 << 40


def _is_share(value):
    return type(value) in (int, float) and 0.0 <= value <= 1.0


def _is_text(value):
    return isinstance(value, str)


def _is_bool(value):
    return isinstance(value, bool)


def _are_counts(value):
    return isinstance(value, dict) and all(map(_is_count, value.values()))


# What a description must hold, what it may hold, and what that of unmasked records must hold too:
# {keys: a test of the value}.
_REQUIRED = {("flags", "max_seq_length"): _is_count,
             ("flags", "max_predictions_per_seq"): _is_count,
             ("vocab", "size"): _is_count, ("vocab", "file"): _is_text}
_OPTIONAL = {("flags", "store_word_starts"): _is_bool, ("flags", "store_sentences"): _is_bool,
             ("flags", "do_lower_case"): _is_bool,
             ("flags", "favor_shorter_ngram"): _is_bool, ("vocab", "special_ids"): _are_counts,
             ("vocab", "fingerprint"): _is_text}
_OF_UNMASKED = {("flags", "masked_lm_prob"): _is_share, ("flags", "ngram"): _is_count,
                ("flags", "brightmart_labels"): _is_bool}


def _read_description(path):
    if not files.exists(path):
        return None
    try:
        with files.open_file(path) as stream:
            description = json.loads(stream.read())
    except ValueError as error:
        problem = "not JSON: %s" % error
    else:
        problem = _problem(description)
    if problem:
        raise UserError("%s: not a description that create_pretraining_data.py wrote (%s); delete "
                        "it (the records alone are then checked) or make the data again"
                        % (path, problem))
    return description


def _problem(description):
    """What is wrong with a description, or None."""
    if not isinstance(description, dict):
        return "%s, expected an object" % type(description).__name__
    for part in ("flags", "vocab", "files"):
        if not isinstance(description.get(part), dict):
            return "no object %r" % part
    if not _are_counts(description["files"]):
        return "'files' does not hold numbers of records"
    tests = [_REQUIRED, _OPTIONAL] + [_OF_UNMASKED] * _is_unmasked(description)
    for (part, key), fits in itertools.chain.from_iterable(one.items() for one in tests):
        values = description[part]
        if key not in values and (part, key) not in _OPTIONAL:
            return "no %s.%s" % (part, key)
        if key in values and not fits(values[key]):
            return "%s.%s is %.40r" % (part, key, values[key])
    return None


def described_size(path, description):
    """The number of records in a file as its description, or None, says; None if it does not."""
    return description and description["files"].get(os.path.basename(path))


def check_description(path, description, max_seq_length, max_predictions_per_seq, vocab_size):
    """Compares the description of a record file with a run's lengths and its model's config.

    Raises:
      UserError: a length or the vocabulary size differs, or the records are unmasked and the
        description lacks the special ids, which masking needs.
    """
    expected = {"max_seq_length": max_seq_length,
                "max_predictions_per_seq": max_predictions_per_seq}
    if _is_unmasked(description):
        if not {"[MASK]", "[CLS]", "[SEP]"} <= set(description["vocab"].get("special_ids", ())):
            raise undescribed_error(path)
        if expected.pop("max_predictions_per_seq") >= max_seq_length:  # free, but for this
            raise UserError("--max_predictions_per_seq=%d is not below --max_seq_length=%d; usual "
                            "is max_seq_length * masked_lm_prob"
                            % (max_predictions_per_seq, max_seq_length))
    for name, value in expected.items():
        made_with = description["flags"][name]
        if made_with != value:
            raise UserError("%s was made with --%s=%d, this run has %d; pass --%s=%d or make the "
                            "data again" % (path, name, made_with, value, name, made_with))
    vocab = description["vocab"]
    if vocab["size"] != vocab_size:
        raise UserError("%s was made with a vocabulary of %d tokens (%s), the config's vocab_size "
                        "is %d; they must be equal"
                        % (path, vocab["size"], vocab["file"], vocab_size))


def common_vocabulary(descriptions):
    """(fingerprint of the vocabulary, do_lower_case) of all records; None for what nothing tells.

    Args:
      descriptions: {record file: its description or None}.

    Raises:
      UserError: two files were made with different vocabularies, though of one size.
    """
    described = {path: one for path, one in descriptions.items()
                 if one and "fingerprint" in one["vocab"]}
    if not described:
        return None, None
    first = min(described)
    for path, description in sorted(described.items()):
        ours, theirs = described[first]["vocab"], description["vocab"]
        if ours["fingerprint"] != theirs["fingerprint"]:
            raise UserError("%s and %s were made with different vocabularies (%s and %s) or "
                            "--do_lower_case: their token ids mean other tokens; make one of them "
                            "again" % (first, path, ours["file"], theirs["file"]))
    return described[first]["vocab"]["fingerprint"], described[first]["flags"].get("do_lower_case")


def undescribed_error(path):
    """The UserError of unmasked records without a description that says how to mask them."""
    return UserError("%s holds no masks, and drawing them needs the special ids, vocab.special_ids "
                     "in %s; copy that file from where the records were made, or make the data "
                     "again" % (path, description_path(path)))


def masking_settings(paths, max_predictions_per_seq, masked_lm_prob=None, ngram=None):
    """How to mask the records of some files, whose descriptions passed check_description.

    Args:
      paths: record files.
      max_predictions_per_seq: masked tokens an example, at most.
      masked_lm_prob, ngram: as in create_pretraining_data.py; None: as the description says.

    Returns:
      masking.Settings, or None for records that are masked.

    Raises:
      UserError: some files are masked and others not, or were made with different settings.
    """
    settings = {}
    for path, description in sorted(read_descriptions(paths).items()):
        settings[path] = None
        if _is_unmasked(description):
            flags, vocab = description["flags"], description["vocab"]
            settings[path] = masking.Settings(
                max_predictions_per_seq,
                flags["masked_lm_prob"] if masked_lm_prob is None else masked_lm_prob,
                flags["ngram"] if ngram is None else ngram, flags["brightmart_labels"],
                vocab["special_ids"]["[MASK]"], tuple(sorted(vocab["special_ids"].values())),
                vocab["size"], flags.get("favor_shorter_ngram", True),
                masking.Order(vocab["special_ids"]["[CLS]"], vocab["special_ids"]["[SEP]"])
                if _holds_sentences(description) else None)
    return _common(settings)


def _common(settings):
    """{path: Settings or None} -> the one value of all; raises the UserError of two that differ."""
    paths = sorted(settings)
    for path in paths[1:]:
        first, other = settings[paths[0]], settings[path]
        if first == other:
            continue
        if first is None or other is None:
            masked, unmasked = (path, paths[0]) if first else (paths[0], path)
            raise UserError("%s holds masks and %s does not (it was made with --store_word_starts);"
                            " use files of one kind" % (masked, unmasked))
        if (first.order is None) != (other.order is None):
            pairs, sentences = (path, paths[0]) if first.order else (paths[0], path)
            raise UserError("%s holds pairs and %s whole sentences (it was made with "
                            "--store_sentences); use files of one kind" % (pairs, sentences))
        name = next(name for name in first._fields if getattr(first, name) != getattr(other, name))
        raise UserError("%s was made with %s %s and %s with %s; use files that were made alike"
                        % (paths[0], name, getattr(first, name), path, getattr(other, name)))
    return settings[paths[0]] if paths else None
