"""Files of predictions as the benchmarks' servers want them; a data set's row names its own."""

import collections
import json
import os
import re

from util import whole_files


class Clue(collections.namedtuple("Clue", "name")):
    """A JSON object a line, in the order of the test file: {"id": 0, "label": "1"}.

    https://github.com/CLUEbenchmark/CLUE: NAME_predict.json; with the test files of versions 1.0
    and 1.1 (test1.1.json) the name has the version's digits: tnews11_predict.json.
    """

    def path(self, directory, test_file):
        """Where to write, beside what the test file is called."""
        version = re.search(r"test(\d)\.(\d)\.json$", test_file)
        digits = "".join(version.groups()) if version else ""
        return os.path.join(directory, "%s%s_predict.json" % (self.name, digits))

    def lines(self, rows):
        """[(id, label as text)] -> lines."""
        for identifier, label in rows:
            yield json.dumps(collections.OrderedDict([("id", identifier), ("label", label)]),
                             ensure_ascii=False)


class Glue(collections.namedtuple("Glue", "name")):
    """A TSV with the header "index prediction" (https://gluebenchmark.com): NAME.tsv."""

    def path(self, directory, test_file):
        """Where to write."""
        del test_file
        return os.path.join(directory, self.name + ".tsv")

    def lines(self, rows):
        """[(id, label as text)] -> lines."""
        yield "index\tprediction"
        for identifier, label in rows:
            yield "%s\t%s" % (identifier, label)


def write(form, directory, test_file, split, examples, labels):
    """Writes predicted labels (texts) in a benchmark's form; returns the path."""
    path = form.path(directory, test_file)
    rows = ((identifier(example.id, split), label) for example, label in zip(examples, labels))
    whole_files.write_lines(path, form.lines(rows))
    return path


def identifier(text, split):
    """The number that the file gives to an example, or its index from 0 where it gives none."""
    if text.isdigit():
        return int(text)
    match = re.match(re.escape(split) + r"-(\d+)$", text)
    return int(match.group(1)) - 1 if match else text
