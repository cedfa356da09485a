"""pretraining/beam.py: on Apache Beam the records of the local driver, whatever a worker meets."""

import collections
import importlib.util
import json
import os
import subprocess
import sys
import tarfile

from util import commands, tfrecords

import pytest
import tensorflow.compat.v1 as tf

import create_pretraining_data as command
import pretraining
import tokenization
from tiny import parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEWS = os.path.join(ROOT, "data", "news_zh_1.txt")
SHARDS = ["t-%05d-of-00003.tfrecord" % shard for shard in range(3)]
IN_MEMORY = "--direct_running_mode=in_memory"

needs_beam = pytest.mark.skipif(
    not importlib.util.find_spec("apache_beam"),
    reason="Apache Beam is not installed (pip install -r requirements-beam.txt)")


@pytest.fixture
def inputs(tmp_path):
    """The sample text in three files: a glob."""
    with open(NEWS, encoding="utf-8") as stream:
        documents = stream.read().split("\n\n")
    for part in range(3):
        (tmp_path / ("in_%d.txt" % part)).write_text(
            "\n\n".join(documents[60 * part:60 * part + 60]), encoding="utf-8")
    return str(tmp_path / "in_*.txt")


def values(tmp_path, vocab, inputs, name, **changes):
    """Small settings: three shards in the directory `name`."""
    flags = {"input_file": inputs, "output_file": tmp_path / name / "t@3.tfrecord",
             "vocab_file": vocab, "max_seq_length": 64, "max_predictions_per_seq": 10,
             "masked_lm_prob": 0.15, "dupe_factor": 2, "num_workers": 1,
             "report": tmp_path / (name + ".json")}
    flags.update(changes)
    return flags


def make(tmp_path, vocab, inputs, name, runner=None, beam_options=IN_MEMORY, **changes):
    """Runs the command in this process; returns the directory of its output."""
    if runner:
        changes.update(runner=runner, beam_options=beam_options)
    command.main(parse(command.define_flags, **values(tmp_path, vocab, inputs, name, **changes)))
    return tmp_path / name


def on_beam(*arguments, **changes):
    return make(*arguments, runner="DirectRunner", **changes)


def refused(function, *arguments, **changes):
    """The one sentence that ends the command with status 1."""
    with pytest.raises(SystemExit) as stopped:
        commands._main_with_plain_errors(lambda _: function(*arguments, **changes), ["command"])
    assert stopped.value.code.startswith("error: ")
    assert "\n" not in stopped.value.code
    return stopped.value.code


def run(tmp_path, **flags):
    """The command in another process, started from another directory."""
    done = subprocess.run(
        [sys.executable, os.path.join(ROOT, "create_pretraining_data.py")]
        + ["--%s=%s" % flag for flag in flags.items()],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def records(directory):
    return [record for name in sorted(os.listdir(str(directory))) if name.endswith(".tfrecord")
            for record in tf.python_io.tf_record_iterator(str(directory / name))]


def contents(directory):
    return {name: (directory / name).read_bytes() for name in os.listdir(str(directory))}


def description(directory):
    return json.loads((directory / "t.tfrecord.json").read_text(encoding="utf-8"))


# ---- the same records ----

@needs_beam
@pytest.mark.parametrize("changes", [
    {}, pytest.param({"store_word_starts": True, "split_sentences": True, "dupe_factor": 1},
                     marks=pytest.mark.every_platform)])  # each has another version of Beam
@pytest.mark.slow
def test_two_processes_make_the_records_of_the_local_driver(tmp_path, sample_vocab, inputs,
                                                            changes):
    local = make(tmp_path, sample_vocab, inputs, "local", **changes)
    flags = values(tmp_path, sample_vocab, inputs, "beam", num_workers=2, **changes)
    status, output = run(tmp_path, runner="DirectRunner", **flags)
    assert status == 0, output
    beam = tmp_path / "beam"
    assert sorted(os.listdir(str(beam))) == SHARDS + ["t.tfrecord.json"]
    assert sorted(records(beam)) == sorted(records(local))
    ours, theirs = description(beam), description(local)
    sizes = [ours["files"].pop(name) for name in SHARDS]
    assert sum(sizes) == sum(theirs.pop("files").values()) == len(records(beam))
    assert min(sizes) > 0.8 * max(sizes)
    assert ours.pop("files") == {}
    assert ours == theirs
    reports = [json.loads((tmp_path / name).read_text(encoding="utf-8"))
               for name in ("beam.json", "local.json")]
    assert reports[0] == reports[1]
    for line in ("%-46s %12d" % ("documents", 180),
                 "%-46s %12s" % ("instances", "{:,}".format(sum(sizes))),
                 "written to %s, " % (beam / SHARDS[0]),
                 "next: python3 run_pretraining.py --input_file=%s " % (beam / "t-*.tfrecord")):
        assert line in output
    # One process and bundles that are done twice, as after a failure, change nothing.
    again = on_beam(tmp_path, sample_vocab, inputs, "again",
                    beam_options=IN_MEMORY + " --direct_runner_bundle_repeat=1", **changes)
    assert contents(again) == contents(beam)


@pytest.mark.slow
@needs_beam
@pytest.mark.every_platform
def test_many_chunks_and_buckets_change_nothing(tmp_path, sample_vocab, inputs, monkeypatch):
    from pretraining import beam
    plain = on_beam(tmp_path, sample_vocab, inputs, "plain")
    sizes, write = [], tfrecords.write

    def write_and_tell(path, bucket):
        bucket = list(bucket)
        sizes.append(sum(map(len, bucket)))
        return write(path, bucket)

    monkeypatch.setattr(beam, "CHUNK_CHARACTERS", 1000)
    monkeypatch.setattr(beam, "BUCKET_BYTES", 20000)
    monkeypatch.setattr(tfrecords, "write", write_and_tell)
    small = on_beam(tmp_path, sample_vocab, inputs, "small")
    assert contents(small) == contents(plain)
    size = sum(map(len, records(plain)))
    assert sum(sizes) == size
    assert 0.5 * size / 20000 < len(sizes) < 2 * size / 20000
    assert max(sizes) < 3 * 20000


@pytest.mark.slow
@needs_beam
def test_neighbours_are_of_one_document_by_chance_alone(tmp_path, sample_vocab):
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    characters = [token for token in tokenizer.tokens if "\u4e00" <= token <= "\u9fff"][:50]
    (tmp_path / "in.txt").write_text(  # a character a document
        "\n\n".join("\n".join([char * 30] * 40) for char in characters), encoding="utf-8")
    out = on_beam(tmp_path, sample_vocab, tmp_path / "in.txt", "mixed", store_word_starts=True)
    documents = [tf.train.Example.FromString(record).features.feature["input_ids"].int64_list
                 .value[1] for record in records(out)]
    counts = collections.Counter(documents)
    assert len(counts) == 50
    number = len(documents)
    chance = sum(count * (count - 1) for count in counts.values()) / number
    neighbours = sum(one == other for one, other in zip(documents, documents[1:]))
    assert chance > 20
    assert abs(neighbours - chance) < 3 * chance ** 0.5


@pytest.mark.slow
@needs_beam
def test_remote_files(tmp_path, sample_vocab):
    if not hasattr(tf.io.gfile, "makedirs") or tf.__version__.startswith("1."):
        pytest.skip("TensorFlow %s has no file system in memory" % tf.__version__)
    root = "ram://%s" % tmp_path.name
    tf.io.gfile.makedirs(root)
    tf.io.gfile.copy(NEWS, root + "/in.txt")
    here = on_beam(tmp_path, sample_vocab, NEWS, "here")
    on_beam(tmp_path, sample_vocab, root + "/in.txt", "there",
            output_file=root + "/out/t@3.tfrecord")
    assert sorted(tf.io.gfile.listdir(root + "/out")) == SHARDS + ["t.tfrecord.json"]
    for name, content in contents(here).items():
        assert tf.io.gfile.GFile("%s/out/%s" % (root, name), "rb").read() == content


# ---- mistakes ----

@needs_beam
@pytest.mark.slow
def test_bad_line_is_one_sentence_and_nothing_is_left(tmp_path, sample_vocab, inputs):
    bad = tmp_path / "in_1.txt"  # beyond what the command itself looks at
    bad.write_bytes(bad.read_bytes() * 3 + b"\n\xb5\xe7\n")
    (tmp_path / "out").mkdir()
    flags = values(tmp_path, sample_vocab, inputs, "out", num_workers=2)
    status, output = run(tmp_path, runner="DirectRunner", **flags)
    assert status == 1
    line = bad.read_bytes().count(b"\n")
    assert output.strip().split("\n")[1:] == [
        "error: %s line %d: byte 1 is not UTF-8; it looks like GBK: convert the file (iconv -f "
        "gb18030 -t utf-8) or pass --skip_bad_lines" % (bad, line)]
    assert os.listdir(str(tmp_path / "out")) == []
    assert not (tmp_path / "out.json").exists()
    skipping = on_beam(tmp_path, sample_vocab, inputs, "skipping", skip_bad_lines=True)
    assert description(skipping)["counts"]["bad lines"] == 1


@needs_beam
def test_fewer_instances_than_files(tmp_path, sample_vocab):
    (tmp_path / "in.txt").write_text("河口的人口。\n流速慢了。\n", encoding="utf-8")
    arguments = tmp_path, sample_vocab, tmp_path / "in.txt", "out"
    here, beam = refused(make, *arguments), refused(on_beam, *arguments)
    assert here == beam
    assert beam.startswith("error: 2 instances for 3 output files; the input needs documents")
    (tmp_path / "in.txt").write_text("\n一句\n", encoding="utf-8")
    assert "0 instances for 3 output files" in refused(on_beam, *arguments)
    assert os.listdir(str(tmp_path / "out")) == []


@needs_beam
@pytest.mark.every_platform
def test_full_disk_is_one_sentence(tmp_path, sample_vocab, inputs, monkeypatch):
    def full(path, _):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(tfrecords, "write", full)
    sentence = refused(on_beam, tmp_path, sample_vocab, inputs, "out")
    assert sentence.startswith("error: %s" % (tmp_path / "out" / ".t-00000-of-00003.tfrecord."))
    assert sentence.endswith(": No space left on device")
    assert os.listdir(str(tmp_path / "out")) == []


@needs_beam
@pytest.mark.every_platform
def test_unknown_error_shows_what_was_kept(tmp_path, sample_vocab, inputs, monkeypatch, capfd):
    monkeypatch.setattr(tfrecords, "write", lambda *_: os.write(2, b"a worker's last words") / 0)
    with pytest.raises(ZeroDivisionError):
        on_beam(tmp_path, sample_vocab, inputs, "out")
    assert "a worker's last words" in capfd.readouterr().err
    assert os.listdir(str(tmp_path / "out")) == []


@needs_beam
@pytest.mark.parametrize("runner, changes, message", [
    ("DirectRunner", {"beam_options": "--direct_num_workers=x"},
     "--beam_options: argument --direct_num_workers: invalid int value: 'x'; correct it"),
    ("DirectRunner", {"beam_options": "--workers=2"},
     "--beam_options: DirectRunner has no option --workers; check the name"),
    ("DirectRunner", {"beam_options": "--project='a"}, "--beam_options=--project='a: No closing"),
    ("DirectRunner", {"work_dir": "/tmp"}, "--work_dir=/tmp with --runner: workers on other"),
    ("SparkRunner", {}, "--num_workers=1: SparkRunner takes as many as its cluster offers"),
    (None, {"beam_options": "--parallelism=2"}, "--beam_options without --runner"),
])
def test_options_that_are_refused(tmp_path, sample_vocab, inputs, runner, changes, message):
    changes = dict({"runner": runner} if runner else {}, **changes)
    flags = values(tmp_path, sample_vocab, inputs, "out", **changes)
    sentence = refused(command.main, parse(command.define_flags, **flags))
    assert sentence.startswith("error: " + message)
    assert not (tmp_path / "out").exists() or os.listdir(str(tmp_path / "out")) == []


@needs_beam
def test_options_of_the_user_count():
    from pretraining.beam_runs import _arguments
    assert _arguments("DirectRunner", 2, "--runner=x " + IN_MEMORY) == [
        "--direct_running_mode=multi_processing", "--direct_num_workers=2", "--runner=x",
        IN_MEMORY, "--runner=DirectRunner"]
    assert _arguments("FlinkRunner", 64, "--flink_master='a b' --x") == [
        "--parallelism=64", "--flink_master=a b", "--x", "--runner=FlinkRunner"]
    assert _arguments("SparkRunner", None, "") == ["--runner=SparkRunner"]


@needs_beam
@pytest.mark.parametrize("text, sentence", [
    ("RuntimeError: Traceback ...\nerrors.UserError: a line 3: bad; mend it\n\nDuring ...\n"
     "errors.UserError: a line 3: bad; mend it [while running 'read']\n", "a line 3: bad; mend it"),
    ("UserError: a: bad [while running 'read/ParDo(ReadChunks)']", "a: bad"),
    ("OSError: [Errno 28] No space left on device [while running 'sort']",
     "writing: No space left on device"),
    ("x\nPermissionError: [Errno 13] Permission denied: '/a/b.txt' [while running 'read']\ny",
     "/a/b.txt: Permission denied"),
    ("ValueError: [Errno of nothing]", None),
])
def test_mistake_in_an_error_of_beam(text, sentence):
    from pretraining.beam_runs import find_mistake
    assert find_mistake(text) == sentence


def test_without_beam_one_sentence(tmp_path, sample_vocab, inputs, monkeypatch):
    monkeypatch.delitem(sys.modules, "pretraining.beam", raising=False)
    monkeypatch.delattr(pretraining, "beam", raising=False)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    sentence = refused(on_beam, tmp_path, sample_vocab, inputs, "out")
    assert sentence.startswith("error: --runner needs Apache Beam (")
    assert sentence.endswith("; pip install -r requirements-beam.txt, or leave --runner out")
    assert not (tmp_path / "out").exists()


# ---- what a cluster gets ----

@needs_beam
@pytest.mark.slow
def test_setup_file_packs_what_workers_import(tmp_path):
    here = os.path.join(ROOT, "scripts", "beam")
    before = os.listdir(here)
    subprocess.check_call(  # as Beam calls it
        [sys.executable, "setup.py", "sdist", "--dist-dir", str(tmp_path)], cwd=here,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert os.listdir(here) == before
    archive, = tmp_path.glob("*.tar.gz")
    with tarfile.open(str(archive)) as stream:
        stream.extractall(str(tmp_path / "unpacked"))
    directory, = (tmp_path / "unpacked").iterdir()
    names = {path.name for path in directory.iterdir()}
    assert {"setup.py", "requirements.txt", "pretraining", "util", "tokenization.py"} <= names
    subprocess.check_call([sys.executable, "setup.py", "--quiet", "build", "-b",
                           str(tmp_path / "built")], cwd=str(directory))
    built = str(tmp_path / "built" / "lib")
    code = "from pretraining import beam\nfrom util import platforms\nprint(beam.__file__)"
    path = subprocess.check_output([sys.executable, "-c", code], cwd=built)
    assert path.decode("utf-8").strip() == os.path.join(built, "pretraining", "beam.py")
