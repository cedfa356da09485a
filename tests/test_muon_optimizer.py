"""Muon: its step against one by a singular value decomposition, and which variables it takes."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import muon_optimizer

KERNEL, BIAS = "bert/encoder/dense/kernel", "bert/encoder/dense/bias"


def orthogonal(matrix):
    """As muon_optimizer's, in float64: the polynomial on the singular values themselves."""
    u, values, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    values /= np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values ** 3 + 2.0315 * values ** 5
    return (u * values) @ v


@pytest.mark.parametrize("shape", [(6, 6), (5, 20), (20, 5)])
def test_orthogonal_is_the_polynomial_of_the_singular_values(shape):
    matrix = np.random.RandomState(1).normal(size=shape).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(muon_optimizer.orthogonal(tf.constant(matrix)))
    np.testing.assert_allclose(found, orthogonal(matrix), atol=2e-5)
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.25


@pytest.mark.parametrize("shape", [(70, 200), (200, 70)])
def test_orthogonal_by_products_of_bfloat16(shape):
    """As --amp has them: each singular value off by less than what the polynomial leaves."""
    matrix = np.random.RandomState(1).normal(size=shape).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        with layers.cast_products():
            rounded = muon_optimizer.orthogonal(tf.constant(matrix))
        found, exact = session.run([rounded, muon_optimizer.orthogonal(tf.constant(matrix))])
    assert 1e-4 < np.abs(found - exact).max() < 0.02
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.25


def test_no_gradient_is_no_step():
    with tf.Graph().as_default(), tf.Session() as session:
        assert not session.run(muon_optimizer.orthogonal(tf.zeros([3, 4]))).any()


def steps(gradients, **options):
    """The variables after updates by the gradients, {name: value}."""
    with tf.Graph().as_default():
        start = {KERNEL: np.ones([4, 8], np.float32), BIAS: np.ones([8], np.float32)}
        fed = {name: tf.placeholder(tf.float32, value.shape) for name, value in start.items()}
        variables = [tf.get_variable(name, initializer=value) for name, value in start.items()]
        optimizer = muon_optimizer.MuonOptimizer(
            0.1, 0.5, exclude_from_weight_decay=("bias",), **options)
        update = optimizer.apply_gradients([(fed[v.op.name], v) for v in variables])
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for gradient in gradients:
                session.run(update, {fed[name]: gradient[name] for name in fed})
            return session.run({v.op.name: v for v in tf.global_variables()})


def random_gradients(number):
    random = np.random.RandomState(2)
    return [{KERNEL: random.normal(size=[4, 8]), BIAS: random.normal(size=[8])}
            for _ in range(number)]


def test_three_steps_by_hand():
    gradients, kernel, m = random_gradients(3), np.ones([4, 8]), np.zeros([4, 8])
    for gradient in gradients:
        m = 0.95 * m + 0.05 * gradient[KERNEL]
        update = 0.2 * np.sqrt(8) * orthogonal(0.95 * m + 0.05 * gradient[KERNEL])
        kernel = kernel - 0.1 * (update + 0.5 * kernel)
    found = steps(gradients)
    np.testing.assert_allclose(found[KERNEL], kernel, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[KERNEL + "/muon_m"], m, rtol=1e-5)


def test_rate_factor_and_size_of_an_update():
    gradients = random_gradients(1)
    whole, tenth = steps(gradients), steps(gradients, rate_factor=lambda name: 0.1)
    np.testing.assert_allclose(
        tenth[KERNEL] - 1, 0.1 * (whole[KERNEL] - 1), rtol=1e-4, atol=1e-6)
    update = (1 - whole[KERNEL]) / 0.1 - 0.5
    assert np.sqrt(np.mean(update ** 2)) == pytest.approx(0.2, rel=0.2)


def test_everything_else_is_adamws():
    gradients = random_gradients(3)
    found = steps(gradients)
    bias, m, v = np.ones([8]), np.zeros([8]), np.zeros([8])
    for gradient in gradients:
        m = 0.9 * m + 0.1 * gradient[BIAS]
        v = 0.999 * v + 0.001 * gradient[BIAS] ** 2
        bias = bias - 0.1 * m / (np.sqrt(v) + 1e-6)
    np.testing.assert_allclose(found[BIAS], bias, rtol=1e-4, atol=1e-5)
    assert set(found) == {KERNEL, KERNEL + "/muon_m", BIAS, BIAS + "/adam_m", BIAS + "/adam_v"}


@pytest.mark.parametrize("name,shape,wanted", [
    ("bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel", [8, 8], True),
    ("bert/encoder/layer_shared/output/dense/kernel", [32, 8], True),
    ("bert/encoder/embedding_hidden_mapping_in/kernel", [4, 8], True),
    ("bert/embeddings/word_embeddings_2", [4, 8], True),
    ("cls/predictions/transform/dense/kernel", [8, 4], True),
    ("bert/embeddings/word_embeddings", [50, 4], False),
    ("bert/pooler/dense/kernel", [8, 8], False),
    ("cls/seq_relationship/output_weights", [2, 8], False),
    ("bert/encoder/layer_shared/output/dense/bias", [8], False)])
def test_which_variables_are_matrices(name, shape, wanted):
    with tf.Graph().as_default():
        assert muon_optimizer.is_matrix(tf.get_variable(name, shape)) == wanted
