"""Output directories: recovery, savers; the best and the last good checkpoint."""

import logging
import os
import shutil

from util import files, whole_files
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tiny
from training import checkpoints, restoring, run_directory


def test_claim_finds_a_truncated_checkpoint(tmp_path):
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", {"w": np.zeros(100, np.float32)})
    os.truncate(prefix + ".data-00000-of-00001", 200)
    with pytest.raises(UserError, match="truncated or corrupt"):
        run_directory.claim(str(tmp_path), {}, {})


def save_steps(directory, *steps):
    """Checkpoints model.ckpt-STEP that hold their step, all in the state file."""
    prefixes = [tiny.save_checkpoint(directory / ("model.ckpt-%d" % step),
                                     {"global_step": np.int64(step)})
                for step in steps]
    tf.train.update_checkpoint_state(str(directory), prefixes[-1], prefixes)
    return prefixes


def listed(directory):
    """The names in the state file: (the one to go on from, all)."""
    state = tf.train.get_checkpoint_state(str(directory))
    return (os.path.basename(state.model_checkpoint_path),
            [os.path.basename(path) for path in state.all_model_checkpoint_paths])


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("size", [0, 5])
def test_claim_goes_back_to_the_newest_whole_checkpoint(tmp_path, caplog, ending, size):
    steps = save_steps(tmp_path, 10, 20, 30, 100)
    contents = {}
    for prefix in steps[2:]:
        os.truncate(prefix + ending, size)
        contents[os.path.basename(prefix + ending) + ".damaged"] = size
    with caplog.at_level(logging.INFO, "albert"):
        run_directory.claim(str(tmp_path), {}, {})
    assert listed(tmp_path) == ("model.ckpt-20", ["model.ckpt-10", "model.ckpt-20"])
    assert restoring.resolve(str(tmp_path)) == steps[1]
    assert caplog.messages == [
        "%s is truncated or corrupt and was renamed to *.damaged; going on from %s"
        % (prefix, steps[1]) for prefix in (steps[3], steps[2])]
    aside = [name for name in os.listdir(str(tmp_path)) if name.endswith(".damaged")]
    assert len(aside) == 4  # index and data of two
    assert {name: os.path.getsize(str(tmp_path / name)) for name in contents} == contents
    before = sorted(os.listdir(str(tmp_path)))
    run_directory.claim(str(tmp_path), {}, {})
    assert sorted(os.listdir(str(tmp_path))) == before and len(caplog.messages) == 2


def test_claim_without_any_whole_checkpoint(tmp_path):
    steps = save_steps(tmp_path, 10, 20)
    for prefix in steps:
        os.truncate(prefix + ".index", 0)
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(UserError, match="ckpt-20: the checkpoint is truncated or corrupt.*; copy"):
        run_directory.claim(str(tmp_path), {}, {})
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_damaged_checkpoint_of_another_run_stays_where_it_is(tmp_path):
    steps = save_steps(tmp_path, 10, 20)
    run_directory.claim(str(tmp_path), {"hidden_size": 24}, {})
    os.truncate(steps[1] + ".index", 0)
    with pytest.raises(UserError, match="hidden_size is 24 there and 16 here"):
        run_directory.claim(str(tmp_path), {"hidden_size": 16}, {})
    assert listed(tmp_path)[0] == "model.ckpt-20" and os.path.exists(steps[1] + ".index")


@pytest.mark.parametrize("content", [None, b"", b"garbage {", b"\xff\xfe\x00", b"\x00" * 80])
def test_claim_writes_a_lost_state_file_again(tmp_path, caplog, content):
    steps = save_steps(tmp_path, 9, 10)
    os.remove(str(tmp_path / "checkpoint"))
    if content is not None:
        (tmp_path / "checkpoint").write_bytes(content)
        assert restoring.resolve(str(tmp_path)) == steps[1]
    with caplog.at_level(logging.INFO, "albert"):
        run_directory.claim(str(tmp_path), {}, {})
    assert listed(tmp_path) == ("model.ckpt-10", ["model.ckpt-9", "model.ckpt-10"])
    assert caplog.messages == ["%s/checkpoint is missing or damaged; going on from %s"
                               % (tmp_path, steps[1])]


def test_what_a_person_went_back_from_stays(tmp_path, caplog):
    """The state file was edited to name step 20; step 30 is neither taken nor touched."""
    steps = save_steps(tmp_path, 10, 20, 30)
    tf.train.update_checkpoint_state(str(tmp_path), steps[1], steps[:2])
    run_directory.claim(str(tmp_path), {}, {})
    assert listed(tmp_path)[0] == "model.ckpt-20"
    os.remove(steps[1] + ".index")
    os.remove(steps[1] + ".data-00000-of-00001")
    with caplog.at_level(logging.INFO, "albert"):
        run_directory.claim(str(tmp_path), {}, {})
    assert caplog.messages == ["%s is missing; going on from %s" % (steps[1], steps[0])]
    assert listed(tmp_path) == ("model.ckpt-10", ["model.ckpt-10"])
    assert checkpoints.verify(steps[2]) == []


def test_a_kill_during_the_very_first_save_leaves_nothing_to_go_on_from(tmp_path):
    prefix = save_steps(tmp_path, 0)[0]
    os.remove(str(tmp_path / "checkpoint"))
    os.truncate(prefix + ".index", 0)
    run_directory.claim(str(tmp_path), {}, {})
    assert tf.train.latest_checkpoint(str(tmp_path)) is None


def test_a_checkpoint_that_is_removed_meanwhile_is_not_put_aside(tmp_path, monkeypatch):
    """A directory is evaluated while the run in it saves step 20 and removes step 10."""
    older, old = save_steps(tmp_path, 5, 10)
    verify = checkpoints.verify

    def slowly(prefix):
        if prefix == old:
            os.remove(old + ".index")
            save_steps(tmp_path, 20)
        return verify(prefix)

    monkeypatch.setattr(checkpoints, "verify", slowly)
    assert checkpoints.newest_whole(str(tmp_path)) == (str(tmp_path / "model.ckpt-20"), [])
    run_directory.claim(str(tmp_path), {}, {})
    assert os.path.exists(older + ".index")
    assert listed(tmp_path) == ("model.ckpt-20", ["model.ckpt-20"])
    assert not [name for name in os.listdir(str(tmp_path)) if name.endswith(".damaged")]


def test_saver_has_a_checkpoint_on_the_disk_before_it_removes_another(tmp_path, monkeypatch):
    def sync(path):
        synced.append((os.path.basename(path), os.path.exists(first + ".index")))

    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.get_variable("w", initializer=1.0)
        saver = checkpoints.Saver(max_to_keep=1, sharded=True)
        session.run(tf.global_variables_initializer())
        first = saver.save(session, str(tmp_path / "model.ckpt"), global_step=1)
        synced = []
        monkeypatch.setattr(whole_files, "synchronize", sync)
        session.run(weight.assign(2.0))
        second = saver.save(session, str(tmp_path / "model.ckpt"), global_step=2)
        session.run(weight.assign(3.0))
        saver.save(session, str(tmp_path / "model.ckpt"), global_step=2)  # there already
    assert sorted(synced) == sorted((name, True) for name in [
        "checkpoint", "model.ckpt-2.data-00000-of-00001", "model.ckpt-2.index", tmp_path.name])
    assert listed(tmp_path) == ("model.ckpt-2", ["model.ckpt-2"])
    assert not os.path.exists(first + ".index")
    assert tiny.weights(second) == {"w": 2.0}


def best_of(tmp_path, values, **options):
    """keep_best over checkpoints with these values, one a step; returns (kept, the best's step)."""
    kept = []
    for step, value in enumerate(values, 1):
        prefix = tiny.save_checkpoint(tmp_path / ("model.ckpt-%d" % step), {"w": [float(step)]})
        kept.append(checkpoints.keep_best(str(tmp_path), prefix, step, {"score": value}, "score",
                                          **options))
    return kept, checkpoints.best(str(tmp_path))


@pytest.mark.parametrize("values, larger, kept, step", [
    ([0.5, 0.6, 0.6, 0.4], True, [True, True, False, False], 2),
    ([0.5, 0.6, 0.4, 0.4], False, [True, False, True, False], 3),
    ([0.5, float("nan"), 0.6], True, [True, False, True], 3),
    ([float("nan"), 0.1], True, [True, True], 2),
])
def test_keep_best(tmp_path, values, larger, kept, step):
    assert checkpoints.best(str(tmp_path)) is None
    actual, best = best_of(tmp_path, values, larger_is_better=larger)
    assert actual == kept
    assert (best["step"], best["metrics"]) == (step, {"score": values[step - 1]})
    assert tiny.weights(best["checkpoint"]) == {"w": [step]}
    assert sorted(os.listdir(str(tmp_path / "best"))) == [
        "best.json", "model.ckpt-%d.data-00000-of-00001" % step, "model.ckpt-%d.index" % step]


def test_of_equal_ones_the_lower_loss_is_best(tmp_path):
    """Where all get one label, accuracy says nothing of what is still learnt."""
    kept = []
    for step, (score, loss) in enumerate(
            [(0.7, 0.62), (0.7, 0.58), (0.7, 0.6), (0.7, float("nan")), (0.6, 0.1)], 1):
        prefix = tiny.save_checkpoint(tmp_path / ("model.ckpt-%d" % step), {"w": [float(step)]})
        kept.append(checkpoints.keep_best(
            str(tmp_path), prefix, step, {"score": score, "loss": loss}, "score"))
    assert kept == [True, True, False, False, False]
    assert checkpoints.best(str(tmp_path))["step"] == 2


@pytest.mark.parametrize("function, calls, step", [
    ("Copy", 0, 1), ("Copy", 1, 1), ("rename", 0, 1), ("rename", 1, 1), ("rename", 2, 1),
    ("Remove", 0, 2), ("Remove", 1, 2)])
def test_a_crash_leaves_a_usable_best(tmp_path, monkeypatch, function, calls, step):
    best_of(tmp_path, [0.5])
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt-2", {"w": [2.0]})
    module, done = files if function == "rename" else tf.gfile, []
    original = getattr(module, function)

    def crash(*arguments, **options):
        if len(done) == calls:
            raise tiny.StopHere
        done.append(arguments)
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, function, crash)
        with pytest.raises(tiny.StopHere):
            checkpoints.keep_best(str(tmp_path), prefix, 2, {"score": 0.6}, "score")
    best = checkpoints.best(str(tmp_path))
    assert best["step"] == step and tiny.weights(best["checkpoint"]) == {"w": [step]}
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt-3", {"w": [3.0]})
    assert checkpoints.keep_best(str(tmp_path), prefix, 3, {"score": 0.7}, "score")
    assert len(os.listdir(str(tmp_path / "best"))) == 3


def test_best_says_of_which_data_and_steps_it_is(tmp_path):
    best_of(tmp_path, [0.5, 0.4], data="d")
    best = checkpoints.best(str(tmp_path))
    assert (best["step"], best["data"], best["scored_step"]) == (1, "d", 2)
    checkpoints.score_best_anew(str(tmp_path), {"score": 0.1}, "e")
    best = checkpoints.best(str(tmp_path))
    assert (best["metrics"], best["data"], best["step"]) == ({"score": 0.1}, "e", 1)
    assert tiny.weights(best["checkpoint"]) == {"w": [1.0]}


@pytest.mark.parametrize("name, content, finding", [
    ("best.json", b"", "best/best.json is damaged"), ("best.json", b"[]", "best.json is damaged"),
    ("best.json", b'{"checkpoint": "a", "step": "1", "metrics": {}}', "best.json is damaged"),
    ("best.json", b"\xff", "best.json is damaged"),
    ("model.ckpt-1.index", b"", r"best/model.ckpt-1.index\* is missing or empty"),
    ("model.ckpt-1.data-00000-of-00001", None, r"best/model.ckpt-1.data\* is missing or empty"),
])
def test_a_damaged_best_is_named_and_the_next_one_takes_its_place(
        tmp_path, caplog, name, content, finding):
    best_of(tmp_path, [0.5])
    (tmp_path / "best" / name).unlink()
    if content is not None:
        (tmp_path / "best" / name).write_bytes(content)
    with pytest.raises(UserError, match=finding + "; remove .*/best and train or evaluate on with "
                       "--do_train --do_eval, or pass --use_checkpoint=last"):
        checkpoints.best(str(tmp_path))
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt-2", {"w": [2.0]})
    with caplog.at_level(logging.INFO, "albert"):
        assert checkpoints.keep_best(str(tmp_path), prefix, 2, {"score": 0.1}, "score")
    assert caplog.messages[0].endswith("; the best checkpoint is looked for anew")
    assert tiny.weights(checkpoints.best(str(tmp_path))["checkpoint"]) == {"w": [2.0]}


def test_best_of_a_directory_with_a_pattern_in_its_name(tmp_path):
    directory = tmp_path / "lr[1e-4]*?"
    directory.mkdir()
    assert best_of(directory, [0.5, 0.6])[0] == [True, True]
    assert sorted(os.listdir(str(directory / "best"))) == [
        "best.json", "model.ckpt-2.data-00000-of-00001", "model.ckpt-2.index"]


@pytest.mark.parametrize("is_copied", [False, True])
def test_state_file_with_the_paths_of_another_place(tmp_path, is_copied):
    """As the original codes write them: the directory was moved or copied from there."""
    old, new = tmp_path / "old", tmp_path / "new"
    steps = save_steps(old, 10, 20)
    lines = ['model_checkpoint_path: "%s"' % steps[1]] + [
        'all_model_checkpoint_paths: "%s"' % prefix for prefix in steps]
    (old / "checkpoint").write_text("\n".join(lines) + "\n")
    (shutil.copytree if is_copied else shutil.move)(str(old), str(new))
    here = str(new / "model.ckpt-20")
    assert checkpoints.latest(str(new)) == restoring.resolve(str(new)) == here
    assert checkpoints.newest_whole(str(new)) == (here, [])
    run_directory.claim(str(new), {}, {})
    assert tf.train.latest_checkpoint(str(new)) == here  # which an Estimator resumes from
    assert listed(new) == ("model.ckpt-20", ["model.ckpt-10", "model.ckpt-20"])


def test_a_directory_that_becomes_a_file_before_a_save(tmp_path):
    (tmp_path / "out").mkdir()
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", initializer=1.0)
        saver = checkpoints.Saver()
        session.run(tf.global_variables_initializer())
        saver.save(session, str(tmp_path / "out" / "model.ckpt"), global_step=1)
        shutil.rmtree(str(tmp_path / "out"))
        (tmp_path / "out").write_text("")
        with pytest.raises(UserError, match=r"step 2 could not be saved: Parent directory of \S+ "
                                            r"doesn't exist, can't save; start again"):
            saver.save(session, str(tmp_path / "out" / "model.ckpt"), global_step=2)


def test_last_good_passes_over_nan_and_missing_files(tmp_path):
    assert checkpoints.last_good(str(tmp_path)) is None
    prefixes = [tiny.save_checkpoint(tmp_path / ("model.ckpt-%d" % step),
                                     {"w": [value], "global_step": step})
                for step, value in enumerate([1.0, 2.0, float("nan"), float("inf"), 5.0])]
    os.remove(prefixes[4] + ".index")
    tf.train.update_checkpoint_state(str(tmp_path), prefixes[-1], prefixes)
    assert checkpoints.last_good(str(tmp_path)) == prefixes[1]
    assert checkpoints.verify(prefixes[2]) == checkpoints.verify(prefixes[3]) == ["w"]
    assert checkpoints.verify(prefixes[0]) == []


def test_checkpoint_step(tmp_path):
    assert checkpoints.checkpoint_step(None) == 0
    assert checkpoints.checkpoint_step(
        tiny.save_checkpoint(tmp_path / "model.ckpt", {"global_step": np.int64(7)})) == 7
