"""The model as a graph without labels, with the weights of a checkpoint in it.

    session = inference_graph.Session(weights, head="classification")
    session.run({"input_ids": ids, "input_mask": mask, "segment_ids": segments})["logits"]
"""

import tensorflow.compat.v1 as tf

import layers
import modeling
from interchange import tables
from interchange.tables import INPUTS, POOLED, POSITIONS


class Session(object):
    """A graph with weights, ready to run.

    Attributes:
      outputs: the names of what `run` gives.
    """

    name = "tensorflow"

    def __init__(self, weights, head, num_threads=None):
        """As `build`; weights: layouts.Weights of either layout; num_threads: None for all."""
        with tf.Graph().as_default():
            self._inputs, self._outputs = build(weights.config, head, weights.arrays)
            self._session = tf.Session(config=tf.ConfigProto(
                intra_op_parallelism_threads=num_threads or 0, inter_op_parallelism_threads=1))
            for variable in tf.global_variables():
                name = variable.name.split(":")[0]
                if name in weights.arrays:  # a pooler that no output reads may be missing
                    variable.load(weights.arrays[name], self._session)
        self.outputs = list(self._outputs)

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        return self._session.run(self._outputs, {
            placeholder: features[name] for name, placeholder in self._inputs.items()})


def build(config, head, arrays):
    """Builds the graph of an encoder and a head.

    Args:
      config: an AlbertConfig.
      head: of interchange.tables.HEADS, or None for a pre-trained model.
      arrays: {name: array} of the checkpoint; pre-training heads without arrays are left out.

    Returns:
      ({input: placeholder}, {output: tensor}): "logits" [B, L], in tagging and reading [B, S, L];
      of a pre-trained model "sequence_output" [B, S, H], "pooled_output" [B, H], "masked_lm_logits"
      [B, P, V] and "sentence_order_logits" [B, 2].
    """
    inputs = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUTS}
    pooled_only = head in POOLED
    nothing = tf.zeros([tf.shape(inputs["input_ids"])[0], 0], tf.int32)
    model = modeling.AlbertModel(
        config, False, *[inputs[name] for name in INPUTS],
        output_positions=nothing if pooled_only else None)
    if head is None:
        return inputs, _pretraining_outputs(config, model, inputs, arrays)
    weights, bias = (tf.get_variable(row[0], arrays[row[0]].shape) for row in tables.HEADS[head][1])
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
    if "cls/predictions/output_bias" in arrays:
        positions = tf.placeholder(tf.int32, [None, None], POSITIONS)
        inputs[POSITIONS] = positions
        logits = modeling.get_masked_lm_output(
            config, model, positions, tf.zeros_like(positions), tf.ones_like(positions))[2]
        outputs["masked_lm_logits"] = tf.reshape(
            logits, tf.concat([tf.shape(positions), [config.vocab_size]], 0))
    return outputs
