"""A directory for unfinished work: one process at a time, kept after an error, else removed.

    with work_directory("data/.tf.work"):
        ...
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time

from util import console, files
from util.errors import UserError

# The workers of a killed process hold its lock for a moment longer.
LOCK_SECONDS = 10
KEPT = ("what is done is kept in %s; the same command goes on from there (if you do not want it, "
        "delete that directory)")


def place(name, work_dir=None, key=None):
    """The directory for unfinished work: hidden, beside an output unless that is remote.

    Args:
      name: the path of the output, or of what several outputs have in common.
      work_dir: where it is to be instead; then, and where the output is remote, it bears a hash.
      key: what is hashed, `name` if it is None.
    """
    directory, base = os.path.split(name)
    if work_dir or files.is_remote(name):
        base += "." + hashlib.sha256((key or name).encode("utf-8")).hexdigest()[:8]
        directory = work_dir or tempfile.gettempdir()
    return os.path.join(directory, ".%s.work" % base)


@contextlib.contextmanager
def work_directory(path):
    """Makes and locks a directory for unfinished work; removes it unless there is an error.

    Raises:
      UserError: another process is at work there.
    """
    with _locked(path):
        try:
            yield
        except BaseException:
            if set(os.listdir(path)) <= {"lock"}:
                _remove(path)
            else:
                console.say(KEPT, path)
            raise
        _remove(path)


@contextlib.contextmanager
def shared(path):
    """`work_directory` for several machines; a remote one has no lock."""
    if not files.is_remote(path):
        with work_directory(path):
            yield
        return
    files.make_directory(path)
    try:
        yield
    except BaseException:
        if files.exists(path):
            console.say(KEPT, path)
        raise
    clear(path)


def _locked(path):
    """Makes a directory and opens a file in it that is locked against other processes."""
    end = time.time() + LOCK_SECONDS
    while True:
        files.make_directory(path)
        with contextlib.suppress(BlockingIOError, FileNotFoundError), \
                contextlib.ExitStack() as stack:
            lock = stack.enter_context(open(os.path.join(path, "lock"), "w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that had the lock may have removed its file.
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name)):
                stack.pop_all()
                return lock
        if time.time() > end:
            raise UserError("%s: another process is making the same output; wait for it, or name "
                            "another --output_file" % path)
        time.sleep(0.1)


def _remove(path):
    """Removes a work directory, the lock last: another process may be waiting for it."""
    clear(path)
    os.remove(os.path.join(path, "lock"))
    with contextlib.suppress(OSError):  # the other process has begun
        os.rmdir(path)


def clear(directory):
    """Removes all pieces from a work directory."""
    if files.is_remote(directory):
        files.remove_directory(directory)
        return
    for name in sorted(os.listdir(directory)):  # chunk-* before the run-* that they name
        if name != "lock":
            os.remove(os.path.join(directory, name))
