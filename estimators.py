"""Estimators: running a model_fn on CPU, GPU or TPU, with progress and errors a person can read."""

import contextlib
import os
import signal
import sys
import time

import commands

import tensorflow.compat.v1 as tf

import checkpoints
import records
from errors import UserError


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
    flags.DEFINE_integer("train_batch_size", batch_size, "Examples that are computed at once.",
                         lower_bound=1)
    flags.DEFINE_integer("gradient_accumulation_steps", 1, "How many times --train_batch_size make "
                         "one step; the memory is that of one.", lower_bound=1)
    flags.DEFINE_integer("eval_batch_size", 64, "Examples a step of evaluation.", lower_bound=1)
    flags.DEFINE_integer("save_checkpoints_steps", save_checkpoints_steps,
                         "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("keep_checkpoint_max", 5, "How many of the last checkpoints to keep.",
                         lower_bound=1)
    flags.DEFINE_integer("iterations_per_loop", 1000, "Steps a TPU makes between two visits of "
                         "the host.", lower_bound=1)
    flags.DEFINE_integer("seed", 12345, "Decides initial weights, dropout and the data's order.",
                         lower_bound=0)
    flags.DEFINE_enum("optimizer", "adamw", ["adamw", "lamb"], "AdamW, or LAMB for large batches.")
    flags.DEFINE_enum("lamb_exclude", "no_decay", ["no_decay", "none"], "Variables without trust "
                      "ratio: those without weight decay (Google), or none (brightmart).")
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
        for path in [flags.output_dir] + list(input_paths):
            if not path.startswith("gs://"):
                raise UserError("%s: a TPU reads and writes gs:// paths only; copy it to a bucket"
                                % path)


def step_examples(flags):
    """How many examples one step takes."""
    return flags.train_batch_size * flags.gradient_accumulation_steps


def create(model_fn, flags):
    """A TPUEstimator as the flags ask; without --use_tpu it runs on the CPU or one GPU."""
    cluster = None
    if flags.use_tpu and flags.tpu_name:
        cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
            flags.tpu_name, zone=flags.tpu_zone, project=flags.gcp_project)
    config = tf.estimator.tpu.RunConfig(
        cluster=cluster, master=flags.master, model_dir=flags.output_dir,
        tf_random_seed=flags.seed, save_checkpoints_steps=flags.save_checkpoints_steps,
        keep_checkpoint_max=flags.keep_checkpoint_max, save_summary_steps=100,
        session_config=tf.ConfigProto(allow_soft_placement=True),
        tpu_config=tf.estimator.tpu.TPUConfig(
            iterations_per_loop=flags.iterations_per_loop, num_shards=flags.num_tpu_cores,
            per_host_input_for_training=tf.estimator.tpu.InputPipelineConfig.PER_HOST_V2))
    return tf.estimator.tpu.TPUEstimator(
        model_fn=model_fn, config=config, use_tpu=flags.use_tpu,
        train_batch_size=step_examples(flags), eval_batch_size=flags.eval_batch_size,
        predict_batch_size=flags.eval_batch_size, export_to_tpu=False)


def begin_part(flags):
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
    report = checkpoints.plan_restore(checkpoint, variables, config, allow_partial)
    commands.say("%s", report.table())
    if not use_tpu:
        checkpoints.apply(report)
        return None

    def scaffold_fn():
        checkpoints.apply(report)
        return tf.train.Scaffold()

    return scaffold_fn


def train(estimator, input_fn, max_steps, record_paths, hooks=()):
    """estimator.train up to `max_steps`, with failures told in words.

    At SIGTERM, which clusters send before they take a machine back, it saves and ends the process.

    Raises:
      UserError: the loss became NaN (with the step and the last good checkpoint), or a record file
        is truncated (with its name and place).
    """
    if checkpoints.checkpoint_step(estimator.latest_checkpoint()) >= max_steps:
        return
    step = _StepHook()
    try:
        with damage_named(record_paths), _TerminationHook() as termination:
            estimator.train(
                input_fn, max_steps=max_steps, hooks=[step, termination] + list(hooks))
    except tf.train.NanLossDuringTrainingError:
        good = checkpoints.last_good(estimator.model_dir)
        raise UserError(
            "the loss is NaN at step %d; last good checkpoint: %s; give it as --init_checkpoint to "
            "a run with a new --output_dir and a lower --learning_rate or more warmup"
            % (step.last, good or "none yet")) from None
    if termination.asked:
        sys.exit("stopped by SIGTERM: step %d is saved; the same command goes on from there"
                 % step.last)


@contextlib.contextmanager
def damage_named(record_paths):
    """Turns the error of a truncated record file into a UserError with its name and place."""
    try:
        yield
    except tf.errors.DataLossError:
        records.find_damaged(record_paths)
        raise


class _StepHook(tf.train.SessionRunHook):
    """Knows the last step that was made.

    It asks after every run: fetched along with a step, the number is that before or after it.
    """

    last = 0

    def after_run(self, run_context, run_values):
        self.last = int(run_context.session.run(tf.train.get_global_step()))


class _TerminationHook(tf.train.SessionRunHook):
    """Asks for the end of training when SIGTERM comes; as a context it heeds the signal."""

    asked = False

    def __enter__(self):
        self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *error):
        signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number, frame):
        self.asked = True

    def after_run(self, run_context, run_values):
        if self.asked:
            run_context.request_stop()


class ProgressHook(tf.train.SessionRunHook):
    """Prints a line now and then: step, the given values, examples a second, time left."""

    def __init__(self, values, total_steps, batch_size, every_seconds=10.0):
        """`values` is an ordered {label: scalar tensor}; batch_size is in examples a step."""
        self._values = values
        self._total_steps = total_steps
        self._batch_size = batch_size
        self._every_seconds = every_seconds

    def after_create_session(self, session, coord):
        self._step = int(session.run(tf.train.get_global_step()))
        # The first step compiles and fills buffers: it is not part of any rate.
        self._since = None

    def before_run(self, run_context):
        due = self._since and time.time() - self._since[0] >= self._every_seconds
        last = self._step + 1 >= self._total_steps
        return tf.train.SessionRunArgs(self._values if due or last else {})

    def after_run(self, run_context, run_values):
        self._step += 1
        now = time.time()
        if run_values.results:
            self._print(run_values.results, now)
        if run_values.results or self._since is None:
            self._since = (now, self._step)

    def _print(self, values, now):
        parts = ["step %d/%d" % (self._step, self._total_steps)]
        parts += ["%s %.4g" % item for item in values.items()]
        if self._since and self._step > self._since[1]:
            rate = (self._step - self._since[1]) / (now - self._since[0])
            parts.append("%.1f examples/s" % (rate * self._batch_size))
            parts.append("%s left" % duration((self._total_steps - self._step) / rate))
        commands.say("%s", "  ".join(parts))


def duration(seconds):
    """3725 -> "1:02:05"."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    return "%d:%02d:%02d" % (minutes // 60, minutes % 60, seconds)


def write_results(path, results):
    """Writes {name: number} in the seeds' form, a sorted "name = value" a line; prints it too."""
    lines = ["%s = %s" % (name, results[name]) for name in sorted(results)]
    tf.gfile.MakeDirs(os.path.dirname(path))
    with tf.gfile.GFile(path, "w") as stream:
        stream.write("\n".join(lines) + "\n")
    commands.say("%s:\n  %s", path, "\n  ".join(lines))
