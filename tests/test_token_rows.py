"""The model on the rows of the tokens alone: outputs and gradients of the model with padding."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import modeling
import optimization
import tiny
import token_rows

pytestmark = pytest.mark.usefixtures("groups_of_lengths")

BATCH, LENGTH = 9, 20


def ragged(rng):
    """Sequences of 3 to 20 tokens, one of 20."""
    mask = np.arange(LENGTH) < rng.randint(3, LENGTH, [BATCH, 1])
    mask[4] = True
    return mask


def with_holes(rng):
    mask = ragged(rng)
    mask[:, 1:] &= rng.uniform(size=[BATCH, LENGTH - 1]) < 0.8
    return mask


def full(rng):
    return np.ones([BATCH, LENGTH], bool)


def batch(mask_of):
    """Constants of the default graph."""
    rng = np.random.RandomState(0)
    mask = mask_of(rng)
    return {
        "input_ids": tf.constant(rng.randint(5, 100, [BATCH, LENGTH]), tf.int32),
        "input_mask": tf.constant(mask.astype(np.int32)),
        "segment_ids": tf.constant(rng.randint(0, 2, [BATCH, LENGTH]), tf.int32),
        "weights": tf.constant((rng.standard_normal([BATCH, LENGTH, 16])
                                * mask[:, :, np.newaxis]).astype(np.float32))}


def model_of(config, features, skip_padding, **options):
    return modeling.AlbertModel(
        config, True, features["input_ids"], features["input_mask"], features["segment_ids"],
        scope="bert", skip_padding=skip_padding, **options)


def every_layer(config, features, skip_padding, **options):
    model = model_of(config, features, skip_padding, **options)
    return (tf.add_n([tf.reduce_sum(layer * features["weights"])
                      for layer in model.get_all_encoder_layers()])
            + tf.reduce_sum(tf.square(model.get_pooled_output())))


def some_positions(config, features, skip_padding, **options):
    """The loss of three tokens of each sequence, one of them twice."""
    positions = tf.constant([[0, 2, 0]] * BATCH)
    model = model_of(config, features, skip_padding, output_positions=positions, **options)
    weights = layers.gather_rows(features["weights"], positions)
    return (tf.reduce_sum(model.get_output_at(positions) * weights)
            + tf.reduce_sum(tf.square(model.get_pooled_output())))


def both(mask_of, compute):
    """[with padding, without] of what compute(features, skip_padding) returns."""
    with tf.Graph().as_default(), tf.Session() as session:
        features = batch(mask_of)
        tensors = []
        for skip_padding in (False, True):
            with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
                tensors.append(compute(features, skip_padding))
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


def assert_equal(found):
    """To 1e-5 of each array's largest value, 1e-6 of the largest gradient; see test_recompute."""
    padded, packed = found
    floor = 1e-6 * max(np.abs(array).max() for array in padded[1:])
    assert len(padded) == len(packed) > 20
    for expected, actual in zip(padded, packed):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=max(
            1e-5 * np.abs(expected).max(), floor))


@pytest.mark.parametrize("variant, loss, mask_of, options", [
    ("brightmart", every_layer, ragged, {}),
    ("brightmart", some_positions, full, {}),
    ("brightmart_preln", some_positions, with_holes, {}),
    ("google", some_positions, ragged, {"recompute": True}),
    ("google_groups", every_layer, with_holes, {}),
])
def test_loss_and_gradients(variant, loss, mask_of, options):
    def compute(features, skip_padding):
        value = loss(tiny.config(**tiny.VARIANTS[variant]), features, skip_padding, **options)
        # The squares of an embedding table's look-ups decide the norm that clips.
        return [value] + [tensor for gradient in optimization.compute_gradients(value)
                          for tensor in gradient[:2] if tensor is not None]

    assert_equal(both(mask_of, compute))


def test_in_parts():
    """Sequences of a part share groups with one another alone."""
    def compute(features, skip_padding):
        loss, _, gradients = optimization.accumulate_gradients(
            lambda part: (every_layer(tiny.config(), part, skip_padding), {}), features, 3)
        return [loss] + [gradient.value for gradient in gradients]

    assert_equal(both(ragged, compute))


@pytest.mark.parametrize("mask_of", [ragged, with_holes, full])
def test_outputs(mask_of):
    """Tokens have the outputs of the model with padding, padding has zeros."""
    def compute(features, skip_padding):
        model = model_of(tiny.config(), features, skip_padding)
        return [model.get_embedding_output(), model.get_sequence_output()]

    mask = mask_of(np.random.RandomState(0))
    for padded, packed in zip(*both(mask_of, compute)):
        np.testing.assert_allclose(packed[mask], padded[mask], rtol=1e-5, atol=1e-5)
        assert not packed[~mask].any()


@pytest.mark.parametrize("lengths", [[1, 1, 1], [20, 1, 7, 20, 3], [20] * 4, [2]])
def test_fewer_sequences_than_groups(lengths):
    """A model of any number of sequences, known when the graph runs."""
    config = tiny.config()
    ids = np.random.RandomState(1).randint(5, 100, [len(lengths), LENGTH])
    mask = np.arange(LENGTH) < np.array(lengths)[:, np.newaxis]
    with tf.Graph().as_default(), tf.Session() as session:
        given = [tf.placeholder(tf.int32, [None, None]) for _ in range(2)]
        outputs = []
        for skip_padding in (False, True):
            with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
                outputs.append(modeling.AlbertModel(
                    config, False, *given, scope="bert",
                    skip_padding=skip_padding).get_sequence_output())
        session.run(tf.global_variables_initializer())
        padded, packed = session.run(outputs, dict(zip(given, [ids, mask])))
    np.testing.assert_allclose(packed[mask], padded[mask], rtol=1e-5, atol=1e-5)


def test_only_tokens_are_computed():
    """100 tokens of 5 sequences of 64 are 128 rows, whatever the padding."""
    with tf.Graph().as_default(), tf.Session() as session:
        mask = tf.sequence_mask([10, 20, 30, 40, 0], 64, dtype=tf.int32)
        rows = token_rows.Packed(mask)
        assert session.run(tf.shape(rows.place(mask))) == [128]
        lengths = [session.run(tf.shape(group.unpack))[2] for group in rows._groups_of(2)]
    assert lengths == [16, 16, 32, 48]  # 40 tokens, and a slot for the spare rows


def test_drops_the_asked_share_of_the_weights():
    """Groups draw masks of their own, from seeds of their own too."""
    with tf.Graph().as_default(), tf.Session() as session:
        rows = token_rows.Packed(tf.ones([8, 16], tf.int32))
        x = tf.ones([128, 4])
        seed = tf.constant([3, 4])
        first, again = (rows.attend(tf.zeros([128, 4]), x, x, 2, 0.25, seed) for _ in range(2))
        first, again = session.run([first, again])
    np.testing.assert_array_equal(first, again)
    kept = np.round(first * 0.75 * 16).reshape(8, 16, 4)[:, :, ::2]  # of 16 weights of a head
    assert abs(kept.mean() - 12) < 4 * np.sqrt(16 * 0.25 * 0.75 / kept.size)
    assert len({tuple(one.ravel()) for one in kept}) == 8
