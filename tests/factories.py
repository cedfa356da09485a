"""Runs of create_pretraining_data.py in the directory of a test, and descriptions made up."""

import json
import math
import os

from util import commands

import pytest
import tensorflow.compat.v1 as tf

import create_pretraining_data as command
from pretraining import masking
from tiny import parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEWS = os.path.join(ROOT, "data", "news_zh_1.txt")
TEXT = ("长江发源于青藏高原。\n它全长约6300公里。\n\n河口的人口。\n流速慢了。\n水流向东南。\n\n"
        "只有一个句子。\n")


def flags(tmp_path, vocab, text=TEXT, **changes):
    """Small settings on `text`, str or bytes; a flag of None keeps its default."""
    (tmp_path / "in.txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    values = {"input_file": tmp_path / "in.txt", "output_file": tmp_path / "out" / "a.tfrecord",
              "vocab_file": vocab, "max_seq_length": 32, "max_predictions_per_seq": 5,
              "dupe_factor": 2, "num_workers": 1}
    values.update(changes)
    return {name: value for name, value in values.items() if value is not None}


def make(tmp_path, vocab, text=TEXT, **changes):
    """Runs the command in this process; returns the directory of its output."""
    command.main(parse(command.define_flags, **flags(tmp_path, vocab, text, **changes)))
    return tmp_path / "out"


def stopped(tmp_path, vocab, text=TEXT, **changes):
    """The one sentence that ends the command with status 1."""
    parsed = parse(command.define_flags, **flags(tmp_path, vocab, text, **changes))
    with pytest.raises(SystemExit) as raised:
        commands._main_with_plain_errors(lambda _: command.main(parsed), ["command"])
    assert "\n" not in raised.value.code  # a text as the code of sys.exit is status 1
    return raised.value.code


def refused(tmp_path, vocab, text=TEXT, **changes):
    """`stopped`, and nothing is left beside the input."""
    flags(tmp_path, vocab, text)  # writes the input
    before = everything(tmp_path)
    sentence = stopped(tmp_path, vocab, text, **changes)
    assert everything(tmp_path) == before
    return sentence


def everything(directory, unfinished=True):
    """Every file under a directory with its content, or all but those of unfinished work."""
    contents = {}
    for root, directories, names in os.walk(str(directory)):
        if not unfinished:
            directories[:] = [name for name in directories if not name.endswith(".work")]
        for name in names:
            with open(os.path.join(root, name), "rb") as stream:
                contents[os.path.join(root, name)] = stream.read()
    return contents


def contents(directory):
    """{name: content} of the output under a directory, without unfinished work."""
    return {os.path.relpath(path, str(directory)): content
            for path, content in everything(directory, unfinished=False).items()}


def read(*paths):
    """Record files -> list of {name: list of numbers}."""
    examples = []
    for path in paths:
        for record in tf.python_io.tf_record_iterator(str(path)):
            features = tf.train.Example.FromString(record).features.feature
            examples.append({name: list(feature.float_list.value or feature.int64_list.value)
                             for name, feature in sorted(features.items())})
    return examples


def description(path):
    """What a set of record files says of itself."""
    with open(str(path) + ".json", encoding="utf-8") as stream:
        return json.load(stream)


def news():
    """The sample's text."""
    with open(NEWS, encoding="utf-8") as stream:
        return stream.read()


def assert_share(count, total, share):
    """Within four standard deviations of a binomial law."""
    assert abs(count - total * share) < 4 * math.sqrt(total * share * (1 - share)), (count, total)


# ---- descriptions of small records ----

S, P, V = 12, 3, 50  # max_seq_length, max_predictions_per_seq, vocab_size
SPECIAL_IDS = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
# The description of unmasked records, and how they are masked.
MADE_UNMASKED = {"store_word_starts": True, "masked_lm_prob": 0.25, "ngram": 2,
                 "brightmart_labels": False, "special_ids": SPECIAL_IDS}
MASKING = masking.Settings(
    max_predictions_per_seq=P, masked_lm_prob=0.25, ngram=2, brightmart_labels=False, mask_id=4,
    special_ids=(0, 1, 2, 3, 4), vocab_size=V)


def write_description(path, counts, size=V, length=S, predictions=P, special_ids=None, **changes):
    """Writes the description of a set of {name of a file: its number of records}."""
    values = dict(changes, max_seq_length=length, max_predictions_per_seq=predictions)
    vocab = {"size": size, "file": "vocab.txt"}
    if special_ids:
        vocab["special_ids"] = special_ids
    with open(path, "w") as stream:
        json.dump({"flags": values, "vocab": vocab, "files": counts}, stream)
