"""Whether less exact numbers, of int8 or bfloat16, decide as the exact ones do.

    comparison = decisions.compare(package, session, engine, lines)
    comparison.flips    # 0.002
"""

import collections

from util.errors import UserError

from serving import lines, predictor

# count: how many items; flips: share of decisions that differ from the exact engine's; before,
# after: the share that is right, of the exact and of the other one, None without labels.
Decisions = collections.namedtuple("Decisions", "count flips before after")
# What an answer decides: the first of these that it has.
_KEYS = ("label", "labels", "entities", "answer", "choice", "masks", "value")


def compare(package, exact, other, eval_lines):
    """The Decisions of two engines over a model.

    Args:
      package: serving.package.Package.
      exact, other: engines.
      eval_lines: of a classification of one label, a text or two and the label, with tabs between;
        of other models items as of serving/lines.py.

    Raises:
      UserError: a line has another number of cells, a label that is none, or is no item.
    """
    items, labels = [], []
    for number, line in enumerate(eval_lines, 1):
        if package.head == "classification" and not package.kind:
            cells = line.split("\t")
            if len(cells) not in (2, 3) or cells[-1] not in package.labels:
                raise UserError(
                    "--eval_file line %d: expected a text or two and one of the labels %s, with "
                    "tabs between" % (number, ",".join(package.labels)))
            labels.append(cells.pop())
            items.append(cells)
        else:
            items.append(lines.parse(line)[1])
    if not items:
        raise UserError("--eval_file has no lines")
    before, after = ([decision(answer) for answer in predictor.Predictor(
        package, engine).predict(items)] for engine in (exact, other))
    right = [sum(map(_equal, decided, labels)) / len(labels) if labels else None
             for decided in (before, after)]
    equal = sum(map(_equal, before, after))
    return Decisions(len(items), 1.0 - equal / len(items), *right)


def decision(answer):
    """What an answer says, without its numbers."""
    key = next(key for key in _KEYS if key in answer)
    if key == "masks":
        return [words[0][0] for words in answer["masks"]]
    return answer[key]


def _equal(first, second):
    """Whether two decisions are the same; numbers to 1 %."""
    if isinstance(first, float):
        return abs(first - second) <= 0.01 * max(1.0, abs(first))
    return first == second


def describe(comparison):
    """The Decisions as a line."""
    text = "of %d decisions %.2f %% flipped" % (comparison.count, 100 * comparison.flips)
    if comparison.before is None:
        return text
    return "%s; right %.4f, before %.4f" % (text, comparison.after, comparison.before)


def problem(comparison, max_flips):
    """Why the Decisions are not good enough, or None."""
    if comparison.flips <= max_flips:
        return None
    return "%.2f %% of the decisions flipped, more than --max_flips=%g" % (
        100 * comparison.flips, max_flips)
