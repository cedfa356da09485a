"""What a checkpoint is, read from its names and shapes, and what a text says of the rest.

    description = inspection.describe(names_and_shapes)
    print(inspection.report("albert_model.ckpt", description))
"""

import collections
import glob
import json
import os
import re

from util import console, sources
from util.errors import UserError

import numpy as np

import modeling
import tokenization
from interchange import (
    conversion,
    huggingface,
    proof,
    safetensors_files,
    tables,
    tensorflow_files,
    variable_names,
)
from interchange.layouts import Weights

_WORDS = "bert/embeddings/word_embeddings"
ACTIVATIONS = ("gelu", "gelu_erf", "relu")
# Numbers of layers of published models, and sizes of their heads.
DEPTHS = (2, 4, 6, 12, 24)
HEAD_SIZES = range(16, 257)

# layout: "google", "brightmart" or "bert"; sizes: {key of AlbertConfig: number}; parameters:
# how many the file holds, without slots; unshared: how many as many layers would have; step: or
# None; slots: how many arrays; heads: names of the parts that are no encoder; other: names that are
# not understood; matching: names of ready configs of these sizes.
Description = collections.namedtuple(
    "Description", "layout sizes parameters unshared step slots heads other matching")

# Names that tell a head, and what it is of.
HEADS = collections.OrderedDict([
    ("cls/predictions/", "masked LM"), ("cls/seq_relationship/", "sentence order"),
    ("cls/squad/", "reading, BERT's (Google's name)"), ("squad/", "reading, BERT's"),
    ("start_logits/", "reading, Google's"), ("end_logits/", "reading, Google's"),
    ("answer_class/", "reading, Google's"), ("tagging/", "tagging"),
    ("output_", "classification, regression or choice")])


def shapes_of(path):
    """{name: shape} of a checkpoint, by our names where transformers saved it."""
    if safetensors_files.is_hugging_face(path):
        return {name: array.shape
                for name, array in huggingface.read(path).weights.arrays.items()}
    return {name: tuple(shape) for name, shape in
            tensorflow_files.open_reader(path).get_variable_to_shape_map().items()}


def describe(shapes, step=None):
    """The Description of {name: shape}.

    Raises:
      UserError: no encoder of ALBERT or BERT among the names.
    """
    weights = {name: shape for name, shape in shapes.items() if not variable_names.is_slot(name)}
    layout = variable_names.detect_layout(weights)
    if layout is None or _WORDS not in weights:
        raise UserError("no ALBERT or BERT encoder among its %d names: expected bert/embeddings/"
                        "word_embeddings and bert/encoder/..., found %s"
                        % (len(weights), ", ".join(sorted(weights)[:3]) or "nothing"))
    sizes = _sizes(weights, layout)
    heads = collections.OrderedDict(
        (kind, None) for prefix, kind in HEADS.items()
        if any(name.startswith(prefix) for name in weights))
    other = [name for name in sorted(weights) if not name.startswith(("bert/",) + tuple(HEADS))
             and not variable_names.is_bookkeeping(name)]
    matching = _matching(layout, sizes)
    count = {name: int(np.prod(shape)) for name, shape in weights.items()
             if not variable_names.is_bookkeeping(name)}
    layer = sum(size for name, size in count.items() if "/layer" in name or "/group_" in name)
    stored = sizes.get("num_hidden_groups", 1) * sizes.get("inner_group_num", 1)
    depth = sizes.get("num_hidden_layers") or (matching and matching[0][1].num_hidden_layers)
    unshared = sum(count.values()) + layer // stored * (
        depth * sizes.get("inner_group_num", 1) - stored) if depth else None
    return Description(layout, sizes, sum(count.values()), unshared, step,
                       len(shapes) - len(weights), list(heads), other,
                       [name for name, _ in matching])


def _sizes(shapes, layout):
    """What shapes tell of a config."""
    def rows_of(name):
        return shapes.get("bert/embeddings/" + name, [None])[0]

    vocab_size, embedding_size = shapes[_WORDS]
    scope = {"brightmart": tables.LAYERS["brightmart"],
             "bert": tables.LAYERS["tf_bert"].format(n=0),
             "google": tables.LAYERS["google"].format(g=0, i=0)}[layout]
    inner = {"google": "ffn_1/intermediate/dense/kernel"}.get(layout, "intermediate/dense/kernel")
    hidden_size, intermediate_size = shapes.get(scope + inner, (None, None))
    sizes = {"vocab_size": vocab_size, "embedding_size": embedding_size,
             "hidden_size": hidden_size, "intermediate_size": intermediate_size,
             "max_position_embeddings": rows_of("position_embeddings"),
             "type_vocab_size": rows_of("token_type_embeddings")}
    if layout == "google":
        sizes["num_hidden_groups"] = _count(shapes, r"/group_(\d+)/")
        sizes["inner_group_num"] = _count(shapes, r"/inner_group_(\d+)/")
    if layout == "bert":
        sizes["num_hidden_layers"] = _count(shapes, r"/layer_(\d+)/")
    return sizes


def _count(names, pattern):
    matches = (re.search(pattern, name) for name in names)
    return 1 + max(int(match.group(1)) for match in matches if match)


def _matching(layout, sizes):
    """[(name, AlbertConfig)] of the ready configs that have these sizes."""
    matching = []
    for path in sorted(glob.glob(os.path.join(sources.ROOT, "albert_config", "*.json"))):
        config = modeling.AlbertConfig.from_json_file(path)
        if config.layout == layout and all(
                getattr(config, key) == size for key, size in sizes.items()):
            matching.append((os.path.relpath(path, sources.ROOT), config))
    return matching


def config_values(description):
    """The keys of a config that shapes tell, and a ready one's for the rest where one fits."""
    values = dict(description.sizes)
    if description.layout == "bert":
        values.update(num_hidden_groups=values["num_hidden_layers"])
    if description.matching:
        with open(os.path.join(sources.ROOT, description.matching[0]), encoding="utf-8") as stream:
            values = dict(json.load(stream), **values)
    return dict(values, layout="google" if description.layout == "bert" else description.layout)


def report(path, description):
    """The Description as the text a person reads."""
    lines = ["%s: the %s layout" % (path, description.layout) if description.layout != "bert"
             else "%s: a BERT (convert it: --from=bert)" % path]
    lines.append("  sizes         " + ", ".join(
        "%s %s" % item for item in description.sizes.items()))
    unshared = ("; {:,} if no layer were shared".format(description.unshared)
                if description.unshared else "")
    lines.append("  parameters    {:,}{}".format(description.parameters, unshared))
    lines.append("  step          %s" % ("none" if description.step is None else description.step))
    lines.append("  slots         %d arrays%s" % (
        description.slots, " (--strip drops them)" if description.slots else ""))
    lines.append("  heads         " + (", ".join(description.heads) or "none"))
    if description.other:
        lines.append("  not understood  " + ", ".join(description.other))
    lines.append("  fits          " + (", ".join(description.matching) or "none of albert_config/"))
    lines.append("  not in shapes num_attention_heads, hidden_act%s: take the config that came "
                 "with it, or find them with --text" % (
                     "" if "num_hidden_layers" in description.sizes else ", num_hidden_layers"))
    return "\n".join(lines)


def candidates(description):
    """The configs that the shapes allow: activations times numbers of heads, [AlbertConfig].

    The number of layers is that of a ready config of these sizes, else each of DEPTHS.
    """
    values = config_values(description)
    hidden = values["hidden_size"]
    depths = ([values["num_hidden_layers"]] if "num_hidden_layers" in values
              else DEPTHS)
    return [modeling.AlbertConfig.from_dict(dict(
        values, num_hidden_layers=depth, num_attention_heads=hidden // size, hidden_act=act))
        for depth in depths for act in ACTIVATIONS for size in HEAD_SIZES
        if hidden % size == 0 and depth >= values.get("num_hidden_groups", 1)]


def rank(path, description, ids, tokenizer, every=7):
    """[(masked-LM loss, AlbertConfig)] of all candidates, the best first.

    Args:
      path: the checkpoint.
      description: its Description.
      ids: int32 [B, S], tokens of a text, [PAD] where it ends.
      tokenizer: of tokenization.py.
      every: how many tokens apart one is masked.
    """
    is_text = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
    masked = is_text & (np.arange(ids.shape[1]) % every == every // 2)
    features = {"input_ids": np.where(masked, tokenizer.mask_id, ids),
                "input_mask": (ids != tokenizer.pad_id).astype(np.int32),
                "segment_ids": np.zeros_like(ids)}
    configs = candidates(description)
    if description.layout == "bert" or safetensors_files.is_hugging_face(path):
        arrays = conversion.read("bert", path, configs[0]).weights.arrays
    else:
        arrays = tensorflow_files.read_tensorflow(path)
    ranked = []
    for config in console.progress(configs, unit="configs", desc="trying"):
        logits = proof.outputs(Weights(config, arrays), features)["masked_lm"][masked]
        logits = logits.astype(np.float64)
        chosen = logits[np.arange(len(logits)), ids[masked]]
        ranked.append((float((np.logaddexp.reduce(logits, axis=-1) - chosen).mean()), config))
    return sorted(ranked, key=lambda item: item[0])


def ranking_report(ranked, guessing, at_most=6):
    """The ranking as the text a person reads.

    Args:
      ranked: of `rank`.
      guessing: of `frequency_loss`.
      at_most: how many of them to show.
    """
    lines = ["  masked-LM loss   layers  heads  hidden_act"]
    lines += ["  %14.4f   %6d  %5d  %s" % (
        loss, config.num_hidden_layers, config.num_attention_heads, config.hidden_act)
        for loss, config in ranked[:at_most]]
    lines.append("  %14.4f   by guessing each token by its frequency in the text" % guessing)
    if ranked[0][0] > guessing:
        lines.append("  no config reads this text: the vocabulary, the lower-casing or the config "
                     "is another, or the model is not trained")
    return "\n".join(lines)


def frequency_loss(ids, tokenizer):
    """The loss of guessing each token by its frequency in the text."""
    special = [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id]
    counts = np.bincount(ids[~np.isin(ids, special)])
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def text_ids(lines, tokenizer, length, at_most=32):
    """The first lines of a text as int32 [B, S] with [CLS] and [SEP].

    Raises:
      UserError: there is no text.
    """
    rows = []
    for line in lines:
        ids = tokenizer.encode(line)
        if len(ids) > 3:
            rows.append(tokenization.pack(ids, None, tokenizer, length)["input_ids"])
        if len(rows) == at_most:
            break
    if not rows:
        raise UserError("--text: no line of four tokens or more; give some sentences of the "
                        "language that the model was trained on")
    filled = np.full([len(rows), length], tokenizer.pad_id, np.int32)
    for index, row in enumerate(rows):
        filled[index, :len(row)] = row
    return filled
