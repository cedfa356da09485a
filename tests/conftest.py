"""Every test runs as the commands do: TensorFlow 1.x behaviour with resource variables."""

import os
import re
import subprocess
import sys

# TensorFlow 1.15's XLA trades 1e-4 of accuracy for speed on CPUs unless told not to.
os.environ["XLA_FLAGS"] = "--xla_cpu_enable_fast_math=false"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402 - reads the environment above

tf.disable_v2_behavior()
tf.enable_resource_variables()
tf.logging.set_verbosity(tf.logging.ERROR)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def sample_tokens(text):
    """A small WordPiece vocabulary: specials, digits, latin pieces, every character of `text`."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += list("0123456789,.!?-") + ["##%d" % digit for digit in range(10)]
    tokens += list("abcdefghijklmnopqrstuvwxyz") + ["the", "low", "un", "##er", "##est", "##able"]
    characters = sorted({char for char in re.sub(r"\s", "", text) if char > "\x7f"})
    ideographs = [char for char in characters if "\u4e00" <= char <= "\u9fff"]
    # Every second ideograph has its ##-token, so that tests see both cases.
    return tokens + characters + ["##" + char for char in ideographs[::2]]


@pytest.fixture(scope="session")
def sample_vocab(tmp_path_factory):
    """The path of a vocabulary that covers data/news_zh_1.txt."""
    with open(os.path.join(ROOT, "data", "news_zh_1.txt"), encoding="utf-8") as stream:
        tokens = sample_tokens(stream.read())
    path = tmp_path_factory.mktemp("sample") / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def run_command():
    """run_command("create_vocab.py", input_file="a.txt") -> (status, what it printed).

    The script runs as a user's command does: from the repository's root, in its own process.
    `arguments` are passed as they are; `popen` goes to subprocess.run (env, preexec_fn, timeout).
    """
    def run(script, *arguments, popen=None, **flags):
        command = [sys.executable, script] + list(arguments)
        command += ["--%s=%s" % item for item in flags.items()]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              **(popen or {}))
        return done.returncode, done.stdout.decode("utf-8", "replace")
    return run
