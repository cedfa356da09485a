"""Work in several processes, without losing a mistake or a dead process on the way."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool

from util.errors import UserError

_work = None  # what a worker process does, set as it starts


def default_number():
    """The processors that this process may use."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(work, items, num_workers):
    """Yields (item, work(item)) of every item, as they finish.

    Args:
      work: a callable; the processes are forks and share what it holds (dictionaries, tables).
      items: an iterable, read a little ahead of the work; items and results must pickle.
      num_workers: processes; with 1 the work is done in this one.

    Raises:
      UserError: a process died.
      Whatever `work` raises; what is under way is finished first.
    """
    if num_workers == 1:
        for item in items:
            yield item, work(item)
        return
    alive, held = os.pipe()  # the end `held` closes when this process dies, however it does
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
    """Waits for one future or more; yields and forgets what is done."""
    done, _ = concurrent.futures.wait(
        pending, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        yield pending.pop(future), future.result()


def _start(work, alive, held):
    """Begins a worker: it ends with its parent, and leaves Ctrl-C to it."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(held)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive):
    os.read(alive, 1)  # returns when the last process that holds the other end is gone
    os._exit(1)


def _call(item):
    return _work(item)
