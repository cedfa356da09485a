"""util/spark.py and the drivers over it, on a real cluster: the bytes of the local drivers.

Whatever a job meets: a worker, an executor, the driver killed, a full disk, a file that vanishes,
Ctrl-C. Most tests share one cluster and one job on it; a job takes ten seconds to start.
"""

import contextlib
import gzip
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading

from util import files, portions, sealed, text_lines, tfrecords, whole_files
from util.errors import UserError

import pytest

import pretraining
import tiny
import tokenization
from factories import ROOT, contents, flags, make, news, stopped
from pretraining import shards
from processes import command, hear_interrupts, wait_until
from serving import batch, onnx_file, package
from spark_cluster import CONF, ONE_EXECUTOR, Cluster, executors, needs_spark
from test_conversion import random_weights

# The sample's text twice: several pieces of each step.
TEXT = (news().strip() + "\n\n") * 2
CHUNK = batch.CHUNK


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(str(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def model(tmp_path_factory, sample_vocab):
    """An export of a classification with random weights and the sample's vocabulary: its path."""
    pytest.importorskip("onnxruntime")
    directory = tmp_path_factory.mktemp("model")
    tokenizer = tokenization.load_tokenizer(shutil.copy(sample_vocab, str(directory / "vocab.txt")))
    found = package.Package(
        "classification", None, ["no", "yes"], 48, tokenizer, None, random_weights(
            3, "classification", 2, vocab_size=tokenizer.vocab_size, max_position_embeddings=48),
        "fingerprint", "tsv")
    package.save(found, str(directory))
    onnx_file.write(found, str(directory))
    return str(directory)


@pytest.fixture(scope="module")
def session(cluster, model, object_store):
    """A session on the cluster, open for all tests; its workers know the object store, and have
    the vocabulary and the model.
    """
    from util import spark
    conf = dict(CONF, **{"spark.executorEnv." + name: value
                         for name, value in object_store.items()})
    with spark.session("tests", ["pretraining/spark.py", "serving/spark.py"], cluster.address,
                       ["%s=%s" % item for item in conf.items()], [
                           os.path.join(model, name) for name in (
                               "vocab.txt", package.FILE, package.ONNX)]) as session:
        yield session


@pytest.fixture
def on_spark(session, monkeypatch):
    """Makes the command use the open session, and small pieces; returns flags."""
    from util import spark

    from pretraining import spark as driver
    monkeypatch.setattr(spark, "session", lambda *_: contextlib.nullcontext(session))
    monkeypatch.setattr(shards, "MIN_CHUNK", 1 << 14)
    monkeypatch.setattr(portions, "PORTION_BYTES", 1 << 16)
    monkeypatch.setattr(driver, "BUCKET_BYTES", 1 << 19)
    return {"runner": "spark", "num_workers": None}


def outputs(directory, **changes):
    """Flags of three shards and a report in a directory."""
    return dict({"output_file": os.path.join(str(directory), "t@3.tfrecord"),
                 "report": os.path.join(str(directory), "report.json"), "max_seq_length": 64},
                **changes)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, sample_vocab):
    """What the local driver makes of TEXT."""
    directory = tmp_path_factory.mktemp("expected")
    make(directory, sample_vocab, TEXT, **outputs(directory / "local"))
    return contents(directory / "local")


def cluster_flags(cluster):
    """Command line of a job of its own on the cluster, with one executor."""
    return ["--spark_master=" + cluster.address] + [
        "--spark_conf=%s=%s" % item for item in dict(CONF, **ONE_EXECUTOR).items()]


def work_directory(directory):
    """That of unfinished work for an output, or None."""
    names = os.listdir(str(directory)) if os.path.isdir(str(directory)) else []
    return next((os.path.join(str(directory), name) for name in names if name.endswith(".work")),
                None)


def pieces(directory, prefix):
    """The names of the complete pieces of unfinished work."""
    work = work_directory(directory)
    return [name for name in os.listdir(work) if name.startswith(prefix)] if work else []


def write_inputs(tmp_path):
    """TEXT in a large file, a compressed one and ten small ones; returns a glob."""
    documents = [document + "\n\n" for document in TEXT[:-2].split("\n\n")]
    sizes = [200, 90] + [5] * 9
    for number, size in enumerate(sizes + [len(documents)]):
        content = "".join(documents[:size]).encode("utf-8")
        documents = documents[size:]
        if number == 1:
            (tmp_path / "in_1.txt.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / ("in_%d.txt" % number)).write_bytes(content)
    return tmp_path / "in_*"


# ---- the same records ----

@pytest.mark.slow
@needs_spark
def test_bytes_counts_and_report_of_the_local_driver(tmp_path, sample_vocab, on_spark, expected):
    changes = dict(on_spark, input_file=write_inputs(tmp_path))
    make(tmp_path, sample_vocab, **outputs(tmp_path / "spark", **changes))
    assert contents(tmp_path / "spark") == expected
    assert sorted(os.listdir(str(tmp_path / "spark"))) == sorted(expected)  # no unfinished work


@pytest.mark.slow
@needs_spark
def test_workers_have_the_code_from_the_job_and_no_tensorflow(session):
    def modules(_):
        import sys

        import pretraining.spark
        yield pretraining.spark.__file__, "tensorflow" in sys.modules

    (path, loaded), = set(session.run(session.spread(range(4)).flatMap(modules), "modules"))
    assert os.path.join("albert.zip", "pretraining") in path
    assert not loaded


@pytest.mark.slow
@needs_spark
def test_object_store(tmp_path, sample_vocab, on_spark, expected):
    whole_files.write_lines("s3a://bucket/in.txt", [TEXT[:-1]])
    make(tmp_path, sample_vocab, **outputs("s3a://bucket/out", **dict(
        on_spark, input_file="s3a://bucket/in.txt")))
    for name, content in expected.items():
        with files.open_file("s3a://bucket/out/" + name, "rb") as stream:
            assert stream.read() == content
    assert len(files.expand("s3a://bucket/out/*")) == len(expected)


# ---- buckets and shards ----

@needs_spark
@pytest.mark.parametrize("num_shards", [1, 2, 5, 7])
def test_shards_of_buckets(tmp_path, num_shards):
    """They are those of all records in order, n * shard // num_shards records before each."""
    from pretraining import spark as driver
    records = [b"%d" % number for number in range(7)]
    paths = [str(tmp_path / name) for name in "abcd"]
    for path, part in zip(paths, (records[:3], [], records[3:4], records[4:])):
        tfrecords.write(path, part)
    spans = list(driver.cut(list(zip(paths, (3, 0, 1, 3))), num_shards))
    for shard, of_shard in enumerate(spans):
        path = str(tmp_path / "shard")
        driver.write_shard((path + str(shard), of_shard))
        tfrecords.write(path, records[7 * shard // num_shards:7 * (shard + 1) // num_shards])
        assert files.size(path) == files.size(path + str(shard))
        with open(path, "rb") as one, open(path + str(shard), "rb") as other:
            assert one.read() == other.read()


# ---- kills ----

@pytest.mark.slow
@needs_spark
def test_executor_and_worker_are_killed(tmp_path, sample_vocab, cluster, on_spark, expected):
    """While records are made, and when some are sorted, whose shuffled parts are lost."""
    out, killed = tmp_path / "out", []

    def kill():
        wait_until(lambda: pieces(out, "chunk-"))
        killed.extend(executors(cluster.workers[0].pid))
        os.kill(killed[0], signal.SIGKILL)
        wait_until(lambda: pieces(out, "bucket-"))
        killed.extend(executors(cluster.workers[1].pid))
        os.kill(cluster.workers[1].pid, signal.SIGKILL)
        os.kill(killed[1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        make(tmp_path, sample_vocab, TEXT, **outputs(out, **on_spark))
    finally:
        killer.join()
        cluster.workers[1] = cluster.start_worker(1)
    assert len(killed) == 2
    assert contents(out) == expected


@pytest.mark.slow
@needs_spark
def test_driver_is_interrupted_killed_and_goes_on(tmp_path, sample_vocab, cluster, expected):
    """It ends under spark-submit, with a Python for the workers that is sent along.

    The JVM of a driver ends with it, and so do its executors on the cluster.
    """
    out, log = tmp_path / "out", str(tmp_path / "log")
    values = flags(tmp_path, sample_vocab, TEXT, **outputs(
        out, runner="spark", num_workers=None, dupe_factor=4, report=None))
    others = running(cluster)
    arguments = ["create_pretraining_data.py"] + ["--%s=%s" % item for item in values.items()]

    def start(*command):
        with open(log, "wb") as stream:
            return subprocess.Popen(list(command), cwd=ROOT, stdout=stream, stderr=stream,
                                    preexec_fn=hear_interrupts)

    for end, piece in ((signal.SIGINT, "chunk-"), (signal.SIGKILL, "bucket-")):
        driver = start(sys.executable, *(arguments + cluster_flags(cluster)))
        wait_until(lambda: driver.poll() is not None or pieces(out, piece))  # noqa: B023
        driver.send_signal(end)
        driver.wait()
        wait_until(lambda: running(cluster) == others)
        assert os.listdir(str(out)) == [os.path.basename(work_directory(out))]
        if end == signal.SIGINT:
            assert driver.returncode == 1
            with open(log) as stream:
                said = stream.read()
            assert said.strip().split("\n")[-1].startswith("interrupted; the same command resumes ")
            assert "Traceback" not in said and "\tat org" not in said
    # A piece that says more than it has: its number in the end tells that it was not made again.
    piece = os.path.join(work_directory(out), min(pieces(out, "chunk-")))
    made = json.loads(sealed.read(piece).decode("utf-8"))
    made["statistics"]["counts"]["documents"] += 1000
    sealed.write(piece, [json.dumps(made).encode("utf-8")])
    archive, marker = packed_python(tmp_path)
    conf = dict(CONF, **ONE_EXECUTOR, **{"spark.pyspark.python": "./environment/bin/python",
                         "spark.pyspark.driver.python": sys.executable})
    submit = [os.path.join(os.path.dirname(importlib.util.find_spec("pyspark").origin), "bin",
                           "spark-submit"), "--master", cluster.address, "--archives",
              archive + "#environment"]
    driver = start(*(submit + [word for item in conf.items() for word in ("--conf", "%s=%s" % item)]
                     + arguments))
    assert driver.wait() == 0, open(log).read()  # noqa: SIM115
    assert os.path.exists(marker)
    make(tmp_path, sample_vocab, TEXT, **outputs(
        tmp_path / "local", dupe_factor=4, report=None))
    ours, theirs = contents(out), contents(tmp_path / "local")
    texts = [json.loads(of.pop("t.tfrecord.json").decode("utf-8")) for of in (ours, theirs)]
    assert ours == theirs
    assert texts[0]["counts"].pop("documents") == texts[1]["counts"].pop("documents") + 1000
    assert texts[0] == texts[1]


def running(cluster):
    """The executors on the cluster."""
    return {pid for worker in cluster.workers for pid in executors(worker.pid)}


def packed_python(tmp_path):
    """An archive with bin/python, which has no TensorFlow and leaves a mark -> (archive, mark)."""
    marker, package = tmp_path / "marker", tmp_path / "pack" / "site" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('there is no TensorFlow here')")
    python = tmp_path / "pack" / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\ntouch %s\nPYTHONPATH="$(dirname "$0")/../site:$PYTHONPATH" '
                      'exec %s "$@"\n' % (marker, sys.executable))
    python.chmod(0o755)
    archive = str(tmp_path / "environment.tar.gz")
    with tarfile.open(archive, "w:gz") as stream:
        stream.add(str(tmp_path / "pack"), ".")
    return archive, str(marker)


# ---- mistakes ----

@pytest.mark.slow
@needs_spark
def test_bad_line_of_a_part_has_its_number_in_the_file(tmp_path, sample_vocab, on_spark):
    text = TEXT.encode("utf-8")
    before = text.index(b"\n\n", len(text) * 2 // 3) + 2
    bad = text[:before] + b"\xb5\xe7\n" + text[before:]
    number = bad[:before].count(b"\n") + 1
    sentence = stopped(tmp_path, sample_vocab, bad, **outputs(tmp_path / "out", **on_spark))
    assert sentence.startswith("error: %s line %d: byte 1 is " % (tmp_path / "in.txt", number))
    assert sentence == stopped(tmp_path, sample_vocab, bad, **outputs(tmp_path / "local"))
    assert contents(tmp_path / "out") == {}


@pytest.mark.slow
@needs_spark
def test_file_that_vanishes(tmp_path, sample_vocab, on_spark, monkeypatch, expected):
    original = portions.split

    def vanishing(*arguments):
        parts = original(*arguments)
        os.remove(str(tmp_path / "in_1.txt.gz"))
        return parts

    values = outputs(tmp_path / "out", **dict(on_spark, input_file=write_inputs(tmp_path)))
    monkeypatch.setattr(portions, "split", vanishing)
    assert stopped(tmp_path, sample_vocab, **values) == (
        "error: %s: No such file or directory on a worker; give paths that all workers see: of a "
        "shared directory, hdfs://, s3a://, gs://" % (tmp_path / "in_1.txt.gz"))
    assert contents(tmp_path / "out") == {}


@pytest.mark.slow
@needs_spark
def test_fewer_instances_than_files(tmp_path, sample_vocab, on_spark):
    text = "河口的人口。\n流速慢了。\n"
    values = outputs(tmp_path / "out", report=None)
    local = stopped(tmp_path, sample_vocab, text, **values)
    assert local.startswith("error: 2 instances for 3 output files; ")
    assert stopped(tmp_path, sample_vocab, text, **dict(values, **on_spark)) == local
    assert os.listdir(str(tmp_path / "out")) == []


@pytest.mark.slow
@needs_spark
def test_full_disk(tmp_path, sample_vocab, on_spark, expected):
    """At first of the unfinished work; with room again the job goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("mount -t tmpfs is not permitted here")
    try:
        values = outputs(disk, **on_spark)
        sentence = stopped(tmp_path, sample_vocab, TEXT, **values)
        assert sentence.startswith("error: %s/." % disk)
        assert sentence.endswith("No space left on device")
        assert contents(disk) == {}
        made = pieces(disk, "text-")
        assert made
        subprocess.check_call(["mount", "-o", "remount,size=64m", str(disk)])
        make(tmp_path, sample_vocab, TEXT, **values)
        assert contents(disk) == expected
    finally:
        subprocess.check_call(["umount", str(disk)])


@needs_spark
@pytest.mark.parametrize("changes, message", [
    ({}, "--runner=spark without a cluster; name it (--spark_master=spark://HOST:7077|yarn"),
    ({"spark_master": "spark://127.0.0.1:1"},
     "--spark_master=spark://127.0.0.1:1: Connection refused; check host and port"),
    ({"spark_master": "spark://127.0.0.1"}, "--spark_master=spark://127.0.0.1: invalid literal "),
    ({"spark_master": "local[2]", "spark_conf": "memory=2g"}, "--spark_conf=memory=2g: expected a "
     "property of Spark and its value, as spark.executor.memory=2g"),
    ({"spark_master": "local[2]", "spark_conf": "spark.ui.port"}, "--spark_conf=spark.ui.port: "),
])
def test_flags_that_are_refused(tmp_path, sample_vocab, changes, message):
    sentence = stopped(tmp_path, sample_vocab, **outputs(
        tmp_path / "out", runner="spark", num_workers=None, **changes))
    assert sentence.startswith("error: " + message)
    assert os.listdir(str(tmp_path / "out")) == []


@needs_spark
def test_without_java(tmp_path, sample_vocab, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert stopped(tmp_path, sample_vocab, runner="spark", num_workers=None,
                   spark_master="local[2]").startswith("error: --runner=spark needs Java 17 or 21")


def test_without_pyspark(tmp_path, sample_vocab, monkeypatch):
    for name in ("spark",):
        monkeypatch.delattr(pretraining, name, raising=False)
    for name in ("pretraining.spark", "util.spark"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    sentence = stopped(tmp_path, sample_vocab, runner="spark", num_workers=None)
    assert sentence.startswith("error: --runner=spark needs pyspark (")
    assert sentence.endswith("pip install -r requirements-spark.txt, or leave --runner out")


@needs_spark
@pytest.mark.parametrize("conf, said", [
    ("spark.driver.memory=9x", "Invalid maximum heap size: -Xmx9x"),
    ("spark.driver.memory=900000g", "Could not reserve enough space for 943718400000KB"),
    ("spark.driver.extraJavaOptions=-Xmx1g", "Error: Not allowed to specify max heap"),
    ("spark.executor.memory=9x", "Executor memory must be a positive number; check --spark_conf, "
                                 "and that this is Java 17 or 21 (")])
def test_java_that_does_not_start(tmp_path, sample_vocab, conf, said):
    sentence = stopped(tmp_path, sample_vocab, runner="spark", num_workers=None,
                       spark_master="local[1]", spark_conf=conf)
    assert sentence.startswith("error: Spark's Java does not start: " + said)
    os.remove(sentence.split("all it says: ")[1].split(")")[0])


@needs_spark
def test_java_that_speaks_in_another_encoding(tmp_path, monkeypatch):
    from util import spark

    from pyspark.errors import PySparkRuntimeError

    def fails(settings, streams):
        streams["stderr"].write("错误: -Xmx9x\n".encode("gbk"))
        raise PySparkRuntimeError("it has ended")

    monkeypatch.setattr(spark, "launch_gateway", fails)
    with pytest.raises(UserError, match="does not start: .*: -Xmx9x; check --") as raised, \
            spark._engine(None, str(tmp_path / "log")):
        raise AssertionError("it began")
    os.remove(str(raised.value).split("all it says: ")[1].split(")")[0])


@needs_spark
@pytest.mark.slow
def test_what_the_engine_says_is_kept(tmp_path, sample_vocab, run_command):
    """Of a master that only Spark can check."""
    status, sentence = run_command("create_pretraining_data.py", **flags(
        tmp_path, sample_vocab, runner="spark", num_workers=None, spark_master="local[x]"))
    assert status == 1
    assert sentence.startswith("error: Spark gave up: Could not parse Master URL: 'local[x]'")
    assert len(sentence.strip().split("\n")) == 1
    log = sentence.split("all it says: ")[1].split(")")[0]
    with open(log) as stream:
        assert "SparkContext" in stream.read()
    os.remove(log)


@needs_spark
@pytest.mark.parametrize("text, sentence", [
    ("Job aborted due to stage failure: ...\n  File \"/a.py\", line 3\nutil.errors.UserError: a "
     "line 3: bad; mend it\n\n\tat org.apache.spark...", "a line 3: bad; mend it"),
    ("x\nOSError: [Errno 28] No space left on device\n\tat org",
     "writing: No space left on device"),
    ("x\nPermissionError: [Errno 13] Permission denied: '/a/b.txt'\n",
     "/a/b.txt: Permission denied"),
    ("x\nModuleNotFoundError: No module named 'jieba'\n",
     "a worker's Python lacks the package jieba; install the requirements there, or send them "
     "along (--spark_conf=spark.archives=..., docs/scale.md)"),
    ("ValueError: [Errno of nothing]", None),
])
def test_mistake_in_an_error_of_spark(text, sentence):
    from util import spark
    assert spark.find_mistake(text) == sentence


# ---- answers ----

@pytest.fixture
def answering(session, model, monkeypatch, caplog):
    """answering(module of a driver, inputs, output, ...) runs it with small pieces, on the open
    session where it wants one; gives the summary without its times.
    """
    from serving import spark as driver
    monkeypatch.setattr(driver, "connected", lambda *_: contextlib.nullcontext(session))
    monkeypatch.setattr(portions, "PORTION_BYTES", 1 << 12)
    monkeypatch.setattr(batch, "CHUNK", 50)
    caplog.set_level(logging.INFO, "albert")

    def answer(module, inputs, output, **settings):
        module.run(package.load(model), list(map(str, inputs)), str(output), batch.Settings(
            "onnxruntime", 1, **settings))
        parts = caplog.messages[-1].split("; ")
        return parts[0].partition(": ")[2], parts[2]

    return answer


def write_lines(tmp_path, bad=(), times=1):
    """Lines in a plain file of several parts, a compressed one and an empty one; their paths."""
    lines = [line[:20] + "\t" + line[-30:] for line in news().split("\n") if line][:1200]
    lines[7] = '{"text": "长江", "id": 7}'
    for number, line in bad:
        lines[number] = line
    paths = [tmp_path / name for name in ("a.tsv", "b.tsv.gz", "c.tsv", "d.tsv")]
    for path, begin, end in zip(paths, (0, 700, 0, 900), (700, 900, 0, 1200)):
        content = "".join(line + "\n" for line in lines[begin:end]).encode("utf-8") * times
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return paths


@pytest.mark.slow
@needs_spark
def test_answers_are_the_bytes_of_the_local_driver(tmp_path, cluster, answering):
    """Also when an executor is killed, whose tasks are tried again."""
    from serving import spark as driver
    inputs, out = write_lines(tmp_path, [(650, ""), (1100, "a\tb\tc")]), tmp_path / "spark"
    killed = []
    summary = answering(batch, inputs, tmp_path / "local" / "out@3.tsv.gz", skip_bad_lines=True)
    assert summary[0] == "1200 lines of 4 file(s) in 3" and summary[1].endswith(", 2 bad")

    def kill():
        wait_until(lambda: pieces(out, "piece-"))
        killed.extend(executors(cluster.workers[0].pid))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert answering(driver, inputs, out / "out@3.tsv.gz", skip_bad_lines=True) == summary
    finally:
        killer.join()
    assert killed and contents(out) == contents(tmp_path / "local") and len(contents(out)) == 3
    assert sorted(os.listdir(str(out))) == sorted(contents(out))  # no unfinished work


@pytest.mark.slow
@needs_spark
def test_driver_of_answers_is_killed_and_another_goes_on(
        tmp_path, cluster, model, answering, monkeypatch):
    """What is done is not done again: a piece that says more than it has shows."""
    from serving import spark as driver
    monkeypatch.setattr(batch, "CHUNK", CHUNK)
    inputs = write_lines(tmp_path, times=8)
    flags = {"model": model, "input_file": ",".join(map(str, inputs)), "engine": "onnxruntime",
             "output_file": str(tmp_path / "out" / "out@2.tsv"), "runner": "spark"}
    process = subprocess.Popen(command("similarity.py", flags) + cluster_flags(cluster), cwd=ROOT)
    wait_until(lambda: process.poll() is not None or pieces(tmp_path / "out", "piece-"))
    process.kill()
    assert process.wait() == -signal.SIGKILL and contents(tmp_path / "out") == {}
    done = min(pieces(tmp_path / "out", "piece-"))
    work = work_directory(tmp_path / "out")
    more = re.sub(r"-(\d+)-(\d+)$", lambda counts: "-%d-%s" % (
        int(counts.group(1)) + 1000, counts.group(2)), done)
    os.rename(os.path.join(work, done), os.path.join(work, more))
    lines, counts = answering(driver, inputs, tmp_path / "out" / "out@2.tsv")
    local = answering(batch, inputs, tmp_path / "local" / "out@2.tsv")
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert lines == local[0] == "9600 lines of 4 file(s) in 2"
    assert int(counts.split()[0]) == int(local[1].split()[0]) + 1000


@pytest.mark.slow
@needs_spark
def test_bad_line_of_an_item_has_its_number_in_the_file(tmp_path, answering):
    from serving import spark as driver
    inputs = write_lines(tmp_path, [(650, ""), (800, "{")])
    sentences = []
    for module in (batch, driver):
        with pytest.raises(UserError) as raised:
            answering(module, inputs, tmp_path / "out" / "out.tsv")
        sentences.append(str(raised.value))
        assert os.listdir(str(tmp_path / "out")) == []
    assert sentences[0] == sentences[1] and sentences[0].startswith(
        "%s line 651: text is empty; " % inputs[0])


@pytest.mark.slow
@needs_spark
def test_what_the_local_driver_left_is_gone_on_with(tmp_path, answering, monkeypatch):
    from serving import lines
    from serving import spark as driver
    inputs, original, texts = write_lines(tmp_path)[2:], lines.answer, []

    def stopping(made, chunk, *arguments):
        if len(texts) == 200:
            raise tiny.StopHere
        texts.extend(chunk)
        return original(made, ["长江"] * len(chunk), *arguments)  # which shows what was kept

    monkeypatch.setattr(lines, "answer", stopping)
    with pytest.raises(tiny.StopHere):
        answering(batch, inputs, tmp_path / "out" / "out.tsv")
    answering(driver, inputs, tmp_path / "out" / "out.tsv")
    found = [text for _, text in text_lines.read_lines(str(tmp_path / "out" / "out.tsv"))]
    given = [text for _, text in text_lines.read_lines(str(inputs[1]))]
    assert len(found) == 300 and all(line.startswith("长江\t") for line in found[:200])
    assert all(line.startswith(text + "\t") for line, text in zip(found[200:], given[200:]))


@pytest.mark.slow
@needs_spark
def test_answers_in_an_object_store(tmp_path, answering):
    from serving import spark as driver
    inputs = write_lines(tmp_path)[1:2]
    whole_files.move(shutil.copy(str(inputs[0]), str(tmp_path / "copy")), "s3a://bucket/b.tsv.gz")
    summary = answering(batch, inputs, tmp_path / "out" / "out@2.tsv")
    assert answering(driver, ["s3a://bucket/b.tsv.gz"], "s3a://bucket/made/out@2.tsv") == summary
    names = files.names("s3a://bucket/made")
    assert sorted(names) == sorted(contents(tmp_path / "out"))
    for name in names:
        with files.open_file("s3a://bucket/made/" + name, "rb") as stream:
            assert stream.read() == contents(tmp_path / "out")[name]


@needs_spark
def test_lines_of_chunks():
    """Blocks of parts of files, a part of a file that ends with a bad line, and spans over them."""
    from serving import spark as driver
    of_parts = [("a", [("x", 3), ("y", 2)], None), ("a", [("z", 4)], None), ("b", [("w", 5)], None)]
    blocks = driver.numbered(of_parts)
    assert blocks == [("x", "a", 1, 3), ("y", "a", 4, 2), ("z", "a", 6, 4), ("w", "b", 1, 5)]
    assert driver.num_lines(["b", "c", "a"], blocks) == [5, 0, 9]
    with pytest.raises(UserError, match="^a line 7: bad or pass --skip_bad_lines$"):
        driver.numbered([of_parts[0], ("a", [], (2, "bad")), ("b", [], (1, "bad"))])
    ends = [3, 5, 9, 14]
    for first in range(14):
        for end in range(first + 1, 15):
            found = driver.spans(blocks, ends, first, end)
            assert [ends[blocks.index(block)] - block.count + skip + index
                    for block, skip, take in found for index in range(take)] == list(
                        range(first, end))
            assert all(take for _, _, take in found)


@needs_spark
def test_worker_that_cannot_load_the_model(tmp_path, model, monkeypatch):
    from serving import engines
    from serving import spark as driver
    monkeypatch.setattr(driver.pyspark.SparkFiles, "getRootDirectory", lambda: model)
    monkeypatch.setattr(engines, "OnnxRuntime", lambda *_: 1 / 0)
    with pytest.raises(UserError, match="^on the worker .*: .*onnx: onnxruntime cannot read it "):
        driver._predictor.__wrapped__(driver.Model("onnxruntime", 1, 5, False))
