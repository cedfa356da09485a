"""What is said beside the steps of a training, and when."""

import collections
import logging

import pytest
import tensorflow.compat.v1 as tf

from training import hooks

WORK = hooks.Work(examples=32, tokens=4096, flops=5e9, peak=None)


def test_speeds():
    shown = hooks.speeds(WORK, rate=2.0, peak=2e10)
    assert [form % value for form, value in shown.values()] == [
        "64.0 examples/s", "8192 tokens/s", "50 % of peak"]
    assert list(hooks.speeds(WORK, rate=2.0)) == ["examples", "tokens"]
    bare = hooks.Work(32, None, None, None)
    assert list(hooks.speeds(bare, rate=2.0)) == ["examples"]


def test_rates_are_in_tensorboard(tmp_path, caplog):
    """The peak is measured once, and not for a run that is over before the first line."""
    measured = []
    work = WORK._replace(peak=lambda: measured.append(1) or 1e13)
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        train_op = tf.assign_add(step, 1)
        hook = hooks.ProgressHook(collections.OrderedDict(loss=tf.constant(0.5)), 4, work,
                                           str(tmp_path), every_seconds=0.0)
        with caplog.at_level(logging.INFO, "albert"), \
                tf.train.MonitoredSession(hooks=[hook]) as session:
            for _ in range(4):
                session.run(train_op)
    assert len(measured) == 1
    assert [message.split("  ")[0] for message in caplog.messages] == [
        "step 2/4", "step 3/4", "step 4/4"]
    assert all("of peak" in message for message in caplog.messages)
    tf.summary.FileWriterCache.clear()
    path, = tmp_path.iterdir()
    found = [(event.step, value.tag) for event in tf.train.summary_iterator(str(path))
             for value in event.summary.value]
    assert found == [(step, "speed/" + name) for step in (2, 3, 4)
                     for name in ("examples", "tokens", "share_of_peak")]


def stagnation(accuracies, warmup, baseline=0.05, first_step=0):
    """Runs one step for each accuracy under the hook -> the steps at which it warned."""
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        accuracy = tf.gather(tf.constant(accuracies), tf.cast(step, tf.int32))
        with tf.control_dependencies([accuracy]):
            train_op = tf.assign_add(step, 1)
        hook = hooks.StagnationHook(accuracy, baseline, "Do this")
        hook.plan(warmup, len(accuracies))
        with tf.train.MonitoredSession(hooks=[hook]) as session:
            session.run(step.initializer) if first_step == 0 else step.load(first_step, session)
            for _ in range(len(accuracies)):
                session.run(train_op)


def warned(caplog):
    return [int(message.split()[3]) for message in caplog.messages
            if message.startswith("warning: at step")]


@pytest.mark.parametrize("learns_at, steps", [(0, []), (250, [140]), (460, [140, 260]),
                                              (2000, [140, 260, 500])])
def test_stagnation_is_told_in_words(caplog, learns_at, steps):
    """900 steps of 1000 come after the warmup; 5 %, 20 % and 50 % of 800 are looked at."""
    accuracies = [0.054 if step < learns_at else 0.2 for step in range(900)]
    with caplog.at_level(logging.INFO, "albert"):
        stagnation(accuracies, warmup=100)
    assert warned(caplog) == steps
    if steps:
        assert caplog.messages[0] == (
            "warning: at step 140 the masked-LM accuracy (0.054) is that of always guessing the "
            "most frequent token (0.050): nothing is learnt from context yet. Do this")


def test_step_hook_counts_and_says_the_end():
    ended = []
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        train_op = tf.assign_add(step, 1)
        hook = hooks.StepHook(3, at_end=lambda: ended.append(hook.last))
        with tf.train.MonitoredSession(hooks=[hook]) as session:
            for number in range(3):
                assert ended == []
                session.run(train_op)
                assert hook.last == number + 1
    assert ended == [3]


@pytest.mark.parametrize("seconds, text", [
    (0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (360000, "100:00:00")])
def test_duration(seconds, text):
    assert hooks.duration(seconds) == text
