"""Both layouts against the numbers of the original codes, and what the model promises beside."""

import glob
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from errors import UserError

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


@pytest.mark.parametrize("static, one_hot", [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("case", CASES)
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


@pytest.mark.parametrize("case", CASES)
def test_training_graph_compiles_under_xla(case):
    config, numbers = load_case(case)
    weights = part(numbers, "variable/")

    def step(*inputs):
        loss = build(config, dict(zip(INPUTS, inputs)))["total_loss"]
        return [loss] + [gradient for _, gradient in sorted(gradients(loss).items())]

    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(numbers["input/" + name]) for name in INPUTS]
        compiled = tf.xla.experimental.compile(step, inputs)
        for variable in tf.global_variables():
            variable.load(weights[variable.name[:-2]], session)
        loss, *grads = session.run(compiled)
    assert_close(loss, numbers["output/total_loss"], "total_loss")
    for (name, expected), gradient in zip(sorted(part(numbers, "gradient/").items()), grads):
        assert_close(gradient, expected, name)


def test_shapes_are_static_where_the_input_is():
    config = modeling.AlbertConfig(**SMALL)
    with tf.Graph().as_default():
        model = modeling.AlbertModel(config, False, tf.zeros([2, 16], tf.int32))
        assert model.get_sequence_output().shape.as_list() == [2, 16, 24]
        assert model.get_pooled_output().shape.as_list() == [2, 24]


def test_padding_does_not_change_the_tokens():
    config = modeling.AlbertConfig(**SMALL)
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, [None, None])
        mask = tf.placeholder(tf.int32, [None, None])
        output = modeling.AlbertModel(config, False, ids, mask).get_sequence_output()
        session.run(tf.global_variables_initializer())
        short = session.run(output, {ids: [[5, 6, 7]], mask: [[1, 1, 1]]})
        long = session.run(output, {ids: [[5, 6, 7, 9, 9]], mask: [[1, 1, 1, 0, 0]]})
    np.testing.assert_allclose(long[:, :3], short, rtol=1e-5, atol=1e-6)


def test_dropout_only_in_training():
    config = modeling.AlbertConfig(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5,
                                   **SMALL)
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.constant([[5, 6, 7]])
        train = modeling.AlbertModel(config, True, ids, scope="train").get_pooled_output()
        test = modeling.AlbertModel(config, False, ids, scope="test").get_pooled_output()
        session.run(tf.global_variables_initializer())
        assert np.abs(session.run(train) - session.run(train)).max() > 1e-4
        np.testing.assert_array_equal(session.run(test), session.run(test))


def test_groups_share_their_layers():
    config = modeling.AlbertConfig(**dict(SMALL, num_hidden_layers=6, num_hidden_groups=2))
    scopes = modeling.block_scopes(config)
    assert [scope.split("/")[1] for scope in scopes] == ["group_0"] * 3 + ["group_1"] * 3


def test_layout_follows_num_hidden_groups():
    assert modeling.AlbertConfig(**SMALL).layout == "brightmart"
    assert modeling.AlbertConfig(num_hidden_groups=1, **SMALL).layout == "google"
    assert modeling.AlbertConfig(layout="google", **SMALL).layout == "google"


def test_config_survives_its_dict():
    config = modeling.AlbertConfig(num_hidden_groups=2, **SMALL)
    assert modeling.AlbertConfig.from_dict(config.to_dict()) == config


def test_legacy_keys_are_ignored():
    config = modeling.AlbertConfig(directionality="bidi", pooler_fc_size=768, gap_size=0, **SMALL)
    assert config == modeling.AlbertConfig(**SMALL)


@pytest.mark.parametrize("change, message", [
    ({"hidden_sise": 24}, "unknown key 'hidden_sise'"),
    ({"hidden_size": "24"}, "'hidden_size' is '24', expected int"),
    ({"hidden_size": 26}, "26 is not divisible by num_attention_heads 4"),
    ({"hidden_act": "swish"}, "expected one of gelu, relu, tanh, linear"),
    ({"hidden_dropout_prob": 1.0}, "out of range"),
    ({"num_hidden_layers": 0}, "out of range"),
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
    config = modeling.AlbertConfig(**SMALL)
    with tf.Graph().as_default(), tf.Session() as session:
        with pytest.raises(UserError, match="length 40 is larger than max_position_embeddings 32"):
            modeling.AlbertModel(config, False, tf.zeros([1, 40], tf.int32))
        ids = tf.placeholder(tf.int32, [None, None])
        output = modeling.AlbertModel(config, False, ids, scope="dynamic").get_pooled_output()
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match="longer than max_position"):
            session.run(output, {ids: np.zeros([1, 40])})
