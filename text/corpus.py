"""Raw text as documents: lists of sentences, read with little memory, in chunks of work."""

import typing

from util import files

# Longer lines and documents are cut, so that they do not decide how much memory is needed.
MAX_LINE_BYTES = 1 << 16
MAX_DOCUMENT_SENTENCES = 2000
MAX_DOCUMENT_CHARACTERS = 1 << 19


class Chunk(typing.NamedTuple):
    """Consecutive documents of a corpus."""
    first: int        # the number of the first one in the corpus
    documents: list   # lists of sentences
    input_bytes: int  # how much of the files was read for them


def read_documents(paths, counts, skip_bad_lines=False, split=None):
    """Yields documents, lists of sentences; ends one at a blank line and at the end of a file.

    Args:
      paths: text files, may be compressed.
      counts: a Counter; gets "lines", "bad lines", "long lines cut", "documents cut in pieces" and
        "input bytes".
      skip_bad_lines: leave out lines that are not UTF-8, instead of an error.
      split: function line -> list of sentences; None: a line is a sentence.

    Raises:
      UserError: a line is not UTF-8, or a compressed file is damaged.
    """
    def on_bad_line(number):
        nonlocal last_bad
        counts["bad lines"] += number != last_bad  # a long line comes in pieces
        last_bad = number

    def on_bytes(number):
        counts["input bytes"] += number

    for path in paths:
        last_bad = 0
        lines = files.read_lines(
            path, on_bad_line if skip_bad_lines else None, files.OR_SKIP, MAX_LINE_BYTES, on_bytes)
        document, characters = [], 0
        for line in _whole_lines(lines, counts):
            if line is None:
                if document:
                    yield document
                document, characters = [], 0
                continue
            for sentence in split(line) if split else [line]:
                if document and (len(document) == MAX_DOCUMENT_SENTENCES
                                 or characters + len(sentence) > MAX_DOCUMENT_CHARACTERS):
                    counts["documents cut in pieces"] += 1
                    yield document
                    document, characters = [], 0
                document.append(sentence)
                characters += len(sentence)
        if document:
            yield document


def _whole_lines(lines, counts):
    """Yields stripped lines, None for a blank one; counts all and those that come in pieces."""
    last_number = last_cut = 0
    for number, line in lines:
        line = line.strip()
        if number == last_number:
            counts["long lines cut"] += number != last_cut
            last_cut = number
            if line:
                yield line
            continue
        last_number = number
        counts["lines"] += 1
        yield line or None


def chunks(documents, characters, counts):
    """Yields Chunks of documents of about equal size.

    Args:
      documents: iterable of lists of sentences.
      characters: a chunk ends with the document that reaches this number of characters.
      counts: the Counter of read_documents, for "input bytes".
    """
    first = counted_bytes = held_characters = 0
    held = []
    for document in documents:
        held.append(document)
        held_characters += sum(map(len, document)) + len(document)
        if held_characters >= characters:
            yield Chunk(first, held, counts["input bytes"] - counted_bytes)
            first, counted_bytes = first + len(held), counts["input bytes"]
            held, held_characters = [], 0
    if held:
        yield Chunk(first, held, counts["input bytes"] - counted_bytes)
