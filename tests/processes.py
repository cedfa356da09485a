"""Processes that tests start, watch and kill."""

import os
import time

import pytest

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")


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
