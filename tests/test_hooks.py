"""What is said beside the steps of a training, and when."""

import collections
import logging
import re
import types

import pytest
import tensorflow.compat.v1 as tf

from training import hooks

SIZES = [90.0, 9000.0, 13.5]
WORK = hooks.Work(examples=32, sizes=None, peak=None, flops=lambda tokens, squares, predictions:
                  tokens * 1e7 + squares * 1e5 + predictions * 1e8)


def test_speeds():
    shown = hooks.speeds(WORK, rate=2.0, sizes=SIZES, peak=3.15e10 / 2)
    assert [form % value for form, value in shown.values()] == [
        "64.0 examples/s", "5760 tokens/s", "40 % of peak"]
    assert list(hooks.speeds(WORK, rate=2.0, sizes=SIZES)) == ["examples", "tokens"]
    assert list(hooks.speeds(WORK, rate=2.0)) == ["examples"]


def test_sizes_are_those_of_all_steps_since_the_last_line(caplog, monkeypatch):
    """Steps of 1, 2, 3, 4 tokens an example, a step a second, a line every two seconds."""
    clock = iter(range(100))
    monkeypatch.setattr(hooks, "time", types.SimpleNamespace(time=lambda: next(clock) / 2.0))
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        with tf.control_dependencies([tf.assign_add(step, 1)]):
            sizes = tf.cast(tf.identity(step.read_value()), tf.float32) * [1.0, 0.0, 0.0]
        hook = hooks.ProgressHook({"loss": tf.constant(0.5)}, 4, WORK._replace(sizes=sizes),
                                  every_seconds=1e9)
        with caplog.at_level(logging.INFO, "albert"), \
                tf.train.MonitoredSession(hooks=[hook]) as session:
            for _ in range(4):
                session.run(sizes)
    line, = caplog.messages
    examples, tokens = (float(re.search(r"([\d.]+) %s/s" % word, line).group(1))
                        for word in ("examples", "tokens"))
    assert tokens / examples == pytest.approx(3.0, rel=0.02)  # 2, 3 and 4


def test_rates_are_in_tensorboard(tmp_path, caplog):
    """The peak is measured once, and not for a run that is over before the first line."""
    measured = []
    with tf.Graph().as_default():
        work = WORK._replace(peak=lambda: measured.append(1) or 1e13, sizes=tf.constant(SIZES))
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
            "warning: at step 140 the masked-LM accuracy (0.054) is that of guessing the most "
            "frequent token and copying what is not masked (0.050): nothing is learnt from context "
            "yet. Do this")


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
