"""Both READMEs report the same figures, and so do the sample model's card and docs/results.md."""

import os
import re

import pytest

from conftest import ROOT

pytestmark = pytest.mark.one_platform

TASKS = {"afqmc", "c3", "chnsenticorp", "cmrc2018", "nli_zh", "paws_x_zh", "weibo_ner"}


def rows(name, heading):
    """The rows of the tables from a heading on."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as stream:
        results = stream.read().partition(heading + "\n")[2]
    return [line for line in results.splitlines() if line.startswith("| ")]


def figures(name, heading):
    """The numbers of every row of the tables from a heading on, in ascending order of their text.
    """
    return [found for found in (sorted(re.findall(r"\d(?:[\d.,]*\d)?", row))
                                for row in rows(name, heading)) if found]


def fine_tuned(name, heading):
    """What the sample model, random weights and guessing reach: {(task, metric): three figures}."""
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows(name, heading))
    return {(row[0].split(",")[0], row[1]): row[2:] for row in cells
            if len(row) == 5 and row[0].split(",")[0] in TASKS}


def test_tables_of_results():
    english = figures("README.md", "## Results")
    assert len(english) > 15
    assert figures("README.zh.md", "## 结果") == english


def test_the_sample_model_reaches_the_same_in_every_document():
    results = fine_tuned("docs/results.md", "## The sample model")
    assert {task for task, _ in results} == TASKS
    assert fine_tuned("data/albert_tiny_sample/README.md", "## What it reaches") == results
    shown = fine_tuned("README.md", "## Results")
    assert {task for task, _ in shown} == TASKS
    assert shown == {key: results[key] for key in shown}
