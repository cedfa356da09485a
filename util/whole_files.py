"""Output that is complete or absent, and never in the place of input."""

import collections
import contextlib
import itertools
import json
import os
import re
import shutil
import tempfile
import uuid

from util import files
from util.errors import UserError

_inputs = frozenset()  # the identities of the files that this command reads


@contextlib.contextmanager
def protecting(paths):
    """While this lasts, `replacing` refuses to overwrite the files `paths`, the input."""
    global _inputs
    before, _inputs = _inputs, _inputs.union(map(files.identity, paths))
    try:
        yield
    finally:
        _inputs = before


def check_outputs(outputs, inputs=()):
    """Refuses files to write that cannot be written, or not without harm, before any work.

    Tries to write there under such a name.

    Args:
      outputs: paths of the files to write.
      inputs: paths of the files to read.

    Raises:
      UserError: an output is an input (by whatever name), another output, a directory, a device,
        or cannot be written.
    """
    names = {}
    with protecting(inputs):
        for path in outputs:
            _check_target(path)
            if files.identity(path) in names:
                raise UserError("%s and %s are one file to write; name each once"
                                % (names[files.identity(path)], path))
            names[files.identity(path)] = path
    longest = {os.path.dirname(path): path for path in sorted(outputs, key=len)}
    for path in longest.values():
        if not files.is_remote(path):
            _try_to_write(path)


def _check_target(path):
    """Refuses to write `path` if what is there, if anything, should stay."""
    files.check_name(path)
    if not os.path.basename(path) or files.is_directory(path):
        raise UserError("%s: a directory, expected the name of a file to write" % path)
    if not files.is_remote(path) and os.path.exists(path) and not os.path.isfile(path):
        raise UserError("%s: a device or a pipe, expected the name of a file to write" % path)
    if files.identity(path) in _inputs:
        raise UserError("%s is one of the input files; name another" % path)


def _try_to_write(path):
    """Writes an empty file as `path` would be, in a directory of its own that is removed again.

    So nothing is made at a place where another process, too, may be about to write.
    """
    directory = os.path.realpath(os.path.dirname(path))
    existing = directory
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=existing) as trial:
            beside = os.path.join(trial, os.path.relpath(directory, existing))
            os.makedirs(beside, exist_ok=True)
            with open(os.path.join(beside, os.path.basename(_temporary(path))), "wb"):
                pass
    except OSError as error:
        raise UserError("%s cannot be written (%s); give another path"
                        % (path, error.strerror)) from None


def _temporary(path):
    directory, name = os.path.split(path)
    # A number of its own: another machine may write the same file in a process of the same id.
    return os.path.join(directory, ".%s.%d.tmp" % (name, uuid.uuid4().int >> 64))


@contextlib.contextmanager
def replacing(path, sync=True):
    """Yields a temporary path beside `path`; renames it to `path` on success, else removes it.

    A file under its final name is therefore always complete:

        with whole_files.replacing("vocab.txt") as temporary:
            write(temporary)

    Args:
      path: of the file.
      sync: whether its content is on the disk before it gets its name, so that a power failure
        does not leave an empty one; not for pieces whose content is checked when it is read.

    Raises:
      UserError: `path` is a directory, a device or a pipe, or an input file of this command.
    """
    _check_target(path)
    files.make_directory(os.path.dirname(path))
    temporary = _temporary(path)
    try:
        yield temporary
        if sync and not files.is_remote(path):
            synchronize(temporary)
        files.rename(temporary, path)
    except OSError as error:
        raise files.with_path(error, path) from None
    finally:
        if files.exists(temporary):
            files.remove(temporary)


def synchronize(path):
    """Flushes a local file, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(paths):
    """Removes the temporary files of `replacing` that killed processes left beside local `paths`.

    No other process may be writing to these paths.
    """
    names = collections.defaultdict(set)
    for directory, name in map(os.path.split, itertools.filterfalse(files.is_remote, paths)):
        names[directory or "."].add(name)
    for directory in filter(os.path.isdir, names):
        for entry in os.listdir(directory):
            name = re.sub(r"(?:\.\d+\.tmp)+$", "", entry)
            if name != entry and name.lstrip(".") in names[directory]:
                os.remove(os.path.join(directory, entry))


def move(path, new_path):
    """Moves a complete local file to its final path, also on another disk or file system."""
    if not files.is_remote(new_path):
        files.make_directory(os.path.dirname(new_path))
        with contextlib.suppress(OSError):  # another disk
            os.replace(path, new_path)
            return
    with replacing(new_path) as temporary, open(path, "rb") as source, \
            files.open_file(temporary, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.remove(path)


def json_text(values):
    """Indented JSON with sorted keys, without a final line break."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)


def write_json(path, values):
    """Writes JSON with sorted keys to a file: complete or not at all."""
    write_lines(path, [json_text(values)])


def write_lines(path, lines):
    """Writes lines, given without line breaks, to a text file: complete or not at all."""
    with replacing(path) as temporary, files.open_file(temporary, "w") as stream:
        for line in lines:
            stream.write(line + "\n")


def keep_aside(directory, output):
    """Renames what `making_directory` yielded to `output`.unequal; returns that name."""
    aside = output.rstrip("/") + ".unequal"
    os.rename(directory, aside)
    return aside


@contextlib.contextmanager
def making_directory(output):
    """Yields a directory beside `output` that gets its name at the end, and is removed if it fails.

    Raises:
      UserError: `output` exists, or its name is not UTF-8.
    """
    files.check_name(output)
    if os.path.exists(output):
        raise UserError("--output=%s exists already; remove it or name another directory" % output)
    temporary = "%s.%d.tmp" % (output.rstrip("/"), os.getpid())
    os.makedirs(temporary)
    try:
        yield temporary
        os.rename(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
