"""An output directory as that of one run: whose it is, what it was trained with, who trains in it.

    with run_directory.locked("output/tiny"):
        run_directory.claim("output/tiny", identity, features)
        run_directory.note_training("output/tiny", run_directory.training(run, schedule, data))

run.json holds all three. Of several workers the chief alone reads and writes it; the others do
nothing here.
"""

import contextlib
import errno
import fcntl
import os
import socket

from util import console, files, whole_files
from util.errors import UserError

import optimization
from interchange import company
from training import checkpoints, estimators, restoring

LOCK_FILE = "run.lock"
# The key of run.json with what the newest checkpoint was trained with; see `training`.
_TRAINING = "training"


@contextlib.contextmanager
def locked(directory, is_training=True):
    """Holds a directory for the training of this process; its end, by a kill too, releases it.

    Directories of remote file systems are not locked, as those have no locks. A run may be
    evaluated while another goes on: it takes no lock.

    Raises:
      UserError: another run is training in it.
    """
    if not is_training or files.is_remote(directory) or not estimators.is_chief():
        yield
        return
    files.make_directory(directory)
    with open(os.path.join(directory, LOCK_FILE), "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                stream.seek(0)
                raise UserError(
                    "--output_dir=%s: another run (%s) is training in it; wait for its end, or "
                    "name another directory" % (directory, stream.read().strip())) from None
            console.say("%s: this file system has no locks (%s); see to it that no other run "
                        "trains there", directory, error.strerror)
        stream.truncate(0)
        stream.write("process %d on %s\n" % (os.getpid(), socket.gethostname()))
        stream.flush()
        yield


def claim(directory, identity, features):
    """Marks an output directory as this run's; refuses one that holds another run's checkpoints.

    If the newest checkpoint is damaged, as after a power failure, it is renamed to *.damaged and
    the state file names the newest whole one instead: the run resumes there.

    Args:
      directory: an output directory, made when absent.
      identity: a flat dict of what must not change when the run resumes: the config's keys, the
        task, its labels.
      features: a flat dict of what decides the meaning of token ids, see company.features_of. It
        must not change either, but a key may be unknown here or there, as in older directories.

    Raises:
      UserError: the directory holds checkpoints of a run that differs (the keys are named), or all
        of them are truncated or corrupt.
    """
    if not estimators.is_chief():
        return
    good, damaged = checkpoints.newest_whole(directory)
    before = company.identity(directory) if good else {}
    if before:
        differing = _differing(before, identity, features)
        if differing:
            raise UserError("--output_dir=%s holds checkpoints of another run: %s; use an empty "
                            "directory or that run's flags" % (directory, ", ".join(
                                "%s is %s there and %s here" % one for one in differing)))
        kept = {key: before[key] for key in set(company.features_of(None, None)) | {_TRAINING}
                if key in before}
        features = dict(kept, **features)
    if good:
        checkpoints.go_on_from(directory, good, damaged)
    whole_files.write_json(os.path.join(directory, company.IDENTITY_FILE),
                           dict(identity, **features))


def _differing(before, identity, features):
    """[(key, value in run.json, value here)], sorted."""
    shared = set(before) & set(features)
    strict = (set(before) | set(identity)) - set(company.features_of(None, None)) - {_TRAINING}
    here = dict(identity, **features)
    return [(key, before.get(key), here.get(key)) for key in sorted(strict | shared)
            if before.get(key) != here.get(key)]


def check_initial(run, features, is_training):
    """Compares the vocabulary of the initial checkpoint with this run's, where run.json knows it.

    Args:
      run: settings.Run.
      features: see company.features_of.
      is_training: whether it is but the beginning of a training: then the difference is said.

    Raises:
      UserError: there is no such checkpoint, or the model is used as it is with another vocabulary.
    """
    initial, directory = run.initial.init_checkpoint, run.checkpointing.output_dir
    if initial and checkpoints.latest(directory):
        if not is_training and training_of(directory).get("init_checkpoint") != initial:
            console.say("--init_checkpoint=%s is ignored: %s holds checkpoints of its own",
                        initial, directory)  # note_training says it of a training
        return
    if not initial:
        return
    difference = company.other_vocabulary(restoring.resolve(initial), features)
    if difference and not is_training:
        raise UserError(difference + "; give the vocabulary and --do_lower_case of its training")
    if difference:
        console.say("warning: %s; its embeddings belong to the tokens of the other one", difference)


# ---- what it was trained with ----

def training(run, schedule, data, **more):
    """What decides a training beside the identity of its run, as run.json has it.

    Args:
      run, schedule: settings.Run and settings.Schedule.
      data: a fingerprint of the training examples.
      more: further keys.
    """
    return dict(schedule._asdict(), data=data, seed=run.seed, amp=run.devices.amp,
                step_examples=run.batches.step_examples,
                init_checkpoint=run.initial.init_checkpoint, **more)


def training_of(directory):
    """What run.json says of the last `training(...)` of a directory; {} if nothing."""
    values = company.identity(directory).get(_TRAINING)
    return values if isinstance(values, dict) else {}


def was_trained_with_amp(directory):
    """Whether the newest checkpoint of a directory, if there is one, was trained with --amp."""
    return bool(directory and checkpoints.latest(directory) and training_of(directory).get("amp"))


def note_training(directory, values, is_used_up=False):
    """Writes `training(...)` into run.json; says whether it goes on, and with what other settings.

    Says too if nothing is going to be trained, as num_train_steps is reached or the budget of time
    `is_used_up`; then run.json stays.

    Raises:
      UserError: the checkpoints have other moments than those of the optimizer asked for.
    """
    if not estimators.is_chief():
        return
    latest = checkpoints.latest(directory)
    step = checkpoints.checkpoint_step(latest)
    identity = company.identity(directory)
    before = identity.get(_TRAINING)
    changes = _changes(before, values) if latest else []
    if latest and (is_used_up or step >= (values["num_train_steps"] or step + 1)):
        console.say("step %d is reached in %s%s: nothing is trained%s", step, directory,
                    " and the budget of time is used up" * is_used_up,
                    "".join("; %s" % change for change in changes + ["use an empty --output_dir "
                            "for another training"] * bool(changes)))
        return
    optimizer = before.get("optimizer") if latest and isinstance(before, dict) else None
    if optimizer and not optimization.shares_moments(optimizer, values["optimizer"]):
        raise UserError("--optimizer=%s: %s was trained with %s, which keeps other moments; give "
                        "--optimizer=%s, or begin in an empty --output_dir with "
                        "--init_checkpoint=%s" % (values["optimizer"], latest, optimizer,
                                                  optimizer, latest))
    if changes:
        console.say("warning: the training in %s goes on from step %d with other settings: %s; use "
                    "an empty --output_dir for another training", directory, step,
                    "; ".join(changes))
    elif latest:
        console.say("the training in %s goes on from step %d", directory, step)
    if latest and isinstance(before, dict):  # what it began with stays
        values = dict(values, init_checkpoint=before.get("init_checkpoint"))
    whole_files.write_json(os.path.join(directory, company.IDENTITY_FILE),
                           dict(identity, **{_TRAINING: values}))


def _changes(before, values):
    """What a resumed training ignores or changes, in words.

    Args:
      before: the values of the steps so far; anything else, such as None, is of an older directory,
        which tells nothing but that it does not begin with --init_checkpoint now.
      values: those of this call.
    """
    initial = values["init_checkpoint"]
    if not isinstance(before, dict):
        return ["--init_checkpoint=%s is ignored" % initial] if initial else []
    changes = []
    if initial and initial != before.get("init_checkpoint"):
        changes.append("--init_checkpoint=%s is ignored, it began with %s" % (
            initial, before.get("init_checkpoint") or "random weights"))
    if values["data"] != before.get("data"):
        changes.append("the training data is another")
    return changes + ["%s was %s and is %s" % (key, before[key], values[key])
                      for key in sorted(set(values) & set(before) - {"data", "init_checkpoint"})
                      if values[key] != before[key]]
