"""JSON of data sets: values that know where they stand, so that every error can say it.

    for number, record in read_records("train.jsonl"):
        choices = record.get("choices").texts(at_least=2)

    # error: train.jsonl line 3 choices[1]: found [7], expected a text

Half surrogate pairs, which cannot be written as UTF-8, become U+FFFD when a file is read.
"""

import itertools
import json
import re

from util import console, text_lines
from util.errors import UserError

from tasks.bad_lines import BadLines

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN = 40  # characters of a value in an error


class _Float(float):
    """A number that knows how the file writes it: 3.10."""

    def __new__(cls, written):
        number = super().__new__(cls, written)
        number.written = written
        return number


class Node(object):
    """A value of a JSON file.

    Attributes:
      value: as json.loads gives it.
      path: where it stands in its line or file, as 'data[0].qas[2].id'; "" for the whole.
      location: the same with the file in front, and the line where there is a value a line.
    """

    __slots__ = ("value", "path", "_source")

    def __init__(self, value, source, path=""):
        self.value, self.path, self._source = value, path, source

    @property
    def location(self):
        return "%s %s" % (self._source, self.path) if self.path else self._source

    def error(self, expected, found=None):
        """A UserError to raise; what was found is the value unless it is given."""
        return UserError("%s: found %s, expected %s" % (
            self.location, shown(self.value) if found is None else found, expected))

    def missing(self, *keys):
        """A UserError to raise where an object has none of these keys."""
        found = ", ".join(sorted(key for key, value in self.value.items() if value is not None))
        return UserError("%s: no key %s, found %s" % (
            self.location, " or ".join(map(repr, keys)), found or "none"))

    def get(self, *keys):
        """The Node of the first of these keys that the object has."""
        for key in keys:
            if self.has(key):
                return Node(self.value[key], self._source,
                            "%s.%s" % (self.path, key) if self.path else key)
        raise self.missing(*keys)

    def has(self, key):
        """Whether an object has a key."""
        if not isinstance(self.value, dict):
            raise self.error("an object with %r" % key)
        return key in self.value

    def peek(self, key, default=None):
        """The bare value of a key, or the default where there is none."""
        return self.value[key] if self.has(key) else default

    def replaced(self, **values):
        """An object with other values of some keys."""
        return Node(dict(self.value, **values), self._source, self.path)

    def entries(self, expected="an object"):
        """The (key, Node) of an object, sorted."""
        if not isinstance(self.value, dict):
            raise self.error(expected)
        return [(key, self.get(key)) for key in sorted(self.value)]

    def nodes(self, expected="a list"):
        """The Nodes of a list."""
        if not isinstance(self.value, list):
            raise self.error(expected)
        return [Node(value, self._source, "%s[%d]" % (self.path, index))
                for index, value in enumerate(self.value)]

    def text(self):
        """A text; a number is the text that the file writes."""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.error("a text")
        return getattr(self.value, "written", None) or json.dumps(self.value)

    def texts(self, at_least=0):
        """A list of texts."""
        texts = [node.text() for node in self.nodes("a list of texts")]
        if len(texts) < at_least:
            raise self.error("%d or more" % at_least, "%d texts" % len(texts))
        return texts

    def cell(self):
        """A text, or a number, true, false or null ("") as a text."""
        if isinstance(self.value, (list, dict)):
            raise self.error("a text or a number")
        if self.value is None or isinstance(self.value, bool):
            return "" if self.value is None else json.dumps(self.value)
        return self.text().strip()

    def identifier(self, default):
        """The value of an object's key "id", a text or a whole number; the default without one."""
        if self.peek("id") is None:
            return default
        node = self.get("id")
        return node.value if type(node.value) is int else node.text()


def shown(value):
    """A value as JSON for an error, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def read_file(path):
    """The Node of a file that is one JSON value; of one with a value a line that is their list."""
    lines = list(text_lines.read_lines(path))
    try:
        return Node(_whole(path, lines), path)
    except UserError:
        if not _is_by_line(lines):
            raise
    return Node([node.value for _, node in _by_line(path, lines)], path)


def read_records(path, bad_lines=None):
    """Yields (number, Node) of the objects of a file: one a line, or in one array, or only one.

    The number is that of the line, or of the array's element, from 1. Blank lines that others
    follow are counted and reported.

    Args:
      bad_lines: a BadLines that takes the lines that are not JSON or not UTF-8; None: an error.
    """
    skip = bad_lines and bad_lines.on_bad_line(path)
    lines = list(text_lines.read_lines(path, skip, text_lines.OR_SKIP))
    first = _first_two(lines)
    if not first:
        return
    if len(first) == 2 and _is_json(first[0]):
        yield from _by_line(path, lines, bad_lines)
        return
    if len(lines) < lines[-1][0]:  # one value over many lines, of which one is not UTF-8
        lines = list(text_lines.read_lines(path))
    try:
        value = _whole(path, lines, "one object a line")
    except UserError:
        if not (bad_lines and bad_lines.skip or _is_by_line(lines)):
            raise
        yield from _by_line(path, lines, bad_lines)
        return
    if isinstance(value, list):
        yield from enumerate(Node(value, path).nodes(), 1)
    else:
        number = next(number for number, line in lines if line.strip())
        yield number, Node(value, "%s line %d" % (path, number))


def _whole(path, lines, expected="one JSON value"):
    return _parsed("\n".join(line for _, line in lines), path, 1, expected)


def _is_by_line(lines):
    """Whether one of the first two lines is JSON by itself, and not the only line."""
    first = _first_two(lines)
    return len(first) == 2 and any(map(_is_json, first))


def _first_two(lines):
    """The first two lines that are not blank, a list."""
    return list(itertools.islice((line for _, line in lines if line.strip()), 2))


def _is_json(text):
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _by_line(path, lines, bad_lines=None):
    blank, pending = 0, 0
    for number, line in lines:
        if not line.strip():
            pending += 1
            continue
        blank, pending = blank + pending, 0
        location = "%s line %d" % (path, number)
        with (bad_lines or BadLines()).allowed() as line_is:
            value = _parsed(line, path, number, "one object a line")
        if line_is.good:
            yield number, Node(value, location)
    if blank:
        console.say("%s: %d blank lines are left out; numbers are those of the lines", path, blank)


def _parsed(text, path, first_line, expected):
    try:
        value = json.loads(text, parse_float=_Float)
        return without_surrogates(value) if _ESCAPED_SURROGATE.search(text) else value
    except json.JSONDecodeError as error:
        raise UserError("%s line %d column %d: not JSON (%s), expected %s; %s" % (
            path, first_line + error.lineno - 1, error.colno, error.msg, expected,
            _remedy(text))) from None
    except (RecursionError, ValueError) as error:  # [[[[…; a number of 5,000 digits
        raise UserError("%s line %d: JSON that cannot be read (%s); correct the file" % (
            path, first_line, "lists in lists" if isinstance(error, RecursionError) else error)
        ) from None


def _remedy(text):
    if text.lstrip()[:1] in ("{", "["):
        return "the file may be cut off, copy it again"
    return "check that it is the right file, and of the form that the command reads"


def without_surrogates(value):
    """A JSON value in whose texts and keys U+FFFD stands for half surrogate pairs."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(one) for key, one in value.items()}
    return value
