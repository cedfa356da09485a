"""Multiple choice over a passage; its data sets are in tasks/choice_data.py.

Dimensions: B batch, C choices of an example, S sequence, H hidden.
"""

import collections
import json
import os

from util import console, files, whole_files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import layers
from tasks import base, choice_windows

EXCERPT = 100  # characters of a passage in a list of errors


class Choice(base.Task):
    """The right one of several answers to a question about a passage: softmax over the choices.

        task = Choice("c3", choice_data.DATASETS["c3"], "data/c3")
        task.examples("dev")[0]
        # Question(id=0, location="data/c3/m-dev.json [0][1][0]", passage=("梅兰芳...",),
        #          blank=None, question="...", choices=["...", ...], label=2, group="m")

    Args:
      max_qa_length: tokens of question and choice together, at most.
      dropout: its rate before the output layer.
    """

    metric = "accuracy"
    features = dict(base.CHOICES, label_ids=base.Feature((), tf.int32))
    pooled_only = True

    def __init__(self, name, dataset, data_dir, custom_files=None, max_qa_length=128, dropout=0.1,
                 skip_bad_lines=False):
        super().__init__(name, dataset, data_dir, custom_files, skip_bad_lines)
        self._max_qa_length = max_qa_length
        self._dropout = dropout

    def max_choices(self, examples):
        return self._dataset.max_choices or max(len(example.choices) for example in examples)

    def identity(self):
        return {"task": self.name}

    def fingerprint(self):
        return repr((self._max_qa_length, self._dataset.fills_blanks))

    def path(self, split):
        paths = self._paths(split)
        return paths if len(paths) > 1 else paths[0]

    def _paths(self, split):
        custom = self._custom_files.get(split)
        if custom:
            # A data set's parts may be files of their own: c3-m-dev.json,c3-d-dev.json
            custom = [custom] if files.is_file(custom) else custom.split(",")
            return self._dataset.reader.beside(
                [files.require_file(path, self.file_flag(split)) for path in custom], split)
        return self._dataset.reader.find(self.directory(split), split)

    def examples(self, split):
        paths, bad_lines = self._paths(split), self._bad_lines[split]
        questions = []
        for question in self._dataset.reader.read(paths, split, bad_lines):
            with bad_lines.allowed() as line:
                self._check(question)
            questions += [question] if line.good else []
        location = paths[0] if len(paths) == 1 else "%s and %d more" % (paths[0], len(paths) - 1)
        bad_lines.report(location)
        if not questions:
            raise UserError("%s: no questions in %s"
                            % (paths[0], "this file" if len(paths) == 1 else "these files"))
        if self._dataset.submission and split == "test":
            _check_ids(questions)
        _say_answers(location, questions)
        return questions

    def _check(self, question):
        limit = self._dataset.max_choices
        if limit and len(question.choices) > limit:
            raise UserError("%s: %d choices, %s has at most %d; use --task_name=jsonl for "
                            "questions of your own" % (
                                question.location, len(question.choices), self.name, limit))

    def featurize(self, example, tokenizer, max_seq_length):
        """The sequences of all choices side by side, see `choice_windows.sequences`."""
        packed = choice_windows.sequences(example, tokenizer, max_seq_length, self._max_qa_length,
                                          self._dataset.fills_blanks)
        lengths = np.concatenate([features["lengths"] for features in packed])
        features = {"lengths": lengths, "label_ids": np.array([example.label or 0], np.int32)}
        for name in ("input_ids", "segment_ids"):
            features[name] = np.zeros([len(packed), lengths.max()], np.int32)
            for row, choice in zip(features[name], packed):
                row[:len(choice[name])] = choice[name]
        yield features

    def texts(self, example):
        return list(example.passage) + [example.question] + example.choices

    def limits(self, example, windows, tokenizer, max_seq_length):
        lengths = windows[0]["lengths"]
        answers = [len(tokenizer.encode(choice_windows.join(
            example.question, choice, self._dataset.fills_blanks))) for choice in example.choices]
        limit = choice_windows.answer_limit(max_seq_length, self._max_qa_length)
        yield ("questions", "have a choice with which they are longer than %d tokens "
               "(--max_qa_length, half of --max_seq_length) and lose their beginning" % limit,
               int(max(answers) > limit), 1)
        passage = len(choice_windows.passage_ids(example, tokenizer)[0])
        is_cut = max(lengths) == max_seq_length and (
            passage + min(max(answers), limit) + 3 > max_seq_length)
        yield ("passages", "are longer than --max_seq_length=%d leaves room for and are cut"
               % max_seq_length, int(is_cut), 1)

    def build(self, config, model, features, is_training):
        logits = base.output_layer(model.get_pooled_output(), 1, config,
                                   self._dropout if is_training else 0.0)  # [B * C, 1]
        is_choice = tf.reduce_max(features["input_mask"], axis=-1)  # [B, C], 0: padding
        logits = tf.reshape(logits, layers.shape_list(is_choice))
        logits += (1.0 - tf.cast(is_choice, logits.dtype)) * -1e9
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.reshape(features["label_ids"], [-1]), logits=logits)
        return loss, {"probabilities": tf.nn.softmax(logits)}

    def score(self, examples, predictions):
        labels = base.known(examples, "label", "answer", "answers")
        probabilities = list(_of_choices(examples, predictions))
        is_right = np.array([row.argmax() == label for label, row in zip(labels, probabilities)])
        scores = {
            "accuracy": float(is_right.mean()),
            "chance_accuracy": float(np.mean([1.0 / len(row) for row in probabilities])),
            "majority_accuracy": float(np.bincount(labels).max() / len(labels)),
            "loss": float(-np.mean([np.log(max(row[label], 1e-30))
                                    for label, row in zip(labels, probabilities)]))}
        groups = np.array([example.group or "" for example in examples])
        for group in sorted(set(groups) - {""}):
            scores["accuracy_%s" % group] = float(is_right[groups == group].mean())
        return scores

    def warning(self, scores):
        if scores["accuracy"] > max(scores["chance_accuracy"], scores["majority_accuracy"]):
            return None
        return ("accuracy %.4f is no better than guessing (%.4f by chance, %.4f by one position "
                "always): nothing was learnt; start from a pre-trained --init_checkpoint, train "
                "longer or try another --learning_rate" % (
                    scores["accuracy"], scores["chance_accuracy"], scores["majority_accuracy"]))

    def errors(self, examples, predictions):
        for example, row in zip(examples, _of_choices(examples, predictions)):
            if example.label is not None and row.argmax() != example.label:
                yield collections.OrderedDict([
                    ("id", str(example.id)), ("place", example.location),
                    ("question", example.question), ("passage", excerpt(example)),
                    ("chosen", example.choices[row.argmax()]),
                    ("right", example.choices[example.label]),
                    ("probability_chosen", "%.4f" % row.max()),
                    ("probability_right", "%.4f" % row[example.label])])

    def write_predictions(self, directory, split, examples, predictions):
        """JSON lines of id, answer (index), text, probabilities; for CLUE its submission too."""
        paths = [os.path.join(directory, "%s_predictions.json" % split)]
        lines, chosen = [], collections.OrderedDict()
        for example, row in zip(examples, _of_choices(examples, predictions)):
            chosen[example.id] = int(row.argmax())
            lines.append(json.dumps(collections.OrderedDict([
                ("id", example.id), ("answer", int(row.argmax())),
                ("text", example.choices[row.argmax()]),
                ("probabilities", [round(float(value), 6) for value in row])]),
                ensure_ascii=False))
        whole_files.write_lines(paths[0], lines)
        if self._dataset.submission and split == "test":
            name, submitted = self._dataset.submission(self._paths(split), chosen)
            paths.append(os.path.join(directory, name))
            whole_files.write_lines(paths[1], submitted)
        return paths


def _of_choices(examples, predictions):
    """Yields the probabilities of each example's own choices, without those of padding."""
    for example, row in zip(examples, predictions["probabilities"]):
        yield np.asarray(row)[:len(example.choices)]


def _check_ids(questions):
    """A UserError where two questions have one id, by which a submission names them."""
    locations = {}
    for question in questions:
        if question.id in locations:
            raise UserError("%s: id %r, which %s has already; every question needs its own"
                            % (question.location, question.id, locations[question.id]))
        locations[question.id] = question.location


def _say_answers(location, questions):
    """Prints how many questions there are, and how often each position is the right one."""
    counts = collections.Counter(question.label for question in questions)
    unknown = counts.pop(None, 0)
    answers = ", ".join("%d %d" % item for item in sorted(counts.items()))
    console.say("%s: %d questions; %s", location, len(questions),
                "positions of the answers: " + answers if answers else "no answers")
    if answers and unknown:
        console.say("%s: %d questions have no answer, so there will be no scores of this file",
                    location, unknown)
    twice = sum(question.label is not None and
                question.choices.count(question.choices[question.label]) > 1
                for question in questions)
    if twice:
        console.say("%s: in %d questions another choice is the same text as the answer; the first "
                    "one counts", location, twice)


def excerpt(example):
    """A question's passage for people: its beginning, or what lies around its blank."""
    text, middle = "", None
    for index, part in enumerate(example.passage):
        text += part
        if index == example.blank:
            middle = len(text)
            text += "____"
        elif index < len(example.passage) - 1:
            text += "…"
    part = choice_windows.window(text, middle, EXCERPT)
    return part if part == text else part + "…"
