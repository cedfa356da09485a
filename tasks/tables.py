"""Tables of texts and labels: tab- or comma-separated or JSON lines, with the columns as published.
"""

import collections
import csv
import itertools
import os

from util import console, text_lines, whole_files
from util.errors import UserError

from tasks import json_input
from tasks.bad_lines import BadLines

# What a first line says in the columns of label and text, where it is a header.
_HEADER_NAMES = {
    "label": ("label", "labels", "class", "category", "target", "score", "tag", "tags", "topic",
              "gold_label", "sentiment", "标签", "类别", "分类"),
    "text_a": ("text", "text_a", "sentence", "sentence1", "question1", "query", "content",
               "premise", "文本", "内容", "句子")}

# A line as read. number: among the file's examples, from 1, blank lines among them; location: "file
# line n"; cells: {field: text}, None for a line with another number of columns that is left out, {}
# for a blank one that others follow.
Row = collections.namedtuple("Row", "number location cells")


class Tsv(collections.namedtuple(
        "Tsv", "columns header width where skip_bad_lines skip_first_line")):
    """A tab-separated file; quotes mean nothing. One whose name ends in .csv has commas and quotes.

        Tsv({"text_a": 0, "text_b": 1, "label": 2}, width=3)                # by number, no header
        Tsv({"text_a": "premise", "label": "label"}, header=True)           # by name

    `header` None means: a first line is one, which is said, if its label column or its text column
    holds a usual name of such a column. `width` is the number of columns of every line; None: as
    many as the first line has. `where` keeps the rows with the given values, {column name: value}.
    `skip_bad_lines`: a labelled file is known to have lines with another number of columns.
    `skip_first_line`: the first line is no example even if it is no header. A test file may lack
    the label column, and any file with a header the column of "id".
    """

    def __new__(cls, columns, header=None, width=None, where=None, skip_bad_lines=False,
                skip_first_line=False):
        return super().__new__(cls, columns, header, width, where or {}, skip_bad_lines,
                               skip_first_line)

    def rows(self, path, label_is_optional, bad_lines=None):
        """Yields Rows.

        Args:
          bad_lines: a BadLines that takes what cannot be used; None: an error.

        Raises:
          UserError: a missing column in the header, or a line with another number of columns.
        """
        bad_lines = bad_lines or BadLines()
        layout, count, blank = None, 0, []
        for line_number, cells in _cells(path, bad_lines):
            location = "%s line %d" % (path, line_number)
            if not cells:
                blank.append(location)
                continue
            if layout is None:
                if self.skip_first_line and line_number == 1 and not self._has_header(cells):
                    continue
                layout, is_header = self._layout(location, cells, label_is_optional)
                if is_header:
                    blank = []
                    continue
            if not layout.keeps(cells):
                continue
            for blank_location in blank:
                count += 1
                yield Row(count, blank_location, {})
            count, blank = count + 1, []
            with bad_lines.allowed() as line:
                row = self._row(path, location, cells, layout, label_is_optional)
            if line.good:
                yield Row(count, location, row)

    def _row(self, path, location, cells, layout, label_is_optional):
        if len(cells) == layout.width:
            return {field: cells[index].strip() for field, index in layout.numbers.items()}
        if self.skip_bad_lines and not label_is_optional:
            return None
        raise UserError("%s: %d columns, expected %d (%s-separated)%s" % (
            location, len(cells), layout.width, "comma" if _is_csv(path) else "tab", _hint(cells)))

    def _has_header(self, first_line):
        if self.header is not None:
            return self.header
        return any(index < len(first_line)
                   and first_line[index].strip().lower() in _HEADER_NAMES.get(field, ())
                   for field, index in self.columns.items())

    def _layout(self, location, first_line, label_is_optional):
        """(_Layout, whether the first line is a header)."""
        is_header = self._has_header(first_line)
        if is_header and self.header is None:
            console.say("%s is taken for a header, not for an example: %s", location,
                        ", ".join(first_line))
        if self.header:
            names = list(map(str.strip, first_line))
            where = {names.index(name): value for name, value in self.where.items()
                     if name in names}
            numbers = _by_name(location, first_line, self.columns, label_is_optional)
            return _Layout(numbers, len(first_line), where), is_header
        numbers = dict(self.columns)
        width = self.width or max(len(first_line), max(numbers.values()) + 1)
        label = numbers.get("label")
        if label_is_optional and label is not None and len(first_line) == width - 1:
            numbers = {field: number - (number > label) for field, number in numbers.items()
                       if field != "label"}
            width -= 1
        return _Layout(numbers, width, {}), is_header


class _Layout(collections.namedtuple("_Layout", "numbers width where")):
    """{field: column number}, the number of columns, {column number: value of the rows to keep}."""

    def keeps(self, cells):
        """Whether a line is one of those to keep; one with other columns is, so that it is said."""
        return len(cells) != self.width or all(
            cells[index] == value for index, value in self.where.items())


def _cells(path, bad_lines):
    """Yields (line number, cells) of a table; [] for a blank line."""
    # A line that is left out may be the midst of a quoted cell.
    skip = None if _is_csv(path) else bad_lines.on_bad_line(path)
    lines = text_lines.read_lines(path, skip, text_lines.OR_SKIP)
    first = list(itertools.islice(lines, 1))
    lines = itertools.chain(first, lines)
    if first and _is_csv(path) and ("," in first[0][1] or "\t" not in first[0][1]):
        yield from _csv_cells(path, lines)
        return
    for number, line in lines:
        yield number, line.split("\t") if line.strip() else []


def _csv_cells(path, lines):
    """The same of comma-separated lines, whose cells may be quoted and hold line breaks."""
    last = [0]  # the number of the line that the reader took last

    def texts():
        for number, line in lines:
            last[0] = number
            yield line + "\n"

    csv.field_size_limit(1 << 30)
    reader, begin = csv.reader(texts(), strict=True), 1
    try:
        for cells in reader:
            yield begin, cells if any(map(str.strip, cells)) else []
            begin = last[0] + 1
    except csv.Error as error:
        raise UserError("%s line %d: not comma-separated (%s); correct the quotes, or name a "
                        "tab-separated file .tsv" % (path, begin, error)) from None


def _is_csv(path):
    return text_lines.without_compression(path).lower().endswith(".csv")


def _hint(cells):
    """What a line with one column may be instead."""
    text = cells[0].lstrip()
    if len(cells) > 1:
        return ""
    if text.startswith("{"):
        return "; it looks like JSON, which --task_name=jsonl reads"
    return "; a comma-separated file is read if it is called .csv" if "," in text else ""


def _is_optional(field, label_is_optional):
    return field == "id" or (field == "label" and label_is_optional)


def _by_name(location, cells, columns, label_is_optional):
    """{field: header name} -> {field: column number}."""
    cells = [cell.strip() for cell in cells]
    numbers = {}
    for field, name in columns.items():
        if name in cells:
            numbers[field] = cells.index(name)
        elif not _is_optional(field, label_is_optional):
            raise UserError("%s: no column %r in the header, found %s%s" % (
                location, name, ", ".join(cells), _hint(cells)))
    return numbers


class JsonLines(collections.namedtuple("JsonLines", "columns")):
    """A JSON object a line: JsonLines({"text_a": "sentence1", "label": "label"}).

    Subclasses may `prepare` the objects. Any file may lack the key of "id".
    """

    def prepare(self, record):
        """A line's object -> a list, as a rule of one, with the keys of `columns`; all are Nodes.
        """
        return [record]

    def rows(self, path, label_is_optional, bad_lines=None):
        """Yields Rows; a UserError for a line that lacks a key.

        A label may also be a list of texts.
        """
        bad_lines = bad_lines or BadLines()
        for number, record in json_input.read_records(path, bad_lines):
            with bad_lines.allowed() as line:
                rows = [self._row(one, label_is_optional) for one in self.prepare(record)]
            for part, row in enumerate(rows if line.good else (), 1):
                yield Row((number - 1) * len(rows) + part, record.location, row)

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
    path = text_lines.without_compression(path)
    ending = os.path.splitext(path)[1]
    candidates = [(name, source.table) for source in sources for name in source.names]
    return max(candidates, key=lambda candidate: (
        ("/" + path).endswith("/" + candidate[0]), candidate[0].endswith(ending)))[1]


def write(path, rows):
    """Writes rows of cells as a tab-separated file, see `written`."""
    whole_files.write_lines(path, ("\t".join(map(written, row)) for row in rows))


def written(cell):
    """A text as a cell of a tab-separated file: what would end the cell or the line is escaped.

    written("a\\tb") -> the four characters "a", "\\", "t", "b"
    """
    return "".join(repr(char)[1:-1] if char in _BREAKS else char for char in cell)


# What ends a cell, or for some reader a line.
_BREAKS = frozenset("\t\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
