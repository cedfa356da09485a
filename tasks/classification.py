"""Classification of sentences and of sentence pairs, and regression.

Its data sets are in tasks/classification_data.py; what differs between one label, several labels
and a number is in tasks/targets.py.

Dimensions: B batch, H hidden, L labels, O outputs.
"""

import collections
import os

from util import console, files
from util.errors import UserError

import tokenization
from tasks import base, submissions, tables, targets

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
                 class_weights=None):
        super().__init__(name, dataset, data_dir, custom_files)
        self.labels = None
        self.metric = dataset.metric or dataset.target.metric
        self._dropout = classifier_dropout
        self._class_weights = class_weights
        self._balanced_weights = None  # float [L], once `fit` has seen the labels' counts

    def setup(self):
        """Finds the labels: in the directory's own list, the row, or the training file.

        Raises:
          UserError: fewer than two labels; class weights that do not fit.
        """
        if self.labels is not None:
            return
        self.labels = self._find_labels()
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
        return dict(kind, task=self.name, labels=",".join(self.labels))

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
        examples, left_out = [], collections.Counter()
        for number, (location, row) in enumerate(self.records(split), 1):
            reason = self._reason_to_leave_out(split, location, row)
            if reason:
                left_out[reason] += 1
            else:
                examples.append(Example(
                    row.get("id") or "%s-%d" % (split, number), location, row["text_a"],
                    row.get("text_b"), self._label(location, row)))
        reasons = ", ".join("%d %s" % (count, reason) for reason, count in left_out.items())
        if not examples:
            raise UserError("%s: no examples in this file%s"
                            % (self.path(split), " (left out: %s)" % reasons if reasons else ""))
        if reasons:
            console.say("%s: %d examples, left out: %s", self.path(split), len(examples), reasons)
        return examples

    def read(self, split):
        path = self.path(split)
        table = tables.table_of(path, self._dataset.sources[split])
        return table.rows(path, self._is_test(split))

    def _reason_to_leave_out(self, split, location, row):
        """Why an example is not used, as published results do not; None: it is.

        A test file is read in full, since benchmarks count its lines, and so is a dev file but for
        lines that are broken or without a label.
        """
        missing = self._dataset.missing_texts
        if row is None:
            return "with another number of columns than the header"
        if "" in (row["text_a"], row.get("text_b")) and not missing:
            raise UserError("%s: an empty text; every line needs all its texts" % location)
        if split == "train" and (row["text_a"] in missing or row.get("text_b") in missing):
            return "with a missing text"
        if self._has_no_label(row) and "label" in row and not self._is_test(split):
            return "without a label (%s)" % self._dataset.dropped_label
        return None

    def _has_no_label(self, row):
        return "label" not in row or row["label"] == self._dataset.dropped_label

    def _label(self, location, row):
        return None if self._has_no_label(row) else self._target.read(row["label"], location)

    def _find_labels(self):
        dataset = self._dataset
        if not dataset.target.has_labels:
            return ()
        if dataset.label_file and self._data_dir:
            path = os.path.join(self._data_dir, dataset.label_file)
            if files.is_file(path):
                return _labels_of_file(path)
        return dataset.labels or self._labels_of_training_file()

    def _labels_of_training_file(self):
        dataset = self._dataset
        labels = tuple(sorted({
            text for location, row in self.training_records() if row
            for text in dataset.target.texts(row["label"], dataset.separator, location)}))
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
        return self._target.warning(scores)

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
        files.write_lines(paths[0], map("\t".join, rows))
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
        row["label"] for _, row in table.rows(path, False)))
    if len(labels) < 2:
        raise UserError("%s: expected two labels or more, an object with the key 'label' a line"
                        % path)
    return labels
