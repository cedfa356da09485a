"""Both layouts against the numbers of the original codes, and what the model promises beside."""

import glob
import math
import os

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import modeling
from pretraining import objectives

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")
CASES = sorted(os.path.basename(path)[:-len(".json")]
               for path in glob.glob(os.path.join(GOLDEN, "model_*.json")))
INPUTS = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions", "masked_lm_ids",
          "masked_lm_weights", "sentence_order_labels")
SMALL = {"vocab_size": 60, "embedding_size": 8, "hidden_size": 24, "num_hidden_layers": 2,
         "num_attention_heads": 4, "intermediate_size": 40, "max_position_embeddings": 32}


def load_case(case):
    config = modeling.AlbertConfig.from_json_file(os.path.join(GOLDEN, case + ".json"))
    return config, dict(np.load(os.path.join(GOLDEN, case + ".npz")))


def build(config, feed, **options):
    """The training graph over seven input tensors -> every output the golden files name."""
    model = modeling.AlbertModel(config, True, feed["input_ids"], feed["input_mask"],
                                 feed["segment_ids"], **options)
    lm_loss, lm_example_loss, lm_logits = modeling.get_masked_lm_output(
        config, model, feed["masked_lm_positions"], feed["masked_lm_ids"],
        feed["masked_lm_weights"])
    order_loss, _, order_logits = modeling.get_sentence_order_output(
        config, model.get_pooled_output(), feed["sentence_order_labels"])
    outputs = {
        "embedding_output": model.get_embedding_output(),
        "sequence_output": model.get_sequence_output(),
        "pooled_output": model.get_pooled_output(),
        "masked_lm_loss": lm_loss,
        "masked_lm_example_loss": lm_example_loss,
        "masked_lm_log_probs": tf.nn.log_softmax(lm_logits),
        "sentence_order_loss": order_loss,
        "sentence_order_log_probs": tf.nn.log_softmax(order_logits),
        "total_loss": lm_loss + order_loss,
    }
    for index, layer in enumerate(model.get_all_encoder_layers()):
        outputs["encoder_layer_%d" % index] = layer
    return outputs


def gradients(loss):
    variables = tf.trainable_variables()
    return {variable.name[:-2]: tf.convert_to_tensor(gradient)
            for variable, gradient in zip(variables, tf.gradients(loss, variables))}


def part(numbers, prefix):
    return {key[len(prefix):]: value for key, value in numbers.items() if key.startswith(prefix)}


def placeholders(numbers, static):
    return {name: tf.placeholder(numbers["input/" + name].dtype,
                                 numbers["input/" + name].shape if static
                                 else [None] * numbers["input/" + name].ndim)
            for name in INPUTS}


def assert_close(actual, expected, name):
    """1e-5 relative to the array's scale: single elements may pass through zero.

    A bias of the keys shifts every score of a query alike, so its gradient is exactly 0 and the
    golden file holds rounding noise there: that one is compared with 0 at the noise's size.
    """
    if name.endswith("key/bias"):
        assert max(np.abs(actual).max(), np.abs(expected).max()) < 1e-7, name
        return
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(),
                               err_msg=name)


# What the other cases vary has no part in looking embeddings up or multiplying them, as on a TPU,
# nor in reading shapes.
@pytest.mark.parametrize("case, static, one_hot", [
    (case, True, False) for case in CASES] + [
        (case, static, static) for case in ("model_brightmart_postln", "model_google")
        for static in (True, False)])
def test_golden_outputs_and_gradients(case, static, one_hot):
    config, numbers = load_case(case)
    with tf.Graph().as_default(), tf.Session() as session:
        feed = placeholders(numbers, static)
        outputs = build(config, feed, use_one_hot_embeddings=one_hot)
        grads = gradients(outputs["total_loss"])
        weights = part(numbers, "variable/")
        assert set(grads) == set(weights)
        for variable in tf.trainable_variables():
            variable.load(weights[variable.name[:-2]], session)
        values = {feed[name]: numbers["input/" + name] for name in INPUTS}
        actual_outputs, actual_grads = session.run((outputs, grads), values)
    expected = part(numbers, "output/")
    assert set(actual_outputs) == set(expected)
    for name in expected:
        assert_close(actual_outputs[name], expected[name], name)
    for name, gradient in part(numbers, "gradient/").items():
        assert_close(actual_grads[name], gradient, name)


# XLA compiles the same operations for the other cases; test_training_graph.py has those of a step.
@pytest.mark.parametrize("case, compiled", [(case, False) for case in CASES] + [
    pytest.param("model_brightmart_preln", True, marks=pytest.mark.slow),
    pytest.param("model_google_relu", True, marks=[pytest.mark.slow, pytest.mark.one_platform])])
def test_golden_loss_and_gradients_of_run_pretraining(case, compiled):
    """It computes the last block for the positions that the heads read; with and without XLA."""
    config, numbers = load_case(case)
    weights = part(numbers, "variable/")

    def step(*inputs):
        feed = dict(zip(INPUTS, inputs))
        masked_lm, order = objectives.pretraining_outputs(
            config, lambda features, output_positions: modeling.AlbertModel(
                config, True, features["input_ids"], features["input_mask"],
                features["segment_ids"], output_positions=output_positions),
            dict(feed, next_sentence_labels=feed["sentence_order_labels"]))
        loss = masked_lm[0] + order[0]
        return [loss] + [gradient for _, gradient in sorted(gradients(loss).items())]

    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(numbers["input/" + name]) for name in INPUTS]
        outputs = tf.xla.experimental.compile(step, inputs) if compiled else step(*inputs)
        for variable in tf.global_variables():
            variable.load(weights[variable.name[:-2]], session)
        loss, *grads = session.run(outputs)
    assert_close(loss, numbers["output/total_loss"], "total_loss")
    for (name, expected), gradient in zip(sorted(part(numbers, "gradient/").items()), grads):
        assert_close(gradient, expected, name)


def test_shapes_are_static_where_the_input_is():
    config = modeling.AlbertConfig.from_dict(SMALL)
    with tf.Graph().as_default():
        model = modeling.AlbertModel(config, False, tf.zeros([2, 16], tf.int32))
        assert model.get_sequence_output().shape.as_list() == [2, 16, 24]
        assert model.get_pooled_output().shape.as_list() == [2, 24]


def test_padding_does_not_change_the_tokens():
    config = modeling.AlbertConfig.from_dict(SMALL)
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, [None, None])
        mask = tf.placeholder(tf.int32, [None, None])
        output = modeling.AlbertModel(config, False, ids, mask).get_sequence_output()
        session.run(tf.global_variables_initializer())
        short = session.run(output, {ids: [[5, 6, 7]], mask: [[1, 1, 1]]})
        long = session.run(output, {ids: [[5, 6, 7, 9, 9]], mask: [[1, 1, 1, 0, 0]]})
    np.testing.assert_allclose(long[:, :3], short, rtol=1e-5, atol=1e-6)


def test_dropout_only_in_training():
    config = modeling.AlbertConfig.from_dict(dict(
        SMALL, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5))
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.constant([[5, 6, 7]])
        train = modeling.AlbertModel(config, True, ids, scope="train").get_pooled_output()
        test = modeling.AlbertModel(config, False, ids, scope="test").get_pooled_output()
        session.run(tf.global_variables_initializer())
        assert np.abs(session.run(train) - session.run(train)).max() > 1e-4
        np.testing.assert_array_equal(session.run(test), session.run(test))


def test_groups_share_their_layers():
    config = modeling.AlbertConfig.from_dict(dict(SMALL, num_hidden_layers=6, num_hidden_groups=2))
    scopes = modeling.block_scopes(config)
    assert [scope.split("/")[1] for scope in scopes] == ["group_0"] * 3 + ["group_1"] * 3


def test_layout_follows_num_hidden_groups():
    assert modeling.AlbertConfig.from_dict(SMALL).layout == "brightmart"
    assert modeling.AlbertConfig.from_dict(dict(SMALL, num_hidden_groups=1)).layout == "google"
    assert modeling.AlbertConfig.from_dict(dict(SMALL, layout="google")).layout == "google"


def test_config_survives_its_dict():
    config = modeling.AlbertConfig.from_dict(dict(SMALL, num_hidden_groups=2))
    assert modeling.AlbertConfig.from_dict(config.to_dict()) == config


def test_legacy_keys_are_ignored():
    config = modeling.AlbertConfig.from_dict(dict(
        SMALL, directionality="bidi", pooler_fc_size=768, gap_size=0))
    assert config == modeling.AlbertConfig.from_dict(SMALL)


@pytest.mark.parametrize("change, message", [
    ({"hidden_sise": 24}, "unknown key 'hidden_sise'"),
    ({"hidden_size": "24"}, "'hidden_size' is '24', expected int"),
    ({"hidden_size": 26}, "26 is not divisible by num_attention_heads 4"),
    ({"hidden_act": "swish"}, "expected one of gelu, gelu_erf, relu, tanh, linear"),
    ({"hidden_dropout_prob": 1.0}, "out of range"),
    ({"num_hidden_layers": 0}, "out of range"),
    ({"hidden_dropout_prob": float("nan")}, "'hidden_dropout_prob' is nan, out of range"),
    ({"initializer_range": float("inf")}, "'initializer_range' is inf, out of range"),
    ({"hidden_size": 10 ** 30}, "'hidden_size' is 10+, out of range"),
    ({"intermediate_size": 1e20}, "'intermediate_size' is 1e\\+20, expected int"),
    ({"num_hidden_layers": True}, "expected int"),
    ({"num_hidden_groups": 3}, "num_hidden_groups 3 is larger than num_hidden_layers 2"),
    ({"inner_group_num": 2}, "need layout google"),
])
def test_bad_config_names_the_key(change, message):
    with pytest.raises(UserError, match=message):
        modeling.AlbertConfig.from_dict(dict(SMALL, **change), "file.json")


def test_missing_key_and_missing_file(tmp_path):
    with pytest.raises(UserError, match="the key 'vocab_size' is missing"):
        modeling.AlbertConfig.from_dict({}, "file.json")
    with pytest.raises(UserError, match="no such config file"):
        modeling.AlbertConfig.from_json_file(str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match="bad.json: not valid JSON"):
        modeling.AlbertConfig.from_json_file(str(tmp_path / "bad.json"))


def test_too_long_sequence_is_refused():
    config = modeling.AlbertConfig.from_dict(SMALL)
    with tf.Graph().as_default(), tf.Session() as session:
        with pytest.raises(UserError, match="length 40 is larger than max_position_embeddings 32"):
            modeling.AlbertModel(config, False, tf.zeros([1, 40], tf.int32))
        ids = tf.placeholder(tf.int32, [None, None])
        output = modeling.AlbertModel(config, False, ids, scope="dynamic").get_pooled_output()
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match="longer than max_position"):
            session.run(output, {ids: np.zeros([1, 40])})


# ---- gradients that are written by hand, against those that TensorFlow derives ----

def plain_gelu(x):
    return 0.5 * x * (1 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def plain_layer_norm(x, beta, gamma):
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) / tf.sqrt(variance + 1e-12) * gamma + beta


KEPT = np.random.RandomState(5).rand(2, 3, 4, 4) < 0.7


def plain_attention(query, key, value, bias, kept=1.0):
    scores = tf.matmul(query, key, transpose_b=True) / np.sqrt(5.0) + bias
    return tf.matmul(tf.nn.softmax(scores) * kept, value)


def plain_losses(hidden, table, bias):
    logits = tf.matmul(hidden, table, transpose_b=True) + bias
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[3, 0, 3], logits=logits)


def own_losses(hidden, table, bias):
    return layers.softmax_losses(hidden, table, bias, tf.constant([3, 0, 3]))[0]


def of_logits(logits_of):
    return lambda *arguments: tf.square(logits_of(*arguments))


CASES_OF_GRADIENTS = {
    "gelu": (layers.gelu, plain_gelu, [(4, 6)]),
    "layer_norm": (layers._normalize, plain_layer_norm, [(4, 6), (6,), (6,)]),
    "layer_norm of sequences": (layers._normalize, plain_layer_norm, [(2, 3, 6), (6,), (6,)]),
    "attend": (layers.attend, plain_attention, [(2, 3, 4, 5)] * 3 + [(2, 1, 1, 4)]),
    "word softmax": (own_losses, plain_losses, [(3, 5), (7, 5), (7,)]),
    "its logits": (
        of_logits(lambda *x: layers.softmax_losses(*x, tf.constant([3, 0, 3]))[1]),
        of_logits(lambda hidden, table, bias: tf.matmul(hidden, table, transpose_b=True) + bias),
        [(3, 5), (7, 5), (7,)]),
}


def assert_same_values_and_gradients(own, plain, shapes):
    rng = np.random.RandomState(3)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(rng.randn(*shape)) for shape in shapes]  # float64
        found = []
        for function in (own, plain):
            y = function(*inputs)
            upstream = tf.constant(np.random.RandomState(4).randn(*y.shape.as_list()))
            found.append(session.run([y] + tf.gradients(y, inputs, upstream)))
    for ours, derived in zip(*found):
        np.testing.assert_allclose(ours, derived, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(CASES_OF_GRADIENTS))
def test_gradients_are_the_derived_ones(name):
    assert_same_values_and_gradients(*CASES_OF_GRADIENTS[name])


def test_gelu_of_the_error_function():
    """x times the normal distribution's share below x, by its definition; and its slope."""
    values = np.linspace(-6, 6, 49)
    share = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in values])
    density = np.exp(-0.5 * values ** 2) / math.sqrt(2 * math.pi)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(values, tf.float32)
        y = layers.activation("gelu_erf")(x)
        found, slope = session.run([y, tf.gradients(y, x)[0]])
    np.testing.assert_allclose(found, values * share, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slope, share + values * density, rtol=1e-5, atol=1e-6)


def test_gradient_of_attention_with_dropout(monkeypatch):
    monkeypatch.setattr(layers, "dropout_mask", lambda *_: KEPT / 0.7)
    assert_same_values_and_gradients(
        lambda *inputs: layers.attend(*inputs, dropout_rate=0.3),
        lambda *inputs: plain_attention(*inputs, kept=KEPT / 0.7),
        [(2, 3, 4, 5)] * 3 + [(2, 1, 1, 4)])


def test_loss_of_a_label_whose_probability_rounds_to_zero():
    with tf.Graph().as_default(), tf.Session() as session:
        losses, _ = layers.softmax_losses(
            tf.constant([[1.0], [1.0]]), tf.constant([[500.0], [-500.0], [499.0]]), tf.zeros([3]),
            tf.constant([1, 0]))
        found = session.run(losses)
    np.testing.assert_allclose(found, [1000 + np.log1p(np.exp(-1)), np.log1p(np.exp(-1))],
                               rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [{}, {"num_hidden_groups": 1}])
def test_bfloat16_is_close_and_leaves_the_variables_float32(layout):
    config = modeling.AlbertConfig.from_dict(dict(SMALL, initializer_range=0.3, **layout))
    found = {}
    for kind in (tf.float32, tf.bfloat16):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.set_random_seed(1)
            model = modeling.AlbertModel(config, True, tf.constant([[5, 6, 7, 8], [9, 5, 4, 3]]),
                                         tf.constant([[1, 1, 1, 0], [1, 1, 1, 1]]), scope="bert",
                                         compute_type=kind)
            outputs = [model.get_sequence_output(), model.get_pooled_output()]
            loss = tf.reduce_sum(tf.square(outputs[0])) + tf.reduce_sum(outputs[1])
            gradients = [tf.convert_to_tensor(gradient) for gradient in tf.gradients(
                loss, tf.trainable_variables())]
            assert {tensor.dtype for tensor in outputs + gradients} == {tf.float32}
            assert {variable.dtype.base_dtype for variable in tf.global_variables()} == {tf.float32}
            products = {operation.get_attr("T") for operation in graph.get_operations()
                        if operation.type == "MatMul" and "pooler" not in operation.name}
            assert products == {kind}
            session.run(tf.global_variables_initializer())
            rng = np.random.RandomState(2)
            for variable in tf.trainable_variables():
                variable.load(0.3 * rng.randn(*variable.shape.as_list()), session)
            found[kind] = session.run(outputs + gradients)
    # The keys' biases have no influence, and a gradient of rounding errors.
    largest = max(np.linalg.norm(exact) for exact in found[tf.float32])
    for exact, near in zip(found[tf.float32], found[tf.bfloat16]):
        assert np.linalg.norm(near - exact) < 0.05 * np.linalg.norm(exact) + 1e-3 * largest
    assert np.abs(found[tf.float32][0] - found[tf.bfloat16][0]).max() > 1e-4
