"""The one fine-tuning harness: shared flags, train, evaluate, keep the best, predict.

A command gives it a function that makes its task (tasks/base.py) and nothing else:

    harness.run(create_task, flags)
"""

import collections
import os
import types

from util import console, files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import layers
import modeling
import optimization
import tokenization
from finetuning import feature_export, grid_search
from finetuning.features import INDEX_FEATURES, Settings, Split
from tasks.base import SPLITS
from training import checkpoints, estimators, hooks


def define_flags():
    """Flags of every fine-tuning command, with the names of both original codes."""
    estimators.define_flags(batch_size=32, save_checkpoints_steps=1000)
    _define_data_flags()
    _define_training_flags()
    feature_export.define_flags()


def _define_data_flags():
    flags = tf.flags
    flags.DEFINE_string("data_dir", None, "Directory of the task's files.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary of --init_checkpoint.")
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model, instead of --vocab_file.")
    flags.DEFINE_bool("do_lower_case", True, "Lower-case the text; the Chinese models want True.")
    flags.DEFINE_integer("max_seq_length", 128, "Tokens an example, [CLS] and [SEP] included; "
                         "longer texts are cut.", lower_bound=8)
    flags.DEFINE_string("cache_dir", None, "Where featurized data is kept; OUTPUT_DIR/cache if not "
                        "given.")
    flags.DEFINE_bool("do_train", False, "Train; with --do_eval the best checkpoint is kept.")
    flags.DEFINE_bool("do_eval", False, "Score the best checkpoint on the dev file.")
    flags.DEFINE_bool("do_predict", False, "Predict the test file with the best checkpoint.")
    flags.DEFINE_bool("save_errors", False, "List the examples that --do_eval got wrong, with "
                      "their texts, in OUTPUT_DIR/dev_errors.tsv.")


def define_file_flags():
    """--train_file, --dev_file and --test_file, for commands whose task has one file a split."""
    for split in SPLITS:
        tf.flags.DEFINE_string("%s_file" % split, None, "Own path of the %s file." % split)


def own_files(flags):
    """{split: the path that the flags of `define_file_flags` give, or None}."""
    return {split: getattr(flags, "%s_file" % split) for split in SPLITS}


def _define_training_flags():
    flags = tf.flags
    flags.DEFINE_float("learning_rate", 5e-5, "Peak rate.", lower_bound=0.0)
    flags.DEFINE_float("num_train_epochs", 3.0, "Passes over the training file.", lower_bound=0.0)
    flags.DEFINE_float("warmup_proportion", 0.1, "Share of the steps with linear warmup.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("train_step", None, "Steps in all, instead of --num_train_epochs.",
                         lower_bound=1)
    flags.DEFINE_integer("warmup_step", None, "Warmup steps, instead of --warmup_proportion.",
                         lower_bound=0)
    flags.DEFINE_integer("eval_every_steps", 0, "Steps between evaluations; 0: every epoch.",
                         lower_bound=0)
    flags.DEFINE_integer("early_stopping", 0, "End after so many evaluations in a row that are not "
                         "better than the best; 0: never.", lower_bound=0)
    flags.DEFINE_float("classifier_dropout", 0.1, "Dropout before the task's own layer, as both "
                       "original codes have it.", lower_bound=0.0, upper_bound=0.9)
    flags.DEFINE_float("layer_decay", 1.0, "Factor on the rate of the transformer block below that "
                       "of the task's layer, and on the embeddings' below that; 1: none.",
                       lower_bound=0.0, upper_bound=1.0)
    grid_search.define_flags()


def model_fn_builder(task, config, flags, num_train_steps, num_warmup_steps):
    """Returns the model_fn: the encoder, the task's head, the train op."""

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        trained = estimators.seed_graph(flags)

        def build(features):
            model = create_model(config, features, is_training, flags, task.pooled_only)
            return task.build(config, model, features, is_training)

        if not is_training:
            places = {name: features[name] for name in INDEX_FEATURES}
            return tf.estimator.tpu.TPUEstimatorSpec(
                mode, predictions=dict(build(features)[1], **places))
        num_parts = flags.gradient_accumulation_steps
        scale = estimators.loss_scale(flags)
        loss, _, gradients = optimization.accumulate_gradients(
            lambda part: (tf.reduce_mean(build(part)[0]) / num_parts, {}), features, num_parts,
            scale=scale and scale.value)
        scaffold_fn = estimators.restore_scaffold(
            config, flags.init_checkpoint, flags.allow_partial_init, flags.use_tpu,
            trained)
        train = optimization.create_train_op(
            gradients, flags.optimizer, flags.learning_rate,
            num_train_steps, num_warmup_steps,
            use_tpu=flags.use_tpu, lamb_exclude=flags.lamb_exclude, loss_scale=scale,
            rate_factor=lambda name: optimization.layer_factor(
                name, flags.layer_decay, config.num_hidden_groups))
        loss, = optimization.mean_over_replicas([loss], flags.use_tpu)
        session_hooks = []
        if not flags.use_tpu:
            tf.summary.scalar("learning_rate", train.learning_rate)
            tf.summary.scalar("gradient_norm", train.gradient_norm)
            work = hooks.Work(estimators.step_examples(flags), None, None, None)
            session_hooks.append(hooks.ProgressHook(
                {"loss": loss, "learning_rate": train.learning_rate}, num_train_steps, work,
                flags.output_dir))
        return tf.estimator.tpu.TPUEstimatorSpec(
            mode, loss=loss, train_op=tf.group(train.train_op, loss), training_hooks=session_hooks,
            scaffold_fn=scaffold_fn)

    return model_fn


def create_model(config, features, is_training, flags, pooled_only=False):
    """The AlbertModel of a batch; choices [B, C, S] are B * C sequences to it."""
    ids, mask, segments = (
        tf.reshape(features[name], [-1, layers.shape_list(features[name])[-1]])
        for name in ("input_ids", "input_mask", "segment_ids"))
    return modeling.AlbertModel(config, is_training, ids, mask, segments, scope="bert",
                                output_positions=ids[:, :0] if pooled_only else None,
                                **estimators.model_options(flags))


def predict(estimator, split, flags, checkpoint):
    """{prediction name: one row for every window of a split, in order}, from one checkpoint.

    The rows are an array, or a list of arrays where batches differ in length.
    """
    batches = collections.defaultdict(list)
    with console.progress(total=split.num_windows, unit="examples", desc=split.name) as bar:
        for batch in estimator.predict(split.input_fn(), checkpoint_path=checkpoint,
                                       yield_single_examples=False):
            for name, value in batch.items():
                batches[name].append(value)
            bar.update(len(batch["window"]))
    order = np.argsort(np.concatenate(batches.pop("window")))
    return {name: _in_order(values, order) for name, values in batches.items()}


def _in_order(batches, order):
    if len({batch.shape[1:] for batch in batches}) == 1:
        return np.concatenate(batches)[order]
    rows = [row for batch in batches for row in batch]
    return [rows[index] for index in order]


def train_and_evaluate(task, estimator, splits, flags, num_train_steps):
    """Trains, scores the dev split every epoch or N steps, and keeps the best checkpoint.

    Returns:
      {step: predictions} of the best checkpoint on the dev split, if this call evaluated it.
    """
    predicted = {}
    train, dev = splits["train"], splits.get(task.splits("dev")[0])
    every = flags.eval_every_steps or max(1, train.num_windows // estimators.step_examples(flags))
    stops = list(range(every, num_train_steps, every)) if dev else []
    for stop in stops + [num_train_steps]:
        step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
        if step > stop:
            continue
        estimators.train(estimator, train.training_input_fn(step), stop, [train.path], flags)
        if not (dev and estimators.is_chief()):
            continue
        checkpoint = estimator.latest_checkpoint()
        predictions = predict(estimator, dev, flags, checkpoint)
        evaluate(task, dev, flags, checkpoint, predictions, keep=True)
        best_step = checkpoints.best(flags.output_dir)["step"]
        if best_step == checkpoints.checkpoint_step(checkpoint):
            predicted = {best_step: predictions}
        if flags.early_stopping and stop - best_step >= flags.early_stopping * every:
            console.say("stopped early: no better %s in the %d evaluations since step %d",
                         task.metric, flags.early_stopping, best_step)
            break
    return predicted


def evaluate(task, split, flags, checkpoint, predictions, keep=False):
    """Scores the predictions of one checkpoint, says so on the console and in TensorBoard.

    Args:
      keep: whether this is on the way, and the checkpoint is kept if it is the best; else what the
        task reports beside its scores is printed, with the errors if asked for.
    """
    scores = task.score(split.examples, predictions)
    report = task.report(split.examples, predictions)
    step = checkpoints.checkpoint_step(checkpoint)
    is_best = keep and checkpoints.keep_best(flags.output_dir, checkpoint, step, scores,
                                             task.metric, task.larger_is_better)
    console.say("step %d  %s%s", step, "  ".join(
        "%s %.4f" % item for item in sorted(scores.items())), "  (best so far)" if is_best else "")
    directory = "eval" if split.name == "dev" else "eval_" + split.name
    _write_summary(os.path.join(flags.output_dir, directory), step, scores, report)
    if not keep:
        if report:
            console.say("%s", report)
        warning = task.warning(scores)
        if warning:
            console.say("warning: %s", warning)
        if flags.save_errors:
            path = os.path.join(flags.output_dir, "%s_errors.tsv" % split.name)
            count = _write_errors(path, task.errors(split.examples, predictions))
            console.say("%d errors in %s", count, path)
    return dict(scores, global_step=step)


def _write_summary(directory, step, scores, report):
    values = [tf.Summary.Value(tag=name, simple_value=value) for name, value in scores.items()]
    if report:
        plugin = tf.SummaryMetadata.PluginData(plugin_name="text")
        values.append(tf.Summary.Value(
            tag="report", tensor=tf.make_tensor_proto("```\n%s\n```" % report),
            metadata=tf.SummaryMetadata(plugin_data=plugin)))
    # Event files are named by the second, and one that exists is overwritten: hence the suffix.
    writer = tf.summary.FileWriter(directory, filename_suffix=".%d" % step)
    writer.add_summary(tf.Summary(value=values), step)
    writer.close()


def _write_errors(path, rows):
    """{column: text} of every error -> a TSV with header; returns how many there were."""
    rows = list(rows)
    lines = ["\t".join(row) for row in rows[:1]]
    lines += ["\t".join(" ".join(str(cell).split()) for cell in row.values()) for row in rows]
    files.write_lines(path, lines)
    return len(rows)


def check_flags(flags):
    """Refuses flags that cannot work before any data is read."""
    if not (flags.do_train or flags.do_eval or flags.do_predict or flags.export_features):
        raise UserError("nothing to do; pass --do_train, --do_eval, --do_predict or "
                        "--export_features")
    if flags.early_stopping and not flags.do_eval:
        raise UserError("--early_stopping=%d without --do_eval: nothing tells when to stop; add "
                        "--do_eval" % flags.early_stopping)
    if flags.early_stopping and estimators.this_cluster():
        raise UserError("--early_stopping=%d with TF_CONFIG: workers cannot agree on when to "
                        "stop; leave it out" % flags.early_stopping)
    grid_search.check_flags(flags)
    estimators.check_flags(flags, [flags.data_dir] if flags.data_dir else [])


def load(flags):
    """(config, tokenizer), which must agree with each other and with --max_seq_length."""
    config = modeling.AlbertConfig.from_json_file(flags.bert_config_file)
    tokenizer = tokenization.load_tokenizer(
        flags.vocab_file, flags.spm_model_file, flags.do_lower_case)
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError("%s has %d tokens, %s says vocab_size %d; use the vocabulary the model "
                        "was trained with" % (
                            flags.spm_model_file or flags.vocab_file, tokenizer.vocab_size,
                            flags.bert_config_file, config.vocab_size))
    if flags.max_seq_length > config.max_position_embeddings:
        raise UserError("--max_seq_length=%d is larger than the config's max_position_embeddings "
                        "%d" % (flags.max_seq_length, config.max_position_embeddings))
    return config, tokenizer


def feature_settings(flags):
    """The features.Settings that the flags ask for."""
    return Settings(
        max_seq_length=flags.max_seq_length,
        cache_dir=flags.cache_dir or os.path.join(flags.output_dir, "cache"),
        step_examples=estimators.step_examples(flags), eval_batch_size=flags.eval_batch_size,
        seed=flags.seed, full_length=flags.use_tpu)


def schedule(flags, num_examples):
    """(num_train_steps, num_warmup_steps) of the flags."""
    batch_size = estimators.step_examples(flags)
    if num_examples < batch_size:
        raise UserError("%d training examples are less than one step takes (%d); lower "
                        "--train_batch_size=%d" % (num_examples, batch_size,
                                                   flags.train_batch_size))
    steps = flags.train_step or max(
        1, int(num_examples / batch_size * flags.num_train_epochs))
    warmup = flags.warmup_step
    return steps, int(steps * flags.warmup_proportion) if warmup is None else warmup


def run(create_task, flags):
    """Trains, evaluates and predicts as the flags ask; everything is checked first.

    `create_task` is a function of the flags, called when they are known to make sense.
    """
    check_flags(flags)
    flags = types.SimpleNamespace(**flags.flag_values_dict())
    if grid_search.is_asked(flags):
        grid_search.run(run_once, create_task(flags), flags)
    else:
        run_once(create_task(flags), flags)


def run_once(task, flags):
    """One training with what the flags ask around it; returns the dev scores, or None."""
    config, tokenizer = load(flags)
    feature_export.check_flags(task, flags, config.num_hidden_layers)
    wanted = [kind for kind, asked in (("train", flags.do_train), ("dev", flags.do_eval),
                                       ("test", flags.do_predict or flags.export_features))
              if asked]
    if not (flags.do_train or flags.export_features):
        best_or_latest(flags.output_dir)
    names = [name for kind in wanted for name in task.splits(kind)]
    for name in names:  # a missing file is said before any work
        task.path(name)
    task.setup()
    estimators.claim_directory(flags, dict(config.to_dict(), **task.identity()))
    settings = feature_settings(flags)
    splits = {name: Split(task, name, tokenizer, settings) for name in names}
    steps, warmup = 1, 0
    if flags.do_train:
        task.fit(splits["train"].examples)
        steps, warmup = schedule(flags, splits["train"].num_windows)
        console.say("%d examples, %d steps of %d, %d of warmup", splits["train"].num_windows,
                     steps, estimators.step_examples(flags), warmup)
    estimator = estimators.create(model_fn_builder(task, config, flags, steps, warmup), flags)
    predicted = train_and_evaluate(task, estimator, splits, flags, steps) if flags.do_train else {}
    if not estimators.is_chief():
        return None
    scores = None
    if flags.do_eval:
        scores = _evaluate_best(task, estimator, splits, flags, predicted)
    if flags.do_predict:
        _predict_best(task, estimator, splits, flags)
    if flags.export_features:
        for name in task.splits("test"):
            feature_export.export(config, tokenizer, splits[name], flags,
                                  best_or_none(flags.output_dir))
    if flags.do_train and not flags.do_predict:
        console.say("next: the same command with --do_predict in place of --do_train, or "
                     "tensorboard --logdir=%s", flags.output_dir)
    return scores


def _evaluate_best(task, estimator, splits, flags, predicted):
    """Scores the best checkpoint on every dev split; returns the first one's scores.

    Args:
      predicted: what train_and_evaluate returned; it is not predicted again.
    """
    checkpoint, found = best_or_latest(flags.output_dir), []
    for name in task.splits("dev"):
        predictions = None if found else predicted.get(checkpoints.checkpoint_step(checkpoint))
        if predictions is None:
            predictions = predict(estimator, splits[name], flags, checkpoint)
        found.append(evaluate(task, splits[name], flags, checkpoint, predictions))
        suffix = "" if len(found) == 1 else "_" + name
        estimators.write_results(
            os.path.join(flags.output_dir, "eval_results%s.txt" % suffix), found[-1])
    return found[0]


def _predict_best(task, estimator, splits, flags):
    """Predicts every test split with the best checkpoint, and scores those with labels."""
    checkpoint = best_or_latest(flags.output_dir)
    for name in task.splits("test"):
        examples = splits[name].examples
        predictions = predict(estimator, splits[name], flags, checkpoint)
        paths = task.write_predictions(flags.output_dir, name, examples, predictions)
        console.say("%d predictions in %s", len(examples), ", ".join(paths))
        if task.is_labelled(examples):
            estimators.write_results(os.path.join(flags.output_dir, "%s_metrics.txt" % name),
                                     task.score(examples, predictions))


def best_or_none(output_dir):
    """The best checkpoint of a run, else its last one, else None."""
    record = checkpoints.best(output_dir)
    return record["checkpoint"] if record else tf.train.latest_checkpoint(output_dir)


def best_or_latest(output_dir):
    """The best checkpoint of a run, else its last one.

    Raises:
      UserError: there is none.
    """
    checkpoint = best_or_none(output_dir)
    if checkpoint is None:
        raise UserError("--output_dir=%s holds no checkpoint; train first (--do_train)"
                        % output_dir)
    return checkpoint
