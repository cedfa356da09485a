"""Answers as lines come: typed at a terminal, or through a pipe."""

import itertools
import sys

from util import console, files, text_lines, whole_files
from util.errors import UserError

from serving import lines

CHUNK = 1024  # lines that are answered together


def interactive(made):
    """Answers each line of a terminal at once, until an empty one."""
    console.say("a text, or several with a tab or ' ||| ' between them; an empty line ends")
    for line in sys.stdin:
        text = line.rstrip("\r\n").replace(" ||| ", "\t")
        if not text.strip():
            return
        try:
            answer = made.predict([lines.parse(text)[1]])[0]
        except UserError as error:
            console.say("%s", error)
            continue
        print("\t".join(lines.columns(answer)))
        if answer["tokens_cut"]:
            console.say("%d tokens did not fit and were cut", answer["tokens_cut"])


def of_standard_input():
    """Yields (place, text) of the lines of standard input; the text None if it is not UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            text = None
        yield "line %d" % number, text


def of_files(paths):
    """Yields (place, text) of the lines of files; the text None if it is not UTF-8."""
    for path in paths:
        for number, text in lines.numbered(path):
            yield "%s line %d" % (path, number), text


def score(made, placed, output_file=None, skip_bad_lines=False):
    """Writes every line with its answer to a file, or to standard output.

    Args:
      made: serving.predictor.Predictor.
      placed: an iterable of (place, text).
      output_file: complete or absent, compressed by its ending; None: standard output.
      skip_bad_lines: as of lines.answer.
    """
    if output_file:
        with whole_files.replacing(output_file) as temporary, \
                files.open_file(temporary, "wb") as stream:
            for content in _answered(made, placed, skip_bad_lines):
                stream.write(text_lines.compressed(content, output_file))
    else:
        for content in _answered(made, placed, skip_bad_lines):
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()


def _answered(made, placed, skip_bad_lines):
    """Yields the answered lines, as bytes; says at the end how many there were."""
    count = num_cut = num_bad = 0
    placed = iter(placed)
    with console.progress(unit="lines", desc="answering") as bar:
        for chunk in iter(lambda: list(itertools.islice(placed, CHUNK)), []):
            places, texts = zip(*chunk)
            answered = lines.answer(made, texts, places, skip_bad_lines)
            yield "".join(line + "\n" for line in answered.lines).encode("utf-8")
            count += len(chunk)
            num_cut += answered.num_cut
            num_bad += answered.num_bad
            bar.update(len(chunk))
    console.say("%d lines, %d did not fit whole, %d bad", count, num_cut, num_bad)
