"""The original codes' flags and defaults, as tables: what becomes of each of them here.

brightmart's albert_zh and Google's albert have flags that this code does not need and defaults that
differ from its own. `commands.run` accepts their flags and applies --defaults from these tables;
--help and docs/coming-over.md are made of them too.
"""

import typing

ALBERT_ZH, GOOGLE = "albert_zh", "google"
CODES = (ALBERT_ZH, GOOGLE)


class Flag(typing.NamedTuple):
    """A flag of an original code that is not one of a command here.

    One of `here`, `ignored` and `refused` is given.
    """

    name: str
    value_type: str       # "string", "bool", "integer" or "float"
    commands: tuple       # those here that accept it, without ".py"
    codes: tuple          # the codes that have it
    here: str = ""        # the flag that it is another name of
    ignored: str = ""     # why it has no effect
    refused: str = ""     # why any value but `harmless` is an error, with the remedy
    harmless: object = None


_FINE_TUNING = ("run_classifier", "run_ner", "run_squad", "run_race")
_BOTH = (ALBERT_ZH, GOOGLE)

FLAGS = (
    # create_pretraining_data.py
    Flag("do_permutation", "bool", ("create_pretraining_data",), _BOTH, harmless=False,
         refused="permuted tokens were an experiment that no published model used; leave it out"),
    Flag("random_next_sentence", "bool", ("create_pretraining_data",), _BOTH, harmless=False,
         refused="segments always follow each other, as sentence order needs it; leave it out"),
    Flag("input_file_mode", "string", ("create_pretraining_data",), (GOOGLE,),
         ignored="text is read as UTF-8, compressed or not"),
    # run_pretraining.py
    Flag("masked_lm_budget", "float", ("run_pretraining",), _BOTH, harmless=0.0,
         refused="masks drawn while training are --dynamic_masking --masked_lm_prob=SHARE, on "
                 "records made with --store_word_starts"),
    # fine-tuning
    Flag("predict_batch_size", "integer", _FINE_TUNING, _BOTH, here="eval_batch_size"),
    Flag("cached_dir", "string", ("run_classifier",), (GOOGLE,), here="cache_dir"),
    Flag("dropout_prob", "float", ("run_squad", "run_race"), (GOOGLE,), here="classifier_dropout"),
    Flag("num_keep_checkpoint", "integer", ("run_race",), (GOOGLE,), here="keep_checkpoint_max"),
    Flag("train_feature_file", "string", ("run_squad",), (GOOGLE,),
         ignored="features are kept in --cache_dir under a fingerprint of all that decides them"),
    Flag("predict_feature_file", "string", ("run_squad",), (GOOGLE,),
         ignored="features are kept in --cache_dir under a fingerprint of all that decides them"),
    Flag("predict_feature_left_file", "string", ("run_squad",), (GOOGLE,),
         ignored="the texts of the windows are read from the data file"),
    Flag("use_einsum", "bool", ("run_squad",), (GOOGLE,),
         ignored="einsum and plain products compute the same numbers"),
    Flag("albert_hub_module_handle", "string", ("run_classifier", "run_squad", "run_race"),
         (GOOGLE,), here="init_checkpoint"),
    Flag("use_pooled_output", "bool", ("run_classifier",), (ALBERT_ZH,), harmless=True,
         refused="the mean over all positions counted padding too, so it depended on "
                 "--max_seq_length; the head reads the pooled output, leave it out"),
)

# What --defaults=CODE sets where a command line is silent: {code: {command: {flag: value}}}. Flags
# that the code does not have stand for what it does without one.
DEFAULTS = {
    ALBERT_ZH: {
        "create_pretraining_data": {
            "do_whole_word_mask": False, "max_seq_length": 128, "max_predictions_per_seq": 20,
            "masked_lm_prob": 0.15, "dupe_factor": 10, "short_seq_prob": 0.1, "ngram": 1,
            "brightmart_labels": True},
        "run_pretraining": {
            "max_seq_length": 128, "max_predictions_per_seq": 20, "train_batch_size": 32,
            "eval_batch_size": 8, "learning_rate": 5e-5, "num_train_steps": 100000,
            "num_warmup_steps": 10000, "save_checkpoints_steps": 1000, "max_eval_steps": 100,
            "optimizer": "lamb", "lamb_exclude": "none", "beta_2": 0.999,
            "eval_on_train_data": True},
        "run_classifier": {
            "max_seq_length": 128, "train_batch_size": 32, "eval_batch_size": 8,
            "learning_rate": 5e-5, "num_train_epochs": 3.0, "warmup_proportion": 0.1,
            "save_checkpoints_steps": 1000, "optimizer": "adamw", "classifier_dropout": 0.1,
            "use_checkpoint": "last", "skip_first_line": True},
    },
    GOOGLE: {
        "create_pretraining_data": {
            "do_whole_word_mask": True, "non_chinese": True, "max_seq_length": 512,
            "max_predictions_per_seq": 20, "masked_lm_prob": 0.15, "dupe_factor": 40,
            "short_seq_prob": 0.1, "ngram": 3, "favor_shorter_ngram": True},
        "run_pretraining": {
            "do_train": True, "max_seq_length": 512, "max_predictions_per_seq": 20,
            "train_batch_size": 4096, "eval_batch_size": 64, "learning_rate": 0.00176,
            "num_train_steps": 125000, "num_warmup_steps": 3125, "save_checkpoints_steps": 5000,
            "keep_checkpoint_max": 5, "max_eval_steps": 100, "optimizer": "lamb",
            "lamb_exclude": "no_decay", "beta_2": 0.999, "poly_power": 1.0, "start_warmup_step": 0,
            "eval_on_train_data": True},
        "run_classifier": {
            "max_seq_length": 512, "train_batch_size": 32, "eval_batch_size": 8,
            "learning_rate": 5e-5, "train_step": 1000, "warmup_step": 0,
            "save_checkpoints_steps": 1000, "keep_checkpoint_max": 5, "optimizer": "adamw",
            "classifier_dropout": 0.1, "use_checkpoint": "best"},
        "run_squad": {
            "max_seq_length": 384, "doc_stride": 128, "max_query_length": 64,
            "train_batch_size": 32, "eval_batch_size": 8, "learning_rate": 5e-5,
            "num_train_epochs": 3.0, "warmup_proportion": 0.1, "save_checkpoints_steps": 1000,
            "n_best_size": 20, "max_answer_length": 30, "optimizer": "adamw",
            "use_checkpoint": "best"},
        "run_race": {
            "do_train": True, "do_eval": True, "max_seq_length": 512, "max_qa_length": 128,
            "train_batch_size": 32, "eval_batch_size": 8, "learning_rate": 1e-5,
            "train_step": 12000, "warmup_step": 1000, "save_checkpoints_steps": 100,
            "optimizer": "adamw", "classifier_dropout": 0.1, "keep_checkpoint_max": 5,
            "use_checkpoint": "best"},
    },
}


def flags_of(command):
    """The rows of FLAGS that a command ("run_squad") accepts."""
    return [flag for flag in FLAGS if command in flag.commands]


def defaults_of(command):
    """{code: {flag: value}} of a command, for the codes that have it."""
    return {code: commands[command] for code, commands in DEFAULTS.items() if command in commands}
