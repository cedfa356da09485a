"""What a person at the terminal sees while something runs: lines and progress bars.

    console.say("%d examples in %s", count, path)
    for line in console.progress(lines, unit="lines", desc="reading"):
        ...

Everything goes to standard error; standard output is left to results.
"""

import logging
import sys

from tqdm import tqdm

log = logging.getLogger("albert")


def start_log():
    """Lets `say` print; a command calls it once, a library that is imported prints nothing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def say(message, *arguments):
    """Prints one line: console.say("%d examples", count)."""
    log.info(message, *arguments)


def progress(iterable=None, total=None, unit="it", desc=None):
    """A tqdm bar with rate and time left, for what takes over two seconds.

    In a log file it writes a line a half minute.
    """
    return tqdm(iterable, total=total, unit=unit, unit_scale=True, desc=desc, dynamic_ncols=True,
                mininterval=0.5 if sys.stderr.isatty() else 30, delay=2)
