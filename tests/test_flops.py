"""The work of a step by hand and as the graph has it; the peak of the machine."""

import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tiny
from pretraining import objectives
from training import flops

BATCH = 3

# Multiplications a sequence of 16 tokens and 2 predictions: E 8, H 16, I 32, V 100, 2 layers.
TO_HIDDEN = 16 * 8 * 16
LAYERS = 2 * 16 * (4 * 16 * 16 + 2 * 16 * 32 + 2 * 16 * 16)
SENTENCE = 16 * 16 + 16 * 2
PREDICTIONS = {"brightmart": 2 * (16 * 16 + 16 * 8 + 8 * 100), "google": 2 * (16 * 8 + 8 * 100)}


def step_flops(config, batch=BATCH):
    return flops.training_flops(config, batch, tiny.LENGTH, tiny.PREDICTIONS)


@pytest.mark.parametrize("layout, expected", [("brightmart", 1559232), ("google", 1550016)])
def test_flops_by_hand(layout, expected):
    config = tiny.config(layout=layout)
    assert expected == 6 * BATCH * (TO_HIDDEN + LAYERS + SENTENCE + PREDICTIONS[layout])
    assert step_flops(config) == expected
    assert step_flops(config, 7 * BATCH) == 7 * expected


def product_flops(product):
    """2 * m * k * n of a MatMul or BatchMatMul op, by its shapes."""
    left = product.inputs[0].shape.as_list()
    transposed = any(product.get_attr(name) for name in ("transpose_a", "adj_x")
                     if name in product.node_def.attr)
    return 2 * int(np.prod(product.outputs[0].shape.as_list())) * left[-2 if transposed else -1]


@pytest.mark.parametrize("changes", [
    {"layout": "brightmart"},
    {"layout": "brightmart", "embedding_size": 16},  # E = H: brightmart projects all the same
    {"num_hidden_groups": 1},
    {"num_hidden_groups": 1, "embedding_size": 16},  # google does not
    {"num_hidden_groups": 2, "inner_group_num": 2, "num_hidden_layers": 3}])
def test_flops_are_those_of_the_graph(changes):
    config = tiny.config(**changes)
    with tf.Graph().as_default() as graph:
        features = {name: tf.zeros([BATCH, size], kind) for name, size, kind in [
            ("input_ids", tiny.LENGTH, tf.int32), ("input_mask", tiny.LENGTH, tf.int32),
            ("segment_ids", tiny.LENGTH, tf.int32), ("next_sentence_labels", 1, tf.int32),
            ("masked_lm_positions", tiny.PREDICTIONS, tf.int32),
            ("masked_lm_ids", tiny.PREDICTIONS, tf.int32),
            ("masked_lm_weights", tiny.PREDICTIONS, tf.float32)]}
        model = modeling.AlbertModel(
            config, True, features["input_ids"], features["input_mask"], features["segment_ids"])
        # The last block is counted whole, though the heads read a part of it.
        objectives.pretraining_outputs(
            config, lambda features, output_positions: model, features)
    # The token types' one-hot product is a lookup.
    products = [op for op in graph.get_operations()
                if "MatMul" in op.type and op.inputs[0].shape[-1] != config.type_vocab_size]
    blocks = len(modeling.block_scopes(config))
    assert sum(op.type.startswith("Batch") for op in products) == 2 * blocks
    assert 3 * sum(map(product_flops, products)) == step_flops(config)


def test_peak_leaves_the_default_graph_alone():
    with tf.Graph().as_default() as graph:
        begin = time.perf_counter()
        assert flops.measure_matmul_peak(size=256, seconds=0.2) > 1e9
        assert 0.2 < time.perf_counter() - begin < 10
        assert not graph.get_operations()


def test_peak_is_like_that_of_another_library():
    square = np.ones([512, 512], np.float32)
    square.dot(square)
    begin = time.perf_counter()
    for _ in range(10):
        square.dot(square)
    other = 10 * 2 * 512 ** 3 / (time.perf_counter() - begin)
    peak = flops.measure_matmul_peak("/cpu:0", size=512, seconds=0.2)
    # A busy machine gives either a tenth; a wrong unit or count would be more.
    assert 0.02 < peak / other < 50
