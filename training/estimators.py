"""Estimators: running a model_fn on CPU, GPUs, several machines or a TPU, with readable errors."""

import contextlib
import os
import sys
import time

from util import console, whole_files
from util.errors import UserError

import tensorflow.compat.v1 as tf

import layers
import optimization
from training import checkpoints, clusters, hooks, input_pipeline, precision


class Diverged(UserError):
    """The loss of a training became NaN."""


def create(model_fn, run):
    """The Estimator for the devices of a Run and of TF_CONFIG; it evaluates on one device.

    With a TPU, and on one device, a TPUEstimator; on several GPUs or machines the plain one, as
    TPUEstimator does not work with them on TensorFlow 1.15.

    Args:
      model_fn: as a TPUEstimator wants it.
      run: settings.Run.
    """
    devices, batches, checkpointing = run.devices, run.batches, run.checkpointing
    precision.advise(devices)
    model_fn = precision.computing(model_fn, devices)
    shared = {
        "model_dir": checkpointing.output_dir, "tf_random_seed": run.seed,
        "save_checkpoints_steps": checkpointing.save_checkpoints_steps, "save_summary_steps": 100,
        "keep_checkpoint_max": checkpointing.keep_checkpoint_max,
        "session_config": session_config(devices)}
    strategy = clusters.strategy(this_cluster(), devices.num_gpus)
    if strategy:
        _check_division(batches.train_batch_size, strategy.num_replicas_in_sync)
        return tf.estimator.Estimator(
            lambda features, labels, mode, params: model_fn(
                features, labels, mode, params).as_estimator_spec(),
            config=tf.estimator.RunConfig(train_distribute=strategy, **shared), params={})
    cluster = None
    if devices.use_tpu and devices.tpu_name:
        cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
            devices.tpu_name, zone=devices.tpu_zone, project=devices.gcp_project)
    config = tf.estimator.tpu.RunConfig(
        cluster=cluster, master=devices.master,
        tpu_config=tf.estimator.tpu.TPUConfig(
            iterations_per_loop=devices.iterations_per_loop, num_shards=devices.num_tpu_cores,
            per_host_input_for_training=tf.estimator.tpu.InputPipelineConfig.PER_HOST_V2),
        **shared)
    return tf.estimator.tpu.TPUEstimator(
        model_fn=model_fn, config=config, use_tpu=devices.use_tpu,
        train_batch_size=batches.step_examples, eval_batch_size=batches.eval_batch_size,
        predict_batch_size=batches.eval_batch_size, export_to_tpu=False)


def session_config(devices):
    """The ConfigProto of every session."""
    config = tf.ConfigProto(allow_soft_placement=True)
    if devices.xla and clusters.has_gpu():
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
    if precision.is_float16(devices):
        config.graph_options.rewrite_options.auto_mixed_precision = 1  # ON
    return config


def _check_division(train_batch_size, replicas):
    """Refuses a batch that the replicas cannot share equally."""
    if train_batch_size % replicas:
        raise UserError("--train_batch_size=%d is not a multiple of the %d devices that share it"
                        % (train_batch_size, replicas))


def model_options(devices, varying_shapes):
    """The arguments of AlbertModel that say how to compute, not what.

    Args:
      devices: settings.Devices.
      varying_shapes: whether the graph may have shapes that depend on the batch; one that is
        exported may not.
    """
    static = devices.use_tpu or (devices.xla and clusters.has_gpu())  # XLA compiles every shape
    return {"use_one_hot_embeddings": devices.use_tpu, "recompute": devices.recompute,
            "compute_type": precision.compute_type(devices),
            "skip_padding": varying_shapes and not static}


def loss_scale(devices):
    """The LossScale of float16, or None."""
    return optimization.LossScale() if precision.is_float16(devices) else None


def compiled(devices, few_shapes):
    """The scope to build a training graph in: on a CPU it has XLA compile GELU.

    Of all parts that one gained: 8 to 11 % of a step of tiny. Every new shape is compiled, so where
    there are many it must be asked for.
    """
    default = few_shapes and not tf.__version__.startswith("1.")
    asked = default if devices.xla is None else devices.xla
    if not asked or devices.use_tpu or clusters.has_gpu():
        return contextlib.nullcontext()
    return layers.compiled_gelu()


def seed_graph(run):
    """Seeds the graph under construction; returns the checkpoint that training resumes from.

    The seed depends on the step of that checkpoint: dropout differs between the parts of a run, and
    a part that is repeated draws the same again.
    """
    trained = checkpoints.latest(run.checkpointing.output_dir)
    tf.set_random_seed(run.seed + checkpoints.checkpoint_step(trained))
    return trained


def replicas():
    """How many devices train the graph under construction together; the cores of a TPU aside."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def is_chief():
    """Whether this process is the one that evaluates and writes, of several workers."""
    cluster = this_cluster()
    return cluster is None or cluster.index == 0


def this_cluster():
    """The clusters.Cluster that TF_CONFIG describes, or None."""
    return clusters.from_environment(os.environ.get("TF_CONFIG"))


def train(estimator, input_fn, max_steps, record_paths, run, further_hooks=()):
    """estimator.train up to `max_steps`; its failures become sentences.

    At SIGTERM, which clusters send before they take a machine back, it saves and ends the process.

    Args:
      estimator: of `create`.
      input_fn: training batches without end, from the step on that the estimator has reached.
      max_steps: the global step to stop at.
      record_paths: the files that `input_fn` reads, searched when one turns out to be damaged.
      run: settings.Run.
      further_hooks: session hooks.

    Raises:
      Diverged: the loss became NaN (with the step and the last good checkpoint).
      UserError: a record file is truncated (with its name and place), or another worker ended.
    """
    if checkpoints.checkpoint_step(estimator.latest_checkpoint()) >= max_steps:
        return
    cluster = this_cluster()
    with damage_named(record_paths), hooks.TerminationHook() as termination, \
            clusters.Watch(cluster, estimator.latest_checkpoint) as watch:
        step = hooks.StepHook(
            max_steps, run.devices.iterations_per_loop if run.devices.use_tpu else 1, watch.stop)
        session_hooks = [step, termination] + list(further_hooks) + _saving_hooks(
            run.checkpointing, estimator.latest_checkpoint())
        try:
            if cluster:
                # Estimator.train refuses to run in one of several workers. The EvalSpec is for an
                # evaluator, which no cluster has here.
                tf.estimator.train_and_evaluate(
                    estimator, tf.estimator.TrainSpec(input_fn, max_steps, session_hooks),
                    tf.estimator.EvalSpec(input_fn))
            else:
                estimator.train(input_fn, max_steps=max_steps, hooks=session_hooks)
        except tf.train.NanLossDuringTrainingError:
            good = checkpoints.last_good(estimator.model_dir)
            raise Diverged(
                "the loss is NaN at step %d; last good checkpoint: %s; give it as "
                "--init_checkpoint to a run with a new --output_dir and a lower --learning_rate or "
                "more warmup" % (step.last, good or "none yet")) from None
        except tf.errors.UnknownError as error:
            clusters.explain(cluster, error)
            raise
    if not is_chief():
        _wait_for_checkpoint(estimator, step.last)
        # TensorFlow lets the other workers save too, since a save is a collective operation.
        directory = os.path.join(run.checkpointing.output_dir, "tmp_worker_%d" % cluster.index)
        if tf.gfile.IsDirectory(directory):
            tf.gfile.DeleteRecursively(directory)
    if termination.asked:
        sys.exit("stopped by SIGTERM: step %d is saved; the same command goes on from there"
                 % step.last)


def _saving_hooks(checkpointing, trained):
    """The hooks that save checkpoints as settings.Checkpointing asks for.

    Args:
      trained: the checkpoint that training resumes from, or None.
    """
    saving = [checkpoints.SaverHook(trained, checkpointing.keep_checkpoint_max)]
    if checkpointing.save_checkpoints_secs and is_chief():
        saving.append(hooks.CheckpointHook(
            checkpointing.output_dir, checkpointing.save_checkpoints_steps,
            checkpointing.save_checkpoints_secs))
    return saving


def _wait_for_checkpoint(estimator, step, seconds=600):
    """Returns when the chief has saved a step, from which this worker resumes too."""
    end = time.time() + seconds
    while checkpoints.checkpoint_step(estimator.latest_checkpoint()) < step:
        if time.time() > end:
            raise UserError("%s: no checkpoint of step %d after %d seconds; every worker must see "
                            "the same --output_dir" % (estimator.model_dir, step, seconds))
        time.sleep(0.2)


@contextlib.contextmanager
def damage_named(record_paths):
    """Turns the error of a truncated record file into a UserError with its name and place."""
    try:
        yield
    except tf.errors.DataLossError:
        input_pipeline.find_damaged(record_paths)
        raise


def write_results(path, results):
    """Writes {name: number} in the seeds' form, a sorted "name = value" a line; prints it too."""
    lines = ["%s = %s" % (name, results[name]) for name in sorted(results)]
    whole_files.write_lines(path, lines)
    console.say("%s:\n  %s", path, "\n  ".join(lines))
