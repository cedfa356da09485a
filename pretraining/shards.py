"""Text -> shuffled record files, by several processes, going on where a killed run stopped.

Two steps, both of pieces that are complete or absent in a work directory beside the output:
chunks of documents become runs of records sorted by a random key (an external sort); the runs,
merged, become shards. A piece is named by a hash of all that decides its bytes, so whatever a later
command finds under that name is what it would have made; one that is damaged, as a power failure
leaves it, is made anew.
"""

import collections
import hashlib
import json
import os

from util import console, external_sort, files, sealed, sources, tfrecords, whole_files, workers
from util.work_directory import clear, work_directory

from pretraining import record_maker, report, shard_files
from text import corpus

# Characters of text that a worker takes at a time; few of a short text, so that all have some.
MIN_CHUNK, MAX_CHUNK = 1 << 14, 1 << 21
# Records that a worker holds before it writes them.
RUN_BYTES = 1 << 26


def make_data(inputs, outputs, maker, num_workers=None, work_dir=None):
    """Makes the record files and descriptions of some text, on this machine.

    Args:
      inputs: text files.
      outputs: paths of the record files.
      maker: record_maker.RecordMaker.
      num_workers: processes; None: one for each processor.
      work_dir: directory for unfinished work; None: beside the output.

    Returns:
      report.Statistics.

    Raises:
      UserError: the text cannot be read or makes fewer instances than there are outputs, another
        process makes the same output, or a worker died.
    """
    num_workers = num_workers or workers.default_number()
    input_bytes = sum(map(files.size, inputs))
    counts = collections.Counter()
    documents = record_maker.read_documents(inputs, maker.text, counts)
    # A power of two, so that a file that was mended does not change the chunks before it.
    size = min(max(1 << (input_bytes // 128).bit_length(), MIN_CHUNK), MAX_CHUNK)
    directory = shard_files.work_path(outputs, work_dir)
    with work_directory(directory):
        runs, statistics = make_runs(
            RunMaker(directory, maker, version(maker)), corpus.chunks(documents, size, counts),
            num_workers, input_bytes)
        counts.pop("input bytes", None)
        statistics.counts.update(counts)
        problem = report.lost_error(statistics, maker.settings)
        if statistics.counts["instances"] < len(outputs):
            problem = shard_files.too_few_error(statistics.counts["instances"], outputs)
        if problem:
            clear(directory)
            raise problem
        shards = write_shards(directory, runs, len(outputs), num_workers)
        shard_files.publish(shards, outputs, maker.description(statistics.counts))
    return statistics


def fingerprint(*parts):
    """A hash of anything that has a repr, short enough for a file name."""
    return hashlib.blake2b(repr(parts).encode("utf-8"), digest_size=12).hexdigest()


def version(maker):
    """What besides the text decides the bytes of a run of a RecordMaker, as a fingerprint."""
    return fingerprint(maker.tokenizer.fingerprint, maker.engine, maker.settings,
                       sources.code_version("pretraining/shards.py"))


class RunMaker:
    """A corpus.Chunk -> sorted runs of records in a directory, and their statistics.

    Args:
      directory: where runs are written and looked for.
      maker: record_maker.RecordMaker.
      version: of `version(maker)`, for their names.
    """

    def __init__(self, directory, maker, version):
        self._directory, self._maker, self._version = directory, maker, version

    def __call__(self, chunk):
        """Returns (names of the runs, Statistics)."""
        name = fingerprint(self._version, chunk.first, chunk.documents)
        path = os.path.join(self._directory, "chunk-%s.json" % name)
        if not self._is_made(path):
            statistics = report.Statistics()
            runs = list(self._write_runs(chunk, name, statistics))
            sealed.write(path, [whole_files.json_text(
                {"runs": runs, "statistics": statistics.to_json()}).encode("utf-8")])
        complete = json.loads(sealed.read(path).decode("utf-8"))
        return complete["runs"], report.Statistics.from_json(complete["statistics"])

    def _is_made(self, path):
        """Whether the JSON file of a chunk and all the runs that it names are there and whole."""
        if not files.exists(path):
            return False
        content = sealed.read(path)
        if content is not None and all(
                external_sort.is_whole(os.path.join(self._directory, run))
                for run in json.loads(content.decode("utf-8"))["runs"]):
            return True
        console.say("%s is damaged, as after a power failure: it is made anew", path)
        return False

    def _write_runs(self, chunk, name, statistics):
        """Writes the records of a chunk; yields the names of the runs."""
        keys, records, size, number = [], [], 0, 0

        def write():
            run = "run-%s-%d" % (name, number)
            external_sort.write_run(os.path.join(self._directory, run), keys, records)
            return run

        for key, record in self._maker.keyed_records(chunk.documents, chunk.first, statistics):
            keys.append(key)
            records.append(record)
            size += len(record)
            if size >= RUN_BYTES:
                yield write()
                keys, records, size, number = [], [], 0, number + 1
        if records:
            yield write()


def make_runs(maker, chunks, num_workers, total_bytes):
    """Runs a RunMaker over all chunks -> (runs in the order of the text, Statistics)."""
    statistics, runs = report.Statistics(), {}
    with console.progress(total=total_bytes, unit="B", desc="text") as bar:
        for chunk, (of_chunk, counted) in workers.in_parallel(maker, chunks, num_workers):
            runs[chunk.first] = of_chunk
            statistics.update(counted)
            bar.update(chunk.input_bytes)
    return [run for first in sorted(runs) for run in runs[first]], statistics


class ShardWriter:
    """Writes shard i of n, an n-th of all records in order of their keys, unless it exists.

    Args:
      directory: of the runs and the shards.
      runs: names of runs.
      num_shards: n.

    Attributes:
      num_records: of all shards together.
      on_record: None, or a function called after every record.
    """

    def __init__(self, directory, runs, num_shards):
        self._directory, self._num_shards = directory, num_shards
        self._merge = external_sort.Merge(
            [os.path.join(directory, run) for run in runs], num_windows=2 * num_shards)
        self._name = fingerprint(runs)
        self.num_records = len(self._merge)
        self.on_record = None

    def count(self, shard):
        """How many records a shard has."""
        return self._begin(shard + 1) - self._begin(shard)

    def _begin(self, shard):
        return self.num_records * shard // self._num_shards

    def __call__(self, shard):
        """Returns the path of the shard."""
        path = os.path.join(self._directory, "shard-%s-%d-of-%d" % (
            self._name, shard, self._num_shards))
        if not tfrecords.is_whole(path, self.count(shard)):
            tfrecords.write(path, self._records(shard))
        return path

    def _records(self, shard):
        for record in self._merge.between(self._begin(shard), self._begin(shard + 1)):
            yield record
            if self.on_record:
                self.on_record()


def write_shards(directory, runs, num_shards, num_workers):
    """Merges runs -> [(path of a shard, its number of records)]."""
    writer = ShardWriter(directory, runs, num_shards)
    shards = [None] * num_shards
    with console.progress(total=writer.num_records, unit="records", desc="writing") as bar:
        if num_shards == 1 or num_workers == 1:
            num_workers, writer.on_record = 1, bar.update
        for shard, path in workers.in_parallel(writer, range(num_shards), num_workers):
            shards[shard] = path, writer.count(shard)
            if not writer.on_record:  # in another process
                bar.update(writer.count(shard))
    return shards
