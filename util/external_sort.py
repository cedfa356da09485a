"""External sort of records by their keys: sorted runs on disk, merged in windows.

    write_run("runs/1", keys, records)                     # as many runs as needed
    sorted_records = Merge(["runs/1", "runs/2"])
    for record in sorted_records.between(0, len(sorted_records)): ...

A run is a file of n concatenated records, and a `.npy` [2, n] of their keys and end offsets; both
are sealed (util/sealed.py).
"""

import io
import typing

from util import files, sealed
from util.errors import UserError

import numpy as np

# Records in memory at a time.
WINDOW_BYTES = 3 << 25
_KEYS = 1 << 64


def write_run(path, keys, records):
    """Writes records, sorted by their keys.

    Args:
      path: of the new run.
      keys: list [n] of int in [0, 2**64), preferably uniform.
      records: list [n] of bytes.
    """
    keys = np.array(keys, np.uint64)
    order = np.argsort(keys, kind="stable")
    ends = np.cumsum([len(records[index]) for index in order], dtype=np.uint64)
    sealed.write(path, (records[index] for index in order))
    index = io.BytesIO()  # np.save to a full disk raises an error without its cause
    np.save(index, np.stack([keys[order], ends]))
    sealed.write(path + ".npy", [index.getvalue()])


def is_whole(path):
    """Whether a run is there and just as it was written."""
    return sealed.is_whole(path) and sealed.is_whole(path + ".npy")


class Slice(typing.NamedTuple):
    """Some consecutive records of a run, as bytes: small to pickle."""
    order: tuple    # (number of the run, of the slice): what sorts equal keys
    keys: bytes     # uint64 [n]
    lengths: bytes  # uint32 [n]
    content: bytes  # of n records


def split_run(path, number, num_ranges, max_bytes):
    """Yields (range of keys, Slice) of a whole run, `num_ranges` being all keys in equal ranges.

    Args:
      path: given to `write_run`.
      number: of the run, what sorts equal keys of several.
      max_bytes: of a slice of more than one record.
    """
    with files.open_file(path + ".npy", "rb") as stream:
        keys, ends = np.load(io.BytesIO(stream.read()))
    begins = np.concatenate([np.zeros(1, np.uint64), ends[:-1]])
    edges = np.array([-(-_KEYS * part // num_ranges) for part in range(1, num_ranges)], np.uint64)
    ranges = np.searchsorted(edges, keys, side="right")
    with files.open_file(path, "rb") as stream:
        first = 0
        while first < len(keys):
            last = min(int(np.searchsorted(ranges, ranges[first], side="right")),
                       int(np.searchsorted(ends, begins[first] + np.uint64(max_bytes), "right")))
            last = max(last, first + 1)
            yield int(ranges[first]), Slice(
                (number, first), keys[first:last].tobytes(),
                (ends - begins)[first:last].astype(np.uint32).tobytes(),
                stream.read(int(ends[last - 1] - begins[first])))
            first = last


def merge_slices(parts):
    """Yields the records of a list of Slices, in any order, sorted by key (equal keys by run)."""
    parts.sort(key=lambda part: part.order)
    keys = np.frombuffer(b"".join(part.keys for part in parts), np.uint64)
    lengths = np.frombuffer(b"".join(part.lengths for part in parts), np.uint32)
    return _in_order(keys, np.cumsum(lengths, dtype=np.int64),
                     memoryview(b"".join(part.content for part in parts)))


def _in_order(keys, ends, content, begin=0, end=None):
    """Yields the records [begin, end) in order of their keys from their concatenation."""
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    for index in np.argsort(keys, kind="stable")[begin:end].tolist():
        yield bytes(content[begins[index]:ends[index]])


class Merge:
    """The records of several runs as one sequence, sorted by key (equal keys by run).

    Args:
      runs: paths given to `write_run`.
      num_windows: minimum number of windows; `between` reads entire windows.
    """

    def __init__(self, runs, num_windows=1):
        self._runs = runs
        num_bytes = sum(files.size(run) for run in runs)
        num_windows = max(num_windows, 1 + num_bytes // WINDOW_BYTES)
        self._edges = [_KEYS * window // num_windows for window in range(num_windows + 1)]
        inner = np.array(self._edges[:-1], np.uint64)
        before = np.zeros(num_windows, np.int64)  # number of records with smaller keys
        count = 0
        for run in runs:
            keys = _index(run)[0]
            before += np.searchsorted(keys, inner)
            count += len(keys)
        self._firsts = before.tolist() + [count]

    def __len__(self):
        return self._firsts[-1]

    def between(self, begin, end):
        """Yields the records at positions [begin, end) of the sorted sequence."""
        for window in range(len(self._edges) - 1):
            first, last = self._firsts[window], self._firsts[window + 1]
            if begin < last and first < min(end, last):
                yield from self._window(
                    *self._edges[window:window + 2], begin=max(begin - first, 0), end=end - first)

    def _window(self, low, high, begin, end):
        """Yields the records [begin, end) among those with keys in [low, high), in order."""
        all_keys, all_ends, slices, size = [], [], [], 0
        for run in self._runs:
            keys, ends = _index(run)
            first = int(np.searchsorted(keys, np.uint64(low)))
            last = int(np.searchsorted(keys, np.uint64(high))) if high < _KEYS else len(keys)
            if first == last:
                continue
            offset = int(ends[first - 1]) if first else 0
            all_keys.append(np.array(keys[first:last]))
            all_ends.append(ends[first:last].astype(np.int64) - offset + size)
            slices.append((run, offset, int(ends[last - 1]) - offset))
            size += slices[-1][2]
        yield from _in_order(np.concatenate(all_keys), np.concatenate(all_ends),
                             _read(slices, size), begin, end)


def _index(run):
    """(keys, ends) of a run, memory-mapped."""
    return np.load(run + ".npy", mmap_mode="r", allow_pickle=False)


def _read(slices, size):
    """[(run, first byte, length)] -> their bytes, concatenated."""
    content = bytearray(size)
    view, offset = memoryview(content), 0
    for run, begin, length in slices:
        with open(run, "rb") as stream:
            stream.seek(begin)
            if stream.readinto(view[offset:offset + length]) != length:
                raise UserError("%s has become shorter than it was; give the same command again, "
                                "which makes it anew" % run)
        offset += length
    return content
