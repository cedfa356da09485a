"""Files of TensorFlow Lite: equal answers, built-in operators alone, what is appended."""

import zipfile

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import packages
from serving import exporting, tflite

IS_TF1 = tf.__version__.startswith("1.")
needs_tf2 = pytest.mark.skipif(IS_TF1, reason="TensorFlow 1's converter lacks operators")


@needs_tf2
@pytest.mark.parametrize("head, config, length", [
    ("classification", {"num_hidden_groups": 1}, 0), (None, {}, 0),
    ("tagging", {"hidden_act": "relu"}, 16), (None, {"num_hidden_groups": 1}, packages.POSITIONS),
    pytest.param("reading", {"num_hidden_groups": 2, "hidden_act": "gelu_erf"}, 0,
                 marks=pytest.mark.slow),
    pytest.param("choice", {}, 0, marks=pytest.mark.slow)])
def test_equal_answers(tmp_path, head, config, length):
    found = packages.random_package(tmp_path, head, **config)
    if length:
        found = found._replace(max_seq_length=length)
    artifacts = tflite.write(found, str(tmp_path), ["float32", "float16"], length)
    packages.assert_equal_answers(found, artifacts)
    assert {"logits"} == set(artifacts[0].engine.outputs) or head is None
    assert custom_operators(tmp_path / "model.tflite") == []


def custom_operators(path):
    """Names of the operators of a file that are not built in, Flex's among them."""
    from tensorflow.lite.python import schema_py_generated as schema
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    assert len(codes) > 10
    return [code.CustomCode() for code in codes
            if code.BuiltinCode() == schema.BuiltinOperator.CUSTOM]


@needs_tf2
def test_a_fixed_length(tmp_path):
    found = packages.random_package(tmp_path, "classification")
    engine = tflite.write(found, str(tmp_path), ["float32"], 16)[0].engine
    details = engine._interpreter.get_input_details()
    assert {tuple(one["shape_signature"]) for one in details} == {(1, 16)}
    batch = {name: np.ones([2, 7], np.int32) for name in engine.inputs}
    assert engine.run(batch)["logits"].shape == (2, 3)


@needs_tf2
@pytest.mark.slow
def test_sizes(tmp_path):
    """Shared weights stand once; int8 is a quarter and float16 half of float32."""
    sizes = {}
    for layers, types in ((2, tflite.TYPES), (6, ["float32"])):
        found = packages.random_package(tmp_path, "classification", num_hidden_layers=layers,
                                        hidden_size=128, intermediate_size=512)
        for artifact in tflite.write(found, str(tmp_path), types):
            sizes[layers, artifact.name.split()[-1]] = exporting.size(artifact.path)
    arrays = 4 * sum(array.size for array in found.weights.arrays.values())
    assert arrays < sizes[2, "float32"] < sizes[6, "float32"] < 1.2 * arrays
    assert sizes[2, "float16"] < 0.6 * sizes[2, "float32"]
    assert sizes[2, "int8"] < 0.4 * sizes[2, "float32"]


@needs_tf2
def test_labels_and_vocabulary_are_in_the_file(tmp_path):
    found = packages.random_package(tmp_path, "classification")
    tflite.write(found, str(tmp_path))
    with zipfile.ZipFile(str(tmp_path / "model.tflite")) as archive:
        assert archive.namelist() == ["model.json", "vocab.txt", "labels.txt"]
        assert archive.read("labels.txt") == b"no\nmaybe\nyes\n"
        assert archive.read("vocab.txt") == (tmp_path / "vocab.txt").read_bytes()


@needs_tf2
def test_a_model_that_cannot_be_converted(tmp_path, monkeypatch):
    found = packages.random_package(tmp_path, "classification")
    converter = tf.lite.TFLiteConverter

    def refuse(self):
        raise tflite.convert.ConverterError("no such operator\nand a long log")

    monkeypatch.setattr(converter, "convert", refuse)
    with pytest.raises(UserError, match=r"cannot convert this model \(no such operator\); leave"):
        tflite.write(found, str(tmp_path))


@pytest.mark.skipif(not IS_TF1, reason="of TensorFlow 1")
def test_tensorflow_1_cannot(tmp_path):
    with pytest.raises(UserError, match="the converter of TensorFlow 1.15.5 does not know"):
        tflite.write(packages.random_package(tmp_path, "classification"), str(tmp_path))
