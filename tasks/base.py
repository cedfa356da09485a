"""What a fine-tuning task is, and the tables its data sets are read from.

A family of tasks (tasks/classification.py) is a class with the methods of `Task`; a data set is a
row in the family's table. `finetuning.py` drives any of them and never asks for a name.
"""

import collections
import json
import os

import files
from errors import UserError

SPLITS = ("train", "dev", "test")

# One example as read: `place` is "file line n" for errors, `label` is None where there is none.
Example = collections.namedtuple("Example", "id place text_a text_b label")


class Tsv(collections.namedtuple("Tsv", "columns header width where")):
    """A tab-separated file.

        Tsv({"text_a": 0, "text_b": 1, "label": 2}, width=3)                # by number, no header
        Tsv({"text_a": "premise", "label": "label"}, header=True)           # by name

    `header` None means: a first line whose label column says "label" is one. `width` is the number
    of columns of every line; None: as many as the first line has. `where` keeps the rows with the
    given values, {column name: value}. A test file may lack the label column.
    """

    def __new__(cls, columns, header=None, width=None, where=None):
        return super().__new__(cls, columns, header, width, where or {})

    def rows(self, path, label_is_optional):
        """Yields (place, {field: text}).

        Raises:
          UserError: a missing column in the header, or a line with another number of columns.
        """
        numbers = None
        for number, line in files.read_lines(path):
            if not line.strip():
                continue
            cells = line.split("\t")
            place = "%s line %d" % (path, number)
            if numbers is None:
                numbers, width = self._layout(place, cells, label_is_optional)
                if self._has_header(cells):
                    where = {cells.index(name): value for name, value in self.where.items()
                             if name in cells}
                    continue
                where = {}
            if len(cells) != width:
                raise UserError("%s: %d columns, expected %d (tab-separated)"
                                % (place, len(cells), width))
            if all(cells[index] == value for index, value in where.items()):
                yield place, {field: cells[index].strip() for field, index in numbers.items()}

    def _has_header(self, first_line):
        if self.header is not None:
            return self.header
        label = self.columns.get("label")
        return label is not None and label < len(first_line) and first_line[label] == "label"

    def _layout(self, place, first_line, label_is_optional):
        """({field: column number}, number of columns), from the first line."""
        if self.header:
            return _by_name(place, first_line, self.columns, label_is_optional), len(first_line)
        numbers = dict(self.columns)
        width = self.width or max(len(first_line), max(numbers.values()) + 1)
        if label_is_optional and len(first_line) == width - 1 == numbers.get("label"):
            del numbers["label"]
            width -= 1
        return numbers, width


def _by_name(place, cells, columns, label_is_optional):
    """{field: header name} -> {field: column number}."""
    found = {}
    for field, name in columns.items():
        if name in cells:
            found[field] = cells.index(name)
        elif not (field == "label" and label_is_optional):
            raise UserError("%s: no column %r in the header, found %s"
                            % (place, name, ", ".join(cells)))
    return found


class JsonLines(collections.namedtuple("JsonLines", "columns")):
    """A JSON object a line: JsonLines({"text_a": "sentence1", "label": "label"})."""

    def rows(self, path, label_is_optional):
        """Yields (place, {field: text}); a UserError for a line that lacks a key."""
        for number, line in files.read_lines(path):
            if not line.strip():
                continue
            place = "%s line %d" % (path, number)
            try:
                record = json.loads(line)
            except ValueError as error:
                raise UserError("%s: not JSON (%s); expected one object a line"
                                % (place, error)) from None
            if not isinstance(record, dict):
                raise UserError("%s: expected a JSON object, found %s"
                                % (place, type(record).__name__))
            row = {}
            for field, key in self.columns.items():
                if key in record:
                    row[field] = str(record[key]).strip()
                elif not (field == "label" and label_is_optional):
                    raise UserError("%s: no key %r, found %s"
                                    % (place, key, ", ".join(sorted(record))))
            yield place, row


class Source(collections.namedtuple("Source", "names table")):
    """Where a split lies: file names to look for, the first that exists counts, and its table."""

    def find(self, data_dir, split):
        """The path of the split's file.

        Raises:
          UserError: none of the names exists.
        """
        paths = [os.path.join(data_dir, name) for name in self.names]
        for path in paths:
            if files.is_file(path):
                return path
        raise UserError("no %s data: none of %s exists; check --data_dir"
                        % (split, ", ".join(paths)))


class Task(object):
    """What a family of tasks gives to finetuning.py.

    Attributes:
      metric: the name, among `score`'s, that decides which checkpoint is the best.
      larger_is_better: its direction.
    """

    larger_is_better = True

    def path(self, split):
        """The file of a split ("train", "dev", "test"), or a UserError."""
        raise NotImplementedError

    def examples(self, split):
        """A list of Example, in file order; bad files are UserErrors with file and line."""
        raise NotImplementedError

    def identity(self):
        """A flat dict of what must not change when a run goes on (name, labels)."""
        raise NotImplementedError

    def fingerprint(self, split):
        """A text of what decides, beside the bytes of its file, how a split is read."""
        raise NotImplementedError

    def featurize(self, example, tokenizer, max_seq_length):
        """An Example -> {name: int array}; "input_ids" and "segment_ids" are padded in batches."""
        raise NotImplementedError

    def build(self, config, model, features, is_training):
        """The task's head: (per-example loss [B] or None in prediction, {name: [B, …]})."""
        raise NotImplementedError

    def score(self, examples, predictions):
        """{metric name: number} from examples and {name: array over all examples}."""
        raise NotImplementedError

    def write_predictions(self, path, examples, predictions):
        """Writes predictions for people and submissions."""
        raise NotImplementedError
