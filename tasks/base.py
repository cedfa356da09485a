"""What a fine-tuning task is, and the tables its data sets are read from.

A family of tasks (tasks/classification.py) is a class with the methods of `Task`; a data set is a
row in the family's table. `finetuning/harness.py` drives any of them and never asks for a name.

Dimensions: B batch, S sequence, C choices of an example, H hidden.
"""

import collections
import json
import os

from util import files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import tokenization

SPLITS = ("train", "dev", "test")

# A feature of one example: its shape, None where batches are padded with 0, and its type.
Feature = collections.namedtuple("Feature", "shape dtype")

# What every example's features hold: token ids and segments, and how many tokens there are. They
# are of one sequence, or of several choices that the model computes side by side.
SEQUENCE = {"input_ids": Feature((None,), tf.int32), "segment_ids": Feature((None,), tf.int32),
            "lengths": Feature((), tf.int32)}
CHOICES = {name: Feature((None,) + feature.shape, feature.dtype)
           for name, feature in SEQUENCE.items()}

# One example as read: `place` is "file line n" for errors, `label` is None where there is none.
Example = collections.namedtuple("Example", "id place text_a text_b label")


# What a first line says in the columns of label and text, where it is a header.
_HEADER_NAMES = {"label": ("label",), "text_a": ("text_a", "sentence1")}


class Tsv(collections.namedtuple("Tsv", "columns header width where skip_bad_lines")):
    """A tab-separated file; quotes mean nothing.

        Tsv({"text_a": 0, "text_b": 1, "label": 2}, width=3)                # by number, no header
        Tsv({"text_a": "premise", "label": "label"}, header=True)           # by name

    `header` None means: a first line whose label column says "label" is one, or whose text column
    says "text_a" or "sentence1". `width` is the number of columns of every line; None: as many as
    the first line has. `where` keeps the rows with the given values, {column name: value}.
    `skip_bad_lines`: a labelled file is known to have lines with another number of columns. A test
    file may lack the label column, and any file with a header the column of "id".
    """

    def __new__(cls, columns, header=None, width=None, where=None, skip_bad_lines=False):
        return super().__new__(cls, columns, header, width, where or {}, skip_bad_lines)

    def rows(self, path, label_is_optional):
        """Yields (place, {field: text}), or (place, None) for a line that is skipped.

        Raises:
          UserError: a missing column in the header, or a line with another number of columns.
        """
        numbers = None
        skip_bad_lines = self.skip_bad_lines and not label_is_optional
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
                if not skip_bad_lines:
                    raise UserError("%s: %d columns, expected %d (tab-separated)"
                                    % (place, len(cells), width))
                yield place, None
            elif all(cells[index] == value for index, value in where.items()):
                yield place, {field: cells[index].strip() for field, index in numbers.items()}

    def _has_header(self, first_line):
        if self.header is not None:
            return self.header
        return any(index < len(first_line) and first_line[index] in _HEADER_NAMES.get(field, ())
                   for field, index in self.columns.items())

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


def _is_optional(field, label_is_optional):
    return field == "id" or (field == "label" and label_is_optional)


def _by_name(place, cells, columns, label_is_optional):
    """{field: header name} -> {field: column number}."""
    found = {}
    for field, name in columns.items():
        if name in cells:
            found[field] = cells.index(name)
        elif not _is_optional(field, label_is_optional):
            raise UserError("%s: no column %r in the header, found %s"
                            % (place, name, ", ".join(cells)))
    return found


class JsonLines(collections.namedtuple("JsonLines", "columns")):
    """A JSON object a line: JsonLines({"text_a": "sentence1", "label": "label"}).

    Subclasses may `prepare` the objects. Any file may lack the key of "id".
    """

    def prepare(self, record, place):
        """A line's object -> one that has the keys of `columns`."""
        del place
        return record

    def rows(self, path, label_is_optional):
        """Yields (place, {field: text}); a UserError for a line that lacks a key.

        A label may also be a list of texts.
        """
        for number, line in files.read_lines(path):
            if not line.strip():
                continue
            place = "%s line %d" % (path, number)
            record = self.prepare(json_object(line, place), place)
            row = {}
            for field, key in self.columns.items():
                if key in record and (record[key] is not None or field != "label"):
                    row[field] = _json_cell(record[key], place, key, field == "label")
                elif not _is_optional(field, label_is_optional):
                    raise UserError("%s: no key %r, found %s"
                                    % (place, key, ", ".join(sorted(
                                        name for name in record if record[name] is not None))))
            yield place, row


def json_object(line, place):
    """A line of JSON -> dict, or a UserError."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError("%s: not JSON (%s); expected one object a line" % (place, error)) from None
    if not isinstance(record, dict):
        raise UserError("%s: expected a JSON object, found %s" % (place, type(record).__name__))
    return record


def _json_cell(value, place, key, may_be_list):
    """A value of a JSON object as text, or as a list of texts."""
    if isinstance(value, str):
        return value.strip()
    if may_be_list and isinstance(value, list):
        return [_json_cell(part, place, key, False) for part in value]
    if isinstance(value, (list, dict)):
        raise UserError("%s: %r is %s, expected a text or a number"
                        % (place, key, "a list" if isinstance(value, list) else "an object"))
    return "" if value is None else json.dumps(value)  # a number, true or false


class Source(collections.namedtuple("Source", "names table")):
    """Where a split lies: file names to look for, the first that exists counts, and its table."""

    def find(self, data_dir, split):
        """The path of the split's file.

        Raises:
          UserError: none of the names exists.
        """
        return locate((self,), data_dir, split)[0]


def locate(sources, data_dir, split):
    """(path, table) of a split that may lie in one of several Sources; the first file counts.

    Raises:
      UserError: none of their names exists.
    """
    paths = [(os.path.join(data_dir, name), source.table)
             for source in sources for name in source.names]
    for path, table in paths:
        if files.is_file(path):
            return path, table
    raise UserError("no %s data: none of %s exists; check --data_dir"
                    % (split, ", ".join(path for path, _ in paths)))


def named_directory(data_dir, flag):
    """--data_dir, or a UserError that names the flag of a file to give in its place."""
    if not data_dir:
        raise UserError("--data_dir is missing; name the directory of the data (or give --%s)"
                        % flag)
    return data_dir


def pack(first, second, tokenizer, max_seq_length):
    """Token ids of one or two texts -> SEQUENCE features of at most S tokens.

    [CLS] first [SEP] (second [SEP]); the longer text loses tokens at its end first (as BERT).
    """
    second = [] if second is None else second
    room = max_seq_length - (3 if len(second) else 2)
    keep_first, keep_second = tokenization.fit_pair(len(first), len(second), room)
    ids = [tokenizer.cls_id] + list(first[:keep_first]) + [tokenizer.sep_id]
    segments = [0] * len(ids)
    if len(second):
        ids += list(second[:keep_second]) + [tokenizer.sep_id]
        segments += [1] * (keep_second + 1)
    return {"input_ids": np.array(ids, np.int32), "segment_ids": np.array(segments, np.int32),
            "lengths": np.array([len(ids)], np.int32)}


class Task(object):
    """What a family of tasks gives to finetuning/harness.py.

    Files are read by `setup` and `examples` alone, each once: a task is made, then set up, then its
    examples are read, those of "train" are given to `fit`, and then graphs are built.

    Attributes:
      metric: the name, among `score`'s, that decides which checkpoint is the best.
      larger_is_better: its direction.
      features: {name: Feature} of what `featurize` gives, SEQUENCE or CHOICES among them.
      pooled_only: whether `build` asks the model for get_pooled_output and nothing else, so that
        the last block need not be computed for the other tokens.
    """

    larger_is_better = True
    features = SEQUENCE
    pooled_only = False

    def setup(self):
        """Reads what the data set's row leaves open, as labels of the training file.

        Before it `path` and `splits` may be called, nothing else; a second call does nothing.
        """

    def splits(self, kind):
        """The splits of a kind ("train", "dev", "test"); the first is the one that decides."""
        return (kind,)

    def path(self, split):
        """The file of a split, or a list of them; a UserError if there is none."""
        raise NotImplementedError

    def examples(self, split):
        """A list of examples, in file order; bad files are UserErrors with file and line."""
        raise NotImplementedError

    def fit(self, examples):
        """Takes from the examples of the training split what decides how to train."""

    def max_choices(self, examples):
        """How many choices an example has at most; None where `features` holds no CHOICES."""
        return

    def is_labelled(self, examples):
        """Whether all examples have what `score` compares predictions with."""
        return all(example.label is not None for example in examples)

    def identity(self):
        """A flat dict of what must not change when a run goes on (name, labels)."""
        raise NotImplementedError

    def fingerprint(self):
        """A text of what decides, beside the examples, what their features are."""
        raise NotImplementedError

    def featurize(self, example, tokenizer, max_seq_length):
        """Yields {name: array}, shaped as `features` says: one, or one for every window."""
        raise NotImplementedError

    def build(self, config, model, features, is_training):
        """The task's head on an AlbertModel of the B (or B * C) sequences.

        Returns:
          (float [B], the loss of every example, {name: [B, ...]}, what `score` wants to see).
          Tensors that were padded may be longer in some batches than in others.
        """
        raise NotImplementedError

    def score(self, examples, predictions):
        """{metric name: number}.

        Args:
          examples: all of a split.
          predictions: {name: what `build` gave for every window, in order}: an array, or a list of
            arrays where they are not equally long; "example" is the index of each one's example.
        """
        raise NotImplementedError

    def report(self, examples, predictions):
        """What to print after an evaluation beside the scores, as text; None: nothing."""
        return

    def warning(self, scores):
        """A sentence if the scores are those of a model that has learnt nothing, else None."""
        return

    def errors(self, examples, predictions):
        """Yields {column: text} of every example that was predicted wrongly, for people to read."""
        raise NotImplementedError

    def write_predictions(self, directory, split, examples, predictions):
        """Writes predictions for people and submissions; returns the paths."""
        raise NotImplementedError
