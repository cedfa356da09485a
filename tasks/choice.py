"""Multiple choice over a passage; a data set is a row of DATASETS.

Dimensions: B batch, C choices of an example, S sequence, H hidden.
"""

import collections
import json
import os
import re

from util import files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import layers
from tasks import base

# One question as read. passage: texts that stand before, between and after its blanks, one text
# where it has none; blank: which of the blanks is asked, or None; label: the index of the right
# choice, None where unknown; group: the part of the data set whose accuracy is given apart.
Question = collections.namedtuple(
    "Question", "id place passage blank question choices label group")

# reader: finds and reads the files; max_choices: what an example may have, None: no limit;
# submission: (paths that were read, {id: index}) -> (file name, lines), or None.
Dataset = collections.namedtuple("Dataset", "reader max_choices submission")

# What an idiom that is not asked looks like (as CLUE's baseline: idioms have four characters).
MASKS_OF_OTHER_BLANKS = 4
# The test files of CLUE 1.1 and 1.0, which hold all parts.
CLUE_TEST_FILES = ["test1.1.json", "test1.0.json", "test.json"]
EXCERPT = 100  # characters of a passage in a list of errors


class Reader(object):
    """A file form: where the files of a split lie, and how questions are read from them."""

    has_levels = False

    def find(self, data_dir, split):
        """The paths of a split, a list; a UserError if there are none."""
        raise NotImplementedError

    def beside(self, path, split):
        """The paths that belong to a file which was given by a flag, `path` the first."""
        return [path]

    def read(self, paths, split):
        """Yields a Question for each; label None where the test split has no answers."""
        raise NotImplementedError


class Race(Reader):
    """RACE: {train,dev,test}/{middle,high}/*.txt, a JSON object a file or a line.

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
            found = files.is_directory(directory) and sorted(
                name for name in tf.gfile.ListDirectory(directory) if name.endswith(".txt"))
            if not found:
                raise UserError("no %s data: no .txt files in %s; check --data_dir, which holds "
                                "RACE's train, dev and test, or read one level alone (--high_only, "
                                "--middle_only)" % (split, directory))
            paths += [os.path.join(directory, name) for name in found]
        return paths

    def read(self, paths, split):
        for path in paths:
            level = os.path.basename(os.path.dirname(path))
            group = level if level in ("middle", "high") else None
            for place, record in _json_records(path):
                name = os.path.basename(path)
                for question in self._questions(place, name, record, split == "test"):
                    yield question._replace(group=group)

    def _questions(self, place, name, record, label_is_optional):
        article = _get(record, "article", str, place)
        questions = _get(record, "questions", list, place)
        answers = None
        if not (label_is_optional and "answers" not in record):
            answers = _get(record, "answers", list, place)
        options = _get(record, "options", list, place)
        for key, values in (("options", options), ("answers", answers)):
            if values is not None and len(values) != len(questions):
                raise UserError("%s: %d %s for %d questions; expected one for each"
                                % (place, len(values), key, len(questions)))
        for index, question in enumerate(questions):  # two files of RACE have none
            here = "%s questions[%d]" % (place, index)
            if not isinstance(question, str):
                raise UserError("%s: expected a text, found %s" % (here, _kind(question)))
            choices = _texts(options[index], "%s options[%d]" % (place, index))
            label = None
            if answers is not None:
                letters = [chr(ord("A") + number) for number in range(len(choices))]
                if answers[index] not in letters:
                    raise UserError("%s answers[%d]: expected one of %s, found %s" % (
                        place, index, " ".join(letters), _shown(answers[index])))
                label = letters.index(answers[index])
            yield Question("%s-%d" % (record.get("id", name), index), here, (article,), None,
                           question, choices, label, None)


class C3(Reader):
    """C3 as CLUE has it: {m,d}-{train,dev,test}.json, prose (m) and dialogues (d).

        [[["paragraph", ...], [{"question": "...", "choice": ["...", ...], "answer": "..."}], id]]
    """

    def find(self, data_dir, split):
        names = ["m-%s.json" % split, "d-%s.json" % split]
        found = [path for path in (os.path.join(data_dir, name) for name in names)
                 if files.is_file(path)]
        if found:
            return found
        if split == "test":
            names += CLUE_TEST_FILES
        return [base.Source(names, None).find(data_dir, split)]

    def read(self, paths, split):
        number = 0
        for path in paths:
            for index, record in enumerate(_json_list(path)):
                place = "%s [%d]" % (path, index)
                if not isinstance(record, list) or len(record) < 2:
                    raise UserError("%s: expected [paragraphs, questions, id], found %s"
                                    % (place, _kind(record)))
                paragraphs = _texts(record[0], "%s[0]" % place, 1)
                if not isinstance(record[1], list):
                    raise UserError("%s[1]: expected a list of questions, found %s"
                                    % (place, _kind(record[1])))
                for position, question in enumerate(record[1]):
                    yield self._question("%s[1][%d]" % (place, position), question, paragraphs,
                                         number, split == "test")._replace(group=_part(path))
                    number += 1

    def _question(self, place, record, paragraphs, number, label_is_optional):
        text = _get(record, "question", str, place)
        choices = _texts(_get(record, "choice", list, place), "%s.choice" % place)
        label = None
        if not (label_is_optional and record.get("answer") in (None, "")):
            label = _label(_get(record, "answer", str, place), choices, "%s.answer" % place)
        return Question(record.get("id", number), place, ("\n".join(paragraphs),), None, text,
                        choices, label, None)


class Chid(Reader):
    """Idioms as CLUE's ChID: a JSON object a line, and their answers in a file beside it.

        {"content": ["他#idiom000378#地走了。"], "candidates": ["一心一意", "大摇大摆", ...]}
        train_answer.json: {"#idiom000378#": 1}

    Every blank is a question of its own.
    """

    tag = re.compile(r"#idiom\d+#")

    def find(self, data_dir, split):
        names = CLUE_TEST_FILES if split == "test" else [split + ".json"]
        return self.beside(base.Source(names, None).find(data_dir, split), split)

    def beside(self, path, split):
        answers = os.path.splitext(path)[0] + "_answer.json"
        if files.is_file(answers):
            return [path, answers]
        if split == "test":
            return [path]
        raise UserError("%s: no such file; expected the answers of %s in it, {\"#idiom000378#\": "
                        "index}" % (answers, path))

    def read(self, paths, split):
        answers = _json_object(paths[1]) if len(paths) > 1 else None
        for place, record in _json_lines(paths[0]):
            choices = _texts(_get(record, "candidates", list, place), "%s candidates" % place)
            content = _get(record, "content", list, place)
            for index, text in enumerate(_texts(content, "%s content" % place, 1)):
                passage = tuple(self.tag.split(text))
                for blank, name in enumerate(self.tag.findall(text)):
                    here = "%s content[%d] %s" % (place, index, name)
                    question = Question(name, here, passage, blank, "", choices, None, None)
                    if answers is not None:
                        if name not in answers:
                            raise UserError("%s: no answer in %s; every blank needs one"
                                            % (here, paths[1]))
                        label = _label(answers[name], choices, "%s %s" % (paths[1], name))
                        question = question._replace(label=label)
                    yield question


class JsonLines(Reader):
    """One's own files, {train,dev,test}.jsonl or .json, an object a line.

        {"context": "...", "question": "...", "choices": ["...", "..."], "answer": 1}

    `answer` is the index from 0 or the choice's text; without "context" there is no passage.
    """

    def find(self, data_dir, split):
        return [base.Source((split + ".jsonl", split + ".json"), None).find(data_dir, split)]

    def read(self, paths, split):
        for number, (place, record) in enumerate(_json_lines(paths[0]), 1):
            choices = _texts(_get(record, "choices", list, place), "%s choices" % place)
            label = None
            if not (split == "test" and record.get("answer") in (None, "")):
                label = _label(_get(record, "answer", (int, str), place), choices,
                               "%s answer" % place)
            context = _get(record, "context", str, place) if "context" in record else ""
            yield Question(str(record.get("id", "%s-%d" % (split, number))), place, (context,),
                           None, _get(record, "question", str, place), choices, label, None)


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


def only(dataset, level):
    """A data set with levels -> that of one level, "high" or "middle".

    Raises:
      UserError: it has none.
    """
    if not dataset.reader.has_levels:
        raise UserError("--%s_only: this data set has no levels, only RACE does; leave the flag out"
                        % level)
    return dataset._replace(reader=type(dataset.reader)(levels=(level,)))


class Choice(base.Task):
    """The likeliest of several answers to a question about a passage.

        task = Choice("c3", DATASETS["c3"], "data/c3")
        task.examples("dev")[0]
        # Question(id=0, place="data/c3/m-dev.json [0][1][0]", passage=("梅兰芳...",), blank=None,
        #          question="...", choices=["...", ...], label=2, group="m")
    """

    metric = "accuracy"
    features = dict(base.CHOICES, label_ids=base.Feature((), tf.int32))
    pooled_only = True

    def __init__(self, name, dataset, data_dir, own_files=None, max_qa_length=128, dropout=0.1):
        """`own_files` is {split: path}; `max_qa_length` is tokens of question and option."""
        self.name = name
        self._dataset = dataset
        self._data_dir = data_dir
        self._own_files = own_files or {}
        self._max_qa_length = max_qa_length
        self._dropout = dropout

    def max_choices(self, examples):
        return self._dataset.max_choices or max(len(example.choices) for example in examples)

    def identity(self):
        return {"task": self.name}

    def fingerprint(self):
        return repr(self._max_qa_length)

    def path(self, split):
        paths = self._paths(split)
        return paths if len(paths) > 1 else paths[0]

    def _paths(self, split):
        if self._own_files.get(split):
            path = files.require_file(self._own_files[split], "%s_file" % split)
            return self._dataset.reader.beside(path, split)
        directory = base.named_directory(self._data_dir, split + "_file")
        return self._dataset.reader.find(directory, split)

    def examples(self, split):
        paths = self._paths(split)
        questions = list(self._dataset.reader.read(paths, split))
        if not questions:
            raise UserError("%s: no questions in %s"
                            % (paths[0], "this file" if len(paths) == 1 else "these files"))
        limit = self._dataset.max_choices
        for question in questions:
            if limit and len(question.choices) > limit:
                raise UserError("%s: %d choices, %s has at most %d; use --task_name=jsonl for "
                                "questions of your own" % (
                                    question.place, len(question.choices), self.name, limit))
        return questions

    def featurize(self, example, tokenizer, max_seq_length):
        """[CLS] passage [SEP] question and choice [SEP], for every choice (as Google's RACE).

        Question and choice keep their last `max_qa_length` tokens, half of the sequence at most.
        The passage gets the rest: its beginning, or what lies around its blank.
        """
        passage, middle = passage_ids(example, tokenizer)
        limit = min(self._max_qa_length, (max_seq_length - 3) // 2)
        packed = []
        for choice in example.choices:
            answer = tokenizer.encode(join(example.question, choice))[-limit:]
            packed.append(base.pack(window(passage, middle, max_seq_length - 3 - len(answer)),
                                    answer, tokenizer, max_seq_length))
        lengths = np.concatenate([features["lengths"] for features in packed])
        features = {"lengths": lengths, "label_ids": np.array([example.label or 0], np.int32)}
        for name in ("input_ids", "segment_ids"):
            features[name] = np.zeros([len(packed), lengths.max()], np.int32)
            for row, choice in zip(features[name], packed):
                row[:len(choice[name])] = choice[name]
        yield features

    def build(self, config, model, features, is_training):
        # The variables' names and shapes are those of Google's run_race.py.
        pooled = layers.dropout(model.get_pooled_output(),
                                  self._dropout if is_training else 0.0)  # [B * C, H]
        weights = tf.get_variable("output_weights", [1, config.hidden_size],
                                  initializer=tf.truncated_normal_initializer(stddev=0.02))
        bias = tf.get_variable("output_bias", [1], initializer=tf.zeros_initializer())
        is_choice = tf.reduce_max(features["input_mask"], axis=-1)  # [B, C], 0: padding
        logits = tf.matmul(pooled, weights, transpose_b=True) + bias  # [B * C, 1]
        logits = tf.reshape(logits, layers.shape_list(is_choice))
        logits += (1.0 - tf.cast(is_choice, logits.dtype)) * -1e9
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.reshape(features["label_ids"], [-1]), logits=logits)
        return loss, {"probabilities": tf.nn.softmax(logits)}

    def score(self, examples, predictions):
        for example in examples:
            if example.label is None:
                raise UserError("%s: no answer; answers are needed to evaluate" % example.place)
        probabilities = list(_of_choices(examples, predictions))
        is_right = np.array([row.argmax() == example.label
                             for example, row in zip(examples, probabilities)])
        scores = {
            "accuracy": float(is_right.mean()),
            "chance_accuracy": float(np.mean([1.0 / len(row) for row in probabilities])),
            "majority_accuracy": float(
                np.bincount([example.label for example in examples]).max() / len(examples)),
            "loss": float(-np.mean([np.log(max(row[example.label], 1e-30))
                                    for example, row in zip(examples, probabilities)]))}
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
                    ("id", str(example.id)), ("place", example.place),
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
        files.write_lines(paths[0], lines)
        if self._dataset.submission and split == "test":
            name, submitted = self._dataset.submission(self._paths(split), chosen)
            paths.append(os.path.join(directory, name))
            files.write_lines(paths[1], submitted)
        return paths


def _of_choices(examples, predictions):
    """Yields the probabilities of each example's own choices, without those of padding."""
    for example, row in zip(examples, predictions["probabilities"]):
        yield np.asarray(row)[:len(example.choices)]


def join(question, choice):
    """The choice in place of the question's blank, else behind it (as Google's RACE).

    join("Tom is _ .", "a boy") -> "Tom is a boy ."; join("Who?", "Tom") -> "Who? Tom"
    A blank of several underscores is one; Google's code puts the choice there for each.
    """
    if "_" in question:
        return re.sub("_+", lambda match: choice, question)
    return ("%s %s" % (question, choice)).strip()


def passage_ids(example, tokenizer):
    """(token ids of a Question's passage, the position of the asked blank or None).

    The asked blank is [unused1], as CLUE's baseline has it, or one [MASK] where the vocabulary has
    no such token; the others are four [MASK].
    """
    ids, middle = [], None
    for index, text in enumerate(example.passage):
        ids += tokenizer.encode(text)
        if index == example.blank:
            middle = len(ids)
            ids.append(tokenizer.vocab.get("[unused1]", tokenizer.mask_id))
        elif index < len(example.passage) - 1:
            ids += [tokenizer.mask_id] * MASKS_OF_OTHER_BLANKS
    return ids, middle


def window(ids, middle, room):
    """The first `room` ids, or with a `middle` those around it, as many before it as after it.

    Near an end of the passage the window moves inwards, so that it is always full:
    window([0, 1, 2, 3, 4], 3, 3) -> [2, 3, 4]; window([0, 1, 2, 3, 4], 4, 3) -> [2, 3, 4]
    """
    begin = 0 if middle is None else max(0, min(middle - room // 2, len(ids) - room))
    return ids[begin:begin + room]


def excerpt(example):
    """A Question's passage for people: its beginning, or what lies around its blank."""
    text, middle = "", None
    for index, part in enumerate(example.passage):
        text += part
        if index == example.blank:
            middle = len(text)
            text += "____"
        elif index < len(example.passage) - 1:
            text += "…"
    part = window(text, middle, EXCERPT)
    return part if part == text else part + "…"


def _kind(value):
    """A value's type in JSON's words."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a "
             "number", float: "a number", type(None): "null"}
    return kinds[type(value)]


def _shown(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"


def _get(record, key, kind, place):
    """record[key], of the given type or types.

    Raises:
      UserError: `record` is no object, lacks the key, or has something else there.
    """
    if not isinstance(record, dict):
        raise UserError("%s: expected an object with %r, found %s" % (place, key, _kind(record)))
    if key not in record:
        raise UserError("%s: no key %r, found %s" % (place, key, ", ".join(sorted(record))))
    value = record[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = kind if isinstance(kind, tuple) else (kind,)
        raise UserError("%s %s: expected %s, found %s" % (
            place, key, " or ".join(_kind(one()) for one in wanted), _kind(value)))
    return value


def _texts(values, place, least=2):
    """Checks a list of at least so many texts; returns it."""
    if not isinstance(values, list):
        raise UserError("%s: expected a list of texts, found %s" % (place, _kind(values)))
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise UserError("%s[%d]: expected a text, found %s" % (place, index, _kind(value)))
    if len(values) < least:
        raise UserError("%s: %d texts, expected %d or more" % (place, len(values), least))
    return values


def _label(answer, choices, place):
    """The index of an answer that is one, or that is the text of a choice."""
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if type(answer) is int and 0 <= answer < len(choices):
        return answer
    raise UserError("%s: %s is none of the choices; expected an index from 0 to %d or one of %s"
                    % (place, _shown(answer), len(choices) - 1, _shown(choices)))


def _text(path):
    return "\n".join(line for _, line in files.read_lines(path))


def _parsed(place, text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError("%s: not JSON (%s); the file may be cut off, copy it again"
                        % (place, error)) from None


def _json_list(path):
    content = _parsed(path, _text(path))
    if not isinstance(content, list):
        raise UserError("%s: expected a list, found %s" % (path, _kind(content)))
    return content


def _json_object(path):
    content = _parsed(path, _text(path))
    if not isinstance(content, dict):
        raise UserError("%s: expected an object, found %s" % (path, _kind(content)))
    return content


def _json_lines(path):
    """Yields ("file line n", value) of a file with a JSON value a line."""
    for number, line in files.read_lines(path):
        if line.strip():
            place = "%s line %d" % (path, number)
            yield place, _parsed(place, line)


def _json_records(path):
    """Yields (place, value) of a file that is one JSON value, or has one a line."""
    try:
        yield path, json.loads(_text(path))
    except ValueError:
        for record in _json_lines(path):
            yield record
