"""A task's examples as features: made once, kept in a cache, read in batches of similar length.

    settings = Settings(max_seq_length=128, cache_dir="cache", step_examples=64,
                        eval_batch_size=64, seed=1)
    split = Split(task, "train", tokenizer, settings)
    estimator.train(split.training_input_fn(first_step=0), max_steps=split.num_windows // 64)

Dimensions: B batch, S sequence (the longest of a batch), C choices of an example.
"""

import os
import sys
import typing

from util import console, files, sources, tfrecords

import numpy as np
import tensorflow.compat.v1 as tf

from finetuning import limits
from tasks.base import Feature
from training import input_pipeline

# So many batches, or a quarter of the data if that is less, are sorted by length together.
POOLED_BATCHES = 50
# Added to a task's features: the indices of the window and of its example.
INDEX_FEATURES = {"example": Feature((), tf.int32), "window": Feature((), tf.int32)}


class Settings(typing.NamedTuple):
    """How examples become features, and features batches."""

    max_seq_length: int  # tokens of a window, [CLS] and [SEP] included
    cache_dir: str  # the directory of the features' files
    step_examples: int  # windows that one training step takes, on all devices together
    eval_batch_size: int  # windows of a batch of evaluation or prediction
    seed: int  # decides the order of training
    full_length: bool = False  # pad every batch to max_seq_length, as a TPU wants it


def code_version(task, tokenizer):
    """A hash of the source files that decide how an example becomes features."""
    modules = {sys.modules[type(part).__module__] for part in (task, tokenizer)}
    return sources.code_version(
        "finetuning/features.py", *sorted(map(sources.path_of, modules)))


def examples_fingerprint(examples):
    """files.fingerprint of all that examples hold but their location."""
    return files.fingerprint(
        repr(example._replace(location=None)).encode("utf-8") for example in examples)


def cache_path(task, split, data, tokenizer, settings):
    """The cache file of a split: its name is a fingerprint of all that decides the features.

    That is the examples, the task's settings, the vocabulary, the length and the code; when one of
    them changes, so does the name, and the old file is not read.

    Args:
      data: the `examples_fingerprint`.
    """
    name = files.fingerprint(part.encode("utf-8") for part in (
        tokenizer.fingerprint, str(settings.max_seq_length), task.fingerprint(),
        code_version(task, tokenizer), data))
    return os.path.join(settings.cache_dir, "%s-%s.tfrecord" % (split, name))


def featurize(task, split, examples, tokenizer, settings, data):
    """Writes the features of a split's examples to its cache file unless they are there.

    Args:
      data: the `examples_fingerprint`.

    Returns:
      (path, number of windows).
    """
    path = cache_path(task, split, data, tokenizer, settings)
    limits_path = path + ".json"
    cached = _cached(path, limits_path)
    if cached:
        console.say("%s: %s, features from %s", split, _sizes(examples, cached[0]), path)
        cached[1].say(split)
        return path, cached[0]
    counted = limits.Limits()

    def serialized():
        window = 0
        bar = console.progress(examples, unit="examples", desc=split)
        for number, example in enumerate(bar):
            windows = list(task.featurize(example, tokenizer, settings.max_seq_length))
            counted.add(task, example, windows, tokenizer, settings.max_seq_length)
            for features in windows:
                arrays = {name: np.ravel(value) for name, value in features.items()}
                yield tfrecords.serialize(
                    dict(arrays, example=np.array([number]), window=np.array([window])))
                window += 1

    count = tfrecords.write(path, serialized())
    if count > len(examples):
        console.say("%s: %s", split, _sizes(examples, count))
    counted.say(split)
    counted.write(limits_path)
    return path, count


def _cached(path, limits_path):
    """(number of windows, Limits) of cache files that are there and whole, or None."""
    if not (files.is_file(path) and files.is_file(limits_path)):
        return None
    try:
        return input_pipeline.count_records(path), limits.read(limits_path)
    except (TypeError, ValueError):  # a UserError is one
        console.say("%s is damaged: the features are made anew", path)
        return None


def _sizes(examples, num_windows):
    """How many examples there are, and windows where they are more."""
    windows = " in %d windows" % num_windows if num_windows > len(examples) else ""
    return "%d examples%s" % (len(examples), windows)


def parser(features):
    """A function from a serialized window to {name: tensor}, shaped as `features` say."""
    spec = {}
    for name, feature in features.items():
        dtype = tf.float32 if feature.dtype == tf.float32 else tf.int64
        spec[name] = (
            tf.FixedLenSequenceFeature([], dtype, allow_missing=True) if None in feature.shape
            else tf.FixedLenFeature(feature.shape, dtype))

    def parse(serialized):
        parsed = tf.parse_single_example(serialized, spec)
        for name, feature in features.items():
            parsed[name] = tf.cast(parsed[name], feature.dtype)
            if feature.shape == (None, None):
                parsed[name] = tf.reshape(parsed[name], [tf.size(parsed["lengths"]), -1])
        return parsed

    return parse


def full_shapes(features, max_seq_length, max_choices):
    """{name: shape} of windows that are padded to the most that any has, as a TPU wants them."""
    axes = _token_axis(features)
    sizes = [max_choices] * axes + [max_seq_length]
    return {name: [sizes[axis] if size is None else size
                   for axis, size in enumerate(feature.shape)]
            for name, feature in features.items()}


def _token_axis(features):
    """The axis of a window's tokens: 0, or 1 where there are choices."""
    return len(features["input_ids"].shape) - 1


def _trimmed(batch, features):
    """Cuts a batch's features of tokens to its longest sequence, and adds its "input_mask"."""
    axis = _token_axis(features)
    longest = tf.reduce_max(batch["lengths"])
    batch = dict(batch)
    for name, feature in features.items():
        if len(feature.shape) > axis and feature.shape[axis] is None:
            batch[name] = batch[name][:, :, :longest] if axis else batch[name][:, :longest]
    return _masked(batch)


def _masked(batch):
    shape = batch["input_ids"].shape
    mask = tf.sequence_mask(batch["lengths"], tf.shape(batch["input_ids"])[-1], dtype=tf.int32)
    mask.set_shape(shape)
    return dict(batch, input_mask=mask)


def sorted_batches(windows, features, batch_size, num_batches, seed=None, first_pool=0):
    """A dataset of windows -> one of batches of similar length (as Hugging Face's group_by_length).

    Pools of `num_batches` batches are sorted by length and cut into batches, which come in an order
    drawn from `seed` and the pool's number; without a seed they come sorted, the last one short.
    So nearly nothing is padded, and which examples meet is still decided by the shuffling before.
    """
    def cut(number, pool):
        longest = tf.reduce_max(tf.reshape(pool["lengths"], [tf.shape(pool["lengths"])[0], -1]), 1)
        order = tf.argsort(longest, stable=True)
        if seed is None:
            chosen = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        else:
            drawn = tf.argsort(tf.random.stateless_uniform([num_batches], seed=[seed, number]))
            chosen = tf.data.Dataset.from_tensor_slices(
                tf.gather(tf.reshape(order, [num_batches, batch_size]), drawn))
        return chosen.map(lambda rows: _trimmed(
            {name: tf.gather(value, rows) for name, value in pool.items()}, features))

    shapes = {name: list(feature.shape) for name, feature in features.items()}
    pools = windows.padded_batch(batch_size * num_batches, shapes)
    numbers = tf.data.Dataset.range(first_pool, 1 << 60)
    return tf.data.Dataset.zip((numbers, pools)).prefetch(1).flat_map(cut)


class Split(object):
    """One split of a task's data, read once and featurized.

    Attributes:
      name: "train", "dev", "test" or one more that the task has.
      examples: the list of the examples, for features, scores and predictions.
      fingerprint: of the examples, see `examples_fingerprint`.
      path: the file of its features.
      num_windows: how many there are; the same as examples where none is cut into windows.
    """

    def __init__(self, task, name, tokenizer, settings):
        self.name = name
        self._read = files.stamps(task.path(name))
        self.examples = task.examples(name)
        self.fingerprint = examples_fingerprint(self.examples)
        self.path, self.num_windows = featurize(
            task, name, self.examples, tokenizer, settings, self.fingerprint)
        self._settings = settings
        self._features = dict(task.features, **INDEX_FEATURES)
        self._max_choices = task.max_choices(self.examples)

    def changed_files(self):
        """The files of the split that are not as they were when it was read."""
        return files.changed(self._read)

    def training_input_fn(self, first_step=0):
        """An input_fn without end, shuffled anew every epoch, from a step on.

        A run that goes on reads what an uninterrupted one would have read. Batches are padded to
        their own longest window (see `sorted_batches`), or all to `settings.max_seq_length`.

        Returns:
          input_fn(params, input_context) -> dataset of {name: int32 or float32 [b, …]}, b one
          device's part of a step's examples, with "input_mask" like "input_ids".
        """
        batch_size, seed = self._settings.step_examples, self._settings.seed
        num_batches = max(1, min(POOLED_BATCHES, self.num_windows // (4 * batch_size)))
        num_batches = 1 if self._settings.full_length else num_batches
        first_pool, skipped = divmod(first_step, num_batches)

        def one_epoch(epoch):
            return tf.data.TFRecordDataset(self.path).shuffle(self.num_windows, seed=seed + epoch)

        def input_fn(params, input_context=None):
            windows = input_pipeline.endless(
                one_epoch, self.num_windows, first_pool * num_batches * batch_size)
            windows = windows.map(parser(self._features), num_parallel_calls=2)
            if self._settings.full_length:
                batches = self._full_batches(windows, batch_size, drop_remainder=True)
            else:
                batches = sorted_batches(windows, self._features, batch_size, num_batches, seed,
                                         first_pool).skip(skipped)
            share = input_pipeline.input_share(params, input_context)
            return input_pipeline.made_ahead(input_pipeline.shard_for_replicas(batches, share))

        return input_fn

    def input_fn(self, in_order=False):
        """An input_fn of one pass, the shortest first; `in_order`: batch by batch as in the file.

        Inside a batch windows are sorted by length all the same; "window" holds their indices.
        """
        batch_size = self._settings.eval_batch_size

        def input_fn(params):
            del params
            windows = tf.data.TFRecordDataset(self.path).map(
                parser(self._features), num_parallel_calls=2)
            if self._settings.full_length:
                batches = self._full_batches(windows, batch_size)
            else:
                batches = sorted_batches(windows, self._features, batch_size,
                                         1 if in_order else POOLED_BATCHES)
            return input_pipeline.made_ahead(batches)

        return input_fn

    def _full_batches(self, windows, batch_size, drop_remainder=False):
        shapes = full_shapes(
            self._features, self._settings.max_seq_length, self._max_choices)
        return windows.padded_batch(batch_size, shapes, drop_remainder=drop_remainder).map(_masked)
