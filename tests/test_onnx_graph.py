"""The ONNX graph computes what this code's own graph computes, with every weight once."""

import functools

import numpy as np
import pytest

from interchange import inference_graph, tables
from interchange.tables import POSITIONS
from serving import engines, onnx_graph
from test_conversion import CONFIGS, random_weights

onnxruntime = pytest.importorskip("onnxruntime", reason=engines.REQUIREMENTS)

# Both layouts, every activation, groups, inner layers, pre-LN.
KINDS = dict(CONFIGS, preln={"ln_type": "preln", "hidden_act": "tanh"},
             inner={"num_hidden_groups": 2, "inner_group_num": 2, "hidden_act": "linear"})


def features(batch, length, seed=0):
    """Random tokens; all rows but the first are padded."""
    random = np.random.RandomState(seed)
    mask = np.ones([batch, length], np.int32)
    mask[1:, length // 2:] = 0
    return {"input_ids": random.randint(0, 100, [batch, length]).astype(np.int32),
            "input_mask": mask, "segment_ids": random.randint(0, 2, [batch, length]),
            POSITIONS: random.randint(0, length // 2, [batch, 3])}


@functools.lru_cache(None)
def computed(kind, head):
    """(weights, names of our graph's outputs, [(features, outputs)] of two batches)."""
    weights = random_weights(3, head, **KINDS[kind])
    session = inference_graph.Session(weights, head)
    batches = [features(batch, length) for batch, length in ((1, 5), (3, 24))]
    return weights, session.outputs, [(batch, session.run(batch)) for batch in batches]


@pytest.mark.parametrize("kind, head", [(kind, None) for kind in sorted(KINDS)] + [
    ("google", head) for head in sorted(tables.HEADS)] + [
    ("brightmart", "classification"), ("preln", "classification")])
@pytest.mark.parametrize("fused", [False, True])
def test_same_outputs(kind, head, fused):
    """Of any batch and length, at tokens; to 1e-5 of the largest."""
    weights, outputs, batches = computed(kind, head)
    engine = engines.create("onnxruntime", weights, head, fused=fused)
    assert set(engine.outputs) == set(outputs)
    for given, expected in batches:
        found = engine.run(given)
        for name, array in expected.items():
            other = found[name]
            assert other.shape == array.shape
            if array.shape[:2] == given["input_ids"].shape:
                is_token = given["input_mask"] > 0
                array, other = array[is_token], other[is_token]
            np.testing.assert_allclose(other, array, atol=1e-5 * max(1.0, np.abs(array).max()),
                                       err_msg=name)


@pytest.mark.parametrize("fused", [False, True])
def test_weights_stand_once(fused):
    """Twelve layers that share weights take no more room than one."""
    sizes = [onnx_graph.build(random_weights(1, "classification", num_hidden_layers=layers),
                              "classification", fused).ByteSize() for layers in (2, 12)]
    arrays = 4 * sum(array.size for array in random_weights(1, "classification").arrays.values())
    assert sizes[0] < arrays + 20000
    assert sizes[1] - sizes[0] < 10 * 4000  # the nodes alone


def test_only_standard_operators_unless_fused():
    weights = random_weights(1, "classification")
    plain = onnx_graph.build(weights, "classification")
    assert {node.domain for node in plain.graph.node} == {""}
    assert [opset.version for opset in plain.opset_import] == [17]
    fused = onnx_graph.build(weights, "classification", fused=True)
    assert {"Attention", "SkipLayerNormalization", "FastGelu"} <= {
        node.op_type for node in fused.graph.node if node.domain == "com.microsoft"}
