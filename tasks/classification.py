"""Classification of sentences and of sentence pairs, and regression.

Its data sets are in tasks/classification_data.py; what differs between one label, several labels
and a number is in tasks/targets.py.

Dimensions: B batch, H hidden, L labels, O outputs.
"""

import collections
import os

from util import console, files, text_lines
from util.errors import UserError

import tokenization
from interchange import company
from tasks import base, submissions, tables, targets
from tasks.bad_lines import BadLines

# One example as read: `location` is "file line n" for errors; `text_b` is None for single
# sentences, `label` is None where there is none.
Example = collections.namedtuple("Example", "id location text_a text_b label")


class Classification(base.Task):
    """A label, several labels or a number a sentence or pair: a dense layer on the pooled output.

        task = Classification("lcqmc", classification_data.DATASETS["lcqmc"], "data/lcqmc")
        task.setup()
        task.examples("dev")[0]
        # Example(id="dev-1", location="data/lcqmc/dev.txt line 1", text_a=..., text_b=..., label=1)

    Args:
      classifier_dropout: rate of dropout before the output layer.
      class_weights: None, a list of a number (or its text) a label, in the order of `labels`, or
        "balanced": inversely proportional to the labels' counts in the examples given to `fit`. The
        loss of an example is weighted by its label's; evaluations are not.

    Attributes:
      labels: the labels' texts, in the order of the outputs; None before `setup`.
    """

    pooled_only = True

    def __init__(self, name, dataset, data_dir, custom_files=None, classifier_dropout=0.1,
                 class_weights=None, skip_bad_lines=False):
        super().__init__(name, dataset, data_dir, custom_files, skip_bad_lines)
        self.labels = None
        self.metric = dataset.metric or dataset.target.metric
        self._dropout = classifier_dropout
        self._class_weights = class_weights
        self._balanced_weights = None  # float [L], once `fit` has seen the labels' counts
        self._trained_labels = None  # those of the training examples, once they are read

    def setup(self, known=None):
        """Finds the labels: in the directory's own list, the row, the run, or the training file.

        Raises:
          UserError: fewer than two labels; class weights that do not fit.
        """
        if self.labels is not None:
            return
        self.labels = self._find_labels(known)
        self._target = self._dataset.target(self._dataset, self.labels)
        self.features = dict(base.SEQUENCE, label_ids=self._target.feature)
        self._class_weights = targets.class_weights(self._class_weights, self._target)

    def fit(self, examples):
        if self._class_weights == targets.BALANCED:
            counts = collections.Counter(example.label for example in examples)
            self._balanced_weights = targets.balanced_weights(
                [counts[label] for label in range(len(self.labels))])

    def identity(self):
        kind = {"kind": self._target.name} if self._target.name else {}
        return dict(kind, task=self.name, labels=company.join_labels(self.labels))

    def fingerprint(self):
        return repr((self.labels, self._target.name, self._dataset.separator))

    def splits(self, split):
        if self._custom_files.get(split) or not self._data_dir:
            return (split,)
        return (split,) + tuple(
            more for more in self._dataset.more_splits.get(split, ())
            if base.existing(self._data_dir, tables.names_of(self._dataset.sources[more])))

    def path(self, split):
        return self.find(split, tables.names_of(self._dataset.sources[split]))

    def _is_test(self, split):
        return split == "test" or split in self._dataset.more_splits.get("test", ())

    def examples(self, split):
        bad_lines, left_out = self._bad_lines[split], collections.Counter()
        rows = list(self.records(split))
        unlabelled = self._placeholder(split, rows)
        examples = []
        for row in rows:
            with bad_lines.allowed() as line:
                reason = self._reason_to_leave_out(split, row)
                example = None if reason else self._example(split, row, unlabelled)
            if line.good and reason:
                left_out[reason] += 1
            elif line.good:
                examples.append(example)
        reasons = ", ".join("%d %s" % (count, reason) for reason, count in left_out.items())
        bad_lines.report(self.path(split))
        if not examples:
            raise UserError("%s: no examples in this file%s"
                            % (self.path(split), " (left out: %s)" % reasons if reasons else ""))
        self._say_labels(split, examples, reasons)
        return examples

    def _example(self, split, row, unlabelled):
        cells = row.cells
        has_label = not self._has_no_label(cells) and cells["label"] not in unlabelled
        return Example(
            cells.get("id") or "%s-%d" % (split, row.number), row.location, cells["text_a"],
            cells.get("text_b"),
            self._target.read(cells["label"], row.location) if has_label else None)

    def read(self, split):
        path = self.path(split)
        table = tables.table_of(path, self._dataset.sources[split])
        return table.rows(path, self._is_test(split), self._bad_lines[split])

    def _reason_to_leave_out(self, split, row):
        """Why an example is not used, as published results do not; None: it is.

        A test file is read in full, since benchmarks count its lines, and so is a dev file but for
        lines that are broken or without a label.
        """
        missing, cells = self._dataset.missing_texts, row.cells
        if cells is None:
            return "with another number of columns than the header"
        if not cells:
            return "blank"
        if "" in (cells["text_a"], cells.get("text_b")) and not missing:
            raise UserError("%s: an empty text; every line needs all its texts, correct it%s"
                            % (row.location, text_lines.OR_SKIP))
        if split == "train" and (cells["text_a"] in missing or cells.get("text_b") in missing):
            return "with a missing text"
        if self._has_no_label(cells) and "label" in cells and not self._is_test(split):
            return "without a label (%s)" % self._dataset.dropped_label
        return None

    def _has_no_label(self, cells):
        return "label" not in cells or cells["label"] == self._dataset.dropped_label

    def _placeholder(self, split, rows):
        """The labels that mean none: in a test file, an empty one, and one that all its lines have
        and that is no label of this task (as -1)."""
        if not self._is_test(split):
            return ()
        labels = [row.cells["label"] for row in rows
                 if row.cells and not self._has_no_label(row.cells)]
        empty = () if self._target.is_known("") else ("",)
        given = [label for label in labels if label not in empty]
        if not given or given.count(given[0]) < len(given) or self._target.is_known(given[0]):
            return empty
        console.say("%s: the label is %r in every line, which is none of this task: the file is "
                    "taken as one without labels", self.path(split), given[0])
        return empty + (given[0],)

    def _say_labels(self, split, examples, left_out):
        """Prints the labels with their counts, and what looks wrong about them."""
        labels = [example.label for example in examples if example.label is not None]
        path = self.path(split)
        console.say("%s: %d examples%s%s", path, len(examples),
                    ", left out: " + left_out if left_out else "",
                    "; " + self._target.counts(labels) if labels else "; no labels")
        if not labels:
            return
        if len(labels) < len(examples):
            console.say("%s: %d examples have no label, so there will be no scores of this file",
                        path, len(examples) - len(labels))
        if split == "train" or not self._target.has_labels:
            for sentence in self._target.doubts(labels):
                console.say("warning: %s: %s", path, sentence)
        if split == "train":
            self._trained_labels = self._target.chosen(labels)
        elif self._trained_labels is not None:
            new = self._target.chosen(labels) - self._trained_labels
            if new:
                console.say("warning: %s: %s: no training example has this label, so it will "
                            "hardly be predicted", path, targets.some(sorted(
                                self.labels[label] for label in new)))

    def _find_labels(self, known):
        dataset = self._dataset
        if not dataset.target.has_labels:
            return ()
        if dataset.label_file and self._data_dir:
            path = os.path.join(self._data_dir, dataset.label_file)
            if files.is_file(path):
                return _labels_of_file(path)
        return (dataset.labels or tuple(self.known_labels(known))
                or self._labels_of_training_file())

    def _labels_of_training_file(self):
        dataset = self._dataset
        labels, unread = set(), BadLines(self._bad_lines["train"].skip)
        for row in self.training_records():
            if row.cells:
                with unread.allowed():
                    labels.update(dataset.target.texts(
                        row.cells["label"], dataset.separator, row.location))
        labels = tuple(sorted(labels))
        if len(labels) < 2:
            raise UserError("%s: the label column holds %s; expected two labels or more" % (
                self.path("train"), ", ".join(map(repr, labels)) or "nothing"))
        return labels

    def featurize(self, example, tokenizer, max_seq_length):
        features = tokenization.pack(
            tokenizer.encode(example.text_a),
            tokenizer.encode(example.text_b) if example.text_b else None, tokenizer, max_seq_length)
        features["label_ids"] = self._target.array(example.label)
        yield features

    def texts(self, example):
        return [text for text in (example.text_a, example.text_b) if text]

    def limits(self, example, windows, tokenizer, max_seq_length):
        texts = self.texts(example)
        is_cut = windows[0]["lengths"][0] == max_seq_length and (
            sum(len(tokenizer.encode(text)) + 1 for text in texts) + 1 > max_seq_length)
        yield ("texts", "are longer than --max_seq_length=%d and are cut" % max_seq_length,
               int(is_cut), 1)

    def build(self, config, model, features, is_training):
        logits = base.output_layer(model.get_pooled_output(), self._target.size, config,
                                   self._dropout if is_training else 0.0)  # [B, O]
        losses = self._target.losses(logits, features["label_ids"])
        if is_training and self._class_weights:
            weights = (self._balanced_weights if self._class_weights == targets.BALANCED
                       else self._class_weights)
            losses *= self._target.weights(weights, features["label_ids"])
        return losses, self._target.predictions(logits)

    def score(self, examples, predictions):
        return self._target.score(_known_labels(examples), predictions)

    def report(self, examples, predictions):
        return self._target.report(_known_labels(examples), predictions)

    def confusion(self, examples, predictions):
        """(labels, int [L, L] with a row a label and a column a prediction), or None."""
        return self._target.confusion(_known_labels(examples), predictions)

    def warning(self, scores):
        return self._target.warning(scores, bool(self._class_weights))

    def errors(self, examples, predictions):
        for index, columns in self._target.errors(_known_labels(examples), predictions):
            example = examples[index]
            yield collections.OrderedDict(
                [("id", example.id), ("place", example.location), ("text_a", example.text_a),
                 ("text_b", example.text_b or "")] + list(columns.items()))

    def write_predictions(self, directory, split, examples, predictions):
        """SPLIT_results.tsv, and the benchmark's own form of a test file where there is one.

        The TSV has a header: the input's id, the predicted label, every label's probability.
        """
        table = list(self._target.table(predictions))
        rows = [["id", "label"] + self._target.columns()]
        rows += [[example.id, label] + cells for example, (label, cells) in zip(examples, table)]
        paths = [os.path.join(directory, split + "_results.tsv")]
        tables.write(paths[0], rows)
        form = self._dataset.submissions.get(split)
        if form:
            paths.append(submissions.write(form, directory, self.path(split), split, examples,
                                           [label for label, _ in table]))
        return paths


def _known_labels(examples):
    """The labels of examples, or a UserError where one has none."""
    return base.known(examples, "label", "label", "labels")


def _labels_of_file(path):
    """The labels of a benchmark's labels.json, in its order."""
    table = tables.JsonLines({"label": "label"})
    labels = tuple(collections.OrderedDict.fromkeys(
        row.cells["label"] for row in table.rows(path, False)))
    if len(labels) < 2:
        raise UserError("%s: expected two labels or more, an object with the key 'label' a line"
                        % path)
    return labels
