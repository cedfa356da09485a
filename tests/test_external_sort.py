"""Sorting on disk: what sorting in memory gives, for any runs, windows and slices."""

import os
import random
import resource
import tracemalloc

from util import external_sort, sealed

import numpy as np
import pytest

LARGEST = 2 ** 64 - 1


def write_runs(directory, runs):
    """Writes runs, lists of (key, record) -> their paths."""
    paths = []
    for number, run in enumerate(runs):
        paths.append(str(directory / ("run-%d" % number)))
        external_sort.write_run(paths[-1], [key for key, _ in run], [record for _, record in run])
    return paths


def in_memory(runs):
    """All records by key; equal keys in the order of the runs and within them."""
    return [record for _, record in sorted(sum(runs, []), key=lambda item: item[0])]


def random_runs(rng, keys, count):
    return [[(rng.choice(keys), b"%d " % number * rng.choice([0, 1, 1, 10]))
             for number in range(rng.choice([0, 1, count]))] for _ in range(rng.randrange(1, 6))]


EVEN = [key * (2 ** 64 // 997) for key in range(997)]
TIES = [0, 1, 2 ** 63 - 1, 2 ** 63, LARGEST - 1, LARGEST]
CROWDED = list(range(2 ** 63, 2 ** 63 + 300))  # all in one window


@pytest.mark.parametrize("keys", [EVEN, TIES, CROWDED])
@pytest.mark.parametrize("num_windows", [1, 2, 3, 17, 200])
def test_merge_is_sorting_in_memory(tmp_path, keys, num_windows):
    rng = random.Random(num_windows)
    for case in range(5):
        directory = tmp_path / str(case)
        directory.mkdir()
        runs = random_runs(rng, keys, 100)
        expected = in_memory(runs)
        merge = external_sort.Merge(write_runs(directory, runs), num_windows)
        assert len(merge) == len(expected)
        assert list(merge.between(0, len(merge))) == expected
        for _ in range(10):
            begin, end = sorted(rng.randrange(len(expected) + 1) for _ in range(2))
            assert list(merge.between(begin, end)) == expected[begin:end]
        for number in range(0, len(expected), 37):
            assert list(merge.between(number, number + 1)) == expected[number:number + 1]


@pytest.mark.parametrize("keys", [EVEN, TIES, CROWDED])
@pytest.mark.parametrize("num_ranges", [1, 2, 3, 7, 200])
def test_ranges_of_split_runs_are_sorting_in_memory(tmp_path, keys, num_ranges):
    """Their slices come in any order, as through a shuffle; equal keys stay in that of the runs."""
    rng = random.Random(num_ranges)
    runs = random_runs(rng, keys, 100)
    parts = {}
    for number, path in enumerate(write_runs(tmp_path, runs)):
        for key_range, part in external_sort.split_run(path, number, num_ranges, max_bytes=200):
            assert len(part.content) <= 200 or len(part.keys) == 8
            parts.setdefault(key_range, []).append(part)
    merged = []
    for key_range in range(num_ranges):
        slices = parts.pop(key_range, [])
        rng.shuffle(slices)
        low, high = (2 ** 64 * edge / num_ranges for edge in (key_range, key_range + 1))
        assert all(low <= key < high for part in slices
                   for key in np.frombuffer(part.keys, np.uint64).tolist())
        merged += external_sort.merge_slices(slices)
    assert parts == {}
    assert merged == in_memory(runs)


def test_slices_are_the_whole(tmp_path):
    """As shards are written: cut at any places, more of them than windows or fewer."""
    rng = random.Random(5)
    runs = [[(rng.getrandbits(64), b"%d" % rng.getrandbits(60)) for _ in range(300)]
            for _ in range(3)]
    paths = write_runs(tmp_path, runs)
    for num_windows, slices in [(1, 1), (1, 7), (4, 3), (4, 64), (4, 900), (64, 7), (300, 64)]:
        merge = external_sort.Merge(paths, num_windows)
        edges = [900 * index // slices for index in range(slices + 1)]
        made = [list(merge.between(*edge)) for edge in zip(edges, edges[1:])]
        assert sum(made, []) == in_memory(runs)


def test_same_keys_keep_the_order_of_the_runs(tmp_path):
    runs = [[(7, b"a"), (3, b"b"), (7, b"c")], [(7, b"d"), (3, b"e")], [(3, b"f"), (7, b"g")]]
    merge = external_sort.Merge(write_runs(tmp_path, runs))
    assert list(merge.between(0, 7)) == [b"b", b"e", b"f", b"a", b"c", b"d", b"g"]


def test_no_records(tmp_path):
    for runs in ([], [[]], [[], []]):
        merge = external_sort.Merge(write_runs(tmp_path, runs), 3)
        assert len(merge) == 0
        assert list(merge.between(0, 0)) == []


def test_empty_records(tmp_path):
    runs = [[(key, b"") for key in TIES], [(5, b"x")]]
    merge = external_sort.Merge(write_runs(tmp_path, runs), 4)
    assert list(merge.between(0, 7)) == [b"", b"", b"x", b"", b"", b"", b""]


def test_a_run_is_sorted_on_disk(tmp_path):
    path, = write_runs(tmp_path, [[(LARGEST, b"last"), (0, b"first"), (9, b"mid")]])
    with open(path, "rb") as stream:
        assert stream.read()[:-sealed.SEAL_BYTES] == b"firstmidlast"
    keys, ends = np.load(path + ".npy")
    assert keys.dtype == np.uint64
    assert keys.tolist() == [0, 9, LARGEST]
    assert ends.tolist() == [5, 8, 12]
    assert sorted(os.listdir(str(tmp_path))) == ["run-0", "run-0.npy"]


@pytest.mark.parametrize("fails", [1, 2])
def test_run_is_complete_or_absent(tmp_path, monkeypatch, fails):
    """The second file says that the first is there."""
    replace, calls = os.replace, []

    def failing(*paths):
        calls.append(paths)
        if len(calls) == fails:
            raise OSError(28, "No space left on device")
        replace(*paths)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="run-0"):  # the path is named
        write_runs(tmp_path, [[(1, b"a")]])
    assert os.listdir(str(tmp_path)) == ["run-0"][:fails - 1]


def test_run_without_room_for_its_keys_says_so(tmp_path):
    """np.save into a full file would only say how much it wrote, without an errno."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))  # of a file, in bytes
    try:
        with pytest.raises(OSError) as raised:
            write_runs(tmp_path, [[(key, b"a") for key in EVEN]])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (raised.value.strerror, raised.value.filename) == (
        "File too large", str(tmp_path / "run-0.npy"))
    assert os.listdir(str(tmp_path)) == ["run-0"]


def test_memory_is_that_of_a_window(tmp_path, monkeypatch):
    """16 MB in windows of 1 MB."""
    rng = random.Random(9)
    content = b"x" * 1000
    paths = write_runs(tmp_path, [[(rng.getrandbits(64), content) for _ in range(4000)]
                                  for _ in range(4)])
    monkeypatch.setattr(external_sort, "WINDOW_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        merge = external_sort.Merge(paths)
        count = sum(1 for _ in merge.between(0, len(merge)))
        in_windows = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 16000
    assert in_windows < 2.5 * (1 << 20)


def test_a_slice_reads_its_windows_only(tmp_path, monkeypatch):
    """Or the work of n shards would be n times that of one."""
    rng = random.Random(9)
    paths = write_runs(tmp_path, [[(rng.getrandbits(64), b"x" * 100) for _ in range(1000)]
                                  for _ in range(4)])
    read, original = [], external_sort._read
    monkeypatch.setattr(external_sort, "_read",
                        lambda slices, size: read.append(size) or original(slices, size))
    merge = external_sort.Merge(paths, num_windows=32)
    for shard in range(16):
        assert len(list(merge.between(shard * 250, shard * 250 + 250))) == 250
    assert sum(read) < 2 * 400000


def test_more_windows_than_asked_where_there_is_more_text(tmp_path, monkeypatch):
    paths = write_runs(tmp_path, [[(key, b"x" * 100) for key in EVEN]])
    monkeypatch.setattr(external_sort, "WINDOW_BYTES", 10000)
    largest, original = [], external_sort._read
    monkeypatch.setattr(external_sort, "_read",
                        lambda slices, size: largest.append(size) or original(slices, size))
    merge = external_sort.Merge(paths, num_windows=2)
    assert len(list(merge.between(0, 997))) == 997
    assert max(largest) <= 10000
