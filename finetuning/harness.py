"""The one fine-tuning harness: train, evaluate, keep the best, predict.

A command calls it with a task (tasks/base.py) and settings:

    harness.run(task, command_line.settings(flags))
"""

import collections
import os

from util import commands, console, whole_files
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import layers
import modeling
import tokenization
from finetuning import export, feature_export, grid_search
from finetuning.features import INDEX_FEATURES, Split
from finetuning.features import Settings as FeatureSettings
from interchange import company, tokenizer_files
from training import checkpoints, estimators, hooks, restoring, run_directory, step


def model_fn_builder(task, config, run, schedule):
    """Returns the model_fn: the encoder, the task's head, the training step.

    Args:
      task: a tasks.base.Task.
      config: an AlbertConfig.
      run: training.settings.Run.
      schedule: training.settings.Schedule.
    """

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        trained = estimators.seed_graph(run)

        def build(features):
            model = create_model(config, features, is_training, run.devices, task.pooled_only)
            return task.build(config, model, features, is_training)

        if not is_training:
            predictions = dict(build(features)[1])
            predictions.update((name, features[name]) for name in INDEX_FEATURES
                               if name in features)  # an exported graph has none
            return tf.estimator.tpu.TPUEstimatorSpec(
                mode, predictions=predictions, scaffold_fn=restoring.restore_scaffold(
                    config, run.initial, trained, run.devices.use_tpu, needs_head=True))
        num_parts = run.batches.gradient_accumulation_steps
        return step.training_spec(
            lambda part: (tf.reduce_mean(build(part)[0]) / num_parts, {}), features, config, run,
            schedule, trained, hooks.Work(run.batches.step_examples, None, None, None),
            few_shapes=run.devices.use_tpu)

    return model_fn


def create_model(config, features, is_training, devices, pooled_only=False):
    """The AlbertModel over a batch; C choices, [B, C, S], become B * C sequences.

    Args:
      devices: training.settings.Devices.
      pooled_only: whether only the pooled output is read.
    """
    ids, mask, segments = (
        tf.reshape(features[name], [-1, layers.shape_list(features[name])[-1]])
        for name in ("input_ids", "input_mask", "segment_ids"))
    return modeling.AlbertModel(config, is_training, ids, mask, segments, scope="bert",
                                output_positions=ids[:, :0] if pooled_only else None,
                                **estimators.model_options(devices, is_training))


def predict(estimator, split, checkpoint):
    """{prediction name: one row per window of the split, in order}, from one checkpoint.

    Without a checkpoint the model is the initial one (settings.Initial), its head included.
    The rows are an array, or a list of arrays if batches differ in sequence length.
    """
    batches = collections.defaultdict(list)
    with console.progress(total=split.num_windows, unit="examples", desc=split.name) as bar:
        for batch in estimator.predict(
                split.input_fn(), checkpoint_path=checkpoint, yield_single_examples=False,
                hooks=[checkpoints.SaverHook(checkpoint)]):
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


# The best checkpoint's step and its predictions of the dev split.
BestPredictions = collections.namedtuple("BestPredictions", "step predictions")


def train_and_evaluate(task, estimator, splits, settings):
    """Trains, scores the dev split every epoch or N steps, and keeps the best checkpoint.

    Args:
      splits: {name: features.Split}, "train" and perhaps a dev split among them.
      settings: Settings with the steps of its schedule, see `with_steps`.

    Returns:
      BestPredictions, so that the dev split need not be predicted again; None if this call did not
      evaluate the best checkpoint.
    """
    predicted, num_train_steps = None, settings.schedule.num_train_steps
    train, dev = splits["train"], splits.get(task.splits("dev")[0])
    if dev and estimators.is_chief():
        _score_best_anew(task, estimator, dev, settings.output_dir)
    every = settings.eval_every_steps or train.num_windows / settings.run.batches.step_examples
    stops = evaluation_steps(num_train_steps, every) if dev else [num_train_steps]
    for stop in stops:
        reached = checkpoints.checkpoint_step(estimator.latest_checkpoint())
        if reached > stop:
            continue
        estimators.train(
            estimator, train.training_input_fn(reached), stop, [train.path], settings.run)
        if not (dev and estimators.is_chief()):
            continue
        checkpoint = estimator.latest_checkpoint()
        predictions = predict(estimator, dev, checkpoint)
        evaluate_and_keep(task, dev, settings.output_dir, checkpoint, predictions)
        best_step = checkpoints.best(settings.output_dir)["step"]
        if best_step == checkpoints.checkpoint_step(checkpoint):
            predicted = BestPredictions(best_step, predictions)
        waited = sum(best_step < earlier <= stop for earlier in stops)
        if settings.early_stopping and waited >= settings.early_stopping:
            console.say("stopped early: no better %s in the %d evaluations since step %d",
                        task.metric, settings.early_stopping, best_step)
            break
    return predicted


def evaluation_steps(num_train_steps, every):
    """The steps after which the dev split is scored: `every` so many and the last.

    Args:
      every: 1 or more; not a whole number where an epoch has no whole number of batches.

    evaluation_steps(1503, 751.625) -> [751, 1503]
    """
    stops = {int(every * number) for number in range(1, int(num_train_steps / every) + 1)}
    return sorted(stops | {num_train_steps})


def _score_best_anew(task, estimator, dev, output_dir):
    """Scores the best checkpoint again if its score is of other dev data than now."""
    try:
        best = checkpoints.best(output_dir)
    except UserError:
        return  # keep_best says so
    if best and best.get("data", dev.fingerprint) != dev.fingerprint:
        console.say("the dev data is another than that by which %s is the best: it is scored again",
                    best["checkpoint"])
        scores, _ = _score(task, dev, output_dir, best["checkpoint"],
                           predict(estimator, dev, best["checkpoint"]))
        checkpoints.score_best_anew(output_dir, scores, dev.fingerprint)
        console.say("%s", _scores_line(best["step"], scores))


def evaluate_and_keep(task, split, output_dir, checkpoint, predictions):
    """Scores the predictions of a checkpoint during training; keeps it if it is the best so far."""
    scores, _ = _score(task, split, output_dir, checkpoint, predictions)
    step_number = checkpoints.checkpoint_step(checkpoint)
    is_best = checkpoints.keep_best(output_dir, checkpoint, step_number, scores, task.metric,
                                    task.larger_is_better, split.fingerprint)
    console.say("%s%s", _scores_line(step_number, scores), "  (best so far)" if is_best else "")


def evaluate(task, split, output_dir, checkpoint, predictions, save_errors=False):
    """Scores the predictions of a checkpoint after training; prints the task's report.

    Args:
      save_errors: list the wrong predictions in OUTPUT_DIR/SPLIT_errors.tsv.

    Returns:
      {metric: number}, including "global_step".
    """
    scores, report = _score(task, split, output_dir, checkpoint, predictions)
    step_number = checkpoints.checkpoint_step(checkpoint)
    console.say("%s", _scores_line(step_number, scores))
    if report:
        console.say("%s", report)
    warning = task.warning(scores)
    if warning:
        console.say("warning: %s", warning)
    if save_errors:
        path = os.path.join(output_dir, "%s_errors.tsv" % split.name)
        count = _write_errors(path, task.errors(split.examples, predictions))
        console.say("%d errors in %s", count, path)
    return dict(scores, global_step=step_number)


def _score(task, split, output_dir, checkpoint, predictions):
    """(scores, report or None); also writes them for TensorBoard."""
    scores = task.score(split.examples, predictions)
    report = task.report(split.examples, predictions)
    directory = "eval" if split.name == "dev" else "eval_" + split.name
    _write_summary(os.path.join(output_dir, directory), checkpoints.checkpoint_step(checkpoint),
                   scores, report)
    return scores, report


def _scores_line(step_number, scores):
    return "step %d  %s" % (
        step_number, "  ".join("%s %.4f" % item for item in sorted(scores.items())))


def _write_summary(directory, step, scores, report):
    values = [tf.Summary.Value(tag=name, simple_value=value) for name, value in scores.items()]
    if report:
        plugin = tf.SummaryMetadata.PluginData(plugin_name="text")
        values.append(tf.Summary.Value(
            tag="report", tensor=tf.make_tensor_proto("```\n%s\n```" % report),
            metadata=tf.SummaryMetadata(plugin_data=plugin)))
    # Event files are named by the second, and an existing one is overwritten: hence the suffix.
    writer = tf.summary.FileWriter(directory, filename_suffix=".%d" % step)
    writer.add_summary(tf.Summary(value=values), step)
    writer.close()


def _write_errors(path, rows):
    """Writes the rows, a {column: text} per error, as TSV with a header; returns their number."""
    rows = list(rows)
    lines = ["\t".join(row) for row in rows[:1]]
    lines += ["\t".join(" ".join(str(cell).split()) for cell in row.values()) for row in rows]
    whole_files.write_lines(path, lines)
    return len(rows)


def load(inputs):
    """(config, tokenizer) of settings.Inputs.

    Raises:
      UserError: the vocabulary's size is not the config's, or the length exceeds the config's.
    """
    config = modeling.AlbertConfig.from_json_file(inputs.config_file)
    tokenizer = tokenization.load_tokenizer(
        inputs.vocab_file, inputs.spm_model_file, inputs.do_lower_case)
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError("%s has %d tokens, %s says vocab_size %d; use the vocabulary the model "
                        "was trained with" % (
                            inputs.spm_model_file or inputs.vocab_file, tokenizer.vocab_size,
                            inputs.config_file, config.vocab_size))
    config.check_length(inputs.max_seq_length)
    return config, tokenizer


def with_steps(settings, num_examples):
    """The Settings with training and warmup steps computed from the number of examples, or of the
    windows that they are read in.

    Raises:
      UserError: there are fewer examples than one step takes, no step to make, or fewer steps than
        warmup.
    """
    batches, duration = settings.run.batches, settings.duration
    if num_examples < batches.step_examples:
        raise UserError("%d training sequences are fewer than one step takes (%d); lower "
                        "--train_batch_size=%d" % (num_examples, batches.step_examples,
                                                   batches.train_batch_size))
    steps = duration.train_step or int(
        num_examples / batches.step_examples * duration.num_train_epochs)
    if not 1 <= steps <= commands.LARGEST:
        raise UserError("--num_train_epochs=%g: %d sequences, %d a step, make %s steps; expected 1 "
                        "to %d: change it, or leave --do_train out" % (
                            duration.num_train_epochs, num_examples, batches.step_examples,
                            steps if steps < 1 else "%.3g" % steps, commands.LARGEST))
    warmup = duration.warmup_step
    if warmup is None:
        warmup = int(steps * duration.warmup_proportion)
    if warmup > steps:
        raise UserError("--warmup_step=%d is beyond the %d steps of this training; warm up for "
                        "fewer, or train for more (--train_step, --num_train_epochs)"
                        % (warmup, steps))
    console.say("%d sequences, %d steps of %d, %d of warmup", num_examples, steps,
                batches.step_examples, warmup)
    return settings._replace(schedule=settings.schedule._replace(
        num_train_steps=steps, num_warmup_steps=warmup))


def run(task, settings):
    """Trains, evaluates and predicts as set, at every point of the grid if there is one.

    No input file is overwritten, were it named like one of the output.
    """
    inputs = settings.inputs
    paths = [inputs.config_file, inputs.vocab_file, inputs.spm_model_file]
    for name in wanted_splits(task, settings):
        path = task.path(name)
        paths += path if isinstance(path, list) else [path]  # RACE's are a file a passage
    with whole_files.protecting(filter(None, paths)):
        if settings.grid:
            grid_search.run(run_once, task, settings)
        else:
            run_once(task, settings)


def run_once(task, settings):
    """Trains, evaluates, predicts and exports as set; returns the dev scores, or None."""
    config, tokenizer = load(settings.inputs)
    feature_export.check(task, settings.vectors, config.num_hidden_layers)
    export.check(task, settings.export, settings.do_eval)
    settings = with_source(settings)
    names = split_names(task, settings)
    features = company.features_of(tokenizer.fingerprint, tokenizer.do_lower_case)
    run_directory.check_initial(settings.run, features, settings.do_train)
    with run_directory.locked(settings.output_dir, settings.do_train):
        run_directory.claim(
            settings.output_dir, dict(config.to_dict(), **task.identity()), features)
        if settings.do_train and estimators.is_chief():
            tokenizer_files.copy(tokenizer, settings.output_dir)
        options = feature_settings(settings)
        splits = {name: Split(task, name, tokenizer, options) for name in names}
        return _run(task, config, tokenizer, splits, settings)


def _run(task, config, tokenizer, splits, settings):
    """`run_once` on its splits, in a directory where no other process trains meanwhile."""
    if settings.do_train:
        task.fit(splits["train"].examples)
        settings = with_steps(settings, splits["train"].num_windows)
        run_directory.note_training(settings.output_dir, run_directory.training(
            settings.run, settings.schedule, splits["train"].fingerprint,
            max_seq_length=settings.inputs.max_seq_length))
    estimator = estimators.create(
        model_fn_builder(task, config, settings.run, settings.schedule), settings.run)
    predicted = settings.do_train and train_and_evaluate(task, estimator, splits, settings)
    if not estimators.is_chief():
        return None
    scores = None
    if settings.do_eval:
        scores = _evaluate_best(task, estimator, splits, settings, predicted)
    if settings.do_predict:
        _predict_best(task, estimator, splits, settings)
    if settings.export.directory:
        export.export_model(
            task, estimator, trained_checkpoint(settings), settings.export, scores)
    if settings.vectors.level:
        checkpoint = trained_checkpoint(settings)
        _name_checkpoint("vectors", task, checkpoint, settings)
        for name in task.splits("test"):
            feature_export.export(config, tokenizer, splits[name], settings, checkpoint)
    for path in sorted({path for split in splits.values() for path in split.changed_files()}):
        console.say("warning: %s has changed since it was read; scores and predictions are of what "
                    "it held before: start again for those of the new content", path)
    if settings.do_train and not settings.do_predict:
        console.say("next: the same command with --do_predict in place of --do_train, or "
                    "tensorboard --logdir=%s", settings.output_dir)
    return scores


def wanted_splits(task, settings):
    """The names of the splits that the settings need."""
    wanted = [split for split, asked in (
        ("train", settings.do_train), ("dev", settings.do_eval),
        ("test", settings.do_predict or settings.vectors.level)) if asked]
    return [name for split in wanted for name in task.splits(split)]


def split_names(task, settings):
    """The names of the splits that the settings need; sets the task up.

    Raises:
      UserError: a file is missing, which is checked before any work, or invalid.
    """
    names = wanted_splits(task, settings)
    for name in names:
        task.path(name)
    task.setup(known_identity(settings))
    return names


def known_identity(settings):
    """What run.json says of the model that a run without training uses; {} in training."""
    if settings.do_train:
        return {}
    checkpoint = trained_checkpoint(settings) or (
        settings.run.initial.init_checkpoint
        and restoring.resolve(settings.run.initial.init_checkpoint))
    return company.identity_of(checkpoint) if checkpoint else {}


def feature_settings(settings):
    """The features.Settings that the fine-tuning Settings imply."""
    return FeatureSettings(
        settings.inputs.max_seq_length, settings.cache_dir, settings.run.batches.step_examples,
        settings.run.batches.eval_batch_size, settings.run.seed,
        full_length=settings.run.devices.use_tpu)


def _evaluate_best(task, estimator, splits, settings, predicted):
    """Scores the best checkpoint on every dev split; returns the first one's scores.

    Args:
      predicted: BestPredictions to reuse, or None.
    """
    checkpoint, all_scores = trained_checkpoint(settings), []
    _name_checkpoint("scores", task, checkpoint, settings)
    for name in task.splits("dev"):
        is_predicted = not all_scores and predicted and (
            predicted.step == checkpoints.checkpoint_step(checkpoint))
        predictions = predicted.predictions if is_predicted else predict(
            estimator, splits[name], checkpoint)
        all_scores.append(evaluate(task, splits[name], settings.output_dir, checkpoint,
                                   predictions, settings.save_errors))
        suffix = "" if len(all_scores) == 1 else "_" + name
        estimators.write_results(os.path.join(
            settings.output_dir, "eval_results%s.txt" % suffix), all_scores[-1])
    return all_scores[0]


def _predict_best(task, estimator, splits, settings):
    """Predicts every test split with the best checkpoint, and scores those with labels."""
    checkpoint, output_dir = trained_checkpoint(settings), settings.output_dir
    _name_checkpoint("predictions", task, checkpoint, settings)
    for name in task.splits("test"):
        examples = splits[name].examples
        predictions = predict(estimator, splits[name], checkpoint)
        paths = task.write_predictions(output_dir, name, examples, predictions)
        console.say("%d predictions in %s", len(examples), ", ".join(paths))
        if task.is_labelled(examples):
            estimators.write_results(os.path.join(output_dir, "%s_metrics.txt" % name),
                                     task.score(examples, predictions))


def trained_checkpoint(settings):
    """The best checkpoint of a run, or its latest where that is asked for or none was scored.

    None: the output directory holds none.
    """
    record = checkpoints.best(settings.output_dir) if settings.use_checkpoint == "best" else None
    return record["checkpoint"] if record else checkpoints.latest(settings.output_dir)


def _name_checkpoint(what, task, checkpoint, settings):
    """Says which checkpoint scores or predictions are of, and whether it was trained on since.

    Args:
      what: is of it: "scores".
      checkpoint: of `trained_checkpoint`; None for the initial one, which the restore names.
    """
    if checkpoint is None:
        return
    record = checkpoints.best(settings.output_dir) if settings.use_checkpoint == "best" else None
    score = ", best %s on the dev data %.4f" % (
        task.metric, record["metrics"].get(task.metric, float("nan"))) if record else ""
    console.say("%s of %s (step %d%s)", what, checkpoint, checkpoints.checkpoint_step(checkpoint),
                score)
    last = checkpoints.checkpoint_step(checkpoints.latest(settings.output_dir))
    if record and last > record.get("scored_step", last):
        console.say("warning: it is older than the last training, whose steps %d to %d were not "
                    "scored (--do_train without --do_eval); --use_checkpoint=last takes step %d",
                    record["scored_step"] + 1, last, last)


def with_source(settings):
    """The Settings of a run without training whose model comes from elsewhere than its directory.

    Where --output_dir holds no checkpoint that an Estimator finds, that is --init_checkpoint, or
    what an original code left in the directory, such as Google's model.ckpt-best.

    Raises:
      UserError: there is neither.
    """
    if settings.do_train or trained_checkpoint(settings) or not (
            settings.do_eval or settings.do_predict):
        return settings
    initial = settings.run.initial
    source = restoring.find(settings.output_dir) or initial.init_checkpoint
    if not source:
        raise UserError("--output_dir=%s holds no checkpoint; train first (--do_train), or give a "
                        "fine-tuned model as --init_checkpoint" % settings.output_dir)
    return settings._replace(run=settings.run._replace(
        initial=initial._replace(init_checkpoint=source)))
