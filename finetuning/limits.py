"""What bounds the scores of a split from above, whatever the model says: counted and told.

    limits = Limits()
    limits.add(task, example, windows, tokenizer, max_seq_length)     # of every example
    limits.say("dev")
    # dev: 5 of 6,986 answers begin or end inside a token, so no prediction of them is exact
"""

import collections
import json

from util import console, files, whole_files

import numpy as np

# As in the report of pre-training data (pretraining/report.py).
UNKNOWN_SHARE, SHOWN_PIECES = 0.02, 10
SEARCHED = 500  # examples in which unknown pieces are looked for


class Limits(object):
    """Counts over the examples of a split.

    Attributes:
      counts: {(of what, which of them): [how many, of how many]}.
      tokens: [how many are [UNK], of how many].
      unknown: Counter of pieces of text that became [UNK].
    """

    def __init__(self, counts=(), tokens=(0, 0), unknown=()):
        self.counts = collections.OrderedDict(
            ((what, which), list(numbers)) for what, which, numbers in counts)
        self.tokens, self.unknown = list(tokens), collections.Counter(dict(unknown))
        self._searched = 0

    def add(self, task, example, windows, tokenizer, max_seq_length):
        """Adds an example; `windows` are what task.featurize gave of it."""
        for what, which, some, of in task.limits(example, windows, tokenizer, max_seq_length):
            numbers = self.counts.setdefault((what, which), [0, 0])
            numbers[0] += some
            numbers[1] += of
        ids = np.concatenate([np.ravel(window["input_ids"]) for window in windows])
        unknown = int(np.sum(ids == tokenizer.unk_id))
        self.tokens[0] += unknown
        self.tokens[1] += int(np.sum(~np.isin(
            ids, (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id))))
        if unknown and self._searched < SEARCHED:
            self._searched += 1
            for text in task.texts(example):
                self.unknown.update(
                    text[start:end] for token, start, end in zip(
                        *tokenizer.encode_with_offsets(text)) if token == tokenizer.unk_id)

    def say(self, split):
        """Prints a sentence for each count above 0, and a warning where too much is [UNK]."""
        for (what, which), (some, of) in self.counts.items():
            if some:
                console.say("%s: %s of %s %s %s", split, "{:,}".format(some), "{:,}".format(of),
                            what, which)
        unknown, tokens = self.tokens
        if unknown > UNKNOWN_SHARE * tokens:
            pieces = sorted(self.unknown.items(), key=lambda item: (-item[1], item[0]))
            console.say("warning: %s: %.1f %% of the tokens are [UNK], most often %s; the "
                        "vocabulary does not fit the text (check --vocab_file or --spm_model_file, "
                        "and --do_lower_case)", split, 100.0 * unknown / tokens,
                        " ".join(piece for piece, _ in pieces[:SHOWN_PIECES]))

    def write(self, path):
        """Writes them beside the features, for runs that find those in the cache."""
        whole_files.write_json(path, {
            "counts": [[what, which, numbers] for (what, which), numbers in self.counts.items()],
            "tokens": self.tokens, "unknown": self.unknown.most_common(SHOWN_PIECES)})


def read(path):
    """The Limits that a file of `Limits.write` holds."""
    with files.open_file(path) as stream:
        return Limits(**json.load(stream))
