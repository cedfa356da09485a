"""A predictor that stays loaded: raw texts in, answers out.

    made = predictor.load("exported/lcqmc")
    made.predict([("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")])
    # [{"label": "1", "probabilities": {"0": 0.03, "1": 0.97}, "tokens_cut": 0}]
    predictor.load("albert_tiny_zh").predict(["长江是中国最[MASK]的河流"])   # ranks words for it

`predict` is made of three pieces, for who batches the rows of several callers:

    rows = made.rows(item)                    # of one item, most often one
    outputs = made.compute(rows)              # of any rows, one output a row
    made.answer(item, rows, outputs)
"""

import threading

from util.errors import UserError

import numpy as np

import tokenization
from interchange.tables import POSITIONS
from serving import answers, engines, items, package

# Padded, of one run: what a layer computes of more does not stay in the processor's caches, of much
# less OpenVINO fills its tiles of bfloat16 badly.
BATCH_TOKENS = 1024


def load(path, engine="auto", num_threads=None, top=5, bfloat16=False, **company):
    """The Predictor of a directory or checkpoint.

    Args:
      path, **company: as of `load_package`.
      engine, num_threads, bfloat16: as of engines.create.
      top: how many words for a [MASK].

    Raises:
      UserError: something is missing, or the model has no head.
    """
    return make(load_package(path, **company), engine, num_threads, top, bfloat16)


def load_package(path, options=None, **company):
    """The Package of a directory or checkpoint.

    Args:
      path: a directory of export_model.py, a training's --output_dir, or a checkpoint.
      options: {name: value} of package.OPTIONS, in place of the model's own.
      **company: as of checkpoint_package.load; an export has it all, and max_seq_length shortens
        its own.

    Raises:
      UserError: something is missing.
    """
    if package.is_export(path):
        model = package.load(path)
        length = min(company.get("max_seq_length") or model.max_seq_length, model.max_seq_length)
        return model._replace(max_seq_length=length, options=package.options_of(
            model.head, options or {}, model.options))
    from util import platforms  # loads TensorFlow, which an export does not need

    from serving import checkpoint_package
    platforms.start()
    return checkpoint_package.load(path, options=options, **company)


def make(model, engine="auto", num_threads=None, top=5, bfloat16=False):
    """The Predictor of a Package; arguments as of `load`."""
    made = engines.create(engine, model.weights, model.head, num_threads, model.onnx,
                          bfloat16=bfloat16)
    if model.head is None and "masked_lm_logits" not in made.outputs:
        raise UserError("%s model has neither a fine-tuned head nor the masked-LM head"
                        % ("the exported" if model.onnx else "the"))
    return Predictor(model, made, top)


class Predictor(object):
    """Answers of a fine-tuned or pre-trained model, to items in the forms of serving/items.py.

    Answers are dicts that JSON can hold:
      one label: "label", "probabilities" {label: number};
      several labels: "labels", "probabilities"; regression: "value";
      tagging: "entities", a list of "type", "start", "end" (characters, excluded), "text";
      reading: "answer", "start", "end", "probability" among the n best, "score"; where the model
        knows questions without an answer it may be "", start and end None, and there is
        "no_answer_odds";
      choice: "choice", its index, "text", "probabilities" in the order of the choices;
      a pre-trained model: "masks", for every [MASK] a list of (word, probability), the best first;
    and "tokens_cut", how many tokens did not fit. They do not depend on what was computed together
    with them but for rounding. All methods may be called from several threads; the engine computes
    for one after the other.

    Args:
      model: serving.package.Package.
      engine: of engines.create.
      top: how many words for a [MASK].

    Attributes:
      package: the Package, without weights; `package.fingerprint` tells models apart.
      engine: what computes.
    """

    def __init__(self, model, engine, top=5):
        self.package = model._replace(weights=None)  # the engine has them
        self.engine = engine
        self._family = answers.create(self.package, top)
        self._output = "masked_lm_logits" if model.head is None else "logits"
        self._lock = threading.Lock()

    def rows(self, item):
        """An item -> the sequences of tokens that the model computes for it, a list of rows.

        A row is {feature: array}; len(row["input_ids"]) is its length.

        Raises:
          UserError: the item is none, with what was expected.
        """
        return self._family.rows(items.fields(item, self.package.head))

    def compute(self, rows):
        """Rows of any items -> a list of outputs, one a row, in their order.

        They are grouped by length and padded in batches of BATCH_TOKENS.
        """
        outputs = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]))
        for batch in _batches(order, rows):
            features = _padded([rows[index] for index in batch])
            with self._lock:
                computed = self.engine.run(features)[self._output]
            for index, output in zip(batch, computed):
                outputs[index] = self._without_padding(rows[index], output)
        return outputs

    def _without_padding(self, row, output):
        if self.package.head is None:
            return output[:len(row[POSITIONS])]
        return output[:len(row["input_ids"])] if output.ndim == 2 else output

    def answer(self, item, rows, outputs):
        """The answer to an item, of its `rows` and what `compute` gave for them."""
        reply = self._family.answer(items.fields(item, self.package.head), rows, outputs)
        return dict(reply, tokens_cut=max(int(row["cut"]) for row in rows))

    def predict(self, all_items):
        """A list of items -> a list of answers.

        Raises:
          UserError: an item is none, with its number from 1.
        """
        all_rows = [self._numbered_rows(number, item) for number, item in enumerate(all_items, 1)]
        outputs = iter(self.compute([row for rows in all_rows for row in rows]))
        return [self.answer(item, rows, [next(outputs) for _ in rows])
                for item, rows in zip(all_items, all_rows)]

    def _numbered_rows(self, number, item):
        try:
            return self.rows(item)
        except UserError as error:
            raise UserError("item %d: %s" % (number, error)) from None

    def warm_up(self):
        """Computes once: engines prepare at the first run."""
        row = tokenization.pack([self.package.tokenizer.mask_id], None, self.package.tokenizer, 8)
        self.compute([dict(row, **{POSITIONS: np.array([1])})
                      if self.package.head is None else row])


def _batches(order, rows):
    """Indices in groups of at most BATCH_TOKENS padded tokens, from the shortest to the longest."""
    batch = []
    for index in order:
        longest = len(rows[index]["input_ids"])
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(rows):
    """The features of some rows as int32 [B, S]; the mask is 1 for tokens."""
    arrays = tokenization.pad(rows)
    if POSITIONS in rows[0]:
        widest = max(len(row[POSITIONS]) for row in rows)
        arrays[POSITIONS] = np.array([np.pad(row[POSITIONS], (0, widest - len(row[POSITIONS])),
                                             "constant") for row in rows], np.int32)
    return arrays
