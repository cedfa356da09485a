"""Files as this project reads and writes them: globs, lines with places, complete or absent.

Paths may be local or anything TensorFlow's file systems know (gs://, hdfs://).
"""

import contextlib
import json
import os

import tensorflow.compat.v1 as tf

from errors import UserError

# What commands with that flag offer in `read_lines`.
OR_SKIP = " or pass --skip_bad_lines"


def expand(patterns):
    """Comma lists and globs -> a sorted list of files.

    "a.txt,news_*.txt" -> ["a.txt", "news_1.txt", "news_2.txt"]

    Raises:
      UserError: a pattern matches no file, or nothing was given.
    """
    paths = set()
    for pattern in filter(None, (part.strip() for part in (patterns or "").split(","))):
        try:
            found = [path for path in tf.gfile.Glob(pattern) if not tf.gfile.IsDirectory(path)]
        except tf.errors.NotFoundError:  # TensorFlow 1.15, where the directory does not exist
            found = []
        if not found:
            raise UserError("%s: no such file; check the path or glob" % pattern)
        paths.update(found)
    if not paths:
        raise UserError("no input files given; name at least one file, glob or comma list")
    return sorted(paths)


def is_file(path):
    """Whether `path` exists and is not a directory."""
    return tf.gfile.Exists(path) and not tf.gfile.IsDirectory(path)


def require_file(path, flag):
    """Returns `path` if it is a file; otherwise one sentence that names the flag."""
    if not path:
        raise UserError("--%s is missing; give the path of a file" % flag)
    if not is_file(path):
        raise UserError("--%s=%s: no such file; check the path" % (flag, path))
    return path


def read_lines(path, on_bad_line=None, or_else=""):
    """Yields (line number from 1, text without its line break), streaming.

    Args:
      path: a UTF-8 text file; a byte-order mark is dropped.
      on_bad_line: called with the line number for a line that is not UTF-8, which is then left
        out; without it such a line is a UserError.
      or_else: what that error offers beside converting the file.
    """
    with tf.gfile.GFile(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                if on_bad_line is None:
                    raise UserError(
                        "%s line %d: byte %d is not UTF-8; convert the file (iconv -t utf-8)%s"
                        % (path, number, error.start + 1, or_else)) from None
                on_bad_line(number)
                continue
            yield number, text.rstrip("\r\n")


@contextlib.contextmanager
def replacing(path):
    """Gives a temporary name beside `path`; renames it to `path` at the end, or removes it.

    So a file under its final name is always complete:

        with files.replacing("vocab.txt") as temporary:
            write(temporary)

    Raises:
      UserError: `path` is a directory.
    """
    directory, name = os.path.split(path)
    if not name or tf.gfile.IsDirectory(path):
        raise UserError("%s: a directory, expected the name of a file to write" % path)
    if directory:
        tf.gfile.MakeDirs(directory)
    temporary = os.path.join(directory, ".%s.%d.tmp" % (name, os.getpid()))
    try:
        yield temporary
        tf.gfile.Rename(temporary, path, overwrite=True)
    finally:
        if tf.gfile.Exists(temporary):
            tf.gfile.Remove(temporary)


def write_json(path, values):
    """Writes JSON with sorted keys to `path`; combine with `replacing` for a complete file."""
    with tf.gfile.GFile(path, "w") as stream:
        stream.write(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
