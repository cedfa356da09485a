"""The ways of benchmarks/inference.py to compute one model: checked, then measured in turn."""

import collections
import json
import os
import statistics
import subprocess
import sys

from util import console, sources, whole_files
from util.errors import UserError

from benchmarks import running

# Seconds of a cell in a round, and the roles of the rows that it is compared with.
CELL_SECONDS = {"1 x 32": 0.5, "32 x 128": 1.0, "pairs": 1.0}
BASELINES = {"1 x 32": ["export"], "32 x 128": ["export", "bfloat16"], "pairs": ["pipeline"]}
# How far probabilities may be from those of the first row, by what stands in a row's name: float32
# the largest difference, the less exact ones, which random weights make noisy, the mean.
LIMITS = (("int8", "mean", 0.1), ("bfloat16", "mean", 0.1), ("", "largest", 1e-3))


class Ways(object):
    """A process of benchmarks/inference.py that has loaded a model in several ways.

    Attributes:
      rows: what there is: {"row": name, "role": of BASELINES or None, "MB": size of its file or
        None, "problem": why it is not there or None, "cells": what it computes}.
    """

    def __init__(self, function, directory, python=sys.executable):
        self._log = os.path.join(directory, function + ".log")
        with open(self._log, "wb") as stream:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.inference", function, directory], cwd=sources.ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
                env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        self.rows = self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            with open(self._log, encoding="utf-8", errors="replace") as stream:
                raise UserError("benchmarks.inference failed: %s"
                                % running.last_line(stream.read()))
        return json.loads(line.decode("utf-8"))

    def ask(self, row, cell, seconds=0):
        """The median seconds of a cell; with 0 seconds its probabilities."""
        request = {"row": row, "cell": cell, "seconds": seconds}
        self._process.stdin.write(json.dumps(request).encode("utf-8") + b"\n")
        self._process.stdin.flush()
        return self._answer()["seconds" if seconds else "probabilities"]


def check_equal(entries):
    """Raises a UserError if a row has other probabilities than the first one, or all have one."""
    for cell in CELL_SECONDS:
        rows = [(row["row"], process) for row, process in entries if cell in row["cells"]]
        expected = values = None
        for name, process in rows:
            values = [share for shares in process.ask(name, cell) for share in shares]
            expected = expected or values
            differences = [abs(one - other) for one, other in zip(values, expected)]
            kind, limit = next(its for part, *its in LIMITS if part in name)
            difference = max(differences) if kind == "largest" else statistics.mean(differences)
            if len(values) != len(expected) or not difference <= limit:
                raise UserError("%s, %s: the %s difference from the probabilities of %s is %.2g, "
                                "more than %g" % (
                                    name, cell, kind, rows[0][0], difference, limit))
            console.say("%s, %s: %s difference %.1e", name, cell, kind, difference)
        if values and len(values) > 2 and max(values) - min(values) < 0.1:
            raise UserError("all inputs have nearly the same probabilities, so that nothing is "
                            "checked; give another --bert_config_file")


def measure_in_turn(entries, rounds, directory):
    """Measures every cell of every row, one after the other, round after round.

    Returns:
      ({(name, cell): [seconds of each round]}, [seconds from similarity.py's start to its end]).
    """
    seconds, first = collections.defaultdict(list), []
    pair = os.path.join(directory, "pair.tsv")
    whole_files.write_lines(pair, ["\u4f60\u597d\t\u60a8\u597d"])
    total = rounds * sum(len(row["cells"]) for row, _ in entries)
    with console.progress(total=total, unit="cells", desc="measuring") as bar:
        for _ in range(rounds):
            first.append(running.measure(running.ours(
                "similarity.py", model=os.path.join(directory, "plain"), input_file=pair,
                engine="onnxruntime"))[1]["seconds"])
            for cell, budget in CELL_SECONDS.items():
                for row, process in entries:
                    if cell in row["cells"]:
                        seconds[row["row"], cell].append(process.ask(row["row"], cell, budget))
                        bar.update()
    return seconds, first


def rows_of(title, rows, seconds, first):
    """What `measure_in_turn` returns -> the table's rows; ratios are medians of the rounds'."""
    def ratio(name, cell, role):
        others = [seconds[row["row"], cell] for row in rows
                  if row["role"] == role and (row["row"], cell) in seconds]
        if not others or (name, cell) not in seconds:
            return "-"
        return statistics.median(theirs / own for theirs, own in zip(
            min(others, key=statistics.median), seconds[name, cell]))

    table = []
    for index, row in enumerate(rows):
        name, cells = row["row"], collections.OrderedDict()
        for cell in CELL_SECONDS:
            if (name, cell) in seconds:
                value = statistics.median(seconds[name, cell])
                value = int(title.split()[0]) / value if cell == "pairs" else 1000 * value
            else:
                value = "-"
            cells["pairs/s" if cell == "pairs" else cell + ", ms"] = value
            for role in BASELINES[cell]:
                cells["%s: x %s" % (cell, role)] = ratio(name, cell, role)
        cells["first answer, s"] = "-" if index else statistics.median(first)
        cells["MB"] = "-" if row["MB"] is None else row["MB"]
        table.append(dict({"inference, " + title: name}, **cells))
    return table
