"""The flags of run_pretraining.py, and the settings, data and schedule they make."""

import functools

from util import console, files
from util.errors import UserError

from absl import flags as absl_flags

import optimization
from pretraining import filled_masks, inputs, recipes, records
from training import checkpoints, command_line, estimators, run_directory
from training.settings import Schedule

# What a line at the start says of --lamb_exclude.
LAMB_RULES = {"no_decay": "trust ratio where weight decay applies, as Google's",
              "none": "trust ratio on every variable, as brightmart's"}

# Of a training whose flags say neither steps nor hours, as Google's; of a budget, as recipes.py has
# it for short runs; of one that begins with counts, as measured.
DEFAULT_STEPS, DEFAULT_WARMUP_PROPORTION, COUNTED_WARMUP_PROPORTION = 125000, 0.05, 0.01


def define_flags():
    """The flags of both original codes, with their names."""
    command_line.define_flags(batch_size=64, save_checkpoints_steps=1000, optimizer=None)
    _define_data_flags()
    _define_beginning_flags()
    _define_schedule_flags()
    _define_evaluation_flags()


def _define_data_flags():
    flags = absl_flags
    flags.DEFINE_string("input_file", None, "Record files, globs, or a comma list, to train on.")
    flags.DEFINE_string("eval_input_file", None, "Held-out record files for --do_eval.")
    flags.DEFINE_bool("eval_on_train_data", False, "Let --do_eval use --input_file when there is "
                      "no --eval_input_file.")
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


def _define_beginning_flags():
    flags = absl_flags
    flags.DEFINE_bool("restore_slots", False, "Take the optimizer's moments (adam_m, adam_v; "
                      "Muon's muon_m) from --init_checkpoint too, where it has them, as Google's.")
    flags.DEFINE_bool("init_from_group0", False, "Groups of layers that --init_checkpoint lacks "
                      "start as its group 0.")
    flags.DEFINE_bool("init_from_counts", None, "Begin with weights that a count of the records "
                      "gives (pretraining/first_weights.py) in place of random ones; default: with "
                      "--budget_hours.")


def _define_schedule_flags():
    flags = absl_flags
    flags.DEFINE_float("learning_rate", None, "Peak rate; default: what suits the config, the "
                       "optimizer and the batch (docs/recipes.md).", lower_bound=0.0)
    flags.DEFINE_float("beta_2", None, "Decay of the optimizer's second moment in an update; "
                       "default: 0.98 or 0.999, the recipe's (docs/recipes.md).", lower_bound=0.0,
                       upper_bound=0.999999)
    flags.DEFINE_float("order_rate", None, "Factor on the rate of the pooler and the "
                       "sentence-order head; default: 1, of a training that begins with counts "
                       "0.1, or less where its rate is that of a short budget.", lower_bound=0.0)
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


def _define_evaluation_flags():
    flags = absl_flags
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
    flags.DEFINE_string("export_dir", None, "Where to write a SavedModel of the encoder.")


def settings(flags):
    """Checks the flags against each other, the files and this machine.

    Returns:
      (training files, evaluation files, training.settings.Run).

    Raises:
      UserError: they contradict each other, or cannot run.
    """
    _check_masking_flags(flags)
    _check_budget_flags(flags)
    train_paths, eval_paths = input_files(flags)
    command_line.check_flags(flags, train_paths + eval_paths)
    return train_paths, eval_paths, command_line.run_settings(
        flags, prefers_amp=bool(flags.budget_hours))


def _check_masking_flags(flags):
    """Refuses flags that only --dynamic_masking heeds."""
    for name in ("masked_lm_prob", "ngram"):
        value = getattr(flags, name)
        if value is not None and not flags.dynamic_masking:
            raise UserError("--%s=%s needs --dynamic_masking; the masks of other records are drawn "
                            "by create_pretraining_data.py --%s" % (name, value, name))


def _check_budget_flags(flags):
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


def input_files(flags):
    """(training files, evaluation files), both checked against the flags."""
    if not flags.do_train and not flags.do_eval and not flags.export_dir:
        raise UserError("nothing to do; pass --do_train, --do_eval or --export_dir")
    train_paths = _record_files(flags.input_file) if flags.do_train else []
    eval_pattern = flags.eval_input_file or (
        flags.input_file if flags.eval_on_train_data else None)
    eval_paths = []
    if flags.do_eval and eval_pattern:
        eval_paths = _record_files(eval_pattern)
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


def _record_files(patterns):
    """files.expand without the descriptions that a glob such as data/tf* finds beside records."""
    paths = [path for path in files.expand(patterns) if not path.endswith(".json")]
    files.check_rereadable(paths)
    return paths


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
    return inputs.Data(paths, functools.partial(
        inputs.pretraining_input_fn, paths, *lengths, run.batches.step_examples,
        is_training=True, seed=run.seed, masking=masking, vocab_size=vocab_size), masking)


def evaluation_data(flags, paths, run, vocab_size=None):
    """The Data of checked held-out files.

    Unmasked ones are masked as they were meant to be, alike in every evaluation of one batch size.
    """
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    masking = records.masking_settings(paths, lengths[1])
    return inputs.Data(paths, inputs.pretraining_input_fn(
        paths, *lengths, run.batches.eval_batch_size, is_training=False, masking=masking,
        vocab_size=vocab_size), masking)


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


def _choose_optimizer(flags, config, step_examples, is_counted):
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
    optimizer, reason = _choose_optimizer(flags, config, step_examples, is_counted)
    of_steps = (flags.num_train_steps or DEFAULT_STEPS, flags.num_warmup_steps)
    recipe = recipes.resolve(config, optimizer, step_examples, flags.learning_rate,
                             *((1, 0) if flags.budget_hours else of_steps), beta_2=flags.beta_2,
                             is_counted=is_counted, budget_hours=flags.budget_hours)
    exclude = flags.lamb_exclude or optimization.LAYOUT_LAMB_EXCLUDE[config.layout]
    console.say("optimizer: %s, peak rate %g; %s", {
        "adamw": "AdamW", "muon": "Muon for matrices, AdamW for the rest",
        "lamb": "LAMB (%s)" % LAMB_RULES[exclude]}[optimizer], recipe.learning_rate, reason)
    common = {"poly_power": flags.poly_power, "optimizer": optimizer, "lamb_exclude": exclude,
              "beta_2": recipe.beta_2,
              "order_rate": recipe.order_rate if flags.order_rate is None else flags.order_rate}
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
