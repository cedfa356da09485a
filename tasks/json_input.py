"""JSON of data sets: values that know where they stand, so that every error can say it.

    for record in read_lines("train.jsonl"):
        choices = record.get("choices").texts(at_least=2)

    # error: train.jsonl line 3 choices[1]: found 7, expected a text
"""

import json
import re

from util import files
from util.errors import UserError

# Half a surrogate pair, from broken JSON, cannot be written as UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 40  # characters of a value in an error


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
        """A text, in which half surrogate pairs are replaced."""
        if not isinstance(self.value, str):
            raise self.error("a text")
        return replace_surrogates(self.value)

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
        if isinstance(self.value, str):
            return self.text().strip()
        return "" if self.value is None else json.dumps(self.value)


def replace_surrogates(text):
    """A text without half surrogate pairs, for each of which it gets one U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def shown(value):
    """A value as JSON for an error, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def read_file(path):
    """The Node of a file that is one JSON value."""
    return _whole(path, files.read_lines(path))


def read_lines(path):
    """Yields the Node of every line of a file with a JSON value a line; blank lines are skipped."""
    return _by_line(path, files.read_lines(path))


def read_file_or_lines(path):
    """The Nodes of a file that is one JSON value or has one a line, a list."""
    lines = list(files.read_lines(path))
    try:
        return [_whole(path, lines)]
    except UserError:
        return list(_by_line(path, lines))


def _whole(path, lines):
    return Node(_parsed("\n".join(line for _, line in lines), path, 1, "one JSON value"), path)


def _by_line(path, lines):
    for number, line in lines:
        if line.strip():
            yield Node(_parsed(line, path, number, "one object a line"),
                       "%s line %d" % (path, number))


def _parsed(text, path, first_line, expected):
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError("%s line %d column %d: not JSON (%s), expected %s; the file may be cut "
                        "off, copy it again" % (path, first_line + error.lineno - 1, error.colno,
                                                error.msg, expected)) from None
