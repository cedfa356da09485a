"""Sets of files that hold an n-th each: NAME@N.EXT and the paths that it stands for."""

import glob
import re

from util import files
from util.errors import UserError

MAX_SHARDS = 99999
# NAME@N.EXT: name with directory, number of shards, extensions.
_SHARDED = re.compile(r"(.*[^/])@([0-9]+)((?:\.[^/]*)?)\Z", re.S)


def paths_of(name):
    """--output_file -> the paths of N shards; a name without @N -> itself alone.

    "out@2.tsv.gz" -> ["out-00000-of-00002.tsv.gz", "out-00001-of-00002.tsv.gz"]

    Raises:
      UserError: a number of shards that is none; files of another number of shards stand there.
    """
    match = _SHARDED.match(name)
    if not match:
        return [name]
    stem, number, extension = match.group(1), int(match.group(2)), match.group(3)
    if not 0 < number <= MAX_SHARDS:
        raise UserError("--output_file=%s: %d shards, expected 1 to %d"
                        % (name, number, MAX_SHARDS))
    paths = ["%s-%05d-of-%05d%s" % (stem, shard, number, extension) for shard in range(number)]
    if not files.is_remote(stem):
        digits = "[0-9]" * 5
        others = set(glob.glob("%s-%s-of-%s%s" % (
            glob.escape(stem), digits, digits, glob.escape(extension)))) - set(paths)
        if others:
            raise UserError("%s is of another set with the name of --output_file; delete the set "
                            "or give another name" % min(others))
    return paths
