"""Data sets of multiple choice, a row each: RACE, C3, ChID, and your own files.

    reader = DATASETS["c3"].reader
    questions = list(reader.read(reader.find("data/c3", "dev"), "dev"))
"""

import collections
import itertools
import json
import os
import re

from util import files, text_lines
from util.errors import UserError

import tensorflow.compat.v1 as tf

from tasks import base, choice_windows, json_input, names
from tasks.bad_lines import BadLines

# One question as read. location: "file line n" and the like, for errors; passage: texts that stand
# before, between and after its blanks, one text where it has none; blank: the index of the blank in
# question, or None; label: the index of the right choice, None where unknown; group: the part of
# the data set whose accuracy is given apart.
Question = collections.namedtuple(
    "Question", "id location passage blank question choices label group")

# reader: finds and reads the files; max_choices: what an example may have, None: no limit;
# submission: (paths that were read, {id: index}) -> (file name, lines), or None; fills_blanks:
# whether a choice takes the place of "_" in its question.
Dataset = collections.namedtuple("Dataset", "reader max_choices submission fills_blanks")
Dataset.__new__.__defaults__ = (False,)

# The test files of CLUE 1.1 and 1.0, which hold all parts.
CLUE_TEST_FILES = ["test1.1.json", "test1.0.json", "test.json"]


class Reader(object):
    """A file form: where the files of a split lie, and how questions are read from them."""

    has_levels = False

    def find(self, data_dir, split):
        """The paths of a split, a list; a UserError if there are none."""
        raise NotImplementedError

    def beside(self, paths, split):
        """The paths that custom files make, with those that belong to them."""
        return paths

    def read(self, paths, split, bad_lines=None):
        """Yields a Question for each; label None where the test split has no answers.

        Args:
          bad_lines: a BadLines that takes what cannot be used; None: an error.
        """
        raise NotImplementedError


class Race(Reader):
    """RACE: {train,dev,test}/{middle,high}/*.txt, a JSON object a file or a line.

    Google's code wants all.txt, a level's objects a line each; beside the single files it is left
    out.

        {"article": "...", "questions": ["Tom is _ ."], "options": [["a boy", "a dog", ...]],
         "answers": ["A"], "id": "high1.txt"}
    """

    has_levels = True

    def __init__(self, levels=("middle", "high")):
        self._levels = levels

    def find(self, data_dir, split):
        # Google's run_race.py wants the directory above RACE, others the one below.
        roots = [os.path.join(data_dir, split), os.path.join(data_dir, "RACE", split)]
        root = next(filter(files.is_directory, roots), roots[0])
        paths = []
        for level in self._levels:
            directory = os.path.join(root, level)
            texts = files.is_directory(directory) and sorted(
                name for name in tf.gfile.ListDirectory(directory) if name.endswith(".txt"))
            if not texts:
                raise UserError("no %s data: no .txt files in %s; check --data_dir, which holds "
                                "RACE's train, dev and test, or read one level alone (--high_only, "
                                "--middle_only)" % (split, directory))
            single = [name for name in texts if name != "all.txt"]
            paths += [os.path.join(directory, name) for name in single or texts]
        return paths

    def read(self, paths, split, bad_lines=None):
        bad_lines = bad_lines or BadLines()
        for path in paths:
            level = os.path.basename(os.path.dirname(path))
            group = level if level in ("middle", "high") else None
            for _, record in json_input.read_records(path, bad_lines):
                with bad_lines.allowed() as line:
                    name = record.identifier(os.path.basename(path))
                    questions = list(self._questions(name, record, split == "test"))
                for question in questions if line.good else ():
                    yield question._replace(group=group)

    def _questions(self, name, record, label_is_optional):
        article, questions = record.get("article").text(), record.get("questions").nodes()
        options, answers = record.get("options").nodes(), [None] * len(questions)
        if record.has("answers") or not label_is_optional:
            answers = record.get("answers").nodes()
        for key, values in (("options", options), ("answers", answers)):
            if len(values) != len(questions):
                raise record.error("one for each", "%d %s for %d questions" % (
                    len(values), key, len(questions)))
        # Two files of RACE have no questions.
        for index, (question, option, answer) in enumerate(zip(questions, options, answers)):
            choices = option.texts(at_least=2)
            yield Question("%s-%d" % (name, index), question.location, (article,), None,
                           question.text(), choices,
                           answer and _letter(answer, choices, label_is_optional), None)


class C3(Reader):
    """C3 as CLUE has it: {m,d}-{train,dev,test}.json, prose (m) and dialogues (d).

        [[["paragraph", ...], [{"question": "...", "choice": ["...", ...], "answer": "..."}], id]]
    """

    def find(self, data_dir, split):
        # As CLUE calls them, and as the authors do.
        parts = [("m-%s.json" % split, "c3-m-%s.json" % split),
                 ("d-%s.json" % split, "c3-d-%s.json" % split)]
        paths = [path for path in (base.existing(data_dir, names) for names in parts) if path]
        if paths:
            return paths
        return [base.find_file(
            data_dir, list(itertools.chain(*parts)) + (CLUE_TEST_FILES if split == "test" else []),
            split)]

    def read(self, paths, split, bad_lines=None):
        bad_lines, number = bad_lines or BadLines(), 0
        for path in paths:
            for record in json_input.read_file(path).nodes():
                passage, questions = "", ()
                with bad_lines.allowed():
                    passage, questions = self._fields(record)
                for question in questions:
                    with bad_lines.allowed() as line:
                        read = self._question(question, passage, number, split == "test")
                    number += 1
                    if line.good:
                        yield read._replace(group=_part(path))

    @staticmethod
    def _fields(record):
        """(the passage, the Nodes of its questions)."""
        fields = record.nodes("[paragraphs, questions, id]")
        if len(fields) < 2:
            raise record.error("[paragraphs, questions, id]")
        return "\n".join(fields[0].texts(at_least=1)), fields[1].nodes("a list of questions")

    def _question(self, record, passage, number, label_is_optional):
        text, choices = record.get("question").text(), record.get("choice").texts(at_least=2)
        return Question(record.identifier(number), record.location, (passage,), None, text, choices,
                        _label(record, choices, label_is_optional), None)


class Chid(Reader):
    """Idioms as CLUE's ChID: a JSON object a line, and their answers in a file beside it.

        {"content": ["他#idiom000378#地走了。"], "candidates": ["一心一意", "大摇大摆", ...]}
        train_answer.json: {"#idiom000378#": 1}

    Every blank is a question of its own.
    """

    def find(self, data_dir, split):
        candidates = CLUE_TEST_FILES if split == "test" else [split + ".json"]
        return self.beside([base.find_file(data_dir, candidates, split)], split)

    def beside(self, paths, split):
        if len(paths) > 1:
            raise UserError("%s: several files, expected one; put ChID's lines into one file"
                            % ",".join(paths))
        directory, name = os.path.split(text_lines.without_compression(paths[0]))
        name = os.path.splitext(name)[0] + "_answer.json"
        answers = base.existing(directory, [name])
        if answers:
            return [paths[0], answers]
        if split == "test":
            return paths
        raise UserError("%s: no such file; expected the answers of %s in it, {\"#idiom000378#\": "
                        "index}" % (os.path.join(directory, name), paths[0]))

    def read(self, paths, split, bad_lines=None):
        bad_lines = bad_lines or BadLines()
        answers = json_input.read_file(paths[1]) if len(paths) > 1 else None
        for _, record in json_input.read_records(paths[0], bad_lines):
            with bad_lines.allowed() as line:
                questions = list(self._questions(record, answers))
            yield from questions if line.good else ()

    def _questions(self, record, answers):
        choices = record.get("candidates").texts(at_least=2)
        for content in record.get("content").nodes():
            passage = tuple(choice_windows.BLANK.split(content.text()))
            for blank, name in enumerate(choice_windows.BLANK.findall(content.text())):
                location = "%s %s" % (content.location, name)
                label = None
                if answers is not None:
                    if not answers.has(name):
                        raise UserError("%s: no answer in %s; every blank needs one"
                                        % (location, answers.location))
                    label = _index(answers.get(name), choices)
                yield Question(name, location, passage, blank, "", choices, label, None)


class JsonLines(Reader):
    """The user's own files, {train,dev,test}.jsonl or .json, an object a line.

        {"context": "...", "question": "...", "choices": ["...", "..."], "answer": 1}

    `answer` is the index from 0 or the choice's text; without "context" there is no passage. The
    choice follows its question, whatever stands in it.
    """

    def find(self, data_dir, split):
        return [base.find_file(data_dir, (split + ".jsonl", split + ".json"), split)]

    def read(self, paths, split, bad_lines=None):
        bad_lines = bad_lines or BadLines()
        for path in paths:
            for number, record in json_input.read_records(path, bad_lines):
                with bad_lines.allowed() as line:
                    question = self._question(number, record, split)
                if line.good:
                    yield question

    @staticmethod
    def _question(number, record, split):
        choices = record.get("choices").texts(at_least=2)
        context = record.get("context").text() if record.has("context") else ""
        name = str(record.identifier("%s-%d" % (split, number)))
        return Question(name, record.location, (context,), None, record.get("question").text(),
                        choices, _label(record, choices, split == "test", "choices"), None)


# What stands for an answer in test files that have none.
_NO_ANSWERS = (None, "", -1, "-1")


def _label(record, choices, is_optional, key="choice"):
    """The index of an object's "answer"; None in a test file without one."""
    if is_optional and record.peek("answer") in _NO_ANSWERS and (
            record.peek("answer") not in choices):
        return None
    answer = record.get("answer")
    if type(answer.value) is int and str(answer.value) in choices and any(
            type(choice) is int for choice in record.get(key).value):
        raise answer.error("the text of a choice in quotes, as the choices are numbers too")
    return _index(answer, choices)


def _letter(answer, choices, is_optional):
    """The index of an answer that is a letter: A, B, …; None in a test file without one."""
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    if is_optional and answer.value in _NO_ANSWERS:
        return None
    if answer.value not in letters:
        raise answer.error("one of " + " ".join(letters))
    return letters.index(answer.value)


def _index(answer, choices):
    """The index of an answer that is one, or that is the text of a choice."""
    value = answer.value
    if type(value) is int and 0 <= value < len(choices):
        return value
    if isinstance(value, str) and answer.text() in choices:
        return choices.index(answer.text())
    raise answer.error("an index from 0 to %d or one of %s"
                       % (len(choices) - 1, json_input.shown(choices)))


def _part(path):
    """"m" or "d" of a C3 file, else None."""
    match = re.match("(?:c3-)?([md])-", os.path.basename(path))
    return match and match.group(1)


def _version(paths):
    """The release of CLUE's test file, as its submissions are named."""
    return "11" if "1.1" in os.path.basename(paths[0]) else "10"


def _c3_submission(paths, chosen):
    return "c3%s_predict.json" % _version(paths), [
        json.dumps(collections.OrderedDict([("id", name), ("label", index)]))
        for name, index in chosen.items()]


def _chid_submission(paths, chosen):
    return "chid%s_predict.json" % _version(paths), [json.dumps(chosen, indent=0)]


DATASETS = {
    "race": Dataset(Race(), max_choices=4, submission=None, fills_blanks=True),
    "c3": Dataset(C3(), max_choices=4, submission=_c3_submission),
    "chid": Dataset(Chid(), max_choices=10, submission=_chid_submission),
    "jsonl": Dataset(JsonLines(), max_choices=None, submission=None),
}
ALIASES = {"clue_c3": "c3", "clue_chid": "chid"}


def find(name):
    """A --task_name -> a key of DATASETS; a UserError that lists them all."""
    return names.find(name, sorted(DATASETS), ALIASES)


def only(dataset, level):
    """A data set with levels -> that of one level, "high" or "middle".

    Raises:
      UserError: it has none.
    """
    if not dataset.reader.has_levels:
        raise UserError("--%s_only: this data set has no levels, only RACE does; leave the flag out"
                        % level)
    return dataset._replace(reader=type(dataset.reader)(levels=(level,)))
