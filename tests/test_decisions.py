"""Decisions of less exact numbers."""

from util.errors import UserError

import numpy as np
import pytest

from serving import decisions
from test_answers import package_of


class Engine(object):
    """One logit says "b" where the text begins with one of `characters`."""

    def __init__(self, characters):
        self._characters = characters

    def run(self, features):
        return {"logits": np.array([
            [0.0, 1.0 if chr(ids[1]) in self._characters else -1.0]
            for ids in features["input_ids"]])}


PACKAGE = package_of("classification", labels=["a", "b"])


def test_flips_and_what_is_right():
    lines = ["x\ta", "x\ty\ta", "y\tb", "z\tb"]
    found = decisions.compare(PACKAGE, Engine("yz"), Engine("xyz"), lines)
    assert found == decisions.Decisions(4, 0.5, 1.0, 0.5)
    assert decisions.describe(found) == (
        "of 4 decisions 50.00 % flipped; right 0.5000, before 1.0000")
    assert decisions.problem(found, 0.5) is None
    assert decisions.problem(found, 0.4) == (
        "50.00 % of the decisions flipped, more than --max_flips=0.4")


def test_without_labels():
    several = package_of("classification", "multi_label", ["a", "b"])
    found = decisions.compare(several, Engine("yz"), Engine("z"), ["x", "y", "z", "z\tx"])
    assert found == decisions.Decisions(4, 0.25, None, None)
    assert decisions.describe(found) == "of 4 decisions 25.00 % flipped"


@pytest.mark.parametrize("line", ["text", "text\tmaybe", "a\tb\tc\ta"])
def test_lines_without_a_label(line):
    with pytest.raises(UserError, match="--eval_file line 2: expected a text or two and one of"):
        decisions.compare(PACKAGE, Engine(""), Engine(""), ["x\ta", line])


def test_no_lines():
    with pytest.raises(UserError, match="--eval_file has no lines"):
        decisions.compare(PACKAGE, Engine(""), Engine(""), [])


@pytest.mark.parametrize("answer, decision", [
    ({"label": "a", "probabilities": {}}, "a"), ({"value": 2.5}, 2.5), ({"choice": 1}, 1),
    ({"masks": [[("长", 0.5), ("大", 0.1)], [("江", 0.3)]]}, ["长", "江"])])
def test_what_an_answer_decides(answer, decision):
    assert decisions.decision(answer) == decision


def test_numbers_may_differ_by_a_hundredth():
    number = package_of("classification", "regression")
    for factor, flips in ((1.005, 0.0), (1.02, 1.0)):
        exact, other = Fixed(5.0), Fixed(5.0 * factor)
        assert decisions.compare(number, exact, other, ["x"]).flips == flips


class Fixed(object):
    def __init__(self, number):
        self._number = number

    def run(self, features):
        return {"logits": np.full([len(features["input_ids"]), 1], self._number)}
