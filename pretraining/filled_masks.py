"""A few held-out sentences with what a model fills into their masks, for a person to read.

    1. 长江发源于[青藏 -> 青海 0.31]高原 | 它全长[约 -> 约 0.92]6300公里  (swapped -> in order 0.57)

A bracket holds neighbouring masked tokens: the true ones, the likeliest ones, and the product of
their probabilities.

Dimensions: N sentences shown, S max_seq_length, P max_predictions_per_seq, V vocabulary.
"""

import itertools

from util import console, files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import tokenization

ORDERS = ("in order", "swapped")  # by sentence-order label


def load_tokenizer(description, path, vocab_size):
    """The tokenizer of held-out records.

    Args:
      description: of their file (records.read_descriptions), or None.
      path: WordPiece vocabulary or SentencePiece model (*.model); None: as the description says.
      vocab_size: the config's.

    Raises:
      UserError: it is not known or not found, or is another than the records'.
    """
    vocab = description["vocab"] if description else {}
    path = path or vocab.get("file")
    if not path:
        raise UserError("no description beside the records names their vocabulary; name it by "
                        "--vocab_file")
    if not files.is_file(path):
        raise UserError("%s: no such file, the records' vocabulary; name it by --vocab_file" % path)
    lower = (description or {"flags": {}})["flags"].get("do_lower_case", True)
    is_model = path.endswith(".model")
    tokenizer = tokenization.load_tokenizer(
        None if is_model else path, path if is_model else None, lower)
    if vocab.get("fingerprint", tokenizer.fingerprint) != tokenizer.fingerprint or (
            tokenizer.vocab_size != vocab_size):
        raise UserError("%s (%d tokens) is not the vocabulary that the records were made with; "
                        "name that one by --vocab_file" % (path, tokenizer.vocab_size))
    return tokenizer


class Shower:
    """Prints the first records of an evaluation with their masks filled.

    Args:
      tokenizer: the records'.
      number: N.
    """

    def __init__(self, tokenizer, number):
        self._tokens, self._number = tokenizer.tokens, number
        self._specials = {tokenizer.pad_id, tokenizer.cls_id}
        self._sep_id = tokenizer.sep_id
        self._has_spaces = any(token.startswith("\u2581") for token in tokenizer.tokens)

    def hook(self, features, lm_logits, order_logits):
        """The session hook that prints, after the first batch.

        Args:
          features: of a masked batch.
          lm_logits: float [B * P, V].
          order_logits: float [B, 2].
        """
        shape = tf.shape(features["masked_lm_ids"])
        logits = tf.reshape(lm_logits, [shape[0], shape[1], -1])[:self._number]
        fetches = {name: features[name][:self._number] for name in (
            "input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights",
            "next_sentence_labels")}
        return _FirstBatchHook(dict(
            fetches, said_ids=tf.argmax(logits, -1),  # [N, P]
            said_probabilities=tf.reduce_max(tf.nn.softmax(tf.cast(logits, tf.float32)), -1),
            order_probabilities=tf.nn.softmax(
                tf.cast(order_logits[:self._number], tf.float32))), self._say)  # [N, 2]

    def _say(self, batch):
        for number in range(len(batch["input_ids"])):
            console.say("%d. %s", number + 1, self.sentence(
                {name: values[number] for name, values in batch.items()}))

    def sentence(self, record):
        """The line of a record, {name: array} with what the hook fetches of it."""
        numbers = np.flatnonzero(record["masked_lm_weights"]).tolist()
        masked = {int(record["masked_lm_positions"][number]): number for number in numbers}
        lines, plain = [""], ""
        for kind, run in itertools.groupby(
                enumerate(record["input_ids"].tolist()),
                key=lambda item: "masked" if item[0] in masked else self._kind(item[1])):
            run = list(run)
            if kind == "masked":
                within = [masked[position] for position, _ in run]
                true = self._join(record["masked_lm_ids"][within], plain)
                lines[-1] += " " * true.startswith(" ") + "[%s -> %s %.2f]" % (
                    true.strip(), self._join(record["said_ids"][within], "").strip(),
                    np.prod(record["said_probabilities"][within]))
            else:
                true = self._join([index for _, index in run], plain) if kind == "text" else ""
                lines[-1] += true
            plain += true
            if kind == "end":
                lines, plain = lines + [""], ""
        label = int(np.ravel(record["next_sentence_labels"])[0])
        said = int(np.argmax(record["order_probabilities"]))
        return "%s  (%s -> %s %.2f)" % (
            " | ".join(line.strip() for line in lines[:2]), ORDERS[label], ORDERS[said],
            record["order_probabilities"][said])

    def _kind(self, index):
        """What a token that is not masked is: the "end" of a segment, another "special", "text"."""
        return "end" if index == self._sep_id else "special" if index in self._specials else "text"

    def _join(self, ids, before):
        """Tokens -> the text that goes on behind `before`: 自 然 low ##er -> "自然lower"."""
        text = before
        for piece in (self._tokens[index] for index in ids):
            if self._has_spaces:
                text += piece.replace("\u2581", " ")
            elif piece.startswith("##") and len(piece) > 2:
                text += piece[2:]
            else:
                text += " " * (_is_of_word(text[-1:]) and _is_of_word(piece[:1])) + piece
        return text[len(before):]


def _is_of_word(char):
    """Whether a character is of a word that spaces separate; "" is not."""
    return char.isalnum() and not tokenization.is_cjk(char)


class _FirstBatchHook(tf.train.SessionRunHook):
    """Fetches tensors with the first session run, and calls a function with their values."""

    def __init__(self, fetches, on_values):
        self._fetches, self._on_values = fetches, on_values
        self._is_first = True

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._fetches if self._is_first else {})

    def after_run(self, run_context, run_values):
        if self._is_first:
            self._is_first = False
            self._on_values(run_values.results)
