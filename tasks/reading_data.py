"""Data sets of extractive reading, a row each: SQuAD, CMRC2018, DRCD; and the form of their files.

    questions = Reader("data/squad/dev-v1.1.json", "dev", with_negative=False).read()
"""

import collections
import re

from util import console
from util.errors import UserError

from tasks import json_input, names

# One question as read. location: for errors; label: None where the answers are unknown.
Question = collections.namedtuple("Question", "id location question context label")
# texts: every gold answer, none if the question has no answer; begin, end: context[begin:end] is
# the one to train on, None where there is none.
Label = collections.namedtuple("Label", "texts begin end")

# files: {split: names to look for}; evaluation: a key of reading_scores.EVALUATIONS;
# with_negative: whether questions may have no answer; submission: the name of CLUE's file, or None.
Dataset = collections.namedtuple("Dataset", "files evaluation with_negative submission")
Dataset.__new__.__defaults__ = (False, None)

DATASETS = {
    "squad": Dataset(
        {"train": ("train-v1.1.json",), "dev": ("dev-v1.1.json",),
         "test": ("test-v1.1.json", "dev-v1.1.json")}, "en"),
    "squad2": Dataset(
        {"train": ("train-v2.0.json",), "dev": ("dev-v2.0.json",),
         "test": ("test-v2.0.json", "dev-v2.0.json")}, "en", with_negative=True),
    "cmrc2018": Dataset(
        {"train": ("cmrc2018_train.json", "train.json"), "dev": ("cmrc2018_dev.json", "dev.json"),
         "test": ("cmrc2018_test_2k.json", "cmrc2018_test.json", "test.json")},
        "zh", submission="cmrc2018_predict.json"),
    "drcd": Dataset(
        {"train": ("DRCD_training.json", "train.json"), "dev": ("DRCD_dev.json", "dev.json"),
         "test": ("DRCD_test.json", "test.json")}, "zh"),
}
ALIASES = {"squad1": "squad", "squad1.1": "squad", "squad2.0": "squad2", "cmrc": "cmrc2018"}


def find(name):
    """A --task_name -> a key of DATASETS; a UserError that lists them all."""
    return names.find(name, sorted(DATASETS), ALIASES, " with --data_dir, or your own --train_file "
                      "and --predict_file without it")


def _paragraphs(path):
    """Yields the objects with a context and questions, of SQuAD's or CMRC2018's own form."""
    document = json_input.read_file(path)
    articles = document if isinstance(document.value, list) else document.get("data")
    for article in articles.nodes():
        if article.has("paragraphs"):
            yield from article.get("paragraphs").nodes()
        else:
            yield article


def _answer(record):
    """An answer, {"text", "answer_start"} or the bare text -> (text, start or None)."""
    if isinstance(record.value, str):
        return record.text(), None
    text, start = record.get("text").text(), record.peek("answer_start")
    if start is not None and type(start) is not int:
        raise record.get("answer_start").error("the number of the answer's first character")
    return text, start


def find_answer(context, text, start):
    """Where `text` stands in `context`: at `start`, or nearest to it; None if nowhere.

    find_answer("abcabc", "bc", 3) -> 4
    """
    if not text.strip():
        return None
    if start is not None and start >= 0 and context.startswith(text, start):
        return start
    begins = [match.start() for match in re.finditer("(?=%s)" % re.escape(text), context)]
    return min(begins, key=lambda begin: abs(begin - max(start or 0, 0))) if begins else None


class Reader(object):
    """Reads the questions of a file, and counts what is wrong with their answers.

    Attributes:
      moved: answers that stand elsewhere than their answer_start says.
      missing: JSON paths of the questions none of whose answers stands in the context.
    """

    def __init__(self, path, split, with_negative):
        self.path = path
        self.moved = 0
        self.missing = []
        self._split = split
        self._with_negative = with_negative

    def read(self):
        """A list of Question; in training without those that `missing` names."""
        questions, paths = [], {}  # {question id: JSON path}
        for paragraph in _paragraphs(self.path):
            node = paragraph.get("context", "context_text")
            context = node.text()
            if not context.strip():
                raise node.error("a text to read", "an empty text")
            for record in paragraph.get("qas").nodes():
                name = record.get("id", "query_id").text()
                if name in paths:
                    raise UserError("%s: id %r, which %s has already; every question needs its own"
                                    % (record.location, name, paths[name]))
                paths[name] = record.path
                text = record.get("question", "query_text").text()
                label = self._label(record, context)
                if self._split != "train" or not label.texts or label.begin is not None:
                    questions.append(Question(name, record.location, text, context, label))
        if not questions:
            raise UserError("%s: no questions%s" % (
                self.path, " whose answer stands in its context" if paths else " in this file"))
        return questions

    def _label(self, record, context):
        is_impossible = self._with_negative and bool(record.peek("is_impossible"))
        if is_impossible or (self._split == "test" and not record.has("answers")):
            return Label((), None, None) if is_impossible else None
        node = record.get("answers")
        answers = [_answer(answer) for answer in node.nodes()]
        if not answers:
            if self._with_negative:
                return Label((), None, None)
            if self._split == "test":
                return None
            raise UserError("%s: no answer, expected one or more; data with questions that have "
                            "none needs --version_2_with_negative" % node.location)
        texts = tuple(text for text, _ in answers)
        for text, start in answers:
            begin = find_answer(context, text, start)
            if begin is not None:
                self.moved += start not in (None, begin)
                return Label(texts, begin, begin + len(text))
        if self._split == "test" and all(start is None or start < 0 for _, start in answers):
            return None  # CLUE's test file has answers like "FAKE_ANSWER_1"
        self.missing.append(node.path)
        return Label(texts, None, None)

    def report(self):
        """Prints the counts, if any."""
        if self.moved:
            console.say("%s: %d answers do not stand at their answer_start; the place nearest to "
                        "it is taken", self.path, self.moved)
        if self.missing:
            console.say("%s: %d questions have no answer that stands in the context, %s; the "
                        "first is %s", self.path, len(self.missing),
                        "dropped" if self._split == "train" else "kept and scored",
                        self.missing[0])
