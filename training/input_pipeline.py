"""Input pipelines of both phases: endless epochs, sharding for replicas, damaged record files.

    dataset = endless(one_epoch, num_examples, first_example=first_step * batch_size)
    dataset = shard_for_replicas(dataset.batch(batch_size), input_share(params, input_context))
    dataset = made_ahead(dataset)
"""

import collections
import contextlib

from util import files
from util.errors import UserError

import tensorflow.compat.v1 as tf

# The order of a run's examples depends on (seed, epoch) alone; an epoch is never this large.
_MAX_EPOCHS = 2 ** 31
# What a TFRecord file adds to every record: a length and two checksums.
_FRAME_BYTES = 16

# The part of every step's batch that one input pipeline delivers: the `index`-th of `count` equal
# parts, split further between the `parts` replicas that the pipeline feeds.
Share = collections.namedtuple("Share", ["index", "count", "parts"])


def endless(one_epoch, num_examples, first_example=0):
    """Repeats a dataset whose order depends on the epoch, starting at any example.

    A run that resumes at example N reads what an uninterrupted run would have read from there on.

    Args:
      one_epoch: function of a scalar int64 epoch tensor -> tf.data.Dataset of `num_examples`.
      num_examples: examples an epoch.
      first_example: the number of examples consumed before.
    """
    epoch, offset = divmod(first_example, num_examples)
    return tf.data.Dataset.range(epoch, _MAX_EPOCHS).flat_map(one_epoch).skip(offset)


def input_share(params, input_context):
    """The Share of the input pipeline that an Estimator is building.

    Args:
      params: what the input_fn got; a TPUEstimator on a TPU puts its "context" there.
      input_context: tf.distribute.InputContext, or None without a distribution strategy.
    """
    if input_context is not None:
        count = input_context.num_input_pipelines
        return Share(input_context.input_pipeline_id, count,
                     input_context.num_replicas_in_sync // count)
    if "context" in params:
        _, index, count, parts = params["context"].current_input_fn_deployment()
        return Share(index, count, parts)
    return Share(0, 1, 1)


def shard_for_replicas(dataset, share):
    """A dataset of global batches {name: [B, …]} -> the batches of a Share's replicas.

    Together all devices so get in every step just the batch that one device would get.
    """
    pieces = share.count * share.parts
    if pieces == 1:
        return dataset

    def shard(features):
        return {name: tf.reshape(value, tf.concat(
            [[share.count, share.parts, -1], tf.shape(value)[1:]], 0))[share.index]
                for name, value in features.items()}

    def with_static_shape(features):
        for name, value in features.items():
            size, *rest = shapes[name].as_list()
            value.set_shape([size and size // pieces] + rest)
        return features

    shapes = tf.data.get_output_shapes(dataset)
    return dataset.map(shard).flat_map(tf.data.Dataset.from_tensor_slices).map(with_static_shape)


def made_ahead(dataset):
    """The end of every pipeline: some batches are made ahead, by threads that end when asked to.

    tf.data's tuner of the numbers of threads, all of which are given here, does not: it sleeps for
    as long as it has run, a minute at most, and a session that is closed waits for it.
    """
    options = tf.data.Options()
    if tf.__version__.startswith("1."):
        options.experimental_optimization.autotune = False
    else:
        options.autotune.enabled = False
    return dataset.prefetch(4).with_options(options)


def _begins_as_records(path):
    """Whether the first 8 bytes may be a record's length, of which the last is the highest."""
    with files.open_file(path, "rb") as stream:
        return stream.read(8)[7:] in (b"", b"\0")


def count_records(path):
    """The number of records in a file.

    Raises:
      UserError: the file is truncated or corrupt; says after how many records. Or it is another
        kind of file.
    """
    count = size = 0
    # TensorFlow takes a header that was cut off (12 bytes) for the end of the file.
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.python_io.tf_record_iterator(path):
            count += 1
            size += len(record) + _FRAME_BYTES
    if size != files.size(path):
        if not _begins_as_records(path):
            raise UserError("%s: expected a file of records, found another kind; make "
                            "records of text with create_pretraining_data.py" % path)
        raise UserError("%s: truncated or corrupt after %d complete records; make or copy the file "
                        "again" % (path, count))
    return count


def damage_error(path):
    """The UserError that says where a file that raised DataLossError is damaged."""
    try:
        count_records(path)
    except UserError as error:
        return error
    return UserError("%s: could not be read a moment ago, but can now; start again" % path)


def find_damaged(paths):
    """Reads every file; raises the UserError of the first truncated one, if any."""
    for path in paths:
        count_records(path)
