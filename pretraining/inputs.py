"""Pre-training records as a run reads them: checked, counted and as an Estimator's input.

    inputs.check_pretraining_files(paths, max_seq_length, max_predictions_per_seq, vocab_size)
    masking = records.masking_settings(paths, max_predictions_per_seq)
    input_fn = inputs.pretraining_input_fn(
        paths, max_seq_length, max_predictions_per_seq, batch_size, is_training=True,
        masking=masking)

Dimensions: B batch, S max_seq_length, P max_predictions_per_seq.
"""

import collections
import functools
import itertools
import os

from util import console, files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

from pretraining import dynamic_masking, dynamic_order, records
from pretraining.masking import KEPT_SHARE, MASK_SHARE
from training import input_pipeline

# Record files, and what reads them: for training a function first_step=n -> input_fn, for
# evaluation an input_fn.
Data = collections.namedtuple("Data", "paths input_fn masking")

_MAX_STEPS = 2 ** 60
# What every batch is judged by: what indexes a table or a sequence.
_INDICES = (
    "input_ids", "label_ids", "masked_lm_positions", "masked_lm_ids", "next_sentence_labels")


# ---- checks ----

def check_pretraining_files(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Refuses record files that do not fit a run's lengths and its model's config, by name.

    Looks at every file's description and at its first record; the input pipeline judges the rest as
    it reads them, and `check_every_record` names what it finds.

    Returns:
      As records.common_vocabulary.

    Raises:
      UserError: a length, the vocabulary or its size or the features differ, a file holds no
        record, or unmasked ones whose description does not say how to mask them.
    """
    lengths = max_seq_length, max_predictions_per_seq
    descriptions = records.read_descriptions(paths)
    for path, description in sorted(descriptions.items()):
        if description:
            records.check_description(path, description, *lengths, vocab_size)
        _check_first_record(path, records.described_spec(description, *lengths), vocab_size)
    return records.common_vocabulary(descriptions)


def check_every_record(paths, max_seq_length, max_predictions_per_seq, vocab_size):
    """Reads all files; a UserError names the first record that does not fit, as for the first."""
    descriptions = records.read_descriptions(paths)
    with console.progress(unit="records", desc="looking for it") as bar:
        for path, number, serialized in _numbered(paths):
            spec = records.described_spec(
                descriptions[path], max_seq_length, max_predictions_per_seq)
            _check_record(path, number, serialized, spec, vocab_size)
            bar.update()


def _numbered(paths):
    """Yields (path, number in the file from 0 on, serialized record) of all files."""
    for path in paths:
        for number, serialized in enumerate(tf.python_io.tf_record_iterator(path)):
            yield path, number, serialized


def _check_first_record(path, spec, vocab_size):
    try:
        first = next(tf.python_io.tf_record_iterator(path), None)
    except tf.errors.DataLossError:
        raise input_pipeline.damage_error(path) from None
    if first is None:
        raise UserError("%s: no record in this file; make it again with "
                        "create_pretraining_data.py" % path)
    _check_record(path, 0, first, spec, vocab_size)


def _features(path, number, serialized):
    """{name: tf.train.Feature} of a record."""
    try:
        return tf.train.Example.FromString(serialized).features.feature
    except Exception:  # noqa: B902 - protobuf's DecodeError has a different home in every release
        raise UserError("%s: record %d is not a tf.train.Example; expected a file from "
                        "create_pretraining_data.py" % (path, number)) from None


def _check_record(path, number, serialized, spec, vocab_size):
    """Compares a record with {name: records.Feature}: names, types, lengths, values in range."""
    location = "%s: record %d" % (path, number)
    features = _features(path, number, serialized)
    bounds = records.bounds(spec["input_ids"].length, vocab_size)
    if "sentence_lengths" in spec and set(spec) <= set(features):
        _check_sentences(location, features)
    for name, expected in spec.items():
        if name not in features:
            if name == "masked_lm_positions" and "word_starts" in features:
                raise records.undescribed_error(path)
            raise UserError("%s has no feature %r; expected %s"
                            % (location, name, ", ".join(spec)))
        feature = features[name]
        values = feature.float_list if expected.dtype == "float32" else feature.int64_list
        values = np.array(values.value, expected.dtype)
        if expected.length is not None and len(values) != expected.length:
            raise UserError("%s has %d %s values in %r, the flags say %d; pass the lengths the "
                            "data was made with (--max_seq_length, --max_predictions_per_seq)"
                            % (location, len(values), expected.dtype, name, expected.length))
        if name not in bounds:
            _check_weights(location, values)
        elif bounds[name] == vocab_size and values.max() >= vocab_size:
            raise UserError("%s holds token id %d, the config's vocab_size is %d; use the config "
                            "of the vocabulary the data was made with (feature %r)"
                            % (location, values.max(), vocab_size, name))
        elif not 0 <= values.min() <= values.max() < bounds[name]:
            wrong = values.min() if values.min() < 0 else values.max()
            raise UserError("%s holds %d in %r, expected 0 to %d; make the data again"
                            % (location, wrong, name, bounds[name] - 1))


def _check_sentences(location, features):
    """Compares the lengths of the features of records.sentences_spec with each other."""
    lengths = list(features["sentence_lengths"].int64_list.value)
    tokens = {name: len(features[name].int64_list.value)
              for name in ("input_ids", "word_starts", "label_ids") if name in features}
    if len(lengths) < 2 or min(lengths) < 1 or set(tokens.values()) != {sum(lengths)}:
        raise UserError("%s holds sentences of %s tokens in 'sentence_lengths' and %s; expected at "
                        "least two sentences and as many tokens as theirs together; make the data "
                        "again" % (location, " + ".join(map(str, lengths[:9])) or "no", ", ".join(
                            "%d in %r" % (count, name) for name, count in tokens.items())))


def _check_weights(location, weights):
    if not np.all(np.isfinite(weights) & (weights >= 0)):
        raise UserError("%s holds the weights %s in 'masked_lm_weights', expected finite ones from "
                        "0 on; make the data again" % (location, " ".join(map(str, weights[:9]))))


# ---- counts ----

def count_tokens_to_predict(paths, masking=None, limit=2000):
    """{token id: how often it is to be predicted} in the first `limit` records.

    Args:
      masking: as in pretraining_input_fn.

    Raises:
      UserError: there is none.
    """
    counts = collections.Counter()
    for path, number, serialized in itertools.islice(_numbered(paths), limit):
        features = _features(path, number, serialized)
        if masking:
            counts.update(token for token in features["input_ids"].int64_list.value
                          if token not in masking.special_ids)
        else:
            counts.update(itertools.compress(features["masked_lm_ids"].int64_list.value,
                                             features["masked_lm_weights"].float_list.value))
    if not counts:
        raise UserError("%s: no token to predict in the first records (all masked_lm_weights are "
                        "0); make the data again" % paths[0])
    return counts


def guessing_accuracy(paths, masking=None, limit=2000):
    """The masked-LM accuracy of a model that has learnt nothing from context.

    It says the most frequent of the tokens to predict for each [MASK], and copies what stands in
    place of the others: a tenth of the chosen tokens is kept (masking.replace).
    """
    counts = count_tokens_to_predict(paths, masking, limit)
    return KEPT_SHARE + MASK_SHARE * max(counts.values()) / sum(counts.values())


def total_records(paths):
    """The number of records in all files: from their descriptions, else by reading them.

    The smallest file of every description is counted to see whether that is still true of it.

    Raises:
      UserError: it is not.
    """
    described = {}
    for path, description in records.read_descriptions(paths).items():
        described[path] = records.described_size(path, description)
    sets = collections.defaultdict(list)
    for path in paths:
        if described[path] is not None:
            sets[records.description_path(path)].append((files.size(path), path))
    counted = [min(one)[1] for one in sets.values()] + [
        path for path in paths if described[path] is None]
    for path in counted:
        count = input_pipeline.count_records(path)
        if described[path] not in (None, count):
            raise UserError("%s says that %s holds %d records, and it holds %d; make the data "
                            "again, or correct the number" % (
                                records.description_path(path), path, described[path], count))
        described[path] = count
    return sum(described.values())


def described_records(paths):
    """The number of records in all files as their descriptions say; None if one has none."""
    sizes = [records.described_size(path, description)
             for path, description in records.read_descriptions(paths).items()]
    return None if None in sizes else sum(sizes)


def fingerprint(paths):
    """files.fingerprint of record files: of their names, sizes and first records."""
    parts = []
    for path in sorted(paths, key=os.path.basename):
        parts += [os.path.basename(path).encode("utf-8", "surrogateescape"),
                  b"%d" % files.size(path), next(tf.python_io.tf_record_iterator(path))]
    return files.fingerprint(parts)


# ---- the input pipeline ----

def parsing_spec(spec):
    """{name: records.Feature} -> what tf.parse_example takes."""
    return collections.OrderedDict(
        (name, tf.FixedLenSequenceFeature([], tf.as_dtype(feature.dtype), allow_missing=True)
         if feature.length is None
         else tf.FixedLenFeature([feature.length], tf.as_dtype(feature.dtype)))
        for name, feature in spec.items())


def pretraining_input_fn(paths, max_seq_length, max_predictions_per_seq, batch_size, is_training,
                         seed=0, first_step=0, shuffle_buffer=10000, masking=None,
                         vocab_size=None):
    """An Estimator input_fn over pre-training records.

    Args:
      paths: record files.
      batch_size: examples a step takes, on all devices together.
      is_training: endless, shuffled and in full batches; else one pass in order, with all records.
      seed: with the epoch it decides the order, and with the number of a step its masks and pairs.
      first_step: steps a resumed run has already made.
      shuffle_buffer: records held for mixing (1 kB each at S = 128).
      masking: masking.Settings for unmasked records, see records.masking_settings; else None.
      vocab_size: makes reading fail with an InvalidArgumentError where a record holds values out of
        range, which `check_every_record` then names; None: for records that are known to be good.

    Returns:
      input_fn(params, input_context) -> dataset of {name: int32/float32 [b, …]}, where b is the
      part of `batch_size` of one device. In evaluation there is float32 record_weights [b], too: 1,
      and 0 for what fills the last batch up on a TPU.
    """
    if masking and masking.order:
        spec = records.sentences_spec(masking.brightmart_labels)
    elif masking:
        spec = records.unmasked_spec(max_seq_length, masking.brightmart_labels)
    else:
        spec = records.masked_spec(max_seq_length, max_predictions_per_seq)
    spec = parsing_spec(spec)

    def parse(step, serialized):
        parsed = tf.parse_example(serialized, spec)
        if vocab_size:
            parsed = _judged(parsed, records.bounds(max_seq_length, vocab_size))
        parsed = _int32(parsed)
        if masking and masking.order:
            parsed = dynamic_order.pair_batch(parsed, max_seq_length, masking.order, [seed, step])
        return dynamic_masking.mask_batch(parsed, masking, [seed, step]) if masking else parsed

    def input_fn(params, input_context=None):
        if is_training:
            dataset = input_pipeline.endless(
                lambda epoch: _one_epoch(paths, seed + epoch, shuffle_buffer),
                total_records(paths) if first_step else 1 << 60, first_step * batch_size)
        else:
            dataset = tf.data.TFRecordDataset(paths)
        # Steps are counted from the beginning of the whole training, whatever part of it this is.
        steps = tf.data.Dataset.range(first_step, _MAX_STEPS)
        dataset = tf.data.Dataset.zip((
            steps, dataset.batch(batch_size, drop_remainder=is_training)))
        parsed = dataset.map(parse, num_parallel_calls=2)
        if not is_training:  # a TPU wants batches of one size
            parsed = parsed.map(functools.partial(
                _weighted, batch_size=batch_size if "context" in params else None))
        share = input_pipeline.input_share(params, input_context)
        return input_pipeline.made_ahead(input_pipeline.shard_for_replicas(parsed, share))

    return input_fn


def _judged(features, bounds):
    """The features of a batch, whose evaluation fails where weights or indices are out of range.

    A few operations over flat values, which are reduced several times faster. The bits (masks,
    segments), half of the values and indices of nothing, are left to `check_every_record`.

    Args:
      bounds: see records.bounds.
    """
    fit = []
    for name in _INDICES:
        if name in features:
            values = tf.reshape(features[name], [-1])
            fit += [tf.reduce_min(values) >= 0, tf.reduce_max(values) < bounds[name]]
    if "masked_lm_weights" in features:  # a sum is NaN if one of them is; a maximum may not be
        weights = tf.reshape(features["masked_lm_weights"], [-1])
        fit += [tf.reduce_min(weights) >= 0, tf.reduce_sum(weights) < np.inf]
    if "sentence_lengths" in features:  # at least two sentences, of no more tokens than there are
        lengths = features["sentence_lengths"]
        fit += [tf.reduce_min(tf.reduce_sum(tf.cast(lengths > 0, tf.int32), 1)) >= 2,
                tf.reduce_max(tf.reduce_sum(lengths, 1)) <= tf.shape(
                    features["input_ids"], out_type=lengths.dtype)[1]]
    failing = tf.raw_ops.Assert(condition=tf.reduce_all(tf.stack(fit)),
                                data=[tf.constant("a record holds values out of range")])
    with tf.control_dependencies([failing]):
        return dict(features, **{name: tf.identity(features[name]) for name in (
            "input_ids", "sentence_lengths") if name in features})


def _weighted(features, batch_size=None):
    """A batch with record_weights [B] of 1, filled up to a size with records that weigh 0."""
    rows = tf.shape(features["input_ids"])[0]
    features = dict(features, record_weights=tf.ones([rows]))
    if not batch_size:
        return features
    padded = {}
    for name, value in features.items():
        padded[name] = tf.pad(value, [[0, batch_size - rows]] + [[0, 0]] * (value.shape.ndims - 1))
        padded[name].set_shape([batch_size] + value.shape.as_list()[1:])
    return padded


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
