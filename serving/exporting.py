"""Writing an ONNX file and looking whether it answers as the checkpoint does.

    report = exporting.export(package, "model.onnx", int8=False)
"""

import collections
import os
import time

from util.errors import UserError

import numpy as np

from interchange import inference_graph, proof
from interchange.tables import POSITIONS
from serving import decisions as decisions_of
from serving import engines, onnx_graph

LIMIT = 1e-4  # of float32, as a share of the largest value

# difference: the largest of any output, as a share of the largest value; bytes: of the file;
# milliseconds: of one sentence, by ONNX Runtime.
Report = collections.namedtuple("Report", "difference bytes milliseconds")


def export(package, path, int8=False, fused=False):
    """Writes an ONNX file of a Package with weights.

    Args:
      package: serving.package.Package.
      path: of the file.
      int8: whether products are of 8-bit integers, weights by column.
      fused: whether to use ONNX Runtime's own operators.

    Raises:
      UserError: a package is missing.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 - the file is run at once
    except ImportError as error:
        raise UserError("%s; %s" % (error, engines.REQUIREMENTS)) from None
    onnx.save(onnx_graph.build(package.weights, package.head, fused), path)
    if int8:
        _quantize(path)


def _quantize(path):
    """Replaces the products of an ONNX file by those of 8-bit integers; activations dynamically."""
    from onnxruntime import quantization
    part = path + ".float"
    os.replace(path, part)
    quantization.quantize_dynamic(
        part, path, op_types_to_quantize=["MatMul", "Gather"], per_channel=True,
        reduce_range=not has_vnni(), weight_type=quantization.QuantType.QInt8)
    os.remove(part)


def has_vnni():
    """Whether this processor adds products of 8-bit integers without saturating (VNNI, AMX)."""
    try:
        with open("/proc/cpuinfo") as stream:
            return "vnni" in stream.read()
    except OSError:  # not Linux
        return False


def batches(package):
    """Batches that show an export's faults: one short sentence, padding, the longest sequence.

    Args:
      package: serving.package.Package with weights.
    """
    tokenizer, config = package.tokenizer, package.weights.config
    length = min(package.max_seq_length, config.max_position_embeddings)
    found = [proof.batch(tokenizer, config, min(64, length))]
    short = {name: array[:1, :6] for name, array in found[0].items()}
    random = np.random.RandomState(3)
    longest = {"input_ids": random.randint(0, config.vocab_size, [2, length]).astype(np.int32),
               "input_mask": np.ones([2, length], np.int32),
               "segment_ids": np.zeros([2, length], np.int32)}
    longest["input_mask"][1, length // 2:] = 0
    found += [short, longest]
    if package.head is None:
        for batch in found:
            count, size = batch["input_ids"].shape
            batch[POSITIONS] = random.randint(0, size, [count, 3]).astype(np.int32)
    return found


def compare(package, path, all_batches):
    """The Report of an ONNX file beside the checkpoint's own graph.

    Args:
      package: serving.package.Package with weights.
      path: of the file.
      all_batches: of `batches`.
    """
    session = inference_graph.Session(package.weights, package.head)
    engine = engines.create("onnxruntime", None, package.head, path=path)
    worst = 0.0
    for batch in all_batches:
        expected, found = session.run(batch), engine.run(batch)
        for name, array in expected.items():
            other = found[name]
            if name == "sequence_output" or package.head in ("tagging", "reading"):
                is_token = batch["input_mask"] > 0
                array, other = array[is_token], other[is_token]
            worst = max(worst, float(np.abs(array - other).max() / max(1.0, np.abs(array).max())))
    one = {name: array[:1] for name, array in all_batches[0].items()}
    engine.run(one)
    begin = time.time()
    for _ in range(20):
        engine.run(one)
    return Report(worst, os.path.getsize(path), 1000 * (time.time() - begin) / 20)


def decisions(package, path, lines):
    """The Decisions of a classification's checkpoint and of its ONNX file.

    Args:
      package: serving.package.Package with weights, of one label.
      path: of the file.
      lines: of a text, or two, and the label, with tabs between.

    Raises:
      UserError: a line has another number of cells, or a label that is none.
    """
    return decisions_of.compare(
        package, inference_graph.Session(package.weights, package.head),
        engines.create("onnxruntime", None, package.head, path=path), lines)
