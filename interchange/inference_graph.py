"""The model as a graph without labels, with the weights of a checkpoint in it.

    session = inference_graph.Session(weights, head="classification")
    session.run({"input_ids": ids, "input_mask": mask, "segment_ids": segments})["logits"]
"""

import tensorflow.compat.v1 as tf

import layers
import modeling
from interchange import tables
from interchange.tables import INPUTS, POOLED, POSITIONS


class Runner(object):
    """Runs tensors of a session, as the engines of serving/engines.py do.

    Args:
      session: a tf.Session; it stays open as long as this lives.
      inputs, outputs: {name: tensor, or its name in the graph}.
    """

    name = "tensorflow"

    def __init__(self, session, inputs, outputs):
        self._session, self._inputs, self._outputs = session, dict(inputs), dict(outputs)
        self.inputs, self.outputs = list(inputs), list(outputs)

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        return self._session.run(self._outputs, {
            tensor: features[name] for name, tensor in self._inputs.items()})


class Session(Runner):
    """A graph with weights, ready to run.

    Args:
      weights: layouts.Weights of either layout.
      head: as of `build`.
      num_threads: processors to use; None: all.
    """

    def __init__(self, weights, head, num_threads=None):
        with tf.Graph().as_default():
            inputs, outputs = build(weights.config, head, weights.arrays)
            session = tf.Session(config=tf.ConfigProto(
                intra_op_parallelism_threads=num_threads or 0, inter_op_parallelism_threads=1))
            load(session, weights.arrays)
        super().__init__(session, inputs, outputs)


def load(session, arrays):
    """Gives the variables of a session's graph their {name: array}."""
    for variable in tf.global_variables():
        name = variable.name.split(":")[0]
        if name in arrays:  # a pooler that no output reads may be missing
            variable.load(arrays[name], session)


def placeholders(head, arrays, shape=(None, None), predictions=None):
    """{input: int32 placeholder} of a model, by its name.

    Args:
      head, arrays: as of `build`.
      shape: B and S; None: any.
      predictions: P; None: any.
    """
    sizes = dict.fromkeys(INPUTS, list(shape))
    if head is None and "cls/predictions/output_bias" in arrays:
        sizes[POSITIONS] = [shape[0], predictions]
    return {name: tf.placeholder(tf.int32, size, name) for name, size in sizes.items()}


def build(config, head, arrays, inputs=None, is_training=False):
    """Builds the graph of an encoder and a head; variables that are there are taken.

    Args:
      config: an AlbertConfig.
      head: of interchange.tables.HEADS, or None for a pre-trained model.
      arrays: {name: array} of the checkpoint; pre-training heads without arrays are left out.
      inputs: {input: int tensor}; None: placeholders. Without POSITIONS there are no masked-LM
        logits.
      is_training: whether dropout is applied.

    Returns:
      (inputs, {output: tensor}): "logits" [B, L], in tagging and reading [B, S, L]; of a
      pre-trained model "sequence_output" [B, S, H], "pooled_output" [B, H], "masked_lm_logits"
      [B, P, V] and "sentence_order_logits" [B, 2].
    """
    inputs = placeholders(head, arrays) if inputs is None else inputs
    pooled_only = head in POOLED
    nothing = tf.zeros([tf.shape(inputs["input_ids"])[0], 0], tf.int32)
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        model = modeling.AlbertModel(
            config, is_training, *[inputs[name] for name in INPUTS], scope="bert",
            output_positions=nothing if pooled_only else None)
        if head is None:
            return inputs, _pretraining_outputs(config, model, inputs, arrays)
        weights, bias = (tf.get_variable(row[0], arrays[row[0]].shape)
                         for row in tables.HEADS[head][1])
    hidden = model.get_pooled_output() if pooled_only else model.get_sequence_output()
    return inputs, {"logits": layers.matmul_last(
        hidden, weights if head == "tagging" else tf.transpose(weights), bias)}


def _pretraining_outputs(config, model, inputs, arrays):
    outputs = {"sequence_output": model.get_sequence_output()}
    if "bert/pooler/dense/bias" in arrays:
        outputs["pooled_output"] = model.get_pooled_output()
    if "cls/seq_relationship/output_bias" in arrays:
        outputs["sentence_order_logits"] = modeling.get_sentence_order_output(
            config, model.get_pooled_output(), tf.zeros_like(inputs["input_ids"][:, 0]))[2]
    if "cls/predictions/output_bias" in arrays and POSITIONS in inputs:
        positions = inputs[POSITIONS]
        logits = modeling.get_masked_lm_output(
            config, model, positions, tf.zeros_like(positions), tf.ones_like(positions))[2]
        outputs["masked_lm_logits"] = tf.reshape(
            logits, tf.concat([tf.shape(positions), [config.vocab_size]], 0))
    return outputs
