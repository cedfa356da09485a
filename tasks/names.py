"""The names of data sets, as --task_name gives them."""

import difflib
import re

from util.errors import UserError


def find(given, names, aliases=None, or_else=""):
    """A --task_name in any common spelling -> the name of a data set.

    find("STS_B", ["lcqmc", "sts-b"]) -> "sts-b"; find("wsc", ["wsc2020"], {"wsc": "wsc2020"}) ->
    "wsc2020". Case, "-", "_", "." and spaces do not matter.

    Args:
      names: all there are, as an error lists them.
      aliases: {other name: one of `names`}.
      or_else: what the error offers beside them.

    Raises:
      UserError: there is no such name; it lists all, and the closest one.
    """
    known = {_plain(alias): name for alias, name in (aliases or {}).items()}
    known.update((_plain(name), name) for name in names)
    plain = _plain(given or "")
    if plain in known:
        return known[plain]
    close = difflib.get_close_matches(plain, known, 1)
    raise UserError("--task_name%s, expected one of %s%s%s" % (
        "=%s: no such task" % given if given else " is missing", ", ".join(names), or_else,
        "; did you mean %s?" % known[close[0]] if close else ""))


def _plain(name):
    return re.sub("[-_. ]", "", name.lower())
