"""Raw text as documents: lists of sentences, read with little memory, in chunks of work."""

import collections
import re
import typing

from util import files, text_lines
from util.errors import UserError

# Longer lines and documents are cut, so that they do not decide how much memory is needed.
MAX_LINE_BYTES = 1 << 16
MAX_DOCUMENT_SENTENCES = 2000
MAX_DOCUMENT_CHARACTERS = 1 << 19

# What a line may hold that nobody sees: control and format characters (U+200B, U+FEFF), variation
# selectors, fillers (https://www.unicode.org/reports/tr44/, Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U000e0000-\U000e0fff]*\Z")
# The lines that WikiExtractor writes around an article: <doc id="12" url="…" title="…"> and </doc>.
_ARTICLE_TAG = re.compile(r"<doc(?: .*)?>\Z|</doc>\Z")
ARTICLE_TAGS = "<doc> tags left out"


class Chunk(typing.NamedTuple):
    """Consecutive documents of a corpus."""
    first: int        # the number of the first one in the corpus
    documents: list   # lists of sentences
    input_bytes: int  # how much of the files was read for them


def read_documents(paths, counts, skip_bad_lines=False, split=None):
    """Yields documents, lists of sentences; what ends one, see `read_lines`.

    Args:
      paths, counts, skip_bad_lines: of `read_lines`; counts gets "documents cut in pieces", too.
      split: function line -> list of sentences; None: a line is a sentence.

    Raises:
      UserError: as `read_lines`.
    """
    document, characters = [], 0
    for line in read_lines(paths, counts, skip_bad_lines):
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


def read_lines(paths, counts, skip_bad_lines=False):
    """Yields stripped lines, and None for what ends a document.

    That is a line of white space or invisible characters, a tag of WikiExtractor, or the end of a
    file. Longer lines than MAX_LINE_BYTES come in pieces.

    Args:
      paths: text files, may be compressed.
      counts: a Counter; gets "lines", "bad lines", "long lines cut", ARTICLE_TAGS and "input
        bytes".
      skip_bad_lines: leave out lines that are not UTF-8, instead of an error.

    Raises:
      UserError: a line is not UTF-8, a compressed file is damaged, or CR alone ends the lines.
    """
    def on_bad_line(number):
        nonlocal last_bad
        counts["bad lines"] += number != last_bad  # a long line comes in pieces
        last_bad = number

    def on_bytes(number):
        counts["input bytes"] += number

    for path in paths:
        last_bad = 0
        lines = text_lines.read_lines(
            path, on_bad_line if skip_bad_lines else None, text_lines.OR_SKIP, MAX_LINE_BYTES,
            on_bytes)
        yield from _whole_lines(lines, counts)
        yield None


def first_break(part):
    """The position behind the first blank line in a Part that may begin anywhere, or None.

    The line that the part begins in does not count.
    """
    with files.open_binary(part.path) as stream:
        stream.seek(part.begin)
        is_whole = False
        while stream.tell() < part.end:
            line = stream.readline(MAX_LINE_BYTES)
            if is_whole and line.endswith(b"\n") and not line.decode("utf-8", "replace").strip():
                return stream.tell()
            is_whole = line.endswith(b"\n")
    return None


def _whole_lines(lines, counts):
    """Yields stripped lines, None for a blank one; counts all and those that come in pieces."""
    last_number = last_cut = 0
    for number, line in lines:
        line = line.strip()
        if _INVISIBLE.match(line):
            line = ""
        if number == last_number:
            counts["long lines cut"] += number != last_cut
            last_cut = number
            if line:
                yield line
            continue
        last_number = number
        counts["lines"] += 1
        if is_article_tag(line):
            counts[ARTICLE_TAGS] += 1
            line = ""
        yield line or None


def is_article_tag(line):
    """Whether a stripped line is one that WikiExtractor writes around an article."""
    return line.endswith(">") and bool(_ARTICLE_TAG.match(line))


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


def write_sample(paths, num_bytes, target, skip_bad_lines=False, one_document=False):
    """Writes documents of the files, repeated as necessary, until `num_bytes` are reached.

    Args:
      one_document: leave out the blank lines between documents.

    Raises:
      UserError: there is no document in the files.
    """
    written = 0
    with open(target, "w", encoding="utf-8") as stream:
        while written < num_bytes:
            before = written
            for document in read_documents(paths, collections.Counter(), skip_bad_lines):
                text = "\n".join(document) + ("\n" if one_document else "\n\n")
                stream.write(text)
                written += len(text.encode("utf-8"))
                if written >= num_bytes:
                    break
            if written == before:
                raise UserError("%s: no text in %d file(s); give files with a sentence a line"
                                % (paths[0], len(paths)))
