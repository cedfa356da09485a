"""Messages and progress bars of running commands.

    console.say("%d examples in %s", count, path)
    for line in console.progress(lines, unit="lines", desc="reading"):
        ...

Everything goes to standard error; standard output is for results.
"""

import logging
import sys

from tqdm import tqdm

log = logging.getLogger("albert")


def start_log():
    """Makes `say` print; a command calls it once. Without it, as in a library, nothing is printed.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def say(message, *arguments):
    """Prints one line: console.say("%d examples", count)."""
    log.info(message, *arguments)


def progress(iterable=None, total=None, unit="it", desc=None):
    """A tqdm bar with rate and time left, shown after two seconds.

    In a log file it writes a line every half minute.
    """
    return tqdm(iterable, total=total, unit=unit, unit_scale=True, desc=desc, dynamic_ncols=True,
                mininterval=0.5 if sys.stderr.isatty() else 30, delay=2)
