"""Estimators: running a model_fn on CPU, GPUs, several machines or a TPU, with readable errors."""

import contextlib
import os
import re
import sys
import time

from util import console, files
from util.errors import UserError

import tensorflow.compat.v1 as tf

import optimization
from training import checkpoints, clusters, hooks, input_pipeline, restoring


def define_flags(batch_size, save_checkpoints_steps):
    """The flags every training command shares; the arguments are the command's defaults."""
    flags = tf.flags
    flags.DEFINE_string("output_dir", None, "Where checkpoints and results go; an earlier run of "
                        "the same config in it is continued.")
    flags.DEFINE_string("bert_config_file", None, "Model config, e.g. albert_config/*.json.")
    flags.DEFINE_alias("albert_config_file", "bert_config_file")
    flags.DEFINE_string("init_checkpoint", None, "Checkpoint to take the weights from.")
    flags.DEFINE_bool("allow_partial_init", False, "Leave model variables random that "
                      "--init_checkpoint lacks.")
    flags.DEFINE_integer("train_batch_size", batch_size, "Examples that are computed at once, on "
                         "all devices together.", lower_bound=1)
    flags.DEFINE_integer("gradient_accumulation_steps", 1, "How many times --train_batch_size make "
                         "one step; the memory is that of one.", lower_bound=1)
    flags.DEFINE_integer("eval_batch_size", 64, "Examples a step of evaluation.", lower_bound=1)
    flags.DEFINE_integer("save_checkpoints_steps", save_checkpoints_steps,
                         "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("save_checkpoints_secs", 0, "Seconds between checkpoints, beside those "
                         "every --save_checkpoints_steps; 0: none.", lower_bound=0)
    flags.DEFINE_integer("keep_checkpoint_max", 5, "How many of the last checkpoints to keep.",
                         lower_bound=1)
    flags.DEFINE_integer("iterations_per_loop", 1000, "Steps a TPU makes between two visits of "
                         "the host.", lower_bound=1)
    flags.DEFINE_integer("seed", 12345, "Decides initial weights, dropout and the data's order.",
                         lower_bound=0)
    flags.DEFINE_enum("optimizer", "adamw", ["adamw", "lamb"], "AdamW, or LAMB for large batches.")
    flags.DEFINE_enum("lamb_exclude", "no_decay", ["no_decay", "none"], "Variables without trust "
                      "ratio: those without weight decay (Google), or none (brightmart).")
    flags.DEFINE_integer("num_gpus", 1, "GPUs of this machine to train on; several machines are "
                         "told by TF_CONFIG.", lower_bound=1)
    flags.DEFINE_bool("recompute", False, "Keep the inputs of the blocks only and compute the rest "
                      "again for the gradient: less memory, 1.4 times the time.")
    flags.DEFINE_bool("amp", False, "Compute in float16 with loss scaling on a GPU, in bfloat16 on "
                      "a TPU; weights stay float32.")
    flags.DEFINE_bool("xla", None, "Compile with XLA: clusters of the graph on a GPU, GELU on a "
                      "CPU; default: where it measured faster.")
    flags.DEFINE_bool("use_tpu", False, "Run on a TPU.")
    flags.DEFINE_string("tpu_name", None, "Name or grpc:// address of the TPU.")
    flags.DEFINE_string("tpu_zone", None, "Zone of the TPU.")
    flags.DEFINE_string("gcp_project", None, "Project of the TPU.")
    flags.DEFINE_string("master", None, "TensorFlow master address.")
    flags.DEFINE_integer("num_tpu_cores", 8, "Cores of the TPU.", lower_bound=1)


def check_flags(flags, input_paths):
    """Refuses what cannot run before anything starts."""
    if not flags.output_dir:
        raise UserError("--output_dir is missing; name a directory for checkpoints and results")
    if not flags.bert_config_file:
        raise UserError("--bert_config_file is missing; e.g. albert_config/albert_config_tiny.json")
    if flags.use_tpu:
        _check_tpu_flags(flags, input_paths)
    cluster = this_cluster()
    if flags.use_tpu and (cluster or flags.num_gpus > 1):
        raise UserError("--use_tpu with %s: a TPU run has neither; leave one of them out"
                        % ("TF_CONFIG" if cluster else "--num_gpus=%d" % flags.num_gpus))
    if cluster and flags.num_gpus > 1:
        raise UserError("--num_gpus=%d with TF_CONFIG: every worker trains on all its GPUs; choose "
                        "them by CUDA_VISIBLE_DEVICES" % flags.num_gpus)
    if flags.num_gpus > 1:
        clusters.local_devices(flags.num_gpus)
    on_gpu = clusters.has_gpu() and not flags.use_tpu
    if flags.amp and not (flags.use_tpu or on_gpu):
        raise UserError("--amp needs a GPU (float16) or --use_tpu (bfloat16), and TensorFlow sees "
                        "no GPU here; on a CPU float32 is the fastest this code has, leave it out")


def _check_tpu_flags(flags, input_paths):
    for path in [flags.output_dir] + list(input_paths):
        if not path.startswith("gs://"):
            raise UserError("%s: a TPU reads and writes gs:// paths only; copy it to a bucket"
                            % path)
    if not (flags.tpu_name or flags.master):
        raise UserError("--use_tpu needs --tpu_name (a name or grpc:// address) or --master")
    if flags.train_batch_size % flags.num_tpu_cores:
        raise UserError("--train_batch_size=%d is not a multiple of --num_tpu_cores=%d; every core "
                        "takes an equal part" % (flags.train_batch_size, flags.num_tpu_cores))
    if flags.xla is not None:
        raise UserError("--xla with --use_tpu: a TPU always runs what XLA compiled; leave it out")


def step_examples(flags):
    """How many examples one step takes."""
    return flags.train_batch_size * flags.gradient_accumulation_steps


def create(model_fn, flags):
    """The Estimator that trains on what the flags and TF_CONFIG name, and evaluates on one device.

    With --use_tpu, and on one device, a TPUEstimator; on several GPUs or machines the plain one,
    as TPUEstimator does not work with them on TensorFlow 1.15.
    """
    shared = {
        "model_dir": flags.output_dir, "tf_random_seed": flags.seed,
        "save_checkpoints_steps": flags.save_checkpoints_steps, "save_summary_steps": 100,
        "keep_checkpoint_max": flags.keep_checkpoint_max, "session_config": session_config(flags)}
    strategy = clusters.strategy(this_cluster(), flags.num_gpus)
    if strategy:
        _check_division(flags, strategy.num_replicas_in_sync)
        return tf.estimator.Estimator(
            lambda features, labels, mode, params: model_fn(
                features, labels, mode, params).as_estimator_spec(),
            config=tf.estimator.RunConfig(train_distribute=strategy, **shared), params={})
    cluster = None
    if flags.use_tpu and flags.tpu_name:
        cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
            flags.tpu_name, zone=flags.tpu_zone, project=flags.gcp_project)
    config = tf.estimator.tpu.RunConfig(
        cluster=cluster, master=flags.master,
        tpu_config=tf.estimator.tpu.TPUConfig(
            iterations_per_loop=flags.iterations_per_loop, num_shards=flags.num_tpu_cores,
            per_host_input_for_training=tf.estimator.tpu.InputPipelineConfig.PER_HOST_V2),
        **shared)
    return tf.estimator.tpu.TPUEstimator(
        model_fn=model_fn, config=config, use_tpu=flags.use_tpu,
        train_batch_size=step_examples(flags), eval_batch_size=flags.eval_batch_size,
        predict_batch_size=flags.eval_batch_size, export_to_tpu=False)


def session_config(flags):
    """The ConfigProto of every session."""
    config = tf.ConfigProto(allow_soft_placement=True)
    if flags.xla and clusters.has_gpu():
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
    if flags.amp and not flags.use_tpu:
        config.graph_options.rewrite_options.auto_mixed_precision = 1  # ON
    return config


def _check_division(flags, replicas):
    """Refuses a batch that the replicas cannot share equally."""
    if flags.train_batch_size % replicas:
        raise UserError("--train_batch_size=%d is not a multiple of the %d devices that share it"
                        % (flags.train_batch_size, replicas))


def model_options(flags):
    """The arguments of AlbertModel that say how to compute, not what."""
    return {"use_one_hot_embeddings": flags.use_tpu, "recompute": flags.recompute,
            "compute_type": tf.bfloat16 if flags.amp and flags.use_tpu else tf.float32}


def loss_scale(flags):
    """The LossScale of float16, or None."""
    return optimization.LossScale() if flags.amp and not flags.use_tpu else None


def compiled(flags):
    """The scope to build a training graph in: on a CPU it has XLA compile GELU.

    Of all parts that one gained: 5 % of a step of tiny, 32x128, on TensorFlow 2.15.1. On 1.15.5 it
    lost 30 %. Shapes have to be static, or every new one is compiled.
    """
    asked = tf.__version__.startswith("2.") if flags.xla is None else flags.xla
    if not asked or flags.use_tpu or clusters.has_gpu():
        return contextlib.nullcontext()
    return tf.xla.experimental.jit_scope(
        compile_ops=lambda node: bool(re.search(r"(^|/)gelu(_\d+)?/", node.name)))


def seed_graph(flags):
    """Seeds the graph under construction; returns the checkpoint that training goes on from.

    Dropout differs between the parts of a run and is repeated when a part is.
    """
    trained = tf.train.latest_checkpoint(flags.output_dir)
    tf.set_random_seed(flags.seed + checkpoints.checkpoint_step(trained))
    return trained


def restore_scaffold(config, checkpoint, allow_partial, use_tpu, already_trained,
                     restore_slots=False):
    """Loads `checkpoint` into the graph under construction, with its report; returns a scaffold_fn.

    A run that goes on from its own output directory (`already_trained`) takes nothing from
    `checkpoint`: the Estimator restores it whole. With `restore_slots` the optimizer's moments come
    from it too; the graph must have them by now.
    """
    if not checkpoint or already_trained:
        return None
    variables = tf.trainable_variables()
    if restore_slots:
        variables += [variable for variable in tf.global_variables()
                      if variable.op.name.endswith(checkpoints.SLOT_SUFFIXES)]
    report = restoring.plan_restore(checkpoint, variables, config, allow_partial)
    console.say("%s", report.table())
    if not use_tpu:
        restoring.apply(report)
        return None

    def scaffold_fn():
        restoring.apply(report)
        return tf.train.Scaffold()

    return scaffold_fn


def claim_directory(flags, identity):
    """checkpoints.claim_directory, by the one of several workers that writes."""
    if is_chief():
        checkpoints.claim_directory(flags.output_dir, identity)


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


def train(estimator, input_fn, max_steps, record_paths, flags):
    """estimator.train up to `max_steps`, with failures told in words.

    At SIGTERM, which clusters send before they take a machine back, it saves and ends the process.

    Raises:
      UserError: the loss became NaN (with the step and the last good checkpoint), a record file
        is truncated (with its name and place), or another worker ended.
    """
    if checkpoints.checkpoint_step(estimator.latest_checkpoint()) >= max_steps:
        return
    cluster = this_cluster()
    with damage_named(record_paths), hooks.TerminationHook() as termination, \
            clusters.Watch(cluster, estimator.latest_checkpoint) as watch:
        step = hooks.StepHook(
            max_steps, flags.iterations_per_loop if flags.use_tpu else 1, watch.stop)
        session_hooks = [step, termination, checkpoints.SaverHook(flags.keep_checkpoint_max)]
        if flags.save_checkpoints_secs and is_chief():
            session_hooks.append(hooks.CheckpointHook(
                flags.output_dir, flags.save_checkpoints_steps, flags.save_checkpoints_secs))
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
            raise UserError(
                "the loss is NaN at step %d; last good checkpoint: %s; give it as "
                "--init_checkpoint to a run with a new --output_dir and a lower --learning_rate or "
                "more warmup" % (step.last, good or "none yet")) from None
    if not is_chief():
        _wait_for_checkpoint(estimator, step.last)
        # What TensorFlow has the other workers save, that all do the same.
        own = os.path.join(flags.output_dir, "tmp_worker_%d" % cluster.index)
        if tf.gfile.IsDirectory(own):
            tf.gfile.DeleteRecursively(own)
    if termination.asked:
        sys.exit("stopped by SIGTERM: step %d is saved; the same command goes on from there"
                 % step.last)


def _wait_for_checkpoint(estimator, step, seconds=600):
    """Returns when the chief has saved a step, from which this worker goes on too."""
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
    files.write_lines(path, lines)
    console.say("%s:\n  %s", path, "\n  ".join(lines))
