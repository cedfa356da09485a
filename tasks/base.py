"""What a fine-tuning task is: its files, examples, features, output layer, scores and predictions.

A family of tasks (tasks/classification.py) is a subclass of `Task`; a data set is a row in the
family's table (tasks/classification_data.py). `finetuning/harness.py` drives any of them and never
asks for a name.

Dimensions: B batch, S sequence, C choices of an example, H hidden, O outputs.
"""

import collections
import os

from util import files, text_lines
from util.errors import UserError

import tensorflow.compat.v1 as tf

import layers
from interchange import company
from tasks.bad_lines import BadLines

SPLITS = ("train", "dev", "test")

# A feature of one example: its shape, None where batches are padded with 0, and its type.
Feature = collections.namedtuple("Feature", "shape dtype")

# What every example's features hold: token ids and segments, and how many tokens there are. They
# are of one sequence, or of several choices that the model computes side by side.
SEQUENCE = {"input_ids": Feature((None,), tf.int32), "segment_ids": Feature((None,), tf.int32),
            "lengths": Feature((), tf.int32)}
CHOICES = {name: Feature((None,) + feature.shape, feature.dtype)
           for name, feature in SEQUENCE.items()}


def existing(directory, names):
    """The path of the first of several names, or of one compressed, that is a file, or None."""
    paths = (os.path.join(directory, some) for name in names
             for some in text_lines.compressed_names(name))
    return next(filter(files.is_file, paths), None)


def find_file(directory, names, split):
    """The path of the first of several names that exists, for a split's file.

    Raises:
      UserError: none does.
    """
    path = existing(directory, names)
    if path is None:
        raise UserError("no %s data: none of %s exists; check --data_dir" % (
            split, ", ".join(os.path.join(directory, name) for name in names)))
    return path


def known(examples, field, name, plural):
    """The values of a field that evaluation needs, or a UserError where an example has none.

    `name` and `plural` are what the error calls them: "no answer; answers are needed to evaluate".
    """
    for example in examples:
        if getattr(example, field) is None:
            raise UserError("%s: no %s; %s are needed to evaluate" % (
                example.location, name, plural))
    return [getattr(example, field) for example in examples]


def output_layer(hidden, size, config, dropout_rate, scope="", transposed=False):
    """A dense layer on what the encoder gives, [..., H] -> [..., O], with dropout before it.

    Its variables are `scope`output_weights [O, H] ([H, O] if transposed) and `scope`output_bias
    [O], as both original codes name them.
    """
    shape = [config.hidden_size, size] if transposed else [size, config.hidden_size]
    weights = tf.get_variable(scope + "output_weights", shape,
                              initializer=layers.initializer(config.initializer_range))
    bias = tf.get_variable(scope + "output_bias", [size], initializer=tf.zeros_initializer())
    hidden = layers.dropout(hidden, dropout_rate)
    return layers.matmul_last(hidden, weights if transposed else tf.transpose(weights), bias)


class Task(object):
    """What a family of tasks gives to finetuning/harness.py.

        task = Classification("lcqmc", DATASETS["lcqmc"], data_dir="data/lcqmc")
        task.setup()
        examples = task.examples("train")
        task.fit(examples)  # before a training graph is built

    Only `setup` and `examples` open files, each file once.

    Args:
      name: of the data set.
      dataset: its row in the family's table.
      data_dir: the directory of its files.
      custom_files: {split: path} of files outside `data_dir` or with other names; a path may be
        None.
      skip_bad_lines: leave out and count what would be an error in a line.

    Attributes:
      name: of the data set.
      metric: the name, among `score`'s, that decides which checkpoint is the best.
      larger_is_better: its direction.
      features: {name: Feature} of what `featurize` gives, SEQUENCE or CHOICES among them.
      pooled_only: whether `build` asks the model for get_pooled_output and nothing else, so that
        the last block need not be computed for the other tokens.
    """

    larger_is_better = True
    features = SEQUENCE
    pooled_only = False

    def __init__(self, name, dataset, data_dir, custom_files=None, skip_bad_lines=False):
        self.name = name
        self._dataset = dataset
        self._data_dir = data_dir
        self._custom_files = custom_files or {}
        self._training_records = None  # what `setup` read, until `examples` takes it
        # {split: the BadLines of its file}
        self._bad_lines = collections.defaultdict(lambda: BadLines(skip_bad_lines))

    def splits(self, split):
        """The parts of "train", "dev" or "test", as ("dev", "dev_mm"); the first one decides."""
        return (split,)

    def path(self, split):
        """The file of a split, or a list of them; a UserError if there is none."""
        raise NotImplementedError

    def setup(self, known=None):
        """Reads what the data set's row leaves open, such as the labels of the training file.

        Before it only `splits` and `path` may be called. A second call does nothing.

        Args:
          known: the `identity` of the run whose model is used, as run.json has it; then the
            training file need not exist. None, or that of another task: it is read.
        """

    def examples(self, split):
        """A list of namedtuples with a `location`, in file order.

        Raises:
          UserError: something in the file is not as it should be, with the file and the line.
        """
        raise NotImplementedError

    def fit(self, examples):
        """Takes from the training examples what the loss depends on, such as class weights."""

    def max_choices(self, examples):
        """How many choices an example has at most; None where `features` holds no CHOICES."""
        return

    def is_labelled(self, examples):
        """Whether all examples have what `score` compares predictions with."""
        return all(example.label is not None for example in examples)

    def identity(self):
        """A flat dict of what must not change when a run is continued: name, labels."""
        raise NotImplementedError

    def fingerprint(self):
        """A text of the settings of this task that the features of an example depend on."""
        raise NotImplementedError

    def featurize(self, example, tokenizer, max_seq_length):
        """Yields {name: array}, shaped as `features` says: one, or one for every window."""
        raise NotImplementedError

    def texts(self, example):
        """The texts of an example that its features are made of, a list."""
        raise NotImplementedError

    def limits(self, example, windows, tokenizer, max_seq_length):
        """Yields what of an example bounds its score from above, whatever the model says.

        Args:
          windows: what `featurize` gave of it, a list.

        Yields:
          (of what, which of them as the end of a sentence, how many, of how many), as ("texts",
          "are longer than --max_seq_length=128 and are cut", 0, 1).
        """
        raise NotImplementedError

    def build(self, config, model, features, is_training):
        """The task's output layer on an AlbertModel of the B (or B * C) sequences.

        Returns:
          (float [B], the loss of every example, {name: [B, ...]}, the predictions for `score`).
          Padded predictions may be longer in some batches than in others.
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

    # What follows is for subclasses.

    def known_labels(self, known):
        """The labels that `setup` is given; [] if they are not those of this task."""
        if not known or known.get("task") != self.name:
            return []
        return company.split_labels(known.get("labels", ""))

    def file_flag(self, split):
        """The flag that names a custom file of a split."""
        return split + "_file"

    def custom_file(self, split):
        """The path of a split's custom file, None without one; a UserError if it does not exist."""
        path = self._custom_files.get(split)
        return files.require_file(path, self.file_flag(split)) if path else None

    def directory(self, split):
        """--data_dir, or a UserError that names the flag of a custom file to give in its place."""
        if not self._data_dir:
            raise UserError("--data_dir is missing; name the directory of the data (or give --%s)"
                            % self.file_flag(split))
        return self._data_dir

    def find(self, split, names):
        """The path of a split's custom file, else of the first of `names` in --data_dir."""
        return self.custom_file(split) or find_file(self.directory(split), names, split)

    def read(self, split):
        """Yields what a split's file holds, before labels or tags are known; bad lines are taken by
        self._bad_lines[split]."""
        raise NotImplementedError

    def training_records(self):
        """For `setup`: a list of what `read` yields of the training file."""
        self._training_records = list(self.read("train"))
        return self._training_records

    def records(self, split):
        """For `examples`: what `read` yields of a split, which `setup` may have read already."""
        if split == "train" and self._training_records is not None:
            records, self._training_records = self._training_records, None
            return records
        return self.read(split)
