"""The models that a training goes through, also when it goes on with more steps than before."""

from util.errors import UserError

import pytest

import tiny
from pretraining import stages

FOUR = {"num_hidden_layers": 4}


def plan(given, default_shares=(), **changes):
    return stages.planned(given, tiny.config(**dict(FOUR, **changes)), "c.json", default_shares)


def depths(parts):
    return [(part.config.num_hidden_layers, part.until) for part in parts]


@pytest.mark.parametrize("given, default_shares, expected", [
    (None, (), [(4, 1.0)]), (None, (0.1, 0.3), [(1, 0.1), (2, 0.3), (4, 1.0)]),
    (["0.5"], (0.1, 0.3), [(1, 0.5), (4, 1.0)]), (["0"], (0.1,), [(1, 0.0), (4, 1.0)]),
    (["0.1", "0.2", "0.3"], (), [(1, 0.1), (2, 0.2), (4, 1.0)])])
def test_planned(given, default_shares, expected):
    parts = plan(given, default_shares)
    assert depths(parts) == expected
    assert parts[0].config.hidden_size == parts[-1].config.hidden_size


@pytest.mark.parametrize("changes, layers", [
    ({"num_hidden_layers": 1}, "one layer"), ({"num_hidden_groups": 2}, "2 groups of layers")])
def test_no_smaller_model(changes, layers):
    """Asked for it is refused; by default there is none."""
    assert len(plan(None, (0.1,), **changes)) == len(plan(["0"], **changes)) == 1
    with pytest.raises(UserError, match="--shallow_share=0.1,0.2: c.json has %s, so that" % layers):
        plan(["0.1", "0.2"], **changes)


@pytest.mark.parametrize("given", [
    ["0.5", "0.2"], ["0.2", "0.2"], ["-1"], ["1.5"], ["half"], [""], ["nan"]])
def test_shares_that_are_none(given):
    with pytest.raises(UserError, match="--shallow_share=%s: expected shares of the training"
                       % ",".join(given)):
        plan(given)


@pytest.mark.parametrize("before, done, expected", [
    ({}, 50, [0.2, 0.6]),  # an older directory's
    ({"num_train_steps": 1000, "shallow_share": [0.2, 0.6]}, 150, [0.2, 0.6]),  # killed
    ({"num_train_steps": 100, "shallow_share": [0.2, 0.6]}, 30, [0.0, 0.6]),
    ({"num_train_steps": 100, "shallow_share": [0.2, 0.6]}, 60, [0.0, 0.0]),
    ({"num_train_steps": 100, "shallow_share": 0.2}, 20, [0.0, 0.0]),  # then all layers
    ({"num_train_steps": 100, "shallow_share": 0.2}, 19, [0.2, 0.6]),
    ({"num_train_steps": 100, "shallow_share": 0}, 1, [0.0, 0.0]),
    ({"budget_hours": 100, "shallow_share": 0}, 1, [0.2, 0.6])])
def test_left(before, done, expected):
    """Of 1,000 steps."""
    parts = stages.left(plan(["0.2", "0.6"]), before, "num_train_steps", done, 1000)
    assert depths(parts) == list(zip((1, 2, 4), expected + [1.0]))


@pytest.mark.parametrize("given, expected", [([], 0), (["0.4"], 0.4), (["0.1", "0.3"], [0.1, 0.3])])
def test_noted(given, expected):
    assert stages.noted(plan(given)) == expected
