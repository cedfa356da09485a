"""Killed at any moment and started again, a run ends as if nothing had happened, bit for bit."""

import contextlib
import logging
import os
import random
import re
import shutil
import time

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import processes
import tiny
from test_run_pretraining import flag_values, run, write_unmasked
from training import checkpoints, estimators

DATA = "model.ckpt-%d.data-00000-of-00001"


def prepare(directory):
    """Writes an epoch of 8 steps in three record files, one to evaluate on, and the config."""
    for part, count in enumerate((24, 24, 16)):
        tiny.write_records(directory / ("train%d.tfrecord" % part), count, seed=part)
        write_unmasked(directory / ("unmasked%d.tfrecord" % part), count, part)
    tiny.write_records(directory / "dev.tfrecord", 64, seed=9)
    tiny.write_config(directory / "config.json", num_hidden_layers=1)
    return directory


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


def train(here, output="out", **changes):
    """Trains in this process, by default six steps, saving every two."""
    return run(here, output, **dict(
        {"input_file": here / "train*.tfrecord", "learning_rate": 0.003, "optimizer": "adamw",
         "num_train_steps": 6, "save_checkpoints_steps": 2}, **changes))


# ---- processes that are killed ----

def start(here, output, **changes):
    """The command in its own process."""
    values = flag_values(here, output, **changes)
    del values["xla"]  # as a command has it by default
    return processes.start("run_pretraining.py", values, str(output) + ".log")


def finish(process, output):
    """Waits for the end of a run that must be without errors."""
    process.join()
    assert process.exitcode == 0, (output.parent / (output.name + ".log")).read_text()[-2000:]


def saves(output):
    """{(step, "_temp", ".data" or ".index")}: what there is of which checkpoint."""
    names = []
    with contextlib.suppress(FileNotFoundError):  # a command first tries whether it can be made
        names = os.listdir(str(output))
    found = (re.match(r"model\.ckpt-(\d+)(_temp|\.data|\.index)", name) for name in names)
    return {(int(match.group(1)), match.group(2)) for match in found if match}


def kill_when(process, condition, delay):
    """SIGKILL so many seconds after `condition()` was first true; fails if the run ends before."""
    end = time.time() + 600
    while not condition():
        assert process.is_alive(), "the run ended before it could be killed"
        assert time.time() < end
        time.sleep(0.0005)
    time.sleep(delay)
    process.kill()
    process.join()


def assert_usable(output):
    """The newest listed checkpoint is there and whole, as is every other; returns its step."""
    state = tf.train.get_checkpoint_state(str(output))
    present = [prefix for prefix in state.all_model_checkpoint_paths
               if os.path.exists(prefix + ".index")]
    assert state.model_checkpoint_path in present
    for prefix in present:
        assert checkpoints.verify(prefix) == []
    return checkpoints.checkpoint_step(state.model_checkpoint_path)


@pytest.mark.slow
@pytest.mark.every_platform
def test_killed_runs_end_like_one_that_was_not(here):
    """Killed while a checkpoint is written, between two, and after the last step."""
    rng = random.Random(4)
    options = {"input_file": here / "unmasked*.tfrecord", "dynamic_masking": True, "do_eval": True,
               "num_train_steps": 24, "num_warmup_steps": 10, "learning_rate": 0.003,
               "eval_batch_size": 8, "save_checkpoints_steps": 2, "keep_checkpoint_max": 1}
    parts = here / "parts"
    uninterrupted = start(here, here / "whole", **options)
    for kind, step in [("_temp", 5), (".data", 12), (".index", 17), (".index", 24)]:
        process = start(here, parts, **options)
        kill_when(process, lambda: any(  # noqa: B023 - called here and now
            found >= step and state == kind for found, state in saves(parts)),  # noqa: B023
            rng.choice([0, 0, 0.003, 0.01]))
        # The checkpoint before the one that was being written is whole.
        assert assert_usable(parts) >= step - 2
    finish(start(here, parts, **options), parts)
    whole = here / "whole"
    finish(uninterrupted, whole)
    tiny.assert_same_weights(whole / "model.ckpt-24", parts / "model.ckpt-24")
    results = (whole / "eval_results.txt").read_bytes()
    assert (parts / "eval_results.txt").read_bytes() == results
    assert b"global_step = 24\n" in results


# ---- what is left after a kill or a power failure, and the next start ----

@pytest.fixture(scope="module")
def six_steps(tmp_path_factory):
    """A directory with the uninterrupted run of six steps in out/."""
    directory = prepare(tmp_path_factory.mktemp("six"))
    train(directory)
    return directory


@pytest.mark.slow
def test_going_on_writes_no_checkpoint_twice_and_removes_leftovers(six_steps, tmp_path):
    """TensorFlow's Saver writes an index in place: a kill just then would spoil the only one."""
    shutil.copytree(str(six_steps / "out"), str(tmp_path / "out"))
    kept = [DATA % 6, "model.ckpt-6.index", "model.ckpt-6.meta"]
    before = [os.stat(str(tmp_path / "out" / name)) for name in kept]
    for folder in ("model.ckpt-7_temp", "model.ckpt-8_temp_0123456789abcdef"):
        (tmp_path / "out" / folder).mkdir()
        (tmp_path / "out" / folder / (DATA % 7 + ".tempstate123")).write_text("x")
    (tmp_path / "out" / "checkpoint.tmp0123456789abcdef").write_text("x")
    output = train(six_steps, tmp_path / "out", num_train_steps=7)
    after = [os.stat(str(output / name)) for name in kept]
    assert [(one.st_ino, one.st_mtime_ns) for one in after] == [
        (one.st_ino, one.st_mtime_ns) for one in before]
    assert {(7, ".data"), (7, ".index")} < saves(output)
    assert [name for name in os.listdir(str(output)) if re.search("_temp|tmp", name)] == []


@pytest.mark.parametrize("damage, said", [
    (lambda out: os.truncate(str(out / (DATA % 4)), 1000),
     "{out}/model.ckpt-4 is truncated or corrupt and was renamed to *.damaged; going on from "
     "{out}/model.ckpt-2"),
    (lambda out: (out / "checkpoint").write_text(""),
     "{out}/checkpoint is missing or damaged; going on from {out}/model.ckpt-4"),
], ids=["data", "state"])
@pytest.mark.slow
@pytest.mark.one_platform
def test_power_failures(six_steps, tmp_path, caplog, damage, said):
    """The machine went down at step 5: what was written last is lost, the run is not."""
    output = tmp_path / "out"
    shutil.copytree(str(six_steps / "out"), str(output))
    for path in output.glob("model.ckpt-6.*"):
        path.unlink()
    tf.train.update_checkpoint_state(str(output), str(output / "model.ckpt-4"), [
        str(output / ("model.ckpt-%d" % step)) for step in (0, 2, 4)])
    damage(output)
    with caplog.at_level(logging.INFO, "albert"):
        train(six_steps, output)
    assert said.format(out=output) in caplog.messages
    tiny.assert_same_weights(six_steps / "out" / "model.ckpt-6", output / "model.ckpt-6")
    before, after = (tiny.weights(six_steps / "out" / name)["bert/pooler/dense/kernel"]
                     for name in ("model.ckpt-4", "model.ckpt-6"))
    assert np.abs(after - before).max() > 1e-3  # there was something to lose


@pytest.mark.slow
def test_saves_every_so_many_steps_or_seconds(here, monkeypatch):
    """By a clock on which the steps 12 to 19 take 1000 s each, and the others nothing."""
    real, passed = time.time, [0.0]

    class Clock(tf.train.SessionRunHook):
        """Is asked for the time after the 12th to the 19th step."""

        def after_run(self, run_context, run_values):
            passed[0] += 1000.0 * (12 <= run_context.session.run(tf.train.get_global_step()) <= 19)

    monkeypatch.setattr(time, "time", lambda: real() + passed[0])
    created = estimators.create

    def create(*arguments):
        estimator = created(*arguments)
        original = estimator.train
        estimator.train = lambda input_fn, hooks, **others: original(
            input_fn, hooks=[Clock()] + list(hooks), **others)
        return estimator

    monkeypatch.setattr(estimators, "create", create)
    output = train(here, num_train_steps=31, save_checkpoints_steps=8, save_checkpoints_secs=2500,
                   keep_checkpoint_max=99)
    assert sorted(step for step, kind in saves(output) if kind == ".index") == [
        0, 8, 14, 17, 25, 31]


def rename_slots(directory):
    """Gives a directory's checkpoint the slots' names of albert_zh; removes what is ours."""
    prefix = tf.train.latest_checkpoint(str(directory))
    arrays = {name.replace("/adam_m", "/lamb_m").replace("/adam_v", "/lamb_v"): value
              for name, value in tiny.weights(prefix).items()}
    shutil.rmtree(str(directory))
    directory.mkdir()
    tiny.save_checkpoint(directory / os.path.basename(prefix), arrays)
    return arrays


@pytest.mark.slow
def test_goes_on_in_the_directory_of_albert_zh(six_steps, tmp_path):
    """Its checkpoints keep their names, and the numbers are those of a run that was ours."""
    (tmp_path / "out").mkdir()
    for path in (six_steps / "out").glob("model.ckpt-4.*"):
        shutil.copy(str(path), str(tmp_path / "out"))
    tf.train.update_checkpoint_state(str(tmp_path / "out"), str(tmp_path / "out" / "model.ckpt-4"))
    names = set(rename_slots(tmp_path / "out"))
    assert sum(name.endswith("/lamb_m") for name in names) > 10
    train(six_steps, tmp_path / "out")
    found, expected = (tiny.weights(output / "model.ckpt-6")
                       for output in (tmp_path / "out", six_steps / "out"))
    assert set(found) == names
    for name, value in expected.items():
        source = name.replace("/adam_m", "/lamb_m").replace("/adam_v", "/lamb_v")
        np.testing.assert_array_equal(found[source], value, err_msg=name)


def test_a_checkpoint_without_slots_cannot_be_resumed(six_steps, tmp_path):
    (tmp_path / "out").mkdir()
    arrays = {name: value for name, value in tiny.weights(
        six_steps / "out" / "model.ckpt-4").items() if "/adam_" not in name}
    tiny.save_checkpoint(tmp_path / "out" / "model.ckpt-4", arrays)
    with pytest.raises(UserError, match=r"model.ckpt-4 cannot be resumed: it lacks \S*/adam_m and "
                       r"[0-9]+ more variables; give it as --init_checkpoint to a run with an"):
        train(six_steps, tmp_path / "out")
