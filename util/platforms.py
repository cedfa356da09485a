"""TensorFlow as this project runs it; a command imports this module before TensorFlow.

So a wrong TensorFlow is one sentence and not a traceback from inside an import:

    from util import platforms

    import tensorflow.compat.v1 as tf

    if __name__ == "__main__":
        platforms.run(main, define_flags)
"""

import os
import sys

from util import commands

# Both must be set before TensorFlow is imported. oneDNN is off by default on CPUs without
# AVX512-VNNI, where it measured 1.2 times faster. The C++ log repeats what Python reports, and has
# errors of its own on machines without a GPU.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _problem():
    """What is wrong with this TensorFlow, or None."""
    try:
        import tensorflow
        version = tensorflow.__version__
    except Exception as error:  # noqa: B902 - a broken install raises anything, TypeError included
        return "TensorFlow cannot be imported (%s)" % str(error).strip().split("\n")[0]
    return commands.platform_problem(sys.version_info, version)


commands.check_platform(_problem())

import tensorflow.compat.v1 as tf  # noqa: E402 - only after the check

tf.logging.set_verbosity(tf.logging.ERROR)


def explain(error):
    """A TensorFlow error that is the machine's or the user's, as one sentence; else None.

    Errors without a node are its file system's: "path; No space left on device". Out of memory and
    a disk that is full while a checkpoint is saved come from a node.
    """
    if not isinstance(error, tf.errors.OpError):
        return None
    if error.node_def is not None and not isinstance(error, tf.errors.ResourceExhaustedError):
        return None
    return error.message.split("\n")[0].replace("; ", ": ", 1)


def run(main, define_flags):
    """`commands.run` for a command that builds graphs, with resource variables."""
    tf.disable_v2_behavior()
    tf.enable_resource_variables()
    commands.run(main, define_flags)
