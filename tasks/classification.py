"""Classification of sentences and of sentence pairs; a data set is a row of DATASETS."""

import collections

import numpy as np
import tensorflow.compat.v1 as tf

import files
import tokenization
from errors import UserError
from tasks import base, metrics
from tasks.base import JsonLines, Source, Tsv

# sources: {split: Source}; labels: in the order of their ids, None: those of the training file;
# aliases: other spellings of labels; metric: which score picks the best checkpoint.
Dataset = collections.namedtuple("Dataset", "sources labels metric aliases")
Dataset.__new__.__defaults__ = ("accuracy", {})

_PAIR = Tsv({"text_a": 0, "text_b": 1, "label": 2}, width=3)
_XNLI_TRAIN = Tsv({"text_a": "premise", "text_b": "hypo", "label": "label"}, header=True)
_XNLI_SPLIT = Tsv({"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"},
                  header=True, where={"language": "zh"})

DATASETS = {
    "lcqmc": Dataset(
        {split: Source((split + ".txt", split + ".tsv"), _PAIR) for split in base.SPLITS},
        labels=("0", "1")),
    "xnli": Dataset(
        {"train": Source(("multinli/multinli.train.zh.tsv",
                          "XNLI-MT-1.0/multinli/multinli.train.zh.tsv", "multinli.train.zh.tsv"),
                         _XNLI_TRAIN),
         "dev": Source(("xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv"), _XNLI_SPLIT),
         "test": Source(("xnli.test.tsv", "XNLI-1.0/xnli.test.tsv"), _XNLI_SPLIT)},
        labels=("contradiction", "entailment", "neutral"),
        aliases={"contradictory": "contradiction"}),
}
ALIASES = {"lcqmc_pair": "lcqmc"}


def own_dataset(kind, text_a, text_b, label, labels, header):
    """A data set of the user's own files, from flags.

    Args:
      kind: "tsv" or "jsonl".
      text_a, text_b, label: columns, by name (with a header, or JSON keys) or by number from 0;
        text_b None for single sentences.
      labels: list of labels, or None to take those of the training file.
      header: whether a TSV begins with a header.
    """
    columns = collections.OrderedDict(
        (field, column) for field, column in (("text_a", text_a), ("text_b", text_b),
                                              ("label", label)) if column not in (None, ""))
    if kind == "jsonl":
        table, endings = JsonLines(columns), (".jsonl", ".json")
    else:
        if not header:
            for field, column in columns.items():
                if not column.isdigit():
                    raise UserError("--%s_column=%s: not a number; without a header (--header) a "
                                    "column is its number from 0" % (field, column))
            columns = {field: int(column) for field, column in columns.items()}
        table, endings = Tsv(columns, header=header), (".tsv", ".txt")
    sources = {split: Source(tuple(split + ending for ending in endings), table)
               for split in base.SPLITS}
    return Dataset(sources, labels=tuple(labels) if labels else None)


class Classification(base.Task):
    """One label a sentence or pair: softmax over a dense layer on the pooled output.

        task = Classification("lcqmc", DATASETS["lcqmc"], "data/lcqmc")
        task.examples("dev")[0]
        # Example(id="dev-1", place="data/lcqmc/dev.txt line 1", text_a=..., text_b=..., label=1)
    """

    def __init__(self, name, dataset, data_dir, own_files=None):
        """`own_files` is {split: path} for splits that lie outside `data_dir`'s usual names."""
        self.name = name
        self.metric = dataset.metric
        self._dataset = dataset
        self._data_dir = data_dir
        self._own_files = own_files or {}
        self.labels = dataset.labels or self._labels_of_training_file()
        self._label_ids = {label: index for index, label in enumerate(self.labels)}
        for other, label in dataset.aliases.items():
            self._label_ids[other] = self._label_ids[label]

    def identity(self):
        return {"task": self.name, "labels": ",".join(self.labels)}

    def fingerprint(self, split):
        return repr((self.labels, self._dataset.sources[split].table))

    def path(self, split):
        if self._own_files.get(split):
            return files.require_file(self._own_files[split], "%s_file" % split)
        if not self._data_dir:
            raise UserError("--data_dir is missing; name the directory of the data (or give "
                            "--%s_file)" % split)
        return self._dataset.sources[split].find(self._data_dir, split)

    def examples(self, split):
        path = self.path(split)
        table = self._dataset.sources[split].table
        examples = []
        for number, (place, row) in enumerate(table.rows(path, split == "test"), 1):
            if not row["text_a"] or row.get("text_b") == "":
                raise UserError("%s: an empty text; every line needs all its texts" % place)
            examples.append(base.Example("%s-%d" % (split, number), place, row["text_a"],
                                         row.get("text_b"), self._label_id(place, row)))
        if not examples:
            raise UserError("%s: no examples in this file" % path)
        return examples

    def _label_id(self, place, row):
        if "label" not in row:
            return None
        if row["label"] not in self._label_ids:
            raise UserError("%s: unknown label %r, expected one of %s"
                            % (place, row["label"], ", ".join(self.labels)))
        return self._label_ids[row["label"]]

    def _labels_of_training_file(self):
        rows = self._dataset.sources["train"].table.rows(self.path("train"), False)
        labels = tuple(sorted({row["label"] for _, row in rows}))
        if len(labels) < 2:
            raise UserError("%s: the label column holds %s; expected two labels or more"
                            % (self.path("train"), ", ".join(map(repr, labels)) or "nothing"))
        return labels

    def featurize(self, example, tokenizer, max_seq_length):
        ids, segments = pack(tokenizer.encode(example.text_a),
                             tokenizer.encode(example.text_b) if example.text_b else None,
                             tokenizer, max_seq_length)
        return {"input_ids": ids, "segment_ids": segments,
                "label_ids": np.array([0 if example.label is None else example.label])}

    def build(self, config, model, features, is_training):
        # The names and the dropout of 0.1 are those of both original codes.
        pooled = tf.nn.dropout(model.get_pooled_output(), rate=0.1 if is_training else 0.0)
        weights = tf.get_variable(
            "output_weights", [len(self.labels), config.hidden_size],
            initializer=tf.truncated_normal_initializer(stddev=0.02))
        bias = tf.get_variable("output_bias", [len(self.labels)],
                               initializer=tf.zeros_initializer())
        logits = tf.matmul(pooled, weights, transpose_b=True) + bias  # [B, L]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.reshape(features["label_ids"], [-1]), logits=logits)
        return loss, {"probabilities": tf.nn.softmax(logits)}

    def score(self, examples, predictions):
        labels = [example.label for example in examples]
        if None in labels:
            raise UserError("%s: no label; labels are needed to evaluate"
                            % examples[labels.index(None)].place)
        probabilities = predictions["probabilities"]
        scores = metrics.classification(labels, probabilities.argmax(-1), len(self.labels))
        scores["loss"] = metrics.cross_entropy(labels, probabilities)
        return scores

    def write_predictions(self, path, examples, predictions):
        """A TSV with header: the input's id, the likeliest label, every label's probability."""
        header = ["id", "label"] + ["probability_%s" % label for label in self.labels]
        with files.replacing(path) as temporary, tf.gfile.GFile(temporary, "w") as stream:
            stream.write("\t".join(header) + "\n")
            for example, row in zip(examples, predictions["probabilities"]):
                cells = [example.id, self.labels[row.argmax()]] + ["%.6f" % value for value in row]
                stream.write("\t".join(cells) + "\n")


def pack(first, second, tokenizer, max_seq_length):
    """Token ids of one or two texts -> (input_ids, segment_ids), each int32 [L], L <= S.

    [CLS] first [SEP] (second [SEP]); the longer text loses tokens at its end first (as BERT).
    """
    second = second or []
    room = max_seq_length - (3 if second else 2)
    keep_first, keep_second = tokenization.fit_pair(len(first), len(second), room)
    ids = [tokenizer.cls_id] + list(first[:keep_first]) + [tokenizer.sep_id]
    segments = [0] * len(ids)
    if second:
        ids += list(second[:keep_second]) + [tokenizer.sep_id]
        segments += [1] * (keep_second + 1)
    return np.array(ids, np.int32), np.array(segments, np.int32)
