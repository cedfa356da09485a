"""Text -> shuffled record files on Apache Beam, for more text than one machine works through.

The records are those that pretraining/shards.py makes, in another random order:

    files -> chunks of documents -> records -> buckets of records, by a random key -> shards

A worker holds a chunk of documents, and then a bucket with its records sorted. A bucket has about
BUCKET_BYTES however large the corpus is: there are more of them. Every key is a function of what it
belongs to, so a bundle that the runner tries again gives the same again. What is written lies in a
directory that all workers reach; the caller gives the shards their names (docs/scale.md).
"""

import collections
import contextlib
import functools
import io
import itertools
import json
import logging
import os
import re
import shlex
import shutil
import sys
import tempfile
import typing
import uuid

from util import console, files, sources, tfrecords, workers
from util.errors import UserError

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pretraining import record_maker, shard_files
from pretraining.report import Statistics
from text import corpus

CHUNK_CHARACTERS = 1 << 16
BUCKET_BYTES = 1 << 26
# How many buckets that makes is estimated from so much of the text, from so many files.
SAMPLE_BYTES, SAMPLE_FILES = 1 << 18, 16
COMPRESSED, COMPRESSION = (".gz", ".bz2", ".xz", ".zst"), 4
# The documents of a file have numbers from that of the file << FILE_SHIFT on.
FILE_SHIFT = 40
NUM_WORKERS_OPTION = {"DirectRunner": "direct_num_workers", "FlinkRunner": "parallelism",
                      "DataflowRunner": "num_workers"}
_USER_ERROR = re.compile(r"UserError: (.+?)(?: \[while running .*)?$", re.M)
_OS_ERROR = re.compile(
    r"Error: \[Errno \d+\] ([^:\n]+?)(?:: '([^'\n]*)'.*)?(?: \[while running .*)?$", re.M)
_DEATH = ("a worker process died, most often killed for lack of memory; the DirectRunner holds all "
          "records there: leave --runner out on one machine, or take a cluster's runner")


def make_data(inputs, outputs, maker, runner, num_workers=None, options=""):
    """Makes the record files and descriptions of some text, as shards.make_data, by a pipeline.

    Args:
      inputs: text files.
      outputs: paths of the record files.
      maker: record_maker.RecordMaker.
      runner, num_workers, options: of `run`; the DirectRunner has a process for each processor
        where num_workers is None.

    Returns:
      report.Statistics.

    Raises:
      UserError: the text or the options are wrong, the text makes fewer instances than there are
        outputs, or a cluster did not do its work.
    """
    if runner == "DirectRunner":
        num_workers = num_workers or workers.default_number()
    console.say("%s makes the records of %d file(s); it shows no progress here",
                runner, len(inputs))
    with work_directory(outputs[0]) as directory:
        shards, statistics = run(
            inputs, maker, directory, len(outputs), runner, num_workers, options)
        if len(shards) < len(outputs):
            raise shard_files.too_few_error(statistics.counts["instances"], outputs)
        shard_files.publish(shards, outputs, maker.description(statistics.counts))
    return statistics


# RecordMakers do not travel to the workers, their settings do: each process makes one of them.
_record_maker = functools.lru_cache(1)(record_maker.RecordMaker)


# ---- the steps ----

@beam.typehints.with_output_types(typing.Tuple[int, typing.List[typing.List[str]]])
class ReadChunks(beam.DoFn):
    """(number of a file, its path) -> (number of the first document, documents) of every chunk."""

    def __init__(self, text):
        self._text = text  # record_maker.TextSettings

    def process(self, element):
        number, path = element
        statistics = Statistics()
        documents = record_maker.read_documents([path], self._text, statistics.counts)
        for chunk in corpus.chunks(documents, CHUNK_CHARACTERS, statistics.counts):
            yield (number << FILE_SHIFT) + chunk.first, chunk.documents
        statistics.counts.pop("input bytes", None)
        yield beam.pvalue.TaggedOutput("statistics", statistics)


@beam.typehints.with_output_types(typing.Tuple[int, bytes])
class MakeRecords(beam.DoFn):
    """(number of the first document, [documents]) -> (bucket, order key + record) of instances."""

    def __init__(self, text, settings, num_buckets):
        self._text, self._settings, self._num_buckets = text, settings, num_buckets

    def setup(self):
        self._maker = _record_maker(self._text, self._settings)

    def process(self, element):
        first, chunks = element
        statistics = Statistics()
        documents = itertools.chain.from_iterable(chunks)
        for key, record in self._maker.keyed_records(documents, first, statistics):
            yield key * self._num_buckets >> 64, key.to_bytes(8, "big") + record
        yield beam.pvalue.TaggedOutput("statistics", statistics)


def write_bucket(element, directory):
    """(bucket, order keys + records) -> (bucket, path, number of records), sorted in a file."""
    bucket, values = element
    path = _new_path(directory)
    return bucket, path, tfrecords.write(path, (value[8:] for value in sorted(values)))


def join_buckets(element, directory):
    """(shard, its buckets) -> (shard, path, number of records), the buckets one after another."""
    shard, buckets = element
    _, paths, counts = zip(*sorted(buckets))
    if len(paths) == 1:
        return shard, paths[0], counts[0]
    path = _new_path(directory)
    with files.replacing(path) as temporary, files.open_file(temporary, "wb") as target:
        for bucket in paths:
            with files.open_file(bucket, "rb") as stream:
                shutil.copyfileobj(stream, target, 1 << 20)
    return shard, path, sum(counts)


def _new_path(directory):
    """A name for one attempt alone: a runner may let two workers try the same bundle."""
    return os.path.join(directory, uuid.uuid4().hex)


def sum_statistics(parts):
    """Adds up an iterable of Statistics."""
    statistics = Statistics()
    for part in parts:
        statistics.update(part)
    return statistics


def _write_result(value, directory, name):
    files.write_json(os.path.join(directory, name), value)


def _read_result(directory, name):
    with files.open_file(os.path.join(directory, name)) as stream:
        return json.load(stream)


# ---- the pipeline ----

def buckets_a_shard(inputs, maker, num_shards):
    """How many buckets a shard is made of, estimated from some of the text."""
    spread = inputs[::1 + len(inputs) // SAMPLE_FILES]
    documents = (document for path in spread for document in itertools.islice(
        record_maker.read_documents([path], maker.text, collections.Counter()), 64))
    text_bytes = record_bytes = 0
    for document in documents:
        text_bytes += sum(len(sentence.encode("utf-8")) for sentence in document)
        record_bytes += sum(map(len, maker(document, Statistics())))
        if text_bytes > SAMPLE_BYTES:
            break
    size = sum(files.size(path) * (COMPRESSION if path.lower().endswith(COMPRESSED) else 1)
               for path in inputs)
    return 1 + int(size * record_bytes / max(text_bytes, 1) / num_shards / BUCKET_BYTES)


def build(pipeline, inputs, maker, directory, num_shards, per_shard):
    """Adds all steps to a beam.Pipeline; "shards.json" and "statistics.json" are its results.

    No Reshuffle: its keys are drawn at random, and a runner that computes a lost part again would
    spread it otherwise than before.
    """
    chunks, read = (
        pipeline
        | "files" >> beam.Create(list(enumerate(inputs)), reshuffle=False)
        | "spread files" >> beam.GroupByKey()
        | "file" >> beam.MapTuple(lambda number, paths: (number, *paths))
        | "read" >> beam.ParDo(ReadChunks(maker.text)).with_outputs("statistics", main="chunks"))
    records, made = (
        chunks
        | "spread chunks" >> beam.GroupByKey()
        | "make" >> beam.ParDo(MakeRecords(
            maker.text, maker.settings, num_shards * per_shard)).with_outputs(
                "statistics", main="records"))
    _ = (
        records
        | "shuffle" >> beam.GroupByKey()
        | "sort" >> beam.Map(write_bucket, directory)
        | "shard" >> beam.Map(lambda bucket: (bucket[0] // per_shard, bucket))
        | "shards" >> beam.GroupByKey()
        | "join" >> beam.Map(join_buckets, directory)
        | "list of shards" >> beam.combiners.ToList()
        | "shards.json" >> beam.Map(_write_result, directory, "shards.json"))
    _ = (
        (read, made)
        | beam.Flatten()
        | "sum" >> beam.CombineGlobally(sum_statistics)
        | "numbers" >> beam.Map(lambda statistics: statistics.to_json())
        | "statistics.json" >> beam.Map(_write_result, directory, "statistics.json"))


def run(inputs, maker, directory, num_shards, runner, num_workers=None, options=""):
    """Makes all shards.

    Args:
      inputs: text files.
      maker: record_maker.RecordMaker.
      directory: of `work_directory`; the shards are written there.
      num_shards: how many, all about equally large.
      runner: a key of NUM_WORKERS_OPTION, or another runner of Beam.
      num_workers: processes of the DirectRunner, workers of a cluster; None: the runner decides.
      options: more options of Beam, as on a command line.

    Returns:
      ([(path of a shard, its number of records)], Statistics). Shards without a record are not
      among them: there are hardly more records than shards then.

    Raises:
      UserError: the text or the options are wrong, or a cluster did not do its work.
    """
    arguments = _arguments(runner, num_workers, options)
    with _importable_in_children(), _held_stderr() as (terminal, show), _log(runner, terminal):
        try:
            pipeline = beam.Pipeline(options=_options(runner, arguments))
            per_shard = buckets_a_shard(inputs, maker, num_shards)
            build(pipeline, inputs, maker, directory, num_shards, per_shard)
            _finish(pipeline.run())
        except Exception as error:
            text = "%s: %s" % (type(error).__name__, str(error).strip())
            mistake = find_mistake(text)
            if mistake:
                raise UserError(mistake) from None
            show()
            if runner == "DirectRunner":
                raise
            raise UserError("--runner=%s: %s; check --beam_options and the log above" % (
                runner, text.split("\n")[-1].strip(" .:"))) from None
    shards = [(path, count) for _, path, count in sorted(_read_result(directory, "shards.json"))]
    return shards, Statistics.from_json(_read_result(directory, "statistics.json"))


def _arguments(runner, num_workers, options):
    """What Beam parses; of an option that is given twice the last one counts."""
    arguments = []
    if runner == "DirectRunner":
        arguments.append("--direct_running_mode=multi_processing")
    if num_workers and runner not in NUM_WORKERS_OPTION:
        raise UserError("--num_workers=%d: %s takes as many as its cluster offers; leave it out"
                        % (num_workers, runner))
    if num_workers:
        arguments.append("--%s=%d" % (NUM_WORKERS_OPTION[runner], num_workers))
    try:
        return arguments + shlex.split(options) + ["--runner=%s" % runner]
    except ValueError as error:
        raise UserError("--beam_options=%s: %s; write it like a command line, --name=value ..."
                        % (options, error)) from None


def _options(runner, arguments):
    """List of str -> PipelineOptions; a cluster's runner may know more options than Beam here."""
    options, usage = PipelineOptions(arguments), io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            unknown = set(options.get_all_options(retain_unknown_options=True))
            unknown -= set(options.get_all_options())
    except SystemExit:  # argparse has written its usage, and what is wrong in the last line
        problem = usage.getvalue().strip().split("\n")[-1].split("error: ")[-1]
        raise UserError("--beam_options: %s; correct it" % problem) from None
    if unknown and runner == "DirectRunner":
        raise UserError("--beam_options: %s has no option --%s; check the name"
                        % (runner, ", --".join(sorted(unknown))))
    return options


def _finish(result):
    """Waits for the end of a pipeline; Ctrl-C ends it on the cluster, too."""
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise
    if state != beam.runners.runner.PipelineState.DONE:
        raise RuntimeError("the pipeline ended as %s" % state)


def find_mistake(text):
    """An error of Beam, with the tracebacks of workers -> one sentence for the user, or None.

    The sentence is that of a UserError or an OSError (a full disk) in a worker, or says that a
    worker was killed.
    """
    match = _USER_ERROR.search(text)
    if match:
        return match.group(1)
    match = _OS_ERROR.search(text)
    if match:
        return "%s: %s" % (match.group(2) or "writing", match.group(1))
    return _DEATH if "Channel closed prematurely" in text else None


@contextlib.contextmanager
def _importable_in_children():
    """Worker processes of this machine find this project's modules, wherever it was started."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sources.ROOT, before]))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _held_stderr():
    """Keeps what this process and its children write to standard error: yields (terminal, show).

    A worker process writes a traceback of every exception, also of a UserError. `terminal` is the
    real standard error; show() writes there what was kept.
    """
    def show():
        sys.stderr.flush()
        held.seek(0)
        terminal.write(held.read().decode("utf-8", "replace"))
        terminal.flush()

    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(2), "w") as terminal:
        os.dup2(held.fileno(), 2)
        try:
            yield terminal, show
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)


@contextlib.contextmanager
def _log(runner, stream):
    """What a cluster's runner says (where the job is to be seen, its state), without tracebacks."""
    logger, handler = logging.getLogger("apache_beam"), logging.StreamHandler(stream)
    handler.addFilter(lambda record: record.levelno < logging.ERROR)
    if runner != "DirectRunner":
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def work_directory(output):
    """Makes a directory beside an output, hidden and of this run alone; removes it in the end."""
    directory, name = os.path.split(output)
    path = os.path.join(directory, ".%s.%s.work" % (name, uuid.uuid4().hex[:8]))
    files.make_directory(path)
    try:
        yield path
    finally:
        if files.is_remote(path):
            from util import platforms
            platforms.tf.gfile.DeleteRecursively(path)
        else:
            shutil.rmtree(path)
