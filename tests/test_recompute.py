"""Blocks that are computed again for the gradient, or for some positions alone: same numbers."""

from util import platforms

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import modeling
import optimization
import processes
import tiny
from processes import needs_proc

DROPOUT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}


def features(batch=4):
    rng = np.random.RandomState(0)
    mask = np.arange(12) < rng.randint(6, 13, [batch, 1])
    return {"input_ids": tf.constant(rng.randint(5, 100, [batch, 12]), tf.int32),
            "input_mask": tf.constant(mask.astype(np.int32)),
            "weights": tf.constant(rng.standard_normal([batch, 12, 16]).astype(np.float32))}


def loss_of(config, features, recompute):
    model = modeling.AlbertModel(config, True, features["input_ids"], features["input_mask"],
                                 scope="bert", recompute=recompute)
    return (tf.reduce_sum(model.get_sequence_output() * features["weights"])
            + tf.reduce_sum(model.get_pooled_output()))


def plain(config, recompute, num_parts=1):
    """[loss] + gradients of the variables, in parts as accumulation takes them."""
    loss, _, gradients = optimization.accumulate_gradients(
        lambda part: (loss_of(config, part, recompute), {}), features(), num_parts)
    return [loss] + [gradient.value for gradient in gradients]


def some_positions(config, recompute):
    """Of 12 positions three alone, one of them twice; the others have no weight in the loss."""
    given = features()
    positions = tf.constant([[0, 3, 5, 3]] * 4)
    times = tf.reduce_sum(tf.one_hot(positions, 12), 1)[:, :, tf.newaxis]
    weights = tf.sqrt(times) * given["weights"]
    model = modeling.AlbertModel(
        config, True, given["input_ids"], given["input_mask"], scope="bert", recompute=recompute,
        output_positions=positions if recompute is not None else None)
    if recompute is None:
        y = model.get_sequence_output()
    else:
        y = model.get_output_at(positions)
        assert y.shape.as_list() == [4, 4, 16]
        weights = layers.gather_rows(given["weights"], positions)
    loss = tf.reduce_sum(tf.square(y) * tf.square(weights)) + tf.reduce_sum(
        tf.square(model.get_pooled_output()))
    return [loss] + [gradient.value for gradient in optimization.compute_gradients(loss)]


def in_parts(config, recompute):
    return plain(config, recompute, num_parts=2)


def compiled(config, recompute):
    return tf.xla.experimental.compile(lambda: plain(config, recompute))


def run_both(compute, config, kinds=(False, True)):
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = []
        for kind in kinds:
            with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
                tensors.append(compute(config, kind))
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


def assert_equal(found, floor=0.0):
    """To 1e-5 of each array's largest value, or to `floor` times the largest gradient's.

    The gradient of a key's bias is 0 but for rounding, and what rounds is of the others' size.
    """
    kept, again = found
    floor *= max(np.abs(gradient).max() for gradient in kept[1:])
    assert len(kept) == len(again) > 20
    for expected, actual in zip(kept, again):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=max(
            1e-5 * np.abs(expected).max(), floor))


@pytest.mark.slow
@pytest.mark.parametrize("compute, variant", [(plain, variant) for variant in sorted(tiny.VARIANTS)]
                         + [(in_parts, "google")])
def test_same_loss_and_gradients(compute, variant):
    assert_equal(run_both(compute, tiny.config(**tiny.VARIANTS[variant])))


@pytest.mark.parametrize("variant", ["brightmart_preln", "google"])
def test_the_last_block_for_some_positions_alone(variant):
    """Loss and gradients are those of the model that computes all of them (None).

    Without recomputation they are golden numbers (test_modeling.py).
    """
    assert_equal(run_both(some_positions, tiny.config(**tiny.VARIANTS[variant]), (None, True)),
                 floor=1e-6)


@pytest.mark.slow
def test_same_under_xla():
    """Of one block; two of them, and accumulation in parts beside: test_training_graph.py."""
    assert_equal(run_both(compiled, tiny.config(num_hidden_layers=1)), floor=1e-6)


def test_same_masks_the_second_time(monkeypatch):
    """With the same seeds the gradients are those of a graph that keeps all it computes."""
    monkeypatch.setattr(modeling, "draw_seeds", lambda count: [
        tf.constant([7, index]) for index in range(count)])
    recomputed = layers.recomputed
    config = tiny.config(**DROPOUT)

    def compute(config, recompute):
        # Both have seeds; only one computes again.
        monkeypatch.setattr(modeling, "recomputed", recomputed if recompute else (
            lambda function, weights, *inputs: function(*inputs)))
        monkeypatch.setattr(modeling, "dropout", seeded_only)
        return plain(config, True)

    dropout = layers.dropout

    def seeded_only(x, rate, seed=None):
        return x if seed is None else dropout(x, rate, seed)

    found = run_both(compute, config)
    assert_equal(found)
    with tf.Graph().as_default(), tf.Session() as session:
        kept = seeded_only(tf.ones([1000]), 0.3, tf.constant([7, 0]))
        values = session.run(kept)
    assert set(np.round(values, 5)) == {0.0, np.float32(round(1 / 0.7, 5))}
    assert 0.65 < np.mean(values > 0) < 0.75


def test_masks_differ_from_step_to_step():
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = plain(tiny.config(**DROPOUT), True)
        session.run(tf.global_variables_initializer())
        first, second = session.run(tensors[0]), session.run(tensors[0])
    assert first != second


def peak_mb(width, shape, recompute):
    """What one step of 12 blocks adds to the memory of a new process, with dropout."""
    return processes.call(step_mb, width, shape, recompute)


def step_mb(width, shape, recompute):
    platforms.start()
    config = tiny.config(
        hidden_size=width, num_hidden_layers=12, intermediate_size=4 * width,
        max_position_embeddings=512, **dict.fromkeys(DROPOUT, 0.1))
    ids = tf.random.uniform(shape, 0, 100, tf.int32)
    model = modeling.AlbertModel(config, True, ids, scope="bert", recompute=recompute)
    gradients = optimization.compute_gradients(tf.reduce_sum(model.get_pooled_output()))
    norm = tf.add_n([tf.reduce_sum(tf.square(gradient.value)) for gradient in gradients])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = highest_mb()
        session.run(norm)
        return highest_mb() - before


def highest_mb():
    """The most memory that this process had; ru_maxrss has that of its parent's, too."""
    with open("/proc/self/status") as stream:
        return int(stream.read().split("VmHWM:")[1].split()[0]) / 1024.0


@needs_proc
@pytest.mark.slow
@pytest.mark.one_platform  # the same arrays are kept on each
def test_memory_is_less_than_half():
    """With dropout: a mask that both calls share would be kept from one to the other."""
    kept, again = (peak_mb(64, [16, 128], recompute) for recompute in (False, True))
    assert kept > 100  # 12 blocks keep 10 MB each, at least
    assert again < kept / 2, (kept, again)


@needs_proc
@pytest.mark.slow
def test_gradients_of_shared_weights_are_added_up_on_the_way():
    """What a step takes is less than the 12 gradients of the 3.15 million weights would."""
    assert peak_mb(512, [1, 128], True) < 12 * 3.15 * 4
