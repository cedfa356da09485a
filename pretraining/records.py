"""What a pre-training record holds, and the description beside the record files: all but reading.

A record is a tf.train.Example with the features of `masked_spec` or, made with --store_word_starts,
of `unmasked_spec`. A description is a JSON file that says how a set of record files was made:

    {"flags": {"max_seq_length": 128, "ngram": 3, ...},
     "vocab": {"file": "vocab.txt", "size": 21128, "fingerprint": "...", "special_ids": {...}},
     "counts": {"documents": 180, "instances": 1043, ...},
     "files": {"tf.tfrecord": 1043}}

Nothing here needs TensorFlow: create_pretraining_data.py writes descriptions, inputs.py reads them.

Dimensions: S max_seq_length, P max_predictions_per_seq.
"""

import collections
import json
import os
import re
import typing

from util import files
from util.errors import UserError

from pretraining import masking


class Feature(typing.NamedTuple):
    """The values of a feature in every record."""
    length: int
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


def _spec(max_seq_length, **masks):
    return collections.OrderedDict(
        input_ids=Feature(max_seq_length), input_mask=Feature(max_seq_length),
        segment_ids=Feature(max_seq_length), **masks, next_sentence_labels=Feature(1))


def described_spec(description, max_seq_length, max_predictions_per_seq):
    """The spec of the records that a description, or None, belongs to."""
    if _is_unmasked(description):
        return unmasked_spec(max_seq_length, description["flags"]["brightmart_labels"])
    return masked_spec(max_seq_length, max_predictions_per_seq)


def _is_unmasked(description):
    return bool(description and description["flags"].get("store_word_starts"))


# ---- writing descriptions ----

def description_path(record_path):
    """The path of a record file's description; the shards of one set share it.

    "data/tf.tfrecord" -> "data/tf.tfrecord.json"
    "data/tf-00003-of-00064.tfrecord" -> "data/tf.tfrecord.json"
    """
    return re.sub(r"-\d+-of-\d+", "", record_path) + ".json"


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
    return {path: files.json_text(dict(description, files=of_set)) + "\n"
            for path, of_set in sets.items()}


# ---- reading descriptions ----

def read_descriptions(paths):
    """{record file: its description, or None where there is none}."""
    read = {path: _read_description(path) for path in set(map(description_path, paths))}
    return {path: read[description_path(path)] for path in paths}


def _read_description(path):
    if not files.exists(path):
        return None
    with files.open_file(path) as stream:
        text = stream.read()
    try:
        description = json.loads(text)
        if {"flags", "vocab", "files"} <= set(description):
            return description
    except (TypeError, ValueError):
        pass
    raise UserError("%s: not a description that create_pretraining_data.py wrote; delete it (the "
                    "records alone are then checked) or make the data again" % path)


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
        if "[MASK]" not in description["vocab"].get("special_ids", ()):
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
                vocab["size"], flags.get("favor_shorter_ngram", True))
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
        name = next(name for name in first._fields if getattr(first, name) != getattr(other, name))
        raise UserError("%s was made with %s %s and %s with %s; use files that were made alike"
                        % (paths[0], name, getattr(first, name), path, getattr(other, name)))
    return settings[paths[0]] if paths else None
