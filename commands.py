"""What every command shares: the platform check, flag parsing and errors as one sentence.

A script imports this module before TensorFlow, so that a wrong Python or TensorFlow is one sentence
and not a traceback from inside an import:

    import commands
    import tensorflow.compat.v1 as tf

    def define_flags():
        tf.flags.DEFINE_string("input_file", None, "Text files, globs, comma lists.")

    def main(flags):
        ...

    if __name__ == "__main__":
        commands.run(main, define_flags)
"""

import logging
import os
import sys

from errors import UserError

PLATFORMS = "Python 3.9-3.11 with TensorFlow 2.15.1, or Python 3.7 with TensorFlow 1.15.5"

# Both must be set before TensorFlow is imported. oneDNN is off by default on CPUs without
# AVX512-VNNI, where it measured 1.2 times faster; the C++ log repeats what Python reports.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def platform_problem(python, tensorflow):
    """What is wrong with a pair of versions, or None: ((3, 11), "2.15.1") -> None."""
    supported = {(3, 7): "1.15"}
    supported.update({(3, minor): "2.15" for minor in (9, 10, 11)})
    wanted = supported.get(tuple(python[:2]))
    if wanted is None:
        return "Python %d.%d is not supported" % tuple(python[:2])
    if not tensorflow.startswith(wanted + "."):
        return "TensorFlow %s is not supported on Python %d.%d" % (
            (tensorflow,) + tuple(python[:2]))
    return None


def _check_platform():
    """Exits with one sentence unless Python and TensorFlow are a supported pair."""
    try:
        import tensorflow
        version = tensorflow.__version__
    except Exception as error:  # noqa: B902 - a broken install raises anything, TypeError included
        reason = str(error).strip().split("\n")[0]
        problem = "TensorFlow cannot be imported (%s)" % reason
    else:
        problem = platform_problem(sys.version_info, version)
    if problem:
        sys.exit("error: %s; this project runs on %s. Remedy: bash scripts/quickstart.sh makes a "
                 "fitting environment in .venv, or use `pip install -r requirements.txt` on one of "
                 "those Pythons." % (problem, PLATFORMS))


_check_platform()

import tensorflow.compat.v1 as tf  # noqa: E402 - only after the check
from absl import app  # noqa: E402
from tqdm import tqdm  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)
log = logging.getLogger("albert")


def say(message, *arguments):
    """Prints one line of progress for the person at the terminal (standard error)."""
    log.info(message, *arguments)


def progress(iterable=None, total=None, unit="it", desc=None):
    """A tqdm bar with rate and time left; in a log file it writes a line a half minute."""
    return tqdm(iterable, total=total, unit=unit, unit_scale=True, desc=desc, dynamic_ncols=True,
                mininterval=0.5 if sys.stderr.isatty() else 30)


def _start_log():
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _main_with_plain_errors(main, argv):
    """Runs `main(flags)`; a user's mistake or a full disk is one sentence and status 1."""
    try:
        if len(argv) > 1:
            raise UserError("unexpected argument %r; flags are written --name=value" % argv[1])
        main(tf.flags.FLAGS)
    except UserError as error:
        sys.exit("error: %s" % error)
    except OSError as error:
        if not error.strerror:
            raise
        sys.exit("error: %s: %s" % (error.filename or "writing", error.strerror))
    except tf.errors.OpError as error:
        # Errors without a node are TensorFlow's file system's: "path; No space left on device".
        # Out of memory and a disk that is full while a checkpoint is saved come from a node.
        if error.node_def is not None and not isinstance(error, tf.errors.ResourceExhaustedError):
            raise
        sys.exit("error: %s" % error.message.split("\n")[0].replace("; ", ": ", 1))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from the last complete checkpoint or file")


def run(main, define_flags):
    """Defines and parses the flags, then calls `main(flags)`; used under `__main__` only."""
    others = set(tf.flags.FLAGS)
    define_flags()
    for name in set(tf.flags.FLAGS) - others:  # --help shows a command's key flags only
        tf.flags.FLAGS.register_key_flag_for_module(sys.argv[0], tf.flags.FLAGS[name])
    _start_log()
    tf.disable_v2_behavior()
    tf.enable_resource_variables()
    app.run(lambda argv: _main_with_plain_errors(main, argv))
