"""Directories as transformers saves them: config.json, model.safetensors and the tokenizer.

    model = huggingface.read("bert-base-chinese")        # a Model of Google's layout
    huggingface.write(model, "output/hf", "hf_albert", tokenizer)
"""

import collections
import os

from util import files, whole_files
from util.errors import UserError

import numpy as np

import modeling
from interchange import layouts, safetensors_files, tables, tokenizer_files

# A model that formats are converted by. weights: layouts.Weights of Google's layout; head: of
# tables.HEADS, or None; labels: the names of a classification's or tagging's labels, or None;
# unknown: names of arrays that were not understood; native: the Weights as they were read, where
# they are of another layout.
Model = collections.namedtuple("Model", "weights head labels unknown native")
Model.__new__.__defaults__ = (None, None, (), None)

CLASS_PREFIX = {"hf_albert": "Albert", "hf_bert": "Bert"}
# Arrays that follow from others.
_DERIVED = ("embeddings.position_ids", "embeddings.token_type_ids", "predictions.decoder.weight",
            "predictions.decoder.bias")


def read(directory):
    """A Model of Google's layout; one of BERT has groups that are not shared.

    Raises:
      UserError: no such directory, a config this code does not have, a tensor that is missing or of
        another shape.
    """
    config_path = os.path.join(directory, safetensors_files.HF_CONFIG)
    config = modeling.AlbertConfig.from_json_file(config_path)
    values = files.read_json_object(config_path, "a config of transformers")
    file_format = "hf_bert" if values.get("model_type") == "bert" else "hf_albert"
    theirs = _full_names(safetensors_files.read_safetensors(directory), file_format)
    arrays = take(tables.rows(file_format, config), theirs, directory)
    _check_tied(theirs, arrays, directory)
    weights = layouts.Weights(config, arrays)
    if file_format == "hf_albert":
        weights = layouts.without_mapping(weights, directory)
    head, labels = _head_of(values, theirs)
    if head:
        rows = tables.head_rows(head, config, len(theirs["classifier.bias"])
                                if "classifier.bias" in theirs else 2)
        arrays = dict(weights.arrays, **take(rows, theirs, directory))
        weights = layouts.Weights(config, arrays)
        known = {row.theirs for row in rows}
    else:
        known = set()
    known.update(row.theirs for row in tables.rows(file_format, config))
    unknown = sorted(name for name in set(theirs) - known if not name.endswith(_DERIVED))
    return Model(weights, head, labels, tuple(unknown))


def _full_names(arrays, file_format):
    """Names of a bare AlbertModel or BertModel, and of before 2019, as those of today's heads."""
    prefix = {"hf_albert": "albert.", "hf_bert": "bert."}[file_format]
    is_bare = not any(name.startswith(prefix) for name in arrays)
    renamed = {}
    for name, array in arrays.items():
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        if is_bare and name.startswith(("embeddings.", "encoder.", "pooler.")):
            name = prefix + name
        renamed[name] = array
    return renamed


def take(rows, theirs, location):
    """{our name: array} of the rows, checked; parts that are not there at all are left out.

    Args:
      rows: tables.Row.
      theirs: {their name: array}.
      location: for errors.

    Raises:
      UserError: a tensor of the encoder, or of a part that is there, is missing, or of another
        shape or kind than the config makes it.
    """
    there = {row.part for row in rows if row.theirs in theirs} | {"encoder"}
    taken = {}
    for row in rows:
        if row.part not in there:
            continue
        shape = row.shape[::-1] if row.transposed else row.shape
        if row.theirs not in theirs:
            raise UserError("%s: %s is missing; expected %s of shape %s"
                            % (location, row.theirs, row.part, "x".join(map(str, shape))))
        array = theirs[row.theirs]
        if array.shape != shape or array.dtype.kind != "f":
            raise UserError("%s: %s is %s %s, the config makes it float %s" % (
                location, row.theirs, array.dtype, "x".join(map(str, array.shape)),
                "x".join(map(str, shape))))
        taken[row.ours] = np.ascontiguousarray(array.T if row.transposed else array)
    return taken


def _check_tied(theirs, arrays, location):
    """Refuses output embeddings that are not those of the input."""
    for name, ours in (("predictions.decoder.weight", "bert/embeddings/word_embeddings"),
                       ("predictions.decoder.bias", "cls/predictions/output_bias")):
        for their_name in (name, "cls." + name):
            if their_name in theirs and ours in arrays and not np.array_equal(
                    theirs[their_name], arrays[ours]):
                raise UserError("%s: %s differs from %s; this code has one array for both"
                                % (location, their_name, ours))


def _head_of(values, theirs):
    """(name in tables.HEADS, labels) of a config.json's architecture, or (None, None)."""
    architectures = " ".join(values.get("architectures") or ())
    for head, (class_ending, rows) in tables.HEADS.items():
        if class_ending in architectures and rows[0][1] in theirs:
            names = values.get("id2label") or {}
            labels = [names[key] for key in sorted(names, key=int)]
            return head, labels if head in ("classification", "tagging") else None
    return None, None


def write(model, directory, file_format, tokenizer=None, dtype=None):
    """Writes config.json, model.safetensors and, with a tokenizer, its files.

    Args:
      model: a Model; for hf_bert with layers of their own (layouts.unshared).
      directory: an existing one.
      file_format: "hf_albert" or "hf_bert".
      tokenizer: of tokenization.py, or None.
      dtype: of the numbers in the file, None: as they are; config.json asks for float32 to compute
        in.
    """
    config, arrays = model.weights
    if file_format == "hf_albert":
        arrays = layouts.with_mapping(model.weights)
    rows = tables.rows(file_format, config)
    if model.head:
        rows = rows + tables.head_rows(model.head, config, num_labels(model))
    named = {row.theirs: arrays[row.ours].T if row.transposed else arrays[row.ours]
             for row in rows if row.ours in arrays}
    class_name = architecture(model, file_format)
    if class_name.endswith("ForQuestionAnswering"):  # those classes have no pooler
        named = {name: array for name, array in named.items() if ".pooler" not in name}
    for name in ("predictions.bias", "cls.predictions.bias"):
        if name in named:  # two names of one array there; either may be the one that is read
            named[name.replace("bias", "decoder.bias")] = named[name]
    safetensors_files.write_safetensors(
        named, os.path.join(directory, safetensors_files.SAFETENSORS), dtype)
    values = config_values(model, file_format)
    if tokenizer:
        values.update(tokenizer_files.special_ids(tokenizer))
        tokenizer_files.write(tokenizer, directory, config.max_position_embeddings)
    whole_files.write_json(os.path.join(directory, safetensors_files.HF_CONFIG), values)


def architecture(model, file_format):
    """The name of the class in transformers that has these weights."""
    arrays, prefix = model.weights.arrays, CLASS_PREFIX[file_format]
    if model.head:
        return prefix + tables.HEADS[model.head][0]
    if "cls/seq_relationship/output_bias" in arrays:
        return prefix + "ForPreTraining"
    return prefix + ("ForMaskedLM" if "cls/predictions/output_bias" in arrays else "Model")


def num_labels(model):
    """How many outputs the model's head has."""
    return len(model.weights.arrays[tables.HEADS[model.head][1][1][0]])


def config_values(model, file_format):
    """The content of config.json, without what the vocabulary says."""
    config = model.weights.config
    values = {
        "model_type": "albert" if file_format == "hf_albert" else "bert",
        "architectures": [architecture(model, file_format)],
        "hidden_act": next(theirs for theirs, ours in modeling.HF_ACTIVATIONS.items()
                           if ours == config.hidden_act),
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "torch_dtype": "float32"}
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                "intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob",
                "max_position_embeddings", "type_vocab_size", "initializer_range"):
        values[key] = getattr(config, key)
    if file_format == "hf_albert":
        for key in ("embedding_size", "num_hidden_groups", "inner_group_num"):
            values[key] = getattr(config, key)
    # The classifiers' dropout: ALBERT's and BERT's keys differ.
    values["classifier_dropout_prob" if file_format == "hf_albert" else "classifier_dropout"] = 0.1
    if model.head in ("classification", "tagging"):
        labels = model.labels or ["LABEL_%d" % index for index in range(num_labels(model))]
        values["id2label"] = {str(index): label for index, label in enumerate(labels)}
        values["label2id"] = {label: index for index, label in enumerate(labels)}
        if len(labels) == 1:
            values["problem_type"] = "regression"
    return values
