"""Pre-trains an ALBERT on TFRecords: masked words and sentence order.

    python3 run_pretraining.py --input_file=./data/tf*.tfrecord --do_train=True --do_eval=True \
      --eval_input_file=held_out.tfrecord --output_dir=my_new_model_path \
      --bert_config_file=albert_config/albert_config_tiny.json --train_batch_size=64 \
      --max_seq_length=128 --max_predictions_per_seq=20 --num_train_steps=2000 \
      --num_warmup_steps=200 --learning_rate=0.001

The same --output_dir again goes on where it stopped; --init_checkpoint takes weights only.
Records made with --store_word_starts get other masks in every epoch: pass --dynamic_masking.
"""

import collections
import functools
import os

from util import console, files, platforms
from util.errors import UserError

import tensorflow.compat.v1 as tf

import modeling
import optimization
from pretraining import inputs, recipes, records
from training import checkpoints, estimators, flops, hooks


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
    flags.DEFINE_integer("max_predictions_per_seq", 51, "As the records were made; with "
                         "--dynamic_masking at most so many masked tokens.", lower_bound=1)
    flags.DEFINE_bool("dynamic_masking", False, "Draw other masks in every epoch, for records made "
                      "with --store_word_starts.")
    flags.DEFINE_float("masked_lm_prob", None, "Share of the tokens that --dynamic_masking masks, "
                       "0 to 1; default: as the records' maker said.", lower_bound=0.0,
                       upper_bound=1.0)
    flags.DEFINE_integer("ngram", None, "Longest span of --dynamic_masking in words, p(n) ~ 1/n; "
                         "default: as the records' maker said.", lower_bound=1, upper_bound=10)
    flags.DEFINE_bool("restore_slots", False, "Take the optimizer's moments (adam_m, adam_v) from "
                      "--init_checkpoint too, where it has them, as Google's.")
    flags.DEFINE_bool("do_train", False, "Train.")
    flags.DEFINE_bool("do_eval", False, "Evaluate at the end (and every --eval_every_steps).")
    flags.DEFINE_integer("eval_every_steps", 0, "Steps between evaluations while training; 0: only "
                         "at the end.", lower_bound=0)
    flags.DEFINE_integer("max_eval_steps", 100, "Batches an evaluation, at most.", lower_bound=1)
    flags.DEFINE_float("learning_rate", None, "Peak rate; default: what suits the config, the "
                       "optimizer and the batch (docs/recipes.md).", lower_bound=0.0)
    flags.DEFINE_float("poly_power", 1.0, "Power of the decay to 0; 1 is linear.", lower_bound=0.0)
    flags.DEFINE_integer("num_train_steps", 125000, "Updates in all.", lower_bound=1)
    flags.DEFINE_integer("num_warmup_steps", None, "Updates of linear warmup; default: a share of "
                         "the steps (docs/recipes.md).", lower_bound=0)
    flags.DEFINE_integer("start_warmup_step", 0, "Update at which the warmup begins.",
                         lower_bound=0)


def pretraining_outputs(config, build, features, total_weight=None):
    """The two heads -> (masked LM, sentence order), each a loss, [n] of them and logits [n, ...].

    Args:
      build: function of (features, output_positions) -> the AlbertModel over them.
      total_weight: as in modeling.get_masked_lm_output.
    """
    positions = features["masked_lm_positions"]
    # The heads read the first token and the masked ones, 20 of 128 tokens by default.
    model = build(features, output_positions=positions)
    masked_lm = modeling.get_masked_lm_output(
        config, model, positions, features["masked_lm_ids"], features["masked_lm_weights"],
        total_weight)
    sentence_order = modeling.get_sentence_order_output(
        config, model.get_pooled_output(), features["next_sentence_labels"])
    return masked_lm, sentence_order


def pretraining_share(config, build, features, total_weight, num_parts):
    """A part of a batch -> its shares of (loss, {published name: scalar}), which add up.

    Args:
      build: as in `pretraining_outputs`.
      total_weight: sum of the masked_lm_weights of the whole batch.
      num_parts: how many such parts the batch has.
    """
    masked_lm, sentence_order = pretraining_outputs(config, build, features, total_weight)
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    right = tf.equal(tf.argmax(masked_lm[2], -1, output_type=tf.int32),
                     tf.reshape(features["masked_lm_ids"], [-1]))
    order = tf.equal(tf.argmax(sentence_order[2], -1, output_type=tf.int32),
                     tf.reshape(features["next_sentence_labels"], [-1]))
    values = collections.OrderedDict([
        ("masked_lm_loss", masked_lm[0]),
        ("masked_lm_accuracy",
         tf.reduce_sum(weights * tf.cast(right, tf.float32)) / (total_weight + 1e-5)),
        ("sentence_order_loss", sentence_order[0] / num_parts),
        ("sentence_order_accuracy", tf.reduce_mean(tf.cast(order, tf.float32)) / num_parts),
    ])
    return values["masked_lm_loss"] + values["sentence_order_loss"], values


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


def model_fn_builder(config, flags, baseline=None):
    """Returns the model_fn of TPUEstimator for training, evaluation and export.

    `baseline` is the masked-LM accuracy of guessing by frequency, for the warning about it.
    """

    def build(mode, features, output_positions=None):
        return modeling.AlbertModel(
            config, mode == tf.estimator.ModeKeys.TRAIN, features["input_ids"],
            features["input_mask"], features["segment_ids"], scope="bert",
            output_positions=output_positions, **estimators.model_options(flags))

    def model_fn(features, labels, mode, params):
        del labels, params
        trained = estimators.seed_graph(flags)
        if mode == tf.estimator.ModeKeys.TRAIN:
            with estimators.compiled(flags):
                train, shown = training_graph(
                    functools.partial(build, mode), config, flags, features)
            return training_spec(config, flags, train, shown, trained, baseline)
        if mode == tf.estimator.ModeKeys.PREDICT:
            model = build(mode, features)
            return tf.estimator.tpu.TPUEstimatorSpec(mode, predictions={
                "sequence_output": model.get_sequence_output(),
                "pooled_output": model.get_pooled_output()})
        masked_lm, sentence_order = pretraining_outputs(
            config, functools.partial(build, mode), features)
        return tf.estimator.tpu.TPUEstimatorSpec(
            mode, loss=masked_lm[0] + sentence_order[0], eval_metrics=(evaluation_metrics, [
                masked_lm[1], masked_lm[2], features["masked_lm_ids"],
                features["masked_lm_weights"], sentence_order[1], sentence_order[2],
                features["next_sentence_labels"]]))

    return model_fn


def training_graph(build, config, flags, features):
    """One step over this device's part of the batch.

    Args:
      build: as in `pretraining_outputs`.

    Returns:
      (optimization.TrainOp, {"loss" and the metrics of pretraining_share: scalar}), the scalars
      those of the whole batch, whatever the number of devices.
    """
    num_parts = flags.gradient_accumulation_steps
    # The mean over the devices: their losses are then sums over their own predictions by the
    # average number of predictions, and the mean of those is the loss of the whole batch.
    total_weight, = optimization.mean_over_replicas(
        [tf.reduce_sum(features["masked_lm_weights"])], flags.use_tpu)
    scale = estimators.loss_scale(flags)
    loss, metrics, gradients = optimization.accumulate_gradients(
        lambda part: pretraining_share(config, build, part, total_weight, num_parts),
        features, num_parts, scale=scale and scale.value)
    train = optimization.create_train_op(
        gradients, flags.optimizer, flags.learning_rate, flags.num_train_steps,
        flags.num_warmup_steps, poly_power=flags.poly_power, use_tpu=flags.use_tpu,
        lamb_exclude=flags.lamb_exclude, start_warmup_step=flags.start_warmup_step,
        loss_scale=scale)
    means = optimization.mean_over_replicas([loss] + list(metrics.values()), flags.use_tpu)
    return train, collections.OrderedDict(zip(["loss"] + list(metrics), means))


def training_spec(config, flags, train, shown, trained, baseline):
    """What to start from, TensorBoard scalars, console lines and warnings of a training_graph.

    Args:
      trained: the checkpoint that training goes on from, or None.
      baseline: as in model_fn_builder.
    """
    scaffold_fn = estimators.restore_scaffold(
        config, flags.init_checkpoint, flags.allow_partial_init, flags.use_tpu, trained,
        flags.restore_slots)
    session_hooks = []
    if not flags.use_tpu:  # a TPU's tensors cannot be fetched one by one
        for name, value in shown.items():
            if name != "loss":  # an Estimator has that
                tf.summary.scalar(name, value)
        tf.summary.scalar("learning_rate", train.learning_rate)
        tf.summary.scalar("gradient_norm", train.gradient_norm)
        for name, ratio in train.trust_ratios.items():
            tf.summary.scalar("trust_ratio/" + name, ratio)
        session_hooks = training_progress(
            config, flags, dict(shown, learning_rate=train.learning_rate),
            shown["masked_lm_accuracy"], baseline)
    # Workers must all compute the means in every step, not only where one of them shows them.
    train_op = tf.group(train.train_op, *shown.values()) if estimators.replicas() > 1 else (
        train.train_op)
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.TRAIN, loss=shown["loss"], train_op=train_op,
        training_hooks=session_hooks, scaffold_fn=scaffold_fn)


def training_progress(config, flags, values, accuracy, baseline):
    """The hooks that print, measure and warn."""
    examples = estimators.step_examples(flags)
    work = hooks.Work(
        examples, examples * flags.max_seq_length, flops.training_flops(
            config, examples, flags.max_seq_length, flags.max_predictions_per_seq),
        # The peak is one device's, in float32.
        None if flags.amp or estimators.replicas() > 1 else flops.measure_matmul_peak)
    session_hooks = [hooks.ProgressHook(
        values, flags.num_train_steps, work, flags.output_dir)]
    if baseline:
        session_hooks.append(hooks.StagnationHook(
            accuracy, baseline, flags.start_warmup_step + flags.num_warmup_steps,
            flags.num_train_steps,
            "Give it more steps if the loss still falls; else start again with a lower "
            "--learning_rate (a third of %g), more --num_warmup_steps, or --init_checkpoint "
            "(docs/recipes.md)" % flags.learning_rate))
    return session_hooks


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
        console.say("no evaluation: %s", advice)
    return train_paths, eval_paths


# Record files, and what reads them: for training a function first_step=n -> input_fn, for
# evaluation an input_fn.
Data = collections.namedtuple("Data", "paths input_fn masking")


def check_masking_flags(flags):
    """Refuses flags that only --dynamic_masking heeds."""
    for name in ("masked_lm_prob", "ngram"):
        value = getattr(flags, name)
        if value is not None and not flags.dynamic_masking:
            raise UserError("--%s=%s needs --dynamic_masking; the masks of other records are drawn "
                            "by create_pretraining_data.py --%s" % (name, value, name))


def training_data(flags, paths):
    """The Data of checked training files; masked ones and --dynamic_masking exclude each other."""
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    masking = records.masking_settings(paths, lengths[1], flags.masked_lm_prob, flags.ngram)
    if masking and not flags.dynamic_masking:
        raise UserError("%s holds no masks (it was made with --store_word_starts); pass "
                        "--dynamic_masking or make the data again without --store_word_starts"
                        % paths[0])
    if paths and flags.dynamic_masking and not masking:
        raise UserError("%s holds masks and --dynamic_masking draws its own; make the data again "
                        "with --store_word_starts or leave --dynamic_masking out" % paths[0])
    return Data(paths, functools.partial(
        inputs.pretraining_input_fn, paths, *lengths, estimators.step_examples(flags),
        is_training=True, seed=flags.seed, masking=masking), masking)


def evaluation_data(flags, paths):
    """The Data of checked held-out files.

    Unmasked ones are masked as they were meant to be, alike in every evaluation of one batch size.
    """
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    masking = records.masking_settings(paths, lengths[1])
    return Data(paths, inputs.pretraining_input_fn(
        paths, *lengths, flags.eval_batch_size, is_training=False, masking=masking), masking)


def serving_input_fn(max_seq_length):
    """The inputs of the exported encoder: three int32 [B, S]."""
    features = {name: tf.placeholder(tf.int32, [None, max_seq_length], name)
                for name in ("input_ids", "input_mask", "segment_ids")}
    return tf.estimator.export.ServingInputReceiver(features, features)


def choose_recipe(flags, config):
    """Sets the rate and the warmup that were not given, and says what was chosen and why."""
    recipe = recipes.resolve(
        config, flags.optimizer, estimators.step_examples(flags), flags.learning_rate,
        flags.num_train_steps, flags.num_warmup_steps)
    flags.learning_rate, flags.num_warmup_steps = recipe.learning_rate, recipe.num_warmup_steps
    for sentence in recipe.sentences:
        # A model that has left the beginning behind is another matter than the recipes'.
        if not (flags.init_checkpoint and sentence.startswith("warning: ")):
            console.say("%s", sentence)


def train_and_evaluate(estimator, flags, training, evaluation):
    """Trains to --num_train_steps, evaluating on the way when asked, and at the end."""
    total = flags.num_train_steps
    every = flags.eval_every_steps if training.paths and evaluation.paths else 0
    stops = list(range(every, total, every) if every else []) + [total]
    step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
    for stop in (stop for stop in stops if stop > step or stop == total):
        if training.paths:
            step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
            estimators.train(
                estimator, training.input_fn(first_step=step), stop, training.paths, flags)
        if evaluation.paths and estimators.is_chief():
            with estimators.damage_named(evaluation.paths):
                results = estimator.evaluate(evaluation.input_fn, steps=flags.max_eval_steps)
            estimators.write_results(os.path.join(flags.output_dir, "eval_results.txt"), results)


def main(flags):
    """Checks everything first, then trains, evaluates and exports as the flags ask."""
    check_masking_flags(flags)
    train_paths, eval_paths = input_files(flags)
    estimators.check_flags(flags, train_paths + eval_paths)
    config = modeling.AlbertConfig.from_json_file(flags.bert_config_file)
    if flags.max_seq_length > config.max_position_embeddings:
        raise UserError("--max_seq_length=%d is larger than the config's max_position_embeddings "
                        "%d" % (flags.max_seq_length, config.max_position_embeddings))
    fit = flags.max_seq_length, flags.max_predictions_per_seq, config.vocab_size
    inputs.check_pretraining_files(train_paths + eval_paths, *fit)
    training, evaluation = training_data(flags, train_paths), evaluation_data(flags, eval_paths)
    if train_paths:
        choose_recipe(flags, config)
    estimators.claim_directory(flags, config.to_dict())
    if not train_paths and not tf.train.latest_checkpoint(flags.output_dir):
        raise UserError("--output_dir=%s holds no checkpoint to evaluate or export; train first"
                        % flags.output_dir)
    with estimators.damage_named(train_paths):
        baseline = train_paths and inputs.majority_token_accuracy(train_paths, training.masking)
    estimator = estimators.create(model_fn_builder(config, flags, baseline), flags)
    try:
        train_and_evaluate(estimator, flags, training, evaluation)
    except tf.errors.InvalidArgumentError:  # a record that is not like its file's first one
        inputs.check_every_record(train_paths + eval_paths, *fit)
        raise
    if flags.export_dir and estimators.is_chief():
        path = estimator.export_saved_model(
            flags.export_dir, lambda: serving_input_fn(flags.max_seq_length))
        console.say("exported to %s", path.decode())
    console.say("next: python3 run_classifier.py --task_name=lcqmc --do_train --do_eval "
                 "--bert_config_file=%s --init_checkpoint=%s --data_dir=... --vocab_file=... "
                 "--output_dir=...", flags.bert_config_file, flags.output_dir)


if __name__ == "__main__":
    platforms.run(main, define_flags)
