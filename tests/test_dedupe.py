"""What a corpus held before is left out: near-duplicate documents, repeated lines."""

import collections
import importlib.util
import sys

from util.errors import UserError

import numpy as np
import pytest

from factories import description, make, news, read, refused
from text import dedupe

needs_datasketch = pytest.mark.skipif(
    importlib.util.find_spec("datasketch") is None,
    reason="datasketch is not installed (pip install -r requirements-data.txt)")


def lines(seed, count, length=20):
    """Lines of characters at random."""
    rng = np.random.RandomState(seed)
    return ["".join(map(chr, rng.randint(0x4e00, 0x9fa5, length))) for _ in range(count)]


def unique(documents):
    counts = collections.Counter()
    kept = list(dedupe.unique(documents, counts))
    return kept, {name: count for name, count in counts.items() if count}


@needs_datasketch
def test_repeated_lines_are_kept_once():
    """Of a document before, and of the same one; the other lines stay in their order."""
    first, second = lines(0, 8), lines(1, 8)
    documents = [first + ["责任编辑"], second[:4] + ["责任编辑", second[4], second[0]] + second[5:]]
    kept, counts = unique(documents)
    assert kept == [first + ["责任编辑"], second]
    assert counts == {dedupe.REPEATED_LINES: 2}


@needs_datasketch
def test_documents_of_repeated_lines_alone():
    """Their lines come from several documents, so they are like none of them."""
    documents = [lines(seed, 6) for seed in range(6)]
    kept, counts = unique(documents + [[document[0] for document in documents]])
    assert kept == documents
    assert counts == {dedupe.NOTHING_NEW: 1, dedupe.REPEATED_LINES: 6}


@needs_datasketch
def test_near_duplicates_are_left_out_whole():
    """A line of fifty is another: none of the copies is left in pieces. White space is nothing."""
    documents = [lines(seed, 50) for seed in range(20)]
    copies = [document[:25] + lines(100, 1) + document[26:] for document in documents]
    spaced = [" ".join(line) for line in lines(0, 50)]
    kept, counts = unique(documents + copies + [spaced])
    assert kept[:20] == documents
    assert counts[dedupe.NEAR_DUPLICATES] >= 20  # all but one or so are found
    assert unique(documents + copies) == unique(documents + copies)


@needs_datasketch
def test_documents_that_share_half_stay():
    documents = [lines(seed, 50) for seed in range(20)]
    halves = [document[:25] + lines(100 + seed, 25) for seed, document in enumerate(documents)]
    kept, counts = unique(documents + halves)
    assert len(kept) == 40
    assert counts == {dedupe.REPEATED_LINES: 20 * 25}


def test_shingles_are_a_set_of_runs():
    assert len(dedupe.shingles(["abc", "def g"])) == 3
    assert dedupe.shingles(["ABCDEFG"]).tolist() == dedupe.shingles(["abc", "def g"]).tolist()
    assert len(dedupe.shingles(["abababababab"])) == 2
    assert len(dedupe.shingles(["a"])) == 1
    assert len(dedupe.shingles(lines(0, 50))) == 50 * 20 - 4
    assert set(dedupe.shingles(["abcdef"]).tolist()) < set(dedupe.shingles(["abcdefg"]).tolist())


def test_hash_set_is_a_set_of_eight_bytes_a_hash():
    rng = np.random.RandomState(0)
    ours, expected = dedupe.HashSet(), set()
    for size in rng.randint(0, 200, 300):
        hashes = rng.randint(0, 20000, size).astype(np.uint64)
        new = []
        for value in hashes.tolist():
            new.append(value not in expected)
            expected.add(value)
        assert ours.add(hashes).tolist() == new
    every = np.arange(20000).astype(np.uint64)
    assert set(every[ours.contains(every)].tolist()) == expected
    assert sum(array.nbytes for array in ours._arrays) == 8 * len(expected)
    assert len(ours._arrays) < 16


@needs_datasketch
def test_command_counts_what_it_left_out(tmp_path, sample_vocab, caplog):
    """The sample twice gives the records of the sample once, whatever the number of processes."""
    options = {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 1}
    (tmp_path / "once").mkdir()
    once = make(tmp_path / "once", sample_vocab, news(), dedupe=True, **options)
    with caplog.at_level("INFO", "albert"):
        twice = make(tmp_path, sample_vocab, news() + "\n\n" + news(), dedupe=True, num_workers=2,
                     **options)
    assert read(twice / "a.tfrecord") == read(once / "a.tfrecord")
    made = description(twice / "a.tfrecord")
    documents = made["counts"]["documents"]
    assert made["flags"]["dedupe"] is True
    assert made["counts"][dedupe.NEAR_DUPLICATES] == documents + 2 * (
        description(once / "a.tfrecord")["counts"].get(dedupe.NEAR_DUPLICATES, 0))
    assert dedupe.NEAR_DUPLICATES in caplog.text and dedupe.REPEATED_LINES in caplog.text


def test_without_the_package_or_on_a_cluster_it_is_refused(tmp_path, sample_vocab, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    assert refused(tmp_path, sample_vocab, dedupe=True).endswith(
        "; pip install -r requirements-data.txt, or leave --dedupe out")
    with pytest.raises(UserError, match="--dedupe needs datasketch"):
        dedupe.load()
    assert refused(tmp_path, sample_vocab, dedupe=True, runner="spark", num_workers=None) == (
        "error: --dedupe with --runner=spark: what was seen before is known to one process only; "
        "leave --runner out, or take duplicates out of the text before")
