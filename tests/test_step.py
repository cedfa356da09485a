"""The one training step, as fine-tuning builds it: what it compiles, shows and returns."""

import pytest
import tensorflow.compat.v1 as tf

import run_classifier
from finetuning import command_line, harness
from tuning import flags_of, prepare


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("step"))


def training_graph(here, **changes):
    """(graph, TPUEstimatorSpec) of fine-tuning on pairs of one shape that is not known before."""
    flags = flags_of(here, do_train=True, **changes)
    settings = harness.with_steps(command_line.settings(flags), 640)
    config, _ = harness.load(settings.inputs)
    task = run_classifier.create_task(flags)
    task.setup()
    model_fn = harness.model_fn_builder(task, config, settings.run, settings.schedule)
    with tf.Graph().as_default() as graph:
        tf.train.get_or_create_global_step()
        features = {name: tf.placeholder(tf.int32, [None] * rank, name) for name, rank in (
            ("input_ids", 2), ("input_mask", 2), ("segment_ids", 2), ("label_ids", 1))}
        return graph, model_fn(features, None, tf.estimator.ModeKeys.TRAIN, {})


@pytest.mark.skipif(tf.__version__.startswith("1."), reason="XLA compiles GELU in TensorFlow 2")
@pytest.mark.parametrize("changes, count", [({}, 0), ({"xla": True}, 2)])
def test_xla_is_heeded_where_it_is_asked_for(here, changes, count):
    """Batches differ in length, and XLA compiles each: not by default. GELU and its gradient."""
    graph, _ = training_graph(here, **changes)
    functions = graph.as_graph_def().library.function
    assert len([one for one in functions if one.attr["_XlaMustCompile"].b]) == count


@pytest.mark.parametrize("changes, expected", [
    ({"optimizer": "adamw"}, set()),
    ({"optimizer": "lamb"}, {"output_weights", "output_bias"}),  # as the code of this layout
    ({"optimizer": "lamb", "lamb_exclude": "no_decay"}, {"output_weights"})])
def test_trust_ratios_are_shown(here, changes, expected):
    graph, spec = training_graph(here, **changes)
    tags = {operation.name for operation in graph.get_operations()
            if operation.type == "ScalarSummary"}
    assert {"learning_rate", "gradient_norm"} <= tags
    ratios = {tag[len("trust_ratio/"):] for tag in tags if tag.startswith("trust_ratio/")}
    assert ratios & {"output_weights", "output_bias"} == expected
    assert spec.loss.shape.as_list() == []
