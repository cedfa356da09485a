"""Text -> shuffled record files on Apache Beam, for more text than one machine works through.

The records are those that pretraining/shards.py makes, in another random order:

    files -> chunks of documents -> records -> buckets of records, by a random key -> shards

A worker holds a chunk of documents at a time, later a bucket, whose records it sorts. A bucket has
about BUCKET_BYTES whatever the size of the corpus; a larger corpus has more of them. Every key is a
function of the element, so a bundle that the runner tries again has the same results. Files are
written to a directory that all workers reach, and get their names at the end (docs/scale.md).
"""

import collections
import contextlib
import functools
import itertools
import json
import os
import shutil
import typing
import uuid

from util import console, files, tfrecords, workers

import apache_beam as beam

from pretraining import beam_runs, record_maker, shard_files
from pretraining.report import Statistics
from text import corpus

CHUNK_CHARACTERS = 1 << 16
BUCKET_BYTES = 1 << 26
# How much of the text the number of buckets is estimated from, and of how many files.
SAMPLE_BYTES, SAMPLE_FILES = 1 << 18, 16
COMPRESSED, COMPRESSION = (".gz", ".bz2", ".xz", ".zst"), 4
# Documents of file n are numbered from n << FILE_SHIFT on.
FILE_SHIFT = 40


def make_data(inputs, outputs, maker, runner, num_workers=None, options=""):
    """Makes the record files and descriptions of some text, as shards.make_data, by a pipeline.

    Args:
      inputs: text files.
      outputs: paths of the record files.
      maker: record_maker.RecordMaker.
      runner, num_workers, options: of beam_runs.run; the DirectRunner has a process for each
        processor where num_workers is None.

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
        beam_runs.run(functools.partial(
            build, inputs=inputs, maker=maker, directory=directory, num_shards=len(outputs)),
            runner, num_workers, options)
        shards, statistics = read_results(directory)
        if len(shards) < len(outputs):
            raise shard_files.too_few_error(statistics.counts["instances"], outputs)
        shard_files.publish(shards, outputs, maker.description(statistics.counts))
    return statistics


# A RecordMaker is not pickled for the workers, its settings are: each process makes one of them.
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


def read_results(directory):
    """The results of a pipeline that is done.

    Returns:
      ([(path of a shard, its number of records)], Statistics). Shards without a record are left
      out: there are hardly more records than shards then.
    """
    shards = [(path, count) for _, path, count in sorted(_read_result(directory, "shards.json"))]
    return shards, Statistics.from_json(_read_result(directory, "statistics.json"))


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


def build(pipeline, inputs, maker, directory, num_shards):
    """Adds all steps to a beam.Pipeline; `read_results` reads what they write.

    No Reshuffle: its keys are drawn at random, so a runner that computes a lost part again would
    distribute it differently.
    """
    per_shard = buckets_a_shard(inputs, maker, num_shards)
    chunks, text_statistics = (
        pipeline
        | "files" >> beam.Create(list(enumerate(inputs)), reshuffle=False)
        | "spread files" >> beam.GroupByKey()
        | "file" >> beam.MapTuple(lambda number, paths: (number, *paths))
        | "read" >> beam.ParDo(ReadChunks(maker.text)).with_outputs("statistics", main="chunks"))
    records, record_statistics = (
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
        (text_statistics, record_statistics)
        | beam.Flatten()
        | "sum" >> beam.CombineGlobally(sum_statistics)
        | "numbers" >> beam.Map(lambda statistics: statistics.to_json())
        | "statistics.json" >> beam.Map(_write_result, directory, "statistics.json"))


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
