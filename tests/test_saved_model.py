"""SavedModels for TensorFlow Serving: what each signature answers, alone and merged."""

import functools
import glob
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import packages
from conftest import ROOT
from interchange import inference_graph, proof
from interchange.tables import POSITIONS
from serving import exporting, saved_model, text_signature
from test_text_signature import HAS_TEXT, needs_text


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """`write` in a directory of its own, once for the same model; and that directory."""
    @functools.lru_cache(None)
    def once(head=None, kind=None, **config):
        directory = tmp_path_factory.mktemp("written")
        return write(directory, head, kind, **config) + (directory,)
    return once


def write(tmp_path, head=None, kind=None, with_text=False, **config):
    """(Package, {signature: engine}) of a SavedModel in tmp_path/out."""
    found = packages.random_package(tmp_path, head, kind, **config)
    artifacts = saved_model.write(found, str(tmp_path / "out"), with_text)
    packages.assert_equal_answers(found, artifacts)
    return found, saved_model.load(str(tmp_path / "out" / "model" / "1"))


@pytest.mark.parametrize("head, kind, config, signatures", [
    ("classification", None, {}, []), (None, None, {"num_hidden_groups": 1}, ["masked_lm"]),
    pytest.param("classification", "multi_label", {}, [], marks=pytest.mark.slow),
    pytest.param("tagging", None, {"num_hidden_groups": 1}, [], marks=pytest.mark.slow),
    pytest.param("reading", None, {}, [], marks=pytest.mark.slow),
    pytest.param("choice", None, {"num_hidden_groups": 2}, [], marks=pytest.mark.slow)])
def test_signatures(written, head, kind, config, signatures):
    found, engines, _ = written(head, kind, **config)
    assert list(engines) == ["serving_default", "input_mask"] + signatures
    assert engines["serving_default"].inputs == ["input_ids", "lengths", "segment_ids"]
    batch = exporting.batches(found)[0]
    outputs = engines["serving_default"].run(batch)
    if head == "classification":
        total = outputs["probabilities"].sum(-1)
        assert np.allclose(total, 1, atol=1e-5) == (kind is None)
    assert ("masked_lm_logits" in outputs) is False
    if head is None:
        assert engines["masked_lm"].run(batch)["masked_lm_logits"].shape == (3, 3, 100)


@pytest.mark.slow
@needs_text
@pytest.mark.parametrize("head", ["classification", None])
def test_raw_texts(tmp_path, head, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "albert")
    monkeypatch.setattr(text_signature, "samples", lambda: text_signature.EDGES)
    found, engines = write(tmp_path, head, with_text=True)
    assert caplog.messages == ["signature text: equal tokens of 12 texts"]
    assert engines["text"].inputs == ["text_a", "text_b"]
    first, second = proof.SENTENCES[0]
    texts = {"text_a": [first.encode("utf-8"), b""], "text_b": [second.encode("utf-8"), b""]}
    outputs = engines["text"].run(texts)
    name = "logits" if head else "sentence_order_logits"
    expected = inference_graph.Session(found.weights, head).run(exporting.batches(found)[0])
    np.testing.assert_allclose(outputs[name][0], expected[name][0], atol=1e-5)
    if head is None:
        assert outputs["lengths"].tolist()[1] == 2 and outputs["input_ids"].shape[1] > 2


def merge(requests):
    """Requests as TensorFlow Serving merges them: each tensor filled up by its first element."""
    merged = {}
    for name in requests[0]:
        arrays = [request[name] for request in requests]
        longest = np.max([array.shape for array in arrays], 0)
        merged[name] = np.concatenate([np.pad(
            array, [(0, 0)] + [(0, size - own) for size, own in zip(longest[1:], array.shape[1:])],
            "constant", constant_values=array.flat[0]) for array in arrays])
    return merged


@pytest.mark.parametrize("head, config, signature, output", [
    ("classification", {}, "serving_default", "logits"),
    ("tagging", {"num_hidden_groups": 1}, "serving_default", "logits"),
    (None, {"num_hidden_groups": 1}, "masked_lm", "masked_lm_logits")])
def test_merged_requests_answer_as_single_ones(written, head, config, signature, output):
    found, engines, _ = written(head, None, **config)
    engine, requests = engines[signature], []
    for batch in exporting.batches(found)[1:3]:  # of 6 tokens, and of the longest sequence
        for row in range(len(batch["input_ids"])):
            requests.append({name: batch[name][row:row + 1] for name in engine.inputs})
    requests[0][POSITIONS] = requests[0].get(POSITIONS, np.zeros([1, 1]))[:, :1]  # fewer
    requests = [{name: request[name] for name in engine.inputs} for request in requests]
    answers = engine.run(merge(requests))[output]
    for request, answer in zip(requests, answers):
        alone = engine.run(request)[output][0]
        if head == "tagging":
            length = request["lengths"][0]
            answer, alone = answer[:length], alone[:length]
        np.testing.assert_allclose(answer[:len(alone)] if head is None else answer, alone,
                                   atol=1e-5)


def test_a_mask_does_not_survive_merging(written):
    """Why serving_default has none: its padding becomes tokens."""
    found, engines, _ = written("classification", None)
    short, longest = [{name: batch[name][:1] for name in engines["input_mask"].inputs}
                      for batch in exporting.batches(found)[1:3]]
    merged = engines["input_mask"].run(merge([short, longest]))["logits"][0]
    alone = engines["input_mask"].run(short)["logits"][0]
    assert np.abs(merged - alone).max() > 1e-2


def test_files_of_serving(written):
    """Batches that are padded, and requests for the warm-up that every signature answers."""
    _, engines, directory = written(None, None, num_hidden_groups=1)
    lines = (directory / "out" / saved_model.BATCHING).read_text().splitlines()
    assert lines[-1] == "pad_variable_length_inputs: true" and len(lines) == 5
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2",
                               reason=text_signature.REQUIREMENTS)
    warmed = []
    for record in tf.python_io.tf_record_iterator(
            str(directory / "out" / "model" / "1" / saved_model.WARMUP)):
        log = apis.PredictionLog.FromString(record)
        assert log.SerializeToString(deterministic=True) == record
        request = log.predict_log.request
        assert request.model_spec.name == "model"
        outputs = engines[request.model_spec.signature_name].run(
            {name: tf.make_ndarray(value) for name, value in request.inputs.items()})
        warmed.append((request.model_spec.signature_name, len(outputs["pooled_output"])))
    assert warmed == [("serving_default", 1), ("serving_default", 8), ("masked_lm", 1),
                      ("masked_lm", 8)]


def test_why_there_is_no_text(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "albert")
    monkeypatch.setattr(text_signature, "samples", lambda: ["a"])
    write(tmp_path, "tagging", with_text=True)
    assert caplog.messages[-1] == (
        "no signature text: answers of tagging need the places of the tokens in their text")
    monkeypatch.setattr(text_signature, "difference", lambda tokenizer, texts: "'a' is [1] here")
    assert not saved_model._can_have_text(packages.random_package(tmp_path))
    assert caplog.messages[-1] == "no signature text: 'a' is [1] here"
    monkeypatch.undo()
    if not HAS_TEXT:
        assert not saved_model._can_have_text(packages.random_package(tmp_path))
        assert text_signature.REQUIREMENTS in caplog.messages[-1]


WRITE = """
import pathlib, sys
sys.path[:0] = ["tests"]
from util import platforms
platforms.start()
import packages
from serving import saved_model
here = pathlib.Path(sys.argv[1])
saved_model.write(packages.random_package(here, "classification"), str(here / "out"), False)
"""
READ = """
import sys
import tensorflow as tf
for path in sys.argv[1:]:
    found = tf.saved_model.load(path).signatures["serving_default"](
        input_ids=tf.constant([[2, 7, 3, 2]]), segment_ids=tf.constant([[0, 0, 0, 0]]),
        lengths=tf.constant([3]))
    print("logits", *found["logits"].numpy()[0])
"""
OTHERS = sorted(glob.glob(os.path.join(ROOT, ".venv-*", "bin", "python")))


@pytest.mark.slow
@pytest.mark.skipif(tf.__version__.startswith("1."), reason="reads by TensorFlow 2")
def test_read_by_tensorflow_2_whoever_wrote_it(tmp_path, written):
    """This TensorFlow and the others that are here."""
    package, _, own = written("classification", None)
    directories = [own] + [tmp_path / str(number) for number in range(len(OTHERS))]
    for python, directory in zip(OTHERS, directories[1:]):
        directory.mkdir()
        subprocess.run([python, "-c", WRITE, str(directory)], cwd=ROOT, check=True)
    printed = subprocess.run(
        [sys.executable, "-c", READ] + [str(one / "out" / "model" / "1") for one in directories],
        cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    found = [[float(value) for value in line.split()[1:]] for line in printed.splitlines()
             if line.startswith("logits ")]
    expected = inference_graph.Session(package.weights, "classification").run({
        "input_ids": [[2, 7, 3]], "input_mask": [[1, 1, 1]], "segment_ids": [[0, 0, 0]]})["logits"]
    np.testing.assert_allclose(found, [expected[0]] * len(directories), atol=1e-5)
