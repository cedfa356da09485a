"""Files of items answered on a Spark cluster: serving/batch.py on more than one machine.

    spark.run(package, ["/shared/a.tsv.gz"], "/shared/out@16.tsv", batch.Settings(),
              "spark://host:7077")

The plan, the chunks, what is computed together, and so the bytes of the outputs, are those of
serving/batch.py:

    files -> blocks of lines -> pieces, an answered chunk each -> outputs

All of these are files in a work directory beside the output, which every worker reaches: complete
or absent. So a task that is tried again, or a command that is started again, here or there, goes on
with the pieces that are done; counts stand in their names. The model, an export, is sent to the
workers with the code; each of their processes loads it once.
"""

import bisect
import collections
import contextlib
import functools
import itertools
import os
import socket
import tempfile
import time
import typing

from util import console, files, portions, sealed, spark, text_lines, work_directory
from util.errors import UserError

import pyspark

from serving import batch, lines, package, predictor

# What a worker holds of the text: a block has so many lines, or characters.
BLOCK_LINES, BLOCK_CHARACTERS = 1 << 13, 1 << 22


class Model(typing.NamedTuple):
    """How the workers load the model that was sent to them."""

    engine: str
    num_threads: int
    top: int
    bfloat16: bool


class Block(typing.NamedTuple):
    """Consecutive lines of an input."""

    name: str    # of the file that holds them, of sealed.keep
    path: str    # of the input
    first: int   # the number, from 1, of the first one there
    count: int


class Span(typing.NamedTuple):
    """Some lines of a Block."""

    block: Block
    skip: int
    take: int


def run(model, inputs, output_file, settings, master=None, conf=()):
    """Answers the lines of all inputs on a cluster; says how many there were, as batch.run.

    Args:
      model: serving.package.Package of an export.
      inputs, output_file: paths that all workers reach.
      settings: batch.Settings; num_threads are those of a task, 1 if it is None.
      master, conf: of util.spark.session.

    Raises:
      UserError: as of batch.run; or a worker cannot read, write or load the model, or the cluster
        does not do its work.
    """
    began = time.time()
    inputs, output_file = list(map(files.absolute, inputs)), files.absolute(output_file)
    outputs = batch.checked_outputs(inputs, output_file)
    directory = work_directory.place(
        output_file, os.path.dirname(output_file) if files.is_remote(output_file) else None)
    with work_directory.shared(directory):
        wanted = batch.wanted_plan(model, inputs, outputs, settings)
        plan = batch.kept_plan(directory, wanted, outputs, settings.engine)
        with connected(model, settings.num_threads, master, conf) as session:
            settings = settings._replace(num_threads=threads_of_a_task(session))
            try:
                blocks = read(session, inputs, directory, model.head, settings.skip_bad_lines)
                counts = num_lines(inputs, blocks)
                plan = plan or batch.new_plan(directory, wanted, model, settings, counts)
            except UserError:
                if not plan:  # nothing to go on with
                    work_directory.clear(directory)
                raise
            if counts != plan["lines"]:
                raise UserError("%s: not the lines of a moment ago; do not change input files "
                                "while they are read" % ", ".join(inputs))
            work = batch.Work(directory, outputs, sum(counts))
            console.say("%d lines, %d done; %s, %d thread(s) a task", work.num_lines,
                        work.num_lines - work.num_missing, plan["engine"], settings.num_threads)
            answer(session, work, blocks, directory, settings.skip_bad_lines, outputs[0], Model(
                plan["engine"], settings.num_threads, settings.top, settings.bfloat16))
            work.publish(range(len(outputs)), lambda complete: session.run(
                session.spread(complete).map(batch.Output.write), "writing"))
    batch.say_summary(output_file, inputs, outputs, work, time.time() - began)


@contextlib.contextmanager
def connected(model, num_threads, master, conf):
    """util.spark.session with a model on the workers, as this run's options have it."""
    of_tasks = ["spark.task.cpus=%d" % num_threads] if num_threads else []
    with tempfile.TemporaryDirectory() as directory:
        package.save(model, directory)
        with spark.session("similarity", ["serving/spark.py"], master, of_tasks + list(conf), [
                os.path.join(directory, package.FILE), model.onnx,
                model.tokenizer.path]) as session:
            yield session


def threads_of_a_task(session):
    """How many processors Spark gives a task."""
    return int(session.context.getConf().get("spark.task.cpus", "1"))


# ---- lines ----

def read(session, inputs, directory, head, skip_bad_lines):
    """Files -> [Block] in the order of the lines, each line an item as far as can be seen.

    Raises:
      UserError: a line is none, the first one.
    """
    parts = portions.split(session, inputs, text_lines.Part.first_line)
    size = sum(num_bytes for _, num_bytes in parts)
    portion_bytes = min(max(size // 64, 1 << 18), portions.PORTION_BYTES)
    blocks = session.run(
        session.spread(list(portions.grouped(parts, portion_bytes))).map(functools.partial(
            read_portion, directory=directory, head=head, skip_bad_lines=skip_bad_lines)),
        "checking")
    return numbered(itertools.chain.from_iterable(blocks))


def read_portion(parts, directory, head, skip_bad_lines):
    """text_lines.Parts -> what `read_part` gives for each."""
    return [read_part(part, directory, head, skip_bad_lines) for part in parts]


def read_part(part, directory, head, skip_bad_lines):
    """Writes the blocks of a text_lines.Part.

    Returns:
      (path of the file, [(name, number of lines)], None, or (number in the part, problem) of the
      first line that is no item: which one is the first of all, only the driver sees).
    """
    blocks, texts, characters = [], [], 0
    for number, text in lines.numbered(part):
        if not skip_bad_lines:
            try:
                lines.check(text, head)
            except UserError as error:
                return part.path, [], (number, str(error))
        texts.append(text)
        characters += len(text or "")
        if len(texts) == BLOCK_LINES or characters >= BLOCK_CHARACTERS:
            blocks.append((sealed.keep(directory, texts), len(texts)))
            texts, characters = [], 0
    if texts:
        blocks.append((sealed.keep(directory, texts), len(texts)))
    return part.path, blocks, None


def numbered(of_parts):
    """What `read_part` gives for all parts in order -> [Block].

    Raises:
      UserError: a line is no item.
    """
    blocks, path = [], None
    for part_path, named, problem in of_parts:
        if part_path != path:
            path, first = part_path, 1
        if problem:
            number, reason = problem
            raise UserError("%s line %d: %s%s" % (
                path, first - 1 + number, reason, text_lines.OR_SKIP))
        for name, count in named:
            blocks.append(Block(name, path, first, count))
            first += count
    return blocks


def num_lines(inputs, blocks):
    """The number of lines of each input."""
    counts = collections.Counter()
    for block in blocks:
        counts[block.path] += block.count
    return [counts[path] for path in inputs]


def spans(blocks, ends, first, end):
    """The Spans of the lines from `first` to `end`, excluded, of all blocks together.

    `ends`: for each block the number of lines up to its end.
    """
    cut, index = [], bisect.bisect_right(ends, first)
    while first < end:
        skip = first - (ends[index] - blocks[index].count)
        take = min(end, ends[index]) - first
        cut.append(Span(blocks[index], skip, take))
        first, index = first + take, index + 1
    return cut


# ---- answers ----

def answer(session, work, blocks, directory, skip_bad_lines, output, model):
    """Answers the chunks that are missing, and takes note of their pieces in a batch.Work."""
    ends = list(itertools.accumulate(block.count for block in blocks))
    chunks = [(part, number, spans(blocks, ends, first, end))
              for part, number, first, end in work.missing_chunks()]
    for piece in session.run(session.spread(chunks).map(functools.partial(
            answer_chunk, directory=directory, output=output, model=model,
            skip_bad_lines=skip_bad_lines)), "answering"):
        work.add(*piece)


def answer_chunk(chunk, directory, output, model, skip_bad_lines):
    """(part, number, [Span]) -> writes its piece; (part, number, counts) of batch.PieceMaker."""
    part, number, of_chunk = chunk
    entries = []
    for block, skip, take in of_chunk:
        texts = _texts(directory, block.name)
        entries += [(block.path, block.first + index, texts[index])
                    for index in range(skip, skip + take)]
    maker = batch.PieceMaker(
        directory, output, functools.partial(_predictor, model), skip_bad_lines)
    return part, number, maker(batch.Chunk(part, number, entries))


_texts = functools.lru_cache(2)(sealed.kept)  # chunks that follow one another are of one block


@functools.lru_cache(1)  # one a process
def _predictor(model):
    """The Predictor of a Model that was sent to this worker."""
    try:
        return predictor.make(package.load(pyspark.SparkFiles.getRootDirectory()), *model)
    except UserError as error:
        raise UserError("on the worker %s: %s" % (socket.gethostname(), error)) from None
