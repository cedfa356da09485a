"""Reading and writing the files of checkpoints: TensorFlow's and safetensors, as {name: array}.

    arrays = storage.read_tensorflow("output/model.ckpt-1000")
    arrays = storage.read_safetensors("bert-base-chinese")      # a directory of transformers'
"""

import atexit
import glob
import json
import os
import re
import shutil
import tempfile

from util import files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PYTORCH_BIN = "pytorch_model.bin"
HF_CONFIG = "config.json"
_PATTERN = re.compile(r"[\[\]*?\\]")


def is_hugging_face(path):
    """Whether a path is a directory of Hugging Face's, with weights in either form."""
    return any(os.path.isfile(os.path.join(path, name))
               for name in (SAFETENSORS, SAFETENSORS_INDEX, PYTORCH_BIN))


def plain_prefix(prefix):
    """The prefix of a checkpoint that TensorFlow opens: it reads [, ], * and ? as a pattern.

    A local one that has them gets links to its files, in a directory that goes with the process.
    """
    if files.is_remote(prefix) or not _PATTERN.search(prefix):
        return prefix
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for path in glob.glob(glob.escape(prefix) + ".*"):
        os.symlink(os.path.abspath(path),
                   os.path.join(directory, "model.ckpt" + path[len(prefix):]))
    return os.path.join(directory, "model.ckpt")


def open_reader(prefix):
    """A reader of a complete TensorFlow checkpoint.

    Raises:
      UserError: the index or the data is truncated or corrupt.
    """
    try:
        return tf.train.load_checkpoint(plain_prefix(prefix))
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


def read_safetensors(directory):
    """{name: float32 array} of a directory of Hugging Face's, one file or several.

    Raises:
      UserError: only pytorch_model.bin is there, the package safetensors is missing, a file is
        damaged, or numbers are of a kind that NumPy does not have.
    """
    arrays = {}
    for path in _safetensors_paths(directory):
        package, damage = _safetensors(directory)
        try:
            arrays.update(package.load_file(path))
        except (OSError, KeyError, TypeError, ValueError, damage) as error:
            raise UserError("%s: cannot be read (%s); copy or download it again, or save it from "
                            "transformers in float32" % (path, str(error).split("\n")[0])) from None
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in arrays.items()}


def _safetensors_paths(directory):
    index = os.path.join(directory, SAFETENSORS_INDEX)
    if os.path.isfile(os.path.join(directory, SAFETENSORS)):
        return [os.path.join(directory, SAFETENSORS)]
    if os.path.isfile(index):
        with open(index, encoding="utf-8") as stream:
            names = sorted(set(json.load(stream)["weight_map"].values()))
        return [os.path.join(directory, name) for name in names]
    if os.path.isfile(os.path.join(directory, PYTORCH_BIN)):
        raise UserError(
            "%s: only PyTorch reads it; convert it where PyTorch is installed: python3 -c "
            "\"from transformers import AutoModel; AutoModel.from_pretrained('%s')"
            ".save_pretrained('%s')\"" % (os.path.join(directory, PYTORCH_BIN), directory,
                                          directory.rstrip("/") + "_safetensors"))
    raise UserError("%s: no %s; expected a directory that transformers saved"
                    % (directory, SAFETENSORS))


def _safetensors(place):
    """The package's functions on NumPy arrays, and its error."""
    try:
        from safetensors import SafetensorError, numpy
    except ImportError:
        raise UserError("%s: the package safetensors is missing; pip install -r requirements.txt"
                        % place) from None
    return numpy, SafetensorError


def write_safetensors(arrays, path):
    """Writes {name: array}; two arrays that are one in PyTorch are two here."""
    # Loaders before transformers 4.41 crash where the metadata has no format.
    _safetensors(path)[0].save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, path,
        metadata={"format": "pt"})
