"""The forms of an item."""

from util.errors import UserError

import pytest

from serving import items

CHOICE = {"context": "c", "question": "q", "choices": ["x", "y"]}


@pytest.mark.parametrize("item, head, fields", [
    ("a", "classification", {"text": "a", "text_b": None}),
    ("a", None, {"text": "a", "text_b": None}),
    (["a", "b"], "classification", {"text": "a", "text_b": "b"}),
    ({"text": "a", "text_b": "b", "id": 7}, "classification", {"text": "a", "text_b": "b"}),
    ({"text": "a", "text_b": None}, "classification", {"text": "a", "text_b": None}),
    (("a",), "tagging", {"text": "a"}),
    (("c", "q"), "reading", {"context": "c", "question": "q"}),
    (("c", "q", "x", "y"), "choice", CHOICE),
    (dict(CHOICE, choices=("x", "y"), question=""), "choice", dict(CHOICE, question="")),
    ("\ud800a\0", "tagging", {"text": "\ufffda\0"}),
])
def test_forms(item, head, fields):
    assert items.fields(item, head) == fields


@pytest.mark.parametrize("item, head", [
    (3, "classification"), (("a", "b", "c"), "classification"), (["a", 1], "classification"),
    ((), "classification"), (None, None), ({"text_b": "a"}, None), ({"text": 1}, "tagging"),
    (("a", "b"), "tagging"), ("c", "reading"), (("c", "q", "x"), "choice"),
    (dict(CHOICE, choices=["x"]), "choice"), (dict(CHOICE, choices="xy"), "choice")])
def test_what_is_no_item(item, head):
    with pytest.raises(UserError, match=r"^expected an? .*, found .{1,90}$"):
        items.fields(item, head)


@pytest.mark.parametrize("item, head, name", [
    ("", "classification", "text"), (("a", " "), "classification", "text_b"),
    (("c", "\n"), "reading", "question"), (dict(CHOICE, choices=["x", ""]), "choice", "choices")])
def test_empty_texts(item, head, name):
    with pytest.raises(UserError, match="^%s is empty; expected an? " % name):
        items.fields(item, head)


def test_an_error_can_be_written():
    with pytest.raises(UserError, match="ud800") as raised:
        items.fields(["\ud800" * 99, 1], "tagging")
    raised.value.args[0].encode("utf-8")
