"""Invented inputs: how many of them a test sees, what is in them, and files that hold them.

    @invented.inputs(lines=st.lists(invented.texts()))
    def test_what_holds_for_every_file(lines):
        with invented.file("train.tsv", "\n".join(lines)) as path:
            ...

A run sees a few, always the same ones; `pytest --invented=1000` draws so many new ones for each
test. Hypothesis makes the smallest one that fails. It has no Python 3.7: there the modules that
import this one are skipped.
"""

import contextlib
import os
import tempfile

import pytest

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

FEW = 25  # examples without --invented
# What ends a line, a cell or a token for one reader or another, what cannot be seen, what takes
# several code points or UTF-16 units, and what means something in one form of file or another.
SPECIAL = (
    "\t", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\xa0", "\u3000", "\u200b",
    "\ufeff", "\x00", "\x7f", "\ufffd", "\U0001f600", "e\u0301", "\U00020000", '"', "'", ",", "\\",
    "{", "[", "_", "#", "-", "O", "B-PER", "[MASK]", "label", "0", "-1")


def inputs(**strategies):
    """A decorator: the test is called with values of these strategies, again and again."""
    def decorate(test):
        def run(pytestconfig):
            number = pytestconfig.getoption("--invented")
            settings = hypothesis.settings(
                max_examples=number or FEW, derandomize=not number, database=None, deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck))
            settings(hypothesis.given(**strategies)(test))()

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run
    return decorate


def texts(min_size=0, excluded=""):
    """Texts of Chinese, Latin and special characters, without line feeds and what is excluded."""
    excluded += "\n"
    parts = st.one_of(
        st.text(sorted(set("天地玄黄宇宙洪荒abcXYZ 0123，。") - set(excluded)), max_size=6),
        st.sampled_from([text for text in SPECIAL if not set(text) & set(excluded)]),
        st.characters(blacklist_categories=("Cs",), blacklist_characters=excluded))
    return st.lists(parts, max_size=6).map("".join).filter(lambda text: len(text) >= min_size)


@contextlib.contextmanager
def file(name, content):
    """Yields the path of a file with this content, bytes or text, in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, name)
        with open(path, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode("utf-8"))
        yield path
