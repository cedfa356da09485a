"""The flags that cannot run, the lines of progress, failures of training in words."""

import collections
import logging
import types

from util import platforms
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import run_pretraining
import tiny
from training import clusters, command_line, estimators, hooks, settings


def run(output_dir, **values):
    return settings.Run(settings.Checkpointing(str(output_dir)), **values)


def flags(**values):
    return tiny.parse(run_pretraining.define_flags, **values)


TPU = {"output_dir": "gs://b/out", "bert_config_file": "c", "use_tpu": True, "tpu_name": "t"}


@pytest.fixture
def whole_estimator(monkeypatch):
    """As with a TensorFlow that can use a TPU."""
    monkeypatch.setattr(platforms, "has_estimator", lambda: True)


@pytest.mark.parametrize("values, paths, message", [
    ({}, [], "--output_dir is missing"),
    ({"output_dir": "out"}, [], "--bert_config_file is missing"),
    ({"output_dir": "out", "bert_config_file": "c", "use_tpu": True}, [], "out: a TPU reads and"),
    ({"output_dir": "gs://b/out", "bert_config_file": "c", "use_tpu": True}, ["gs://b/a", "data/a"],
     "data/a: a TPU reads and writes gs:// paths only; copy it to a bucket"),
    ({"output_dir": "lr[1e-4]", "bert_config_file": "c"}, [],
     r"--output_dir=lr\[1e-4\]: TensorFlow reads \[ \] \* \? \\ as a pattern"),
    ({"output_dir": "out", "export_dir": "a*", "bert_config_file": "c"}, [], r"--export_dir=a\*: "),
    (dict(TPU, tpu_name=""), [], "--use_tpu needs --tpu_name .* or --master"),
    (dict(TPU, train_batch_size=12), [], "--train_batch_size=12 is not a multiple of "
                                         "--num_tpu_cores=8; every core takes an equal part"),
    (dict(TPU, xla=True), [], "--xla with --use_tpu: a TPU always runs what XLA compiled"),
    (dict(TPU, num_gpus=2), [], "--use_tpu with --num_gpus=2: a TPU run has neither"),
    ({"output_dir": "out", "bert_config_file": "c", "num_gpus": 9}, [], "--num_gpus=9: TensorFlow "
     "sees 0 GPUs here"),
])
def test_flags_that_cannot_run(values, paths, message, whole_estimator):
    with pytest.raises(UserError, match=message):
        command_line.check_flags(flags(**values), paths)


def test_tpu_needs_a_tensorflow_that_has_all_of_estimator(monkeypatch):
    monkeypatch.setattr(platforms, "has_estimator", lambda: False)
    with pytest.raises(UserError, match="--use_tpu with TensorFlow .* use TensorFlow 2.15.1 on"):
        command_line.check_flags(flags(**TPU), [])


def test_tf_config_excludes_other_ways(monkeypatch, whole_estimator):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}, '
                                    '"task": {"type": "worker", "index": 1}}')
    assert not estimators.is_chief()
    for values, message in ((TPU, "--use_tpu with TF_CONFIG"), (
            {"output_dir": "out", "bert_config_file": "c", "num_gpus": 2}, "choose them by CUDA_")):
        with pytest.raises(UserError, match=message):
            command_line.check_flags(flags(**values), [])


IS_TF2 = not tf.__version__.startswith("1.")


@pytest.mark.parametrize("values, gpu, gelu_compiled, float16, jit", [
    ({}, False, IS_TF2, 0, 0), ({"xla": True}, False, True, 0, 0),
    ({"xla": False}, False, False, 0, 0), ({}, True, False, 0, 0),
    ({"xla": True}, True, False, 0, 1), ({"amp": True}, True, False, 1, 0),
    ({"amp": True}, False, IS_TF2, 0, 0), ({"amp": True, "use_tpu": True}, False, False, 0, 0)])
def test_what_xla_and_amp_set(monkeypatch, values, gpu, gelu_compiled, float16, jit):
    """GELU compiled on a CPU, clusters and float16 on a GPU, bfloat16 on a TPU."""
    monkeypatch.setattr(clusters, "has_gpu", lambda: gpu)
    found = settings.Devices(**values)
    config = estimators.session_config(found)
    assert config.graph_options.rewrite_options.auto_mixed_precision == float16
    assert config.graph_options.optimizer_options.global_jit_level == jit
    options = estimators.model_options(found, True)
    assert options["compute_type"] == (tf.bfloat16 if found.use_tpu else tf.float32)
    assert options["skip_padding"] == (not found.use_tpu and not jit)
    assert not estimators.model_options(found, False)["skip_padding"]
    with estimators.compiled(found, few_shapes=True):
        assert layers.is_within("compiled_gelu") == gelu_compiled
    assert (estimators.loss_scale(found) is not None) == bool(float16)


def test_config_flag_has_two_names():
    assert flags(albert_config_file="c.json").bert_config_file == "c.json"
    assert flags(bert_config_file="c.json").bert_config_file == "c.json"


def test_results_are_sorted_lines(tmp_path):
    estimators.write_results(str(tmp_path / "out" / "eval_results.txt"),
                             {"loss": 0.5, "accuracy": 1.0, "global_step": 7})
    assert (tmp_path / "out" / "eval_results.txt").read_text() == (
        "accuracy = 1.0\nglobal_step = 7\nloss = 0.5\n")


def training(loss, steps, batch_size=4):
    """Runs `steps` global steps under a hook, without an Estimator."""
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        train_op = tf.assign_add(step, 1)
        progress = hooks.ProgressHook(
            collections.OrderedDict([("loss", tf.constant(loss)), ("step", step)]), steps,
            hooks.Work(batch_size, None, None, None), every_seconds=1e9)
        with tf.train.MonitoredSession(hooks=[progress]) as session:
            for _ in range(steps):
                session.run(train_op)


def test_progress_shows_the_last_step(caplog, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(hooks, "time", types.SimpleNamespace(time=lambda: next(clock)))
    with caplog.at_level(logging.INFO, "albert"):
        training(0.25, 3)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("step 3/3  loss 0.25  ")
    # The clock moves on a second with every look: one a run, and one before each but the first.
    assert caplog.messages[0].endswith("2.0 examples/s  0:00:00 left")


def failing_estimator(tmp_path, values, **config):
    """An Estimator whose loss is values[0] at step 1, values[1] at step 2, ..."""
    def model_fn(features, labels, mode, params):
        step = tf.train.get_or_create_global_step()
        weight = tf.get_variable("w", initializer=0.0)
        loss = tf.gather(tf.constant(values), tf.cast(step, tf.int32)) + 0.0 * weight
        with tf.control_dependencies([loss]):
            update = tf.group(weight.assign(loss), tf.assign_add(step, 1))
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=update)

    return tf.estimator.Estimator(model_fn, str(tmp_path), tf.estimator.RunConfig(**config),
                                  params={})


def test_each_part_of_a_run_has_its_own_seed(tmp_path):
    seeds = []
    for step in (0, 3, 7):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            trained = estimators.seed_graph(run(tmp_path, seed=100))
            assert bool(trained) == (step > 0)
            seeds.append(graph.seed)
            session.run(tf.get_variable("global_step", initializer=np.int64(step + 4)).initializer)
            tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    assert seeds == [100, 104, 107]


@pytest.mark.parametrize("values, step, good", [
    ([float("nan")], 1, 0), ([1.0, 2.0, 3.0, float("nan")], 4, 2), ([1.0, float("nan")], 2, 0)])
def test_nan_names_the_step_and_the_last_good_checkpoint(tmp_path, values, step, good):
    estimator = failing_estimator(tmp_path, values, save_checkpoints_steps=2)
    with pytest.raises(UserError, match=r"loss is NaN at step %d; last good checkpoint: "
                       r"\S*/model.ckpt-%d; give it as --init_checkpoint" % (step, good)):
        estimators.train(
            estimator, lambda: tf.data.Dataset.from_tensors({"x": [0]}).repeat(), 10, [],
            run(tmp_path))


def test_damaged_records_are_named(tmp_path):
    paths = [tiny.write_records(tmp_path / name, 8) for name in ("a", "b")]
    with open(paths[1], "r+b") as stream:
        stream.seek(1000)
        stream.write(b"\xff" * 4)
    error = tf.errors.DataLossError(None, None, "corrupted record")
    with pytest.raises(UserError, match="b: truncated or corrupt after 4 complete records"), \
            estimators.damage_named(paths):
        raise error
    with pytest.raises(tf.errors.DataLossError), estimators.damage_named(paths[:1]):
        raise error  # of another file
