"""Models to serve, whose answers are known beforehand, and servers in this process."""

import contextlib
import json
import threading
import urllib.error
import urllib.request

import numpy as np

import processes
import tiny
import tokenization
from interchange import tensorflow_files
from interchange.tables import POSITIONS
from serving import batching, package, predictor
from test_conversion import random_weights

LABELS = {"classification": ["no", "yes"], "tagging": ["O", "B-PER", "B-LOC", "I-LOC"]}
TOLD = tiny.CHARACTERS[0]  # whether it is in a text is what the models know


def write_model(directory):
    """A pre-trained model of random weights as a checkpoint with its config and vocabulary."""
    weights = random_weights()
    tensorflow_files.write_tensorflow(weights.arrays, str(directory / "model.ckpt"))
    (directory / "config.json").write_text(json.dumps(weights.config.to_dict()))
    tiny.write_vocab(directory / "vocab.txt")


class Engine(object):
    """Computes by the rule that `TOLD` is the class, the entity, the answer, the choice, the word.

    A text with the token "bad" fails.
    """

    name = "rule"

    def __init__(self, tokenizer, head):
        self._told, = tokenizer.encode(TOLD)
        self._bad = tokenizer.encode("bad")
        self._size, self._head = len(tokenizer.tokens), head
        self.outputs = ["masked_lm_logits" if head is None else "logits"]
        self.batches = []  # shapes of what was computed
        self.open = threading.Event()  # nothing is computed while it is cleared
        self.open.set()

    def run(self, features):
        self.open.wait(30)
        ids = np.array(features["input_ids"])
        self.batches.append(ids.shape)
        if np.isin(ids, self._bad).any():
            raise RuntimeError("an operator failed")
        told = (ids == self._told).astype(np.float32)
        if self._head is None:
            logits = np.zeros(features[POSITIONS].shape + (self._size,), np.float32)
            logits[..., self._told] = 5
        elif self._head == "tagging":
            logits = np.stack([1 - told, told, 0 * told, 0 * told], -1)
        elif self._head == "reading":
            logits = 9 * np.stack([told, told], -1) - 1e4 * (
                np.array(features["segment_ids"]) == 0)[..., None]
        else:
            any_told = told.max(1, keepdims=True)
            logits = (3 * any_told if self._head == "choice"
                      else np.concatenate([0 * any_told, 3 * any_told - 1], 1))
        return {self.outputs[0]: logits}


def model(directory, head="classification", max_seq_length=32, **changes):
    """A Predictor with a vocabulary of its own."""
    vocab = tiny.write_vocab(directory / "vocab.txt", tiny.CHARACTERS + ["bad", "a", "b"])
    tokenizer = tokenization.load_tokenizer(vocab)
    values = {"head": head, "kind": None, "labels": LABELS.get(head, []), "fingerprint": "ab12",
              "max_seq_length": max_seq_length, "tokenizer": tokenizer, "onnx": None,
              "weights": None, "task": "own", "options": package.options_of(head, {})}
    return predictor.Predictor(
        package.Package(**dict(values, **changes)), Engine(tokenizer, head), top=3)


def settings(batch=None, **changes):
    """server_flags.Settings, small."""
    from serving import server_flags
    parsed = server_flags.settings_of(tiny.parse(server_flags.define_flags, port=0))
    return parsed._replace(
        batching=batching.Settings(**dict({"wait_seconds": 0.002}, **(batch or {}))), **changes)


def ready(port):
    with contextlib.suppress(urllib.error.HTTPError):
        return urllib.request.urlopen("http://127.0.0.1:%d/health/ready" % port, timeout=30)


@contextlib.contextmanager
def running(models, values):
    """A server on a port of its own, in a thread, when it is ready; gives the port."""
    from serving import server
    listener = server.listen(values.host, values.port)
    service = server.Server(models, values)
    thread = threading.Thread(target=service.run, args=(listener,), daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    try:
        processes.wait_until(lambda: ready(port))
        yield port
    finally:
        service.stop()
        thread.join(60)
        listener.close()
        assert not thread.is_alive()
