"""What computes a model's logits: ONNX Runtime, OpenVINO or TensorFlow, with the same answers.

TensorFlow is loaded for weights of a checkpoint alone, not for an ONNX file.

    engine = engines.create("auto", weights, head="classification")
    engine.run({"input_ids": ids, "input_mask": mask, "segment_ids": segments})   # {"logits": …}
"""

import importlib.util
import time

from util import console, workers
from util.errors import UserError

import numpy as np

from interchange.tables import INPUTS, POSITIONS

NAMES = ("onnxruntime", "openvino", "tensorflow")
REQUIREMENTS = "pip install -r requirements-serving.txt"
LIMIT = 1e-4  # of what engines may differ by, as a share of the largest value
MEASURED_TOKENS, MEASURED_LENGTH, MEASURED_SECONDS = 1024, 128, 0.3


def available(has_weights=True):
    """The names of the engines whose packages are installed, the preferred one first.

    Args:
      has_weights: whether they get the weights of a checkpoint, not an ONNX file.
    """
    is_there = importlib.util.find_spec
    names = [name for name in NAMES[:2] if is_there(name) and (is_there("onnx") or not has_weights)]
    return names + ["tensorflow"] * has_weights


def choose(name, has_weights, bfloat16=False):
    """The name of the engine of a --engine, "auto" or one of NAMES.

    Raises:
      UserError: it does not compute in bfloat16.
    """
    if name == "auto":
        name = "openvino" if bfloat16 else (available(has_weights) + ["onnxruntime"])[0]
    if bfloat16 and name != "openvino":
        raise UserError("--bfloat16 with --engine=%s: only OpenVINO computes in it; give "
                        "--engine=openvino or leave --bfloat16 out" % name)
    return name


def create(name, weights, head, num_threads=None, path=None, fused=True, bfloat16=False):
    """An engine.

    Args:
      name: of NAMES, or "auto": ONNX Runtime where it is installed, else OpenVINO, else TensorFlow;
        in bfloat16 OpenVINO.
      weights: interchange.layouts.Weights; None with a path.
      head: of interchange.tables.HEADS, or None for a pre-trained model.
      num_threads: processors to use; None: all that this process may.
      path: of an ONNX file instead of weights.
      fused: whether ONNX Runtime gets its own operators, of weights.
      bfloat16: whether products are of bfloat16.

    Raises:
      UserError: the engine's package is not installed, it cannot read an ONNX file or, asked for
        it, compute in bfloat16.
    """
    name = choose(name, weights is not None, bfloat16)
    num_threads = num_threads or workers.processors()
    if name == "tensorflow":
        if weights is None:
            raise UserError("%s: TensorFlow does not run ONNX; %s, or give the directory that the "
                            "model was trained in" % (path, REQUIREMENTS))
        from interchange import inference_graph
        return inference_graph.Session(weights, head, num_threads)
    try:
        if path is None:
            from serving import onnx_graph  # of the model's code, which loads TensorFlow
            content = onnx_graph.build(
                weights, head, fused and name == "onnxruntime").SerializeToString()
        else:
            with open(path, "rb") as stream:
                content = stream.read()
        if name == "openvino":
            return OpenVino(content, num_threads, bfloat16)
        return OnnxRuntime(content, num_threads)
    except ImportError as error:
        raise UserError("--engine=%s: %s; %s" % (name, error, REQUIREMENTS)) from None
    except UserError:
        raise
    except Exception as error:  # noqa: B902 - both raise classes of their own, and RuntimeError
        if path is None:
            raise
        raise UserError("%s: %s cannot read it (%s); export the model again, or take another "
                        "--engine" % (path, name, str(error).strip().split("\n")[0])) from None


def fastest(package, num_threads=None):
    """The name of the engine that computes a batch of a Package fastest here; says so.

    Each one that is installed is tried for a fraction of a second. Those that cannot read the model
    or do not compute what the first one does are left out.

    Args:
      package: serving.package.Package.
      num_threads: as of `create`.
    """
    names = available(package.weights is not None)
    if len(names) < 2:
        return names[0] if names else "onnxruntime"
    batch, expected, milliseconds = _batch(package), None, {}
    for name in names:
        try:
            engine = create(name, package.weights, package.head, num_threads, package.onnx)
        except UserError as error:
            console.say("%s is left out: %s", name, error)
            continue
        arrays = engine.run(batch)
        expected = expected or arrays
        if not all(np.abs(arrays[key] - expected[key]).max() <= LIMIT * max(
                1.0, np.abs(expected[key]).max()) for key in expected):
            console.say("%s is left out: its numbers are not those of %s", name, names[0])
            continue
        milliseconds[name] = 1000 * _seconds(engine, batch)
    chosen = min(milliseconds, key=milliseconds.get)
    console.say("--engine=%s, the fastest on %d x %d tokens: %s", chosen,
                *batch["input_ids"].shape, ", ".join(
                    "%s %.3g ms" % item for item in milliseconds.items()))
    return chosen


def _batch(package):
    """A full batch of a model's inputs."""
    length = min(MEASURED_LENGTH, package.max_seq_length)
    shape = [max(1, MEASURED_TOKENS // length), length]
    batch = {name: np.zeros(shape, np.int32) for name in INPUTS}
    batch["input_mask"] += 1
    batch["input_ids"] += np.random.RandomState(0).randint(
        0, package.tokenizer.vocab_size, shape).astype(np.int32)
    if package.head is None:
        batch[POSITIONS] = np.ones([shape[0], 1], np.int32)
    return batch


def _seconds(engine, batch):
    """The least time of a run, of those within MEASURED_SECONDS."""
    durations, end = [], time.time() + MEASURED_SECONDS
    while not durations or time.time() < end:
        began = time.time()
        engine.run(batch)
        durations.append(time.time() - began)
    return min(durations)


class OnnxRuntime(object):
    """Runs a serialized onnx.ModelProto by ONNX Runtime."""

    name = "onnxruntime"

    def __init__(self, content, num_threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self._session.get_inputs()]
        self.outputs = [one.name for one in self._session.get_outputs()]

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        values = self._session.run(None, {
            name: np.asarray(features[name], np.int64) for name in self.inputs})
        return dict(zip(self.outputs, values))

    def signature(self):
        """(inputs, outputs): lists of ONNX Runtime's, with name, shape and type."""
        return self._session.get_inputs(), self._session.get_outputs()


class OpenVino(object):
    """Runs a serialized onnx.ModelProto by OpenVINO."""

    def __init__(self, content, num_threads, bfloat16=False):
        import openvino
        core = openvino.Core()
        if bfloat16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UserError("--bfloat16: this processor does not compute in it (AMX or AVX512_BF16 "
                            "would); leave it out")
        model = core.compile_model(core.read_model(content), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": num_threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32"})
        self.name = "openvino in bfloat16" if bfloat16 else "openvino"
        self.inputs = [one.get_any_name() for one in model.inputs]
        # An output has the name of the node behind it, too.
        self._names = [sorted(one.get_names()) for one in model.outputs]
        self.outputs = [name for names in self._names for name in names]
        self._model = model

    def run(self, features):
        """{input: int [B, ...]} -> {output: float [B, ...]}."""
        results = self._model.create_infer_request().infer({
            name: np.asarray(features[name], np.int64) for name in self.inputs})
        arrays = [np.array(results[index]) for index in range(len(self._names))]
        return {name: array for names, array in zip(self._names, arrays) for name in names}
