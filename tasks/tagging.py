"""Tagging of characters or words, as for named entities; a data set is a row of DATASETS.

A file's unit is what has a tag of its own: a line of a CoNLL file (a character, or a word), a
character of a JSON text. Tags become entities when a file is read, whatever scheme it is in, and
predicted tags become entities before they are scored or written. So what is compared never depends
on the tokens the model saw, nor on the windows a long text was cut into.

Dimensions: B batch, S sequence, H hidden, T tags.
"""

import bisect
import collections
import json
import os
import re

from util import console, files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf
from seqeval import metrics as seqeval_metrics
from seqeval.metrics import sequence_labeling

import layers
from tasks import base
from tasks.base import Source
from text import sentences

# How a scheme writes an entity's first, inner and last unit, and an entity of one unit.
SCHEMES = {"BIO": "BIIB", "BMES": "BMES", "BIOES": "BIES"}
_TAG = re.compile(r"([BIMES])-(.+)\Z")
# 科0 (first character of a word), 310 (a "3", the eleventh); a broken character may be several.
_WITH_POSITION = re.compile(r"(.[^0-9]*)[0-9]+\Z")
_LATIN_WORD = re.compile(r"[A-Za-z]{2,}\Z")

# One text as read. Unit i is text[starts[i]:ends[i]]; `entities` is None where a test file has no
# tags; `place` is "file line n" for errors.
Sentence = collections.namedtuple("Sentence", "id place text starts ends entities")
# The units begin, ..., end - 1.
Entity = collections.namedtuple("Entity", "type begin end")


def encode(entities, num_units, scheme):
    """Entities -> a list of tags: encode([Entity("PER", 1, 3)], 4, "BIO") -> [O, B-PER, I-PER, O].
    """
    first, inner, last, single = SCHEMES[scheme]
    tags = ["O"] * num_units
    for kind, begin, end in entities:
        tags[begin:end] = ["%s-%s" % (inner, kind)] * (end - begin)
        tags[end - 1] = "%s-%s" % (last, kind)
        tags[begin] = "%s-%s" % (first if end - begin > 1 else single, kind)
    return tags


def decode(tags):
    """A list of tags in any scheme -> entities, also of sequences that no scheme allows.

    As conlleval and seqeval: an entity that nothing begins is begun by its first inner tag (O
    I-PER; B-LOC I-PER), one that nothing ends is over where another type or O follows.
    """
    plain = ["I" + tag[1:] if tag[0] == "M" else tag for tag in tags]
    return [Entity(kind, begin, last + 1)
            for kind, begin, last in sequence_labeling.get_entities(plain)]


class Conll(collections.namedtuple("Conll", "joiner position_digits")):
    """A CoNLL file: a unit a line, its token first and its tag last; blank between sentences.

    Columns are separated by tabs, else by spaces; -DOCSTART- lines are left out. `joiner` stands
    between tokens in the text: None in Chinese, " " between words. `position_digits`: every token
    is a character and its position in a word, which is left out (Weibo: 科0 技1).
    """

    scheme = None  # that of the training file

    def __new__(cls, joiner=None, position_digits=False):
        return super().__new__(cls, joiner, position_digits)

    def read(self, path, split):
        """Yields a file's sentences, a list of (line number, token, tag or None) each."""
        return self._blocks(path, split == "test")

    def survey(self, path, blocks, scheme=None):
        """(scheme, types) of a training file; with `scheme` the file must be in that one.

        Args:
          blocks: list of what `read` yields.
        """
        places, types, num_tokens, num_words = collections.OrderedDict(), set(), 0, 0
        for block in blocks:
            for number, token, tag in block:
                num_tokens += 1
                num_words += bool(_LATIN_WORD.match(token))
                if tag != "O":
                    prefix, kind = _split_tag(path, number, tag, scheme)
                    places.setdefault(prefix, (number, tag))
                    types.add(kind)
        if not types:
            raise UserError("%s: %d lines and none with an entity; expected tags like B-PER in the "
                            "last column" % (path, num_tokens))
        if self.joiner is None and 2 * num_words > num_tokens:
            raise UserError("%s: most tokens are Latin words, which would be run together; put a "
                            "space between them (--joiner=' ')" % path)
        return scheme or _recognised(path, places), tuple(sorted(types))

    def sentences(self, path, blocks, split, scheme, types):
        """Yields the Sentences of a file; a UserError for a tag of another scheme or type."""
        for index, block in enumerate(blocks, 1):
            numbers, tokens, tags = zip(*block)
            starts, position = [], 0
            for token in tokens:
                starts.append(position)
                position += len(token) + len(self.joiner or "")
            ends = [start + len(token) for start, token in zip(starts, tokens)]
            entities = None
            if tags[0] is not None:
                for number, tag in zip(numbers, tags):
                    if tag != "O":
                        _check_type("%s line %d" % (path, number),
                                    _split_tag(path, number, tag, scheme)[1], types)
                entities = decode(list(tags))
            yield Sentence("%s-%d" % (split, index), "%s line %d" % (path, numbers[0]),
                           (self.joiner or "").join(tokens), starts, ends, entities)

    def _blocks(self, path, may_lack_tags):
        """Yields the sentences as lists of (line number, token, tag); the tag None without one."""
        block, width = [], None
        for number, line in files.read_lines(path):
            cells = _columns(line)
            if not cells or cells[0] == "-DOCSTART-":
                if block:
                    yield block
                block = []
                continue
            width = width or len(cells)
            if len(cells) != width or width == 1 and not may_lack_tags:
                expected = "at least 2" if width == 1 else "%d as above" % width
                raise UserError("%s line %d: %d column(s), expected %s, a token first and its tag "
                                "last, a tab or spaces between" % (
                                    path, number, len(cells), expected))
            tag = cells[-1] if width > 1 else None
            block.append((number, self._token(path, number, cells[0]), tag))
        if block:
            yield block

    def _token(self, path, number, cell):
        if not cell:
            raise UserError("%s line %d: an empty token; expected one in the first column"
                            % (path, number))
        if not self.position_digits:
            return cell
        match = _WITH_POSITION.match(cell)
        if not match:
            raise UserError("%s line %d: token %r, expected a character and its position in the "
                            "word, like 科0; take the 2nd edition of the files, or the task conll"
                            % (path, number, cell))
        return match.group(1)


def _columns(line):
    """A line -> its cells, none if it is blank; where it begins with a space, that is the token."""
    line = line.rstrip(" \t")
    if "\t" in line:
        return line.split("\t")
    cells = [cell for cell in line.split(" ") if cell]
    return [" "] + cells if line[:1] == " " else cells


def _split_tag(path, number, tag, scheme):
    """"B-PER" -> ("B", "PER"), if the scheme, or any scheme for None, has such a tag."""
    match = _TAG.match(tag)
    if not match:
        raise UserError("%s line %d: tag %r, expected O or one like B-PER (%s)" % (
            path, number, tag, "; ".join("%s: %s" % (name, ", ".join(sorted(set(prefixes))))
                                         for name, prefixes in sorted(SCHEMES.items()))))
    if scheme and match.group(1) not in SCHEMES[scheme]:
        raise UserError("%s line %d: tag %r, expected the scheme %s (%s) of the training file or "
                        "of --scheme; convert the file or give another --scheme" % (
                            path, number, tag, scheme, ", ".join(sorted(set(SCHEMES[scheme])))))
    return match.groups()


def _recognised(path, places):
    """The scheme of a file: {prefix: (line number, tag) of its first} -> its name."""
    if "I" in places and "M" in places:
        (_, first), (number, second) = sorted((places["I"], places["M"]))
        raise UserError("%s line %d: tag %r, but %r above; expected one scheme, M- inside entities "
                        "(BMES) or I- (BIO, BIOES)" % (path, number, second, first))
    if "M" in places:
        return "BMES"
    return "BIOES" if "E" in places or "S" in places else "BIO"


def _check_type(place, kind, types):
    if types is not None and kind not in types:
        raise UserError("%s: unknown type %r, expected one of %s, those of the training file or of "
                        "--labels" % (place, kind, ", ".join(types)))


class JsonSpans(collections.namedtuple("JsonSpans", "text label")):
    """A JSON object a line with the places of its entities, both ends included, as CLUENER has it:

        {"text": "浙商银行的叶老桂", "label": {"name": {"叶老桂": [[5, 7]]}}}

    Units are characters. Where entities overlap the longer one counts, as a character has one tag.
    """

    scheme = "BIO"

    def __new__(cls, text="text", label="label"):
        return super().__new__(cls, text, label)

    def read(self, path, split):
        """Yields ("file line n", object) of a file."""
        del split
        for number, line in files.read_lines(path):
            if line.strip():
                place = "%s line %d" % (path, number)
                yield place, base.json_object(line, place)

    def survey(self, path, records, scheme=None):
        """(scheme, types) of a training file, of what `read` yields."""
        types = {entity.type for sentence in self.sentences(path, records, "train", None, None)
                 for entity in sentence.entities}
        if not types:
            raise UserError("%s: no entity in this file; expected some under %r"
                            % (path, self.label))
        return scheme or self.scheme, tuple(sorted(types))

    def sentences(self, path, records, split, scheme, types):
        """Yields the Sentences of a file; entities that overlap others are counted and reported."""
        num_left_out = 0
        for index, (place, record) in enumerate(records, 1):
            text = _text(record.get(self.text))
            if not text:
                raise UserError("%s: found no text under %r; expected a string that is not empty"
                                % (place, self.text))
            entities = None
            if self.label in record:
                found = list(self._spans(place, text, record[self.label], types))
                entities = _without_overlaps(found)
                num_left_out += len(found) - len(entities)
            elif split != "test":
                raise UserError("%s: no key %r, found %s; only a test file may lack it"
                                % (place, self.label, ", ".join(sorted(record))))
            yield Sentence(record.get("id", "%s-%d" % (split, index)), place, text,
                           range(len(text)), range(1, len(text) + 1), entities)
        if num_left_out:
            console.say("%s: %d entities lie in or across longer ones and are left out", path,
                         num_left_out)

    def _spans(self, place, text, label, types):
        """Yields the entities of one object's label."""
        for kind, names in _items("%s: %s" % (place, self.label), label):
            where = "%s: %s.%s" % (place, self.label, kind)
            _check_type(where, kind, types)
            for name, spans in _items(where, names):
                if not isinstance(spans, list) or not spans:
                    raise UserError("%s.%s: found %s, expected a list of [first, last] character"
                                    % (where, name, json.dumps(spans)))
                for index, span in enumerate(spans):
                    yield _entity("%s.%s[%d]" % (where, name, index), text, kind, name, span)


def _items(where, value):
    if not isinstance(value, dict):
        raise UserError('%s: found %s, expected an object like {"name": {"叶老桂": [[9, 11]]}}'
                        % (where, json.dumps(value, ensure_ascii=False)))
    return sorted(value.items())


def _text(value):
    """A JSON string whose halves of surrogate pairs, which no file can hold, are replaced."""
    return re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else None


def _entity(where, text, kind, name, span):
    """[first, last] character -> Entity, if `name` stands there."""
    if not (isinstance(span, list) and [type(end) for end in span] == [int, int]
            and 0 <= span[0] <= span[1]):
        raise UserError("%s: found %s, expected [first, last], numbers of characters from 0"
                        % (where, json.dumps(span)))
    begin, end = span[0], span[1] + 1
    if end > len(text):
        raise UserError("%s: [%d, %d] is outside the text, which has %d characters; the last one "
                        "is number %d" % (where, begin, end - 1, len(text), len(text) - 1))
    if text[begin:end] != _text(name):
        raise UserError("%s: the text has %r at [%d, %d], expected %r; both ends count, from 0"
                        % (where, text[begin:end], begin, end - 1, name))
    return Entity(kind, begin, end)


def _without_overlaps(entities):
    """Entities in order; of those that overlap the longest, then the first."""
    kept = []
    for entity in sorted(entities, key=lambda entity: (entity.begin - entity.end, entity.begin)):
        if all(entity.end <= other.begin or other.end <= entity.begin for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda entity: entity.begin)


# sources: {split: Source}; labels: the types of entities, None: those of the training file;
# submission: the file name of a test file's predictions in the form that JsonSpans reads.
Dataset = collections.namedtuple("Dataset", "sources labels submission")
Dataset.__new__.__defaults__ = (None, None)


def _sources(table, train, dev, test):
    return {split: Source(names, table)
            for split, names in zip(base.SPLITS, (train, dev, test))}


DATASETS = {
    "cluener": Dataset(
        _sources(JsonSpans(), ("train.json",), ("dev.json",), ("test.json",)),
        labels=("address", "book", "company", "game", "government", "movie", "name",
                "organization", "position", "scene"),
        submission="cluener_predict.json"),
    "weibo": Dataset(_sources(
        Conll(position_digits=True), ("train.conll", "weiboNER_2nd_conll.train"),
        ("dev.conll", "weiboNER_2nd_conll.dev"), ("test.conll", "weiboNER_2nd_conll.test"))),
    # MSRA comes without a dev part.
    "msra": Dataset(_sources(
        Conll(), ("msra_train_bio.txt",), ("msra_dev_bio.txt",), ("msra_test_bio.txt",))),
    "people_daily": Dataset(_sources(
        Conll(), ("example.train",), ("example.dev",), ("example.test",))),
    "resume": Dataset(_sources(
        Conll(), ("train.char.bmes",), ("dev.char.bmes",), ("test.char.bmes",))),
}
ALIASES = {"cluener2020": "cluener", "weibo_ner": "weibo", "msra_ner": "msra",
           "peoples_daily": "people_daily", "resume_ner": "resume"}


def own_dataset(kind, labels=None, joiner=None, position_digits=False):
    """A data set of the user's own files: "conll" or "jsonl", the rest from flags."""
    if kind == "jsonl":
        table, endings = JsonSpans(), (".jsonl", ".json")
    else:
        table = Conll(joiner, position_digits)
        endings = (".conll", ".txt", ".tsv", ".bio", ".bmes", ".bioes")
    names = [tuple(split + ending for ending in endings) for split in base.SPLITS]
    return Dataset(_sources(table, *names), labels=tuple(labels) if labels else None)


def units_of_tokens(unit_ends, starts, ends):
    """Which unit each token tells the tag of, and how far it reaches.

    Args:
      unit_ends: where each unit ends in the text; starts, ends: of each token.

    Returns:
      (first, last), int [tokens]: 1 + the unit in which a token starts, 0 if an earlier token
      starts there too or it is of no characters; 1 + the last unit that any token reaches that
      starts there. Single Latin letters on lines of their own are many units of one token.
    """
    first, last = np.zeros(len(starts), np.int32), np.zeros(len(starts), np.int32)
    owner, unit = None, None
    for index, (start, end) in enumerate(zip(starts, ends)):
        if start == end:
            continue
        begins_in = bisect.bisect_right(unit_ends, start)
        if begins_in != unit:
            owner, unit = index, begins_in
            first[owner] = 1 + unit
        last[owner] = max(last[owner], 1 + bisect.bisect_right(unit_ends, end - 1))
    return first, last


def cut_windows(num_tokens, room, stops):
    """Windows of at most `room` tokens: [(begin, end, begin of what counts, end of what counts)].

    A window ends behind a sentence (`stops`: numbers of tokens) if one ends in its latter half.
    Else the next window begins a quarter of a window earlier, and each token of that quarter counts
    in the window where it has more context; so every token counts once.
    """
    windows, begin, counted = [], 0, 0
    while num_tokens - begin > room:
        end = begin + room
        inside = [stop for stop in stops if begin + room // 2 < stop <= end]
        if inside:
            end = begin_next = counts_until = inside[-1]
        else:
            begin_next, counts_until = end - room // 4, end - room // 8
        windows.append((begin, end, counted, counts_until))
        begin, counted = begin_next, counts_until
    return windows + [(begin, num_tokens, counted, num_tokens)]


def _sentence_stops(text, starts):
    """How many tokens come before the end of each sentence of a text."""
    stops, position = [], 0
    for sentence in sentences.split_sentences(text):
        position = text.index(sentence, position) + len(sentence)
        stops.append(bisect.bisect_left(starts, position))
    return stops


class Tagging(base.Task):
    """A tag a token: softmax over a dense layer on the last layer of the encoder.

        task = Tagging("weibo", DATASETS["weibo"], "data/weibo")
        task.tags  # ("O", "B-GPE.NAM", "I-GPE.NAM", ...)

    A token is labelled by the unit in which it starts; further tokens of a unit have no label.
    Predicted tags become entities (`decode`), which reach over units without a token of their own
    (white space, dropped characters) where they go on behind them.

    Args:
      own_files: {split: path} for splits that lie outside `data_dir`'s usual names.
      scheme: a name of SCHEMES; None: that of the training file.
      dropout: in front of the dense layer, in training.
    """

    metric = "f1"
    features = dict(base.SEQUENCE, **{
        name: base.Feature((None,), tf.int32)
        for name in ("label_ids", "first_units", "last_units")})

    def __init__(self, name, dataset, data_dir, own_files=None, scheme=None, dropout=0.1):
        self.name = name
        self._dataset = dataset
        self._data_dir = data_dir
        self._own_files = own_files or {}
        self._dropout = dropout
        self.scheme = scheme or dataset.sources["train"].table.scheme
        self.types, self.tags = dataset.labels, None
        self._training_records = None  # what `setup` read, for `examples`

    def setup(self):
        """Finds scheme and types in the training file where row and flags leave them open."""
        if self.tags is not None:
            return
        if not (self.scheme and self.types):
            path, table = self.path("train"), self._dataset.sources["train"].table
            self._training_records = list(table.read(path, "train"))
            self.scheme, types = table.survey(path, self._training_records, self.scheme)
            self.types = self.types or types
        self.tags = ("O",) + tuple(
            "%s-%s" % (prefix, kind) for kind in self.types
            for prefix in sorted(set(SCHEMES[self.scheme])))
        self._tag_ids = {tag: index for index, tag in enumerate(self.tags)}

    def is_labelled(self, examples):
        return all(example.entities is not None for example in examples)

    def identity(self):
        return {"task": self.name, "labels": ",".join(self.types), "scheme": self.scheme}

    def fingerprint(self):
        return repr(self.tags)

    def path(self, split):
        if self._own_files.get(split):
            return files.require_file(self._own_files[split], "%s_file" % split)
        directory = base.named_directory(self._data_dir, split + "_file")
        return self._dataset.sources[split].find(directory, split)

    def examples(self, split):
        path, table = self.path(split), self._dataset.sources[split].table
        records = self._training_records if split == "train" else None
        if records:
            self._training_records = None
        else:
            records = table.read(path, split)
        examples = list(table.sentences(path, records, split, self.scheme, self.types))
        if not examples:
            raise UserError("%s: no sentences in this file" % path)
        return examples

    def featurize(self, example, tokenizer, max_seq_length):
        ids, starts, ends = tokenizer.encode_with_offsets(example.text)
        first, last = units_of_tokens(example.ends, starts, ends)
        tags = encode(example.entities or [], len(example.ends), self.scheme)
        labels = [self._tag_ids[tags[unit - 1]] if unit else 0 for unit in first]
        room = max_seq_length - 2
        stops = _sentence_stops(example.text, starts) if len(ids) > room else []
        for begin, end, counts_from, counts_until in cut_windows(len(ids), room, stops):
            features = base.pack(ids[begin:end], None, tokenizer, max_seq_length)
            for name, values in (("label_ids", labels), ("first_units", first),
                                 ("last_units", last)):
                features[name] = np.zeros_like(features["input_ids"])
                features[name][1 + counts_from - begin:1 + counts_until - begin] = (
                    values[counts_from:counts_until])
            yield features

    def build(self, config, model, features, is_training):
        with tf.variable_scope("tagging"):
            weights = tf.get_variable(
                "output_weights", [config.hidden_size, len(self.tags)],
                initializer=tf.truncated_normal_initializer(stddev=0.02))
            bias = tf.get_variable("output_bias", [len(self.tags)],
                                   initializer=tf.zeros_initializer())
        hidden = layers.dropout(tf.cast(model.get_sequence_output(), tf.float32),
                                  self._dropout if is_training else 0.0)  # [B, S, H]
        logits = layers.matmul_last(hidden, weights, bias)  # [B, S, T]
        counts = tf.cast(features["first_units"] > 0, tf.float32)  # [B, S]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=features["label_ids"], logits=logits)  # [B, S]
        loss = tf.reduce_sum(losses * counts, -1) / tf.maximum(tf.reduce_sum(counts, -1), 1.0)
        return loss, {"tag_ids": tf.argmax(logits, -1, output_type=tf.int32),
                      "first_units": features["first_units"],
                      "last_units": features["last_units"]}

    def entities(self, examples, predictions):
        """The predicted entities of every example, in order: a list of lists of Entity."""
        tokens = [[] for _ in examples]  # of each example: (first unit, last unit, tag id)
        for number, first, last, tag_ids in zip(
                predictions["example"], predictions["first_units"], predictions["last_units"],
                predictions["tag_ids"]):
            counts = np.asarray(first) > 0
            tokens[int(number)] += zip(np.asarray(first)[counts].tolist(),
                                       np.asarray(last)[counts].tolist(),
                                       np.asarray(tag_ids)[counts].tolist())
        return [self._entities_of(sorted(of_example)) for of_example in tokens]

    def _entities_of(self, tokens):
        entities = []
        for kind, begin, end in decode([self.tags[tag_id] for _, _, tag_id in tokens]):
            last = tokens[end - 1][1]
            if end < len(tokens):
                last = min(last, tokens[end][0] - 1)
            entities.append(Entity(kind, tokens[begin][0] - 1, last))
        return entities

    def _tags_of(self, examples, entities, scheme):
        """The tags of every example's units; entities are the predicted ones, or None: the gold."""
        if entities is None:
            for example in examples:
                if example.entities is None:
                    raise UserError("%s: no tags; tags are needed to evaluate" % example.place)
            entities = [example.entities for example in examples]
        return [encode(of_example, len(example.ends), scheme)
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
                    ("id", str(example.id)), ("place", example.place), ("text", example.text),
                    ("missed", _listed(example, missed)), ("spurious", _listed(example, spurious))])

    def write_predictions(self, directory, split, examples, predictions):
        """Tags as CoNLL, entities as JSON lines, and the data set's own form for a test split."""
        entities = self.entities(examples, predictions)
        paths = [os.path.join(directory, "%s_predictions.%s" % (split, ending))
                 for ending in ("conll", "json")]
        files.write_lines(paths[0], self._conll_lines(examples, entities))
        files.write_lines(paths[1], (json.dumps(
            {"id": example.id, "text": example.text, "entities": [
                _in_text(example, entity) for entity in of_example]}, ensure_ascii=False)
            for example, of_example in zip(examples, entities)))
        if split == "test" and self._dataset.submission:
            paths.append(os.path.join(directory, self._dataset.submission))
            files.write_lines(paths[2], (json.dumps(
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
                yield "\t".join((re.sub(r"[\t\n\r]", " ", cells[0]),) + cells[1:])
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
    for found in (_in_text(example, entity) for entity in entities):
        names = label.setdefault(found["type"], collections.OrderedDict())
        names.setdefault(found["text"], []).append([found["start"], found["end"] - 1])
    return label
