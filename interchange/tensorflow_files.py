"""TensorFlow checkpoints as {name: array}, and other files as if they were such.

    arrays = tensorflow_files.read_tensorflow("output/model.ckpt-1000")
"""

import atexit
import functools
import glob
import os
import re
import shutil
import tempfile

from util import files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

from interchange import huggingface, safetensors_files

# What TensorFlow reads as a pattern in the name of a checkpoint.
_PATTERN = re.compile(r"[\[\]*?\\]")


def readable_prefix(path):
    """The prefix of a checkpoint that TensorFlow opens, of a prefix or transformers' directory.

    TensorFlow reads [, ], * and ? as a pattern: a local checkpoint with them gets links to its
    files. A directory of transformers is written as a checkpoint. Both are in a temporary directory
    that goes with the process.
    """
    if safetensors_files.is_hugging_face(path):
        return _as_checkpoint(path)
    if files.is_remote(path) or not has_pattern(path):
        return path
    return _linked(path)


def has_pattern(path):
    """Whether TensorFlow would read a path as a pattern."""
    return bool(_PATTERN.search(path))


def _temporary_prefix():
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return os.path.join(directory, "model.ckpt")


@functools.lru_cache(None)
def _as_checkpoint(directory):
    prefix = _temporary_prefix()
    write_tensorflow(huggingface.read(directory).weights.arrays, prefix)
    return prefix


@functools.lru_cache(None)
def _linked(prefix):
    linked = _temporary_prefix()
    for path in glob.glob(glob.escape(prefix) + ".*"):
        os.symlink(os.path.abspath(path), linked + path[len(prefix):])
    return linked


def open_reader(prefix):
    """A reader of a complete TensorFlow checkpoint.

    Raises:
      UserError: the index or the data is truncated or corrupt.
    """
    try:
        return tf.train.load_checkpoint(readable_prefix(prefix))
    except (tf.errors.OpError, ValueError) as error:
        raise _damaged(prefix, error) from None


def read_tensor(reader, prefix, name):
    """The values of one variable; a UserError where the file is truncated or corrupt."""
    try:
        return reader.get_tensor(name)
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        raise _damaged(prefix, error, name) from None


def _damaged(prefix, error, name=None):
    reason = str(error).split("\n")[0][:160]
    return UserError("%s: the checkpoint is truncated or corrupt%s (%s); copy or download it again"
                     % (prefix, " at %s" % name if name else "", reason))


def read_tensorflow(prefix, names=None):
    """{name: array} of a TensorFlow checkpoint, all of it or some names."""
    reader = open_reader(prefix)
    return {name: read_tensor(reader, prefix, name)
            for name in sorted(reader.get_variable_to_shape_map())
            if names is None or name in names}


def write_tensorflow(arrays, prefix):
    """Writes {name: array} as a TensorFlow checkpoint."""
    with tf.Graph().as_default(), tf.Session() as session:
        # Values come through placeholders: a graph holds 2 GB at most.
        variables, feeds = {}, []
        for name, array in sorted(arrays.items()):
            array = np.asarray(array)
            value = tf.placeholder(array.dtype, array.shape)
            variables[name] = tf.get_variable(
                "v%d" % len(feeds), initializer=value, trainable=False, use_resource=True)
            feeds.append((variables[name].initializer, value, array))
        for initializer, value, array in feeds:
            session.run(initializer, {value: array})
        saver = tf.train.Saver(variables, save_relative_paths=True)
        saver.save(session, prefix, write_meta_graph=False, latest_filename="checkpoint")
