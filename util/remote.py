"""Files of object stores and clusters through fsspec, which TensorFlow need not be loaded for.

    remote.file_system("s3a://bucket/a.txt").Exists("s3a://bucket/a.txt")

fsspec itself is small; each file system wants its own package (s3fs, gcsfs, ossfs, pyarrow).
"""

import contextlib
import errno
import functools
import importlib.util
import os

from util.errors import UserError

# They have keys and no directories; what a stream writes appears when it is closed.
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "oss", "abfs", "abfss", "az")


def file_system(path):
    """What opens a path such as s3a://bucket/a.txt, or None where fsspec cannot.

    It has the functions of tf.gfile that util/files.py calls, by their names there.
    """
    return _file_system(path.split("://")[0])


@functools.lru_cache(None)
def _file_system(protocol):
    if not importlib.util.find_spec("fsspec"):
        return None
    import fsspec
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError):  # without its package, or nothing that fsspec knows
        return None
    return _FileSystem(protocol, fsspec)


@contextlib.contextmanager
def _reported(path):
    """What a store refuses (no credentials, no bucket) as one sentence or a whole OSError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or getattr(error, "strerror", None):
            raise
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        raise refusal(path, error) from None


def refusal(path, error):
    """An error of a store that says neither where nor what -> a UserError."""
    text = " ".join(str(error).split()).rstrip(".")
    return UserError("%s: %s%s; check the address, its bucket and the credentials" % (
        path, type(error).__name__, ": " + text if text else ""))


class _FileSystem:
    """tf.gfile over fsspec. Nothing is looked up in listings: other machines write there, too."""

    def __init__(self, protocol, fsspec):
        self._protocol, self._fsspec = protocol, fsspec

    def _of(self, path):
        """A path -> (its fsspec file system, of this process, its name there)."""
        resolved = self._fsspec.core.url_to_fs(path)
        resolved[0].invalidate_cache()
        return resolved

    def GFile(self, path, mode="r"):  # noqa: N802 - TensorFlow's names
        with _reported(path):
            store, name = self._of(path)
            return store.open(name, mode, **({} if "b" in mode else {"encoding": "utf-8"}))

    def Exists(self, path):  # noqa: N802
        with _reported(path):
            store, name = self._of(path)
            return store.exists(name)

    def IsDirectory(self, path):  # noqa: N802
        with _reported(path):
            store, name = self._of(path)
            return store.isdir(name)

    def Stat(self, path):  # noqa: N802
        with _reported(path):
            store, name = self._of(path)
            return _Stat(store.size(name), store.modified(name))

    def Remove(self, path):  # noqa: N802
        with _reported(path):
            store, name = self._of(path)
            store.rm_file(name)

    def Rename(self, path, new_path, overwrite=False):  # noqa: N802
        with _reported(new_path):
            store, name = self._of(path)
            new_name = self._of(new_path)[1]
            if overwrite and self._protocol not in OBJECT_STORES and store.exists(new_name):
                store.rm_file(new_name)
            store.mv(name, new_name)

    def MakeDirs(self, path):  # noqa: N802
        if self._protocol not in OBJECT_STORES:
            with _reported(path):
                store, name = self._of(path)
                store.makedirs(name, exist_ok=True)

    def Glob(self, pattern):  # noqa: N802
        with _reported(pattern):
            store, name = self._of(pattern)
            before = pattern[:len(pattern) - len(name)]  # "s3a://", "hdfs://host:8020"
            return [before + match for match in store.glob(name)]

    def DeleteRecursively(self, path):  # noqa: N802
        with _reported(path):
            store, name = self._of(path)
            if store.exists(name):
                store.rm(name, recursive=True)


class _Stat:
    def __init__(self, length, modified):
        self.length, self.mtime_nsec = length, int(modified.timestamp() * 10 ** 9)
