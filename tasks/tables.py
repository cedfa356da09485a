"""Tables of texts and labels: tab-separated or JSON lines, with the columns as published."""

import collections
import os

from util import files
from util.errors import UserError

from tasks import json_input

# What a first line says in the columns of label and text, where it is a header.
_HEADER_NAMES = {"label": ("label",), "text_a": ("text_a", "sentence1")}


class Tsv(collections.namedtuple(
        "Tsv", "columns header width where skip_bad_lines skip_first_line")):
    """A tab-separated file; quotes mean nothing.

        Tsv({"text_a": 0, "text_b": 1, "label": 2}, width=3)                # by number, no header
        Tsv({"text_a": "premise", "label": "label"}, header=True)           # by name

    `header` None means: a first line whose label column says "label" is one, or whose text column
    says "text_a" or "sentence1". `width` is the number of columns of every line; None: as many as
    the first line has. `where` keeps the rows with the given values, {column name: value}.
    `skip_bad_lines`: a labelled file is known to have lines with another number of columns.
    `skip_first_line`: the first line is no example even if it is no header. A test file may lack
    the label column, and any file with a header the column of "id".
    """

    def __new__(cls, columns, header=None, width=None, where=None, skip_bad_lines=False,
                skip_first_line=False):
        return super().__new__(cls, columns, header, width, where or {}, skip_bad_lines,
                               skip_first_line)

    def rows(self, path, label_is_optional):
        """Yields (location, {field: text}), or (location, None) for a line that is skipped.

        Raises:
          UserError: a missing column in the header, or a line with another number of columns.
        """
        numbers = None
        skip_bad_lines = self.skip_bad_lines and not label_is_optional
        for number, line in files.read_lines(path):
            if not line.strip():
                continue
            cells = line.split("\t")
            location = "%s line %d" % (path, number)
            if self.skip_first_line and number == 1 and not self._has_header(cells):
                continue
            if numbers is None:
                numbers, width = self._layout(location, cells, label_is_optional)
                if self._has_header(cells):
                    where = {cells.index(name): value for name, value in self.where.items()
                             if name in cells}
                    continue
                where = {}
            if len(cells) != width:
                if not skip_bad_lines:
                    raise UserError("%s: %d columns, expected %d (tab-separated)"
                                    % (location, len(cells), width))
                yield location, None
            elif all(cells[index] == value for index, value in where.items()):
                yield location, {field: cells[index].strip() for field, index in numbers.items()}

    def _has_header(self, first_line):
        if self.header is not None:
            return self.header
        return any(index < len(first_line) and first_line[index] in _HEADER_NAMES.get(field, ())
                   for field, index in self.columns.items())

    def _layout(self, location, first_line, label_is_optional):
        """({field: column number}, number of columns), from the first line."""
        if self.header:
            return _by_name(location, first_line, self.columns, label_is_optional), len(first_line)
        numbers = dict(self.columns)
        width = self.width or max(len(first_line), max(numbers.values()) + 1)
        if label_is_optional and len(first_line) == width - 1 == numbers.get("label"):
            del numbers["label"]
            width -= 1
        return numbers, width


def _is_optional(field, label_is_optional):
    return field == "id" or (field == "label" and label_is_optional)


def _by_name(location, cells, columns, label_is_optional):
    """{field: header name} -> {field: column number}."""
    numbers = {}
    for field, name in columns.items():
        if name in cells:
            numbers[field] = cells.index(name)
        elif not _is_optional(field, label_is_optional):
            raise UserError("%s: no column %r in the header, found %s"
                            % (location, name, ", ".join(cells)))
    return numbers


class JsonLines(collections.namedtuple("JsonLines", "columns")):
    """A JSON object a line: JsonLines({"text_a": "sentence1", "label": "label"}).

    Subclasses may `prepare` the objects. Any file may lack the key of "id".
    """

    def prepare(self, record):
        """A line's object -> a list, as a rule of one, with the keys of `columns`; all are Nodes.
        """
        return [record]

    def rows(self, path, label_is_optional):
        """Yields (location, {field: text}); a UserError for a line that lacks a key.

        A label may also be a list of texts.
        """
        for line in json_input.read_lines(path):
            for record in self.prepare(line):
                yield record.location, self._row(record, label_is_optional)

    def _row(self, record, label_is_optional):
        row = {}
        for field, key in self.columns.items():
            if record.has(key) and (record.value[key] is not None or field != "label"):
                row[field] = _cell(record.get(key), may_be_list=field == "label")
            elif not _is_optional(field, label_is_optional):
                raise record.missing(key)
        return row


def _cell(node, may_be_list):
    """A value of a JSON object as text, or as a list of texts."""
    if may_be_list and isinstance(node.value, list):
        return [part.cell() for part in node.nodes()]
    return node.cell()


class Source(collections.namedtuple("Source", "names table")):
    """Where a split lies: file names to look for, the first that exists counts, and its table."""


def names_of(sources):
    """The file names of several Sources, in order."""
    return [name for source in sources for name in source.names]


def table_of(path, sources):
    """The table of a split's file: of the Source with its name, else with its ending, else first.

    table_of("mine.tsv", (Source(("dev.json",), lines), Source(("dev.tsv",), pairs))) -> pairs
    """
    ending = os.path.splitext(path)[1]
    candidates = [(name, source.table) for source in sources for name in source.names]
    return max(candidates, key=lambda candidate: (
        ("/" + path).endswith("/" + candidate[0]), candidate[0].endswith(ending)))[1]
