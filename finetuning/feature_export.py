"""Writes a model's vectors of a task's texts to files, as BERT's extract_features.py does.

--export_features=sentence writes OUTPUT_DIR/test_sentence.npy and test_mean.npy, float32 [N, H]:
the pooled output and the mean over the tokens, one row per example of the test file, in its order;
of a text that is read in several windows it is the mean over these. test_ids.txt has the examples'
ids in the same order. --export_features=token writes test_tokens.jsonl in the form of BERT's
extract_features.py, a line a window:

    {"linex_index": 0, "id": "test-1", "window": 0,
     "features": [{"token": "[CLS]", "layers": [{"index": -1, "values": […]}]}]}
"""

import collections
import contextlib
import json
import os

from util import console, whole_files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
from tasks import tables
from training import restoring

LEVELS = ("sentence", "token")


def check(task, vectors, num_hidden_layers):
    """Rejects a task of choices, and layers that the model does not have.

    Args:
      vectors: settings.Vectors.
    """
    if vectors.level and len(task.features["input_ids"].shape) != 1:
        raise UserError("--export_features: this task's examples are several sequences each; "
                        "export from a file of single texts or pairs (run_classifier.py "
                        "--task_name=tsv)")
    if not all(-num_hidden_layers <= layer <= -1 for layer in vectors.layers):
        raise UserError("--feature_layers=%s: expected numbers from -%d to -1, the last layer"
                        % (",".join(map(str, vectors.layers)), num_hidden_layers))


def model_fn_builder(config, vectors, initial, checkpoint):
    """Returns a model_fn that predicts vectors: [B, H] twice, or {"layer-1": [B, S, H], …}."""

    def model_fn(features, labels, mode, params):
        del labels, params
        mask = features["input_mask"]
        model = modeling.AlbertModel(config, False, features["input_ids"], mask,
                                     features["segment_ids"], scope="bert")
        restoring.restore_scaffold(config, initial, checkpoint)
        predictions = {name: features[name]
                       for name in ("example", "window", "input_ids", "lengths")}
        if vectors.level == "sentence":
            weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]  # [B, S, 1]
            total = tf.reduce_sum(weights * model.get_sequence_output(), 1)
            predictions["sentence"] = model.get_pooled_output()
            predictions["mean"] = total / tf.reduce_sum(weights, 1)
        else:
            for layer in vectors.layers:
                predictions["layer%d" % layer] = model.get_all_encoder_layers()[layer]
        return tf.estimator.EstimatorSpec(mode, predictions=predictions)

    return model_fn


def export(config, tokenizer, split, settings, checkpoint):
    """Writes the vectors of a split, in the order of its examples.

    Args:
      settings: finetuning.settings.Settings.
      checkpoint: the trained one; None for the initial checkpoint.
    """
    initial, output_dir = settings.run.initial, settings.output_dir
    if not (checkpoint or initial.init_checkpoint):
        raise UserError("--export_features: --output_dir=%s holds no checkpoint and "
                        "--init_checkpoint is missing; name one" % output_dir)
    estimator = tf.estimator.Estimator(
        model_fn_builder(config, settings.vectors, initial, checkpoint), output_dir)
    batches = estimator.predict(split.input_fn(in_order=True), checkpoint_path=checkpoint,
                                yield_single_examples=False)
    write = _write_sentences if settings.vectors.level == "sentence" else _write_tokens
    with console.progress(total=split.num_windows, unit="examples", desc="vectors") as bar:
        paths = write(batches, os.path.join(output_dir, split.name), split.examples, tokenizer,
                      bar)
    windows = "" if split.num_windows == len(split.examples) else (
        ", read in %d windows" % split.num_windows)
    console.say("vectors of %d texts%s in %s", len(split.examples), windows, ", ".join(paths))


def _write_sentences(batches, prefix, examples, tokenizer, bar):
    del tokenizer
    paths = {name: "%s_%s.npy" % (prefix, name) for name in ("sentence", "mean")}
    num_windows = np.zeros([len(examples), 1], np.float32)
    with contextlib.ExitStack() as stack:
        temporary = {name: stack.enter_context(whole_files.replacing(path))
                     for name, path in paths.items()}
        arrays = {}
        for batch in batches:
            for name, path in temporary.items():
                if name not in arrays:
                    arrays[name] = np.lib.format.open_memmap(
                        path, "w+", np.float32, (len(examples), batch[name].shape[1]))
                np.add.at(arrays[name], batch["example"], batch[name])
            np.add.at(num_windows, batch["example"], 1)
            bar.update(len(batch["window"]))
        for array in arrays.values():
            array /= num_windows
            array.flush()
    ids = prefix + "_ids.txt"
    whole_files.write_lines(ids, (tables.written(str(example.id)) for example in examples))
    return sorted(paths.values()) + [ids]


def _write_tokens(batches, prefix, examples, tokenizer, bar):
    def lines():
        first = {}  # {example: its first window}
        for batch in batches:
            for row in np.argsort(batch["window"]):
                example, window = int(batch["example"][row]), int(batch["window"][row])
                yield json.dumps(collections.OrderedDict([
                    ("linex_index", example), ("id", examples[example].id),
                    ("window", window - first.setdefault(example, window)),
                    ("features", _token_features(batch, row, tokenizer))]), ensure_ascii=False)
            bar.update(len(batch["window"]))

    whole_files.write_lines(prefix + "_tokens.jsonl", lines())
    return [prefix + "_tokens.jsonl"]


def _token_features(batch, row, tokenizer):
    """One window of a batch -> the list of its tokens and their vectors."""
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][row][:batch["lengths"][row]])
    names = sorted((name for name in batch if name.startswith("layer")),
                   key=lambda name: -int(name[len("layer"):]))
    return [{"token": token, "layers": [
        {"index": int(name[len("layer"):]),
         "values": [round(float(value), 6) for value in batch[name][row][position]]}
        for name in names]} for position, token in enumerate(tokens)]
