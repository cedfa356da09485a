"""Names of variables in the original codes' checkpoints."""

import pytest

from interchange import variable_names
from training import budget

GROUP = "bert/encoder/transformer/group_%d/inner_group_0/attention_1/self/query/kernel"


@pytest.mark.parametrize("name, names, expected", [
    ("bert/pooler/dense/bias", ["module/bert/pooler/dense/bias"], "module/bert/pooler/dense/bias"),
    ("bert/embeddings/LayerNorm/beta", ["bert/embeddings/layer_normalization/beta"],
     "bert/embeddings/layer_normalization/beta"),
    # Numbered over the graph; of layers that share theirs there are two in a scope.
    ("e/inner_group_0/LayerNorm/gamma", ["e/inner_group_0/layer_normalization_%d/gamma" % number
                                         for number in (10, 9)],
     "e/inner_group_0/layer_normalization_9/gamma"),
    ("e/inner_group_0/LayerNorm_1/gamma", ["module/e/inner_group_0/layer_normalization_%d/gamma"
                                           % number for number in (10, 9)],
     "module/e/inner_group_0/layer_normalization_10/gamma"),
    ("e/inner_group_0/LayerNorm_1/gamma", ["e/inner_group_0/layer_normalization_%d/gamma" % number
                                           for number in (1, 2, 3, 4)], None),
    ("a/kernel", ["a/kernel", "a/kernel/lamb_m"], "a/kernel"),
    ("a/kernel/adam_m", ["a/kernel/adam_m"], "a/kernel/adam_m"),
    ("a/kernel/adam_v", ["a/kernel/lamb_m", "a/kernel/lamb_v"], "a/kernel/lamb_v"),
    ("squad/output_bias", ["cls/squad/output_bias"], "cls/squad/output_bias"),
    ("squad/output_bias/adam_m", ["cls/squad/output_bias/adam_m"], "cls/squad/output_bias/adam_m"),
    ("squad/output_bias", ["squad/output_bias", "cls/squad/output_bias"], "squad/output_bias"),
    ("a/bias", ["a/kernel"], None),
    (GROUP % 1, [GROUP % 0], None),
])
def test_source(name, names, expected):
    assert variable_names.source(name, names) == expected


def test_groups_that_start_as_group_0():
    assert variable_names.source(GROUP % 3, [GROUP % 0], from_group0=True) == GROUP % 0
    assert variable_names.source("a/bias", ["a/bias"], from_group0=True) == "a/bias"


def test_slots():
    assert all(map(variable_names.is_slot, ["a/adam_m", "a/adam_v", "a/lamb_m", "a/lamb_v"]))
    assert not variable_names.is_slot("bert/adam_mask/kernel")


def test_what_is_of_the_training_and_no_weight():
    for name in ("global_step", budget.VARIABLE, "loss_scale/scale"):
        assert variable_names.is_bookkeeping(name)
    assert not variable_names.is_bookkeeping("bert/pooler/dense/bias")


@pytest.mark.parametrize("names, layout", [
    (["bert/encoder/layer_shared/output/dense/bias"], "brightmart"),
    (["global_step", "bert/encoder/transformer/group_0/inner_group_0/LayerNorm/beta"], "google"),
    (["bert/encoder/layer_0/attention/self/query/kernel"], "bert"),
    (["bert/embeddings/word_embeddings"], None)])
def test_detect_layout(names, layout):
    assert variable_names.detect_layout(names) == layout
