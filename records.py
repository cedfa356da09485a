"""TFRecords: what is in them, writing them, and the input pipelines over them.

Dimensions: B batch, S max_seq_length, P max_predictions_per_seq.
"""

import collections
import contextlib
import json
import os
import re

import numpy as np
import tensorflow.compat.v1 as tf

import files
from errors import UserError

# The order of a run's examples depends on (seed, epoch) alone; an epoch is never this large.
_MAX_EPOCHS = 2 ** 31
# What a TFRecord file adds to every record: a length and two checksums.
_FRAME_BYTES = 16


def pretraining_spec(max_seq_length, max_predictions_per_seq):
    """Parsing spec of a pre-training record; names and types are the original codes'."""
    def ints(size):
        return tf.FixedLenFeature([size], tf.int64)
    return collections.OrderedDict([
        ("input_ids", ints(max_seq_length)),
        ("input_mask", ints(max_seq_length)),
        ("segment_ids", ints(max_seq_length)),
        ("masked_lm_positions", ints(max_predictions_per_seq)),
        ("masked_lm_ids", ints(max_predictions_per_seq)),
        ("masked_lm_weights", tf.FixedLenFeature([max_predictions_per_seq], tf.float32)),
        ("next_sentence_labels", ints(1)),
    ])


def serialize(arrays):
    """{name: int or float array} -> the bytes of a tf.train.Example, the same in every process."""
    features = tf.train.Features()
    for name, values in arrays.items():
        values = np.asarray(values)
        if values.dtype.kind == "f":
            features.feature[name].float_list.value.extend(values.tolist())
        else:
            features.feature[name].int64_list.value.extend(values.tolist())
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def sidecar_path(record_path):
    """Where the description of a record file lies; the shards of one set share it.

    "data/tf.tfrecord" -> "data/tf.tfrecord.json"
    "data/tf-00003-of-00064.tfrecord" -> "data/tf.tfrecord.json"
    """
    return re.sub(r"-\d+-of-\d+", "", record_path) + ".json"


def read_sidecars(paths):
    """{record file: its description, or None where there is none}."""
    cache = {path: _read_sidecar(path) for path in {sidecar_path(path) for path in paths}}
    return {path: cache[sidecar_path(path)] for path in paths}


def _read_sidecar(path):
    """A description as create_pretraining_data.py wrote it, or None where there is none."""
    if not tf.gfile.Exists(path):
        return None
    with tf.gfile.GFile(path) as stream:
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
      UserError: a length, the vocabulary size or the features differ, or a file holds no record.
    """
    flags = {"max_seq_length": max_seq_length, "max_predictions_per_seq": max_predictions_per_seq}
    for path, sidecar in sorted(read_sidecars(paths).items()):
        if sidecar:
            for name, value in flags.items():
                made_with = sidecar["flags"][name]
                if made_with != value:
                    raise UserError("%s was made with --%s=%d, this run has %d; pass --%s=%d or "
                                    "make the data again" % (path, name, made_with, value, name,
                                                             made_with))
            if sidecar["vocab"]["size"] != vocab_size:
                raise UserError("%s was made with a vocabulary of %d tokens (%s), the config's "
                                "vocab_size is %d; they must be equal"
                                % (path, sidecar["vocab"]["size"], sidecar["vocab"]["file"],
                                   vocab_size))
        _check_first_record(path, pretraining_spec(max_seq_length, max_predictions_per_seq),
                            vocab_size)


def check_every_record(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Reads all files; a UserError names the first record that does not fit, as for the first."""
    spec = pretraining_spec(max_seq_length, max_predictions_per_seq)
    for path in paths:
        for number, serialized in enumerate(tf.python_io.tf_record_iterator(path)):
            _check_record("%s: record %d" % (path, number), serialized, spec, vocab_size)


def _check_first_record(path, spec, vocab_size):
    try:
        first = next(tf.python_io.tf_record_iterator(path), None)
    except tf.errors.DataLossError:
        raise damage(path) from None
    if first is None:
        raise UserError("%s: no record in this file; make it again with "
                        "create_pretraining_data.py" % path)
    _check_record("%s: record 0" % path, first, spec, vocab_size)


def _check_record(place, serialized, spec, vocab_size):
    """Compares a record with a spec: every feature present and as long as it says, ids in range."""
    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except Exception:  # noqa: B902 - protobuf's DecodeError has a different home in every release
        raise UserError("%s is not a tf.train.Example; expected a file from "
                        "create_pretraining_data.py" % place) from None
    for name, kind in spec.items():
        if name not in features:
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


def count_records(path):
    """The number of records in a file.

    Raises:
      UserError: the file is truncated or corrupt; says after how many records.
    """
    count = size = 0
    # TensorFlow takes a header that was cut off (12 bytes) for the end of the file.
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.python_io.tf_record_iterator(path):
            count += 1
            size += len(record) + _FRAME_BYTES
    if size != tf.gfile.Stat(path).length:
        raise UserError("%s: truncated or corrupt after %d complete records; make or copy the file "
                        "again" % (path, count))
    return count


def damage(path):
    """The UserError that says where a file that raised DataLossError is broken."""
    try:
        count_records(path)
    except UserError as error:
        return error
    return UserError("%s: could not be read a moment ago, but can now; start again" % path)


def total_records(paths):
    """The number of records in all files: from their descriptions, else by reading them."""
    total = 0
    for path, sidecar in read_sidecars(paths).items():
        known = sidecar and sidecar.get("files", {}).get(os.path.basename(path))
        total += known if known is not None else count_records(path)
    return total


def find_damaged(paths):
    """Reads every file; raises the UserError of the first truncated one, if any."""
    for path in paths:
        count_records(path)


def endless(one_epoch, num_examples, first_example=0):
    """Repeats a dataset whose order depends on the epoch, from any place on.

    A run that goes on from example N reads what an uninterrupted run would have read there.

    Args:
      one_epoch: function of a scalar int64 epoch tensor -> tf.data.Dataset of `num_examples`.
      num_examples: examples an epoch.
      first_example: how many examples were consumed before.
    """
    epoch, offset = divmod(first_example, num_examples)
    return tf.data.Dataset.range(epoch, _MAX_EPOCHS).flat_map(one_epoch).skip(offset)


def pretraining_input_fn(paths, max_seq_length, max_predictions_per_seq, is_training, seed=0,
                         first_example=0, shuffle_buffer=10000):
    """An Estimator input_fn over pre-training records.

    Args:
      paths: record files.
      is_training: endless, shuffled and in full batches; else one pass in order.
      seed: with the epoch it decides the order.
      first_example: examples a resumed run has already consumed.
      shuffle_buffer: records held for mixing (1 kB each at S = 128).

    Returns:
      input_fn(params) with params["batch_size"] -> dataset of {name: int32/float32 [B, …]}.
    """
    spec = pretraining_spec(max_seq_length, max_predictions_per_seq)

    def parse(serialized):
        parsed = tf.parse_example(serialized, spec)
        return {name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
                for name, value in parsed.items()}

    def one_epoch(epoch):
        shuffled = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=seed + epoch)
        serialized = shuffled.interleave(
            tf.data.TFRecordDataset, cycle_length=min(4, len(paths)), block_length=16)
        return serialized.shuffle(shuffle_buffer, seed=seed + epoch)

    def input_fn(params):
        if is_training:
            dataset = endless(one_epoch, total_records(paths) if first_example else 1 << 60,
                              first_example)
        else:
            dataset = tf.data.TFRecordDataset(paths)
        dataset = dataset.batch(params["batch_size"], drop_remainder=is_training)
        return dataset.map(parse, num_parallel_calls=2).prefetch(4)

    return input_fn


def write_records(path, serialized):
    """Writes serialized examples to `path`, complete or not at all; returns their number."""
    count = 0
    with files.replacing(path) as temporary, tf.python_io.TFRecordWriter(temporary) as writer:
        for count, example in enumerate(serialized, 1):  # noqa: B007 - the last value is the result
            writer.write(example)
    return count
