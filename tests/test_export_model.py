"""The command that writes every format, and keeps what differs under another name."""

import json
import logging
import os

from util.errors import UserError

import pytest
import tensorflow.compat.v1 as tf

import export_model
import packages
import tiny
from interchange import tensorflow_files
from serving import decisions, engines, exporting, package, predictor

HAS_ONNX = engines.available()[0] == "onnxruntime"
FORMATS = ["saved_model", "frozen_graph", "hub"] + ["tflite"] * (
    not tf.__version__.startswith("1.")) + ["onnx"] * HAS_ONNX
FILES = {"saved_model": ["batching_parameters.txt", "model"], "frozen_graph": ["frozen_graph.pb"],
         "hub": ["hub"], "tflite": ["model.tflite"], "onnx": ["model.onnx", "triton"]}


@pytest.fixture
def here(tmp_path):
    """A directory with a fine-tuned classification of random weights in model/."""
    (tmp_path / "model").mkdir()
    found = packages.random_package(tmp_path / "model", "classification")
    tensorflow_files.write_tensorflow(found.weights.arrays, str(tmp_path / "model" / "model.ckpt"))
    (tmp_path / "model" / "config.json").write_text(json.dumps(found.weights.config.to_dict()))
    (tmp_path / "model" / package.FILE).unlink()
    return tmp_path


def export(here, **values):
    export_model.main(tiny.parse(export_model.define_flags, **dict(
        {"model": here / "model", "output": here / "out", "text_signature": False}, **values)))


def test_every_format(here, caplog):
    caplog.set_level(logging.INFO, "albert")
    export(here, format=",".join(FORMATS))
    assert sorted(os.listdir(str(here / "out"))) == sorted(
        ["model.json", "vocab.txt"] + [name for one in FORMATS for name in FILES[one]])
    lines = caplog.messages
    reports = [line for line in lines if "largest difference from the checkpoint" in line]
    assert len(reports) == len(FORMATS) + 1  # of the SavedModel two signatures
    assert all("MB, " in line and " ms a sentence" in line for line in reports)
    assert "100.00 % of 70 decisions equal" in reports[0]
    assert lines[-1].startswith("next: ")


@pytest.mark.one_platform
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "onnx"])
def test_what_differs_is_kept_aside(here, monkeypatch, name):
    """A file of other weights than the checkpoint's."""
    reference = exporting.Reference

    def of_other_weights(found):
        arrays = dict(found.weights.arrays)
        arrays["bert/pooler/dense/bias"] = arrays["bert/pooler/dense/bias"] + 0.5
        return reference(found._replace(weights=found.weights._replace(arrays=arrays)))

    monkeypatch.setattr(exporting, "Reference", of_other_weights)
    with pytest.raises(UserError, match=": it differs by .*, more than 1e-04.*; the export is kept "
                                        "as .*out.unequal for a look"):
        export(here, format=name)
    assert sorted(os.listdir(str(here))) == ["model", "out.unequal"]
    assert set(FILES[name]) < set(os.listdir(str(here / "out.unequal")))


@pytest.mark.skipif("tflite" not in FORMATS, reason="TensorFlow Lite wants TensorFlow 2")
@pytest.mark.slow
def test_int8_of_tflite_is_kept_by_its_decisions(here, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "albert")
    (here / "eval.tsv").write_text("一丁\tLABEL_0\n一\t丁\tLABEL_1\n", encoding="utf-8")
    options = {"format": "tflite", "tflite_types": "float32,int8", "eval_file": here / "eval.tsv"}
    export(here, **options)
    assert any(line.startswith("of 2 decisions 0.00 % flipped") for line in caplog.messages)
    assert (here / "out" / "model_int8.tflite").exists()
    counted = decisions.Decisions(90, 0.5, 0.9, 0.5)
    monkeypatch.setattr(decisions, "compare", lambda *arguments: counted)
    with pytest.raises(UserError, match="TFLite int8: 50.00 % of the decisions flipped, more than "
                                        "--max_flips=0.005; the export is kept as"):
        export(here, output=here / "bad", **options)


@pytest.mark.skipif("tflite" not in FORMATS, reason="TensorFlow Lite wants TensorFlow 2")
def test_a_length_of_tflite_is_the_longest_of_all(here):
    export(here, format="tflite", tflite_length=16)
    assert json.loads((here / "out" / "model.json").read_text())["max_seq_length"] == 16
    with pytest.raises(UserError, match="--tflite_length=99: the model has 48 positions; give so"):
        export(here, format="tflite", tflite_length=99, output=here / "long")
    assert not (here / "long").exists()


@pytest.mark.one_platform
def test_an_export_without_onnx_says_so(here):
    export(here, format="frozen_graph")
    with pytest.raises(UserError, match="no model.onnx; export the model again with --format=onnx"):
        predictor.load(str(here / "out"))


@pytest.mark.parametrize("values, message", [
    ({"format": "onnx,keras"}, "--format=onnx,keras: expected one or several of onnx, saved_model"),
    ({"format": ""}, "--format=: expected one or several of"),
    ({"tflite_types": "int4"}, "--tflite_types=int4: expected one or several of float32, float16"),
    ({"format": "hub", "int8": True}, "--int8 and --optimize are of ONNX; add onnx to --format"),
    ({"format": "tflite", "tflite_types": "int8"}, "--eval_file is missing"),
])
def test_flags_that_do_not_go_together(here, values, message):
    with pytest.raises(UserError, match=message):
        export(here, **values)
    assert os.listdir(str(here)) == ["model"]
