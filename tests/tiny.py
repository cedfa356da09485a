"""A model of 2 layers, 100 tokens and what it learns, for tests that run a command in-process."""

import json

from util import tfrecords

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags as absl_flags

import modeling
from training import hooks

CONFIG = {"vocab_size": 100, "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 2,
          "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32,
          "initializer_range": 0.3}
LAYOUTS = {"brightmart": {}, "google": {"num_hidden_groups": 1}}
VARIANTS = {
    "brightmart": {},
    "brightmart_preln": {"ln_type": "preln"},
    "google": {"num_hidden_groups": 1, "hidden_act": "relu"},
    "google_groups": {"num_hidden_groups": 2, "inner_group_num": 2},
}
CHARACTERS = [chr(0x4e00 + index) for index in range(95)]
LENGTH, PREDICTIONS = 16, 2  # of pre-training records
PRETRAINING = {"do_train": True, "num_warmup_steps": 0, "learning_rate": 0.01, "optimizer": "adamw",
               "max_seq_length": LENGTH, "max_predictions_per_seq": PREDICTIONS, "xla": False}


def config(**changes):
    return modeling.AlbertConfig.from_dict(dict(CONFIG, **changes))


def write_config(path, **changes):
    path.write_text(json.dumps(dict(CONFIG, **changes)))
    return str(path)


def write_vocab(path, characters=CHARACTERS):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    path.write_text("\n".join(special + characters) + "\n", encoding="utf-8")
    return str(path)


def parse(define_flags, **values):
    """The flags of a command as --name=value sets them; nothing stays defined globally."""
    shared, own = absl_flags.FLAGS, absl_flags.FlagValues()
    before = set(shared)
    define_flags()
    for name in set(shared) - before:
        own[name] = shared[name]
        delattr(shared, name)
    own(["command"] + ["--%s=%s" % item for item in values.items()])
    return own


def pretraining_example(rng):
    """A masked token is the one beside it, and the second segment's tokens tell the order."""
    token, swapped = rng.randint(10, 14), rng.randint(2)
    ids = np.array([2] + [token] * 6 + [3] + [30 + swapped] * 6 + [3, 0])
    ids[[2, 5]] = 4
    return {"input_ids": ids, "input_mask": (ids > 0).astype(int),
            "segment_ids": np.array([0] * 8 + [1] * 7 + [0]),
            "masked_lm_positions": np.array([2, 5]), "masked_lm_ids": np.array([token] * 2),
            "masked_lm_weights": np.ones(2, np.float32),
            "next_sentence_labels": np.array([swapped])}


def write_records(path, count=64, seed=0, **changes):
    """`count` learnable pre-training records; `changes` replace features of each."""
    rng = np.random.RandomState(seed)
    examples = [dict(pretraining_example(rng), **changes) for _ in range(count)]
    tfrecords.write(str(path), map(tfrecords.serialize, examples))
    return str(path)


def results(path):
    """{name: number} of what an evaluation wrote: a file, or the directory of eval_results.txt."""
    path = path / "eval_results.txt" if path.is_dir() else path
    return {name: float(value) for name, value in (
        line.split(" = ") for line in path.read_text().splitlines())}


def save_checkpoint(path, arrays):
    """Writes a checkpoint of {name: array}, and the state of its directory; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.Saver({name: tf.Variable(value) for name, value in arrays.items()})
        session.run(tf.global_variables_initializer())
        return saver.save(session, str(path), write_meta_graph=False)


def weights(checkpoint):
    """{name: array} of a whole checkpoint."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_weights(first, second):
    first, second = weights(first), weights(second)
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def is_tuned(dataset):
    """Whether tf.data's tuner runs beside a dataset; True, too, where nothing was asked for."""
    options = dataset.options()
    asked = (options.experimental_optimization.autotune if tf.__version__.startswith("1.")
             else options.autotune.enabled)
    return asked is not False


class StopHere(Exception):
    """Stands for a kill in the tests of going on."""


def stop_at(monkeypatch, step):
    """Makes training die right after `step`, before anything is saved."""
    after_run = hooks.ProgressHook.after_run

    def stopping(self, run_context, run_values):
        after_run(self, run_context, run_values)
        if self._step == step:
            raise StopHere

    monkeypatch.setattr(hooks.ProgressHook, "after_run", stopping)
