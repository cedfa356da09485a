"""Data sets of multiple choice, a row each: RACE, C3, ChID, and your own files.

    reader = DATASETS["c3"].reader
    questions = list(reader.read(reader.find("data/c3", "dev"), "dev"))
"""

import collections
import json
import os
import re

from util import files
from util.errors import UserError

import tensorflow.compat.v1 as tf

from tasks import base, json_input, names

# One question as read. location: "file line n" and the like, for errors; passage: texts that stand
# before, between and after its blanks, one text where it has none; blank: the index of the blank in
# question, or None; label: the index of the right choice, None where unknown; group: the part of
# the data set whose accuracy is given apart.
Question = collections.namedtuple(
    "Question", "id location passage blank question choices label group")

# reader: finds and reads the files; max_choices: what an example may have, None: no limit;
# submission: (paths that were read, {id: index}) -> (file name, lines), or None.
Dataset = collections.namedtuple("Dataset", "reader max_choices submission")

# The test files of CLUE 1.1 and 1.0, which hold all parts.
CLUE_TEST_FILES = ["test1.1.json", "test1.0.json", "test.json"]


class Reader(object):
    """A file form: where the files of a split lie, and how questions are read from them."""

    has_levels = False

    def find(self, data_dir, split):
        """The paths of a split, a list; a UserError if there are none."""
        raise NotImplementedError

    def beside(self, path, split):
        """The paths that belong to a custom file, itself the first."""
        return [path]

    def read(self, paths, split):
        """Yields a Question for each; label None where the test split has no answers."""
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

    def read(self, paths, split):
        for path in paths:
            level = os.path.basename(os.path.dirname(path))
            group = level if level in ("middle", "high") else None
            for record in json_input.read_file_or_lines(path):
                name = record.peek("id", os.path.basename(path))
                for question in self._questions(name, record, split == "test"):
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
                           question.text(), choices, answer and _letter(answer, choices), None)


class C3(Reader):
    """C3 as CLUE has it: {m,d}-{train,dev,test}.json, prose (m) and dialogues (d).

        [[["paragraph", ...], [{"question": "...", "choice": ["...", ...], "answer": "..."}], id]]
    """

    def find(self, data_dir, split):
        parts = ["m-%s.json" % split, "d-%s.json" % split]
        paths = [path for path in (base.existing(data_dir, [part]) for part in parts) if path]
        if paths:
            return paths
        return [base.find_file(
            data_dir, parts + (CLUE_TEST_FILES if split == "test" else []), split)]

    def read(self, paths, split):
        number = 0
        for path in paths:
            for record in json_input.read_file(path).nodes():
                fields = record.nodes("[paragraphs, questions, id]")
                if len(fields) < 2:
                    raise record.error("[paragraphs, questions, id]")
                passage = "\n".join(fields[0].texts(at_least=1))
                for question in fields[1].nodes("a list of questions"):
                    yield self._question(question, passage, number, split == "test")._replace(
                        group=_part(path))
                    number += 1

    def _question(self, record, passage, number, label_is_optional):
        text, choices = record.get("question").text(), record.get("choice").texts(at_least=2)
        label = None
        if not (label_is_optional and record.peek("answer") in (None, "")):
            label = _index(record.get("answer"), choices)
        return Question(record.peek("id", number), record.location, (passage,), None, text, choices,
                        label, None)


class Chid(Reader):
    """Idioms as CLUE's ChID: a JSON object a line, and their answers in a file beside it.

        {"content": ["他#idiom000378#地走了。"], "candidates": ["一心一意", "大摇大摆", ...]}
        train_answer.json: {"#idiom000378#": 1}

    Every blank is a question of its own.
    """

    tag = re.compile(r"#idiom\d+#")

    def find(self, data_dir, split):
        candidates = CLUE_TEST_FILES if split == "test" else [split + ".json"]
        return self.beside(base.find_file(data_dir, candidates, split), split)

    def beside(self, path, split):
        answers = os.path.splitext(path)[0] + "_answer.json"
        if files.is_file(answers):
            return [path, answers]
        if split == "test":
            return [path]
        raise UserError("%s: no such file; expected the answers of %s in it, {\"#idiom000378#\": "
                        "index}" % (answers, path))

    def read(self, paths, split):
        answers = json_input.read_file(paths[1]) if len(paths) > 1 else None
        for record in json_input.read_lines(paths[0]):
            choices = record.get("candidates").texts(at_least=2)
            for content in record.get("content").nodes():
                passage = tuple(self.tag.split(content.text()))
                for blank, name in enumerate(self.tag.findall(content.text())):
                    location = "%s %s" % (content.location, name)
                    label = None
                    if answers is not None:
                        if not answers.has(name):
                            raise UserError("%s: no answer in %s; every blank needs one"
                                            % (location, paths[1]))
                        label = _index(answers.get(name), choices)
                    yield Question(name, location, passage, blank, "", choices, label, None)


class JsonLines(Reader):
    """The user's own files, {train,dev,test}.jsonl or .json, an object a line.

        {"context": "...", "question": "...", "choices": ["...", "..."], "answer": 1}

    `answer` is the index from 0 or the choice's text; without "context" there is no passage.
    """

    def find(self, data_dir, split):
        return [base.find_file(data_dir, (split + ".jsonl", split + ".json"), split)]

    def read(self, paths, split):
        for number, record in enumerate(json_input.read_lines(paths[0]), 1):
            choices = record.get("choices").texts(at_least=2)
            label = None
            if not (split == "test" and record.peek("answer") in (None, "")):
                label = _index(record.get("answer"), choices)
            context = record.get("context").text() if record.has("context") else ""
            name = str(record.peek("id", "%s-%d" % (split, number)))
            yield Question(name, record.location, (context,), None,
                           record.get("question").text(), choices, label, None)


def _letter(answer, choices):
    """The index of an answer that is a letter: A, B, …"""
    letters = [chr(ord("A") + number) for number in range(len(choices))]
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
    match = re.match("([md])-", os.path.basename(path))
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
    "race": Dataset(Race(), max_choices=4, submission=None),
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
