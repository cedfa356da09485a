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

import collections
import functools
import itertools
import os

from util import console, files, platforms, whole_files
from util.errors import UserError

import tensorflow.compat.v1 as tf

import modeling
import optimization
from interchange import company
from pretraining import (
    filled_masks,
    first_weights,
    held_out,
    inputs,
    learning_curve,
    objectives,
    recipes,
    records,
    stages,
)
from training import budget as budgets
from training import checkpoints, command_line, estimators, hooks, run_directory
from training.settings import Schedule

RESULTS_FILE = "eval_results.txt"


def define_flags():
    """The flags of both original codes, with their names."""
    flags = tf.flags
    command_line.define_flags(batch_size=64, save_checkpoints_steps=1000, optimizer=None)
    flags.DEFINE_string("input_file", None, "Record files, globs, or a comma list, to train on.")
    flags.DEFINE_string("eval_input_file", None, "Held-out record files for --do_eval.")
    flags.DEFINE_bool("eval_on_train_data", False, "Let --do_eval use --input_file when there is "
                      "no --eval_input_file.")
    flags.DEFINE_string("export_dir", None, "Where to write a SavedModel of the encoder.")
    flags.DEFINE_integer("max_seq_length", 512, "As the records were made.", lower_bound=8)
    flags.DEFINE_integer("max_predictions_per_seq", 51, "As the records were made; with "
                         "--dynamic_masking at most so many masked tokens.", lower_bound=1)
    flags.DEFINE_bool("dynamic_masking", False, "Draw other masks in every epoch, for records made "
                      "with --store_word_starts or --store_sentences; with the latter other cuts "
                      "and orders of sentences, too.")
    flags.DEFINE_float("masked_lm_prob", None, "Share of the tokens that --dynamic_masking masks, "
                       "0 to 1; default: as the records' maker said.", lower_bound=0.0,
                       upper_bound=1.0)
    flags.DEFINE_integer("ngram", None, "Longest span of --dynamic_masking in words, p(n) ~ 1/n; "
                         "default: as the records' maker said.", lower_bound=1, upper_bound=10)
    flags.DEFINE_bool("restore_slots", False, "Take the optimizer's moments (adam_m, adam_v; "
                      "Muon's muon_m) from --init_checkpoint too, where it has them, as Google's.")
    flags.DEFINE_bool("init_from_group0", False, "Groups of layers that --init_checkpoint lacks "
                      "start as its group 0.")
    flags.DEFINE_bool("init_from_counts", None, "Begin with weights that a count of the records "
                      "gives (pretraining/first_weights.py) in place of random ones; default: with "
                      "--budget_hours.")
    flags.DEFINE_bool("do_train", False, "Train.")
    flags.DEFINE_bool("do_eval", False, "Evaluate at the end (and every --eval_every_steps).")
    flags.DEFINE_integer("eval_every_steps", 0, "Steps between evaluations while training; 0: only "
                         "at the end.", lower_bound=0)
    flags.DEFINE_integer("max_eval_steps", None, "Batches an evaluation, at most; default: all "
                         "held-out records.", lower_bound=1)
    flags.DEFINE_integer("show_predictions", None, "Held-out sentences to print at every "
                         "evaluation, with what the model fills into their masks; default: 3 where "
                         "the records' vocabulary is found.", lower_bound=0)
    flags.DEFINE_string("vocab_file", None, "Vocabulary or SentencePiece model (*.model) for "
                        "--show_predictions; default: what the records' description names.")
    flags.DEFINE_float("learning_rate", None, "Peak rate; default: what suits the config, the "
                       "optimizer and the batch (docs/recipes.md).", lower_bound=0.0)
    flags.DEFINE_float("beta_2", None, "Decay of the optimizer's second moment in an update; "
                       "default: 0.98 or 0.999, the recipe's (docs/recipes.md).", lower_bound=0.0,
                       upper_bound=0.999999)
    flags.DEFINE_float("order_rate", None, "Factor on the rate of the pooler and the "
                       "sentence-order head; default: 1, of a training that begins with counts "
                       "0.1.", lower_bound=0.0)
    flags.DEFINE_float("poly_power", 1.0, "Power of the decay to 0; 1 is linear.", lower_bound=0.0)
    flags.DEFINE_integer("num_train_steps", None, "Updates in all; default: 125000.",
                         lower_bound=1)
    flags.DEFINE_float("budget_hours", None, "Hours of this training in all, in place of "
                       "--num_train_steps: the rate follows the clock and is 0 at the end. The "
                       "number of steps, and so every bit, differs from run to run.",
                       lower_bound=0.0)
    flags.DEFINE_float("warmup_proportion", None, "Share of --budget_hours with linear warmup; "
                       "default: 0.05, with counts 0.01.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_list("shallow_share", None, "Share of the steps, or of --budget_hours, up to "
                      "which the model has one layer; with 0.1,0.3 it has then two up to 0.3, and "
                      "so on doubled. Further layers begin as those, whose weights they share. "
                      "Default: 0, of a budget that begins with counts %s." % ",".join(
                          map("{:g}".format, recipes.SHALLOW_SHARES)))
    flags.DEFINE_integer("num_warmup_steps", None, "Updates of linear warmup; default: a share of "
                         "the steps (docs/recipes.md).", lower_bound=0)
    flags.DEFINE_integer("start_warmup_step", 0, "Update at which the warmup begins.",
                         lower_bound=0)


def record_files(patterns):
    """files.expand without the descriptions that a glob such as data/tf* finds beside records."""
    paths = [path for path in files.expand(patterns) if not path.endswith(".json")]
    files.check_rereadable(paths)
    return paths


def input_files(flags):
    """(training files, evaluation files), both checked against the flags."""
    if not flags.do_train and not flags.do_eval and not flags.export_dir:
        raise UserError("nothing to do; pass --do_train, --do_eval or --export_dir")
    train_paths = record_files(flags.input_file) if flags.do_train else []
    eval_pattern = flags.eval_input_file or (
        flags.input_file if flags.eval_on_train_data else None)
    eval_paths = []
    if flags.do_eval and eval_pattern:
        eval_paths = record_files(eval_pattern)
        trained_on = set(map(files.identity, train_paths))
        both = [path for path in eval_paths if files.identity(path) in trained_on]
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


# What a line at the start says of --lamb_exclude.
LAMB_RULES = {"no_decay": "trust ratio where weight decay applies, as Google's",
              "none": "trust ratio on every variable, as brightmart's"}

# Of a training whose flags say neither steps nor hours, as Google's; of a budget, as recipes.py has
# it for short runs; of one that begins with counts, as measured.
DEFAULT_STEPS, DEFAULT_WARMUP_PROPORTION, COUNTED_WARMUP_PROPORTION = 125000, 0.05, 0.01

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


def check_budget_flags(flags):
    """Refuses what contradicts --budget_hours, or needs it."""
    if flags.budget_hours is None:
        if flags.warmup_proportion is not None:
            raise UserError("--warmup_proportion=%g is a share of --budget_hours, which is not "
                            "given; --num_warmup_steps is of --num_train_steps"
                            % flags.warmup_proportion)
        return
    budget = "--budget_hours=%g" % flags.budget_hours
    if not flags.budget_hours:
        raise UserError("%s: expected a number above 0" % budget)
    if not flags.do_train:
        raise UserError("%s without --do_train: it is the time of a training; add it, or leave the "
                        "budget out" % budget)
    for name in ("num_train_steps", "num_warmup_steps", "start_warmup_step"):
        if flags[name].present:
            raise UserError("%s with --%s=%s: a budget of time chooses the steps itself (its "
                            "warmup is --warmup_proportion); leave one of them out"
                            % (budget, name, flags[name].value))
    if flags.use_tpu or estimators.this_cluster():
        raise UserError("%s with %s: a budget of time is for the devices of one machine; give "
                        "--num_train_steps" % (budget, "--use_tpu" if flags.use_tpu
                                               else "TF_CONFIG"))


def begins_with_counts(flags, config, training):
    """Whether the first weights are to come from counts of the records.

    Raises:
      UserError: --init_from_counts, and they cannot.
    """
    obstacle = None
    if flags.init_checkpoint:
        obstacle = "--init_checkpoint=%s has the first weights" % flags.init_checkpoint
    elif flags.use_tpu or estimators.this_cluster():
        obstacle = ("it is for the devices of one machine; train the first steps on one, then give "
                    "that --output_dir as --init_checkpoint")
    elif training.paths and not training.masking:
        obstacle = ("%s holds masks, and words are counted without; make the data again with "
                    "--store_sentences" % training.paths[0])
    elif not 8 <= config.embedding_size <= config.hidden_size:
        obstacle = "%s has an embedding_size of %d, expected 8 to its hidden_size" % (
            flags.bert_config_file, config.embedding_size)
    if flags.init_from_counts and not training.paths:
        raise UserError("--init_from_counts without --do_train: it is how a training begins")
    if flags.init_from_counts and obstacle:
        raise UserError("--init_from_counts: %s" % obstacle)
    wanted = flags.budget_hours if flags.init_from_counts is None else flags.init_from_counts
    if wanted and obstacle and not (flags.init_checkpoint or checkpoints.latest(flags.output_dir)):
        console.say("the first weights are random, not from counts: %s", obstacle)
    return bool(wanted and training.paths and not obstacle)


def first_values(flags, config, training, run):
    """The function {name: shape} -> {name: array} of a new model's weights; None where it goes on.
    """
    if checkpoints.latest(flags.output_dir):
        return None
    with estimators.damage_named(training.paths):
        counts = first_weights.count(training.paths, training.masking, config)
    distances = first_weights.looking_heads(config)
    console.say("the first weights come from {:,} tokens: their frequencies, the neighbours of "
                "{:,} words, {} of {} heads that look 1 to {} tokens away; "
                "--noinit_from_counts for random ones".format(
                    counts.tokens, counts.vectors.any(1).sum(), len(distances),
                    config.num_attention_heads, max(distances, default=0)))
    return functools.partial(first_weights.values, config, counts=counts, seed=run.seed)


def training_data(flags, paths, run, vocab_size=None):
    """The Data of checked training files; masked ones and --dynamic_masking exclude each other."""
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    masking = records.masking_settings(paths, lengths[1], flags.masked_lm_prob, flags.ngram)
    if masking and not flags.dynamic_masking:
        flag = "--store_sentences" if masking.order else "--store_word_starts"
        raise UserError("%s holds no masks (it was made with %s); pass --dynamic_masking or make "
                        "the data again without %s" % (paths[0], flag, flag))
    if paths and flags.dynamic_masking and not masking:
        raise UserError("%s holds masks and --dynamic_masking draws its own; make the data again "
                        "with --store_word_starts or leave --dynamic_masking out" % paths[0])
    return Data(paths, functools.partial(
        inputs.pretraining_input_fn, paths, *lengths, run.batches.step_examples,
        is_training=True, seed=run.seed, masking=masking, vocab_size=vocab_size), masking)


def evaluation_data(flags, paths, run, vocab_size=None):
    """The Data of checked held-out files.

    Unmasked ones are masked as they were meant to be, alike in every evaluation of one batch size.
    """
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    masking = records.masking_settings(paths, lengths[1])
    return Data(paths, inputs.pretraining_input_fn(
        paths, *lengths, run.batches.eval_batch_size, is_training=False, masking=masking,
        vocab_size=vocab_size), masking)


def choose_optimizer(flags, config, step_examples, is_counted):
    """recipes.choose_optimizer; without --optimizer a run of Muon's or beside it keeps its own."""
    is_counted = is_counted and recipes.size_of(config) == recipes.COUNTED_SIZE
    chosen = recipes.choose_optimizer(
        flags.optimizer, flags.learning_rate, step_examples, is_counted)
    before = run_directory.training_of(flags.output_dir).get("optimizer")
    if before and not flags.optimizer and not optimization.shares_moments(before, chosen[0]):
        return before, "that of the run in %s" % flags.output_dir
    return chosen


def choose_schedule(flags, config, step_examples, is_counted=False):
    """The Schedule of the flags, the recipe's where they are silent; says what was chosen and why.
    """
    optimizer, reason = choose_optimizer(flags, config, step_examples, is_counted)
    of_steps = (flags.num_train_steps or DEFAULT_STEPS, flags.num_warmup_steps)
    recipe = recipes.resolve(config, optimizer, step_examples, flags.learning_rate,
                             *((1, 0) if flags.budget_hours else of_steps), beta_2=flags.beta_2,
                             is_counted=is_counted)
    exclude = flags.lamb_exclude or optimization.LAYOUT_LAMB_EXCLUDE[config.layout]
    console.say("optimizer: %s, peak rate %g; %s", {
        "adamw": "AdamW", "muon": "Muon for matrices, AdamW for the rest",
        "lamb": "LAMB (%s)" % LAMB_RULES[exclude]}[optimizer], recipe.learning_rate, reason)
    order_rate = flags.order_rate
    if order_rate is None:
        order_rate = recipes.COUNTED_ORDER_RATE if is_counted else 1.0
    common = {"poly_power": flags.poly_power, "optimizer": optimizer, "lamb_exclude": exclude,
              "beta_2": recipe.beta_2, "order_rate": order_rate}
    for sentence in recipe.sentences:
        # A model that has left the beginning behind is another matter than the recipes'.
        if not (flags.init_checkpoint and sentence.startswith("warning: ")):
            console.say("%s", sentence)
    if not (flags.init_checkpoint or is_counted):
        for sentence in recipes.initializer_sentences(config):
            console.say("%s", sentence)
    if flags.budget_hours:
        proportion = flags.warmup_proportion
        if proportion is None:
            proportion = COUNTED_WARMUP_PROPORTION if is_counted else DEFAULT_WARMUP_PROPORTION
        return Schedule(recipe.learning_rate, budget_hours=flags.budget_hours,
                        warmup_proportion=proportion, **common)
    return Schedule(recipe.learning_rate, recipe.num_train_steps, recipe.num_warmup_steps,
                    flags.start_warmup_step, **common)


def say_passes(training, schedule, step_examples, budget=None):
    """Says how often a training reads its records, as soon as its number of steps is known."""
    num_records = inputs.described_records(training.paths)
    if not num_records:
        return

    def say(steps):
        console.say("%s", recipes.passes_sentence(
            steps * step_examples, num_records, training.masking))

    if budget:
        budget.when_planned(say)
    else:
        say(schedule.num_train_steps)


def train_and_evaluate(estimator, training, evaluation, run, num_train_steps, eval_every_steps,
                       max_eval_steps, baseline=None, budget=None):
    """Trains to the last step or the end of the budget; evaluates on the way if asked, and then.

    Args:
      training, evaluation: Data; without paths the one or the other is left out.
      run: settings.Run.
      num_train_steps: the last step; ignored with a budget.
      eval_every_steps: 0: only at the end.
      max_eval_steps: batches an evaluation, at most; None: all.
      baseline: as in objectives.model_fn_builder.
      budget: budget.Budget, or None.
    """
    every = eval_every_steps if training.paths and evaluation.paths else 0
    last = budgets.ENDLESS if budget else num_train_steps
    step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
    first = step + every - step % every if every else last
    for stop in itertools.chain(range(first, last, every or 1), [last]):
        if training.paths and not (budget and budget.is_used_up()):
            step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
            estimators.train(estimator, training.input_fn(first_step=step), stop, training.paths,
                             run, budget_hooks(budget, evaluation, run, max_eval_steps))
        results = None
        if evaluation.paths and estimators.is_chief():
            results = evaluate(estimator, evaluation, run, max_eval_steps, budget)
        if training.paths and estimators.is_chief():
            curve = learning_curve.read(run.checkpointing.output_dir)
            for sentence in learning_curve.sentences(curve, results, baseline):
                console.say("%s", sentence)
        if budget and budget.is_used_up():
            break


def train_in_stages(parts, create, training, evaluation, run, num_train_steps, *options,
                    budget=None):
    """train_and_evaluate of one model after the other, but for those that are done already.

    Args:
      parts: [stages.Stage].
      create: function of an AlbertConfig -> estimator.
      options: those of train_and_evaluate after the number of steps.

    Returns:
      the last stage's estimator.
    """
    for stage in parts:
        until = round(stage.until * num_train_steps)
        if budget:
            budget.begin_stage(stage.until)
        if stage is not parts[-1]:
            step = checkpoints.checkpoint_step(checkpoints.latest(run.checkpointing.output_dir))
            if not training.paths or (budget.is_used_up() if budget else step >= until):
                continue
            console.say("with %s up to %s of the training", stages.layers(stage.config),
                        "{:.0%}".format(stage.until))
        estimator = create(stage.config)
        train_and_evaluate(estimator, training, evaluation, run, until, *options, budget=budget)
    if budget:
        console.say("%s of the budget of %s are used", *map(
            hooks.duration, (budget.used(), budget.seconds)))
    return estimator


def evaluate(estimator, evaluation, run, max_eval_steps, budget=None):
    """The results of held_out.evaluate, which become RESULTS_FILE; a budget learns what it takes.
    """
    began = budget and budget.used()
    results = held_out.evaluate(estimator, evaluation.paths, evaluation.input_fn,
                                run.batches.eval_batch_size, max_eval_steps)
    estimators.write_results(
        os.path.join(run.checkpointing.output_dir, RESULTS_FILE), results)
    if budget:
        budget.keep(budget.used() - began, is_measured=True)
    return results


def budget_hooks(budget, evaluation, run, max_eval_steps):
    """The session hooks of a training with a budget; none without one."""
    if not budget:
        return []
    batch_size = run.batches.eval_batch_size
    examples = inputs.total_records(evaluation.paths)
    return [budgets.BudgetHook(budget, run.batches.step_examples, min(
        examples, (max_eval_steps or examples) * batch_size))]


def known_features(vocabulary):
    """company.features_of what records.common_vocabulary knows."""
    return {key: value for key, value in company.features_of(*vocabulary).items()
            if value is not None}


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


def prediction_shower(flags, eval_paths, vocab_size):
    """The filled_masks.Shower of the flags, or None.

    Raises:
      UserError: it was asked for, and the vocabulary of the records is not found.
    """
    number = 3 if flags.show_predictions is None else flags.show_predictions
    if not eval_paths or not number:
        return None
    description = records.read_descriptions(eval_paths)[eval_paths[0]]
    try:
        return filled_masks.Shower(
            filled_masks.load_tokenizer(description, flags.vocab_file, vocab_size), number)
    except UserError as error:
        if flags.show_predictions or flags.vocab_file:
            raise
        console.say("no predictions will be shown: %s", error)
        return None


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
    check_masking_flags(flags)
    check_budget_flags(flags)
    budget = flags.budget_hours and budgets.Budget(3600 * flags.budget_hours)
    train_paths, eval_paths = input_files(flags)
    command_line.check_flags(flags, train_paths + eval_paths)
    run = command_line.run_settings(flags, prefers_amp=bool(budget))
    config = modeling.AlbertConfig.from_json_file(flags.bert_config_file)
    config.check_length(flags.max_seq_length)
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    features = known_features(inputs.check_pretraining_files(
        train_paths + eval_paths, *lengths, config.vocab_size))
    training = training_data(flags, train_paths, run, config.vocab_size)
    evaluation = evaluation_data(flags, eval_paths, run, config.vocab_size)
    is_counted = begins_with_counts(flags, config, training)
    parts = stages.planned(flags.shallow_share, config, flags.bert_config_file,
                           recipes.SHALLOW_SHARES if is_counted and budget else ())
    schedule = train_paths and choose_schedule(
        flags, config, run.batches.step_examples, is_counted)
    if train_paths:
        say_passes(training, schedule, run.batches.step_examples, budget)
    whole_files.check_outputs([os.path.join(flags.output_dir, RESULTS_FILE)],
                              train_paths + eval_paths + [flags.bert_config_file])
    baseline = count_predictions(training, evaluation)
    shower = prediction_shower(flags, eval_paths, config.vocab_size)
    run_directory.check_initial(run, features, is_training=bool(train_paths))
    with run_directory.locked(flags.output_dir, is_training=bool(train_paths)):
        parts = claim_directory(flags, config, features, run, training, schedule, parts, budget)
        read = files.stamps(train_paths + eval_paths)
        try:
            first = first_values(flags, config, training, run) if is_counted else None
            estimator = train_in_stages(
                parts, lambda config: estimators.create(objectives.model_fn_builder(
                    config, run, schedule, baseline=baseline, shower=shower, budget=budget,
                    first_values=first), run),
                training, evaluation, run, schedule and schedule.num_train_steps or 0,
                flags.eval_every_steps, flags.max_eval_steps, baseline, budget=budget)
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
