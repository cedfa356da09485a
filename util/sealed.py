"""Files that are used again only if they are what was written: pieces of unfinished work.

    sealed.write("run-1", chunks)          # list of bytes
    if sealed.is_whole("run-1"): ...       # else make it anew
    name = sealed.keep(directory, ["texts"])     # "text-" and a hash of them
    sealed.kept(directory, name)                 # ["texts"]

After a power failure a file may bear its name and lack its end, or hold zeros, since its content
reaches the disk later than its name. So its last bytes are a seal: the length and the CRC-32C of
all before them.
"""

import hashlib
import json
import os
import struct
import zlib

from util import files, whole_files

import google_crc32c

_SEAL = struct.Struct("<QI")
SEAL_BYTES = _SEAL.size
_BLOCK = 1 << 20


def write(path, chunks):
    """Writes an iterable of bytes to `path` and the seal behind them, complete or not at all."""
    length = crc = 0
    with whole_files.replacing(path, sync=False) as temporary, \
            files.open_file(temporary, "wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
            length += len(chunk)
            crc = google_crc32c.extend(crc, chunk)
        stream.write(_SEAL.pack(length, crc))


def is_whole(path):
    """Whether a file is there and just as `write` wrote it."""
    try:
        length, crc = files.size(path) - SEAL_BYTES, 0
        with files.open_file(path, "rb") as stream:
            for begin in range(0, length, _BLOCK):
                crc = google_crc32c.extend(crc, stream.read(min(_BLOCK, length - begin)))
            return stream.read() == _SEAL.pack(max(length, 0), crc)
    except FileNotFoundError:
        return False


def read(path):
    """The content of a file without its seal, or None where `is_whole` says no."""
    if not is_whole(path):
        return None
    with files.open_file(path, "rb") as stream:
        return stream.read()[:-SEAL_BYTES]


def keep(directory, texts):
    """Writes texts that JSON can hold, packed, under a name that is theirs alone; returns it.

    What is there already is not written again.
    """
    content = json.dumps(texts, ensure_ascii=False).encode("utf-8")
    name = "text-" + hashlib.blake2b(content, digest_size=12).hexdigest()
    path = os.path.join(directory, name)
    if not is_whole(path):
        write(path, [zlib.compress(content, 1)])
    return name


def kept(directory, name):
    """The texts that `keep` wrote under a name."""
    return json.loads(zlib.decompress(read(os.path.join(directory, name))).decode("utf-8"))
