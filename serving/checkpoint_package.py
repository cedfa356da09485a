"""The Package of a model that was not exported: a training's --output_dir, or a checkpoint."""

import hashlib
import os

from util.errors import UserError

from interchange import company, conversion, huggingface, tokenizer_files
from serving.package import Package, options_of
from tasks import choice_data, tag_schemes
from training import checkpoints, restoring

MAX_SEQ_LENGTHS = {"reading": 384}  # as run_squad.py's flag; others: 512


def load(path, vocab_file=None, spm_model_file=None, do_lower_case=True, bert_config_file=None,
         max_seq_length=None, options=None):
    """The Package, with weights, of a training's --output_dir, its best checkpoint, or of another.

    The other arguments stand for what the directory does not have; options: {name: value} of
    package.OPTIONS, in place of the defaults.

    Raises:
      UserError: something is missing, or does not fit.
    """
    best = checkpoints.best(path) if os.path.isdir(path) else None
    checkpoint = best["checkpoint"] if best else restoring.resolve(path)
    directory = company.home_of(checkpoint)
    tokenizer = tokenizer_files.load(directory, vocab_file, spm_model_file, do_lower_case)
    if tokenizer is None:
        raise UserError("%s has no vocabulary beside it; name it by --vocab_file or "
                        "--spm_model_file" % path)
    model = _model(checkpoint, directory, bert_config_file)
    weights, head = model.weights, model.head
    tokenizer_files.check_size(tokenizer, weights.config)
    company.check_vocabulary(tokenizer, checkpoint)
    identity = company.identity(directory)
    if head is None and (identity.get("squad_head") == "google_v2"
                         or any("answer_class/" in name for name in model.unknown)):
        raise UserError("%s has the head --squad_head=google_v2, which is not served; predict with "
                        "run_squad.py --do_predict, or train with --squad_head=bert" % path)
    labels = tag_schemes.outputs_of(*company.labels(directory))
    kind = identity.get("kind")
    if head == "choice" and "labels" in identity:
        head = "classification"  # a number: one output, as a choice's score
    if head in ("classification", "tagging") and kind != "regression":
        labels = _checked_labels(path, model._replace(head=head, labels=labels or model.labels))
    length = min(max_seq_length or MAX_SEQ_LENGTHS.get(head, 512),
                 weights.config.max_position_embeddings)
    return Package(head, kind, labels, length, tokenizer, None, weights, _digest(weights.arrays),
                   identity.get("task"), options_of(head, options or {}, _known(head, identity)))


def _checked_labels(path, model):
    """The labels of a Model's head, LABEL_0 and so on where they are not known."""
    count = huggingface.num_labels(model)
    labels = model.labels or ["LABEL_%d" % index for index in range(count)]
    if len(labels) != count:
        raise UserError("%s: %d labels in run.json for a head of %d outputs"
                        % (path, len(labels), count))
    for label in labels:
        if model.head == "tagging" and label != "O":
            tag_schemes.split_tag(path, label)
    return labels


def _known(head, identity):
    """The options that run.json says."""
    if head == "tagging":
        return {"units": identity.get("units", "characters")}
    if head == "reading":
        return {"with_negative": identity.get("version_2_with_negative", False)}
    if head == "choice" and identity.get("task") in choice_data.DATASETS:
        return {"fills_blanks": choice_data.DATASETS[identity["task"]].fills_blanks}
    return {}


def _model(checkpoint, directory, bert_config_file):
    """The Model, in its own layout, of a checkpoint or transformers' directory."""
    if company.directory_of(checkpoint) == checkpoint:
        return huggingface.read(checkpoint)
    return conversion.read_native(checkpoint, company.config(directory, bert_config_file))


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode("utf-8") + arrays[name].tobytes())
    return digest.hexdigest()[:16]
