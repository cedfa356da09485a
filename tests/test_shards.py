"""Data that is made in pieces: what a run that was stopped left is used again, and only that.

A run is stopped in every way: killed at each step and at random times, by a dead worker, a full
disk, bad input. The same command then gives the bytes of a run that nothing has stopped.
"""

import fcntl
import gc
import gzip
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

from util import external_sort, sealed, sources, tfrecords, whole_files, work_directory
from util.errors import UserError

import pytest

from factories import NEWS, ROOT, contents, flags, make, news, refused, stopped
from pretraining import record_maker, shard_files, shards
from processes import alive, descendants, hear_interrupts, needs_proc, wait_until
from text import corpus, segmentation

# What most tests make: twelve documents in eight chunks, which become three shards.
DOCUMENTS, CHUNKS = 12, 8
TEXT = "\n\n".join(news().split("\n\n")[:DOCUMENTS]) + "\n"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(shards, "MIN_CHUNK", 256)


def outputs(directory, **changes):
    """Flags of three shards in directory/out."""
    return dict({"output_file": os.path.join(str(directory), "out", "t@3.tfrecord"),
                 "dupe_factor": 1}, **changes)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, sample_vocab):
    """The output of an uninterrupted run on TEXT."""
    directory = tmp_path_factory.mktemp("expected")
    return contents(make(directory, sample_vocab, TEXT, **outputs(directory)))


# Where every step or every block of a disk is tried.
FEW_DOCUMENTS, FEW_CHUNKS = 5, 4
FEW = "\n\n".join(TEXT.split("\n\n")[:FEW_DOCUMENTS]) + "\n"


@pytest.fixture(scope="module")
def expected_of_few(tmp_path_factory, sample_vocab):
    """The output of an uninterrupted run on FEW."""
    directory = tmp_path_factory.mktemp("expected")
    return contents(make(directory, sample_vocab, FEW, **outputs(directory)))


@pytest.fixture
def encoded(monkeypatch):
    """How many documents were made into records, and not reused as records: a list that grows."""
    original, documents = record_maker.RecordMaker.__call__, []

    def spied(self, document, statistics):
        documents.append(document)
        return original(self, document, statistics)

    monkeypatch.setattr(record_maker.RecordMaker, "__call__", spied)
    return documents


class Stop(Exception):
    """Stands for anything that ends a run."""


def make_partly(tmp_path, vocab, module, name, pieces):
    """Begins to make the data of TEXT; module.name makes so many pieces and then stops the run."""
    original, made = getattr(module, name), []

    def stopping(*arguments):
        if len(made) == pieces:
            raise Stop
        made.append(original(*arguments))
        return made[-1]

    setattr(module, name, stopping)
    try:
        with pytest.raises(Stop):
            make(tmp_path, vocab, TEXT, **outputs(tmp_path))
    finally:
        setattr(module, name, original)
    assert os.listdir(str(tmp_path / "out")) == [".t.tfrecord.work"]


RUNS, SHARDS = (external_sort, "write_run"), (tfrecords, "write")


# ---- parts ----

def test_order_keys_are_even():
    keys = [record_maker.order_key(seed, document, instance)
            for seed in range(3) for document in range(1000) for instance in range(3)]
    assert len(set(keys)) == 9000
    assert min(keys) >= 0 and max(keys) < 2 ** 64
    for share in (0.1, 0.5, 0.9):
        below = sum(key < share * 2 ** 64 for key in keys)
        assert abs(below - share * 9000) < 4 * (9000 * share * (1 - share)) ** 0.5


def test_order_key_never_changes():
    assert record_maker.order_key(12345, 7, 1) == 4503141663918634411


def test_work_directory_is_removed_or_kept(tmp_path, caplog):
    caplog.set_level("INFO", "albert")
    path = str(tmp_path / "deep" / ".a.work")
    with shards.work_directory(path):
        assert os.listdir(path) == ["lock"]
        whole_files.write_json(os.path.join(path, "chunk-1.json"), {})
    assert os.listdir(str(tmp_path / "deep")) == []
    with pytest.raises(Stop), shards.work_directory(path):
        raise Stop
    assert os.listdir(str(tmp_path / "deep")) == []  # nothing worth keeping
    assert not caplog.text
    with pytest.raises(Stop), shards.work_directory(path):
        whole_files.write_json(os.path.join(path, "chunk-1.json"), {})
        raise Stop
    assert sorted(os.listdir(path)) == ["chunk-1.json", "lock"]
    assert "what is done is kept in %s; the same command goes on from there" % path in caplog.text
    with shards.work_directory(path):
        assert sorted(os.listdir(path)) == ["chunk-1.json", "lock"]
    assert os.listdir(str(tmp_path / "deep")) == []


def test_error_of_the_body_is_not_taken_for_one_of_the_lock(tmp_path):
    for error in (FileNotFoundError(2, "gone", "in.txt"), BlockingIOError(11, "busy", "in.txt")):
        with pytest.raises(type(error), match="in.txt"), \
                shards.work_directory(str(tmp_path / "w")):
            raise error
    assert os.listdir(str(tmp_path)) == []


# ---- two commands for the same output ----

def test_second_command_is_refused(tmp_path, sample_vocab, monkeypatch):
    monkeypatch.setattr(work_directory, "LOCK_SECONDS", 0.2)
    segmentation.load("jieba")  # the dictionary takes as long as the waiting
    work = str(tmp_path / "out" / ".t.tfrecord.work")
    with shards.work_directory(work):
        inode = os.stat(os.path.join(work, "lock")).st_ino
        begin = time.time()
        assert stopped(tmp_path, sample_vocab, TEXT, **outputs(tmp_path)) == (
            "error: %s: another process is making the same output; wait for it, or name another "
            "--output_file" % work)
        assert 0.2 <= time.time() - begin < 2
        # It has taken nothing from the first one, which had not made anything yet.
        assert os.listdir(work) == ["lock"]
        assert os.stat(os.path.join(work, "lock")).st_ino == inode
    make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))


def test_output_of_another_name_is_not_waited_for(tmp_path, sample_vocab, monkeypatch):
    monkeypatch.setattr(work_directory, "LOCK_SECONDS", 0)
    with shards.work_directory(str(tmp_path / "out" / ".t.tfrecord.work")):
        make(tmp_path, sample_vocab, TEXT,
             **outputs(tmp_path, output_file=tmp_path / "out" / "u@3"))
    assert len(contents(tmp_path / "out")) == 4


def test_second_command_waits_a_moment(tmp_path, sample_vocab, expected):
    """As long as the workers of a killed run may take to end."""
    work = str(tmp_path / "out" / ".t.tfrecord.work")
    begun, seconds = threading.Event(), []

    def hold():
        with shards.work_directory(work):
            begun.set()
            time.sleep(0.4)

    first = threading.Thread(target=hold)
    first.start()
    begun.wait()
    begin = time.time()
    out = make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))
    seconds.append(time.time() - begin)
    first.join()
    assert seconds[0] > 0.3
    assert contents(out) == expected


def test_lock_that_was_removed_is_none(tmp_path, monkeypatch):
    """The first command ends between the second one's opening of the file and its locking."""
    path, original = str(tmp_path / "w"), fcntl.flock

    def late(stream, operation):
        monkeypatch.setattr(fcntl, "flock", original)
        os.remove(stream.name)
        return original(stream, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with shards.work_directory(path):
        assert fcntl.flock is original
        assert os.listdir(path) == ["lock"]
        monkeypatch.setattr(work_directory, "LOCK_SECONDS", 0)
        with pytest.raises(UserError, match="another process"), \
                shards.work_directory(path):
            pass


@pytest.mark.parametrize("moment", ["remove", "rmdir"])
def test_second_command_begins_while_the_first_one_cleans_up(tmp_path, monkeypatch, moment):
    path, original = str(tmp_path / "w"), getattr(os, moment)
    others = []

    def meanwhile(argument):
        monkeypatch.setattr(os, moment, original)
        stream = open(os.path.join(path, "lock"), "a")  # noqa: SIM115 - the other opens it now
        others.append(stream)
        return original(argument)

    with shards.work_directory(path):
        monkeypatch.setattr(os, moment, meanwhile)
    assert others
    with shards.work_directory(path):
        assert os.listdir(path) == ["lock"]
        monkeypatch.setattr(work_directory, "LOCK_SECONDS", 0)
        with pytest.raises(UserError, match="another process"), \
                shards.work_directory(path):
            pass
    others[0].close()
    assert os.listdir(str(tmp_path)) == []


# ---- what is used again, and what is not ----

def test_chunks_that_are_made_are_used_again(tmp_path, sample_vocab, encoded, expected):
    make_partly(tmp_path, sample_vocab, *RUNS, pieces=4)
    begun = len(encoded)
    assert 4 <= begun < DOCUMENTS
    names = os.listdir(str(tmp_path / "out" / ".t.tfrecord.work"))
    assert len([name for name in names if name.startswith("chunk-")]) == 4
    del encoded[:]
    out = make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))
    assert 0 < len(encoded) < DOCUMENTS
    assert contents(out) == expected
    del encoded[:]
    make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))
    assert len(encoded) == DOCUMENTS  # there is nothing left of a run that is complete


def test_many_runs_of_a_chunk_are_used_together(tmp_path, sample_vocab, monkeypatch, encoded,
                                                expected):
    """A chunk is there when its last run is."""
    monkeypatch.setattr(shards, "RUN_BYTES", 2000)
    make_partly(tmp_path, sample_vocab, *RUNS, pieces=9)
    names = os.listdir(str(tmp_path / "out" / ".t.tfrecord.work"))
    runs = {name for name in names if re.match("run-[0-9a-f]+-[0-9]+$", name)}
    assert len(runs) == 9
    named = set()
    for name in names:
        if name.startswith("chunk-"):
            content = sealed.read(str(tmp_path / "out" / ".t.tfrecord.work" / name))
            named |= set(json.loads(content.decode("utf-8"))["runs"])
    assert named < runs
    del encoded[:]
    assert contents(make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))) == expected
    assert 0 < len(encoded) < DOCUMENTS


OTHER = [
    {"random_seed": 1}, {"ngram": 1}, {"dupe_factor": 2}, {"max_seq_length": 24},
    {"masked_lm_prob": 0.2}, {"do_whole_word_mask": False}, {"non_chinese": True},
    {"do_lower_case": False}, {"brightmart_labels": True}, {"store_word_starts": True},
    {"short_seq_prob": 0.9}, {"max_predictions_per_seq": 3}, {"split_sentences": True},
    {"vocab": None}, {"output_file": "t@2.tfrecord"}, {"text": TEXT.replace("长江", "河江")},
    {"text": "\n\n".join(reversed(TEXT.split("\n\n")))},
    {"text": "新的一篇。\n在前面。\n\n" + TEXT},
]


@pytest.mark.parametrize("changes", OTHER)
@pytest.mark.parametrize("stop", [RUNS + (5,), SHARDS + (2,)])
def test_nothing_of_another_command_is_used(tmp_path, sample_vocab, changes, stop):
    """The same output of other text, flags or vocabulary: as if nothing had been made before."""
    changes = dict(changes)
    text, vocab = changes.pop("text", TEXT), sample_vocab
    if "output_file" in changes:
        changes["output_file"] = tmp_path / "out" / changes["output_file"]
    if "vocab" in changes:  # the same tokens with other ids
        vocab = changes.pop("vocab") or str(tmp_path / "vocab.txt")
        with open(sample_vocab, encoding="utf-8") as stream:
            tokens = stream.read().split()
        (tmp_path / "vocab.txt").write_text(
            "\n".join(tokens[:5] + tokens[:4:-1]), encoding="utf-8")
    make_partly(tmp_path, sample_vocab, *stop)
    mixed = contents(make(tmp_path, vocab, text, **outputs(tmp_path, **changes)))
    shutil.rmtree(str(tmp_path / "out"))
    fresh = contents(make(tmp_path, vocab, text, **outputs(tmp_path, **changes)))
    assert mixed == fresh


def test_nothing_of_other_code_is_used(tmp_path, sample_vocab, monkeypatch, encoded):
    make_partly(tmp_path, sample_vocab, *RUNS, pieces=5)
    monkeypatch.setattr(sources, "code_version", lambda *paths: "changed")
    del encoded[:]
    make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))
    assert len(encoded) == DOCUMENTS


def test_code_that_decides_the_bytes_is_watched():
    """Every module of the project that runs between the text and a run."""
    watched = {"pretraining/instances.py", "pretraining/masking.py", "pretraining/record_maker.py",
               "pretraining/report.py", "pretraining/shards.py", "text/corpus.py",
               "text/decoding.py", "text/segmentation.py", "text/sentences.py", "tokenization.py",
               "util/external_sort.py", "util/files.py", "util/text_lines.py", "util/tfrecords.py",
               "util/whole_files.py"}
    assert watched <= set(sources.closure("pretraining/shards.py"))
    assert watched <= set(sources.closure("create_pretraining_data.py"))


def test_mended_line_costs_its_chunk_only(tmp_path, sample_vocab, encoded, expected):
    """A bad line near the end of hours of work."""
    bad = TEXT.encode("utf-8")
    index = bad.rindex("。".encode("utf-8"))
    bad = bad[:index] + b"\xff" + bad[index + 1:]
    assert "in.txt line" in stopped(tmp_path, sample_vocab, bad, **outputs(tmp_path))
    assert contents(tmp_path / "out") == {}
    made = len(encoded)
    assert 0 < made < DOCUMENTS
    assert contents(make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))) == expected
    assert len(encoded) == DOCUMENTS  # both times together


@pytest.mark.parametrize("pieces", ["run-*[0-9]", "run-*.npy", "chunk-*", "shard-*"])
@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:len(content) // 2], lambda content: content[:-1],
    lambda content: b"\0" * len(content)])
def test_damaged_pieces_are_made_anew(tmp_path, sample_vocab, encoded, caplog, expected, pieces,
                                      damage):
    """As a power failure leaves them: their names are there, and not all of their content."""
    caplog.set_level("INFO", "albert")
    make_partly(tmp_path, sample_vocab, *SHARDS, pieces=2)
    paths = sorted((tmp_path / "out" / ".t.tfrecord.work").glob(pieces))
    assert len(paths) == (2 if pieces == "shard-*" else CHUNKS)
    paths[-1].write_bytes(damage(paths[-1].read_bytes()))
    del encoded[:]
    assert contents(make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))) == expected
    if pieces == "shard-*":
        assert not encoded
    else:
        assert 0 < len(encoded) < DOCUMENTS / 2  # those of one chunk
        assert "is damaged, as after a power failure: it is made anew" in caplog.text


def test_run_that_is_cut_while_it_is_read(tmp_path, sample_vocab, monkeypatch):
    original = shards.write_shards

    def cut(directory, runs, *arguments):
        with open(os.path.join(directory, runs[3]), "r+b") as stream:
            stream.truncate(9)
        return original(directory, runs, *arguments)

    monkeypatch.setattr(shards, "write_shards", cut)
    sentence = stopped(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))
    assert "has become shorter than it was; give the same command again" in sentence
    assert contents(tmp_path / "out") == {}


def test_too_few_instances_keep_nothing(tmp_path, sample_vocab):
    assert "instances for 900 output files" in refused(
        tmp_path, sample_vocab, TEXT, output_file=tmp_path / "t@900")


# ---- killed ----

def killed_at(step, run):
    """Does `run` in a fork that is killed before its step-th rename or removal of a file.

    Returns False if it ended before.
    """
    pid = os.fork()
    if not pid:
        try:
            steps = itertools.count(1)

            def dying(original):
                def call(*arguments, **options):
                    if next(steps) == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return original(*arguments, **options)
                return call

            for name in ("replace", "remove", "rmdir"):
                setattr(os, name, dying(getattr(os, name)))
            run()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.slow
def test_killed_at_every_step(tmp_path, sample_vocab, encoded, expected_of_few):
    """Before each of the renames that make a piece complete, and while the rest is removed."""
    counts = []
    for step in itertools.count(1):
        directory = tmp_path / str(step)
        directory.mkdir()
        arguments = directory, sample_vocab, FEW
        if not killed_at(step, lambda arguments=arguments: make(
                *arguments, **outputs(arguments[0]))):
            break
        written = contents(directory / "out")
        complete = {name: written.get(name) for name in expected_of_few}
        assert all(content in (None, expected_of_few[name]) for name, content in complete.items())
        del encoded[:]
        assert contents(make(*arguments, **outputs(directory))) == expected_of_few
        counts.append(len(encoded))
        shutil.rmtree(str(directory))
    # The name is tried, with a directory; three files a chunk, three shards, seven names to publish
    # them; then all but the shards is removed, the lock and the directory.
    chunks = 2 + 3 * FEW_CHUNKS
    last = chunks + 3 + 7
    assert len(counts) == last + 3 * FEW_CHUNKS + 2
    assert counts[0] == FEW_DOCUMENTS
    assert counts[:last] == sorted(counts[:last], reverse=True)  # the later, the less again
    assert set(counts[chunks:last]) == {0}


@pytest.mark.parametrize("step", range(1, 8))
def test_killed_while_names_are_given(tmp_path, sample_vocab, monkeypatch, expected, step):
    """Old output stands there; every file is the old or the new one at any time."""
    old = contents(make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path, random_seed=1)))
    assert set(old) == set(expected) and old != expected
    publish = shard_files.publish

    def dying(*arguments):
        return publish(*arguments) if os.getpid() == parent else killing(*arguments)

    def killing(*arguments):
        steps, replace = itertools.count(1), os.replace
        os.replace = lambda *paths: (os.kill(os.getpid(), signal.SIGKILL)
                                     if next(steps) == step else replace(*paths))
        publish(*arguments)

    parent = os.getpid()
    monkeypatch.setattr(shard_files, "publish", dying)
    assert killed_at(None, lambda: make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path)))
    for name, content in contents(tmp_path / "out").items():
        assert name.endswith(".tmp") or content in (old[name], expected[name])
    assert contents(make(tmp_path, sample_vocab, TEXT, **outputs(tmp_path))) == expected


# ---- the real command, killed ----

class Real:
    """The command as a user gives it, with two workers and 24 shards."""

    def __init__(self, directory, vocab):
        # The sample five times, in other orders: some 19,000 records in 13 chunks.
        documents = [document.split("\n") for document in news().strip().split("\n\n")]
        rng = random.Random(0)
        text = []
        for _ in range(5):
            rng.shuffle(documents)
            text += ["\n".join(rng.sample(document, len(document))) for document in documents]
        self.out = directory / "out"
        values = flags(directory, vocab, "\n\n".join(text), num_workers=2, dupe_factor=6,
                       output_file=self.out / "t@24.tfrecord", do_whole_word_mask=False,
                       max_seq_length=64, max_predictions_per_seq=10)
        self.work = self.out / ".t.tfrecord.work"
        self._command = [sys.executable, "create_pretraining_data.py"]
        self._command += ["--%s=%s" % item for item in values.items()]

    def start(self):
        return subprocess.Popen(
            self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=hear_interrupts)

    def reaches(self, process, condition):
        """Waits until `condition()` is true; False if the process ended before."""
        wait_until(lambda: condition() or process.poll() is not None)
        return process.poll() is None

    def finish(self):
        """Runs it to its end; returns the output."""
        process = self.start()
        output = process.communicate()[0].decode("utf-8")
        assert process.returncode == 0, output
        written = contents(self.out)
        assert len(written) == 25 and os.listdir(str(self.out)).count(self.work.name) == 0
        return written

    def kill(self, process):
        """Kills the process alone; its workers end by themselves."""
        workers = descendants(process.pid)
        process.kill()
        process.wait()
        process.stdout.close()
        wait_until(lambda: not any(map(alive, workers)))
        return workers

    def pieces(self, prefix):
        """{name: (inode, time of the last change)} of complete pieces of unfinished work."""
        names = os.listdir(str(self.work)) if self.work.exists() else []
        complete = {}
        for name in names:
            if name.startswith(prefix):
                status = os.stat(str(self.work / name))
                complete[name] = status.st_ino, status.st_mtime_ns
        return complete

    def complete_runs(self):
        """The runs of complete chunks, as `pieces`."""
        chunks = self.pieces("chunk-")
        return {name: piece for name, piece in self.pieces("run-").items()
                if "chunk-%s.json" % name.split("-")[1] in chunks}


@pytest.fixture(scope="module")
def real_once(tmp_path_factory, sample_vocab):
    run = Real(tmp_path_factory.mktemp("real"), sample_vocab)
    begin = time.time()
    uninterrupted = run.finish()
    return run, uninterrupted, time.time() - begin


@pytest.fixture
def real(real_once):
    """(the command, its output without any kill, the seconds it takes); nothing is made yet."""
    shutil.rmtree(str(real_once[0].out), ignore_errors=True)
    return real_once


@needs_proc
@pytest.mark.slow
def test_killed_at_random_times(real):
    """Two kills and an end: one while runs are made, one of the command that goes on.

    Twice, and more often on a machine so busy that nothing was complete in time.
    """
    run, uninterrupted, seconds = real
    rng = random.Random(20)
    reused = 0
    for attempt in range(20):
        process = run.start()
        assert run.reaches(process, run.complete_runs)
        time.sleep(rng.uniform(0.0, 0.2) * seconds)
        run.kill(process)
        before = run.complete_runs()
        process = run.start()
        time.sleep(rng.uniform(0.05, 0.4) * seconds)  # to begin takes a third
        run.kill(process)
        for name, content in contents(run.out).items():  # what has its name is complete
            assert name.endswith(".tmp") or content == uninterrupted[name]
        after = run.complete_runs()
        if after:
            assert {name: after[name] for name in before} == before
            reused += len(before)
        assert run.finish() == uninterrupted
        shutil.rmtree(str(run.out))
        if attempt and reused:
            break
    assert reused > 0


@needs_proc
@pytest.mark.slow
def test_killed_while_shards_are_written(real):
    """And once more: the runs are still the same ones, and so are the shards."""
    run, uninterrupted, _ = real

    def killed(min_shards):
        process = run.start()
        run.reaches(process, lambda: len(run.pieces("shard-")) > min_shards)
        run.kill(process)
        return run.complete_runs(), run.pieces("shard-")

    for _ in range(20):  # until it is seen in time, on a busy machine
        runs, shards = killed(3)
        runs_again, shards_again = killed(len(shards))
        if 3 < len(shards) < len(shards_again) and contents(run.out) == {}:
            break
        shutil.rmtree(str(run.out))
    assert len(runs) > 10
    assert runs_again == runs
    assert {name: shards_again[name] for name in shards} == shards
    assert run.finish() == uninterrupted
    inodes = {os.stat(str(run.out / name)).st_ino for name in uninterrupted}
    assert {inode for inode, _ in shards_again.values()} <= inodes  # moved, not written again


def with_some_chunks(run, what):
    """Does `what(process)` to the command while it makes chunks -> (status, what it printed)."""
    for _ in range(20):
        process = run.start()
        if run.reaches(process, lambda: len(run.pieces("chunk-")) > 2):
            what(process)
        output = process.communicate()[0].decode("utf-8")
        if process.returncode:
            return process.returncode, output
        shutil.rmtree(str(run.out))  # it was done before
    raise AssertionError("it was done before, every time")


@needs_proc
@pytest.mark.parametrize("what, sentence", [
    (lambda process: os.kill(descendants(process.pid)[0], signal.SIGKILL),
     "error: a worker process died, most often killed for lack of memory; what is done is kept: "
     "start again, with fewer --num_workers if memory is short"),
    # As a terminal does, which sends it to the whole group.
    (lambda process: os.killpg(process.pid, signal.SIGINT),
     "interrupted; the same command resumes from the last complete checkpoint or file"),
])
@pytest.mark.slow
def test_dead_worker_and_ctrl_c_are_one_sentence(real, what, sentence):
    run, uninterrupted, _ = real
    status, output = with_some_chunks(run, what)
    assert status == 1
    assert output.strip().split("\n")[-1] == sentence
    assert "Traceback" not in output
    assert contents(run.out) == {}
    assert run.complete_runs()
    assert run.finish() == uninterrupted


# ---- input and disks that fail ----

def test_input_that_vanishes(tmp_path, sample_vocab, monkeypatch, expected):
    """A second file that is there when the command begins, and not when its turn comes."""
    first, second = TEXT[:TEXT.index("\n\n", 2000) + 2], TEXT[TEXT.index("\n\n", 2000) + 2:]
    (tmp_path / "1.txt").write_text(first, encoding="utf-8")
    (tmp_path / "2.txt").write_text(second, encoding="utf-8")
    original = corpus.read_documents

    def vanishing(*arguments):
        for number, document in enumerate(original(*arguments)):
            if number == 2:
                (tmp_path / "2.txt").unlink()
            yield document

    monkeypatch.setattr(corpus, "read_documents", vanishing)
    changes = outputs(tmp_path, input_file=tmp_path / "?.txt")
    assert stopped(tmp_path, sample_vocab, **changes) == (
        "error: %s: No such file or directory" % (tmp_path / "2.txt"))
    assert contents(tmp_path / "out") == {}
    monkeypatch.setattr(corpus, "read_documents", original)
    (tmp_path / "2.txt").write_text(second, encoding="utf-8")
    assert contents(make(tmp_path, sample_vocab, **changes)) == expected


@needs_proc
def test_input_that_cannot_be_read(tmp_path, sample_vocab):
    """As on a broken disk: the first byte of this file is an input/output error."""
    (tmp_path / "1.txt").write_text(TEXT, encoding="utf-8")
    sentence = stopped(tmp_path, sample_vocab,
                       **outputs(tmp_path, input_file="/proc/self/mem,%s/1.txt" % tmp_path))
    assert sentence == "error: /proc/self/mem: Input/output error"
    if os.geteuid():
        (tmp_path / "1.txt").chmod(0)
        sentence = stopped(tmp_path, sample_vocab,
                           **outputs(tmp_path, input_file=tmp_path / "1.txt"))
        assert sentence == "error: %s/1.txt: Permission denied" % tmp_path
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"nothing"])
def test_damaged_archive(tmp_path, sample_vocab, damage):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(damage(gzip.compress(TEXT.encode("utf-8"))))
    sentence = stopped(tmp_path, sample_vocab, **outputs(tmp_path, input_file=path))
    assert sentence.startswith("error: %s: damaged or truncated (" % path)
    assert contents(tmp_path / "out") == {}


def limit_files():
    """What a full disk is to a process: writing beyond 100 KB of a file fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.slow
def test_file_too_large_is_one_sentence(tmp_path, run_command, sample_vocab, num_workers):
    values = flags(tmp_path, sample_vocab, input_file=NEWS, num_workers=num_workers)
    status, output = run_command("create_pretraining_data.py", popen={"preexec_fn": limit_files},
                                 **values)
    assert status == 1
    assert output.strip().split("\n")[-1].startswith("error: %s" % (tmp_path / "out"))
    assert output.strip().endswith("File too large")
    assert "Traceback" not in output
    assert contents(tmp_path / "out") == {}
    status, output = run_command("create_pretraining_data.py", **values)  # there is room again
    assert status == 0
    assert contents(tmp_path / "out") == contents(
        make(tmp_path, sample_vocab, input_file=NEWS))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, where this user may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("mount -t tmpfs is not permitted here")
    gc.freeze()  # what there is by now, graphs above all, would make each gc.collect() take seconds
    yield path
    gc.collect()  # of errors, whose frames hold maps of the files
    gc.unfreeze()
    subprocess.check_call(["umount", str(path)])


def fill(disk, blocks):
    """Leaves so many blocks free, for good: what errors of before still hold open is let go now."""
    gc.collect()
    other = disk / "other"
    if other.exists():
        other.unlink()
    status = os.statvfs(str(disk))
    other.write_bytes(b"\0" * (status.f_bfree - blocks) * status.f_bsize)


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.slow
def test_disk_that_is_full_at_any_moment(tmp_path, sample_vocab, small_disk, expected_of_few,
                                         num_workers):
    """With every number of free blocks up to what is enough; then with space again."""
    changes = outputs(small_disk, num_workers=num_workers)
    failed = ""
    for blocks in itertools.count(0, 1 if num_workers == 1 else 7):
        fill(small_disk, blocks)
        status = os.statvfs(str(small_disk))
        assert status.f_bfree == blocks
        try:
            make(tmp_path, sample_vocab, FEW, **changes)
            break
        except OSError as error:
            assert error.filename.startswith(str(small_disk))
            failed += error.filename
            sentence = stopped(tmp_path, sample_vocab, FEW, **changes)  # as full as before
            assert sentence.endswith("No space left on device")
        assert contents(small_disk / "out") == {}
        (small_disk / "other").unlink()
        make(tmp_path, sample_vocab, FEW, **changes)
        assert contents(small_disk / "out") == expected_of_few
        shutil.rmtree(str(small_disk / "out"))
    assert contents(small_disk / "out") == expected_of_few
    for name in ("run-", ".npy", "chunk-", "shard-", "t.tfrecord.json"):
        assert num_workers == 2 or name in failed


def test_disk_that_is_full_in_the_midst(tmp_path, sample_vocab, small_disk):
    """Of text and not of small pieces; the unfinished work stays, and no part of the set."""
    fill(small_disk, 64)
    changes = outputs(small_disk)
    sentence = stopped(tmp_path, sample_vocab, news(), **changes)
    assert sentence.startswith("error: %s" % small_disk)
    assert sentence.endswith("No space left on device")
    assert os.listdir(str(small_disk / "out")) == [".t.tfrecord.work"]


def test_work_and_output_on_two_disks(tmp_path, sample_vocab, small_disk, expected):
    """Of which that of the output is full: the shards are moved to it last."""
    changes = outputs(small_disk, work_dir=tmp_path / "work")
    for blocks in (0, 1, 4, 6):
        fill(small_disk, blocks)
        sentence = stopped(tmp_path, sample_vocab, TEXT, **changes)
        assert sentence.startswith("error: %s" % small_disk)
        assert sentence.endswith("No space left on device")
        assert not (small_disk / "out").exists() or contents(small_disk / "out") == {}
    (small_disk / "other").unlink()
    make(tmp_path, sample_vocab, TEXT, **changes)
    assert contents(small_disk / "out") == expected
    assert os.listdir(str(tmp_path / "work")) == []


# ---- memory ----

PEAK = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(status)
"""


def peak(arguments):
    """The most memory in MB that a process of the command takes.

    A small process starts it and is asked: the tests' own memory counts for a moment in what they
    start themselves.
    """
    done = subprocess.run([sys.executable, "-c", PEAK, sys.executable, "create_pretraining_data.py"]
                          + ["--%s=%s" % item for item in arguments.items()], cwd=ROOT,
                          stdout=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0
    return int(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_a_line(tmp_path, sample_vocab):
    """One document of one line of 16 MB, and the same text with its line breaks."""
    changes = {"do_whole_word_mask": False, "max_seq_length": 512, "num_workers": 2,
               "split_sentences": True, "dupe_factor": 1}
    text = news() * (1 + 16000000 // len(news().encode("utf-8")))
    small = peak(flags(tmp_path, sample_vocab, text, **changes))
    large = peak(flags(tmp_path, sample_vocab, text.replace("\n", ""), **changes))
    assert os.path.getsize(str(tmp_path / "in.txt")) > 15000000
    assert large < 300
    assert large - small < 30
