"""A model as a frozen graph: one GraphDef with the weights in it as constants.

    frozen_graph.write(package, directory)     # frozen_graph.pb

Its tensors are called as inputs and outputs of interchange/inference_graph.py: "input_ids:0" …
"logits:0".
"""

import os

from util import files

import tensorflow.compat.v1 as tf

from interchange import inference_graph
from serving import exporting

FILE = "frozen_graph.pb"


def write(package, directory):
    """Writes FILE into a directory.

    Args:
      package: serving.package.Package with weights.

    Returns:
      [exporting.Artifact].
    """
    weights, path = package.weights, os.path.join(directory, FILE)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs, outputs = named_graph(package)
        inference_graph.load(session, weights.arrays)
        graph = tf.graph_util.convert_variables_to_constants(
            session, session.graph.as_graph_def(), list(outputs))
    with files.open_file(path, "wb") as stream:
        stream.write(graph.SerializeToString())
    return [exporting.Artifact("frozen graph", path, load(path, inputs, outputs),
                               exporting.LIMIT, package.head)]


def named_graph(package, shape=(None, None), predictions=None):
    """Builds a graph for inference, as inference_graph.build, whose outputs bear their names.

    Args:
      package: serving.package.Package with weights.
      shape, predictions: as of inference_graph.placeholders.
    """
    weights = package.weights
    inputs = inference_graph.placeholders(package.head, weights.arrays, shape, predictions)
    _, outputs = inference_graph.build(weights.config, package.head, weights.arrays, inputs)
    return inputs, {name: tf.identity(tensor, name) for name, tensor in outputs.items()}


def load(path, inputs, outputs):
    """The engine of a file, by the names of its inputs and outputs."""
    definition = tf.GraphDef()
    with files.open_file(path, "rb") as stream:
        definition.ParseFromString(stream.read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
    return inference_graph.Runner(tf.Session(graph=graph), *[
        {name: name + ":0" for name in names} for names in (inputs, outputs)])
