"""Files of items answered line by line, into files that are complete or absent.

    batch.run(package, ["a.tsv.gz", "b.tsv.gz"], "out@16.tsv", Settings(num_workers=8))

The lines of all inputs, in order, are divided into as many parts as there are outputs, and these
into chunks of CHUNK lines, which processes answer. What is done of a chunk is a piece, a file in a
work directory beside the output; the pieces of an output, one after the other, become that output.
So a run that was killed goes on with the chunks that are missing, and ends with the same bytes;
with another number of workers, too, as far as the engine rounds the same in other threads.
"""

import collections
import functools
import itertools
import json
import os
import re
import shutil
import time
import typing

from util import console, files, shard_names, text_lines, whole_files, work_directory, workers
from util.errors import UserError

from serving import engines, lines, predictor

CHUNK = 1024  # lines; what they are computed with decides their last digits
PLAN = "plan.json"
# Below so many lines trying the engines takes longer than it saves.
FEWEST_TO_MEASURE = 20 * CHUNK
# Names say what is in a file: number of the output, of its chunk; items that did not fit whole, bad
# lines. An output's holds its size.
_PIECE = re.compile(r"piece-(\d+)-(\d+)-(\d+)-(\d+)\Z")
_OUTPUT = re.compile(r"output-(\d+)-(\d+)-(\d+)\Z")

# part: the number of the output; number: in the part; entries: [(path, line number, text)].
Chunk = collections.namedtuple("Chunk", "part number entries")


class Settings(typing.NamedTuple):
    """How the lines are answered."""

    engine: str = "auto"
    num_threads: typing.Optional[int] = None  # of a process; None: its share of the processors
    num_workers: int = 1                      # processes
    top: int = 5                              # words for a [MASK]
    bfloat16: bool = False
    skip_bad_lines: bool = False


def run(package, inputs, output_file, settings):
    """Answers the lines of all inputs; says how many there were.

    Args:
      package: serving.package.Package.
      inputs: paths, may be compressed.
      output_file: a path, or NAME@N.EXT of N of them; compressed by its ending.
      settings: Settings.

    Raises:
      UserError: a line is no item, with file and line, before anything is computed where that can
        be seen; the work directory holds work of another model, other files or flags.
    """
    began = time.time()
    outputs = checked_outputs(inputs, output_file)
    directory = work_directory.place(output_file)
    with work_directory.work_directory(directory):
        wanted = wanted_plan(package, inputs, outputs, settings)
        plan = kept_plan(directory, wanted, outputs, settings.engine) or new_plan(
            directory, wanted, package, settings, [
                _count(path, package.head, settings.skip_bad_lines) for path in inputs])
        work = Work(directory, outputs, sum(plan["lines"]))
        maker = PieceMaker(directory, outputs[0], functools.partial(
            predictor.make, package, plan["engine"], _threads(settings), settings.top,
            settings.bfloat16), settings.skip_bad_lines)
        work.publish(range(len(outputs)))
        console.say("%d lines, %d done; %s, %d worker(s), %d thread(s) each", work.num_lines,
                    work.num_lines - work.num_missing, plan["engine"], settings.num_workers,
                    _threads(settings))
        with console.progress(total=work.num_missing, unit="lines", desc="answering") as bar:
            for chunk, counts in workers.in_parallel(
                    maker, work.missing(inputs), settings.num_workers):
                work.add(chunk.part, chunk.number, counts)
                work.publish([chunk.part])
                bar.update(len(chunk.entries))
    say_summary(output_file, inputs, outputs, work, time.time() - began)


def say_summary(output_file, inputs, outputs, work, seconds):
    """Says what a run has done."""
    console.say("%s: %d lines of %d file(s) in %d; %.0f s, %.0f lines a second; %d did not fit "
                "whole, %d bad", output_file, work.num_lines, len(inputs), len(outputs), seconds,
                work.num_missing / seconds, *work.totals())


def _threads(settings):
    return settings.num_threads or max(1, workers.processors() // settings.num_workers)


def checked_outputs(inputs, output_file):
    """The paths to write.

    Raises:
      UserError: one is an input, or cannot be written or compressed.
    """
    outputs = shard_names.paths_of(output_file)
    shard_names.check_others(outputs)
    text_lines.compressed(b"", outputs[0])
    whole_files.check_outputs(outputs, inputs)
    return outputs


# ---- what is to be done ----

def wanted_plan(package, inputs, outputs, settings):
    """What decides the bytes of the output, without "engine" and the "lines" of every input."""
    return {
        "model": package.fingerprint, "vocabulary": package.tokenizer.fingerprint,
        "options": dict(package.options, max_seq_length=package.max_seq_length, top=settings.top,
                        bfloat16=settings.bfloat16, chunk=CHUNK),
        "inputs": list(map(_identity, inputs)),
        "outputs": list(map(os.path.basename, outputs))}


def kept_plan(directory, wanted, outputs, engine):
    """The plan of a run that was stopped, or None where there is none.

    Args:
      directory: the work directory; cleared if there is no plan in it.
      wanted: of `wanted_plan`.
      engine: of the command, "auto" or one of engines.NAMES.

    Raises:
      UserError: it is of another model, other files or flags; outputs of before are there.
    """
    path = os.path.join(directory, PLAN)
    if files.exists(path):
        with files.open_file(path) as stream:
            plan = json.load(stream)
        asked = dict(wanted, engine=plan["engine"] if engine == "auto" else engine)
        other = [name for name, value in asked.items() if plan[name] != value]
        if other:
            raise UserError("%s holds unfinished work of a run with other %s; repeat that run's "
                            "command, delete that directory to start anew, or name another "
                            "--output_file" % (directory, ", ".join(other)))
        return plan
    work_directory.clear(directory)
    there = list(filter(files.exists, outputs))
    if there and len(outputs) > 1:  # nobody could tell old ones from new ones
        raise UserError("%s is there already, of a run that is over; remove the set, or name "
                        "another --output_file" % there[0])
    return None


def new_plan(directory, wanted, package, settings, num_lines):
    """Writes and returns the plan of a run that begins, with these numbers of lines of the inputs.

    Raises:
      UserError: there are fewer lines than outputs.
    """
    total, num_outputs = sum(num_lines), len(wanted["outputs"])
    if total < num_outputs:
        raise UserError("%d lines for %d output files; give a lower number behind the @ of "
                        "--output_file, or more lines" % (total, num_outputs))
    plan = dict(wanted, lines=num_lines, engine=_engine(package, settings, total))
    whole_files.write_json(os.path.join(directory, PLAN), plan)
    return plan


def _identity(path):
    """[path, size, time of the last change] of an input."""
    return [files.absolute(path), files.size(path),
            None if files.is_remote(path) else os.stat(path).st_mtime_ns]


def _count(path, head, skip_bad_lines):
    """The number of lines of a file, each an item as far as can be seen without a tokenizer."""
    count = 0
    with console.progress(unit="lines", desc="checking " + os.path.basename(path)) as bar:
        for count, text in lines.numbered(path):
            try:
                lines.check(text, head)
            except UserError as error:
                if not skip_bad_lines:
                    raise UserError("%s line %d: %s%s" % (
                        path, count, error, text_lines.OR_SKIP)) from None
            bar.update()
    return count


def _engine(package, settings, num_lines):
    """The name of the engine; the fastest one where there is enough to do and it is not said."""
    if settings.engine != "auto" or settings.bfloat16 or num_lines < FEWEST_TO_MEASURE:
        return engines.choose(settings.engine, package.weights is not None, settings.bfloat16)
    return apart(functools.partial(engines.fastest, package, _threads(settings)),
                 settings.num_workers)


def apart(function, num_workers):
    """function(), in a process of its own if others are to be forked from this one: the threads
    that engines start do not survive a fork."""
    return next(workers.in_parallel(lambda _: function(), [None], min(2, num_workers)))[1]


class PieceMaker(object):
    """Answers a Chunk and writes its piece, in whatever process it is called.

    Args:
      directory: of the pieces.
      output: a path that says how they are compressed.
      make_predictor: called once in every process.
      skip_bad_lines: as of lines.answer.
    """

    def __init__(self, directory, output, make_predictor, skip_bad_lines):
        self._directory, self._output = directory, output
        self._make_predictor, self._skip_bad_lines = make_predictor, skip_bad_lines
        self._made = None

    def __call__(self, chunk):
        """Returns (items that did not fit whole, bad lines)."""
        self._made = self._made or self._make_predictor()
        answered = lines.answer(
            self._made, [text for _, _, text in chunk.entries],
            ["%s line %d" % (path, number) for path, number, _ in chunk.entries],
            self._skip_bad_lines)
        content = "".join(line + "\n" for line in answered.lines).encode("utf-8")
        counts = answered.num_cut, answered.num_bad
        path = os.path.join(self._directory, _piece_name(chunk.part, chunk.number, counts))
        with whole_files.replacing(path) as temporary, files.open_file(temporary, "wb") as stream:
            stream.write(text_lines.compressed(content, self._output))
        return counts


class Output(typing.NamedTuple):
    """An output whose pieces are all there."""

    directory: str  # of the pieces
    part: int
    path: str
    pieces: list    # [(number, (items that did not fit whole, bad lines))]

    def totals(self):
        """(items that did not fit whole, bad lines)."""
        return tuple(map(sum, zip(*(counts for _, counts in self.pieces))))

    def write(self):
        """Puts the pieces together under its name, notes its size, and removes them; or does
        nothing where that has been done."""
        done = os.path.join(self.directory, "output-%d-%d-%d" % ((self.part,) + self.totals()))
        if files.exists(done):
            return
        paths = [os.path.join(self.directory, _piece_name(self.part, number, counts))
                 for number, counts in self.pieces]
        with whole_files.replacing(self.path) as temporary, \
                files.open_file(temporary, "wb") as stream:
            for path in paths:
                with files.open_file(path, "rb") as piece:
                    shutil.copyfileobj(piece, stream)
        whole_files.write_lines(done, [str(files.size(self.path))])
        for path in paths:
            files.remove(path)


class Work(object):
    """What is done and what is missing.

    Args:
      directory: of the pieces.
      outputs: paths.
      num_lines: of all inputs.

    Attributes:
      num_lines, num_missing: how many lines there are, and were to be answered at the beginning.
    """

    def __init__(self, directory, outputs, num_lines):
        self._directory, self._outputs, self.num_lines = directory, outputs, num_lines
        self._bounds = [num_lines * part // len(outputs) for part in range(len(outputs) + 1)]
        self._pieces = [{} for _ in outputs]  # of each output: {number: (items cut, bad lines)}
        self._finished = {}  # {number of an output: (items cut, bad lines)}
        whole_files.remove_abandoned(outputs)
        for name in files.names(directory):
            self._find(name)
        self.num_missing = sum(end - first for _, _, first, end in self.missing_chunks())

    def _find(self, name):
        """Takes note of what a stopped run left under a name."""
        piece, output = _PIECE.match(name), _OUTPUT.match(name)
        if piece:
            part, number, cut, bad = map(int, piece.groups())
            self._pieces[part][number] = cut, bad
        elif output:
            part, cut, bad = map(int, output.groups())
            with files.open_file(self._path(name)) as stream:
                size = int(stream.read())
            path = self._outputs[part]
            if files.exists(path) and files.size(path) == size:
                self._finished[part] = cut, bad
            else:  # its output was taken away
                files.remove(self._path(name))
        elif name.endswith(".tmp"):
            files.remove(self._path(name))

    def _path(self, name):
        return os.path.join(self._directory, name)

    def totals(self):
        """(items that did not fit whole, bad lines) of all that is done."""
        counts = list(self._finished.values()) + [
            count for part, pieces in enumerate(self._pieces) if part not in self._finished
            for count in pieces.values()]
        return tuple(map(sum, zip(*counts))) or (0, 0)

    def _all_chunks(self):
        """Yields (part, number, first line, end) of every chunk, in the order of the lines."""
        for part, (begin, end) in enumerate(zip(self._bounds, self._bounds[1:])):
            for number, first in enumerate(range(begin, end, CHUNK)):
                yield part, number, first, min(first + CHUNK, end)

    def _is_done(self, part, number):
        return part in self._finished or number in self._pieces[part]

    def missing_chunks(self):
        """Yields (part, number, first line, end) of every chunk that is to be answered."""
        return (chunk for chunk in self._all_chunks() if not self._is_done(*chunk[:2]))

    def missing(self, inputs):
        """Yields the Chunks that are to be answered.

        Raises:
          UserError: an input has become shorter.
        """
        entries = ((path, number, text) for path in inputs for number, text in lines.numbered(path))
        for part, number, first, end in self._all_chunks():
            of_chunk = itertools.islice(entries, end - first)
            if self._is_done(part, number):
                collections.deque(of_chunk, maxlen=0)
                continue
            chunk = Chunk(part, number, list(of_chunk))
            if len(chunk.entries) != end - first:
                raise UserError("%s: fewer lines than a moment ago; do not change input files "
                                "while they are read" % inputs[-1])
            yield chunk

    def add(self, part, number, counts):
        """Takes note of a piece that is done."""
        self._pieces[part][number] = counts

    def complete(self, parts):
        """Those of some outputs whose pieces are all there and that are not written: [Output]."""
        return [Output(self._directory, part, self._outputs[part],
                       sorted(self._pieces[part].items()))
                for part in parts if part not in self._finished
                and len(self._pieces[part]) * CHUNK >= self._bounds[part + 1] - self._bounds[part]]

    def publish(self, parts, write_all=lambda outputs: list(map(Output.write, outputs))):
        """Writes those of some outputs that are `complete`."""
        outputs = self.complete(parts)
        write_all(outputs)
        self._finished.update((output.part, output.totals()) for output in outputs)


def _piece_name(part, number, counts):
    return "piece-%d-%d-%d-%d" % ((part, number) + tuple(counts))
