"""The whole training step compiles with XLA, which stands in for a TPU: its values stay."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tiny
from pretraining import objectives
from training import settings
from training.step import training_graph

B = 4


def features():
    """A batch of static shapes, in which the parts have other numbers of predictions."""
    rng = np.random.RandomState(0)
    examples = [tiny.pretraining_example(rng) for _ in range(B)]
    batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
    batch["masked_lm_weights"][0, 1] = 0.0
    return {name: tf.constant(value, tf.float32 if name == "masked_lm_weights" else tf.int32)
            for name, value in batch.items()}


def trained(compiled, changes, **options):
    """{name: value} of all variables after three steps, and the last step's scalars."""
    config = tiny.config(**changes)
    recompute = options.pop("recompute", False)
    run = settings.Run(settings.Checkpointing("out"), settings.Batches(
        gradient_accumulation_steps=options.pop("gradient_accumulation_steps", 1)))
    schedule = settings.Schedule(0.01, 10, 2, **options)

    def build(part, output_positions):
        return modeling.AlbertModel(
            config, True, part["input_ids"], part["input_mask"], part["segment_ids"],
            scope="bert", recompute=recompute, output_positions=output_positions)

    def step():
        batch = features()
        train, shown = training_graph(
            objectives.training_loss(config, build, batch, run), batch, config, run, schedule)
        with tf.control_dependencies([train.train_op]):
            return [tf.identity(value) for value in shown.values()]

    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        shown = tf.xla.experimental.compile(step) if compiled else step()
        tf.set_random_seed(1)
        session.run(tf.global_variables_initializer())
        rng = np.random.RandomState(2)
        for variable in tf.trainable_variables():  # XLA's graph has other seeds
            variable.load(0.3 * rng.randn(*variable.shape.as_list()), session)
        for _ in range(3):
            scalars = session.run(shown)
        return session.run({variable.op.name: variable for variable in tf.global_variables()}), (
            scalars)


@pytest.mark.slow
# Of the second 1.15.5 has its parts: test_same_under_xla (test_recompute.py) and
# test_update_compiles_with_xla (test_optimization.py).
@pytest.mark.parametrize("layout, layers, optimizer, recompute", [
    pytest.param("brightmart", 1, "adamw", False, marks=pytest.mark.every_platform),
    pytest.param("google", 2, "lamb", True, marks=pytest.mark.one_platform)])
def test_training_step_compiles_with_xla(layout, layers, optimizer, recompute):
    """In two parts, and equal to the step that is neither compiled nor in parts."""
    changes = dict(tiny.LAYOUTS[layout], num_hidden_layers=layers)
    found, said = trained(True, changes, optimizer=optimizer, recompute=recompute,
                          gradient_accumulation_steps=2)
    wanted, expected = trained(False, changes, optimizer=optimizer)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(said, expected, rtol=1e-4)
    assert wanted["global_step"] == 3
