"""What stands beside an ONNX file: a model of Triton's repository."""

import re

import pytest

import packages
from serving import engines, exporting, onnx_file

pytest.importorskip("onnxruntime", reason=engines.REQUIREMENTS)


@pytest.mark.parametrize("head, outputs", [
    ("classification", {"logits": "3"}), ("tagging", {"logits": "-1, 3"}),
    (None, {"sequence_output": "-1, 16", "pooled_output": "16", "sentence_order_logits": "2",
            "masked_lm_logits": "-1, 100"})])
def test_triton(tmp_path, head, outputs):
    found = packages.random_package(tmp_path, head)
    artifact, = onnx_file.write(found, str(tmp_path))
    packages.assert_equal_answers(found, [artifact])
    text = (tmp_path / "triton" / "albert" / "config.pbtxt").read_text()
    inputs, rest = text.split("output [")
    tensor = r'{ name: "(\w+)" data_type: (\w+) dims: \[ (.*?) \] }'
    assert re.findall(tensor, inputs) == [
        (name, "TYPE_INT64", "-1") for name in artifact.engine.inputs]
    assert re.findall(tensor, rest) == [
        (name, "TYPE_FP32", dims) for name, dims in outputs.items()]
    assert 'backend: "onnxruntime"' in text and "max_batch_size: 64" in text
    copy = tmp_path / "triton" / "albert" / "1" / "model.onnx"
    assert copy.stat().st_ino == (tmp_path / "model.onnx").stat().st_ino  # no bytes of its own
    assert exporting.size(str(tmp_path / "triton")) > exporting.size(artifact.path)
