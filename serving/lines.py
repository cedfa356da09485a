"""Items and answers as lines of text: what similarity.py reads and writes.

    answered = lines.answer(made, ["我喜欢\t我很喜欢", '{"text": "长江", "id": 7}'])
    answered.lines    # ["我喜欢\t我很喜欢\t1\t0:0.030000\t1:0.970000",
                      #  '{"text": "长江", "id": 7, "prediction": {"label": "0", ...}}']

A line is a text, or several with tabs between: two of a pair, context and question, context,
question and choices. One that starts with { is an object of JSON, in the forms of serving/items.py.
The answer stands behind the texts in columns, or in the object under "prediction" (where "answer"
may be the right one). Every line gives one line.
"""

import collections
import json

from util import text_lines
from util.errors import UserError

from serving import items
from tasks import json_input

# lines: one for each that was given; num_cut: items that did not fit whole; num_bad: lines that are
# no item.
Answered = collections.namedtuple("Answered", "lines num_cut num_bad")
NOT_UTF8 = "not UTF-8; convert the file (iconv -f ITS_ENCODING -t utf-8)"


def answer(made, texts, locations=None, skip_bad_lines=False):
    """Lines in, lines out.

    Args:
      made: serving.predictor.Predictor.
      texts: a list of lines without line breaks; None for one that is not UTF-8.
      locations: what errors call each line, "file line 3"; None: "line 3".
      skip_bad_lines: whether a line that is no item gets the reason behind it, in place of an
        error.

    Returns:
      Answered.

    Raises:
      UserError: a line is no item.
    """
    locations = locations or ["line %d" % number for number in range(1, len(texts) + 1)]
    entries = []  # of each line: (object or None, item, rows, reason)
    for text, location in zip(texts, locations):
        values = item = rows = reason = None
        try:
            values, item = parse(text)
            rows = made.rows(item)
        except UserError as error:
            if not skip_bad_lines:
                raise UserError("%s: %s%s" % (location, error, text_lines.OR_SKIP)) from None
            reason = str(error)
        entries.append((values, item, rows or [], reason))
    outputs = iter(made.compute([row for _, _, rows, _ in entries for row in rows]))
    answered, num_cut = [], 0
    for text, (values, item, rows, reason) in zip(texts, entries):
        of_item = None if reason else made.answer(item, rows, [next(outputs) for _ in rows])
        num_cut += bool(of_item and of_item["tokens_cut"])
        answered.append(_line(text, values, of_item, reason))
    return Answered(answered, num_cut, sum(1 for entry in entries if entry[3]))


def parse(text):
    """A line -> (the object that it is, or None; its item).

    Raises:
      UserError: it starts with { and is no object of JSON, or is None.
    """
    if text is None:
        raise UserError(NOT_UTF8)
    if not text.startswith("{"):
        return None, text.split("\t")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("starts with { and is not JSON (%s); expected an object of JSON, or a text "
                        "with another character in front" % error) from None
    return values, values


def check(text, head):
    """Raises a UserError if a line is no item, as far as can be seen without a tokenizer."""
    items.fields(parse(text)[1], head)


def _line(text, values, of_item, reason):
    if values is None:
        cells = ["error: " + reason] if reason else columns(of_item)
        return "\t".join([text or ""] + cells)
    key, value = ("error", reason) if reason else ("prediction", of_item)
    return json.dumps(json_input.without_surrogates(dict(values, **{key: value})),
                      ensure_ascii=False)


def columns(answered):
    """An answer as the cells of a line.

    label, then label:probability of each; a number; the words of each [MASK] as word:probability;
    an entity a cell, type:start-end:text; answer, start-end (- for none), probability; number of
    the choice, text, then number:probability of each.
    """
    if "value" in answered:
        return ["%.6f" % answered["value"]]
    if "masks" in answered:
        return [" ".join("%s:%.4f" % tuple(word) for word in words) for words in answered["masks"]]
    if "entities" in answered:
        return ["%(type)s:%(start)d-%(end)d:%(text)s" % entity for entity in answered["entities"]]
    if "answer" in answered:
        span = "-" if answered["start"] is None else "%(start)d-%(end)d" % answered
        return [answered["answer"], span, "%.6f" % answered["probability"]]
    if "choice" in answered:
        return [str(answered["choice"]), answered["text"]] + _shares(
            enumerate(answered["probabilities"]))
    label = ",".join(answered["labels"]) if "labels" in answered else answered["label"]
    return [label] + _shares(answered["probabilities"].items())


def _shares(pairs):
    return ["%s:%.6f" % pair for pair in pairs]


def numbered(path):
    """Yields (number from 1, text) of every line of a file, or text_lines.Part; the text None if it
    is not UTF-8."""
    expected, bad = 1, []
    for number, text in text_lines.read_lines(path, on_bad_line=bad.append):
        yield from ((missing, None) for missing in range(expected, number))
        yield number, text
        expected = number + 1
    yield from ((missing, None) for missing in bad if missing >= expected)
