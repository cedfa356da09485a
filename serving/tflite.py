"""A model as files of TensorFlow Lite, for phones and small machines, with built-in operators only.

    tflite.write(package, directory, types=("float32", "int8"))    # model.tflite, model_int8.tflite

Inputs and outputs are those of interchange/inference_graph.py, int32 and float32, by the names of
their tensors. Labels, vocabulary and model.json are appended as a ZIP archive, where
readers of TensorFlow Lite's metadata look for associated files.
"""

import contextlib
import os
import warnings
import zipfile

from util import files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.lite.python import convert

from interchange import inference_graph, tokenizer_files
from interchange.tables import POSITIONS
from serving import exporting, frozen_graph
from serving.package import FILE

# {type of the weights: (largest difference of the outputs or None, name of the file)}. Of int8
# decisions are gated; activations are float in all of them.
TYPES = {"float32": (exporting.LIMIT, "model.tflite"), "float16": (0.02, "model_float16.tflite"),
         "int8": (None, "model_int8.tflite")}
PREDICTIONS = 20  # of a file of fixed length, as the originals' max_predictions_per_seq
LABELS = "labels.txt"


def write(package, directory, types=("float32",), length=0):
    """Writes a file for each type into a directory, which has model.json and the vocabulary.

    Args:
      package: serving.package.Package with weights.
      types: of TYPES.
      length: S of every input, one sequence at a time; 0: any batch and length.

    Returns:
      [exporting.Artifact].

    Raises:
      UserError: this TensorFlow cannot convert the model.
    """
    if tf.__version__.startswith("1."):
        raise UserError("--format=tflite: the converter of TensorFlow %s does not know the "
                        "model's operators; export from TensorFlow 2, which reads the same "
                        "checkpoints" % tf.__version__)
    made = []
    for name in types:
        limit, file_name = TYPES[name]
        path = os.path.join(directory, file_name)
        with files.open_file(path, "wb") as stream:
            stream.write(_convert(package, name, length))
        engine = Interpreter(path, length)
        _append_files(package, directory, path)
        made.append(exporting.Artifact("TFLite %s" % name, path, engine, limit, package.head))
    return made


def _convert(package, type_name, length):
    """The bytes of a file."""
    shape, predictions = ((1, length), PREDICTIONS) if length else ((None, None), None)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs, outputs = frozen_graph.named_graph(package, shape, predictions)
        inference_graph.load(session, package.weights.arrays)
        converter = tf.lite.TFLiteConverter.from_session(
            session, list(inputs.values()), list(outputs.values()))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if type_name != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if type_name == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            with _quiet():
                return converter.convert()
        except convert.ConverterError as error:
            raise UserError("--format=tflite: TensorFlow %s cannot convert this model (%s); leave "
                            "this format out, or take another TensorFlow 2" % (
                                tf.__version__, str(error).strip().split("\n")[0])) from None


@contextlib.contextmanager
def _quiet():
    """The log that TensorFlow Lite's C++ writes to stderr goes nowhere; errors are exceptions."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _append_files(package, directory, path):
    """Appends labels, vocabulary and model.json; the file stays readable, as it is read from its
    beginning, and an archive from its end."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name in (FILE, tokenizer_files.VOCAB, tokenizer_files.SENTENCEPIECE):
            if os.path.exists(os.path.join(directory, name)):
                archive.write(os.path.join(directory, name), name)
        if package.labels:
            archive.writestr(LABELS, "".join(label + "\n" for label in package.labels))


class Interpreter(object):
    """Runs a file by TensorFlow Lite's own interpreter, as the engines do.

    Args:
      path: of the file.
      length: S of a file of fixed length, which gets its sequences one by one; 0: any.
    """

    name = "tflite"

    def __init__(self, path, length=0):
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # of TensorFlow, that LiteRT will take its place
            self._interpreter = _interpreter_class()(model_path=path)
            self._interpreter.allocate_tensors()
        self._length, self._shapes = length, None
        self._in, self._out = ({one["name"]: one["index"] for one in details} for details in (
            self._interpreter.get_input_details(), self._interpreter.get_output_details()))
        self.inputs, self.outputs = sorted(self._in), sorted(self._out)

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        given = {name: np.asarray(features[name], np.int32) for name in self.inputs}
        if not self._length:
            return self._run(given)
        rows = [self._run_padded({name: array[[index]] for name, array in given.items()})
                for index in range(len(given["input_ids"]))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _run(self, given):
        shapes = {name: array.shape for name, array in given.items()}
        if not self._length and shapes != self._shapes:
            for name, shape in shapes.items():
                self._interpreter.resize_tensor_input(self._in[name], shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for name, array in given.items():
            self._interpreter.set_tensor(self._in[name], array)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._out.items()}

    def _run_padded(self, given):
        """One sequence, filled up to the length of the file; its outputs are cut to its own."""
        outputs = self._run({name: np.pad(
            array, [(0, 0), (0, (PREDICTIONS if name == POSITIONS else self._length)
                             - array.shape[1])], "constant") for name, array in given.items()})
        return {name: array[:, :given[POSITIONS if name == "masked_lm_logits" else
                                      "input_ids"].shape[1]] if array.ndim == 3 else array
                for name, array in outputs.items()}


def _interpreter_class():
    """TensorFlow's, or that of LiteRT's package, which takes its place."""
    if hasattr(tf.lite, "Interpreter"):
        return tf.lite.Interpreter
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError("%s; pip install ai-edge-litert to run TFLite files" % error) from None
    return Interpreter
