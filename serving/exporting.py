"""Whether what was exported answers as the checkpoint does, how large and how fast it is.

    artifact = Artifact("ONNX", "exported/model.onnx", engine, LIMIT, package.head)
    report = exporting.Reference(package).compare(artifact)
"""

import collections
import itertools
import os
import time

from util import sources, text_lines

import numpy as np

import tokenization
from interchange import inference_graph, proof
from interchange.tables import POSITIONS

LIMIT = 1e-4  # of float32, as a share of the largest value
SAMPLE_TEXTS = 64  # of the sample, to compare decisions on

# What a format wrote. name: for people; path: of a file or directory; engine: what runs it, as of
# engines.create, with `inputs`; limit: the largest difference, None where decisions are gated;
# head: what it computes, of tables.HEADS, None for a pre-trained model or an encoder alone.
Artifact = collections.namedtuple("Artifact", "name path engine limit head")
# difference: the largest of any output, as a share of the largest value; agreement: the share of
# equal decisions, of how many; bytes: of the files; milliseconds: of one sentence.
Report = collections.namedtuple("Report", "difference agreement count bytes milliseconds")


def batches(package):
    """Batches that show an export's faults: sentences of two languages, one short, the longest
    sequence, padding, and sentences of the sample.

    Args:
      package: serving.package.Package with weights.

    Returns:
      A list of {"input_ids", "input_mask", "segment_ids": int32 [B, S]; "lengths": int32 [B];
      POSITIONS: int32 [B, 3]}, of texts with "text_a" and "text_b", string [B].
    """
    config = package.weights.config
    length = min(package.max_seq_length, config.max_position_embeddings)
    made = [_of_texts(package, proof.SENTENCES, length)]
    short = {name: array[:1, :6] for name, array in made[0].items() if array.ndim == 2}
    random = np.random.RandomState(3)
    longest = {"input_ids": random.randint(0, config.vocab_size, [2, length]).astype(np.int32),
               "input_mask": np.ones([2, length], np.int32),
               "segment_ids": np.zeros([2, length], np.int32)}
    longest["input_mask"][1, length // 2:] = 0
    made += [short, longest]
    lines = _sample_lines()
    if lines:
        made.append(_of_texts(package, list(zip(lines, lines[1:])), length))
    for batch in made:
        count, size = batch["input_ids"].shape
        batch["lengths"] = batch["input_mask"].sum(1).astype(np.int32)
        batch[POSITIONS] = random.randint(0, size, [count, 3]).astype(np.int32)
    return made


def _sample_lines():
    """The first lines of the sample's text; none where it was taken away."""
    path = os.path.join(sources.ROOT, "data", "news_zh_1.txt")
    if not os.path.isfile(path):
        return []
    lines = (line for _, line in text_lines.read_lines(path) if line)
    return list(itertools.islice(lines, SAMPLE_TEXTS + 1))


def _of_texts(package, pairs, length):
    """Features of pairs of texts, as the predictor's, with the texts themselves."""
    encode = package.tokenizer.encode
    features = tokenization.pad([tokenization.pack(
        encode(first), encode(second), package.tokenizer, length) for first, second in pairs])
    if package.weights.config.type_vocab_size == 1:
        features["segment_ids"] *= 0
    for name, texts in zip(("text_a", "text_b"), zip(*pairs)):
        features[name] = np.array([text.encode("utf-8") for text in texts], object)
    return features


class Reference(object):
    """What the checkpoint's own graph answers to `batches`, to compare exports with.

    Args:
      package: serving.package.Package with weights.
    """

    def __init__(self, package):
        self._package = package
        self.batches = batches(package)
        self._expected = {}  # of every head, once

    def compare(self, artifact):
        """The Report of an Artifact; batches that lack one of its inputs are left out."""
        if artifact.head not in self._expected:
            session = inference_graph.Session(self._package.weights, artifact.head)
            self._expected[artifact.head] = [session.run(batch) for batch in self.batches]
        engine, worst, equal, fitting = artifact.engine, 0.0, [], []
        for batch, expected in zip(self.batches, self._expected[artifact.head]):
            if not all(name in batch for name in engine.inputs):
                continue
            fitting.append(batch)
            actual = engine.run(batch)
            for name in sorted(set(expected) & set(actual)):
                array, other = expected[name], actual[name]
                if name == "sequence_output" or artifact.head in ("tagging", "reading"):
                    is_token = batch["input_mask"] > 0
                    array, other = array[is_token], other[is_token]
                largest = max(1.0, np.abs(array).max())
                worst = max(worst, float(np.abs(array - other).max() / largest))
                if name.endswith("logits"):
                    equal += [_decide(self._package, array) == _decide(self._package, other)]
        equal = np.concatenate([array.ravel() for array in equal] or [np.zeros(0)])
        return Report(worst, float(equal.mean()) if len(equal) else 1.0, len(equal),
                      size(artifact.path), _milliseconds(engine, fitting[0]))


def _milliseconds(engine, batch):
    """Of one sentence, the mean of 20."""
    one = {name: array[:1] for name, array in batch.items()}
    engine.run(one)
    begin = time.time()
    for _ in range(20):
        engine.run(one)
    return 1000 * (time.time() - begin) / 20


def _decide(package, logits):
    """Logits [..., L] -> what is answered: the best label, of several each; [B] or [B, ...]."""
    if package.kind == "multi_label":
        return logits > 0
    if logits.shape[-1] == 1:  # a number, or the score of one choice
        return np.zeros(len(logits))
    return logits.argmax(-1)


def size(path):
    """Bytes of a file, or of all in a directory."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(parent, name))
               for parent, _, names in os.walk(path) for name in names)
