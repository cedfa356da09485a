"""Pre-training records as a run reads them: checked, counted and as an Estimator's input.

    inputs.check_pretraining_files(paths, max_seq_length, max_predictions_per_seq, vocab_size)
    masking = records.masking_settings(paths, max_predictions_per_seq)
    input_fn = inputs.pretraining_input_fn(
        paths, max_seq_length, max_predictions_per_seq, batch_size, is_training=True,
        masking=masking)

Dimensions: B batch, S max_seq_length, P max_predictions_per_seq.
"""

import collections
import itertools

from util.errors import UserError

import tensorflow.compat.v1 as tf

from pretraining import dynamic_masking, records
from training import input_pipeline

_MAX_STEPS = 2 ** 60


# ---- checks ----

def check_pretraining_files(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Refuses record files that do not fit a run's lengths and its model's config, by name.

    Looks at every file's description and at its first record.

    Raises:
      UserError: a length, the vocabulary size or the features differ, a file holds no record, or
        unmasked ones whose description does not say how to mask them.
    """
    lengths = max_seq_length, max_predictions_per_seq
    for path, description in sorted(records.read_descriptions(paths).items()):
        if description:
            records.check_description(path, description, *lengths, vocab_size)
        _check_first_record(path, records.described_spec(description, *lengths), vocab_size)


def check_every_record(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Reads all files; a UserError names the first record that does not fit, as for the first."""
    for path, description in records.read_descriptions(paths).items():
        spec = records.described_spec(description, max_seq_length, max_predictions_per_seq)
        for number, serialized in enumerate(tf.python_io.tf_record_iterator(path)):
            _check_record(path, number, serialized, spec, vocab_size)


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
    """Compares a record with {name: records.Feature}: names, types, lengths, ids in range."""
    location = "%s: record %d" % (path, number)
    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except Exception:  # noqa: B902 - protobuf's DecodeError has a different home in every release
        raise UserError("%s is not a tf.train.Example; expected a file from "
                        "create_pretraining_data.py" % location) from None
    for name, expected in spec.items():
        if name not in features:
            if name == "masked_lm_positions" and "word_starts" in features:
                raise records.undescribed_error(path)
            raise UserError("%s has no feature %r; expected %s"
                            % (location, name, ", ".join(spec)))
        feature = features[name]
        values = feature.float_list if expected.dtype == "float32" else feature.int64_list
        length = len(values.value)
        if length != expected.length:
            raise UserError("%s has %d %s values in %r, the flags say %d; pass the lengths the "
                            "data was made with (--max_seq_length, --max_predictions_per_seq)"
                            % (location, length, expected.dtype, name, expected.length))
    largest = max(features["input_ids"].int64_list.value)
    if largest >= vocab_size:
        raise UserError("%s holds token id %d, the config's vocab_size is %d; use the config of "
                        "the vocabulary the data was made with" % (location, largest, vocab_size))


# ---- counts ----

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
    for path, description in records.read_descriptions(paths).items():
        size = records.described_size(path, description)
        total += input_pipeline.count_records(path) if size is None else size
    return total


# ---- the input pipeline ----

def parsing_spec(spec):
    """{name: records.Feature} -> what tf.parse_example takes."""
    return collections.OrderedDict(
        (name, tf.FixedLenFeature([feature.length], tf.as_dtype(feature.dtype)))
        for name, feature in spec.items())


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
      masking: masking.Settings for unmasked records, see records.masking_settings; else None.

    Returns:
      input_fn(params, input_context) -> dataset of {name: int32/float32 [b, …]}, where b is the
      part of `batch_size` of one device.
    """
    spec = parsing_spec(
        records.unmasked_spec(max_seq_length, masking.brightmart_labels) if masking
        else records.masked_spec(max_seq_length, max_predictions_per_seq))

    def parse(step, serialized):
        parsed = _int32(tf.parse_example(serialized, spec))
        return dynamic_masking.mask_batch(parsed, masking, [seed, step]) if masking else parsed

    def input_fn(params, input_context=None):
        if is_training:
            dataset = input_pipeline.endless(
                lambda epoch: _one_epoch(paths, seed + epoch, shuffle_buffer),
                total_records(paths) if first_step else 1 << 60, first_step * batch_size)
        else:
            dataset = tf.data.TFRecordDataset(paths)
        full = is_training or "context" in params  # a TPU wants batches of one size
        # Steps are counted from the beginning of the whole training, whatever part of it this is.
        steps = tf.data.Dataset.range(first_step, _MAX_STEPS)
        dataset = tf.data.Dataset.zip((steps, dataset.batch(batch_size, drop_remainder=full)))
        parsed = dataset.map(parse, num_parallel_calls=2)
        share = input_pipeline.input_share(params, input_context)
        return input_pipeline.shard_for_replicas(parsed, share).prefetch(4)

    return input_fn


def _int32(features):
    """{name: tensor} with int32, which accelerators take, in place of int64."""
    return {name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
            for name, value in features.items()}


def _one_epoch(paths, seed, shuffle_buffer):
    """A dataset of the serialized records of all files once, in an order that the seed decides."""
    shuffled = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=seed)
    serialized = shuffled.interleave(
        tf.data.TFRecordDataset, cycle_length=min(4, len(paths)), block_length=16)
    return serialized.shuffle(shuffle_buffer, seed=seed)
