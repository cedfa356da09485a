"""What computes: the same numbers by every engine, and which one is taken."""

import logging
import sys
import types

from util import platforms
from util.errors import UserError

import numpy as np
import pytest

from serving import engines, package
from test_conversion import random_weights

platforms.start()
ENGINES = engines.available()


@pytest.fixture(scope="module")
def weights():
    return random_weights()


def package_of(weights, onnx=None):
    tokenizer = types.SimpleNamespace(vocab_size=weights.config.vocab_size) if weights else None
    return package.Package(None, None, [], 16, tokenizer, onnx, weights, "f", None)


@pytest.mark.parametrize("name", ENGINES)
def test_outputs_do_not_depend_on_the_engine(weights, name):
    batch = engines._batch(package_of(weights))
    exact = engines.create("tensorflow", weights, None, 1).run(batch)
    found = engines.create(name, weights, None, 2).run(batch)
    for output, array in exact.items():
        assert np.abs(found[output] - array).max() <= 1e-4 * np.abs(array).max(), output


def has_bfloat16():
    if "openvino" not in ENGINES:
        return False
    import openvino
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.skipif(not has_bfloat16(), reason="a processor with bfloat16")
def test_bfloat16_is_near_and_not_equal(weights):
    batch = engines._batch(package_of(weights))
    exact, found = (engines.create("auto", weights, None, bfloat16=bfloat16).run(batch)[
        "pooled_output"] for bfloat16 in (False, True))
    assert 1e-5 < np.abs(exact - found).max() < 0.1


@pytest.mark.skipif("openvino" not in ENGINES, reason=engines.REQUIREMENTS)
def test_a_processor_without_bfloat16(weights, monkeypatch):
    import openvino
    monkeypatch.setattr(openvino.Core, "get_property", lambda *arguments: ["FP32"])
    with pytest.raises(UserError, match="--bfloat16: this processor does not compute in it"):
        engines.create("auto", weights, None, bfloat16=True)


def test_engines_that_are_not_there(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match="--engine=openvino: .*; pip install -r requirements-serv"):
        engines.create("openvino", weights, None)
    with pytest.raises(UserError, match="a.onnx: TensorFlow does not run ONNX; pip install"):
        engines.create("tensorflow", None, None, path="a.onnx")
    with pytest.raises(UserError, match="--bfloat16 with --engine=tensorflow: only OpenVINO"):
        engines.create("tensorflow", weights, None, bfloat16=True)


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "tensorflow"])
def test_a_damaged_file(tmp_path, name):
    (tmp_path / "model.onnx").write_bytes(b"\x08damaged")
    with pytest.raises(UserError, match="model.onnx: %s cannot read it .*; export the model again"
                                        % name):
        engines.create(name, None, None, path=str(tmp_path / "model.onnx"))


def test_what_is_installed(monkeypatch):
    there = {"onnxruntime"}
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: name in there or None)
    assert engines.available(has_weights=False) == ["onnxruntime"]
    assert engines.available() == ["tensorflow"]  # to write ONNX of weights needs onnx
    there.update(["onnx", "openvino"])
    assert engines.available() == ["onnxruntime", "openvino", "tensorflow"]
    assert engines.choose("auto", True) == "onnxruntime"
    assert engines.choose("auto", True, bfloat16=True) == "openvino"
    there.clear()
    assert engines.choose("auto", True) == "tensorflow"
    assert engines.choose("auto", False) == "onnxruntime"  # whose error says what to install


class Slow(object):
    """An engine that takes so many seconds and computes one number."""

    def __init__(self, seconds, number=1.0):
        self._seconds, self._number = seconds, number

    def run(self, features):
        engines.time.sleep(self._seconds)
        return {"logits": np.full(len(features["input_ids"]), self._number)}


def test_the_fastest_that_computes_the_same(weights, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "albert")
    made = {"onnxruntime": Slow(0.03), "openvino": Slow(0.01), "tensorflow": Slow(0, 1.1)}
    monkeypatch.setattr(engines, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(engines, "available", lambda has_weights: list(made))
    monkeypatch.setattr(engines, "create", lambda name, *arguments: made[name])
    assert engines.fastest(package_of(weights)) == "openvino"
    assert caplog.messages[0] == "tensorflow is left out: its numbers are not those of onnxruntime"
    assert caplog.messages[1].startswith(
        "--engine=openvino, the fastest on 64 x 16 tokens: onnxruntime 3")

    def create(name, *arguments):
        if name == "openvino":
            raise UserError("no such operator")
        return made[name]

    monkeypatch.setattr(engines, "create", create)
    assert engines.fastest(package_of(weights)) == "onnxruntime"
    assert "openvino is left out: no such operator" in caplog.messages
    monkeypatch.setattr(engines, "available", lambda has_weights: ["tensorflow"])
    assert engines.fastest(package_of(weights)) == "tensorflow"
