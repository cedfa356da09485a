"""A fine-tuned model as a SavedModel, as --export_dir of Google's run_classifier.py writes it.

Inputs are int32 [B, S] "input_ids", "input_mask" and "segment_ids", of any batch and length;
outputs are what the task's head predicts, e.g. "probabilities".
"""

from util import console
from util.errors import UserError

import tensorflow.compat.v1 as tf

INPUTS = ("input_ids", "input_mask", "segment_ids")


def check(task, export, do_eval):
    """Refuses a task whose head needs more than the tokens, and a threshold without a score.

    Args:
      export: settings.Export.
      do_eval: whether the dev file is scored.
    """
    if export.directory and not task.pooled_only:
        raise UserError("--export_dir: the predictions of this task need its texts beside the "
                        "tokens; use --do_predict")
    if export.directory and export.has_threshold and not do_eval:
        raise UserError("--threshold_to_export=%g without a score; add --do_eval"
                        % export.threshold)


def export_model(task, estimator, checkpoint, export, scores):
    """Writes a SavedModel, unless the score is below the threshold.

    Args:
      checkpoint: a trained one, or None, which is an error.
      export: settings.Export.
      scores: {metric: number} on the dev file, or None.
    """
    if checkpoint is None:
        raise UserError("--export_dir needs a checkpoint in --output_dir; train first (--do_train)")
    if export.has_threshold and scores[task.metric] < export.threshold:
        console.say("not exported: %s %.4f is below --threshold_to_export=%g", task.metric,
                    scores[task.metric], export.threshold)
        return
    path = estimator.export_saved_model(
        export.directory, lambda: serving_input_fn(task), checkpoint_path=checkpoint)
    console.say("exported %s to %s", checkpoint, path.decode())


def serving_input_fn(task):
    """The inputs of the exported graph; the labels among a task's features are 0."""
    rank = len(task.features["input_ids"].shape) + 1
    inputs = {name: tf.placeholder(tf.int32, [None] * rank, name) for name in INPUTS}
    features = dict(inputs)
    batch = tf.shape(inputs["input_ids"])[:1]
    for name, feature in task.features.items():
        if name not in features:
            shape = tf.concat([batch, [1 if size is None else size for size in feature.shape]], 0)
            features[name] = tf.zeros(tf.cast(shape, tf.int32), feature.dtype)
    return tf.estimator.export.ServingInputReceiver(features, inputs)
