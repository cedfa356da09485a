"""Work in several processes; an error or a dead process in any of them is reported."""

import concurrent.futures
import contextlib
import math
import multiprocessing
import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool

from util.errors import UserError

# Of control groups, version 2 and 1: quota and period in microseconds.
CPU_QUOTA_FILES = (("/sys/fs/cgroup/cpu.max",), (
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
_work = None  # the callable of this worker process, set by _start


def default_number():
    """`processors`; 1 where processes cannot fork."""
    return processors() if "fork" in multiprocessing.get_all_start_methods() else 1


def processors():
    """How many processors this process may use: of its affinity, and of its container's quota."""
    count = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
             else os.cpu_count() or 1)
    quota = _quota()
    return max(1, min(count, math.ceil(quota))) if quota else count


def _quota():
    """The processors that a control group allows, a number; None: no limit, or no such thing."""
    for names in CPU_QUOTA_FILES:
        with contextlib.suppress(OSError, ValueError):  # not Linux, no limit ("max", "-1")
            words = []
            for name in names:
                with open(name) as stream:
                    words += stream.read().split()
            quota, period = map(int, words)
            return quota / period if quota > 0 else None
    return None


def in_parallel(work, items, num_workers):
    """Yields (item, work(item)) of every item, in the order in which they finish.

    Args:
      work: a callable; the processes are forked and share its data (dictionaries, tables).
      items: an iterable, read a little ahead of the work; items and results must be picklable.
      num_workers: number of processes; with 1 the work is done in this one.

    Raises:
      UserError: a process died.
      Whatever `work` raises, after the items in progress are finished.
    """
    if num_workers == 1:
        for item in items:
            yield item, work(item)
        return
    alive, held = os.pipe()  # `held` is closed when this process dies, by whatever cause
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("fork"), _start, (work, alive, held))
    pending = {}
    try:
        for item in items:
            pending[pool.submit(_call, item)] = item
            if len(pending) >= num_workers + 2:
                yield from _finished(pending)
        while pending:
            yield from _finished(pending)
    except BrokenProcessPool:
        raise UserError("a worker process died, most often killed for lack of memory; what is "
                        "done is kept: start again, with fewer --num_workers if memory is short"
                        ) from None
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown()
        os.close(alive)
        os.close(held)


def _finished(pending):
    """Waits until a future is done; yields the results of those that are and forgets them."""
    done, _ = concurrent.futures.wait(
        pending, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        yield pending.pop(future), future.result()


def _start(work, alive, held):
    """Initializes a worker: it exits with its parent, and leaves Ctrl-C to it."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(held)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive):
    os.read(alive, 1)  # returns when no process holds the other end any more
    os._exit(1)


def _call(item):
    return _work(item)
