"""Processes that tests start, watch and kill."""

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time

import pytest

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")


ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["run_pretraining", "run_classifier"])


def start(script, flags, log, **environment):
    """Starts a command in a process that need not import TensorFlow, which takes some seconds.

    It is the fork of one that has imported the commands and done nothing else, and has a pid, an
    exit status and signals of its own.

    Args:
      log: the file that all it prints is appended to.

    Returns:
      multiprocessing.Process.
    """
    process = _FORKS.Process(
        target=_run, args=(os.getpid(), script, flags, str(log), environment), daemon=True)
    process.start()
    return process


def call(function, *arguments):
    """What a function of a module returns in a new process, as `start` makes them."""
    ours, theirs = multiprocessing.Pipe()
    process = _FORKS.Process(target=_send_result, args=(theirs, function, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def _send_result(connection, function, arguments):
    connection.send(function(*arguments))


def _run(tests_pid, script, flags, log, environment):
    threading.Thread(target=_end_with, args=(tests_pid,), daemon=True).start()
    os.chdir(ROOT)
    os.environ.update(environment)
    with open(log, "ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.argv = command(script, {name: str(value) for name, value in flags.items()})[1:]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code is not None:  # which is status 1 to Python 3.7's multiprocessing
            raise


def _end_with(pid):
    """Ends this process when there is no process `pid` any more, however that ended."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(1)
    os._exit(1)


def hear_interrupts():
    """The preexec_fn of a process: a shell lets what it starts with "&" ignore SIGINT, and so would
    what a test starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(script, flags):
    """The command line of a script of the repository's root."""
    return [sys.executable, script] + ["--%s=%s" % item for item in flags.items()]


def _stat(pid):
    """[state, parent, ...] of a process; None where there is none."""
    try:
        with open("/proc/%s/stat" % pid) as stream:
            return stream.read().rpartition(")")[2].split()
    except OSError:
        return None


def alive(pid):
    """Whether a process is there and not a zombie."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def descendants(pid):
    """The pids of the processes that a process has started, and those of theirs."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        stat = _stat(name)
        if stat and int(stat[1]) == pid:
            found += [int(name)] + descendants(int(name))
    return found


def wait_until(condition, seconds=60):
    """Returns when `condition()` is true; fails when it is not in time."""
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "nothing happened in %d seconds" % seconds
        time.sleep(0.002)
