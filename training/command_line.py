"""The flags that every training command shares, and the settings they make.

Beside the commands only this module and finetuning/command_line.py see flags; other library code
takes settings.
"""

from util import console, platforms, processors
from util.errors import UserError

import tensorflow.compat.v1 as tf
from absl import flags as absl_flags

from interchange import tensorflow_files
from training import checkpoints, clusters, estimators, precision, run_directory
from training.settings import Batches, Checkpointing, Devices, Initial, Run

# What 0 of --keep_checkpoint_max means; tf.train.Saver's own 0 would keep no list of them.
KEEP_ALL = 10 ** 6


def define_flags(batch_size, save_checkpoints_steps, optimizer):
    """Defines the shared flags; the arguments are the command's defaults.

    Args:
      optimizer: "adamw", "lamb" or "muon"; None: the command chooses one by rate and batch.
    """
    flags = absl_flags
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
    flags.DEFINE_integer("keep_checkpoint_max", 5, "How many of the last checkpoints to keep; "
                         "0: all.", lower_bound=0)
    flags.DEFINE_integer("seed", 12345, "Decides initial weights, dropout and the data's order.",
                         lower_bound=0)
    flags.DEFINE_enum("optimizer", optimizer, ["adamw", "lamb", "muon"], "AdamW, LAMB for large "
                      "batches, or Muon for matrices and AdamW for the rest" + (
                          "." if optimizer else "; default: LAMB where --learning_rate is given, "
                          "as both original codes, else what suits the batch (docs/recipes.md)."))
    flags.DEFINE_enum("lamb_exclude", None, ["no_decay", "none"], "Variables without trust ratio: "
                      "those without weight decay (Google), or none (brightmart); default: as the "
                      "code of the config's layout.")
    _define_device_flags()


def _define_device_flags():
    flags = absl_flags
    flags.DEFINE_integer("num_gpus", 1, "GPUs of this machine to train on; several machines are "
                         "told by TF_CONFIG.", lower_bound=1)
    flags.DEFINE_bool("recompute", False, "Keep the inputs of the blocks only and compute the rest "
                      "again for the gradient: less memory, 1.4 times the time.")
    flags.DEFINE_bool("amp", None, "Compute in bfloat16 on a TPU or a processor that has it, in "
                      "float16 with loss scaling on a GPU; weights stay float32. Default: as the "
                      "run in --output_dir did, else no, but yes for a budget of time on a "
                      "processor that has it.")
    flags.DEFINE_bool("xla", None, "Compile with XLA: clusters of the graph on a GPU, GELU on a "
                      "CPU; default: where it measured faster.")
    flags.DEFINE_bool("use_tpu", False, "Run on a TPU.")
    flags.DEFINE_string("tpu_name", None, "Name or grpc:// address of the TPU.")
    flags.DEFINE_string("tpu_zone", None, "Zone of the TPU.")
    flags.DEFINE_string("gcp_project", None, "Project of the TPU.")
    flags.DEFINE_string("master", None, "TensorFlow master address.")
    flags.DEFINE_integer("num_tpu_cores", 8, "Cores of the TPU.", lower_bound=1)
    flags.DEFINE_integer("iterations_per_loop", 1000, "Steps a TPU makes between two visits of "
                         "the host.", lower_bound=1)


def run_settings(flags, prefers_amp=False):
    """The Run that the shared flags ask for.

    Without --amp a directory's run goes on in the type that it was trained in.

    Args:
      flags: parsed.
      prefers_amp: whether a new run without --amp takes it where it is fast on a processor.

    Raises:
      UserError: --amp cannot work here.
    """
    def taken(settings):
        """The settings of a type whose fields are flags of the same names."""
        return settings(**{
            name: getattr(flags, name) for name in settings._fields if name in flags})

    checkpointing = taken(Checkpointing)
    if not checkpointing.keep_checkpoint_max:
        checkpointing = checkpointing._replace(keep_checkpoint_max=KEEP_ALL)
    devices = taken(Devices)
    if devices.amp is None:
        takes_it = (prefers_amp and precision.is_fast(devices)
                    and not checkpoints.latest(flags.output_dir))
        if takes_it:
            console.say("--amp is taken, as %s multiplies bfloat16 fast; --noamp computes in "
                        "float32", processors.name())
        devices = devices._replace(
            amp=takes_it or run_directory.was_trained_with_amp(flags.output_dir))
    precision.check(devices)
    return Run(checkpointing, taken(Batches), devices, taken(Initial), flags.seed)


def check_flags(flags, input_paths):
    """Refuses what cannot run before anything starts.

    Args:
      flags: parsed.
      input_paths: data files or directories, which a TPU must be able to read.

    Raises:
      UserError: a flag that is missing, or that contradicts another one or this machine.
    """
    if not flags.output_dir:
        raise UserError("--output_dir is missing; name a directory for checkpoints and results")
    if not flags.bert_config_file:
        raise UserError("--bert_config_file is missing; e.g. albert_config/albert_config_tiny.json")
    for name in ("output_dir", "export_dir"):
        path = flags[name].value
        if path and tensorflow_files.has_pattern(path):
            raise UserError("--%s=%s: TensorFlow reads [ ] * ? \\ as a pattern and would not find "
                            "its files again; name it without them" % (name, path))
    if flags.use_tpu:
        _check_tpu_flags(flags, input_paths)
    cluster = estimators.this_cluster()
    if flags.use_tpu and (cluster or flags.num_gpus > 1):
        raise UserError("--use_tpu with %s: a TPU run has neither; leave one of them out"
                        % ("TF_CONFIG" if cluster else "--num_gpus=%d" % flags.num_gpus))
    if cluster and flags.num_gpus > 1:
        raise UserError("--num_gpus=%d with TF_CONFIG: every worker trains on all its GPUs; choose "
                        "them by CUDA_VISIBLE_DEVICES" % flags.num_gpus)
    if flags.num_gpus > 1:
        clusters.local_devices(flags.num_gpus)
    if flags.xla and tf.__version__.startswith("1.") and not clusters.has_gpu():
        raise UserError("--xla with TensorFlow %s and no GPU: on a processor it needs TensorFlow 2 "
                        "(Python 3.9 or newer); leave it out" % tf.__version__)


def _check_tpu_flags(flags, input_paths):
    if not platforms.has_estimator():
        raise UserError("--use_tpu with TensorFlow %s: it has lost what TPUEstimator needs of it "
                        "on a TPU, and TPU machines do not run it (tensorflow#82208, #90807); use "
                        "TensorFlow 2.15.1 on Python 3.9-3.11" % tf.__version__)
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
