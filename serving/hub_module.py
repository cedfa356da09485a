"""A model's encoder as a TF-Hub module in the form and with the signatures of Google's ALBERT.

    hub_module.write(package, directory)       # directory/hub/

Signatures, of int32 [B, S] "input_ids", "input_mask" and "segment_ids":
  tokens: "sequence_output" [B, S, H] and "pooled_output" [B, H];
  sop: these and "sop_log_probs" [B, 2];
  mlm: with "mlm_positions", int32 [B, P]: the former and "mlm_logits" [B P, V];
  tokenization_info: without inputs "vocab_file", the path of the vocabulary or SentencePiece model,
    and "do_lower_case".
It is a SavedModel with two graphs: without tags for inference, with the tag "train" and dropout.
`hub.Module` of tensorflow_hub before 0.16, `hub.load` and tf.saved_model.load read it, and so do
--init_checkpoint and convert_checkpoint.py.
"""

import os

from util import files, whole_files
from util.errors import UserError

import tensorflow.compat.v1 as tf

from interchange import inference_graph, tokenizer_files
from interchange.tables import INPUTS, POSITIONS
from serving import exporting

DIRECTORY, CONFIG = "hub", "albert_config.json"
TAGS_OF_TRAINING = ["train"]
# A serialized ModuleDef that says format 3: a SavedModel with signatures.
_MODULE_FILE, _MODULE = "tfhub_module.pb", b"\x08\x03"
# What Google's modules call the inputs and outputs of interchange/inference_graph.py.
_NAMES = {"masked_lm_logits": "mlm_logits", POSITIONS: "mlm_positions"}


class _Engine(inference_graph.Runner):
    """A signature, by our names, with masked-LM logits of [B, P, V]."""

    def run(self, features):
        outputs = super().run(features)
        if "masked_lm_logits" in outputs:
            shape = features[POSITIONS].shape + (-1,)
            outputs["masked_lm_logits"] = outputs["masked_lm_logits"].reshape(shape)
        return outputs


def write(package, directory):
    """Writes DIRECTORY into a directory; a task's head is left out.

    Args:
      package: serving.package.Package with weights.
      directory: it has the vocabulary or the SentencePiece model.

    Returns:
      exporting.Artifact of the signatures that have inputs.

    Raises:
      UserError: the model has no pooler.
    """
    weights = package.weights
    if "bert/pooler/dense/bias" not in weights.arrays:
        raise UserError("--format=hub: the model has no pooler (bert/pooler/dense), which the "
                        "signature tokens gives; leave this format out")
    path = os.path.join(directory, DIRECTORY)
    config = os.path.join(directory, CONFIG)
    whole_files.write_json(config, weights.config.to_dict())
    assets = next(filter(None, tokenizer_files.find(directory))), config
    builder = tf.saved_model.Builder(path)
    with tf.Graph().as_default(), tf.Session() as session:
        signatures = _signatures(package, assets, is_training=False)
        inference_graph.load(session, weights.arrays)
        builder.add_meta_graph_and_variables(
            session, [], signatures, tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
            strip_default_attrs=True)
    with tf.Graph().as_default():
        builder.add_meta_graph(
            TAGS_OF_TRAINING, _signatures(package, assets, is_training=True),
            tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS), strip_default_attrs=True)
    builder.save()
    os.remove(config)  # it stands among the assets
    with files.open_file(os.path.join(path, _MODULE_FILE), "wb") as stream:
        stream.write(_MODULE)
    return [exporting.Artifact("TF-Hub module, %s" % name, path, engine, exporting.LIMIT, None)
            for name, engine in load(path).items()]


def load(path):
    """{signature: engine} of a module's graph for inference, but for tokenization_info."""
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        signatures = tf.saved_model.load(session, [], path).signature_def
    ours = {theirs: name for name, theirs in _NAMES.items()}
    return {name: _Engine(session, *[
        {ours.get(key, key): tensor.name for key, tensor in tensors.items()}
        for tensors in (signatures[name].inputs, signatures[name].outputs)])
        for name in ("tokens", "sop", "mlm") if name in signatures}


def _signatures(package, assets, is_training):
    """{name: SignatureDef} in the default graph; assets: paths of the vocabulary and the config."""
    weights = package.weights
    inputs = inference_graph.placeholders(None, weights.arrays)
    # TensorFlow 1.x, where hub.Module is, does not know the resource variables of 2.x.
    with tf.variable_scope(tf.get_variable_scope(), use_resource=False):
        _, outputs = inference_graph.build(
            weights.config, None, weights.arrays, inputs, is_training)
    tokens = {name: inputs[name] for name in INPUTS}
    encoded = {name: outputs[name] for name in ("sequence_output", "pooled_output")}
    signatures = {"tokens": (tokens, encoded)}
    if "sentence_order_logits" in outputs:
        signatures["sop"] = tokens, dict(
            encoded, sop_log_probs=tf.nn.log_softmax(outputs["sentence_order_logits"]))
    if POSITIONS in inputs:
        logits = tf.reshape(outputs["masked_lm_logits"], [-1, weights.config.vocab_size])
        signatures["mlm"] = (dict(tokens, mlm_positions=inputs[POSITIONS]),
                             dict(encoded, mlm_logits=logits))
    paths = [tf.constant(path) for path in assets]
    for path in paths:  # what is read of such a constant is where the asset lies then
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, path)
    signatures["tokenization_info"] = {}, {
        "vocab_file": paths[0], "do_lower_case": tf.constant(package.tokenizer.do_lower_case)}
    return {signature: tf.saved_model.build_signature_def(*[
        {name: tf.saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}
        for tensors in pair]) for signature, pair in signatures.items()}
