"""Files: globs, text lines with their numbers, output that is complete or absent.

Paths are local, of fsspec's file systems (s3a://, gs://; util/remote.py), or of TensorFlow's where
fsspec lacks a package for them. Text may be compressed: .gz, .bz2, .xz, .zst.
"""

import bz2
import collections
import contextlib
import glob
import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import re
import shutil
import stat
import typing
import uuid
import zlib

from util.errors import UserError

# The `or_else` of `read_lines` for commands that have this flag.
OR_SKIP = " or pass --skip_bad_lines"
_COMMA = re.compile(r"(?<!\\),")
# A line that is too long is cut after the last of these, if there is one.
_LAST_BREAK = re.compile(r".*(?:[。！？!?；;…，,、]|\s)", re.S)


def is_remote(path):
    """Whether it is of another file system: gs://, hdfs://, s3a://."""
    return "://" in path


def _gfile(path):
    """What opens a remote path: fsspec, else TensorFlow."""
    from util import remote
    found = remote.file_system(path)
    if not found:
        from util import platforms  # takes seconds and 400 MB
        found = platforms.tf.gfile
    return found


def open_file(path, mode="r"):
    """A stream of UTF-8 text, or of bytes with "b" in the mode."""
    if is_remote(path):
        return _gfile(path).GFile(path, mode)
    return open(path, mode, encoding=None if "b" in mode else "utf-8")  # noqa: SIM115


def exists(path):
    return _gfile(path).Exists(path) if is_remote(path) else os.path.exists(path)


def is_directory(path):
    return _gfile(path).IsDirectory(path) if is_remote(path) else os.path.isdir(path)


def is_file(path):
    """Whether `path` exists and is not a directory."""
    return exists(path) and not is_directory(path)


def size(path):
    """The size of a file in bytes."""
    return _gfile(path).Stat(path).length if is_remote(path) else os.path.getsize(path)


def stamps(paths):
    """{path: (size, time of the last change)} of a file or a list of files, for `changed`."""
    return {path: _stamp(path) for path in ([paths] if isinstance(paths, str) else paths)}


def _stamp(path):
    if is_remote(path):
        found = _gfile(path).Stat(path)
        return found.length, found.mtime_nsec
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


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
    return _gfile(path).Remove(path) if is_remote(path) else os.remove(path)


def remove_directory(path):
    """Removes a directory and all that is in it."""
    return _gfile(path).DeleteRecursively(path) if is_remote(path) else shutil.rmtree(path)


def rename(path, new_path):
    """Renames a file within one file system; an existing `new_path` is replaced."""
    if is_remote(path):
        _gfile(path).Rename(path, new_path, overwrite=True)
    else:
        os.replace(path, new_path)


def make_directory(path):
    """Makes a directory and its parents, unless it exists."""
    if is_remote(path):
        _gfile(path).MakeDirs(path)
    elif path:
        os.makedirs(path, exist_ok=True)


def _matches(pattern):
    """The paths that a glob matches; an existing path stands for itself."""
    if is_remote(pattern):
        return _gfile(pattern).Glob(pattern)
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
        return list(map(os.path.basename, _gfile(directory).Glob(os.path.join(directory, "*"))))
    return os.listdir(directory)


def all_below(path):
    """The local files of a directory and of those in it, or the files of a checkpoint's prefix."""
    found = [os.path.join(root, name) for root, _, names in os.walk(path) for name in names]
    return found or glob.glob(glob.escape(path) + "*")


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
        self._stream = _gfile(path).GFile(path, "rb")

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


def _zstandard(stream):
    try:
        import zstandard  # an optional package
    except ImportError:
        raise UserError("%s: reading .zst needs the package zstandard (pip install zstandard), or "
                        "decompress the file (zstd -d)" % stream.name) from None
    return io.BufferedReader(_Zstandard(stream, zstandard), 1 << 17)


class _Zstandard(io.RawIOBase):
    """The content of concatenated zstd frames; an error if the last is truncated.

    The reader of the zstandard package takes a truncated frame for the end of the file.
    """

    def __init__(self, stream, zstandard):
        super().__init__()
        self._stream, self._error = stream, zstandard.ZstdError
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame, self._rest, self._content = None, b"", memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._content:
            # At most 32 MB of content: a block of 4 bytes can hold 128 KB.
            compressed = self._rest or self._stream.read(1 << 10)
            if not compressed:
                if self._frame:
                    raise EOFError("Compressed file ended before the end-of-frame marker")
                return 0
            self._frame = self._frame or self._new_frame()
            try:
                self._content = memoryview(self._frame.decompress(compressed))
            except self._error as error:
                raise OSError(str(error)) from None
            self._rest = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        content = self._content[:len(buffer)]
        buffer[:len(content)] = content
        self._content = self._content[len(content):]
        return len(content)


_DECOMPRESSORS = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile,
                  ".zst": _zstandard}


def without_compression(path):
    """A path without the ending of compressed files: "train.tsv.gz" -> "train.tsv"."""
    root, ending = os.path.splitext(path)
    return root if ending.lower() in _DECOMPRESSORS else path


def compressed_names(name):
    """The names that a file may have, compressed or not: "a.tsv" -> "a.tsv", "a.tsv.gz" and so on.
    """
    return [name] + [name + ending for ending in sorted(_DECOMPRESSORS)]


@contextlib.contextmanager
def _reading(path):
    """Opens a file that may be compressed; yields (stream of its content, stream of its raw bytes).

    Raises:
      UserError: the compressed file is damaged or truncated.
      OSError: an input/output error, with the path.
    """
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_binary(path))
        suffix = os.path.splitext(path)[1].lower()
        content = raw
        if suffix in _DECOMPRESSORS:
            decompress = _DECOMPRESSORS[suffix]
            content = stack.enter_context(
                decompress(fileobj=raw) if suffix == ".gz" else decompress(raw))
        try:
            yield content, raw
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise _damaged(path, error) from None
        except OSError as error:
            if not error.errno:  # gzip, bz2 and zstandard
                raise _damaged(path, error) from None
            raise _with_path(error, path) from None


def _with_path(error, path):
    """Adds the path to an OSError of a read or a write, which has none; says what it does not."""
    if is_remote(path) and not error.strerror:
        from util import remote
        return remote.refusal(path, error)
    error.filename = error.filename or path
    return error


def _damaged(path, error):
    return UserError("%s: damaged or truncated (%s); expected a complete %s file, copy it again"
                     % (path, error, os.path.splitext(path)[1]))


class Part(typing.NamedTuple):
    """A part of a file: whole lines."""
    path: str
    begin: int = 0
    end: int = None  # of the file

    def number_of_first_line(self):
        with open_file(self.path, "rb") as stream:
            blocks = iter(lambda: stream.read(min(1 << 20, self.begin - stream.tell())), b"")
            return 1 + sum(block.count(b"\n") for block in blocks)

    def first_line(self):
        """The position of the first line that begins in a Part that may begin anywhere, or None."""
        with open_binary(self.path) as stream:
            stream.seek(max(self.begin - 1, 0))
            if self.begin:
                stream.readline()
            return stream.tell() if stream.tell() < self.end else None

    def lines(self, content, max_bytes=None):
        """_raw_lines of the part, given a stream of the file."""
        if self.begin:
            content.seek(self.begin)
        return _raw_lines(content, max_bytes, None if self.end is None else self.end - self.begin)


def read_lines(path, on_bad_line=None, or_else="", max_bytes=None, on_bytes=None):
    """Yields (line number from 1, text without its line break), streaming.

    Args:
      path: a UTF-8 text file, may be compressed, or a Part of one that is not, whose line numbers
        are of the part; a byte-order mark is dropped.
      on_bad_line: called with the line number for a line that is not UTF-8, which is then left
        out; without it such a line is a UserError.
      or_else: what that error offers besides converting the file.
      max_bytes: a longer line is yielded in pieces of at most this size, all with its number, cut
        after white space or punctuation if there is any; None: no limit.
      on_bytes: called now and then with the number of bytes of the file read since the last call.

    Raises:
      UserError: a line is not UTF-8, a compressed file is damaged, or CR alone ends the lines.
    """
    part = path if isinstance(path, Part) else Part(path)
    with _reading(part.path) as (content, raw):
        reported, last = part.begin, 0
        if not raw.seekable():  # a pipe
            on_bytes = None
        for count, (number, line) in enumerate(part.lines(content, max_bytes), 1):
            if on_bytes and not count % 64:
                on_bytes(raw.tell() - reported)
                reported = raw.tell()
            if number in (1, last) and not line.endswith(b"\n") and b"\r" in line.rstrip(b"\r"):
                raise UserError("%s line %d: its lines end with CR alone, expected LF or CRLF; "
                                "convert the file (tr '\\r' '\\n' < OLD > NEW)" % (
                                    part.path, number - 1 + part.number_of_first_line()))
            last = number
            try:
                text = line.decode("utf-8-sig" if number == 1 and not part.begin else "utf-8")
            except UnicodeDecodeError as error:
                if on_bad_line is None:
                    raise UserError("%s line %d: byte %d is not UTF-8; %s%s" % (
                        part.path, number - 1 + part.number_of_first_line(), error.start + 1,
                        way_to_utf8(line), or_else)) from None
                on_bad_line(number)
                continue
            yield number, text.rstrip("\r\n")
        if on_bytes:
            on_bytes(raw.tell() - reported)


def way_to_utf8(content):
    """How to convert a file, of which these bytes are a part that is not UTF-8, as a clause."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _conversion("UTF-16", "utf-16")
    intact = sum(char > "\x7f" for char in content.decode("utf-8", "ignore"))
    if intact > sum(char == "\ufffd" for char in content.decode("utf-8", "replace")):
        return "most of it is: leave out the broken bytes (iconv -c -f utf-8 -t utf-8)"
    # Other bytes make characters of GBK too, but hardly those of the older standard; of Big5 one
    # accented letter and what follows it make one.
    for name, encoding, usual, at_least in (
            ("GBK", "gb18030", "gb2312", 1), ("Big5", "big5", "big5", 2)):
        foreign = [char for char in content.decode(encoding, "replace") if char > "\x7f"]
        if len(foreign) >= at_least and all(_is_in(char, usual) for char in foreign):
            return _conversion(name, encoding)
    return "convert the file (iconv -f ITS_ENCODING -t utf-8)"


def _conversion(name, encoding):
    return "it looks like %s: convert the file (iconv -f %s -t utf-8)" % (name, encoding)


def _is_in(char, encoding):
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _raw_lines(stream, max_bytes, size=None):
    """Yields (line number, bytes); a long line in several pieces with the same number.

    `size`: how many bytes to read, whole lines; None: to the end.
    """
    limit = max_bytes or -1
    number, rest, left = 1, b"", float("inf") if size is None else size
    while left or rest:
        read = stream.readline(limit - len(rest) if max_bytes else -1) if left else b""
        left -= len(read)
        line = rest + read
        if not line:
            return
        if len(line) == limit and not line.endswith(b"\n"):
            line, rest = _cut(line)
            yield number, line
            continue
        rest = b""
        yield number, line
        number += 1


def _cut(line):
    """Bytes of a long line -> (first piece, rest), cut between characters, at a break if possible.
    """
    text = line.decode("utf-8", "ignore")
    match = _LAST_BREAK.match(text)
    if match and 2 * match.end() > len(text):
        text = match.group()
    end = len(text.encode("utf-8"))
    if not end or line[:end] != text.encode("utf-8"):  # not UTF-8: the caller reports it
        return line, b""
    return line[:end], line[end:]


# ---- what must not be overwritten ----

_inputs = frozenset()  # the identities of the files that this command reads


def identity(path):
    """What is the same for two names of one file: "./a", "a", a link to it."""
    if is_remote(path):
        return path
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def protecting(paths):
    """While this lasts, `replacing` refuses to overwrite the files `paths`, the input."""
    global _inputs
    before, _inputs = _inputs, _inputs.union(map(identity, paths))
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
            if identity(path) in names:
                raise UserError("%s and %s are one file to write; name each once"
                                % (names[identity(path)], path))
            names[identity(path)] = path
    longest = {os.path.dirname(path): path for path in sorted(outputs, key=len)}
    for path in longest.values():
        if not is_remote(path):
            _try_to_write(path)


def _check_target(path):
    """Refuses to write `path` if what is there, if anything, should stay."""
    check_name(path)
    if not os.path.basename(path) or is_directory(path):
        raise UserError("%s: a directory, expected the name of a file to write" % path)
    if not is_remote(path) and os.path.exists(path) and not os.path.isfile(path):
        raise UserError("%s: a device or a pipe, expected the name of a file to write" % path)
    if identity(path) in _inputs:
        raise UserError("%s is one of the input files; name another" % path)


def _try_to_write(path):
    """Writes an empty file beside `path` and removes it and the directories that it needed."""
    temporary, made = _temporary(path), []
    directory = os.path.realpath(os.path.dirname(path))
    while not os.path.exists(directory):
        made.append(directory)
        directory = os.path.dirname(directory)
    try:
        with contextlib.ExitStack() as stack:
            for directory in reversed(made):
                os.mkdir(directory)
                stack.callback(os.rmdir, directory)
            with open(temporary, "wb"):
                stack.callback(os.remove, temporary)
    except OSError as error:
        raise UserError("%s cannot be written (%s); give another path"
                        % (path, error.strerror)) from None


def _temporary(path):
    directory, name = os.path.split(path)
    # A number of its own: another machine may write the same file in a process of the same id.
    return os.path.join(directory, ".%s.%d.tmp" % (name, uuid.uuid4().int >> 64))


# ---- complete or absent ----

@contextlib.contextmanager
def replacing(path, sync=True):
    """Yields a temporary path beside `path`; renames it to `path` on success, else removes it.

    A file under its final name is therefore always complete:

        with files.replacing("vocab.txt") as temporary:
            write(temporary)

    Args:
      path: of the file.
      sync: whether its content is on the disk before it gets its name, so that a power failure
        does not leave an empty one; not for pieces whose content is checked when it is read.

    Raises:
      UserError: `path` is a directory, a device or a pipe, or an input file of this command.
    """
    _check_target(path)
    make_directory(os.path.dirname(path))
    temporary = _temporary(path)
    try:
        yield temporary
        if sync and not is_remote(path):
            synchronize(temporary)
        rename(temporary, path)
    except OSError as error:
        raise _with_path(error, path) from None
    finally:
        if exists(temporary):
            remove(temporary)


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
    for directory, name in map(os.path.split, itertools.filterfalse(is_remote, paths)):
        names[directory or "."].add(name)
    for directory in filter(os.path.isdir, names):
        for entry in os.listdir(directory):
            name = re.sub(r"(?:\.\d+\.tmp)+$", "", entry)
            if name != entry and name.lstrip(".") in names[directory]:
                os.remove(os.path.join(directory, entry))


def move(path, new_path):
    """Moves a complete local file to its final path, also on another disk or file system."""
    if not is_remote(new_path):
        make_directory(os.path.dirname(new_path))
        with contextlib.suppress(OSError):  # another disk
            os.replace(path, new_path)
            return
    with replacing(new_path) as temporary, open(path, "rb") as source, \
            open_file(temporary, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.remove(path)


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


def json_text(values):
    """Indented JSON with sorted keys, without a final line break."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)


def write_json(path, values):
    """Writes JSON with sorted keys to a file: complete or not at all."""
    write_lines(path, [json_text(values)])


def write_lines(path, lines):
    """Writes lines, given without line breaks, to a text file: complete or not at all."""
    with replacing(path) as temporary, open_file(temporary, "w") as stream:
        for line in lines:
            stream.write(line + "\n")


def compressed(content, path):
    """Bytes as a file with the ending of `path` holds them: .gz, .bz2, .xz, .zst, or as they are.

    What was compressed in parts may be put together to a file.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".gz":
        stream = io.BytesIO()
        with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as writer:
            writer.write(content)
        return stream.getvalue()
    if suffix == ".zst":
        try:
            import zstandard  # an optional package
        except ImportError:
            raise UserError("%s: writing .zst needs the package zstandard (pip install zstandard); "
                            "name a .gz file" % path) from None
        return zstandard.ZstdCompressor().compress(content)
    return {".bz2": bz2.compress, ".xz": lzma.compress}.get(suffix, bytes)(content)


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
    check_name(output)
    if os.path.exists(output):
        raise UserError("--output=%s exists already; remove it or name another directory" % output)
    temporary = "%s.%d.tmp" % (output.rstrip("/"), os.getpid())
    os.makedirs(temporary)
    try:
        yield temporary
        os.rename(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
