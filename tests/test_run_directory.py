"""A run's directory: whose it is, what it was trained with, and that one process trains in it."""

import fcntl
import json
import logging
import os
import signal

from util.errors import UserError

import numpy as np
import pytest

import processes
import tiny
from interchange import company
from training import run_directory, settings

FEATURES = company.features_of("a" * 64, True)


def read(directory):
    return json.loads((directory / "run.json").read_text())


def save(directory, step=3):
    """A checkpoint of a step."""
    return tiny.save_checkpoint(
        directory / ("model.ckpt-%d" % step), {"global_step": np.int64(step)})


def test_claim_names_what_differs(tmp_path):
    identity, directory = {"hidden_size": 16, "task": "lcqmc"}, str(tmp_path / "a")
    run_directory.claim(directory, {"hidden_size": 24}, FEATURES)
    run_directory.claim(directory, identity, FEATURES)  # it holds no checkpoint yet
    save(tmp_path / "a")
    run_directory.claim(directory, identity, FEATURES)
    with pytest.raises(UserError) as refused:
        run_directory.claim(directory, {"hidden_size": 24, "labels": "0,1"}, FEATURES)
    assert str(refused.value) == (
        "--output_dir=%s holds checkpoints of another run: hidden_size is 16 there and 24 here, "
        "labels is None there and 0,1 here, task is lcqmc there and None here; use an empty "
        "directory or that run's flags" % directory)
    assert read(tmp_path / "a") == dict(identity, vocabulary="a" * 16, do_lower_case=True)


def test_another_vocabulary_of_the_same_size_is_refused(tmp_path):
    run_directory.claim(str(tmp_path), {"hidden_size": 16}, FEATURES)
    save(tmp_path)
    with pytest.raises(UserError, match="run: do_lower_case is True there and False here, "
                                        "vocabulary is a{16} there and b{16} here; use an empty"):
        run_directory.claim(str(tmp_path), {"hidden_size": 16},
                            company.features_of("b" * 64, False))


def test_directories_of_before_are_resumed_and_learn_the_rest(tmp_path):
    save(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"hidden_size": 16}))
    run_directory.claim(str(tmp_path), {"hidden_size": 16}, {})
    assert read(tmp_path) == {"hidden_size": 16}
    run_directory.claim(str(tmp_path), {"hidden_size": 16}, FEATURES)
    run_directory.claim(str(tmp_path), {"hidden_size": 16}, {})  # what is known stays
    assert read(tmp_path) == dict(FEATURES, hidden_size=16)


@pytest.mark.parametrize("content", [None, b"", b"\xff{", b"[]", b"7"])
def test_a_lost_identity_is_written_again(tmp_path, content):
    save(tmp_path)
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    run_directory.claim(str(tmp_path), {"hidden_size": 16}, {})
    assert read(tmp_path) == {"hidden_size": 16}


def run_of(directory, init_checkpoint=None):
    return settings.Run(settings.Checkpointing(str(directory)),
                        initial=settings.Initial(init_checkpoint))


@pytest.mark.parametrize("folder", ["", "best"])
def test_vocabulary_of_the_initial_checkpoint(tmp_path, caplog, folder):
    source = tmp_path / "source"
    run_directory.claim(str(source), {}, FEATURES)
    run = run_of(tmp_path / "out", save(source / folder))
    run_directory.check_initial(run, FEATURES, is_training=False)
    run_directory.check_initial(run, {}, is_training=False)
    other = company.features_of("b" * 64, True)
    with caplog.at_level(logging.INFO, "albert"):
        run_directory.check_initial(run, other, is_training=True)
    assert caplog.messages == [
        "warning: %s was trained with another vocabulary: vocabulary is %s there and %s here; its "
        "embeddings belong to the tokens of the other one"
        % (run.initial.init_checkpoint, "a" * 16, "b" * 16)]
    with pytest.raises(UserError, match="was trained with another vocabulary: .*; give the voc"):
        run_directory.check_initial(run, other, is_training=False)


def noted(directory, caplog, **changes):
    """What note_training says; of a training of 5 steps."""
    caplog.clear()
    values = {"init_checkpoint": None, "data": "d", "seed": 1, "num_train_steps": 5,
              "optimizer": "adamw"}
    values.update(changes)
    with caplog.at_level(logging.INFO, "albert"):
        run_directory.note_training(str(directory), dict(values))
    return "".join(caplog.messages).replace(str(directory), "DIR")


GOES_ON = "the training in DIR goes on from step 3"


def test_what_changes_the_training_is_said(tmp_path, caplog):
    assert noted(tmp_path, caplog, init_checkpoint="a") == ""
    assert noted(tmp_path, caplog, seed=2) == ""  # there is no step yet
    assert noted(tmp_path, caplog, init_checkpoint="a") == ""
    save(tmp_path)
    assert noted(tmp_path, caplog, init_checkpoint="a") == GOES_ON
    assert noted(tmp_path, caplog) == GOES_ON
    assert noted(tmp_path, caplog, init_checkpoint="b", data="e", seed=3) == (
        "warning: the training in DIR goes on from step 3 with other settings: --init_checkpoint=b "
        "is ignored, it began with a; the training data is another; seed was 1 and is 3; use an "
        "empty --output_dir for another training")
    assert read(tmp_path)["training"] == {
        "init_checkpoint": "a", "data": "e", "seed": 3, "num_train_steps": 5,
        "optimizer": "adamw"}


def test_nothing_to_train_is_said_every_time(tmp_path, caplog):
    noted(tmp_path, caplog)
    save(tmp_path, 5)
    assert noted(tmp_path, caplog) == "step 5 is reached in DIR: nothing is trained"
    for _ in range(2):
        assert noted(tmp_path, caplog, init_checkpoint="b", num_train_steps=4) == (
            "step 5 is reached in DIR: nothing is trained; --init_checkpoint=b is ignored, it "
            "began with random weights; num_train_steps was 5 and is 4; use an empty --output_dir "
            "for another training")


@pytest.mark.parametrize("first, second", [("adamw", "muon"), ("muon", "lamb")])
def test_moments_of_another_optimizer_are_refused(tmp_path, caplog, first, second):
    noted(tmp_path, caplog, optimizer=first)
    assert noted(tmp_path, caplog, optimizer=second) == ""  # there is no step yet
    noted(tmp_path, caplog, optimizer=first)
    save(tmp_path)
    assert noted(tmp_path, caplog, optimizer=first) == GOES_ON
    with pytest.raises(UserError, match="--optimizer=%s: .*ckpt-3 was trained with %s, which keeps "
                       "other moments; give --optimizer=%s" % (second, first, first)):
        noted(tmp_path, caplog, optimizer=second)
    assert read(tmp_path)["training"]["optimizer"] == first


def test_adamw_and_lamb_share_their_moments(tmp_path, caplog):
    noted(tmp_path, caplog, optimizer="lamb")
    save(tmp_path)
    assert "optimizer was lamb and is adamw" in noted(tmp_path, caplog, optimizer="adamw")


@pytest.mark.parametrize("before", [{}, {"training": 7}])
def test_of_an_older_directory_only_the_initial_checkpoint_is_said(tmp_path, caplog, before):
    (tmp_path / "run.json").write_text(json.dumps(before))
    save(tmp_path)
    assert noted(tmp_path, caplog, init_checkpoint="b") == (
        "warning: the training in DIR goes on from step 3 with other settings: --init_checkpoint=b "
        "is ignored; use an empty --output_dir for another training")
    (tmp_path / "run.json").write_text(json.dumps(before))
    assert noted(tmp_path, caplog) == GOES_ON


# ---- the lock ----

def hold(directory):
    """Trains in a directory until it is killed."""
    import time
    with run_directory.locked(directory):
        time.sleep(600)


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path):
    first = processes._FORKS.Process(target=hold, args=(str(tmp_path),), daemon=True)
    first.start()
    lock = tmp_path / "run.lock"
    processes.wait_until(lambda: lock.exists() and lock.read_text())
    with pytest.raises(UserError, match=r"--output_dir=%s: another run \(process %d on \S+\) is "
                       r"training in it; wait" % (tmp_path, first.pid)), \
            run_directory.locked(str(tmp_path)):
        raise AssertionError
    with run_directory.locked(str(tmp_path), is_training=False):  # evaluation goes on beside it
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    for _ in range(2):
        with run_directory.locked(str(tmp_path)):
            assert lock.read_text().startswith("process %d on " % os.getpid())


def test_file_systems_without_locks_are_said(tmp_path, caplog, monkeypatch):
    def refuse(stream, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.INFO, "albert"), run_directory.locked(str(tmp_path)):
        pass
    assert caplog.messages == ["%s: this file system has no locks (No locks available); see to it "
                               "that no other run trains there" % tmp_path]


def test_other_workers_and_remote_directories_take_no_lock(tmp_path, monkeypatch):
    with run_directory.locked("gs://bucket/out"):
        pass
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}, '
                                    '"task": {"type": "worker", "index": 1}}')
    with run_directory.locked(str(tmp_path / "out")):
        run_directory.claim(str(tmp_path / "out"), {}, {})
        run_directory.note_training(str(tmp_path / "out"), {})
    assert not (tmp_path / "out").exists()
