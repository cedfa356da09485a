"""TFRecords: what is in them, and the input pipelines over them (tfrecords.py writes them).

Dimensions: B batch, S max_seq_length, P max_predictions_per_seq.
"""

import collections
import itertools
import json
import os

from util import files, tfrecords
from util.errors import UserError

import tensorflow.compat.v1 as tf

from pretraining import dynamic_masking
from training import input_pipeline

_MAX_STEPS = 2 ** 60


def pretraining_spec(max_seq_length, max_predictions_per_seq):
    """Parsing spec of a pre-training record; names and types are the original codes'."""
    return _spec(
        max_seq_length,
        masked_lm_positions=_ints(max_predictions_per_seq),
        masked_lm_ids=_ints(max_predictions_per_seq),
        masked_lm_weights=tf.FixedLenFeature([max_predictions_per_seq], tf.float32))


def unmasked_spec(max_seq_length, brightmart_labels):
    """Parsing spec of a record made with --store_word_starts, which dynamic_masking.py masks."""
    labels = {"label_ids": _ints(max_seq_length)} if brightmart_labels else {}
    return _spec(max_seq_length, word_starts=_ints(max_seq_length), **labels)


def _spec(max_seq_length, **masks):
    return collections.OrderedDict(
        input_ids=_ints(max_seq_length), input_mask=_ints(max_seq_length),
        segment_ids=_ints(max_seq_length), **masks, next_sentence_labels=_ints(1))


def _ints(size):
    return tf.FixedLenFeature([size], tf.int64)


def read_sidecars(paths):
    """{record file: its description, or None where there is none}."""
    cache = {path: _read_sidecar(path) for path in {tfrecords.sidecar_path(path) for path in paths}}
    return {path: cache[tfrecords.sidecar_path(path)] for path in paths}


def _read_sidecar(path):
    """A description as create_pretraining_data.py wrote it, or None where there is none."""
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


def check_pretraining_files(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Refuses record files that do not fit the flags and the config, by name.

    Looks at the description beside every file and at every file's first record.

    Raises:
      UserError: a length, the vocabulary size or the features differ, a file holds no record, or
        unmasked ones whose description does not say how to mask them.
    """
    fit = max_seq_length, max_predictions_per_seq
    for path, sidecar in sorted(read_sidecars(paths).items()):
        if sidecar:
            _check_sidecar(path, sidecar, *fit, vocab_size)
        _check_first_record(path, _spec_of(sidecar, *fit), vocab_size)


def check_every_record(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Reads all files; a UserError names the first record that does not fit, as for the first."""
    for path, sidecar in read_sidecars(paths).items():
        spec = _spec_of(sidecar, max_seq_length, max_predictions_per_seq)
        for number, serialized in enumerate(tf.python_io.tf_record_iterator(path)):
            _check_record(path, number, serialized, spec, vocab_size)


def _is_unmasked(sidecar):
    return bool(sidecar and sidecar["flags"].get("store_word_starts"))


def _spec_of(sidecar, max_seq_length, max_predictions_per_seq):
    """The parsing spec of the records that a description (or None) is of."""
    if _is_unmasked(sidecar):
        return unmasked_spec(max_seq_length, sidecar["flags"]["brightmart_labels"])
    return pretraining_spec(max_seq_length, max_predictions_per_seq)


def _check_sidecar(path, sidecar, max_seq_length, max_predictions_per_seq, vocab_size):
    """Compares a description with the flags and the config."""
    flags = {"max_seq_length": max_seq_length, "max_predictions_per_seq": max_predictions_per_seq}
    if _is_unmasked(sidecar):
        if "[MASK]" not in sidecar["vocab"].get("special_ids", ()):
            raise _undescribed(path)
        if flags.pop("max_predictions_per_seq") >= max_seq_length:  # its number is free
            raise UserError("--max_predictions_per_seq=%d is not below --max_seq_length=%d; usual "
                            "is max_seq_length * masked_lm_prob"
                            % (max_predictions_per_seq, max_seq_length))
    for name, value in flags.items():
        made_with = sidecar["flags"][name]
        if made_with != value:
            raise UserError("%s was made with --%s=%d, this run has %d; pass --%s=%d or make the "
                            "data again" % (path, name, made_with, value, name, made_with))
    if sidecar["vocab"]["size"] != vocab_size:
        raise UserError("%s was made with a vocabulary of %d tokens (%s), the config's vocab_size "
                        "is %d; they must be equal" % (path, sidecar["vocab"]["size"],
                                                       sidecar["vocab"]["file"], vocab_size))


def _undescribed(path):
    """The UserError of unmasked records that nothing says enough about."""
    return UserError("%s holds no masks, and drawing them needs the special ids, vocab.special_ids "
                     "in %s; copy that file from where the records were made, or make the data "
                     "again" % (path, tfrecords.sidecar_path(path)))


def _check_first_record(path, spec, vocab_size):
    try:
        first = next(tf.python_io.tf_record_iterator(path), None)
    except tf.errors.DataLossError:
        raise input_pipeline.damage_error(path) from None
    if first is None:
        raise UserError("%s: no record in this file; make it again with "
                        "create_pretraining_data.py" % path)
    _check_record(path, 0, first, spec, vocab_size)


def _check_record(path, number, serialized, spec, vocab_size):
    """Compares a record with a spec: every feature present and as long as it says, ids in range."""
    place = "%s: record %d" % (path, number)
    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except Exception:  # noqa: B902 - protobuf's DecodeError has a different home in every release
        raise UserError("%s is not a tf.train.Example; expected a file from "
                        "create_pretraining_data.py" % place) from None
    for name, kind in spec.items():
        if name not in features:
            if name == "masked_lm_positions" and "word_starts" in features:
                raise _undescribed(path)
            raise UserError("%s has no feature %r; expected %s" % (place, name, ", ".join(spec)))
        feature = features[name]
        values = feature.float_list if kind.dtype == tf.float32 else feature.int64_list
        length = len(values.value)
        if length != kind.shape[0]:
            raise UserError("%s has %d %s values in %r, the flags say %d; pass the lengths the "
                            "data was made with (--max_seq_length, --max_predictions_per_seq)"
                            % (place, length, kind.dtype.name, name, kind.shape[0]))
    largest = max(features["input_ids"].int64_list.value)
    if largest >= vocab_size:
        raise UserError("%s holds token id %d, the config's vocab_size is %d; use the config of "
                        "the vocabulary the data was made with" % (place, largest, vocab_size))


def masking_settings(paths, max_predictions_per_seq, masked_lm_prob=None, ngram=None):
    """How to mask the records of some files that check_pretraining_files let pass.

    Args:
      paths: record files.
      max_predictions_per_seq: masked tokens an example, at most.
      masked_lm_prob, ngram: as in create_pretraining_data.py; None: as the records' makers said.

    Returns:
      dynamic_masking.Settings, or None for records that are masked.

    Raises:
      UserError: files with masks and files without, or files that were made unlike each other.
    """
    said = {}
    for path, sidecar in sorted(read_sidecars(paths).items()):
        said[path] = None
        if _is_unmasked(sidecar):
            flags, special = sidecar["flags"], sidecar["vocab"]["special_ids"]
            said[path] = dynamic_masking.Settings(
                max_predictions_per_seq,
                flags["masked_lm_prob"] if masked_lm_prob is None else masked_lm_prob,
                flags["ngram"] if ngram is None else ngram, flags["brightmart_labels"],
                special["[MASK]"], tuple(sorted(special.values())), sidecar["vocab"]["size"])
    return _common(said)


def _common(said):
    """{path: Settings or None} -> what they all are; raises the UserError of two that differ."""
    paths = sorted(said)
    for path in paths[1:]:
        first, other = said[paths[0]], said[path]
        if first == other:
            continue
        if first is None or other is None:
            masked, unmasked = (path, paths[0]) if first else (paths[0], path)
            raise UserError("%s holds masks and %s does not (it was made with --store_word_starts);"
                            " use files of one kind" % (masked, unmasked))
        differing = [(name, getattr(first, name), path, getattr(other, name))
                     for name in first._fields if getattr(first, name) != getattr(other, name)]
        raise UserError("%s was made with %s %s and %s with %s; use files that were made alike"
                        % ((paths[0],) + differing[0]))
    return said[paths[0]] if paths else None


def majority_token_accuracy(paths, masking=None, limit=2000):
    """The share of the most frequent token among those to predict: the accuracy of guessing it.

    Looks at the first `limit` records; `masking` as in pretraining_input_fn.
    """
    counts = collections.Counter()
    serialized = itertools.chain.from_iterable(map(tf.python_io.tf_record_iterator, paths))
    for record in itertools.islice(serialized, limit):
        features = tf.train.Example.FromString(record).features.feature
        if masking:
            counts.update(token for token in features["input_ids"].int64_list.value
                          if token not in masking.special_ids)
        else:
            counts.update(itertools.compress(features["masked_lm_ids"].int64_list.value,
                                             features["masked_lm_weights"].float_list.value))
    return max(counts.values(), default=0) / max(sum(counts.values()), 1)


def total_records(paths):
    """The number of records in all files: from their descriptions, else by reading them."""
    total = 0
    for path, sidecar in read_sidecars(paths).items():
        known = sidecar and sidecar.get("files", {}).get(os.path.basename(path))
        total += known if known is not None else input_pipeline.count_records(path)
    return total


def pretraining_input_fn(paths, max_seq_length, max_predictions_per_seq, batch_size, is_training,
                         seed=0, first_step=0, shuffle_buffer=10000, masking=None):
    """An Estimator input_fn over pre-training records.

    Args:
      paths: record files.
      batch_size: examples a step takes, on all devices together.
      is_training: endless, shuffled and in full batches; else one pass in order.
      seed: with the epoch it decides the order, and with the number of a step its masks.
      first_step: steps a resumed run has already made.
      shuffle_buffer: records held for mixing (1 kB each at S = 128).
      masking: dynamic_masking.Settings for unmasked records, see masking_settings; else None.

    Returns:
      input_fn(params, input_context) -> dataset of {name: int32/float32 [b, …]}, where b is the
      part of `batch_size` of one device.
    """
    spec = pretraining_spec(max_seq_length, max_predictions_per_seq)
    if masking:
        spec = unmasked_spec(max_seq_length, masking.brightmart_labels)

    def parse(step, serialized):
        parsed = tf.parse_example(serialized, spec)
        parsed = {name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
                  for name, value in parsed.items()}
        if masking:
            return dynamic_masking.mask_batch(parsed, masking, [seed, step])
        return parsed

    def one_epoch(epoch):
        shuffled = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=seed + epoch)
        serialized = shuffled.interleave(
            tf.data.TFRecordDataset, cycle_length=min(4, len(paths)), block_length=16)
        return serialized.shuffle(shuffle_buffer, seed=seed + epoch)

    def input_fn(params, input_context=None):
        share = input_pipeline.input_share(params, input_context)
        if is_training:
            dataset = input_pipeline.endless(
                one_epoch, total_records(paths) if first_step else 1 << 60, first_step * batch_size)
        else:
            dataset = tf.data.TFRecordDataset(paths)
        full = is_training or "context" in params  # a TPU wants batches of one size
        # Steps are counted from the beginning of the whole training, whatever part of it this is.
        steps = tf.data.Dataset.range(first_step, _MAX_STEPS)
        dataset = tf.data.Dataset.zip((steps, dataset.batch(batch_size, drop_remainder=full)))
        parsed = dataset.map(parse, num_parallel_calls=2)
        return input_pipeline.shard_for_replicas(parsed, share).prefetch(4)

    return input_fn
