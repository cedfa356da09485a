"""Frozen graphs: equal answers, by the names of their tensors, without variables."""

import pytest
import tensorflow.compat.v1 as tf

import packages
from serving import frozen_graph


@pytest.mark.parametrize("head, config", [
    ("classification", {}), (None, {"hidden_act": "gelu_erf"})] + [
    pytest.param(*case, marks=pytest.mark.one_platform) for case in [
        ("tagging", {"num_hidden_groups": 1}), ("reading", {}),
        ("choice", {"num_hidden_groups": 2})]])
def test_equal_answers(tmp_path, head, config):
    found = packages.random_package(tmp_path, head, **config)
    artifact, = frozen_graph.write(found, str(tmp_path))
    packages.assert_equal_answers(found, [artifact])
    graph = tf.GraphDef.FromString((tmp_path / "frozen_graph.pb").read_bytes())
    names = {node.name for node in graph.node}
    assert {"input_ids", "input_mask", "segment_ids"} <= names
    assert ({"logits"} if head else {"pooled_output", "masked_lm_logits"}) <= names
    assert [node.op for node in graph.node if "Var" in node.op] == []
