"""From one format to another: what `convert_checkpoint.py` does, without its flags and its proof.

    model = conversion.read("brightmart", "albert_tiny_zh/albert_model.ckpt", config)
    conversion.write(model, "output/hf", "hf_albert", tokenizer)

All formats meet in Google's layout (tables.py); layouts.py makes it of the others.
"""

import os

from util import files
from util.errors import UserError

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
    found = {name: array for name, array in tensorflow_files.read_tensorflow(path).items()
             if not variable_names.is_slot(name)}
    file_format = "tf_bert" if source == "bert" else source
    if source == "brightmart":
        weights, known = _read_brightmart(found, config, path)
    else:
        rows = tables.rows(file_format, config)
        weights = Weights(config, huggingface.take(rows, found, path))
        known = {row.theirs for row in rows}
    head, head_names = head_of(found)
    for name in head_names:
        weights.arrays[name] = found[variable_names.source(name, found)]
        known.add(variable_names.source(name, found))
    unknown = sorted(set(found) - known - {"global_step"})
    return Model(weights, head, None, tuple(unknown))


def _read_brightmart(found, config, path):
    """(Weights of Google's layout, the names that were read) of albert_zh's arrays."""
    words = "bert/embeddings/word_embeddings"
    for name, shape in ((words, (config.vocab_size, config.embedding_size)),
                        (words + "_2", (config.embedding_size, config.hidden_size))):
        if name not in found or found[name].shape != shape:
            raise UserError("%s: %s is %s, the config makes it %dx%d" % (
                path, name, "x".join(map(str, found[name].shape)) if name in found else "missing",
                shape[0], shape[1]))
    weights = layouts.google_from_brightmart(Weights(config, found))
    rows = tables.rows("google", weights.config)
    taken = huggingface.take(rows, weights.arrays, path)
    known = {row.theirs for row in tables.rows("brightmart", weights.config)} | {words + "_2"}
    return Weights(weights.config, taken), known


def head_of(arrays):
    """(name in tables.HEADS or None, our names of its arrays) of a fine-tuned TensorFlow model.

    One output of the pooler is taken for a choice's score; --head says that it is a number's.
    """
    for head in ("reading", "tagging", "choice", "classification"):
        rows = tables.HEADS[head][1]
        sources = [variable_names.source(row[0], arrays) for row in rows]
        if all(sources) and not (head == "choice" and len(arrays[sources[1]]) > 1):
            return head, [row[0] for row in rows]
    return None, []


def write(model, directory, target, tokenizer=None):
    """Writes a Model in a format; in TensorFlow's as model.ckpt and its config.

    Args:
      model: of Google's layout.
      directory: an existing, empty one.
      target: of TARGETS.
      tokenizer: of tokenization.py; None for a TensorFlow format only.

    Returns:
      What was written, in a few words.

    Raises:
      UserError: the format has no equal model; the reason names a tensor or a number.
    """
    if target in ("hf_bert", "bert"):
        model = model._replace(weights=layouts.unshared(model.weights))
    if target in huggingface.CLASS_PREFIX:
        huggingface.write(model, directory, target, tokenizer)
        return huggingface.architecture(model, target)
    config, arrays = model.weights
    if target == "brightmart":
        config, arrays = layouts.brightmart_from_google(model.weights)
    if target == "bert":
        renamed = {row.ours: row.theirs for row in tables.rows("tf_bert", config)}
        arrays = {renamed.get(name, name): array for name, array in arrays.items()}
        files.write_json(os.path.join(directory, BERT_CONFIG),
                         huggingface.config_values(model, "hf_bert"))
    else:
        files.write_json(os.path.join(directory, safetensors_files.HF_CONFIG), config.to_dict())
    tensorflow_files.write_tensorflow(arrays, os.path.join(directory, CHECKPOINT))
    return "%d arrays" % len(arrays)


def read_back(target, directory):
    """The Model of what `write` wrote."""
    if target in huggingface.CLASS_PREFIX:
        return huggingface.read(directory)
    config = modeling.AlbertConfig.from_json_file(os.path.join(
        directory, BERT_CONFIG if target == "bert" else safetensors_files.HF_CONFIG))
    return read(target, os.path.join(directory, CHECKPOINT), config)
