"""Data sets of tagging, a row each: CLUENER, Weibo, MSRA, and your own files; and their forms.

A form (`Conll`, `JsonSpans`) reads a file, finds scheme and types in what it read of a training
file, and makes sentences of it:

    records = list(form.read("train.conll", "train"))
    scheme, types = form.survey("train.conll", records)
    sentences = list(form.sentences("train.conll", records, "train", scheme, types))
"""

import collections
import re

from util import console, text_lines
from util.errors import UserError

from tasks import base, json_input, names, tag_schemes
from tasks.bad_lines import BadLines
from tasks.tables import Source
from tasks.tag_schemes import Entity

# One text as read. Unit i is text[starts[i]:ends[i]]; `entities` is None where a test file has no
# tags; `location` is "file line n" for errors.
Sentence = collections.namedtuple("Sentence", "id location text starts ends entities")

# 科0 (first character of a word), 310 (a "3", the eleventh); a broken character may be several.
_WITH_POSITION = re.compile(r"(.[^0-9]*)[0-9]+\Z")
# What is longer than a word of Chinese.
_TEXT = re.compile("[\u4e00-\u9fff]{7}")
_LATIN_WORD = re.compile(r"[A-Za-z]{2,}\Z")
# What an error shows of the form of CLUENER's labels.
_SPANS = 'an object like {"name": {"叶老桂": [[9, 11]]}}'


class Conll(collections.namedtuple("Conll", "joiner position_digits")):
    """A CoNLL file: a unit a line, its token first and its tag last; blank between sentences.

    Columns are separated by tabs, else by spaces; -DOCSTART- lines are left out. `joiner` stands
    between tokens in the text: None in Chinese, " " between words. `position_digits`: every token
    is a character and its position in a word, which is left out (Weibo: 科0 技1); None: if all are.
    """

    scheme = None  # that of the training file

    def __new__(cls, joiner=None, position_digits=False):
        return super().__new__(cls, joiner, position_digits)

    def read(self, path, split, bad_lines=None):
        """Yields a file's sentences, each a list of (line number, token, tag or None).

        Args:
          bad_lines: a BadLines that takes the sentences that cannot be used; None: an error.
        """
        lines = self._lines(path, split == "test", bad_lines or BadLines())
        if self.position_digits is None:
            lines = list(lines)
        has_digits = self.position_digits if self.position_digits is not None else (
            _have_positions([cells[0] for block in lines for _, cells in block]))
        num_tokens = num_texts = 0
        for block in lines:
            with (bad_lines or BadLines()).allowed() as sentence:
                read = [(number, self._token(path, number, cells[0], has_digits),
                         cells[-1] if len(cells) > 1 else None) for number, cells in block]
            if sentence.good:
                num_tokens += len(read)
                num_texts += sum(tag is None and bool(_TEXT.search(token))
                                 for _, token, tag in read)
                yield read
        if 2 * num_texts > num_tokens:
            raise UserError("%s: most lines are texts, expected a character or a word a line; put "
                            "every character on a line of its own, or write JSON lines, "
                            '{"text": …}, for --task_name=jsonl' % path)

    def survey(self, path, blocks, scheme=None, skip_bad_lines=False):
        """(scheme, types) of a training file; with `scheme` the file must be in that one.

        Args:
          blocks: list of what `read` yields.
        """
        first_tags, types, num_tokens, num_words = {}, set(), 0, 0
        for block in blocks:
            with BadLines(skip_bad_lines).allowed():
                for number, token, tag in block:
                    num_tokens += 1
                    num_words += bool(_LATIN_WORD.match(token))
                    if tag != "O":
                        prefix, entity_type = tag_schemes.split_tag(
                            "%s line %d" % (path, number), tag, scheme)
                        first_tags.setdefault(prefix, (number, tag))
                        types.add(entity_type)
        if not types:
            raise UserError("%s: %d lines and none with an entity; expected tags like B-PER in the "
                            "last column" % (path, num_tokens))
        if self.joiner is None and 2 * num_words > num_tokens:
            raise UserError("%s: most tokens are Latin words, which would be run together; files "
                            "of your own (--task_name=conll) may have a space between them "
                            "(--joiner=' ')" % path)
        return scheme or tag_schemes.recognize(path, first_tags), tuple(sorted(types))

    def sentences(self, path, blocks, split, scheme, types, bad_lines=None):
        """Yields the Sentences of a file; a UserError for a tag of another scheme or type."""
        for index, block in enumerate(blocks, 1):
            with (bad_lines or BadLines()).allowed() as sentence:
                read = self._sentence("%s-%d" % (split, index), path, block, scheme, types)
            if sentence.good:
                yield read

    def _sentence(self, name, path, block, scheme, types):
        numbers, tokens, tags = zip(*block)
        starts, position = [], 0
        for token in tokens:
            starts.append(position)
            position += len(token) + len(self.joiner or "")
        ends = [start + len(token) for start, token in zip(starts, tokens)]
        for number, tag in zip(numbers, tags):
            if tag not in (None, "O"):
                location = "%s line %d" % (path, number)
                _check_type(location, tag_schemes.split_tag(location, tag, scheme)[1], types)
        entities = None if tags[0] is None else tag_schemes.decode(list(tags))
        return Sentence(name, "%s line %d" % (path, numbers[0]), (self.joiner or "").join(tokens),
                        starts, ends, entities)

    def _lines(self, path, may_lack_tags, bad_lines):
        """Yields the sentences as lists of (line number, cells)."""
        width = None
        for block in _blocks(path, bad_lines):
            first = block[0][1] or [""]
            if width is None and first[0].startswith('{"'):
                raise UserError("%s line %d: it looks like JSON, expected a token and its tag a "
                                "line; read it with --task_name=jsonl" % (path, block[0][0]))
            width = width or len(first)
            with bad_lines.allowed() as sentence:
                for number, cells in block:
                    if cells is None:
                        raise UserError("%s line %d: not UTF-8" % (path, number))
                    if len(cells) != width or width == 1 and not may_lack_tags:
                        expected = "at least 2" if width == 1 else "%d as above" % width
                        raise UserError("%s line %d: %d column(s), expected %s, a token first and "
                                        "its tag last, a tab or spaces between"
                                        % (path, number, len(cells), expected))
            if sentence.good:
                yield block

    @staticmethod
    def _token(path, number, cell, has_digits):
        if not cell:
            raise UserError("%s line %d: an empty token; expected one in the first column"
                            % (path, number))
        if not has_digits:
            return cell
        match = _WITH_POSITION.match(cell)
        if not match:
            raise UserError("%s line %d: token %r, expected a character and its position in the "
                            "word, like 科0; the lines of a file are all so, or none is"
                            % (path, number, cell))
        return match.group(1)


def _have_positions(tokens):
    """Whether most tokens are a character and its position in a word."""
    return 2 * sum(map(bool, map(_WITH_POSITION.match, tokens))) > len(tokens)


def _blocks(path, bad_lines):
    """Yields what stands between blank lines, as lists of (line number, cells).

    The cells are None of a line that is not UTF-8, where those may be skipped.
    """
    block = []
    skip = (lambda number: block.append((number, None))) if bad_lines.skip else None
    for number, line in text_lines.read_lines(path, skip, text_lines.OR_SKIP):
        cells = _columns(line)
        if cells and cells[0] != "-DOCSTART-":
            block.append((number, cells))
        elif block:
            yield list(block)
            block.clear()  # `skip` holds it
    if block:
        yield block


def _columns(line):
    """A line -> its cells, none if it is blank; where it begins with a space, that is the token."""
    line = line.rstrip(" \t")
    if "\t" in line:
        return line.split("\t")
    cells = [cell for cell in line.split(" ") if cell]
    return [" "] + cells if line[:1] == " " else cells


def _check_type(location, entity_type, types):
    if types is not None and entity_type not in types:
        raise UserError("%s: unknown type %r, expected one of %s, those of the training file or of "
                        "--labels" % (location, entity_type, ", ".join(types)))


class JsonSpans(collections.namedtuple("JsonSpans", "text label")):
    """A JSON object a line with the places of its entities, both ends included, as CLUENER has it:

        {"text": "浙商银行的叶老桂", "label": {"name": {"叶老桂": [[5, 7]]}}}

    Units are characters. Where entities overlap the longer one counts, as a character has one tag.
    """

    scheme = "BIO"

    def __new__(cls, text="text", label="label"):
        return super().__new__(cls, text, label)

    def read(self, path, split, bad_lines=None):
        """Yields (number, json_input.Node) of a file's objects."""
        del split
        return json_input.read_records(path, bad_lines)

    def survey(self, path, records, scheme=None, skip_bad_lines=False):
        """(scheme, types) of a training file, of a list of what `read` yields."""
        types = set()
        for _, record in records:
            with BadLines(skip_bad_lines).allowed():
                types.update(entity.type for entity in _without_overlaps(
                    _spans(record.get(self.label), record.get(self.text).text())))
        if not types:
            raise UserError("%s: no entity in this file; expected some under %r"
                            % (path, self.label))
        return scheme or self.scheme, tuple(sorted(types))

    def sentences(self, path, records, split, scheme, types, bad_lines=None):
        """Yields the Sentences of a file; entities that overlap others are counted and reported."""
        num_left_out = 0
        for number, record in records:
            with (bad_lines or BadLines()).allowed() as line:
                sentence, num_overlaps = self._sentence(number, record, split, types)
            if line.good:
                num_left_out += num_overlaps
                yield sentence
        if num_left_out:
            console.say("%s: %d entities lie in or across longer ones and are left out", path,
                        num_left_out)

    def _sentence(self, number, record, split, types):
        """(the Sentence of an object, how many of its entities are left out)."""
        text = record.get(self.text).text()
        if not text:
            raise record.get(self.text).error("a text that is not empty")
        entities = spans = None
        if split != "test" or record.has(self.label) and record.peek(self.label) is not None:
            spans = _spans(record.get(self.label), text)
            entities = _without_overlaps(spans)
            for entity in entities:
                _check_type(spans[entity], entity.type, types)
        sentence = Sentence(
            record.identifier("%s-%d" % (split, number)), record.location, text,
            range(len(text)), range(1, len(text) + 1), entities)
        return sentence, len(spans or ()) - len(entities or ())


def _spans(label, text):
    """The entities of one object's label: {Entity: location of its type}."""
    locations = collections.OrderedDict()
    for entity_type, entities_of_type in label.entries(_SPANS):
        for name, spans in entities_of_type.entries(_SPANS):
            if not spans.value:
                raise spans.error("a list of [first, last] character")
            for span in spans.nodes("a list of [first, last] character"):
                locations[_entity(span, text, entity_type, name)] = entities_of_type.location
    return locations


def _entity(span, text, entity_type, name):
    """[first, last] character -> Entity, if `name` stands there."""
    value = span.value
    if not (isinstance(value, list) and [type(end) for end in value] == [int, int]
            and 0 <= value[0] <= value[1]):
        raise span.error("[first, last], numbers of characters from 0")
    begin, end = value[0], value[1] + 1
    if end > len(text):
        raise UserError("%s: [%d, %d] is outside the text, which has %d characters; the last one "
                        "is number %d" % (
                            span.location, begin, end - 1, len(text), len(text) - 1))
    if text[begin:end] != name:
        raise UserError("%s: the text has %r at [%d, %d], expected %r; both ends count, from 0"
                        % (span.location, text[begin:end], begin, end - 1, name))
    return Entity(entity_type, begin, end)


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
    return {split: Source(of_split, table)
            for split, of_split in zip(base.SPLITS, (train, dev, test))}


DATASETS = {
    "cluener": Dataset(
        _sources(JsonSpans(), ("train.json",), ("dev.json",), ("test.json",)),
        labels=("address", "book", "company", "game", "government", "movie", "name",
                "organization", "position", "scene"),
        submission="cluener_predict.json"),
    "weibo": Dataset(_sources(
        Conll(position_digits=None), ("train.conll", "weiboNER_2nd_conll.train"),
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
# Rows that `custom_dataset` makes of flags.
CUSTOM = ("conll", "jsonl")


def find(name):
    """A --task_name -> a key of DATASETS or one of CUSTOM; a UserError that lists them all."""
    return names.find(name, sorted(DATASETS) + list(CUSTOM), ALIASES)


def custom_dataset(form, labels=None, joiner=None, position_digits=False):
    """A data set of the user's own files: "conll" or "jsonl", the rest from flags."""
    if form == "jsonl":
        table, endings = JsonSpans(), (".jsonl", ".json")
    else:
        table = Conll(joiner, position_digits)
        endings = (".conll", ".txt", ".tsv", ".bio", ".bmes", ".bioes")
    of_splits = [tuple(split + ending for ending in endings) for split in base.SPLITS]
    return Dataset(_sources(table, *of_splits), labels=tuple(labels) if labels else None)
