"""Reading for an answer that is a piece of the text.

Its data sets are in tasks/reading_data.py, its output layers in tasks/reading_heads.py.
"""

import collections
import os

from util import files, whole_files

import numpy as np
import tensorflow.compat.v1 as tf

from tasks import (
    base,
    reading_answers,
    reading_data,
    reading_heads,
    reading_scores,
    reading_windows,
)

EXCERPT = 60  # characters on both sides of an answer in a list of errors


# What predictions say: {id: best text, perhaps ""}, {id: odds of "no answer"}, {id: n-best list},
# and the odds from which "no answer" is predicted.
Answers = collections.namedtuple("Answers", "best odds n_best threshold")


class Reading(base.Task):
    """The piece of a context that answers a question.

        task = Reading("squad", reading_data.DATASETS["squad"], "data/squad")
        task.examples("dev")[0]
        # Question(id="56be...", location="data/squad/dev-v1.1.json data[0].paragraphs[0].qas[0]",
        #          question="Which NFL team ...", context="Super Bowl 50 was ...",
        #          label=Label(texts=("Denver Broncos", ...), begin=177, end=191))

    A context that is too long is read in windows that overlap.

    Args: as the flags of run_squad.py, and
      null_score_diff_threshold: None for 0, or the one with the best F1 where the head's code looks
        for it and the examples have answers.
      head: a key of reading_heads.HEADS.
      dropout: its rate in the output layer, in training; None: as the head's original code.
    """

    metric = "f1"
    # context_mask: 1 for tokens of the context, 2 for those that have the most context here, 0 for
    # the question; char_starts, char_ends: where a token stands in the raw context.
    features = dict(
        base.SEQUENCE, start_positions=base.Feature((), tf.int32),
        end_positions=base.Feature((), tf.int32), context_mask=base.Feature((None,), tf.int32),
        char_starts=base.Feature((None,), tf.int32), char_ends=base.Feature((None,), tf.int32))

    def __init__(self, name, dataset, data_dir, custom_files=None, doc_stride=128,
                 max_query_length=64, n_best_size=20, max_answer_length=30,
                 null_score_diff_threshold=None, dropout=None, head="bert", start_n_top=5,
                 end_n_top=5, skip_bad_lines=False):
        super().__init__(name, dataset, data_dir, custom_files, skip_bad_lines)
        self._evaluation = reading_scores.EVALUATIONS[dataset.evaluation]
        self._doc_stride = doc_stride
        self._max_query_length = max_query_length
        self._max_answer_length = max_answer_length
        self._threshold = null_score_diff_threshold
        self._head_name = head
        self._head = reading_heads.create(head, reading_answers.Settings(
            n_best_size, max_answer_length, dataset.with_negative, start_n_top, end_n_top, dropout))
        self._encoded = (None, None)  # the last context, and what it was encoded to
        self._extracted = (None, None, None)  # the last examples and predictions, and their answers

    def identity(self):
        values = {"task": self.name, "evaluation": self._dataset.evaluation,
                  "version_2_with_negative": self._dataset.with_negative}
        # Directories of before there were two heads are BERT's.
        return values if self._head_name == "bert" else dict(values, squad_head=self._head_name)

    def fingerprint(self):
        # The last two decide `limits`, which stand beside the features.
        return repr((self._doc_stride, self._max_query_length, self._max_answer_length,
                     self._dataset.evaluation))

    def path(self, split):
        if not self._dataset.files:
            return files.require_file(self._custom_files.get(split), self.file_flag(split))
        return self.find(split, self._dataset.files[split])

    def file_flag(self, split):
        return "train_file" if split == "train" else "predict_file"

    def examples(self, split):
        reader = reading_data.Reader(self.path(split), split, self._dataset.with_negative,
                                     self._bad_lines[split])
        questions = reader.read()
        reader.report(questions)
        return questions

    def featurize(self, example, tokenizer, max_seq_length):
        """[CLS] question [SEP] context [SEP], for every window of the context."""
        context = self._encode(example.context, tokenizer)
        first, last = _answer_tokens(example.label, *context[1:])
        for (begin, end), features in reading_windows.sequences(
                example.question, context, tokenizer, max_seq_length, self._doc_stride,
                self._max_query_length):
            shift = len(features["input_ids"]) - 1 - end  # from tokens of the context
            inside = begin <= first and last < end
            features["start_positions"] = np.array([first + shift if inside else 0])
            features["end_positions"] = np.array([last + shift if inside else 0])
            yield features

    def texts(self, example):
        return [example.question, example.context]

    def limits(self, example, windows, tokenizer, max_seq_length):
        question = tokenizer.encode(example.question)
        yield ("questions", "are longer than --max_query_length=%d and are cut"
               % self._max_query_length, int(len(question) > self._max_query_length), 1)
        if example.label is None or not example.label.texts:
            return
        _, starts, ends = self._encode(example.context, tokenizer)
        spans = list(_answer_spans(example, starts, ends))
        exact = [last - first < self._max_answer_length for first, last, text in spans
                 if self._is_exact(text, example.label.texts)]
        yield ("answers", "begin or end inside a token, so no prediction of them is exact",
               int(bool(spans) and not exact), 1)
        yield ("answers", "have more tokens than --max_answer_length=%d, so they cannot be "
               "predicted" % self._max_answer_length, int(bool(exact) and not any(exact)), 1)

    def _is_exact(self, text, golds):
        return any(reading_scores.exact_match(text, gold, self._evaluation) for gold in golds)

    def _encode(self, context, tokenizer):
        """(list of ids, array of starts, array of ends); questions on a context stand together."""
        key = (context, tokenizer)
        if self._encoded[0] != key:
            self._encoded = key, reading_windows.encode(context, tokenizer)
        return self._encoded[1]

    def build(self, config, model, features, is_training):
        return self._head.build(config, model.get_sequence_output(), features, is_training)

    def n_best(self, examples, predictions):
        """Yields (Question, its n-best list, the odds of "no answer"), see reading_heads.Head."""
        bounds = np.searchsorted(predictions["example"], np.arange(len(examples) + 1))
        for example, begin, end in zip(examples, bounds, bounds[1:]):
            rows = {name: np.asarray(values[begin:end]) for name, values in predictions.items()}
            yield (example,) + self._head.n_best(example.context, rows)

    def _answers(self, examples, predictions):
        """The Answers of all examples."""
        # Scores, report, errors and files are asked for one after another.
        if self._extracted[0] is not examples or self._extracted[1] is not predictions:
            best, odds, n_best = (collections.OrderedDict() for _ in range(3))
            for example, likeliest, null_odds in self.n_best(examples, predictions):
                best[example.id] = self._head.best(likeliest)
                odds[example.id] = null_odds
                n_best[example.id] = likeliest
            answers = Answers(best, odds, n_best, self._threshold or 0.0)
            if (self._threshold is None and self._head.finds_threshold
                    and self._dataset.with_negative and self.is_labelled(examples)):
                threshold = self._scores_with_negative(examples, answers)["best_f1_thresh"]
                answers = answers._replace(threshold=threshold)
            self._extracted = examples, predictions, answers
        return self._extracted[2]

    def _final(self, answers):
        """{id: text} of what is predicted, "" for no answer."""
        if self._dataset.with_negative:
            return reading_scores.apply_threshold(
                answers.best, answers.odds, self._head.highest_odds(answers.threshold))
        return answers.best

    def _scores_with_negative(self, examples, answers):
        return reading_scores.squad2(
            _golds(examples), answers.best, answers.odds,
            self._head.highest_odds(answers.threshold), self._evaluation)

    def score(self, examples, predictions):
        golds = _golds(examples)
        answers = self._answers(examples, predictions)
        if self._dataset.with_negative:
            scores = self._scores_with_negative(examples, answers)
        else:
            scores = reading_scores.squad(golds, answers.best, self._evaluation)
        if self._evaluation.has_average:
            scores["average"] = (scores["exact_match"] + scores["f1"]) / 2
        return scores

    def report(self, examples, predictions):
        if not self._dataset.with_negative:
            return None
        scores = self.score(examples, predictions)
        return ("F1 %.3f and exact match %.3f at --null_score_diff_threshold=%g; the best F1 is "
                "%.3f at %.6f, the best exact match %.3f at %.6f" % (
                    scores["f1"], scores["exact_match"],
                    self._answers(examples, predictions).threshold, scores["best_f1"],
                    scores["best_f1_thresh"], scores["best_exact"], scores["best_exact_thresh"]))

    def warning(self, scores):
        remedy = ("nothing was learnt; start from a pre-trained --init_checkpoint with its own "
                  "vocabulary, train longer or try another --learning_rate")
        without_answer = 100.0 * scores.get("NoAns_total", 0) / scores.get("total", 1)
        if without_answer and scores["f1"] <= without_answer:
            return ("F1 %.3f is no better than never to answer (%.3f): %s, or another "
                    "--null_score_diff_threshold" % (scores["f1"], without_answer, remedy))
        if not without_answer and scores["exact_match"] < 1.0:
            return "exact match %.3f %% is that of guessing: %s" % (scores["exact_match"], remedy)
        return None

    def errors(self, examples, predictions):
        answers = self._answers(examples, predictions)
        final = self._final(answers)
        judge = (reading_scores.judge_with_negative if self._dataset.with_negative
                 else reading_scores.judge)
        for example in examples:
            if example.label is None:
                continue
            exact, f1 = judge(final[example.id], example.label.texts, self._evaluation)
            if exact < 1.0:
                yield collections.OrderedDict([
                    ("id", example.id), ("question", example.question),
                    ("gold", " | ".join(collections.OrderedDict.fromkeys(example.label.texts))),
                    ("predicted", final[example.id]), ("f1", "%.3f" % f1),
                    ("context", excerpt(example, answers.best[example.id]))])

    def write_predictions(self, directory, split, examples, predictions):
        """predictions.json, nbest_predictions.json, and null_odds.json where answers may lack.

        They are {question id: ...}, as the scripts of SQuAD and CMRC2018 read them; those of
        another split than "test" bear its name in front.
        """
        answers = self._answers(examples, predictions)
        final = self._final(answers)
        prefix = "" if split == "test" else split + "_"
        contents = [(prefix + "predictions.json", final),
                    (prefix + "nbest_predictions.json", answers.n_best)]
        if self._dataset.with_negative:
            contents.append((prefix + "null_odds.json", answers.odds))
        if self._dataset.submission and split == "test":
            contents.append((self._dataset.submission, final))
        paths = []
        for name, content in contents:
            paths.append(os.path.join(directory, name))
            whole_files.write_json(paths[-1], content)
        return paths


def _golds(examples):
    """{id: list of gold texts}; a UserError where they are unknown."""
    labels = base.known(examples, "label", "answer", "answers")
    return collections.OrderedDict(
        (example.id, list(label.texts)) for example, label in zip(examples, labels))


def _answer_tokens(label, starts, ends):
    """The first and the last token that a label's text shares characters with; (-1, -1): none."""
    if label is None or label.begin is None:
        return -1, -1
    inside = np.flatnonzero((ends > label.begin) & (starts < label.end))
    return (inside[0], inside[-1]) if len(inside) else (-1, -1)


def _answer_spans(question, starts, ends):
    """Yields (first token, last token, their text) of every place where a gold answer stands."""
    for text in question.label.texts:
        begin = question.context.find(text) if text else -1
        while begin >= 0:
            first, last = _answer_tokens(
                question.label._replace(begin=begin, end=begin + len(text)), starts, ends)
            if first >= 0:
                yield first, last, question.context[starts[first]:ends[last]]
            begin = question.context.find(text, begin + 1)


def excerpt(question, answer):
    """The context around the gold answer, or around the predicted one where there is none."""
    begin, end = question.label.begin, question.label.end
    if begin is None:
        begin = max(0, question.context.find(answer))
        end = begin + len(answer)
    first, last = max(0, begin - EXCERPT), end + EXCERPT
    return ("…" if first else "") + question.context[first:last] + (
        "…" if last < len(question.context) else "")
