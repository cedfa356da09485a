"""The files of create_pretraining_data.py: the same bytes however they are made, names, shards."""

import bz2
import gzip
import hashlib
import lzma
import os
import re

from util import external_sort, shard_names

import pytest

from factories import TEXT, description, everything, make, news, read, refused
from pretraining import shard_files, shards
from processes import needs_proc
from training import input_pipeline

# The golden bytes below hold on all.
pytestmark = pytest.mark.one_platform

# ---- the same bytes ----

SMALL = {"max_seq_length": 64, "max_predictions_per_seq": 10}
# SHA-256 of the records of the sample on every platform. After a change that is meant to change
# the records, put in what the failing test shows; a change of code alone must not need that.
GOLDEN = {
    (): "6b7fea7bd7d62b15792a8dbd1102765a6c5b8592823341dfeb52e0e28cc61670",
    ("store_word_starts", "brightmart_labels"):
        "5395616f134b6b0e6569def01efb282b29db4894cb5bcad321ef4df939aa9677",
    ("non_chinese", "ngram"): "545eda8f2833a548d9197870b4d2b908b873c04241671f7ba294670171e9551b",
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory, sample_vocab):
    """(records, description) of the sample, made by one process in one file."""
    out = make(tmp_path_factory.mktemp("reference"), sample_vocab, news(), **SMALL)
    return (out / "a.tfrecord").read_bytes(), description(out / "a.tfrecord")


def assert_same(out, reference, name="a.tfrecord"):
    assert (out / name).read_bytes() == reference[0]
    assert description(out / name) == reference[1]


@pytest.mark.every_platform
@pytest.mark.parametrize("switches", sorted(GOLDEN))
def test_records_of_the_sample_never_change(tmp_path, sample_vocab, switches):
    changes = {name: 2 if name == "ngram" else True for name in switches}
    out = make(tmp_path, sample_vocab, news(), **dict(SMALL, **changes))
    content = (out / "a.tfrecord").read_bytes()
    assert hashlib.sha256(content).hexdigest() == GOLDEN[switches]


@pytest.mark.parametrize("num_workers", [2, 4])
def test_same_bytes_for_any_number_of_workers(tmp_path, sample_vocab, monkeypatch, reference,
                                              num_workers):
    monkeypatch.setattr(shards, "MIN_CHUNK", 1)  # 41 chunks
    out = make(tmp_path, sample_vocab, news(), num_workers=num_workers, **SMALL)
    assert_same(out, reference)


@pytest.mark.parametrize("compress", [None, gzip.compress])
def test_same_bytes_for_text_in_many_files(tmp_path, sample_vocab, reference, compress):
    """part_2 comes before part_10."""
    text = news()
    ends = [match.end() for match in re.finditer("\n\n", text)]
    edges = [0] + [ends[14 * part] for part in range(1, 12)] + [len(text)]
    for part, (begin, end) in enumerate(zip(edges, edges[1:]), 1):
        content = text[begin:end].encode("utf-8")
        path = tmp_path / ("part_%d.txt%s" % (part, ".gz" if compress else ""))
        path.write_bytes(compress(content) if compress else content)
    assert len(list(tmp_path.iterdir())) == 12
    out = make(tmp_path, sample_vocab, input_file=tmp_path / "part_*", **SMALL)
    assert_same(out, reference)


@pytest.mark.parametrize("suffix, compress", [
    (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_same_bytes_for_compressed_text(tmp_path, sample_vocab, reference, suffix, compress):
    (tmp_path / ("a.txt" + suffix)).write_bytes(compress(news().encode("utf-8")))
    out = make(tmp_path, sample_vocab, input_file=tmp_path / ("a.txt" + suffix), **SMALL)
    assert_same(out, reference)


@pytest.mark.parametrize("module, name, value", [
    (shards, "MIN_CHUNK", 1 << 20),  # one chunk
    (shards, "RUN_BYTES", 3000),  # a few records a run
    (external_sort, "WINDOW_BYTES", 20000),  # and a few in memory
])
def test_same_bytes_for_any_size_of_the_pieces(tmp_path, sample_vocab, monkeypatch, reference,
                                               module, name, value):
    monkeypatch.setattr(module, name, value)
    assert_same(make(tmp_path, sample_vocab, news(), **SMALL), reference)


def test_unfinished_work_goes_where_it_is_told(tmp_path, sample_vocab, monkeypatch, reference):
    work, seen = tmp_path / "work", []
    publish = shard_files.publish

    def spied(*arguments):
        seen.extend(os.listdir(str(path)) for path in (work, tmp_path / "out") if path.exists())
        publish(*arguments)

    monkeypatch.setattr(shard_files, "publish", spied)
    out = make(tmp_path, sample_vocab, news(), work_dir=work, **SMALL)
    assert_same(out, reference)
    assert len(seen) == 1 and len(seen[0]) == 1 and seen[0][0].startswith(".a.tfrecord.")
    assert os.listdir(str(work)) == []


# ---- files ----

def test_globs_and_comma_lists(tmp_path, sample_vocab):
    parts = TEXT.split("\n\n")
    for index, part in enumerate(parts):
        (tmp_path / ("part_%d.txt" % index)).write_text(part, encoding="utf-8")
    pattern = "%s/part_[12].txt,%s/part_0.txt" % (tmp_path, tmp_path)
    out = make(tmp_path, sample_vocab, input_file=pattern)
    several = (out / "a.tfrecord").read_bytes()
    assert description(out / "a.tfrecord")["counts"]["documents"] == 3  # a file ends a document
    assert (make(tmp_path, sample_vocab) / "a.tfrecord").read_bytes() == several


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 64, 999])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_shards_are_the_single_file_cut(tmp_path, sample_vocab, reference, number, num_workers):
    out = make(tmp_path, sample_vocab, news(), num_workers=num_workers,
               output_file=tmp_path / "out" / ("tf@%d.tfrecord" % number), **SMALL)
    names = ["tf-%05d-of-%05d.tfrecord" % (shard, number) for shard in range(number)]
    assert sorted(os.listdir(str(out))) == names + ["tf.tfrecord.json"]
    assert b"".join((out / name).read_bytes() for name in names) == reference[0]
    described = description(out / "tf.tfrecord")
    counts = described.pop("files")
    assert described == {name: part for name, part in reference[1].items() if name != "files"}
    assert sum(counts.values()) == reference[1]["files"]["a.tfrecord"]
    assert max(counts.values()) - min(counts.values()) <= 1
    for name in names[::97]:
        assert input_pipeline.count_records(str(out / name)) == counts[name]


def test_comma_list_of_files(tmp_path, sample_vocab, reference):
    names = ["t-%05d-of-00003.tfrecord" % shard for shard in range(3)] + ["u.tfrecord"]
    out = make(tmp_path, sample_vocab, news(),
               output_file=" , ".join(str(tmp_path / "out" / name) for name in names), **SMALL)
    assert sorted(os.listdir(str(out))) == sorted(names + ["t.tfrecord.json", "u.tfrecord.json"])
    assert b"".join((out / name).read_bytes() for name in names) == reference[0]
    counts = {name: len(read(out / name)) for name in names}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert description(out / "t.tfrecord")["files"] == {name: counts[name] for name in names[:3]}
    assert description(out / "u.tfrecord")["files"] == {"u.tfrecord": counts["u.tfrecord"]}


@pytest.mark.parametrize("number", ["0", "00", "100000"])
def test_number_of_shards_out_of_range(tmp_path, sample_vocab, number):
    sentence = refused(tmp_path, sample_vocab, output_file="%s/a@%s.tfrecord" % (tmp_path, number))
    assert sentence == "error: --output_file=%s/a@%s.tfrecord: %d shards, expected 1 to 99999" % (
        tmp_path, number, int(number))


def test_set_of_another_size_beside_it(tmp_path, sample_vocab):
    for name in ("t[1]-00003-of-00008.tfrecord", "u-00000-of-00002"):
        (tmp_path / name).write_text("")
    stem = str(tmp_path / "t[1]")
    for output_file in (stem + "@2.tfrecord", "%s/v@2,%s@2.tfrecord" % (tmp_path, stem)):
        assert refused(tmp_path, sample_vocab, output_file=output_file) == (
            "error: %s-00003-of-00008.tfrecord is of another set with the name of --output_file; "
            "delete the set or give another name" % stem)
    for output_file in ("t[1]@8.tfrecord", "t[1]@2", "t@2.tfrecord", "t[1].tfrecord", "u@2"):
        shard_names.check_others(shard_files.output_paths(str(tmp_path / output_file)))


def test_same_command_again_replaces_its_set(tmp_path, sample_vocab):
    output = {"output_file": tmp_path / "out" / "t@2.tfrecord"}
    make(tmp_path, sample_vocab, **output)
    first = everything(tmp_path / "out")
    assert len(first) == 3
    assert everything(make(tmp_path, sample_vocab, **output)) == first
    assert everything(make(tmp_path, sample_vocab, random_seed=1, **output)) != first


def test_sets_with_numbers_in_their_names_have_their_own_descriptions(tmp_path, sample_vocab):
    """Only what the command itself writes for NAME@N is one set."""
    names = ["part-1-of-3/tf.tfrecord", "part-00002-of-00003/tf.tfrecord", "wiki-1-of-2.tfrecord",
             "wiki-2-of-2.tfrecord", "part-00003-of-00003/tf.tfrecord"]
    for seed, name in enumerate(names):
        make(tmp_path, sample_vocab, output_file=tmp_path / "out" / name, random_seed=seed)
    for seed, name in enumerate(names):
        made = description(tmp_path / "out" / name)
        assert made["flags"]["random_seed"] == seed
        assert list(made["files"]) == [os.path.basename(name)]


def test_comma_in_a_name(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    (tmp_path / "a,b.txt").write_text(TEXT, encoding="utf-8")
    make(tmp_path, sample_vocab, input_file="%s/a\\,b.txt" % tmp_path,
         output_file="%s/out/c\\,d@2" % tmp_path)
    assert sorted(os.listdir(str(tmp_path / "out"))) == [
        "c,d-00000-of-00002", "c,d-00001-of-00002", "c,d.json"]
    assert "--input_file=%s/out/c\\,d-* " % tmp_path in caplog.text
    assert "a comma inside a name is written \\,)" in refused(
        tmp_path, sample_vocab, input_file=tmp_path / "a,b.txt")


@needs_proc
@pytest.mark.parametrize("num_workers", [1, 2])
def test_text_from_a_pipe(tmp_path, sample_vocab, num_workers):
    """As --input_file=<(zcat a.gz): it is read once, and has no size."""
    expected = (make(tmp_path, sample_vocab) / "a.tfrecord").read_bytes()
    reading, writing = os.pipe()
    os.write(writing, TEXT.encode("utf-8"))
    os.close(writing)
    out = make(tmp_path, sample_vocab, input_file="/proc/self/fd/%d" % reading,
               num_workers=num_workers)
    os.close(reading)
    assert (out / "a.tfrecord").read_bytes() == expected
