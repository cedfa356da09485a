"""TF-Hub modules: their signatures, and that this code reads them as any checkpoint."""

import functools
import importlib.util
import subprocess
import sys

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import convert_checkpoint
import packages
import tiny
from interchange import inference_graph, tensorflow_files
from serving import exporting, hub_module
from training import restoring

FILES = ["albert_config.json", "vocab.txt"]
READ = """
import sys
import tensorflow as tf
import tensorflow_hub as hub
tokens = hub.load(sys.argv[1]).signatures["tokens"]
ids = tf.constant([[2, 7, 3]])
outputs = tokens(input_ids=ids, input_mask=tf.ones_like(ids), segment_ids=tf.zeros_like(ids))
print(*outputs["pooled_output"][0].numpy())
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """`write` in a directory of its own, once for the same model; and that directory."""
    @functools.lru_cache(None)
    def once(**config):
        directory = tmp_path_factory.mktemp("written")
        return write(directory, **config) + (directory,)
    return once


def write(tmp_path, head=None, **config):
    found = packages.random_package(tmp_path, head, **config)
    artifacts = hub_module.write(found, str(tmp_path))
    packages.assert_equal_answers(found, artifacts)
    return found, {artifact.name.split()[-1]: artifact.engine for artifact in artifacts}


@pytest.mark.parametrize("config", [{}, {"num_hidden_groups": 1}])
def test_signatures_of_googles_modules(written, config):
    found, engines, directory = written(**config)
    assert list(engines) == ["tokens", "sop", "mlm"]
    batch = exporting.batches(found)[0]
    expected = inference_graph.Session(found.weights, None).run(batch)
    shares = np.exp(engines["sop"].run(batch)["sop_log_probs"])
    order = np.exp(expected["sentence_order_logits"])
    np.testing.assert_allclose(shares, order / order.sum(-1, keepdims=True), rtol=1e-4)
    path = str(directory / "hub")
    with tf.Graph().as_default(), tf.Session() as session:
        graph = tf.saved_model.load(session, ["train"], path)
        mlm = graph.signature_def["mlm"]
        assert sorted(mlm.inputs) == ["input_ids", "input_mask", "mlm_positions", "segment_ids"]
        assert [size.size for size in mlm.outputs["mlm_logits"].tensor_shape.dim] == [-1, 100]
        info = graph.signature_def["tokenization_info"].outputs
        assert session.run(info["do_lower_case"].name) and sorted(info) == [
            "do_lower_case", "vocab_file"]
    assert sorted(one.name for one in (directory / "hub" / "assets").iterdir()) == FILES
    assert (directory / "hub" / "tfhub_module.pb").read_bytes() == b"\x08\x03"


def test_the_graph_for_training_has_dropout(tmp_path):
    write(tmp_path, hidden_dropout_prob=0.5)
    operators = {}
    for tags in ([], ["train"]):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.saved_model.load(session, tags, str(tmp_path / "hub"))
            operators[bool(tags)] = {operator.type for operator in graph.get_operations()}
    assert {kind: "RandomUniform" in names for kind, names in operators.items()} == {
        False: False, True: True}


@pytest.mark.slow
@pytest.mark.parametrize("config, source", [
    pytest.param({}, "brightmart", marks=pytest.mark.one_platform),
    pytest.param({"num_hidden_groups": 1}, "google", marks=pytest.mark.every_platform)])
def test_read_back(tmp_path, written, config, source):
    """By --init_checkpoint and by convert_checkpoint.py, which finds config and vocabulary, and
    proves what it wrote."""
    found, _, directory = written(**config)
    arrays = tensorflow_files.read_tensorflow(restoring.resolve(str(directory / "hub")))
    assert set(arrays) == set(found.weights.arrays)
    for name, array in found.weights.arrays.items():
        np.testing.assert_array_equal(arrays[name], array)
    convert_checkpoint.main(tiny.parse(convert_checkpoint.define_flags, **{
        "from": source, "to": "google", "input": directory / "hub", "output": tmp_path / "back"}))
    if source == "google":
        tiny.assert_same_weights(tmp_path / "back" / "model.ckpt",
                                 directory / "hub" / "variables" / "variables")
    assert (tmp_path / "back" / "vocab.txt").exists()


def test_a_fine_tuned_model_gives_its_encoder(tmp_path):
    _, engines = write(tmp_path, "classification")
    assert list(engines) == ["tokens"]


def test_a_model_without_pooler(tmp_path):
    found = packages.random_package(tmp_path)
    arrays = {name: array for name, array in found.weights.arrays.items() if "pooler" not in name}
    with pytest.raises(UserError, match="--format=hub: the model has no pooler"):
        hub_module.write(found._replace(weights=found.weights._replace(arrays=arrays)),
                         str(tmp_path))
    assert not (tmp_path / "hub").exists()


@pytest.mark.slow
@pytest.mark.every_platform
def test_tensorflow_hub_reads_it(written):
    if not importlib.util.find_spec("tensorflow_hub"):
        pytest.skip("tensorflow_hub is not installed")
    found, _, directory = written()
    output = subprocess.run([sys.executable, "-c", READ, str(directory / "hub")], check=True,
                            stdout=subprocess.PIPE).stdout.decode()
    expected = inference_graph.Session(found.weights, None).run({
        "input_ids": [[2, 7, 3]], "input_mask": [[1, 1, 1]], "segment_ids": [[0, 0, 0]],
        "masked_lm_positions": [[1]]})["pooled_output"][0]
    np.testing.assert_allclose([float(value) for value in output.split()], expected, atol=1e-5)
