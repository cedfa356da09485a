"""Sets of files that hold an n-th each: NAME@N.EXT and the paths that it stands for."""

import glob
import re

from util import files
from util.errors import UserError

MAX_SHARDS = 99999
# NAME@N.EXT and a shard's own name: stem with directory, (number,) extensions.
_SET = re.compile(r"(.*[^/])@([0-9]+)((?:\.[^/]*)?)\Z", re.S)
_SHARD = re.compile(r"(.*[^/])-\d{5}-of-\d{5}((?:\.[^/]*)?)\Z", re.S)


def paths_of(name):
    """--output_file -> the paths of N shards; a name without @N -> itself alone.

    "out@2.tsv.gz" -> ["out-00000-of-00002.tsv.gz", "out-00001-of-00002.tsv.gz"]

    Raises:
      UserError: a number of shards that is none.
    """
    match = _SET.match(name)
    if not match:
        return [name]
    stem, number, extension = match.group(1), int(match.group(2)), match.group(3)
    if not 0 < number <= MAX_SHARDS:
        raise UserError("--output_file=%s: %d shards, expected 1 to %d"
                        % (name, number, MAX_SHARDS))
    return ["%s-%05d-of-%05d%s" % (stem, shard, number, extension) for shard in range(number)]


def pattern_of(name):
    """--output_file as a glob of its shards: "tf@64.tfrecord" -> "tf-*.tfrecord"."""
    return _SET.sub(r"\1-*\3", name)


def set_of(path):
    """The name of a shard's set, "tf-00000-of-00064.tfrecord" -> "tf.tfrecord"; others are one."""
    return _SHARD.sub(r"\1\2", path)


def check_others(paths):
    """Refuses to write 8 shards beside 16 of the same name: a glob would read both.

    Raises:
      UserError: files of another number of shards stand there.
    """
    digits = "-%s-of-%s" % (("[0-9]" * 5,) * 2)
    parts = (_SHARD.match(path) for path in paths if not files.is_remote(path))
    patterns = {glob.escape(match.group(1)) + digits + glob.escape(match.group(2))
                for match in parts if match}
    for pattern in sorted(patterns):
        others = set(glob.glob(pattern)) - set(paths)
        if others:
            raise UserError("%s is of another set with the name of --output_file; delete the set "
                            "or give another name" % min(others))
