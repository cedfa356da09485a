"""What every command does with a wrong platform, wrong flags and a user's mistake."""

import os
import re
import resource
import signal
import subprocess
import sys

from util import commands, platforms
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from absl import flags as absl_flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WITH_TENSORFLOW = ["run_pretraining.py", "run_classifier.py", "test_changes.py"]
WITHOUT = ["create_vocab.py", "create_pretraining_data.py"]
NO_TENSORFLOW = "raise ImportError('No module named tensorflow')\n"


def exit_message(main, *arguments):
    with pytest.raises(SystemExit) as stopped:
        commands._main_with_plain_errors(main, ["command"] + list(arguments))
    return stopped.value.code


@pytest.mark.parametrize("python, tensorflow, problem", [
    ((3, 7), "1.15.5", None),
    ((3, 9), "2.15.1", None),
    ((3, 11, 4), "2.15.1", None),
    ((3, 7), "2.15.1", "TensorFlow 2.15.1 is not supported on Python 3.7"),
    ((3, 11), "2.16.1", "TensorFlow 2.16.1 is not supported on Python 3.11"),
    ((3, 10), "2.150.1", "TensorFlow 2.150.1 is not supported on Python 3.10"),
    ((3, 8), "2.15.1", "Python 3.8 is not supported"),
    ((3, 10), "2.21.0", None),
    ((3, 13, 1), "2.21.0", None),
    ((3, 9), "2.21.0", "TensorFlow 2.21.0 is not supported on Python 3.9"),
    ((3, 12), "2.15.1", "TensorFlow 2.15.1 is not supported on Python 3.12"),
    ((3, 13), "2.22.0", "TensorFlow 2.22.0 is not supported on Python 3.13"),
    ((3, 14), None, "Python 3.14 is not supported yet (no TensorFlow has wheels for it)"),
    ((2, 7), "1.15.5", "Python 2.7 is not supported"),
])
def test_supported_pairs(python, tensorflow, problem):
    assert commands.platform_problem(python, tensorflow) == problem


def test_python_alone():
    """Of a command without TensorFlow."""
    assert commands.platform_problem((3, 9)) is None
    assert commands.platform_problem((3, 8)) == "Python 3.8 is not supported"


@pytest.fixture
def fake_tensorflow(tmp_path):
    """fake_tensorflow(code) -> the environment of a process whose TensorFlow is that code."""
    def fake(code):
        (tmp_path / "fake" / "tensorflow").mkdir(parents=True)
        (tmp_path / "fake" / "tensorflow" / "__init__.py").write_text(code)
        return {"env": dict(os.environ, PYTHONPATH=str(tmp_path / "fake"))}
    return fake


@pytest.mark.parametrize("script", WITH_TENSORFLOW)
@pytest.mark.parametrize("package, problem", [
    ("__version__ = '2.16.1'\n", "TensorFlow 2.16.1 is not supported on Python 3."),
    (NO_TENSORFLOW, "TensorFlow cannot be imported (No module named tensorflow)"),
    ("raise TypeError('Descriptors cannot\\nbe created')\n",
     "TensorFlow cannot be imported (Descriptors cannot)"),
])
def test_wrong_tensorflow_is_one_sentence(fake_tensorflow, run_command, script, package, problem):
    status, output = run_command(script, popen=fake_tensorflow(package))
    assert status == 1
    assert output.startswith("error: " + problem)
    assert commands.PLATFORMS in output
    assert "Traceback" not in output and output.count("\n") == 1


@pytest.mark.parametrize("script", WITH_TENSORFLOW + WITHOUT)
def test_wrong_python_is_one_sentence(script):
    code = ("import runpy, sys; sys.version_info = (3, 8, 1, 'final', 0); sys.path.insert(0, '.'); "
            "sys.argv = [%r]; runpy.run_path(%r, run_name='__main__')" % (script, script))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 1
    assert done.stdout.startswith("error: Python 3.8 is not supported; this project runs on ")
    assert done.stdout.count("\n") == 1


TEXT = "长江发源于青藏高原。\n它全长约6300公里。\n\n河口的人口。\n流速慢了。\n\n" * 5


@pytest.mark.slow
def test_data_is_made_without_tensorflow(tmp_path, run_command, fake_tensorflow):
    """From text to records, on a machine where TensorFlow is not or does not work."""
    popen = fake_tensorflow(NO_TENSORFLOW)
    assert run_command("run_pretraining.py", popen=popen)[0] == 1  # so it is really not there
    (tmp_path / "in.txt").write_text(TEXT, encoding="utf-8")
    vocab, records = tmp_path / "vocab.txt", tmp_path / "a.tfrecord"
    status, output = run_command("create_vocab.py", popen=popen, input_file=tmp_path / "in.txt",
                                 output_file=vocab, vocab_size=200)
    assert status == 0, output
    status, output = run_command(
        "create_pretraining_data.py", popen=popen, input_file=tmp_path / "in.txt",
        output_file=records, vocab_file=vocab, max_seq_length=32, max_predictions_per_seq=5,
        num_workers=2, report=tmp_path / "report.json")
    assert status == 0, output
    assert sum(1 for _ in tf.python_io.tf_record_iterator(str(records))) == 2 * 5 * 10
    assert (tmp_path / "report.json").stat().st_size > 100


@pytest.mark.parametrize("script", WITHOUT)
def test_help_needs_no_tensorflow(run_command, fake_tensorflow, script):
    status, output = run_command(script, "--help", popen=fake_tensorflow(NO_TENSORFLOW))
    assert status == 1  # absl's
    assert "--input_file" in output and "Traceback" not in output


@pytest.mark.slow
@pytest.mark.one_platform
def test_users_mistake_is_one_sentence_and_status_1(run_command):
    status, output = run_command("run_pretraining.py", do_train=True, input_file="/none/*.tfrecord")
    assert status == 1
    assert output.strip().split("\n")[-1] == (
        "error: /none/*.tfrecord: no such file; check the path or glob")
    assert "Traceback" not in output


@pytest.mark.one_platform
@pytest.mark.slow
def test_flag_out_of_range_and_unexpected_argument(run_command):
    status, output = run_command("create_pretraining_data.py", ngram=0)
    assert status == 1 and "--ngram=0" in output and "Traceback" not in output
    status, output = run_command("run_classifier.py", "--do_train", "true", "false")
    assert status == 1 and "Traceback" not in output
    assert "error: unexpected argument 'false'; flags are written --name=value" in output


def test_errors_in_words():
    def fail(error):
        def main(flags):
            raise error
        return main

    assert exit_message(fail(UserError("a.txt: wrong"))) == "error: a.txt: wrong"
    assert exit_message(fail(OSError(28, "No space left on device", "/data/a"))) == (
        "error: /data/a: No space left on device")
    assert exit_message(fail(OSError(28, "No space left on device"))) == (
        "error: writing: No space left on device")
    assert exit_message(fail(tf.errors.FailedPreconditionError(
        None, None, "/data/a; Not a directory"))) == "error: /data/a: Not a directory"
    assert exit_message(fail(KeyboardInterrupt())).startswith("interrupted; the same command")
    assert exit_message(fail(None), "x") == (
        "error: unexpected argument 'x'; flags are written --name=value")


def test_own_mistakes_keep_their_traceback():
    def main(flags):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        commands._main_with_plain_errors(main, ["command"])


@pytest.mark.parametrize("error", [
    OSError("without a number"),
    tf.errors.InvalidArgumentError(tf.NodeDef(name="bert/add"), None, "shapes"),
])
def test_other_errors_keep_their_traceback(error):
    def main(flags):
        raise error

    with pytest.raises(type(error)):
        commands._main_with_plain_errors(main, ["command"])


# How TensorFlow 2 and 1.15 write an error from inside a graph.
GRAPH = """Graph execution error:

Detected at node 'save/{0}' defined at (most recent call last):
    File "run.py", line 16, in <module>
Node: 'save/{0}'
{1}
\t [[{{{{node save/{0}}}}}]]

Original stack trace for 'save/{0}':
  File "run.py", line 16, in <module>"""
GRAPH_1 = "{1}\n\t [[node save/{0} (defined at ops.py:1748) ]]"
OOM = "OOM when allocating tensor with shape[9,9] and type float on cpu:0 by allocator cpu"


def of_a_node(kind, operation, message, form=GRAPH):
    return kind(tf.NodeDef(name="save/" + operation, op=operation), None,
                form.format(operation, message))


def test_errors_of_tensorflow_in_words():
    node = tf.NodeDef(name="bert/add", op="AddV2")
    restore = tf.NodeDef(name="save/RestoreV2", op="RestoreV2")
    for error, sentence in [
            (tf.errors.NotFoundError(None, None, "gs://a/b; No such bucket\nmore"),
             "gs://a/b: No such bucket"),
            (of_a_node(tf.errors.ResourceExhaustedError, "SaveV2", "o/m.ckpt; No space left"),
             "o/m.ckpt: No space left"),
            (of_a_node(tf.errors.PermissionDeniedError, "SaveV2", "o/m.ckpt; Read-only", GRAPH_1),
             "o/m.ckpt: Read-only"),
            (of_a_node(tf.errors.NotFoundError, "IteratorGetNext_1", "a.tfrecord; No such file"),
             "a.tfrecord: No such file"),
            (tf.errors.ResourceExhaustedError(node, None, "2 root error(s) found.\n  (0) RESOURCE_"
                                              "EXHAUSTED: %s\n\t [[{{node bert/add}}]]" % OOM),
             "out of memory (%s); lower --train_batch_size (with --gradient_accumulation_steps the "
             "update stays the same) or --max_seq_length, or pass --recompute" % OOM),
            (tf.errors.NotFoundError(restore, None, "Key x not found in checkpoint"), None),
            (of_a_node(tf.errors.InvalidArgumentError, "AddV2", "Incompatible shapes"), None),
            (ValueError("a bug"), None)]:
        assert platforms.explain(error) == sentence


def test_a_full_disk_while_a_checkpoint_is_saved(tmp_path):
    """A limit on the size of files stands for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.get_variable("w", initializer=np.zeros(10 ** 5, np.float32))
        session.run(weight.initializer)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10 ** 5, limits[1]))
        try:
            with pytest.raises(tf.errors.OpError) as raised:
                tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
    assert re.match(r"%s/model.ckpt\S*: File too large$" % tmp_path,
                    platforms.explain(raised.value))


# ---- values of flags ----

@pytest.mark.parametrize("value, message", [
    ("--real=nan", "--real=nan: expected a number of at most 1e\\+30"),
    ("--real=-inf", "--real=-inf: expected"), ("--real=1e31", "--real=1e\\+31: expected"),
    ("--whole=100000000000000000000", "--whole=100000000000000000000: expected a number of at mo"),
    ("--whole=-2147483648", "--whole=-2147483648: expected"), (None, None),
    ("--whole=2147483647", None), ("--real=1e-8", None)])
def test_numbers_are_finite(value, message):
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_float("real", float("nan"), "", flag_values=values)
    absl_flags.DEFINE_integer("whole", 7, "", flag_values=values)
    absl_flags.DEFINE_bool("boolean", True, "", flag_values=values)
    values(["command"] + [value] * bool(value))
    if message is None:
        commands.check_numbers(values)
        return
    with pytest.raises(UserError, match=message):
        commands.check_numbers(values)


@pytest.mark.parametrize("value, expanded", [
    ("~/out", "/home/me/out"), ("~/a,b,~/c~/d", "/home/me/a,b,/home/me/c~/d"), ("a~/b", "a~/b"),
    ("~", "~"), ("~me/a", "~me/a"), ("", "")])
def test_home_is_expanded(monkeypatch, value, expanded):
    monkeypatch.setenv("HOME", "/home/me")
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_string("path", None, "", flag_values=values)
    absl_flags.DEFINE_string("other", None, "", flag_values=values)
    values(["command", "--path=" + value])
    commands.expand_home(values)
    assert (values.path, values.other) == (expanded, None)
