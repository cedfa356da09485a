"""The Package of a model that was not exported: a training's --output_dir, or a checkpoint."""

import hashlib
import os

from util.errors import UserError

from interchange import company, conversion, huggingface, tokenizer_files
from serving.package import Package
from tasks import tag_schemes
from training import checkpoints, restoring


def load(path, vocab_file=None, spm_model_file=None, do_lower_case=True, bert_config_file=None,
         max_seq_length=None):
    """The Package, with weights, of a training's --output_dir, its best checkpoint, or of another.

    The other arguments stand for what the directory does not have.

    Raises:
      UserError: something is missing, or does not fit.
    """
    directory = path if os.path.isdir(path) else os.path.dirname(path)
    best = checkpoints.best(path) if os.path.isdir(path) else None
    checkpoint = best["checkpoint"] if best else restoring.resolve(path)
    tokenizer = tokenizer_files.load(directory, vocab_file, spm_model_file, do_lower_case)
    if tokenizer is None:
        raise UserError("%s has no vocabulary beside it; name it by --vocab_file or "
                        "--spm_model_file" % path)
    model = _model(checkpoint, directory, bert_config_file)
    weights, head = model.weights, model.head
    tokenizer_files.check_size(tokenizer, weights.config)
    identity = company.identity(directory)
    labels = tag_schemes.outputs_of(*company.labels(directory))
    kind = identity.get("kind")
    if head == "choice" and "labels" in identity:
        head = "classification"  # a number: one output, as a choice's score
    if head in ("classification", "tagging") and kind != "regression":
        count = huggingface.num_labels(model._replace(head=head))
        labels = labels or ["LABEL_%d" % index for index in range(count)]
        if len(labels) != count:
            raise UserError("%s: %d labels in run.json for a head of %d outputs"
                            % (path, len(labels), count))
    return Package(head, kind, labels, min(max_seq_length or 512,
                                           weights.config.max_position_embeddings),
                   tokenizer, None, weights, _digest(weights.arrays), identity.get("task"))


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
