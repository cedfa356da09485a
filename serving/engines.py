"""What computes a model's logits: ONNX Runtime, OpenVINO or TensorFlow, with the same answers.

TensorFlow is loaded for weights of a checkpoint alone, not for an ONNX file.

    engine = engines.create("auto", weights, head="classification")
    engine.run({"input_ids": ids, "input_mask": mask, "segment_ids": segments})   # {"logits": …}
"""

import importlib.util
import os

from util.errors import UserError

import numpy as np

NAMES = ("onnxruntime", "openvino", "tensorflow")
REQUIREMENTS = "pip install -r requirements-serving.txt"


def available():
    """The names of the engines whose packages are installed, the preferred one first."""
    return [name for name in NAMES[:2] if importlib.util.find_spec(name)
            and importlib.util.find_spec("onnx")] + ["tensorflow"]


def create(name, weights, head, num_threads=None, path=None, fused=True):
    """An engine.

    Args:
      name: of NAMES, or "auto": ONNX Runtime where it is installed, else TensorFlow.
      weights: interchange.layouts.Weights; None with a path.
      head: of interchange.tables.HEADS, or None for a pre-trained model.
      num_threads: processors to use; None: all.
      path: of an ONNX file instead of weights.
      fused: whether ONNX Runtime gets its own operators, of weights.

    Raises:
      UserError: the engine's package is not installed, or cannot read an ONNX file.
    """
    if name == "auto":
        name = (available() if weights is not None else ["onnxruntime"])[0]
    if name == "tensorflow":
        if weights is None:
            raise UserError("%s: TensorFlow does not run ONNX; %s, or give the directory that the "
                            "model was trained in" % (path, REQUIREMENTS))
        from interchange import inference_graph
        return inference_graph.Session(weights, head)
    kind = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}[name]
    try:
        if path is None:
            from serving import onnx_graph  # of the model's code, which loads TensorFlow
            content = onnx_graph.build(
                weights, head, fused and name == "onnxruntime").SerializeToString()
        else:
            with open(path, "rb") as stream:
                content = stream.read()
        return kind(content, num_threads)
    except ImportError as error:
        raise UserError("--engine=%s: %s; %s" % (name, error, REQUIREMENTS)) from None


class OnnxRuntime(object):
    """Runs a serialized onnx.ModelProto by ONNX Runtime."""

    name = "onnxruntime"

    def __init__(self, content, num_threads=None):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or os.cpu_count() or 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]
        self.outputs = [one.name for one in self._session.get_outputs()]

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        values = self._session.run(None, {
            name: np.asarray(features[name], np.int64) for name in self._inputs})
        return dict(zip(self.outputs, values))


class OpenVino(object):
    """Runs a serialized onnx.ModelProto by OpenVINO."""

    name = "openvino"

    def __init__(self, content, num_threads=None):
        import openvino
        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if num_threads:
            options["INFERENCE_NUM_THREADS"] = num_threads
        self._model = core.compile_model(core.read_model(content), "CPU", options)
        self._inputs = [one.get_any_name() for one in self._model.inputs]
        self.outputs = [one.get_any_name() for one in self._model.outputs]

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        found = self._model.create_infer_request().infer({
            name: np.asarray(features[name], np.int64) for name in self._inputs})
        return {name: np.array(found[name]) for name in self.outputs}
