"""What is asked of a model: the forms that an item may have, checked and cleaned in one place.

    fields("我喜欢", "classification")                    # {"text": "我喜欢", "text_b": None}
    fields(("a", "b"), "classification")                  # {"text": "a", "text_b": "b"}
    fields({"context": "…", "question": "…", "choices": ["…", "…"]}, "choice")
"""

from util.errors import UserError

from tasks import json_input

_TEXTS = ('a text or a pair of texts (a list, or an object with "text" and maybe "text_b")',
          ("text", "text_b"))
# {head: (what an item of it is, its fields)}; the heads of interchange.tables.HEADS, and None.
FORMS = {
    None: _TEXTS,
    "classification": _TEXTS,
    "tagging": ('a text (or an object with "text")', ("text",)),
    "reading": ('a context and a question (a list, or an object with "context" and "question")',
                ("context", "question")),
    "choice": ('a context, a question and two choices or more (a list, or an object with '
               '"context", "question" and a list "choices")', ("context", "question", "choices")),
}
_MAY_LACK = {"classification": ("text_b",), None: ("text_b",), "choice": ("context", "question")}


def fields(item, head):
    """An item in any of its forms -> {field: text}, of "choices" a list of texts.

    Halves of surrogate pairs become U+FFFD, as in files of JSON; characters that the tokenizer
    drops, such as NUL, stay, so that offsets are those of the text that was given. Other keys of an
    object are ignored. What is missing and need not be there is None; a choice's context and
    question may be empty too.

    Args:
      item: a text, a list or tuple of texts, or a dict.
      head: of interchange.tables.HEADS, or None for a pre-trained model.

    Raises:
      UserError: it is not what the head asks for, or a text is empty.
    """
    expected, names = FORMS[head]
    if isinstance(item, str):
        item = [item]
    if isinstance(item, (list, tuple)):
        item = _by_name(item, names)
    if not isinstance(item, dict) or not all(
            _is_of_type(name, item.get(name), _MAY_LACK.get(head, ())) for name in names):
        raise UserError("expected %s, found %s" % (expected, _shown(item)))
    values = {name: item.get(name) for name in names}
    if values.get("choices"):
        values["choices"] = list(values["choices"])
    for name, value in values.items():
        may_be_empty = head == "choice" and name in _MAY_LACK[head]
        for text in value if isinstance(value, list) else [value]:
            if text is not None and not text.strip() and not may_be_empty:
                raise UserError("%s is empty; expected %s" % (name, expected))
    return json_input.without_surrogates(values)


def _by_name(texts, names):
    """A list of texts as a dict, or itself where there are too few or too many."""
    if names[-1] == "choices":
        return dict(zip(names, list(texts[:2]) + [list(texts[2:])])) if len(texts) > 3 else texts
    return dict(zip(names, texts)) if 0 < len(texts) <= len(names) else texts


def _is_of_type(name, value, may_lack):
    if name == "choices":
        return isinstance(value, (list, tuple)) and len(value) > 1 and all(
            isinstance(choice, str) for choice in value)
    return isinstance(value, str) or (value is None and name in may_lack)


def _shown(value):
    text = ascii(value)
    return text if len(text) <= 80 else text[:80] + "..."
