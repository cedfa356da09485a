"""The flags that every fine-tuning command shares, and the settings they make."""

import contextlib

from util import commands, console
from util.errors import UserError

from absl import flags as absl_flags

from finetuning import feature_export
from finetuning.settings import Duration, Export, Inputs, Settings, Vectors
from interchange import company, tokenizer_files
from tasks.base import SPLITS
from training import command_line, estimators, restoring
from training.settings import Schedule


def define_flags():
    """Flags of every fine-tuning command, with the names of both original codes."""
    command_line.define_flags(batch_size=32, save_checkpoints_steps=1000, optimizer="adamw")
    _define_data_flags()
    _define_training_flags()
    _define_output_flags()


def _define_data_flags():
    flags = absl_flags
    flags.DEFINE_string("data_dir", None, "Directory of the task's files.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary; default: that in "
                        "--output_dir, or beside --init_checkpoint.")
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model, instead of --vocab_file.")
    flags.DEFINE_bool("do_lower_case", None, "Lower-case the text, as the Chinese models need; "
                      "default: as in the training before, else True.")
    flags.DEFINE_integer("max_seq_length", 128, "Tokens per example, [CLS] and [SEP] included; "
                         "longer texts are cut.", lower_bound=8)
    flags.DEFINE_string("cache_dir", None, "Directory of cached features; OUTPUT_DIR/cache if not "
                        "given.")
    flags.DEFINE_bool("skip_bad_lines", False, "Leave out and count examples that cannot be used "
                      "(not UTF-8, a missing text or label), instead of an error at the first.")
    flags.DEFINE_bool("do_train", False, "Train; with --do_eval the best checkpoint is kept.")
    flags.DEFINE_bool("do_eval", False, "Score the best checkpoint on the dev file.")
    flags.DEFINE_bool("do_predict", False, "Predict the test file with the best checkpoint.")


def define_file_flags():
    """--train_file, --dev_file and --test_file, for commands whose task has one file per split."""
    for split in SPLITS:
        absl_flags.DEFINE_string("%s_file" % split, None,
                                 "Path of the %s file, if it is not in --data_dir." % split)


def custom_files(flags):
    """{split: path or None}, from the flags of `define_file_flags`."""
    return {split: getattr(flags, "%s_file" % split) for split in SPLITS}


def _define_training_flags():
    flags = absl_flags
    flags.DEFINE_float("learning_rate", 5e-5, "Peak learning rate.", lower_bound=0.0)
    flags.DEFINE_float("num_train_epochs", 3.0, "Passes over the training file.", lower_bound=0.0)
    flags.DEFINE_float("warmup_proportion", 0.1, "Share of the steps with linear warmup.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("train_step", None, "Total steps, instead of --num_train_epochs.",
                         lower_bound=1)
    flags.DEFINE_integer("warmup_step", None, "Warmup steps, instead of --warmup_proportion.",
                         lower_bound=0)
    flags.DEFINE_integer("eval_every_steps", 0, "Steps between evaluations; 0: every epoch.",
                         lower_bound=0)
    flags.DEFINE_integer("early_stopping", 0, "Stop after this many evaluations in a row that are "
                         "not better than the best; 0: never.", lower_bound=0)
    flags.DEFINE_float("classifier_dropout", 0.1, "Dropout before the task's layer, as in both "
                       "original codebases.", lower_bound=0.0, upper_bound=0.9)
    flags.DEFINE_float("layer_decay", 1.0, "Layer-wise learning-rate decay: the transformer's rate "
                       "is this times the rate of the task's layer, the embeddings' is this times "
                       "the transformer's; 1: none.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_list("learning_rates", None, "Train with every combination of these peak rates "
                      "and --seeds, in subdirectories of OUTPUT_DIR.")
    flags.DEFINE_list("seeds", None, "Train with each of these seeds; see --learning_rates.")


def _define_output_flags():
    flags = absl_flags
    flags.DEFINE_enum("use_checkpoint", "best", ["best", "last"], "Which checkpoint of OUTPUT_DIR "
                      "--do_eval and --do_predict use: the best on the dev file, or the last one.")
    flags.DEFINE_bool("save_errors", False, "List the examples that --do_eval got wrong, with "
                      "their texts, in OUTPUT_DIR/dev_errors.tsv.")
    flags.DEFINE_string("export_dir", None, "Where to write a SavedModel of the fine-tuned model.")
    flags.DEFINE_float("threshold_to_export", float("nan"), "Export only if the task's metric on "
                       "the dev file is not below this.")
    flags.DEFINE_enum("export_features", None, list(feature_export.LEVELS), "Write vectors of the "
                      "test file's texts, by the best checkpoint of OUTPUT_DIR, or "
                      "--init_checkpoint if there is none: one per text, or one per token.")
    flags.DEFINE_list("feature_layers", ["-1"], "--export_features=token: which layers; -1 is the "
                      "last, -2 the one before.")


def refuse(flags, names, reason):
    """A UserError for a flag of these names that is given but has no effect.

    What belongs to training, evaluation or prediction is not among them: people start one command
    again with another of --do_train, --do_eval and --do_predict.

    Args:
      reason: when it has none, as "with --task_name=lcqmc".
    """
    for name in names:
        if flags[name].present and flags[name].value != flags[name].default:
            raise UserError("--%s has no effect %s; leave it out" % (name, reason))


def settings(flags):
    """The Settings of the shared flags, which are checked before any data is read.

    Raises:
      UserError: a flag is missing, or contradicts another one or this machine.
    """
    _check_flags(flags)
    return Settings(
        command_line.run_settings(flags),
        _inputs(flags),
        Schedule(flags.learning_rate, optimizer=flags.optimizer, lamb_exclude=flags.lamb_exclude,
                 layer_decay=flags.layer_decay),
        Duration(flags.num_train_epochs, flags.warmup_proportion, flags.train_step,
                 flags.warmup_step),
        Vectors(flags.export_features, _layers(flags.feature_layers)),
        Export(flags.export_dir, flags.threshold_to_export), _grid(flags),
        flags.do_train, flags.do_eval, flags.do_predict, flags.eval_every_steps,
        flags.early_stopping, flags.save_errors, flags.use_checkpoint)


def _inputs(flags):
    """The Inputs; without flags vocabulary and casing are the run's, or its initial model's."""
    directories = [flags.output_dir]
    if flags.init_checkpoint:
        with contextlib.suppress(UserError):  # it is told when it is restored
            directories.append(company.home_of(restoring.resolve(flags.init_checkpoint)))
    vocab_file, spm_model_file = flags.vocab_file, flags.spm_model_file
    lower_case, identity = flags.do_lower_case, {}
    for directory in directories:
        if not (vocab_file or spm_model_file):
            vocab_file, spm_model_file = tokenizer_files.find(directory)
            if vocab_file or spm_model_file:
                console.say("vocabulary: %s", vocab_file or spm_model_file)
        identity = dict(company.identity(directory), **identity)
    if lower_case is None:
        lower_case = identity.get("do_lower_case", True)
        if not lower_case:
            console.say("--do_lower_case=False, as in the training before")
    return Inputs(flags.bert_config_file, vocab_file, spm_model_file, lower_case,
                  flags.max_seq_length, flags.cache_dir)


def _check_flags(flags):
    if not (flags.do_train or flags.do_eval or flags.do_predict or flags.export_features
            or flags.export_dir):
        raise UserError("nothing to do; pass --do_train, --do_eval, --do_predict, --export_dir or "
                        "--export_features")
    if flags.early_stopping and not flags.do_eval:
        raise UserError("--early_stopping=%d without --do_eval: there are no scores to stop by; "
                        "add --do_eval" % flags.early_stopping)
    if flags.early_stopping and estimators.this_cluster():
        raise UserError("--early_stopping=%d with TF_CONFIG: workers cannot agree on when to "
                        "stop; leave it out" % flags.early_stopping)
    if flags.learning_rates or flags.seeds:
        _check_grid_flags(flags)
    _refuse_dead_flags(flags)
    command_line.check_flags(flags, [flags.data_dir] if flags.data_dir else [])


def _refuse_dead_flags(flags):
    for names, condition, reason in (
            (["num_train_epochs"], flags.train_step, "with --train_step"),
            (["warmup_proportion"], flags.warmup_step is not None, "with --warmup_step"),
            (["learning_rate"], flags.learning_rates, "with --learning_rates"),
            (["seed"], flags.seeds, "with --seeds"),
            (["lamb_exclude"], flags.optimizer != "lamb", "without --optimizer=lamb"),
            (["save_errors"], not flags.do_eval, "without --do_eval"),
            (["threshold_to_export"], not flags.export_dir, "without --export_dir"),
            (["feature_layers"], flags.export_features != "token",
             "without --export_features=token")):
        if condition:
            refuse(flags, names, reason)


def _check_grid_flags(flags):
    if not (flags.do_train and flags.do_eval):
        raise UserError("--learning_rates and --seeds compare trainings; add --do_train and "
                        "--do_eval")
    if estimators.this_cluster():
        raise UserError("--learning_rates and --seeds with TF_CONFIG: a grid runs on one machine; "
                        "start a run for every point")
    if flags.init_checkpoint is None:
        console.say("no --init_checkpoint: the grid trains from random weights")


def _grid(flags):
    """((learning rate, seed), …); () without a grid."""
    if not (flags.learning_rates or flags.seeds):
        return ()
    rates = _numbers("learning_rates", flags.learning_rates, float) or [flags.learning_rate]
    seeds = _numbers("seeds", flags.seeds, int) or [flags.seed]
    return tuple((rate, seed) for rate in rates for seed in seeds)


def _numbers(name, texts, number_type):
    numbers = []
    for text in texts or ():
        try:
            number = number_type(text)
        except ValueError:
            number = -1
        if not 0 <= number <= commands.LARGEST or number in numbers or (
                number_type is float and not number):
            raise UserError("--%s=%s: %r is not a %s, or is repeated" % (
                name, ",".join(texts), text,
                "number above 0" if number_type is float else "whole number from 0"))
        numbers.append(number)
    return numbers


def _layers(texts):
    """The numbers of --feature_layers; feature_export.check checks their range."""
    try:
        return tuple(map(int, texts))
    except ValueError:
        raise UserError("--feature_layers=%s: expected numbers from -1, the last layer, downwards"
                        % ",".join(texts)) from None
