"""Tagging of characters or words, as for named entities; its data sets are in tagging_data.py.

A file's unit is what has a tag of its own: a line of a CoNLL file (a character, or a word), a
character of a JSON text. Tags become entities when a file is read, whatever scheme it is in, and
predicted tags become entities before they are scored or written. So what is compared never depends
on the tokens the model saw, nor on the windows a long text was cut into.

Dimensions: B batch, S sequence, H hidden, T tags.
"""

import collections
import json
import os

from util import console, whole_files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf
from seqeval import metrics as seqeval_metrics
from seqeval.metrics import sequence_labeling

from interchange import company
from tasks import base, tables, tag_schemes, tagging_windows, targets


class Tagging(base.Task):
    """A tag a token: softmax over a dense layer on the last layer of the encoder.

        task = Tagging("weibo", tagging_data.DATASETS["weibo"], "data/weibo")
        task.setup()
        task.tags  # ("O", "B-GPE.NAM", "I-GPE.NAM", ...)

    A token is labelled by the unit in which it starts; further tokens of a unit have no label.
    Predicted tags become entities (`decode`), which reach over units without a token of their own
    (white space, dropped characters) where they go on behind them.

    Args:
      scheme: a name of tag_schemes.SCHEMES; None: that of the training file.
      dropout: its rate before the output layer.

    Attributes:
      scheme, types, tags: the scheme's name, the entities' types and all tags, after `setup`.
    """

    metric = "f1"
    features = dict(base.SEQUENCE, **{
        name: base.Feature((None,), tf.int32)
        for name in ("label_ids", "first_units", "last_units")})

    def __init__(self, name, dataset, data_dir, custom_files=None, scheme=None, dropout=0.1,
                 skip_bad_lines=False):
        super().__init__(name, dataset, data_dir, custom_files, skip_bad_lines)
        self._dropout = dropout
        self.scheme = scheme or dataset.sources["train"].table.scheme
        self.types, self.tags = dataset.labels, None

    def setup(self, known=None):
        """Finds scheme and types in the run or in the training file where row and flags leave them
        open."""
        if self.tags is not None:
            return
        labels = self.known_labels(known)
        if labels:
            self.scheme, self.types = (
                self.scheme or known.get("scheme"), self.types or tuple(labels))
        if not (self.scheme and self.types):
            self.scheme, types = self._dataset.sources["train"].table.survey(
                self.path("train"), self.training_records(), self.scheme,
                self._bad_lines["train"].skip)
            self.types = self.types or types
        self.tags = tag_schemes.tags_of(self.types, self.scheme)
        self._tag_ids = {tag: index for index, tag in enumerate(self.tags)}

    def is_labelled(self, examples):
        return all(example.entities is not None for example in examples)

    def identity(self):
        values = {"task": self.name, "labels": company.join_labels(self.types),
                  "scheme": self.scheme}
        # Said for who tags other texts; without it units are characters.
        joiner = getattr(self._dataset.sources["train"].table, "joiner", None)
        return dict(values, units="words") if joiner else values

    def fingerprint(self):
        return repr(self.tags)

    def path(self, split):
        return self.find(split, self._dataset.sources[split].names)

    def read(self, split):
        return self._dataset.sources[split].table.read(
            self.path(split), split, self._bad_lines[split])

    def examples(self, split):
        path, bad_lines = self.path(split), self._bad_lines[split]
        examples = list(self._dataset.sources[split].table.sentences(
            path, self.records(split), split, self.scheme, self.types, bad_lines))
        bad_lines.report(path)
        if not examples:
            raise UserError("%s: no sentences in this file" % path)
        if split == "test" and self.is_labelled(examples) and not any(
                example.entities for example in examples):
            console.say("%s: no line has an entity: the file is taken as one without tags", path)
            examples = [example._replace(entities=None) for example in examples]
        self._say_types(path, split, examples)
        return examples

    def _say_types(self, path, split, examples):
        """Prints how many sentences and entities of each type there are."""
        counts = collections.Counter(
            entity.type for example in examples for entity in example.entities or ())
        listed = ", ".join("%s %d" % (name, counts[name]) for name in self.types)
        console.say("%s: %d sentences; %s", path, len(examples),
                    "entities: " + listed if self.is_labelled(examples) else "no tags")
        if split == "train":
            for sentence in targets.alike(self.types):
                console.say("warning: %s: %s", path, sentence)

    def featurize(self, example, tokenizer, max_seq_length):
        tags = tag_schemes.encode(example.entities or [], len(example.ends), self.scheme)
        labels = np.array([0] + [self._tag_ids[tag] for tag in tags], np.int32)  # of 1 + unit
        for features in tagging_windows.windows(
                example.text, example.ends, tokenizer, max_seq_length):
            features["label_ids"] = labels[features["first_units"]]
            yield features

    def texts(self, example):
        return [example.text]

    def limits(self, example, windows, tokenizer, max_seq_length):
        if example.entities is None:
            return
        predictions = {name: [window[name] for window in windows]
                       for name in ("first_units", "last_units")}
        predicted, = self.entities([example], dict(
            predictions, example=[0] * len(windows),
            tag_ids=[window["label_ids"] for window in windows]))
        yield ("entities", "begin or end inside a token or in characters that have none, so they "
               "cannot be predicted", len(set(example.entities) - set(predicted)),
               len(example.entities))

    def build(self, config, model, features, is_training):
        logits = base.output_layer(
            model.get_sequence_output(), len(self.tags), config,
            self._dropout if is_training else 0.0, scope="tagging/", transposed=True)  # [B, S, T]
        counts = tf.cast(features["first_units"] > 0, tf.float32)  # [B, S]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=features["label_ids"], logits=logits)  # [B, S]
        loss = tf.reduce_sum(losses * counts, -1) / tf.maximum(tf.reduce_sum(counts, -1), 1.0)
        return loss, {"tag_ids": tf.argmax(logits, -1, output_type=tf.int32),
                      "first_units": features["first_units"],
                      "last_units": features["last_units"]}

    def entities(self, examples, predictions):
        """The predicted entities of every example, in order: a list of lists of Entity."""
        tokens = [[] for _ in examples]  # of each example
        for number, first, last, tag_ids in zip(
                predictions["example"], predictions["first_units"], predictions["last_units"],
                predictions["tag_ids"]):
            tokens[int(number)] += tagging_windows.labelled_tokens(first, last, tag_ids)
        return [tagging_windows.entities(of_example, self.tags) for of_example in tokens]

    def _tags_of(self, examples, entities, scheme):
        """The tags of every example's units; entities are the predicted ones, or None: the gold."""
        if entities is None:
            entities = base.known(examples, "entities", "tags", "tags")
        return [tag_schemes.encode(of_example, len(example.ends), scheme)
                for example, of_example in zip(examples, entities)]

    def score(self, examples, predictions):
        entities = self.entities(examples, predictions)
        # Entities are the same in every scheme; seqeval knows no BMES.
        precision, recall, f1, _ = sequence_labeling.precision_recall_fscore_support(
            self._tags_of(examples, None, "BIO"), self._tags_of(examples, entities, "BIO"),
            average="micro", zero_division=0)
        gold = np.concatenate(self._tags_of(examples, None, self.scheme))
        predicted = np.concatenate(self._tags_of(examples, entities, self.scheme))
        return {"precision": float(precision), "recall": float(recall), "f1": float(f1),
                "accuracy": float((gold == predicted).mean()),
                "majority_accuracy": float((gold == "O").mean())}

    def report(self, examples, predictions):
        """Precision, recall and F1 of every type."""
        entities = self.entities(examples, predictions)
        if not any(entities) and not any(example.entities for example in examples):
            return None
        return seqeval_metrics.classification_report(
            self._tags_of(examples, None, "BIO"), self._tags_of(examples, entities, "BIO"),
            digits=4, zero_division=0)

    def warning(self, scores):
        if scores["f1"] > 0 and scores["accuracy"] > scores["majority_accuracy"]:
            return None
        return ("f1 is %.4f and accuracy %.4f, where O everywhere has %.4f: the model has not "
                "learnt to find entities; check --init_checkpoint and that --vocab_file is its "
                "own, train longer (--num_train_epochs), or raise --learning_rate"
                % (scores["f1"], scores["accuracy"], scores["majority_accuracy"]))

    def errors(self, examples, predictions):
        for example, entities in zip(examples, self.entities(examples, predictions)):
            missed = sorted(set(example.entities or ()) - set(entities), key=lambda e: e.begin)
            spurious = sorted(set(entities) - set(example.entities or ()), key=lambda e: e.begin)
            if missed or spurious:
                yield collections.OrderedDict([
                    ("id", str(example.id)), ("place", example.location), ("text", example.text),
                    ("missed", _listed(example, missed)), ("spurious", _listed(example, spurious))])

    def write_predictions(self, directory, split, examples, predictions):
        """Tags as CoNLL, entities as JSON lines, and the data set's own form for a test split."""
        entities = self.entities(examples, predictions)
        paths = [os.path.join(directory, "%s_predictions.%s" % (split, ending))
                 for ending in ("conll", "json")]
        whole_files.write_lines(paths[0], self._conll_lines(examples, entities))
        whole_files.write_lines(paths[1], (json.dumps(
            {"id": example.id, "text": example.text, "entities": [
                _in_text(example, entity) for entity in of_example]}, ensure_ascii=False)
            for example, of_example in zip(examples, entities)))
        if split == "test" and self._dataset.submission:
            paths.append(os.path.join(directory, self._dataset.submission))
            whole_files.write_lines(paths[2], (json.dumps(
                {"id": example.id, "label": _as_label(example, of_example)}, ensure_ascii=False)
                for example, of_example in zip(examples, entities)))
        return paths

    def _conll_lines(self, examples, entities):
        """Yields "token TAB gold TAB predicted"; without the gold where an example lacks tags."""
        columns = [self._tags_of(examples, entities, self.scheme)]
        if self.is_labelled(examples):
            columns.insert(0, self._tags_of(examples, None, self.scheme))
        for example, tags in zip(examples, zip(*columns)):
            tokens = [example.text[start:end] for start, end in zip(example.starts, example.ends)]
            for cells in zip(tokens, *tags):
                yield "\t".join(map(tables.written, cells))
            yield ""


def _in_text(example, entity):
    """An Entity as people and programs want it: characters of the text, the end excluded."""
    start, end = example.starts[entity.begin], example.ends[entity.end - 1]
    return {"type": entity.type, "start": start, "end": end, "text": example.text[start:end]}


def _listed(example, entities):
    """Entities -> "name 叶老桂 (5-8); ..."."""
    return "; ".join("%(type)s %(text)s (%(start)d-%(end)d)" % _in_text(example, entity)
                     for entity in entities)


def _as_label(example, entities):
    """Entities in the form that JsonSpans reads: {type: {text: [[first, last], ...]}}."""
    label = collections.OrderedDict()
    for entity in (_in_text(example, entity) for entity in entities):
        names = label.setdefault(entity["type"], collections.OrderedDict())
        names.setdefault(entity["text"], []).append([entity["start"], entity["end"] - 1])
    return label
