"""Checkpoints on disk: integrity checks, saving, recovery, best-checkpoint bookkeeping.

    good, damaged = checkpoints.newest_whole(output_dir)
    checkpoints.keep_best(output_dir, good, step=100, metrics={"f1": 0.8}, key="f1")
"""

import collections
import json
import os
import re

from util import console, files, whole_files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

from interchange import variable_names
from interchange.tensorflow_files import open_reader, read_tensor

BEST_FILE = "best.json"
STATE_FILE = "checkpoint"
DAMAGED_SUFFIX = ".damaged"

# The files of a checkpoint that an Estimator saves; index and data are both indispensable.
_CHECKPOINT_FILE = re.compile(r"(model\.ckpt-([0-9]+))\.(?:index|data-[0-9]+-of-[0-9]+)$")
# What TensorFlow, or whole_files below best/, writes to before a file gets its final name.
_LEFTOVER = re.compile(r"model\.ckpt-[0-9]+_temp\w*/?$|model\.ckpt-.*\.tempstate[0-9]+$|"
                       r"(?:checkpoint|graph\.pbtxt|model\.ckpt-[0-9]+\.meta)\.tmp[0-9a-f]+$|"
                       r"\.(?:model\.ckpt-.*|best\.json)\.[0-9]+\.tmp$")


def verify(prefix):
    """Reads every tensor of a checkpoint once; returns the names that hold NaN or infinity."""
    reader = open_reader(prefix)
    return [name for name in sorted(reader.get_variable_to_shape_map())
            if not np.all(np.isfinite(read_tensor(reader, prefix, name)))]


def _in_state_file(directory):
    """The prefixes in a directory's state file, the one to resume from last; [] if it is lost."""
    try:
        state = tf.train.get_checkpoint_state(directory)
    except ValueError:  # an empty file, or bytes that are not text
        return []
    if state is None:
        return []
    latest = state.model_checkpoint_path
    return [path for path in state.all_model_checkpoint_paths if path != latest] + [latest]


def listed_prefixes(directory):
    """As `_in_state_file`, but where the directory itself holds a file of that name, that one.

    The state files of the original codes hold whole paths, which go on naming the place from which
    the directory was moved or copied.
    """
    prefixes = [(path, os.path.join(directory, os.path.basename(path)))
           for path in _in_state_file(directory)]
    return [here if tf.gfile.Exists(here + ".index") else path for path, here in prefixes]


def latest(directory):
    """The checkpoint that a run in `directory` resumes from, or None."""
    prefix = (listed_prefixes(directory) or [None])[-1]
    return prefix if prefix and tf.gfile.Exists(prefix + ".index") else None


def _on_disk(directory):
    """{prefix: step} of every model.ckpt-STEP in a directory, whole or not."""
    names = tf.gfile.ListDirectory(directory) if tf.gfile.IsDirectory(directory) else []
    matches = filter(None, map(_CHECKPOINT_FILE.match, names))
    return {os.path.join(directory, match.group(1)): int(match.group(2)) for match in matches}


def newest_whole(directory):
    """The checkpoint to resume from, and the damaged ones that are newer; read-only.

    That is the one the state file names, or the newest whole one before it; of all checkpoints in
    the directory if the state file is lost.

    Returns:
      (prefix or None, [damaged prefixes]).

    Raises:
      UserError: all are truncated or corrupt.
    """
    while True:
        listed = listed_prefixes(directory)
        good, errors = _first_whole(_candidates(directory, listed))
        # A run that is being evaluated while it goes on removes old checkpoints meanwhile.
        if not errors or listed == listed_prefixes(directory):
            break
    if good:
        return good, list(errors)
    # Without a state file they are the remains of the very first save, killed half-way.
    if errors and tf.gfile.Exists(os.path.join(directory, STATE_FILE)):
        raise next(iter(errors.values()))
    return None, []


def _first_whole(prefixes):
    """The first of some checkpoints that is whole, or None, and {prefix: error} of those before."""
    errors = collections.OrderedDict()
    for prefix in prefixes:
        try:
            verify(prefix)
            return prefix, errors
        except UserError as error:
            errors[prefix] = error
    return None, errors


def _candidates(directory, listed):
    """The checkpoints that `newest_whole` looks at, in order.

    Those newer than the last of `listed` are left out: an interrupted save, or one that a person
    went back from.
    """
    steps = _on_disk(directory)
    newest_first = sorted(steps, key=steps.get, reverse=True)
    if not listed:
        return newest_first
    last = listed[-1]
    match = re.search(r"-([0-9]+)$", last)
    older = [prefix for prefix in newest_first
             if prefix != last and (match is None or steps[prefix] < int(match.group(1)))]
    return [last] * (last in steps or tf.gfile.Exists(last + ".index")) + older


def go_on_from(directory, good, damaged):
    """Makes the state file name `good`, unless it does, and renames newer damaged checkpoints."""
    listed, steps = listed_prefixes(directory), _on_disk(directory)
    if _in_state_file(directory)[-1:] == [good]:
        return
    known = set(listed or steps) | {good}
    names = [os.path.basename(prefix) for prefix in sorted(steps, key=steps.get)
             if steps[prefix] <= steps[good] and prefix in known]
    lines = ['model_checkpoint_path: "%s"' % os.path.basename(good)]
    lines += ['all_model_checkpoint_paths: "%s"' % name for name in names]
    whole_files.write_lines(os.path.join(directory, STATE_FILE), lines)
    for prefix in damaged:
        for name in tf.gfile.ListDirectory(directory):
            if name.startswith(os.path.basename(prefix) + ".") and not name.endswith(
                    DAMAGED_SUFFIX):
                path = os.path.join(directory, name)
                files.rename(path, path + DAMAGED_SUFFIX)
        console.say("%s is truncated or corrupt and was renamed to *%s; going on from %s",
                     prefix, DAMAGED_SUFFIX, good)
    if not damaged and listed[-1:] != [good]:
        console.say("%s; going on from %s", "%s is missing" % listed[-1] if listed else (
            "%s is missing or damaged" % os.path.join(directory, STATE_FILE)), good)


class Saver(tf.train.Saver):
    """A Saver whose checkpoints are whole or absent, whenever the process is killed.

    An Estimator that resumes first saves the checkpoint it was restored from again, and TensorFlow
    writes the index in place: killed at that moment, a run with --keep_checkpoint_max=1 had none.
    This Saver writes no checkpoint twice. TensorFlow also deletes old checkpoints before the new
    one is flushed to disk, so that a power failure may lose both; this Saver flushes it first.
    """

    _tidy = False

    def save(self, sess, save_path, global_step=None, **options):
        """As tf.train.Saver.save; `global_step` is a number."""
        if not self._tidy:
            remove_leftovers(os.path.dirname(save_path))
            self._tidy = True
        prefix = "%s-%d" % (save_path, global_step)
        # The session was restored from the last of these, or it was just saved.
        if prefix in self.last_checkpoints[-1:] and tf.gfile.Exists(prefix + ".index"):
            return prefix
        try:
            return super().save(sess, save_path, global_step=global_step, **options)
        except ValueError as error:  # "Parent directory of … doesn't exist"
            raise UserError("step %d could not be saved: %s; start again when the directory is "
                            "back" % (global_step, str(error).rstrip("."))) from None

    def _MaybeDeleteOldCheckpoints(self, *arguments, **options):
        directory, name = os.path.split(self.last_checkpoints[-1])
        if not files.is_remote(directory):
            for entry in os.listdir(directory):
                if entry.startswith(name + ".") or entry == STATE_FILE:
                    whole_files.synchronize(os.path.join(directory, entry))
            whole_files.synchronize(directory)
        super()._MaybeDeleteOldCheckpoints(*arguments, **options)


class SaverHook(tf.train.SessionRunHook):
    """Makes an Estimator restore and save with Saver, under the names of its directory.

    A directory that an original code wrote keeps that code's names (variable_names.py).
    """

    def __init__(self, checkpoint, keep_checkpoint_max=5):
        """`checkpoint` is the one that the session will be restored from, or None."""
        self._checkpoint = checkpoint
        self._keep_checkpoint_max = keep_checkpoint_max

    def begin(self):
        variables = self._variables()
        # With a list the operations are built now; all variables are there by the time of `begin`.
        tf.get_collection_ref(tf.GraphKeys.SAVERS)[:] = [Saver(
            variables, sharded=True, max_to_keep=self._keep_checkpoint_max,
            defer_build=variables is None, save_relative_paths=True)]

    def _variables(self):
        """{name in the checkpoint: variable}; None where all names are ours."""
        if self._checkpoint is None:
            return None
        names = open_reader(self._checkpoint).get_variable_to_shape_map()
        variables = {variable.name.split(":")[0]: variable for variable in tf.global_variables()}
        sources = {name: variable_names.source(name, names) for name in variables}
        missing = sorted(name for name, source in sources.items() if source is None)
        if missing:
            raise UserError(
                "%s cannot be resumed: it lacks %s%s; give it as --init_checkpoint to a run with "
                "an empty --output_dir" % (self._checkpoint, missing[0], " and %d more variables"
                                           % (len(missing) - 1) if len(missing) > 1 else ""))
        if all(name == source for name, source in sources.items()):
            return None
        return {source: variables[name] for name, source in sources.items()}


def remove_leftovers(directory):
    """Removes the remains of interrupted saves; only the process that saves there may call it."""
    for folder in (directory, os.path.join(directory, "best")):
        for name in tf.gfile.ListDirectory(folder) if tf.gfile.IsDirectory(folder) else []:
            if _LEFTOVER.match(name):
                path = os.path.join(folder, name)
                (tf.gfile.DeleteRecursively if tf.gfile.IsDirectory(path) else tf.gfile.Remove)(
                    path)


def last_good(directory):
    """The newest complete checkpoint in `directory` without NaN, or None."""
    for prefix in reversed(listed_prefixes(directory)):
        if tf.gfile.Exists(prefix + ".index") and not verify(prefix):
            return prefix
    return None


def checkpoint_step(prefix):
    """The global step in a checkpoint, 0 where there is no checkpoint."""
    if prefix is None:
        return 0
    return int(read_tensor(open_reader(prefix), prefix, "global_step"))


def best(directory):
    """What `keep_best` recorded, or None where no checkpoint was kept.

    Returns:
      {"checkpoint": prefix, "step", "metrics", "data": fingerprint of the examples behind the
      metrics, "scored_step": the last step that was compared}; older records lack the last two.

    Raises:
      UserError: the record or a file of the checkpoint is missing, empty or not what was written.
    """
    folder = os.path.join(directory, "best")
    path = os.path.join(folder, BEST_FILE)
    if not tf.gfile.Exists(path):
        return None
    record = _read_best(path)
    if record is None:
        raise _best_error(directory, "%s is damaged" % path)
    prefix = os.path.join(folder, os.path.basename(record["checkpoint"]))
    lost = [part for part in ("index", "data") if not any(
        name.startswith("%s.%s" % (os.path.basename(prefix), part))
        and files.size(os.path.join(folder, name)) for name in tf.gfile.ListDirectory(folder))]
    if lost:
        raise _best_error(directory, "%s.%s* is missing or empty" % (prefix, lost[0]))
    return dict(record, checkpoint=prefix)


def _best_error(directory, finding):
    return UserError("%s; remove %s and train or evaluate on with --do_train --do_eval, or pass "
                     "--use_checkpoint=last" % (finding, os.path.join(directory, "best")))


def _read_best(path):
    """The record in a file, None if it is not one."""
    try:
        with tf.gfile.GFile(path) as stream:
            record = json.load(stream)
        if isinstance(record["checkpoint"], str) and isinstance(record["step"], int) and all(
                isinstance(value, (int, float)) for value in record["metrics"].values()):
            return record
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # another file, or what a power failure left of it
    return None


def is_better(metrics, before, key, larger_is_better):
    """Whether {metric: number} is a better result than the one before, {} for none.

    metrics[key] decides, of equal ones the lower metrics["loss"], where there is one; any number
    beats NaN.
    """
    if metrics[key] == before.get(key):
        key, larger_is_better = "loss", False
    value, earlier = metrics.get(key, np.nan), before.get(key, np.nan)
    if np.isnan(earlier):
        return not np.isnan(value)
    return value > earlier if larger_is_better else value < earlier


def keep_best(directory, checkpoint, step, metrics, key, larger_is_better=True, data=None):
    """Copies `checkpoint` to directory/best/ when its metrics are better than all before.

    Args:
      data: a fingerprint of the examples that the metrics are of, or None.

    Returns:
      Whether it was better. The record names the new files before the old ones are removed, so that
      a kill at any moment leaves a usable best checkpoint.
    """
    try:
        before = best(directory)
    except UserError as error:
        console.say("warning: %s; the best checkpoint is looked for anew", str(error).split(";")[0])
        before = None
    if before and before["step"] != step and not is_better(
            metrics, before["metrics"], key, larger_is_better):
        _record_best(directory, dict(before, scored_step=step))
        return False
    folder = os.path.join(directory, "best")
    tf.gfile.MakeDirs(folder)
    name = os.path.basename(checkpoint)
    for path in _files_of(checkpoint):
        with whole_files.replacing(os.path.join(folder, os.path.basename(path))) as temporary:
            tf.gfile.Copy(path, temporary, overwrite=True)
    _record_best(directory, {"checkpoint": name, "step": step, "metrics": metrics, "data": data,
                             "scored_step": step})
    for path in _files_of(os.path.join(folder, "model"), ".ckpt-"):
        if not os.path.basename(path).startswith(name + "."):
            tf.gfile.Remove(path)
    return True


def score_best_anew(directory, metrics, data):
    """Replaces the metrics of the best checkpoint by those on other examples."""
    _record_best(directory, dict(best(directory), metrics=metrics, data=data))


def _record_best(directory, record):
    whole_files.write_json(os.path.join(directory, "best", BEST_FILE), dict(
        record, checkpoint=os.path.basename(record["checkpoint"])))


def _files_of(prefix, separator="."):
    """The paths of a checkpoint's files; its name may hold what globs read as a pattern."""
    folder, name = os.path.split(prefix)
    return [os.path.join(folder, entry) for entry in tf.gfile.ListDirectory(folder)
            if entry.startswith(name + separator)]
