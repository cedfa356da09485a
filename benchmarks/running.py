"""Commands, run as people run them: what they print, their time and memory."""

import collections
import os
import subprocess
import sys
import tempfile
import time

from util import console, sources
from util.errors import UserError

# What is measured: `command(output_dir)` is a training's command line, a list (what makes data has
# but one); `pattern` matches the rates in its output, of which the first `skip` are warm-up;
# `dtype` is the type of its products, whose peak it is compared with.
Peer = collections.namedtuple("Peer", ["name", "command", "pattern", "skip", "dtype"])
Peer.__new__.__defaults__ = ("float32",)


def ours(script, **values):
    """The command line that runs a script of this project with flags of these values."""
    return [sys.executable, os.path.join(sources.ROOT, script)] + [
        "--%s=%s" % item for item in values.items()]


def peer_command(function, *arguments, python=sys.executable):
    """The command line that calls a function of benchmarks/peers.py in a Python."""
    return [python, "-m", "benchmarks.peers", function] + [str(value) for value in arguments]


def measure(command):
    """Runs a command -> (its output, {seconds, cpu_seconds, peak_mb}).

    peak_mb is the resident memory of the largest of its processes. A new process is at first a copy
    of this one, which therefore must not import TensorFlow.
    """
    # Leaves nothing in the directories of other projects, not even .pyc files.
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                   cwd=sources.ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        seconds = time.perf_counter() - begin
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if status:
        raise UserError("%s failed: %s" % (command_name(command), last_line(text)))
    return text, {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
                  "peak_mb": usage.ru_maxrss / 1024.0}


def command_name(command):
    """["python", "-m", "benchmarks.peers", …] -> "benchmarks.peers"."""
    return os.path.basename(command[2] if command[1] == "-m" else command[1])


def last_line(text):
    return text.strip().split("\n")[-1]


def executable(python):
    """The path of a Python as the user gave it -> a path that is valid in any directory."""
    return os.path.abspath(python) if os.path.dirname(python) else python


def lacks(python, code):
    """Why a Python cannot run some code, or None."""
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except OSError as error:
        return "%s: %s" % (python, os.strerror(error.errno))
    if done.returncode:
        return "%s: %s" % (python, last_line(done.stdout.decode("utf-8", "replace")))
    return None


def those_that_run(checked_peers):
    """[(Peer, problem or None)] -> the peers without a problem; prints why others are skipped."""
    peers = []
    for peer, problem in checked_peers:
        if problem:
            console.say("%s is skipped: %s", peer.name, problem)
        else:
            peers.append(peer)
    return peers
