"""What to load from a checkpoint: layout detection, a plan of the restore, its report.

    report = restoring.plan_restore(checkpoint, tf.trainable_variables(), config)
    print(report.table())
    restoring.apply(report)                      # the variables' initializers now read the file
"""

import collections
import os
import re

from util import console
from util.errors import UserError

import tensorflow.compat.v1 as tf

from interchange import safetensors_files, tensorflow_files, variable_names
from training import checkpoints

# One variable of a restore; status is "loaded", "random" (left at its initial value) or "unused".
# `source`: its name in the checkpoint, None for a variable that is not loaded.
Row = collections.namedtuple("Row", "status name shape reason source")
Row.__new__.__defaults__ = (None,)


class RestoreReport(collections.namedtuple("RestoreReport", "checkpoint rows")):
    """The outcome of a restore: the checkpoint's prefix and a Row a variable."""

    def names(self, status):
        """The variables of one status, in order."""
        return [row.name for row in self.rows if row.status == status]

    def table(self):
        """The report as the text a person reads."""
        slots = [row for row in self.rows if variable_names.is_slot(row.name)]
        lines = ["restored from %s: %d loaded, %d left random, %d unused" % (
            (self.checkpoint,) + tuple(
                len(self.names(status)) for status in ("loaded", "random", "unused")))]
        for row in self.rows:
            if row not in slots:
                lines.append("  %-7s %-80s %-14s %s" % (
                    row.status, row.name, "x".join(map(str, row.shape)), row.reason))
        for status in ("loaded", "unused"):
            kinds = [row.name.rpartition("/")[2] for row in slots if row.status == status]
            if kinds:
                lines.append("  %-7s %d optimizer slots (%s)" % (
                    status, len(kinds), ", ".join(sorted(set(kinds)))))
        return "\n".join(line.rstrip() for line in lines)


def resolve(path):
    """A checkpoint prefix, one of its files, or a directory -> the prefix.

    A directory that transformers saved stands for itself; of a TF-Hub module or a SavedModel its
    variables are taken.

    Raises:
      UserError: there is no checkpoint at `path`.
    """
    if path.startswith(("http://", "https://")):
        raise UserError("%s: not downloaded by itself; unpack the archive and give its directory"
                        % path)
    if safetensors_files.is_hugging_face(path):
        return path.rstrip("/")
    if tf.gfile.Exists(os.path.join(path, "variables", "variables.index")):
        return os.path.join(path, "variables", "variables")
    if tf.gfile.IsDirectory(path):
        checkpoint = find(path)
        if checkpoint is None:
            raise UserError("%s: no checkpoint in this directory; give the path of model.ckpt-STEP"
                            % path)
        return checkpoint
    path = re.sub(r"\.(?:index|meta|data-\d+-of-\d+)$", "", path)
    if not tf.gfile.Exists(path + ".index"):
        raise UserError("%s: no such checkpoint (%s.index is missing); give the path without its "
                        "ending, e.g. albert_model.ckpt" % (path, path))
    return path


def find(directory):
    """The checkpoint to read from a directory, whoever wrote it, or None.

    That is the one its state file names; if that is gone, or there is no state file, Google's
    model.ckpt-best, else the newest model.ckpt-STEP, else the only checkpoint there is.

    Raises:
      UserError: several checkpoints without steps, and nothing tells which.
    """
    latest = (checkpoints.listed_prefixes(directory) or [None])[-1]
    if latest and tf.gfile.Exists(latest + ".index"):
        return latest
    names = tf.gfile.ListDirectory(directory) if tf.gfile.IsDirectory(directory) else []
    names = sorted(name[:-len(".index")] for name in names if name.endswith(".index"))
    steps = [name for name in names if name.rpartition("-")[2].isdigit()]
    for candidates in ([name for name in names if name == "model.ckpt-best"],
                       sorted(steps, key=lambda name: int(name.rpartition("-")[2]))[-1:], names):
        if len(candidates) == 1:
            return os.path.join(directory, candidates[0])
    if names:
        raise UserError("%s holds several checkpoints (%s) and no state file; give the path of one"
                        % (directory, ", ".join(names)))
    return None


def check_layout(prefix, names, config):
    """Refuses a checkpoint that a config cannot load, in one sentence."""
    layout = variable_names.detect_layout(names)
    if layout == "bert":
        raise UserError("%s is a BERT checkpoint (bert/encoder/layer_0/...), not an ALBERT: its "
                        "layers are not shared; convert it: convert_checkpoint.py --from=bert"
                        % prefix)
    if layout is None:
        raise UserError("%s holds no ALBERT encoder; expected variables below bert/encoder/, found "
                        "%s" % (prefix, ", ".join(sorted(names)[:3]) or "nothing"))
    if layout != config.layout:
        raise UserError("%s has the %s layout, the config says %s; use the config that came with "
                        "the checkpoint, or convert it" % (prefix, layout, config.layout))


def plan_restore(checkpoint, variables, config, allow_partial=False, from_group0=False,
                 needs_head=False):
    """Decides what to load: what does not fit is refused, and nothing is missing silently.

    Args:
      checkpoint: prefix, file or directory of a TensorFlow checkpoint.
      variables: the model's trainable variables. Those below bert/ and cls/ must come from the
        checkpoint; the others are the task's own head and may stay random. Optimizer slots among
        them must come from it too.
      config: the AlbertConfig of the model.
      allow_partial: variables below bert/ and cls/ may stay random too (--allow_partial_init).
      from_group0: groups of layers that the checkpoint lacks start as its group 0.
      needs_head: the task's own head must come from the checkpoint too.

    Returns:
      RestoreReport.

    Raises:
      UserError: no checkpoint, another layout, a shape that differs, a variable that is missing, or
        a truncated file.
    """
    prefix = resolve(checkpoint)
    reader = tensorflow_files.open_reader(prefix)
    shapes = reader.get_variable_to_shape_map()
    check_layout(prefix, shapes, config)
    rows = []
    for variable in variables:
        name = variable.name.split(":")[0]
        source = variable_names.source(name, shapes, from_group0)
        row = _variable_row(prefix, name, variable.shape.as_list(), source, shapes, allow_partial)
        if row.status == "loaded":
            tensorflow_files.read_tensor(reader, prefix, source)
        elif needs_head and row.status == "random":
            raise UserError("%s cannot predict: %s (%s); give a model that was fine-tuned for this "
                            "task, or train first (--do_train)"
                            % (prefix, "%s is missing" % name if source is None
                               else "%s does not fit" % name, row.reason))
        rows.append(row)
    known = {row.source for row in rows} | {row.name for row in rows}
    for name in sorted(set(shapes) - known):
        reason = "optimizer slot" if variable_names.is_slot(name) else "not in this model"
        rows.append(Row("unused", name, shapes[name], reason))
    return RestoreReport(prefix, sorted(rows, key=lambda row: (row.status, row.name)))


def _variable_row(prefix, name, shape, source, shapes, allow_partial):
    """The Row of one model variable, or the reason why the restore is refused.

    Args:
      source: the variable's name in the checkpoint, or None.
      shapes: {name: shape} of the checkpoint.
    """
    is_head = not name.startswith(("bert/", "cls/"))
    saved = shapes.get(source)
    if saved == shape:
        return Row("loaded", name, shape, "" if source == name else "from %s" % source, source)
    if saved is None and variable_names.is_slot(name):
        raise UserError("%s holds no %s, as released checkpoints without optimizer slots; leave "
                        "--restore_slots out to begin with moments of 0" % (prefix, name))
    if saved is None:
        if is_head or allow_partial:
            return Row("random", name, shape,
                       "the task's own head" if is_head else "not in the checkpoint")
        raise UserError("%s has no variable %s; expected every variable below bert/ and cls/ (pass "
                        "--allow_partial_init to leave it random)" % (prefix, name))
    if is_head:
        return Row("random", name, shape, "the checkpoint's is %s" % "x".join(map(str, saved)))
    if name.endswith("word_embeddings"):
        raise UserError("%s was trained with a vocabulary of %d tokens and embeddings of %d, the "
                        "config says vocab_size %d and embedding_size %d; use the config and the "
                        "vocabulary that came with it" % ((prefix,) + tuple(saved) + tuple(shape)))
    raise UserError("%s: %s is %s, the config makes it %s; use the config that came with the "
                    "checkpoint" % (prefix, name, "x".join(map(str, saved)),
                                    "x".join(map(str, shape))))


def apply(report):
    """Makes the initializers of the planned variables read the checkpoint."""
    # Not op.name, which differs between the replicas of a tf.distribute strategy.
    variables = {variable.name.split(":")[0]: variable for variable in tf.global_variables()}
    loaded = [row for row in report.rows if row.status == "loaded"]
    prefix = tensorflow_files.readable_prefix(report.checkpoint)
    # A mapping takes each source once; groups that start as group 0 share one.
    while loaded:
        batch = {row.source: row for row in loaded}
        tf.train.init_from_checkpoint(
            prefix, {source: variables[row.name] for source, row in batch.items()})
        loaded = [row for row in loaded if batch[row.source] is not row]


def restore_scaffold(config, initial, already_trained, use_tpu=False, needs_head=False):
    """Loads the initial checkpoint into the graph under construction and prints the report.

    A run that resumes from its own output directory takes nothing from it: the Estimator restores
    everything.

    Args:
      config: the AlbertConfig of the model.
      initial: settings.Initial; with its `restore_slots` the graph must have the slots by now.
      already_trained: the checkpoint that training resumes from, or None.
      needs_head: the task's own head must come from it too: nothing is going to be trained.
      use_tpu: load it in a scaffold_fn, as a TPUEstimator requires on a TPU.

    Returns:
      A scaffold_fn, or None.
    """
    if not initial.init_checkpoint or already_trained:
        return None
    variables = tf.trainable_variables()
    if initial.restore_slots:
        variables += [variable for variable in tf.global_variables()
                      if variable_names.is_slot(variable.op.name)]
    report = plan_restore(initial.init_checkpoint, variables, config, initial.allow_partial_init,
                          initial.init_from_group0, needs_head)
    console.say("%s", "evaluating and predicting with %s" % report.checkpoint if needs_head
                else report.table())
    if not use_tpu:
        apply(report)
        return None

    def scaffold_fn():
        apply(report)
        return tf.train.Scaffold()

    return scaffold_fn
