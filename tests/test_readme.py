"""Both READMEs report the same figures."""

import os
import re

import pytest

from conftest import ROOT

pytestmark = pytest.mark.one_platform


def figures(name, heading):
    """The numbers of every row of the tables from a heading on, in ascending order of their text.
    """
    with open(os.path.join(ROOT, name), encoding="utf-8") as stream:
        results = stream.read().partition(heading + "\n")[2]
    rows = [line for line in results.splitlines() if line.startswith("| ")]
    return [found for found in (sorted(re.findall(r"\d(?:[\d.,]*\d)?", row)) for row in rows)
            if found]


def test_tables_of_results():
    english = figures("README.md", "## Results")
    assert len(english) > 15
    assert figures("README.zh.md", "## 结果") == english
