"""TensorFlow's version check and settings; a command imports this module before TensorFlow.

An unsupported TensorFlow is then one sentence instead of a traceback from an import:

    from util import platforms

    import tensorflow.compat.v1 as tf

    if __name__ == "__main__":
        platforms.run(main, define_flags)
"""

import contextlib
import os
import re
import sys

from util import commands

# Both must be set before TensorFlow is imported. oneDNN is off by default on CPUs without
# AVX512-VNNI, where it measured 1.2 times faster. The C++ log repeats what Python reports, and logs
# spurious errors on machines without a GPU.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


# What TensorFlow 2.21 writes to stderr whatever the log level, as it is loaded.
_NOISE = (b"absl::InitializeLog() is called", b"oneDNN custom operations are on")


@contextlib.contextmanager
def _without_noise():
    """Leaves _NOISE out of what is written to stderr, by C++ too.

    A process of its own passes the rest on, so that what a library says before it aborts (on a
    processor without AVX) is not lost.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if not any(noise in line for noise in _NOISE):
                    os.write(2, line)
        os._exit(0)
    stderr = os.dup(2)
    os.dup2(writing, 2)
    os.close(reading)
    os.close(writing)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.waitpid(child, 0)


@contextlib.contextmanager
def _without_keras():
    """TensorFlow leaves Keras alone, which it else imports at once: a quarter of what it takes.

    It reads a failed import as no Keras being there; afterwards tf.keras is as it is elsewhere.
    """
    name = "keras.src.optimizers"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # an import raises ImportError
    try:
        yield
    finally:
        del sys.modules[name]


def _problem():
    """Why this TensorFlow is not supported, or None."""
    try:
        with _without_noise(), _without_keras():
            import tensorflow
        version = tensorflow.__version__
    except Exception as error:  # noqa: B902 - a broken install raises anything, TypeError included
        return "TensorFlow cannot be imported (%s)" % str(error).strip().split("\n")[0]
    return commands.platform_problem(sys.version_info, version)


commands.check_platform(_problem())

import tensorflow.compat.v1 as tf  # noqa: E402 - only after the check

tf.logging.set_verbosity(tf.logging.ERROR)


def has_estimator():
    """Whether this TensorFlow brings tf.estimator, and with it what runs on a TPU: before 2.16."""
    return tf.__version__.startswith(("1.", "2.15."))


def _install_estimator():
    from util import estimator_package
    try:
        estimator_package.install()
    except ImportError as error:
        commands.check_platform("tf.estimator is missing (%s)" % error)


if not has_estimator():
    _install_estimator()


# The operations whose failure is that of a file, not of a graph.
_FILE_OPERATIONS = ("SaveV2", "MergeV2Checkpoints", "RestoreV2", "IteratorGetNext")


def explain(error):
    """One sentence for a TensorFlow error that the machine or the user causes, else None.

    That is one of a file system, which has no node or that of an operation on files, or lack of
    memory.
    """
    if not isinstance(error, tf.errors.OpError):
        return None
    cause = _cause(error.message)
    if "OOM when allocating" in cause:
        return ("out of memory (%s); lower --train_batch_size (with --gradient_accumulation_steps "
                "the update stays the same) or --max_seq_length, or pass --recompute" % cause)
    node = re.search(r"\[\[\{*node (?:\S+/)?(\w+?)(?:_\d+)?[}\s]", error.message)
    operation = node.group(1) if node else error.node_def and (
        error.node_def.op or error.node_def.name)
    is_of_a_graph = operation and operation not in _FILE_OPERATIONS or cause.startswith("Key ")
    if is_of_a_graph and not isinstance(error, tf.errors.ResourceExhaustedError):
        return None
    return cause


def _cause(message):
    """What a message of TensorFlow's says happened, without where in the graph it did."""
    before = re.split(r"\s*\[\[\{*node ", message)[0]
    lines = [line.strip() for line in before.split("\n") if line.strip()]
    line = re.sub(r"^\(\d+\) [\w ]+: ", "", lines[-1] if "[[" in message else lines[0])
    return line.replace("; ", ": ", 1)


def start():
    """Graphs with resource variables, as in TensorFlow 1.x; before the first graph."""
    tf.disable_v2_behavior()
    tf.enable_resource_variables()


def run(main, define_flags):
    """`commands.run` for a command that builds graphs."""
    start()
    commands.run(main, define_flags)
