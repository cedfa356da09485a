"""Documents -> shuffled record files, by several processes, going on where a killed run stopped.

Two steps, both of pieces that are complete or absent in a work directory beside the output:
chunks of documents become runs of records sorted by a random key; the runs, merged, become shards.
A piece has its name from the content and all else that decides its bytes, so whatever a later run
finds under that name is what it would have made.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time

from util import console, external_sort, files, tfrecords, workers
from util.errors import UserError

from pretraining import instances, report

# Records that a worker holds before it writes them.
RUN_BYTES = 1 << 26
# A kill of the first process is not at once one of its workers, who hold the lock too.
LOCK_SECONDS = 10


@contextlib.contextmanager
def work_directory(path):
    """Makes and locks a directory for unfinished work; removes it when all went well.

    Raises:
      UserError: another process is at work there.
    """
    with _locked(path):
        try:
            yield
        except BaseException:
            if set(os.listdir(path)) <= {"lock"}:
                _remove(path)
            else:
                console.say("what is done is kept in %s; the same command goes on from there (if "
                             "you do not want it, delete that directory)", path)
            raise
        _remove(path)


def _locked(path):
    """Makes a directory and opens a file in it that is locked against other processes."""
    end = time.time() + LOCK_SECONDS
    while True:
        files.make_directory(path)
        with contextlib.suppress(BlockingIOError, FileNotFoundError), \
                contextlib.ExitStack() as stack:
            lock = stack.enter_context(open(os.path.join(path, "lock"), "w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one that had it may have removed the file.
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name)):
                stack.pop_all()
                return lock
        if time.time() > end:
            raise UserError("%s: another process is making the same output; wait for it, or name "
                            "another --output_file" % path)
        time.sleep(0.1)


def _remove(path):
    """Removes a work directory, the lock last: another process may be waiting for it."""
    clear(path)
    os.remove(os.path.join(path, "lock"))
    with contextlib.suppress(OSError):  # the other has begun
        os.rmdir(path)


def fingerprint(*parts):
    """A short name for anything that has a repr."""
    return hashlib.blake2b(repr(parts).encode("utf-8"), digest_size=12).hexdigest()


def order_key(seed, document, instance):
    """Where an instance comes in the shuffled output: a number in [0, 2**64)."""
    digest = hashlib.blake2b(b"%d %d %d" % (seed, document, instance), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


class RecordMaker:
    """A document -> serialized records, the same ones in every process and under every driver.

    Args:
      tokenizer: of tokenization.py.
      boundaries: of segmentation.py, or None (instances.encode_document).
      settings: instances.Settings.
    """

    def __init__(self, tokenizer, boundaries, settings):
        self._tokenizer, self._boundaries = tokenizer, boundaries
        self._vocabulary = instances.Vocabulary(tokenizer)
        self.settings = settings

    def __call__(self, sentences, statistics):
        """Yields the records of a list of sentences; a report.Statistics counts."""
        document = instances.encode_document(
            sentences, self._tokenizer, self._boundaries)
        statistics.add_document(sentences, document, self._tokenizer.vocab)
        for instance in instances.document_instances(
                document, self.settings, self._vocabulary):
            statistics.add_instance(instance)
            yield tfrecords.serialize(
                instances.instance_features(instance, self.settings))


class RunMaker:
    """A corpus.Chunk -> sorted runs of records in a directory, and their statistics.

    Args:
      directory: where runs are written and looked for.
      records_of: a RecordMaker.
      version: what beside text and settings decides the bytes: vocabulary, words, code.
    """

    def __init__(self, directory, records_of, version):
        self._directory, self._records_of = directory, records_of
        self._version = fingerprint(
            version, records_of.settings)

    def __call__(self, chunk):
        """Returns (names of the runs, Statistics)."""
        name = fingerprint(self._version, chunk.first, chunk.documents)
        path = os.path.join(self._directory, "chunk-%s.json" % name)
        if not files.exists(path):
            statistics = report.Statistics()
            runs = list(self._write_runs(chunk, name, statistics))
            files.write_json(path, {"runs": runs, "statistics": statistics.to_json()})
        with files.open_file(path) as stream:
            made = json.load(stream)
        return made["runs"], report.Statistics.from_json(made["statistics"])

    def _write_runs(self, chunk, name, statistics):
        """Writes the records of a chunk; yields the names of the runs."""
        keys, records, size, number = [], [], 0, 0

        def write():
            run = "run-%s-%d" % (name, number)
            external_sort.write_run(os.path.join(self._directory, run), keys, records)
            return run

        for key, record in self._records(chunk, statistics):
            keys.append(key)
            records.append(record)
            size += len(record)
            if size >= RUN_BYTES:
                yield write()
                keys, records, size, number = [], [], 0, number + 1
        if records:
            yield write()

    def _records(self, chunk, statistics):
        """Yields (order key, record) of every instance of a chunk."""
        seed = self._records_of.settings.random_seed
        for ordinal, sentences in enumerate(chunk.documents, chunk.first):
            for number, record in enumerate(self._records_of(sentences, statistics)):
                yield order_key(seed, ordinal, number), record


def make_runs(maker, chunks, num_workers, total_bytes):
    """Runs a RunMaker over all chunks -> (runs in the order of the text, Statistics)."""
    statistics, runs = report.Statistics(), {}
    with console.progress(total=total_bytes, unit="B", desc="text") as bar:
        for chunk, (made, counted) in workers.in_parallel(maker, chunks, num_workers):
            runs[chunk.first] = made
            statistics.update(counted)
            bar.update(chunk.input_bytes)
    return [run for first in sorted(runs) for run in runs[first]], statistics


class ShardWriter:
    """Writes shard i of n, an n-th of all records in their order, unless it is there.

    Args:
      directory: where the runs are and the shards will be.
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
        if not files.exists(path):
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


def clear(directory):
    """Removes what was made, where it is not worth keeping."""
    for name in sorted(os.listdir(directory)):  # chunk-* before the run-* that they name
        if name != "lock":
            os.remove(os.path.join(directory, name))
