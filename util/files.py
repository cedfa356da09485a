"""Files by their paths: globs, lists, what is there, what a name may be.

Paths are local, of fsspec's file systems (s3a://, gs://; util/remote.py), or of TensorFlow's where
fsspec lacks a package for them. Lines of text are read by util/text_lines.py; util/whole_files.py
writes.
"""

import glob
import hashlib
import io
import json
import os
import re
import shutil
import stat

from util.errors import UserError

_COMMA = re.compile(r"(?<!\\),")


def is_remote(path):
    """Whether it is of another file system: gs://, hdfs://, s3a://."""
    return "://" in path


def gfile(path):
    """What opens a remote path: fsspec, else TensorFlow."""
    from util import remote
    system = remote.file_system(path)
    if not system:
        from util import platforms  # takes seconds and 400 MB
        system = platforms.tf.gfile
    return system


def open_file(path, mode="r"):
    """A stream of UTF-8 text, or of bytes with "b" in the mode."""
    if is_remote(path):
        return gfile(path).GFile(path, mode)
    return open(path, mode, encoding=None if "b" in mode else "utf-8")  # noqa: SIM115


def exists(path):
    return gfile(path).Exists(path) if is_remote(path) else os.path.exists(path)


def is_directory(path):
    return gfile(path).IsDirectory(path) if is_remote(path) else os.path.isdir(path)


def is_file(path):
    """Whether `path` exists and is not a directory."""
    return exists(path) and not is_directory(path)


def size(path):
    """The size of a file in bytes."""
    return gfile(path).Stat(path).length if is_remote(path) else os.path.getsize(path)


def stamps(paths):
    """{path: (size, time of the last change)} of a file or a list of files, for `changed`."""
    return {path: _stamp(path) for path in ([paths] if isinstance(paths, str) else paths)}


def _stamp(path):
    if is_remote(path):
        status = gfile(path).Stat(path)
        return status.length, status.mtime_nsec
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def changed(before):
    """The paths, sorted, of `stamps` that are other files now, or gone."""
    return sorted(path for path, stamp in before.items()
                  if not exists(path) or _stamp(path) != stamp)


def fingerprint(parts):
    """16 hex digits that change with any of some bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part + b"\0")
    return digest.hexdigest()[:16]


def is_empty(path):
    """Whether a file has no content; a pipe's is not known."""
    return not size(path) and (is_remote(path) or os.path.isfile(path))


def remove(path):
    return gfile(path).Remove(path) if is_remote(path) else os.remove(path)


def remove_directory(path):
    """Removes a directory and all that is in it."""
    return gfile(path).DeleteRecursively(path) if is_remote(path) else shutil.rmtree(path)


def rename(path, new_path):
    """Renames a file within one file system; an existing `new_path` is replaced."""
    if is_remote(path):
        gfile(path).Rename(path, new_path, overwrite=True)
    else:
        os.replace(path, new_path)


def make_directory(path):
    """Makes a directory and its parents, unless it exists."""
    if is_remote(path):
        gfile(path).MakeDirs(path)
    elif path:
        os.makedirs(path, exist_ok=True)


def _matches(pattern):
    """The paths that a glob matches; an existing path stands for itself."""
    if is_remote(pattern):
        return gfile(pattern).Glob(pattern)
    if os.path.exists(pattern):
        return [pattern]
    directory = os.path.dirname(pattern)
    while directory and not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    # A directory that exists stands for itself too, whatever is in its name.
    return glob.glob(glob.escape(directory) + pattern[len(directory):])


def _natural(path):
    """A sort key that puts part_2 before part_10."""
    return [(int(part), part) if index % 2 else (0, part)
            for index, part in enumerate(re.split(r"([0-9]+)", path))]


def split_list(text):
    """A comma list -> its parts, stripped; "a,b\\,c" is the two names a and b,c."""
    parts = (re.sub(r"\\,", ",", part).strip() for part in _COMMA.split(text or ""))
    return [part for part in parts if part]


def expand(patterns):
    """Comma lists and globs -> a list of files in natural order: part_2 before part_10.

    "a.txt,news_*.txt" -> ["a.txt", "news_1.txt", "news_2.txt"]

    Raises:
      UserError: a pattern matches no file, a name is not UTF-8, or nothing was given.
    """
    paths = set()
    for pattern in split_list(patterns):
        matches = [path for path in _matches(pattern) if not is_directory(path)]
        if not matches:
            raise UserError("%s: no such file; check the path or glob%s" % (
                pattern, " (a comma inside a name is written \\,)" if "," in patterns else ""))
        paths.update(matches)
    if not paths:
        raise UserError("no input files given; name at least one file, glob or comma list")
    for path in sorted(paths):
        check_name(path)
    return sorted(paths, key=_natural)


def absolute(path):
    """A path from the root, for another process or machine; a remote one is as it is."""
    return path if is_remote(path) else os.path.abspath(path)


def names(directory):
    """The names of what is in a directory."""
    if is_remote(directory):
        return list(map(os.path.basename, gfile(directory).Glob(os.path.join(directory, "*"))))
    return os.listdir(directory)


def all_below(path):
    """The local files of a directory and of those in it, or the files of a checkpoint's prefix."""
    paths = [os.path.join(root, name) for root, _, names in os.walk(path) for name in names]
    return paths or glob.glob(glob.escape(path) + "*")


def check_name(text):
    """Refuses the name of a file, or another text from outside, that is not UTF-8.

    It could be opened, but neither printed nor written to a JSON file.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError("%s: this is not UTF-8; rename the file or directory" % (
            os.fsencode(text).decode("utf-8", "replace"))) from None


def check_rereadable(paths):
    """Refuses pipes, for commands that read their input several times."""
    for path in paths:
        if not is_remote(path) and stat.S_ISFIFO(os.stat(path).st_mode):
            raise UserError("%s is a pipe, and this command reads its input several times; give a "
                            "file (.gz, .bz2, .xz and .zst are read as they are)" % path)


def require_file(path, flag):
    """Returns `path`, or raises a UserError that names the flag if it is not a file."""
    if not path:
        raise UserError("--%s is missing; give the path of a file" % flag)
    check_name(path)
    if not is_file(path):
        raise UserError("--%s=%s: no such file; check the path" % (flag, path))
    return path


class _Remote(io.RawIOBase):
    """A remote file with the interface that Python's decompressors need."""

    def __init__(self, path):
        super().__init__()
        self.name = path
        self._stream = gfile(path).GFile(path, "rb")

    def readable(self):
        return True

    def seekable(self):
        return True

    def readinto(self, buffer):
        content = self._stream.read(len(buffer))
        buffer[:len(content)] = content
        return len(content)

    def seek(self, offset, whence=0):
        self._stream.seek(offset, whence)
        return self.tell()

    def tell(self):
        return self._stream.tell()


def open_binary(path):
    """A stream of the bytes of a file with all methods of one that `open` returns."""
    return io.BufferedReader(_Remote(path)) if is_remote(path) else open_file(path, "rb")


def with_path(error, path):
    """Adds the path to an OSError of a read or a write, which has none; says what it does not."""
    if is_remote(path) and not error.strerror:
        from util import remote
        return remote.refusal(path, error)
    error.filename = error.filename or path
    return error


def identity(path):
    """What is the same for two names of one file: "./a", "a", a link to it."""
    if is_remote(path):
        return path
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def read_json_object(path, expected):
    """The dict in a JSON file.

    Raises:
      UserError: something else is in it; says that `expected` should be.
    """
    try:
        with open_file(path) as stream:
            values = json.loads(stream.read())
    except ValueError as error:  # that of UnicodeDecodeError too
        raise UserError("%s: not valid JSON (%s); expected %s" % (path, error, expected)) from None
    if not isinstance(values, dict):
        raise UserError("%s: expected a JSON object, %s, found %s"
                        % (path, expected, type(values).__name__))
    return values
