"""Pre-trains an ALBERT on TFRecords: masked words and sentence order.

    python3 run_pretraining.py --input_file=./data/tf*.tfrecord --do_train=True --do_eval=True \
      --eval_input_file=held_out.tfrecord --output_dir=my_new_model_path \
      --bert_config_file=albert_config/albert_config_tiny.json --train_batch_size=64 \
      --max_seq_length=128 --max_predictions_per_seq=20 --num_train_steps=2000 \
      --num_warmup_steps=200 --learning_rate=0.001

The same --output_dir again goes on where it stopped; --init_checkpoint takes weights only.
"""

import collections
import os

import commands

import tensorflow.compat.v1 as tf

import checkpoints
import estimators
import files
import modeling
import optimization
import records
from errors import UserError


def define_flags():
    """The flags of both original codes, with their names."""
    flags = tf.flags
    estimators.define_flags(batch_size=64, save_checkpoints_steps=1000)
    flags.DEFINE_string("input_file", None, "Record files, globs, or a comma list, to train on.")
    flags.DEFINE_string("eval_input_file", None, "Held-out record files for --do_eval.")
    flags.DEFINE_bool("eval_on_train_data", False, "Let --do_eval use --input_file when there is "
                      "no --eval_input_file.")
    flags.DEFINE_string("export_dir", None, "Where to write a SavedModel of the encoder.")
    flags.DEFINE_integer("max_seq_length", 512, "As the records were made.", lower_bound=8)
    flags.DEFINE_integer("max_predictions_per_seq", 51, "As the records were made.", lower_bound=1)
    flags.DEFINE_bool("do_train", False, "Train.")
    flags.DEFINE_bool("do_eval", False, "Evaluate at the end (and every --eval_every_steps).")
    flags.DEFINE_integer("eval_every_steps", 0, "Steps between evaluations while training; 0: only "
                         "at the end.", lower_bound=0)
    flags.DEFINE_integer("max_eval_steps", 100, "Batches an evaluation, at most.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 0.00176, "Peak rate; 0.00176 suits LAMB with batch 4096.",
                       lower_bound=0.0)
    flags.DEFINE_float("poly_power", 1.0, "Power of the decay to 0; 1 is linear.", lower_bound=0.0)
    flags.DEFINE_integer("num_train_steps", 125000, "Updates in all.", lower_bound=1)
    flags.DEFINE_integer("num_warmup_steps", 3125, "Updates of linear warmup.", lower_bound=0)
    flags.DEFINE_integer("start_warmup_step", 0, "Update at which the warmup begins.",
                         lower_bound=0)


def pretraining_metrics(masked_lm, weights, labels, sentence_order, order_labels):
    """Scalars of one batch, by their published names.

    Args:
      masked_lm: (loss, [B*P], [B*P, V]) of modeling.get_masked_lm_output.
      weights, labels: [B, P].
      sentence_order: (loss, [B], [B, 2]) of modeling.get_sentence_order_output.
      order_labels: [B, 1].
    """
    weights = tf.reshape(weights, [-1])
    right = tf.equal(tf.argmax(masked_lm[2], -1, output_type=tf.int32), tf.reshape(labels, [-1]))
    order = tf.equal(tf.argmax(sentence_order[2], -1, output_type=tf.int32),
                     tf.reshape(order_labels, [-1]))
    return collections.OrderedDict([
        ("masked_lm_loss", masked_lm[0]),
        ("masked_lm_accuracy", tf.reduce_sum(weights * tf.cast(right, tf.float32))
         / (tf.reduce_sum(weights) + 1e-5)),
        ("sentence_order_loss", sentence_order[0]),
        ("sentence_order_accuracy", tf.reduce_mean(tf.cast(order, tf.float32))),
    ])


def evaluation_metrics(lm_example_loss, lm_logits, labels, weights, order_example_loss,
                       order_logits, order_labels):
    """Streaming metrics over all batches, by the names of the originals."""
    weights = tf.reshape(weights, [-1])
    labels, order_labels = tf.reshape(labels, [-1]), tf.reshape(order_labels, [-1])
    return {
        "masked_lm_accuracy": tf.metrics.accuracy(labels, tf.argmax(lm_logits, -1), weights),
        "masked_lm_loss": tf.metrics.mean(lm_example_loss, weights),
        "sentence_order_accuracy": tf.metrics.accuracy(order_labels, tf.argmax(order_logits, -1)),
        "sentence_order_loss": tf.metrics.mean(order_example_loss),
    }


def model_fn_builder(config, flags):
    """Returns the model_fn of TPUEstimator for training, evaluation and export."""

    def model_fn(features, labels, mode, params):
        del labels
        trained = estimators.begin_part(flags)
        model = modeling.AlbertModel(
            config, mode == tf.estimator.ModeKeys.TRAIN, features["input_ids"],
            features["input_mask"], features["segment_ids"],
            use_one_hot_embeddings=flags.use_tpu)
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.tpu.TPUEstimatorSpec(mode, predictions={
                "sequence_output": model.get_sequence_output(),
                "pooled_output": model.get_pooled_output()})
        lm_labels, weights = features["masked_lm_ids"], features["masked_lm_weights"]
        order_labels = features["next_sentence_labels"]
        masked_lm = modeling.get_masked_lm_output(
            config, model, features["masked_lm_positions"], lm_labels, weights)
        sentence_order = modeling.get_sentence_order_output(
            config, model.get_pooled_output(), order_labels)
        loss = masked_lm[0] + sentence_order[0]
        scaffold_fn = estimators.restore_scaffold(
            config, flags.init_checkpoint, flags.allow_partial_init, flags.use_tpu,
            trained or mode != tf.estimator.ModeKeys.TRAIN)
        if mode == tf.estimator.ModeKeys.EVAL:
            return tf.estimator.tpu.TPUEstimatorSpec(mode, loss=loss, eval_metrics=(
                evaluation_metrics, [masked_lm[1], masked_lm[2], lm_labels, weights,
                                     sentence_order[1], sentence_order[2], order_labels]))
        metrics = pretraining_metrics(masked_lm, weights, lm_labels, sentence_order, order_labels)
        return training_spec(loss, metrics, flags, params["batch_size"], scaffold_fn)

    return model_fn


def training_spec(loss, metrics, flags, batch_size, scaffold_fn):
    """The train op with its TensorBoard scalars and console lines."""
    train = optimization.create_train_op(
        loss, flags.optimizer, flags.learning_rate, flags.num_train_steps, flags.num_warmup_steps,
        poly_power=flags.poly_power, use_tpu=flags.use_tpu, lamb_exclude=flags.lamb_exclude,
        start_warmup_step=flags.start_warmup_step)
    hooks = []
    if not flags.use_tpu:  # a TPU's tensors cannot be fetched one by one
        shown = collections.OrderedDict([("loss", loss)], **metrics)
        shown["learning_rate"] = train.learning_rate
        hooks.append(estimators.ProgressHook(shown, flags.num_train_steps, batch_size))
        for name, value in metrics.items():
            tf.summary.scalar(name, value)
        tf.summary.scalar("learning_rate", train.learning_rate)
        tf.summary.scalar("gradient_norm", train.gradient_norm)
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.TRAIN, loss=loss, train_op=train.train_op,
        training_hooks=hooks, scaffold_fn=scaffold_fn)


def record_files(patterns):
    """files.expand without the descriptions that a glob such as data/tf* finds beside records."""
    return [path for path in files.expand(patterns) if not path.endswith(".json")]


def input_files(flags):
    """(training files, evaluation files), both checked against the flags."""
    if not flags.do_train and not flags.do_eval and not flags.export_dir:
        raise UserError("nothing to do; pass --do_train, --do_eval or --export_dir")
    train_paths = record_files(flags.input_file) if flags.do_train else []
    held_out = flags.eval_input_file or (flags.input_file if flags.eval_on_train_data else None)
    eval_paths = []
    if flags.do_eval and held_out:
        eval_paths = record_files(held_out)
        both = sorted(set(train_paths) & set(eval_paths))
        if both and flags.eval_input_file:
            raise UserError("%s is both in --input_file and in --eval_input_file; hold it out of "
                            "the training data" % both[0])
    elif flags.do_eval:
        advice = ("--do_eval needs --eval_input_file, records made of text that is not trained on "
                  "(or --eval_on_train_data)")
        if not flags.do_train:
            raise UserError(advice)
        commands.say("no evaluation: %s", advice)
    return train_paths, eval_paths


def serving_input_fn(max_seq_length):
    """The inputs of the exported encoder: three int32 [B, S]."""
    features = {name: tf.placeholder(tf.int32, [None, max_seq_length], name)
                for name in ("input_ids", "input_mask", "segment_ids")}
    return tf.estimator.export.ServingInputReceiver(features, features)


def train_and_evaluate(estimator, flags, train_paths, eval_paths):
    """Trains to --num_train_steps, evaluating on the way when asked, and at the end."""
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    total = flags.num_train_steps
    every = flags.eval_every_steps if flags.do_train and eval_paths else 0
    stops = list(range(every, total, every) if every else []) + [total]
    step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
    for stop in (stop for stop in stops if stop > step or stop == total):
        if train_paths:
            step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
            estimators.train(estimator, records.pretraining_input_fn(
                train_paths, *lengths, is_training=True, seed=flags.seed,
                first_example=step * flags.train_batch_size), stop, train_paths)
        if eval_paths:
            with estimators.damage_named(eval_paths):
                results = estimator.evaluate(
                    records.pretraining_input_fn(eval_paths, *lengths, is_training=False),
                    steps=flags.max_eval_steps)
            estimators.write_results(os.path.join(flags.output_dir, "eval_results.txt"), results)


def main(flags):
    """Checks everything first, then trains, evaluates and exports as the flags ask."""
    train_paths, eval_paths = input_files(flags)
    estimators.check_flags(flags, train_paths + eval_paths)
    config = modeling.AlbertConfig.from_json_file(flags.bert_config_file)
    if flags.max_seq_length > config.max_position_embeddings:
        raise UserError("--max_seq_length=%d is larger than the config's max_position_embeddings "
                        "%d" % (flags.max_seq_length, config.max_position_embeddings))
    fit = flags.max_seq_length, flags.max_predictions_per_seq, config.vocab_size
    records.check_pretraining_files(train_paths + eval_paths, *fit)
    checkpoints.claim_directory(flags.output_dir, config.to_dict())
    if not train_paths and not tf.train.latest_checkpoint(flags.output_dir):
        raise UserError("--output_dir=%s holds no checkpoint to evaluate or export; train first"
                        % flags.output_dir)
    estimator = estimators.create(model_fn_builder(config, flags), flags)
    try:
        train_and_evaluate(estimator, flags, train_paths, eval_paths)
    except tf.errors.InvalidArgumentError:  # a record that is not like its file's first one
        records.check_every_record(train_paths + eval_paths, *fit)
        raise
    if flags.export_dir:
        path = estimator.export_saved_model(
            flags.export_dir, lambda: serving_input_fn(flags.max_seq_length))
        commands.say("exported to %s", path.decode())
    commands.say("next: python3 run_classifier.py --task_name=lcqmc --do_train --do_eval "
                 "--bert_config_file=%s --init_checkpoint=%s --data_dir=... --vocab_file=... "
                 "--output_dir=...", flags.bert_config_file, flags.output_dir)


if __name__ == "__main__":
    commands.run(main, define_flags)
