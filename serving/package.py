"""What a model needs beside its weights to be served, in a directory of export_model.py.

    model = package.load("exported/lcqmc")
    model.tokenizer, model.labels, model.max_seq_length
"""

import collections
import json
import os

from util import whole_files
from util.errors import UserError

from interchange import tokenizer_files

FILE, ONNX = "model.json", "model.onnx"

# A model to serve. head: of interchange.tables.HEADS, None of a pre-trained one; kind: None (one
# label), "multi_label" or "regression" of a classification; labels: their names; onnx: the path of
# an ONNX file, None of a checkpoint; weights: layouts.Weights, None of an ONNX file; fingerprint: a
# hex digest of the weights; options: how items become sequences and answers, as of `options_of`.
Package = collections.namedtuple(
    "Package", "head kind labels max_seq_length tokenizer onnx weights fingerprint task options")
Package.__new__.__defaults__ = ({},)

# {head: {option: default}}: flags of the family's command, and what run.json says.
OPTIONS = {
    "tagging": {"units": "characters"},
    "reading": {"doc_stride": 128, "max_query_length": 64, "n_best_size": 20,
                "max_answer_length": 30, "null_score_diff_threshold": 0.0, "with_negative": False},
    "choice": {"max_qa_length": 128, "fills_blanks": False},
}


def options_of(head, given, known=None):
    """The options of a head: the defaults, `known` ones in their place, and those that were given.

    Raises:
      UserError: one that the head does not have.
    """
    options = dict(OPTIONS.get(head, {}), **(known or {}))
    for name in given:
        if name not in options:
            owner = next(other for other in OPTIONS if name in OPTIONS[other])
            raise UserError("--%s is for a model of %s, this one is of %s; leave it out"
                            % (name, owner, head or "pre-training"))
    return dict(options, **given)


def is_export(path):
    """Whether a path is a directory of export_model.py."""
    return os.path.isfile(os.path.join(path, FILE))


def load(path):
    """The Package of a directory of export_model.py.

    Raises:
      UserError: a file of it is missing.
    """
    with open(os.path.join(path, FILE), encoding="utf-8") as stream:
        values = json.load(stream)
    tokenizer = tokenizer_files.load(path, do_lower_case=values["do_lower_case"])
    if tokenizer is None:
        raise UserError("%s has no vocabulary; export the model again" % path)
    onnx = os.path.join(path, ONNX)
    if not os.path.isfile(onnx):
        raise UserError("%s: no %s; export the model again with --format=onnx" % (path, ONNX))
    return Package(values["head"], values["kind"], values["labels"], values["max_seq_length"],
                   tokenizer, onnx, None, values["fingerprint"], values["task"],
                   options_of(values["head"], {}, values.get("options")))


def save(package, directory):
    """Writes model.json; the vocabulary is the caller's to copy."""
    whole_files.write_json(os.path.join(directory, FILE), {
        "head": package.head, "kind": package.kind, "labels": package.labels,
        "max_seq_length": package.max_seq_length, "fingerprint": package.fingerprint,
        "task": package.task, "options": package.options,
        "do_lower_case": package.tokenizer.do_lower_case})
