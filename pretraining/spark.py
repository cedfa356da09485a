"""Text -> shuffled record files on Spark, for more text than one machine works through.

The records, and with the same shards the bytes, are those of pretraining/shards.py:

    files -> chunks of documents -> runs of records -> buckets, sorted by the key -> shards

All of these are files in a work directory beside the output, which every worker reaches: complete
or absent, and named by a hash of all that decides their bytes. So a task that is tried again, or a
command that is started again, goes on with what is there. Records go from runs to buckets through
Spark's shuffle. Counts are results of tasks, which Spark takes once however often it tries them.
"""

import collections
import functools
import itertools
import os
import typing

from util import (
    external_sort,
    files,
    portions,
    sealed,
    spark,
    tfrecords,
    whole_files,
    work_directory,
)

import pyspark

from pretraining import record_maker, report, shard_files, shards
from text import corpus

# A worker holds a chunk of documents, in characters, and later a bucket of records. More buckets
# would cost the driver too much memory: beyond 8 TB of records they are larger.
MAX_CHUNK = 1 << 22
BUCKET_BYTES, MAX_BUCKETS = 1 << 26, 1 << 17
# Spark holds a thousand slices before it looks at their size.
SLICE_BYTES = 1 << 16


def make_data(inputs, outputs, maker, master=None, conf=()):
    """Makes the record files and descriptions of some text, as shards.make_data, on a cluster.

    Args:
      inputs: text files that all workers reach.
      outputs: paths of the record files, too.
      maker: record_maker.RecordMaker.
      master, conf: of util.spark.session.

    Returns:
      report.Statistics.

    Raises:
      UserError: the text is wrong or makes fewer instances than there are outputs, a worker cannot
        read or write, another process makes the same output, or the cluster does not do its work.
    """
    inputs, outputs = (list(map(files.absolute, paths)) for paths in (inputs, outputs))
    directory = shard_files.work_path(outputs, os.path.dirname(outputs[0]))
    with work_directory.shared(directory):
        with connected(maker, master, conf) as session:
            job = Job(session, directory, maker)
            chunks, counts = job.read(inputs)
            runs, statistics = job.make(chunks)
            statistics.counts.update(counts)
            problem = report.lost_error(statistics, maker.settings)
            if statistics.counts["instances"] < len(outputs):
                problem = shard_files.too_few_error(statistics.counts["instances"], outputs)
            if not problem:
                finished = job.join(job.sort(runs), len(outputs))
        if problem:
            work_directory.clear(directory)
            raise problem
        shard_files.publish(finished, outputs, maker.description(statistics.counts))
    return statistics


def connected(maker, master, conf):
    """util.spark.session with what a RecordMaker needs on the workers."""
    local = [path for path in (maker.text.vocab_file, maker.text.spm_model_file)
             if path and not files.is_remote(path)]
    return spark.session("create_pretraining_data", ["pretraining/spark.py"], master, conf, local)


class Job:
    """The steps, each a job of Spark.

    Args:
      session: util.spark.Session.
      directory: for unfinished work, which all workers reach.
      maker: record_maker.RecordMaker.
    """

    def __init__(self, session, directory, maker):
        self._session, self._directory = session, directory
        self._text, self._settings = maker.text, maker.settings
        self._version = shards.version(maker)

    def read(self, inputs):
        """Files -> ([(name of a chunk of documents, number of its first one)], Counter)."""
        parts = portions.split(self._session, inputs, corpus.first_break)
        size = sum(num_bytes for _, num_bytes in parts)
        portion_bytes = min(max(size // 64, 1 << 18), portions.PORTION_BYTES)
        characters = min(max(1 << (size // 256).bit_length(), shards.MIN_CHUNK), MAX_CHUNK)
        of_portions = self._session.run(
            self._session.spread(list(portions.grouped(parts, portion_bytes))).map(
                functools.partial(read_portion, text=self._text, characters=characters,
                                  directory=self._directory)),
            "text")
        counts, chunks, first = collections.Counter(), [], 0
        for of_portion, counted in of_portions:
            counts.update(counted)
            for name, number in of_portion:
                chunks.append((name, first))
                first += number
        return chunks, counts

    def make(self, chunks):
        """Chunks -> ([(name of a run of records, its bytes)] in order of the text, Statistics)."""
        of_tasks = self._session.run(
            self._session.spread(chunks).mapPartitions(functools.partial(
                make_runs, text=self._text, settings=self._settings, directory=self._directory,
                version=self._version)), "records")
        statistics, runs = report.Statistics(), []
        for of_task, counted in of_tasks:
            runs += of_task
            statistics.update(report.Statistics.from_json(counted))
        return runs, statistics

    def sort(self, runs):
        """Runs -> [(path of a bucket of sorted records, number of records)], all in order."""
        size = sum(num_bytes for _, num_bytes in runs)
        buckets = Buckets(
            self._directory, shards.fingerprint(runs), min(1 + size // BUCKET_BYTES, MAX_BUCKETS))
        numbers = range(buckets.number)
        counts = dict(self._session.run(
            self._session.spread(numbers, portions.PER_TASK).flatMap(buckets.finished), "finished"))
        missing = [bucket for bucket in numbers if bucket not in counts]
        if missing:
            indices = {bucket: index for index, bucket in enumerate(missing)}
            counts.update(self._session.run(
                self._session.spread([(number, name) for number, (name, _) in enumerate(runs)])
                .flatMap(functools.partial(buckets.slices, indices=indices))
                .partitionBy(len(missing), int)
                .mapPartitionsWithIndex(functools.partial(buckets.write, missing=missing)),
                "sorting"))
        return [(buckets.path(bucket), counts[bucket]) for bucket in numbers]

    def join(self, buckets, num_shards):
        """Sorted buckets -> [(path of a shard, number of records)], of as many records each."""
        name = "shard-%s-%%d-of-%d" % (shards.fingerprint(buckets), num_shards)
        work = [(os.path.join(self._directory, name % shard), spans)
                for shard, spans in enumerate(cut(buckets, num_shards))]
        self._session.run(self._session.spread(work).map(write_shard), "writing")
        return [(path, sum(number for _, _, number in spans)) for path, spans in work]


# ---- text ----

def read_portion(parts, text, characters, directory):
    """Writes the chunks of some text_lines.Parts -> ([(name, number of documents)], Counter)."""
    counts = collections.Counter()
    documents = record_maker.read_documents(parts, text, counts)
    chunks = [(sealed.keep(directory, chunk.documents), len(chunk.documents))
              for chunk in corpus.chunks(documents, characters, counts)]
    counts.pop("input bytes", None)
    return chunks, counts


# ---- records ----

_record_maker = functools.lru_cache(1)(record_maker.RecordMaker)  # one a process


def make_runs(chunks, text, settings, directory, version):
    """[(name of a chunk, number of its first document)] -> ([(name of a run, bytes)], statistics).
    """
    sent = {name: pyspark.SparkFiles.get(os.path.basename(path))
            for name, path in (("vocab_file", text.vocab_file),
                               ("spm_model_file", text.spm_model_file))
            if path and not files.is_remote(path)}
    maker = shards.RunMaker(directory, _record_maker(text._replace(**sent), settings), version)
    runs, statistics = [], report.Statistics()
    for name, first in chunks:
        of_chunk, counted = maker(corpus.Chunk(first, sealed.kept(directory, name), 0))
        statistics.update(counted)
        runs += [(run, files.size(os.path.join(directory, run))) for run in of_chunk]
    yield runs, statistics.to_json()


# ---- buckets and shards ----

class Buckets(typing.NamedTuple):
    """Files of the sorted records of equal ranges of keys, each with their number beside it.
    """
    directory: str
    name: str    # of the runs they come from
    number: int

    def path(self, bucket):
        return os.path.join(self.directory, "bucket-%s-%d-of-%d" % (
            self.name, bucket, self.number))

    def finished(self, bucket):
        """Yields (bucket, number of records) if it is there."""
        number = sealed.read(self.path(bucket) + ".number")
        if number and tfrecords.is_whole(self.path(bucket), int(number)):
            yield bucket, int(number)

    def slices(self, numbered_run, indices):
        """(number, name of a run) -> (index of a bucket, Slice) of buckets that have one."""
        number, name = numbered_run
        for bucket, part in external_sort.split_run(
                os.path.join(self.directory, name), number, self.number, SLICE_BYTES):
            if bucket in indices:
                yield indices[bucket], part

    def write(self, index, parts, missing):
        """Writes the bucket missing[index] -> (bucket, number of records)."""
        bucket = missing[index]
        number = tfrecords.write(self.path(bucket), external_sort.merge_slices(
            [part for _, part in parts]))
        sealed.write(self.path(bucket) + ".number", [b"%d" % number])
        yield bucket, number


def cut(buckets, num_shards):
    """[(path, number of records)] -> lists [(path, records to skip, to take)] of equal shards.

    [("a", 3), ("b", 2)], 2 -> [("a", 0, 2)], [("a", 2, 1), ("b", 0, 2)]
    """
    ends = list(itertools.accumulate(number for _, number in buckets))
    bucket, taken = 0, 0
    for shard in range(1, num_shards + 1):
        end, spans = ends[-1] * shard // num_shards, []
        while taken < end:
            begin = ends[bucket] - buckets[bucket][1]
            last = min(end, ends[bucket])
            if last > taken:
                spans.append((buckets[bucket][0], taken - begin, last - taken))
            taken = last
            bucket += taken == ends[bucket] and bucket + 1 < len(ends)
        yield spans


def write_shard(work):
    """(path, spans of buckets) -> writes the shard of these records, unless it is there."""
    path, spans = work
    if not tfrecords.is_whole(path, sum(number for _, _, number in spans)):
        with whole_files.replacing(path) as temporary, files.open_file(temporary, "wb") as target:
            for bucket, skip, number in spans:
                with files.open_file(bucket, "rb") as source:
                    tfrecords.copy(source, target, skip, number)
