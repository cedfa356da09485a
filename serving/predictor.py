"""A predictor that stays loaded: raw texts in, labelled probabilities out.

    made = predictor.load("exported/lcqmc")
    made.predict([("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")])
    # [{"label": "1", "probabilities": {"0": 0.03, "1": 0.97}, "tokens_cut": 0}]
    predictor.load("albert_tiny_zh").predict(["长江是中国最[MASK]的河流"])   # ranks words for it
"""

import threading

from util.errors import UserError

import numpy as np

import tokenization
from interchange.tables import POSITIONS
from serving import engines, package

MASK = "[MASK]"
BATCH_TOKENS = 4096  # padded, of one run


def load(path, engine="auto", num_threads=None, top=5, **company):
    """The Predictor of a directory or checkpoint.

    Args:
      path: a directory of export_model.py, a training's --output_dir, or a checkpoint.
      engine: of engines.NAMES, or "auto".
      num_threads: processors to use; None: all.
      top: how many words for a [MASK].
      **company: as of `checkpoint_package.load`; an export has it all.

    Raises:
      UserError: something is missing, or the model is of another task.
    """
    found = package.load(path) if package.is_export(path) else _of_checkpoint(path, **company)
    if found.head not in ("classification", None):
        raise UserError("%s is a model of %s; similarity.py answers for classification, regression "
                        "and pre-trained models; use --do_predict of its command"
                        % (path, found.head))
    made = engines.create(engine, found.weights, found.head, num_threads, found.onnx)
    if found.head is None and "masked_lm_logits" not in made.outputs:
        raise UserError("%s has neither a fine-tuned head nor the masked-LM head" % path)
    return Predictor(found, made, top)


def _of_checkpoint(path, **company):
    from util import platforms  # loads TensorFlow, which an export does not need

    from serving import checkpoint_package
    platforms.start()
    return checkpoint_package.load(path, **company)


class Predictor(object):
    """Answers of a fine-tuned classification or regression, or of a pre-trained model.

    Items are texts, or pairs of texts. Answers are dicts:
      one label: "label", "probabilities" {label: number};
      several labels: "labels", "probabilities"; regression: "value";
      a pre-trained model: "masks", for every [MASK] a list of (word, probability), the best first;
    and "tokens_cut", how many tokens did not fit. Calls from several threads are answered one after
    the other. Items are grouped by length, and answers do not depend on what they were grouped with
    but for rounding.

    Args:
      found: serving.package.Package.
      engine: of engines.create.
      top: how many words for a [MASK].
    """

    def __init__(self, found, engine, top=5):
        self.package = found._replace(weights=None)  # the engine has them
        self.engine = engine
        self._top = top
        self._lock = threading.Lock()

    def predict(self, items):
        """A list of texts or pairs of texts -> a list of answers.

        Raises:
          UserError: an item is neither, or has no [MASK] for a pre-trained model.
        """
        features = [self._featurize(index, item) for index, item in enumerate(items)]
        order = sorted(range(len(features)), key=lambda index: len(features[index]["input_ids"]))
        answers = [None] * len(features)
        for batch in _batches(order, features):
            rows = [features[index] for index in batch]
            with self._lock:
                outputs = self.engine.run(_padded(rows))
            found = self._answers(rows, outputs)
            for index, answer in zip(batch, found):
                answers[index] = dict(answer, tokens_cut=features[index]["cut"])
        return answers

    def _featurize(self, index, item):
        texts = [item] if isinstance(item, str) else item
        if not isinstance(texts, (list, tuple)) or not 1 <= len(texts) <= 2 or not all(
                isinstance(text, str) for text in texts):
            raise UserError("item %d: expected a text or a pair of texts, found %s"
                            % (index + 1, repr(item)[:80]))
        ids = [self._encode(text) for text in texts]
        second = ids[1] if len(ids) > 1 and len(ids[1]) else None
        features = tokenization.pack(ids[0], second, self.package.tokenizer,
                                     self.package.max_seq_length)
        whole = len(ids[0]) + (len(second) + 3 if second is not None else 2)
        features = dict(features, cut=whole - len(features["input_ids"]))
        if self.package.head is None:
            features[POSITIONS] = np.flatnonzero(
                features["input_ids"] == self.package.tokenizer.mask_id)
            if not len(features[POSITIONS]):
                raise UserError("item %d: no %s among the tokens that fit; a pre-trained model "
                                "fills %s" % (index + 1, MASK, MASK))
        return features

    def _encode(self, text):
        """Token ids; a pre-trained model's text may hold [MASK]."""
        tokenizer = self.package.tokenizer
        if self.package.head is not None:
            return list(tokenizer.encode(text))
        ids = []
        for number, part in enumerate(text.split(MASK)):
            ids += ([tokenizer.mask_id] if number else []) + list(tokenizer.encode(part))
        return ids

    def _answers(self, rows, outputs):
        """Yields the answer of every row of a batch."""
        if self.package.head is None:
            for row, logits in zip(rows, outputs["masked_lm_logits"]):
                yield {"masks": [self._words(one) for one in logits[:len(row[POSITIONS])]]}
            return
        for logits in outputs["logits"].astype(np.float64):
            if self.package.kind == "regression":
                yield {"value": float(logits[0])}
            elif self.package.kind == "multi_label":
                shares = 1.0 / (1.0 + np.exp(-logits))
                yield {"labels": [label for label, share in zip(self.package.labels, shares)
                                  if share > 0.5], "probabilities": self._named(shares)}
            else:
                shares = _softmax(logits)
                yield {"label": self.package.labels[int(np.argmax(shares))],
                       "probabilities": self._named(shares)}

    def _named(self, shares):
        return {label: float(share) for label, share in zip(self.package.labels, shares)}

    def _words(self, logits):
        shares = _softmax(logits.astype(np.float64))
        best = np.argsort(-shares, kind="stable")[:self._top]
        return [(self.package.tokenizer.tokens[index], float(shares[index])) for index in best]


def _softmax(logits):
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def _batches(order, features):
    """Indices in groups of at most BATCH_TOKENS padded tokens, from the shortest to the longest."""
    batch = []
    for index in order:
        longest = len(features[index]["input_ids"])
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(rows):
    """The features of some items as int32 [B, S]; the mask is 1 for tokens."""
    arrays = tokenization.pad(rows)
    if POSITIONS in rows[0]:
        widest = max(len(row[POSITIONS]) for row in rows)
        arrays[POSITIONS] = np.array([np.pad(row[POSITIONS], (0, widest - len(row[POSITIONS])),
                                             "constant") for row in rows], np.int32)
    return arrays
