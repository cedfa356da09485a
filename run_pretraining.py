"""Pre-trains an ALBERT on TFRecords: masked words and sentence order.

    python3 run_pretraining.py --input_file=./data/tf*.tfrecord --do_train=True --do_eval=True \
      --eval_input_file=held_out.tfrecord --output_dir=my_new_model_path \
      --bert_config_file=albert_config/albert_config_tiny.json --train_batch_size=64 \
      --max_seq_length=128 --max_predictions_per_seq=20 --num_train_steps=2000 \
      --num_warmup_steps=200 --learning_rate=0.001

--budget_hours=2 in place of --num_train_steps trains for two hours, evaluations and checkpoints
included. The same --output_dir again goes on where it stopped; --init_checkpoint takes weights
only.
Records made with --store_sentences get other masks, cuts and orders of sentences in every epoch,
those of --store_word_starts other masks: pass --dynamic_masking.
"""

import functools
import os

from util import console, files, platforms, whole_files
from util.errors import UserError

import tensorflow.compat.v1 as tf

import modeling
from interchange import company
from pretraining import (
    command_line,
    first_weights,
    inputs,
    objectives,
    recipes,
    stages,
    training_loop,
)
from training import budget as budgets
from training import checkpoints, estimators, run_directory

define_flags = command_line.define_flags


def known_features(vocabulary):
    """company.features_of what records.common_vocabulary knows."""
    return {key: value for key, value in company.features_of(*vocabulary).items()
            if value is not None}


def first_values(flags, config, training, run):
    """The function {name: shape} -> {name: array} of a new model's weights; None where it goes on.
    """
    if checkpoints.latest(flags.output_dir):
        return None
    with estimators.damage_named(training.paths):
        counts = first_weights.count(training.paths, training.masking, config)
    distances = first_weights.looking_heads(config)
    console.say("the first weights come from {:,} tokens: their frequencies, the neighbours of "
                "{:,} words, {} of {} heads that look 1 to {} tokens away, {} that look at the "
                "same word of the other segment; --noinit_from_counts for random ones".format(
                    counts.tokens, counts.vectors.any(1).sum(), len(distances),
                    config.num_attention_heads, max(distances, default=0),
                    len(first_weights.matching_heads(config))))
    return functools.partial(first_weights.values, config, counts=counts, seed=run.seed)


def count_predictions(training, evaluation):
    """The accuracy of guessing on the training files (inputs.guessing_accuracy), None without them.

    Raises:
      UserError: training or evaluation files hold nothing to predict.
    """
    baseline = None
    with estimators.damage_named(training.paths + evaluation.paths):
        if evaluation.paths:
            inputs.count_tokens_to_predict(evaluation.paths, evaluation.masking)
        if training.paths:
            baseline = inputs.guessing_accuracy(training.paths, training.masking)
    return baseline


def claim_directory(flags, config, features, run, training, schedule, parts, budget=None):
    """Marks --output_dir as this run's, see training/run_directory.py; its time so far counts.

    Returns:
      the parts, [stages.Stage], as stages.left has them.

    Raises:
      UserError: it holds another run, or there is nothing to evaluate or export.
    """
    run_directory.claim(flags.output_dir, config.to_dict(), features)
    trained = checkpoints.latest(flags.output_dir)
    if not (training.paths or trained) and (flags.export_dir or not flags.init_checkpoint):
        raise UserError("--output_dir=%s holds no checkpoint to evaluate or export; train first%s"
                        % (flags.output_dir, "" if flags.export_dir else
                           ", or give one as --init_checkpoint"))
    if budget:
        budget.resume(trained)
    if training.paths and trained:
        parts = stages.left(parts, run_directory.training_of(flags.output_dir), *(
            ("budget_hours", budget.used() / 3600, flags.budget_hours) if budget else
            ("num_train_steps", checkpoints.checkpoint_step(trained), schedule.num_train_steps)))
    if training.paths:
        run_directory.note_training(flags.output_dir, run_directory.training(
            run, schedule, inputs.fingerprint(training.paths),
            max_seq_length=flags.max_seq_length,
            max_predictions_per_seq=flags.max_predictions_per_seq,
            masks=training.masking and [training.masking.masked_lm_prob, training.masking.ngram],
            shallow_share=stages.noted(parts)),
            is_used_up=bool(budget) and budget.is_used_up())
    return parts


def main(flags):
    """Checks everything first, then trains, evaluates and exports as the flags ask."""
    budget = flags.budget_hours and budgets.Budget(3600 * flags.budget_hours)
    train_paths, eval_paths, run = command_line.settings(flags)
    config = modeling.AlbertConfig.from_json_file(flags.bert_config_file)
    config.check_length(flags.max_seq_length)
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    features = known_features(inputs.check_pretraining_files(
        train_paths + eval_paths, *lengths, config.vocab_size))
    training = command_line.training_data(flags, train_paths, run, config.vocab_size)
    evaluation = command_line.evaluation_data(flags, eval_paths, run, config.vocab_size)
    is_counted = command_line.begins_with_counts(flags, config, training)
    parts = stages.planned(flags.shallow_share, config, flags.bert_config_file,
                           recipes.SHALLOW_SHARES if is_counted and budget else ())
    schedule = train_paths and command_line.choose_schedule(
        flags, config, run.batches.step_examples, is_counted)
    if train_paths:
        training_loop.say_passes(training, schedule, run.batches.step_examples, budget)
    whole_files.check_outputs([os.path.join(flags.output_dir, training_loop.RESULTS_FILE)],
                              train_paths + eval_paths + [flags.bert_config_file])
    baseline = count_predictions(training, evaluation)
    shower = command_line.prediction_shower(flags, eval_paths, config.vocab_size)
    run_directory.check_initial(run, features, is_training=bool(train_paths))
    with run_directory.locked(flags.output_dir, is_training=bool(train_paths)):
        parts = claim_directory(flags, config, features, run, training, schedule, parts, budget)
        read = files.stamps(train_paths + eval_paths)
        try:
            first = first_values(flags, config, training, run) if is_counted else None
            estimator = training_loop.train_in_stages(
                parts, lambda config: estimators.create(objectives.model_fn_builder(
                    config, run, schedule, baseline=baseline, shower=shower, budget=budget,
                    first_values=first), run),
                training_loop.Settings(training, evaluation, run, flags.eval_every_steps,
                                       flags.max_eval_steps, baseline, budget),
                schedule and schedule.num_train_steps or 0)
        except tf.errors.InvalidArgumentError:  # a record that is not like its file's first one
            inputs.check_every_record(train_paths + eval_paths, *lengths, config.vocab_size)
            raise
        for path in files.changed(read):
            console.say("warning: %s has changed while this run read it: what it learnt, or its "
                        "scores, are of neither content alone; train again from an empty "
                        "--output_dir", path)
    if flags.export_dir and estimators.is_chief():
        path = estimator.export_saved_model(
            flags.export_dir, lambda: objectives.serving_input_fn(flags.max_seq_length))
        console.say("exported %s to %s", estimator.latest_checkpoint(), path.decode())
    console.say("next: python3 run_classifier.py --task_name=lcqmc --do_train --do_eval "
                "--bert_config_file=%s --init_checkpoint=%s --data_dir=... --vocab_file=... "
                "--output_dir=...", flags.bert_config_file, flags.output_dir)


if __name__ == "__main__":
    platforms.run(main, define_flags)
