"""Lines of a data file that cannot be used: an error, or with --skip_bad_lines counted.

    bad_lines = BadLines(skip=True)
    for record in records:
        with bad_lines.allowed() as line:
            example = read(record)  # may raise a UserError
        if line.good:
            examples.append(example)
    bad_lines.report("train.tsv")
    # train.tsv: 2 bad lines are left out; the first: train.tsv line 7: an empty text; ...
"""

import contextlib

from util import console
from util.errors import UserError


class _Line(object):
    """Whether a line can be used."""

    good = False


class BadLines(object):
    """Counts the lines of a file that raise a UserError, or lets the error through.

    Attributes:
      skip: whether they are left out.
      count: how many were.
    """

    def __init__(self, skip=False):
        self.skip, self.count, self._first = skip, 0, None

    @contextlib.contextmanager
    def allowed(self):
        """Yields an object whose `good` tells afterwards whether the body raised no UserError."""
        line = _Line()
        try:
            yield line
            line.good = True
        except UserError as error:
            if not self.skip:
                raise
            self._leave_out(str(error))

    def on_bad_line(self, path):
        """What text_lines.read_lines calls with the number of a line that is not UTF-8, or None."""
        if not self.skip:
            return None
        return lambda number: self._leave_out("%s line %d: not UTF-8" % (path, number))

    def _leave_out(self, reason):
        self.count += 1
        self._first = self._first or reason

    def report(self, path):
        """Prints how many lines were left out, if any, and counts anew."""
        if self.count:
            console.say("%s: %d bad lines are left out; the first: %s", path, self.count,
                        self._first)
        self.count, self._first = 0, None
