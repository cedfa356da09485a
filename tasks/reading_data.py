"""Data sets of extractive reading, a row each: SQuAD, CMRC2018, DRCD; and the form of their files.

    questions = Reader("data/squad/dev-v1.1.json", "dev", with_negative=False).read()
"""

import collections
import re

from util import console
from util.errors import UserError

from tasks import json_input, names
from tasks.bad_lines import BadLines

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
    """Yields the objects with a context and questions, of SQuAD's or CMRC2018's own form, or with
    a context and one question, as Hugging Face exports them."""
    document = json_input.read_file(path)
    articles = document if isinstance(document.value, list) else document.get("data")
    for article in articles.nodes():
        if article.has("paragraphs"):
            yield from article.get("paragraphs").nodes()
        else:
            yield article


def _questions(paragraph):
    """The Nodes of a paragraph's questions."""
    if paragraph.has("question") and not paragraph.has("qas"):
        return [paragraph]
    return paragraph.get("qas").nodes()


def _answers(node):
    """The [(text, start or None)] of a question's answers: a list of them, or lists of each.

        [{"text": "光荣", "answer_start": 11}]; ["光荣"]; {"text": ["光荣"], "answer_start": [11]}
    """
    if not isinstance(node.value, dict):
        return [_answer(answer) for answer in node.nodes()]
    texts = node.get("text").texts()
    starts = ([_start(start) for start in node.get("answer_start").nodes()]
              if node.has("answer_start") else [None] * len(texts))
    if len(starts) != len(texts):
        raise node.error("one answer_start for each text",
                         "%d for %d texts" % (len(starts), len(texts)))
    return list(zip(texts, starts))


def _answer(record):
    """An answer, {"text", "answer_start"} or the bare text -> (text, start or None)."""
    if not isinstance(record.value, dict):
        return record.text(), None
    start = None
    if record.peek("answer_start") is not None:
        start = _start(record.get("answer_start"))
    return record.get("text").text(), start


def _start(node):
    if type(node.value) is not int:
        raise node.error("the number of the answer's first character")
    return node.value


def _is_impossible(record):
    value = record.peek("is_impossible")
    if value not in (True, False, None):
        raise record.get("is_impossible").error("true or false")
    return bool(value)


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

    Args:
      bad_lines: a BadLines that takes the questions that cannot be used; None: an error.

    Attributes:
      moved: answers that stand elsewhere than their answer_start says.
      missing: JSON paths of the questions none of whose answers stands in the context.
    """

    def __init__(self, path, split, with_negative, bad_lines=None):
        self.path = path
        self._bad_lines = bad_lines or BadLines()
        self.moved = 0
        self.missing = []
        self._split = split
        self._with_negative = with_negative

    def read(self):
        """A list of Question; in training without those that `missing` names."""
        questions, paths = [], {}  # {question id: JSON path}
        for paragraph in _paragraphs(self.path):
            records = ()
            with self._bad_lines.allowed():
                context, records = self._context(paragraph), _questions(paragraph)
            for record in records:
                with self._bad_lines.allowed() as line:
                    question = self._question(record, context, paths)
                if line.good:
                    paths[question.id] = record.path
                    label = question.label
                    if self._split != "train" or not label.texts or label.begin is not None:
                        questions.append(question)
        if not questions:
            raise UserError("%s: no questions%s" % (
                self.path, " whose answer stands in its context" if paths else " in this file"))
        return questions

    @staticmethod
    def _context(paragraph):
        node = paragraph.get("context", "context_text")
        if not node.text().strip():
            raise node.error("a text to read", "an empty text")
        return node.text()

    def _question(self, record, context, paths):
        name = record.get("id", "query_id").text()
        if name in paths:
            raise UserError("%s: id %r, which %s has already; every question needs its own"
                            % (record.location, name, paths[name]))
        text = record.get("question", "query_text").text()
        return Question(name, record.location, text, context, self._label(record, context))

    def _label(self, record, context):
        is_impossible = self._with_negative and _is_impossible(record)
        if is_impossible or (self._split == "test" and not record.has("answers")):
            return Label((), None, None) if is_impossible else None
        node = record.get("answers")
        answers = _answers(node)
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

    def report(self, questions):
        """Prints how many questions were read, and what is wrong."""
        self._bad_lines.report(self.path)
        empty = sum(question.label is not None and not question.label.texts
                    for question in questions)
        unknown = sum(question.label is None for question in questions)
        console.say("%s: %d questions on %d contexts%s%s", self.path, len(questions),
                    len({question.context for question in questions}),
                    ", %d of them without answer" % empty if empty else "",
                    ", %d whose answers are unknown" % unknown if unknown else "")
        if self.moved:
            console.say("%s: %d answers do not stand at their answer_start; the place nearest to "
                        "it is taken", self.path, self.moved)
        if self.missing:
            console.say("%s: %d questions have no answer that stands in the context, %s; the "
                        "first is %s", self.path, len(self.missing),
                        "dropped" if self._split == "train" else "kept and scored",
                        self.missing[0])
