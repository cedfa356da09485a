"""From one format to another: what `convert_checkpoint.py` does, without its flags and its proof.

    model = conversion.read("brightmart", "albert_tiny_zh/albert_model.ckpt", config)
    conversion.write(model, "output/hf", "hf_albert", tokenizer)

All formats meet in Google's layout (tables.py); layouts.py makes it of the others.
"""

import os

from util import whole_files
from util.errors import UserError

import numpy as np

import modeling
from interchange import (
    huggingface,
    layouts,
    safetensors_files,
    tables,
    tensorflow_files,
    variable_names,
)
from interchange.huggingface import Model
from interchange.layouts import Weights

# What --from and --to may be. "bert" is a directory of transformers or a checkpoint of Google's
# code to read, and the latter to write.
SOURCES = ("google", "brightmart", "hf_albert", "bert")
TARGETS = ("google", "brightmart", "hf_albert", "hf_bert", "bert")
CHECKPOINT, BERT_CONFIG = "model.ckpt", "bert_config.json"


def read(source, path, config=None):
    """A checkpoint in any format as a Model of Google's layout.

    Args:
      source: of SOURCES.
      path: a directory of transformers', or the prefix of a TensorFlow checkpoint.
      config: the AlbertConfig of a TensorFlow checkpoint; of "bert" as `bert_config` makes it.

    Raises:
      UserError: a tensor is missing or of another shape; the first one is named.
    """
    if safetensors_files.is_hugging_face(path):
        return huggingface.read(path)
    if source == "bert":
        return _read_rows(path, config, tables.rows("tf_bert", config))
    model = read_native(path, config)
    if source == "google":
        return model
    return model._replace(weights=layouts.google_from_brightmart(model.weights),
                          native=model.weights)


def read_native(path, config):
    """A TensorFlow checkpoint of ALBERT as a Model of its own layout.

    Args:
      path: its prefix.
      config: its AlbertConfig, of either layout.

    Raises:
      UserError: as `read`.
    """
    return _read_rows(path, config, _native_rows(config))


def _read_rows(path, config, rows):
    """The Model of the rows of a TensorFlow checkpoint, and of the head it has."""
    saved = _without_slots(path)
    renamed, used = {}, set()
    for row in rows:
        source = variable_names.source(row.theirs, saved)
        if source:
            renamed[row.theirs] = saved[source]
            used.add(source)
    arrays = huggingface.take(rows, renamed, path)
    head, head_arrays = _head(saved)
    used.update(variable_names.source(name, saved) for name in head_arrays)
    return Model(Weights(config, dict(arrays, **head_arrays)), head, None,
                 tuple(sorted(name for name in set(saved) - used
                              if not variable_names.is_bookkeeping(name))))


def _without_slots(path):
    return {name: array for name, array in tensorflow_files.read_tensorflow(path).items()
            if not variable_names.is_slot(name)}


def _native_rows(config):
    """The rows of a layout under its own names."""
    if config.layout == "google":
        return tables.rows("google", config)
    wide = layouts.changed(config, layout="google", embedding_size=config.hidden_size)
    rows = [row._replace(ours=row.theirs) for row in tables.rows("brightmart", wide)]
    words = "bert/embeddings/word_embeddings"
    sizes = config.vocab_size, config.embedding_size, config.hidden_size
    return [row._replace(shape=sizes[:2]) if row.ours == words else row for row in rows] + [
        tables.Row(words + "_2", words + "_2", sizes[1:], False, "encoder")]


def _head(arrays):
    """(name in tables.HEADS or None, {our name: array}) of a fine-tuned TensorFlow model.

    One output of the pooler is taken for a choice's score; --head says that it is a number's.
    """
    for head in ("reading", "tagging", "choice", "classification"):
        names = [row[0] for row in tables.HEADS[head][1]]
        sources = [variable_names.source(name, arrays) for name in names]
        if all(sources) and not (head == "choice" and len(arrays[sources[1]]) > 1):
            return head, {name: arrays[source] for name, source in zip(names, sources)}
    return None, {}


def in_float16(model):
    """A Model with the numbers that float16 has of it, in float32.

    Raises:
      UserError: a number is too large for it; the sentence names the tensor.
    """
    config, arrays = model.weights
    rounded = {}
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            rounded[name] = array.astype(np.float16).astype(np.float32)
        if not np.isfinite(rounded[name]).all():
            raise UserError("%s: %g is beyond the 65504 of float16; leave --float16 out"
                            % (name, np.abs(array).max()))
    return model._replace(weights=layouts.Weights(config, rounded), native=None)


def write(model, directory, target, tokenizer=None, dtype=None):
    """Writes a Model in a format; in TensorFlow's as model.ckpt and its config.

    Args:
      model: of Google's layout.
      directory: an existing, empty one.
      target: of TARGETS.
      tokenizer: of tokenization.py; None for a TensorFlow format only.
      dtype: of the numbers in a file of transformers, None: as they are.

    Returns:
      What was written, in a few words.

    Raises:
      UserError: the format has no equal model; the reason names a tensor or a number.
    """
    if target in ("hf_bert", "bert"):
        model = model._replace(weights=layouts.unshared(model.weights))
    if target in huggingface.CLASS_PREFIX:
        huggingface.write(model, directory, target, tokenizer, dtype)
        return huggingface.architecture(model, target)
    config, arrays = model.weights
    if target == "brightmart":
        config, arrays = layouts.brightmart_from_google(model.weights)
    if target == "bert":
        renamed = {row.ours: row.theirs for row in tables.rows("tf_bert", config)}
        arrays = {renamed.get(name, name): array for name, array in arrays.items()}
        whole_files.write_json(os.path.join(directory, BERT_CONFIG),
                               huggingface.config_values(model, "hf_bert"))
    else:
        whole_files.write_json(os.path.join(directory, safetensors_files.HF_CONFIG),
                               config.to_dict())
    tensorflow_files.write_tensorflow(arrays, os.path.join(directory, CHECKPOINT))
    return "%d arrays" % len(arrays)


def read_back(target, directory):
    """The Model of what `write` wrote."""
    if target in huggingface.CLASS_PREFIX:
        return huggingface.read(directory)
    config = modeling.AlbertConfig.from_json_file(os.path.join(
        directory, BERT_CONFIG if target == "bert" else safetensors_files.HF_CONFIG))
    return read(target, os.path.join(directory, CHECKPOINT), config)
