"""Gradients are the same from run to run, to the last bit, whatever other threads do meanwhile."""

import collections
import contextlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import modeling
import optimization
import tiny

pytestmark = pytest.mark.usefixtures("optimized_graphs", "groups_of_lengths")

BATCH, LENGTH, RUNS = 32, 64, 20
products = pytest.mark.parametrize(
    "scope", [contextlib.nullcontext, layers.narrow_products, layers.cast_products],
    ids=["float32", "narrow", "cast"])


def config_of(**changes):
    """Wide enough for products to be cast."""
    return tiny.config(embedding_size=64, hidden_size=128, intermediate_size=256,
                       max_position_embeddings=LENGTH, **changes)


def loss_and_gradients(config, scope):
    """One step's tensors, over sequences of different lengths."""
    rng = np.random.RandomState(0)
    mask = np.arange(LENGTH) < rng.randint(12, LENGTH, [BATCH, 1])
    # Of constants TensorFlow would compute what lies where beforehand.
    mask, ids, labels = (
        tf.placeholder_with_default(values.astype(np.int32), values.shape)
        for values in (mask, rng.randint(5, 100, mask.shape), rng.randint(5, 100, [BATCH, 4])))
    with scope():
        model = modeling.AlbertModel(
            config, True, ids, mask, ids % 2, scope="bert", skip_padding=True)
        loss = modeling.get_sentence_order_output(
            config, model.get_pooled_output(), ids[:, 0] % 2)[0]
        loss += modeling.get_masked_lm_output(
            config, model, labels % 12, labels, tf.ones([BATCH, 4]))[0]
        return [loss] + [gradient.value for gradient in optimization.compute_gradients(loss)]


@products
@pytest.mark.parametrize("variant", ["brightmart_preln", "google_groups"])
def test_sums_have_one_order(variant, scope):
    """AddN begins with the first of its terms that nothing else needs any more.

    Which one that is must not depend on what other threads have done; a + b is b + a.
    """
    config = config_of(**tiny.VARIANTS[variant])
    executed = tf.RunMetadata()
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = loss_and_gradients(config, scope)
        session.run(tf.global_variables_initializer())
        session.run(tensors, options=tf.RunOptions(output_partition_graphs=True),
                    run_metadata=executed)
    nodes = {node.name: node for graph in executed.partition_graphs for node in graph.node}
    uses = collections.Counter(
        name.split(":")[0] for node in nodes.values() for name in node.input)

    def is_alone(name):
        """Whether one op alone reads the memory of this tensor."""
        name = name.split(":")[0]
        shares = nodes[name].op in ("Identity", "Reshape")
        return uses[name] == 1 and (not shares or is_alone(nodes[name].input[0]))

    sums = [list(node.input) for node in nodes.values()
            if node.op == "AddN" and len(node.input) > 2]
    assert sums
    assert not [terms for terms in sums if not any(map(is_alone, terms[:2]))]


@products
def test_every_run_has_the_same_bits(scope):
    config = config_of(num_hidden_groups=1)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = loss_and_gradients(config, scope)
        session.run(tf.global_variables_initializer())
        runs = [b"".join(value.tobytes() for value in session.run(tensors)) for _ in range(RUNS)]
    assert len(set(runs)) == 1
