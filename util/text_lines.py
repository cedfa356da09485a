"""Text files as lines with their numbers, streaming: compressed, long, in another encoding.

Text may be compressed: .gz, .bz2, .xz, .zst.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import typing
import zlib

from util import files
from util.errors import UserError

# The `or_else` of `read_lines` for commands that have this flag.
OR_SKIP = " or pass --skip_bad_lines"
# A line that is too long is cut after the last of these, if there is one.
_LAST_BREAK = re.compile(r".*(?:[。！？!?；;…，,、]|\s)", re.S)


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
        raw = stack.enter_context(files.open_binary(path))
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
            raise files.with_path(error, path) from None


def _damaged(path, error):
    return UserError("%s: damaged or truncated (%s); expected a complete %s file, copy it again"
                     % (path, error, os.path.splitext(path)[1]))


class Part(typing.NamedTuple):
    """A part of a file: whole lines."""
    path: str
    begin: int = 0
    end: int = None  # of the file

    def number_of_first_line(self):
        with files.open_file(self.path, "rb") as stream:
            blocks = iter(lambda: stream.read(min(1 << 20, self.begin - stream.tell())), b"")
            return 1 + sum(block.count(b"\n") for block in blocks)

    def first_line(self):
        """The position of the first line that begins in a Part that may begin anywhere, or None."""
        with files.open_binary(self.path) as stream:
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
