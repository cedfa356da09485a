"""The files that hold finished records: their names, and how they get them, all at once or none."""

import collections
import contextlib
import re

from util import files, shard_names, whole_files, work_directory
from util.errors import UserError

from pretraining import records


def output_paths(output_file):
    """--output_file -> paths, each once.

    "a.tfrecord, b.tfrecord" -> ["a.tfrecord", "b.tfrecord"]
    "tf@2.tfrecord" -> ["tf-00000-of-00002.tfrecord", "tf-00001-of-00002.tfrecord"]
    """
    paths = []
    for part in files.split_list(output_file):
        paths += shard_names.paths_of(part)
    if not paths:
        raise UserError("--output_file is missing; name a TFRecord file to write")
    for path, times in collections.Counter(paths).items():
        if times > 1:
            raise UserError("--output_file names %s twice; name every file once" % path)
    return paths


def output_pattern(output_file):
    """--output_file as the next command reads it: "tf@64.tfrecord" -> "tf-*.tfrecord"."""
    return ",".join(shard_names.pattern_of(part).replace(",", "\\,")
                    for part in files.split_list(output_file))


def work_path(outputs, work_dir):
    """The directory for unfinished work: hidden, beside the first output unless that is remote."""
    name = re.sub(r"\.json$", "", records.description_path(outputs[0]))
    return work_directory.place(name, work_dir, outputs[0])


def too_few_error(number, outputs):
    """The UserError of fewer instances than files."""
    return UserError(
        "%d instances for %d output files; the input needs documents of two or more sentences, "
        "with a blank line between documents" % (number, len(outputs)))


def publish(shards, outputs, description):
    """Gives finished shards their names, and writes their descriptions, all or none.

    Args:
      shards: list of (path of a finished shard, number of records).
      outputs: as many paths.
      description: of records.describe.
    """
    sizes = {path: size for path, (_, size) in zip(outputs, shards)}
    descriptions = records.description_texts(description, sizes)
    names = outputs + sorted(descriptions)
    whole_files.remove_abandoned(names)
    with contextlib.ExitStack() as stack:
        temporary = {path: stack.enter_context(whole_files.replacing(path)) for path in names}
        for path, text in sorted(descriptions.items()):
            with files.open_file(temporary[path], "w") as stream:
                stream.write(text)
        for (shard, _), path in zip(shards, outputs):
            (files.rename if files.is_remote(shard) else whole_files.move)(shard, temporary[path])
