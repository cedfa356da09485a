"""A model as a SavedModel in the layout of TensorFlow Serving, with what Serving reads beside it.

    saved_model.write(package, directory)      # directory/model/1/, batching_parameters.txt

Signatures; all take any batch and length:
  serving_default: "input_ids", "segment_ids", int32 [B, S], and "lengths", int32 [B]. Serving fills
    up the requests that it merges by each tensor's first element, which would make tokens of the
    padding of a mask; these inputs survive it.
  text: "text_a" and "text_b", string [B], the second "" where there is none; the tokenizer is in
    the graph (text_signature.py). Of a classification and of a pre-trained model.
  masked_lm: those of serving_default with "masked_lm_positions", int32 [B, P].
  input_mask: "input_ids", "input_mask", "segment_ids", as the original codes; not to be merged.
Outputs are those of interchange/inference_graph.py, with "probabilities" of a classification.
"""

import os

from util import console, tfrecords, whole_files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

from interchange import inference_graph
from interchange.tables import INPUTS, POSITIONS
from serving import exporting, text_signature

MODEL, VERSION, BATCHING = "model", "1", "batching_parameters.txt"
WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")
TAGS = [tf.saved_model.tag_constants.SERVING]
# Batches of Serving: of at most so many requests, which wait so many microseconds for others.
_BATCHING = """max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: %d }
pad_variable_length_inputs: true
"""
_WARM_UP_BATCHES = (1, 8)


def write(package, directory, with_text=True):
    """Writes MODEL and BATCHING into a directory.

    Args:
      package: serving.package.Package with weights.
      with_text: whether the signature "text" is wanted.

    Returns:
      [exporting.Artifact] of every signature; why there is no "text" is printed.
    """
    has_text = with_text and _can_have_text(package)
    path = os.path.join(directory, MODEL, VERSION)
    with tf.Graph().as_default(), tf.Session() as session:
        signatures = _signatures(package, has_text)
        inference_graph.load(session, package.weights.arrays)
        builder = tf.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, TAGS, {
            name: tf.saved_model.predict_signature_def(*tensors)
            for name, tensors in signatures.items()}, strip_default_attrs=True)
        builder.save()
    engines = load(path)
    _write_warm_up(package, engines, path)
    whole_files.write_lines(os.path.join(directory, BATCHING),
                            (_BATCHING % (os.cpu_count() or 1)).splitlines())
    return [exporting.Artifact("SavedModel, %s" % name, path, engine, exporting.LIMIT, package.head)
            for name, engine in engines.items()]


def load(path):
    """{signature: engine} of a SavedModel, the default one first.

    Raises:
      UserError: it has operators of tensorflow-text, which is not installed.
    """
    session = tf.Session(graph=tf.Graph())
    try:
        with session.graph.as_default():
            signatures = tf.saved_model.load(session, TAGS, path).signature_def
    except tf.errors.NotFoundError as error:
        raise UserError("%s: %s; import tensorflow_text first (%s)" % (
            path, str(error).split("\n")[0], text_signature.REQUIREMENTS)) from None
    return {name: inference_graph.Runner(session, *[
        {key: tensor.name for key, tensor in sorted(tensors.items())}
        for tensors in (signatures[name].inputs, signatures[name].outputs)])
        for name in sorted(signatures, key=lambda name: (name != "serving_default", name))
        if not name.startswith("__")}


# ---- signatures ----

def _signatures(package, with_text):
    """{signature: ({input: tensor}, {output: tensor})} in the default graph."""
    arrays = package.weights.arrays
    masked = inference_graph.placeholders(package.head, arrays)
    positions = masked.pop(POSITIONS, None)
    signatures = {"input_mask": (masked, _outputs(package, masked))}
    inputs = {name: masked[name] for name in ("input_ids", "segment_ids")}
    inputs["lengths"] = tf.placeholder(tf.int32, [None], "lengths")
    features = _with_mask(inputs)
    signatures["serving_default"] = inputs, _outputs(package, features)
    if positions is not None:
        more = {POSITIONS: positions}
        signatures["masked_lm"] = dict(inputs, **more), _outputs(package, dict(features, **more))
    if with_text:
        signatures["text"] = _text_signature(package)
    return signatures


def _with_mask(features):
    """The inputs of the model, of "lengths" instead of a mask."""
    length = tf.shape(features["input_ids"])[1]
    mask = tf.sequence_mask(features["lengths"], length, tf.int32)
    return {"input_ids": features["input_ids"], "input_mask": mask,
            "segment_ids": features["segment_ids"]}


def _outputs(package, features):
    weights = package.weights
    outputs = inference_graph.build(weights.config, package.head, weights.arrays, {
        name: features[name] for name in INPUTS + (POSITIONS,) if name in features})[1]
    if package.head == "classification" and package.kind != "regression":
        share = tf.sigmoid if package.kind == "multi_label" else tf.nn.softmax
        outputs["probabilities"] = share(outputs["logits"])
    return {name: tf.identity(tensor) for name, tensor in outputs.items()}


def _text_signature(package):
    texts = {name: tf.placeholder(tf.string, [None], name) for name in ("text_a", "text_b")}
    ids = text_signature.encoder(package.tokenizer)(tf.concat(list(texts.values()), 0))
    count = tf.size(texts["text_a"])
    features = text_signature.pack(ids[:count], ids[count:], package.tokenizer,
                                   package.max_seq_length)
    if package.weights.config.type_vocab_size == 1:
        features["segment_ids"] = tf.zeros_like(features["segment_ids"])
    outputs = _outputs(package, _with_mask(features))
    if package.head is None:  # which rows of the sequence are of tokens
        outputs.update(input_ids=features["input_ids"], lengths=features["lengths"])
    return texts, outputs


def _can_have_text(package):
    """Whether there can be a signature "text"; prints the outcome of a comparison of tokens."""
    if package.head not in ("classification", None):
        problem = "answers of %s need the places of the tokens in their text" % package.head
    else:
        texts = text_signature.samples()
        try:
            problem = text_signature.difference(package.tokenizer, texts)
        except (ImportError, RuntimeError, tf.errors.OpError) as error:
            problem = str(error).split("\n")[0]
    console.say("no signature text: %s", problem) if problem else console.say(
        "signature text: equal tokens of %d texts", len(texts))
    return not problem


# ---- warm-up ----

def _write_warm_up(package, engines, path):
    """Writes requests that Serving answers before it says that it is ready, as PredictionLogs."""
    os.makedirs(os.path.join(path, os.path.dirname(WARMUP)))
    batch = exporting.batches(package)[0]
    records = [_prediction_log(name, {
        key: np.resize(batch[key], (count,) + batch[key].shape[1:]) for key in engine.inputs})
        for name, engine in engines.items() if name != "input_mask" for count in _WARM_UP_BATCHES]
    tfrecords.write(os.path.join(path, WARMUP), records)


def _prediction_log(signature, inputs):
    """A serialized tensorflow.serving.PredictionLog of a PredictRequest, written by hand: the
    package with its classes wants a TensorFlow of its own."""
    request = _field(1, _field(1, MODEL.encode("utf-8")) + _field(3, signature.encode("utf-8")))
    for name, array in sorted(inputs.items()):  # a map: its entries have a key 1 and a value 2
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += _field(2, _field(1, name.encode("utf-8")) + _field(2, tensor))
    return _field(6, _field(1, request))  # predict_log, its request


def _field(number, content):
    return tfrecords.field(bytes([number << 3 | 2]), content)
