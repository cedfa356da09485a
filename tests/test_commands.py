"""What every command does with a wrong platform, wrong flags and a user's mistake."""

import os

import commands

import pytest
import tensorflow.compat.v1 as tf

from errors import UserError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMANDS = ["create_vocab.py", "create_pretraining_data.py", "run_pretraining.py",
            "run_classifier.py", "test_changes.py"]


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
    ((3, 12), "2.16.1", "Python 3.12 is not supported"),
    ((2, 7), "1.15.5", "Python 2.7 is not supported"),
])
def test_supported_pairs(python, tensorflow, problem):
    assert commands.platform_problem(python, tensorflow) == problem


@pytest.mark.parametrize("script", COMMANDS)
@pytest.mark.parametrize("package, problem", [
    ("__version__ = '2.16.1'\n", "TensorFlow 2.16.1 is not supported on Python 3."),
    ("raise ImportError('No module named tensorflow')\n",
     "TensorFlow cannot be imported (No module named tensorflow)"),
])
def test_wrong_tensorflow_is_one_sentence(tmp_path, run_command, script, package, problem):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(package)
    status, output = run_command(
        script, popen={"env": dict(os.environ, PYTHONPATH=str(tmp_path))})
    assert status == 1
    assert output.startswith("error: " + problem)
    assert "Python 3.9-3.11 with TensorFlow 2.15.1, or Python 3.7 with TensorFlow 1.15.5" in output
    assert "Traceback" not in output and output.count("\n") == 1


def test_users_mistake_is_one_sentence_and_status_1(run_command):
    status, output = run_command("run_pretraining.py", do_train=True, input_file="/none/*.tfrecord")
    assert status == 1
    assert output.strip().split("\n")[-1] == (
        "error: /none/*.tfrecord: no such file; check the path or glob")
    assert "Traceback" not in output


def test_flag_out_of_range_and_unexpected_argument(run_command):
    status, output = run_command("run_classifier.py", train_batch_size=0)
    assert status == 1 and "--train_batch_size=0" in output and "Traceback" not in output
    status, output = run_command("run_classifier.py", "--do_train", "true")
    assert status == 1 and "Traceback" not in output
    assert "error: unexpected argument 'true'; flags are written --name=value" in output


def test_errors_in_words():
    def fail(error):
        def main(flags):
            raise error
        return main

    assert exit_message(fail(UserError("a.txt: wrong"))) == "error: a.txt: wrong"
    assert exit_message(fail(OSError(28, "No space left on device", "/data/a"))) == (
        "error: /data/a: No space left on device")
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
