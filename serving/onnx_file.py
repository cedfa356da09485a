"""A model as an ONNX file, plain, with ONNX Runtime's operators or of 8-bit integers, and what the
Triton inference server wants beside it.

    onnx_file.write(package, directory, int8=False, fused=False)    # model.onnx, triton/
"""

import os
import shutil

from util import console, processors, whole_files
from util.errors import UserError

from serving import engines, exporting, onnx_graph
from serving.package import ONNX

TRITON = os.path.join("triton", "albert")
_TYPES = {"tensor(int64)": "TYPE_INT64", "tensor(float)": "TYPE_FP32"}
_CONFIG = """name: "albert"
backend: "onnxruntime"
max_batch_size: %d
input [%s
]
output [%s
]
dynamic_batching {
  max_queue_delay_microseconds: 2000
}
"""
MAX_BATCH_SIZE = 64  # of requests that Triton merges; those of one length alone are


def write(package, directory, int8=False, fused=False):
    """Writes ONNX and TRITON into a directory.

    Args:
      package: serving.package.Package with weights.
      int8: whether products are of 8-bit integers, weights by column.
      fused: whether to use ONNX Runtime's own operators.

    Returns:
      [exporting.Artifact].

    Raises:
      UserError: a package is missing.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 - the file is run at once
    except ImportError as error:
        raise UserError("%s; %s" % (error, engines.REQUIREMENTS)) from None
    path = os.path.join(directory, ONNX)
    onnx.save(onnx_graph.build(package.weights, package.head, fused), path)
    if int8:
        _quantize(path)
        if not processors.has_vnni():
            console.say("this processor has no VNNI: 7-bit weights were used, as products of 8 "
                        "bits would saturate")
    engine = engines.create("onnxruntime", None, package.head, path=path)
    _write_triton(engine, path, os.path.join(directory, TRITON))
    return [exporting.Artifact("ONNX int8" if int8 else "ONNX", path, engine,
                               None if int8 else exporting.LIMIT, package.head)]


def _quantize(path):
    """Replaces the products of an ONNX file by those of 8-bit integers; activations dynamically."""
    from onnxruntime import quantization
    part = path + ".float"
    os.replace(path, part)
    quantization.quantize_dynamic(
        part, path, op_types_to_quantize=["MatMul", "Gather"], per_channel=True,
        reduce_range=not processors.has_vnni(), weight_type=quantization.QuantType.QInt8)
    os.remove(part)


def _write_triton(engine, path, directory):
    """Writes a model of Triton's repository: its config, and the file once more without its bytes.
    """
    def tensors(values):
        return "".join('\n  { name: "%s" data_type: %s dims: [ %s ] }%s' % (
            one.name, _TYPES[one.type], ", ".join(str(size if isinstance(size, int) else -1)
                                                  for size in one.shape[1:]),
            "," * (one is not values[-1])) for one in values)

    version = os.path.join(directory, "1")
    os.makedirs(version)
    inputs, outputs = engine.signature()
    whole_files.write_lines(os.path.join(directory, "config.pbtxt"), [
        (_CONFIG % (MAX_BATCH_SIZE, tensors(inputs), tensors(outputs))).rstrip("\n")])
    try:
        os.link(path, os.path.join(version, ONNX))
    except OSError:  # a file system without hard links
        shutil.copyfile(path, os.path.join(version, ONNX))
