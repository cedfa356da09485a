"""Fine-tunes on sentences or sentence pairs: LCQMC, XNLI, CLUE, GLUE, or your own files.

    python3 run_classifier.py --task_name=lcqmc_pair --do_train=true --do_eval=true \
      --data_dir=data/lcqmc --vocab_file=vocab.txt --max_seq_length=128 --train_batch_size=64 \
      --bert_config_file=albert_config/albert_config_tiny.json --learning_rate=1e-4 \
      --num_train_epochs=5 --output_dir=output/lcqmc --init_checkpoint=albert_model.ckpt

Your own files (train.tsv, dev.tsv, test.tsv in --data_dir, or given by --train_file and so on):

    python3 run_classifier.py --task_name=tsv --header --text_a_column=title --label_column=topic \
      --labels=sport,economy ...
    python3 run_classifier.py --task_name=jsonl --text_a_column=text --label_column=tags \
      --multi_label ...
    python3 run_classifier.py --task_name=tsv --text_a_column=0 --text_b_column=1 \
      --label_column=2 --regression ...
"""

from util import platforms

import tensorflow.compat.v1 as tf

from finetuning import command_line, harness
from tasks import classification, classification_data


def define_flags():
    """The shared flags and those that name the task."""
    flags = tf.flags
    command_line.define_flags()
    flags.DEFINE_string("task_name", None, "A data set (%s), or tsv or jsonl for your own files."
                        % ", ".join(sorted(classification_data.DATASETS)))
    flags.DEFINE_string("text_a_column", "0", "Own files: column of the (first) text; a number "
                        "from 0, or a name with --header or in JSON.")
    flags.DEFINE_string("text_b_column", None, "Own files: column of the second text, if any.")
    flags.DEFINE_string("label_column", "1", "Own files: column of the label.")
    flags.DEFINE_list("labels", None, "Own files: the labels; else those of the training file.")
    flags.DEFINE_bool("header", False, "Own TSV files: the first line names the columns.")
    flags.DEFINE_bool("multi_label", False, "Own files: an example has any number of labels, in "
                      "JSON a list, in TSV separated by --label_separator.")
    flags.DEFINE_string("label_separator", ",", "Own files: stands between several labels.")
    flags.DEFINE_bool("regression", False, "Own files: the label is a number.")
    flags.DEFINE_bool("skip_first_line", False, "Leave out the first line of TSV files that have "
                      "no header, as albert_zh does with LCQMC's, where it is an example.")
    flags.DEFINE_list("class_weights", None, "Weight of every label in the loss, in the order of "
                      "the labels, or balanced: the inverse of its frequency in training.")
    command_line.define_file_flags()


def _refuse_dead_flags(flags, name):
    """Refuses flags of own files for a data set, and of one form of them for the other."""
    if name not in classification_data.CUSTOM:
        command_line.refuse(
            flags, ("text_a_column", "text_b_column", "label_column", "labels", "header",
                    "multi_label", "label_separator", "regression"),
            "with --task_name=%s, whose row says it all; it is for your own files "
            "(--task_name=tsv or jsonl)" % name)
    if name == "jsonl":
        command_line.refuse(flags, ("header", "skip_first_line"), "with --task_name=jsonl")
    if not flags.multi_label:
        command_line.refuse(flags, ("label_separator",), "without --multi_label")
    if flags.header:
        command_line.refuse(flags, ("skip_first_line",), "with --header")
    if flags.regression:
        command_line.refuse(flags, ("class_weights",), "with --regression")


def create_task(flags):
    """The task that --task_name asks for; a UserError that lists them for an unknown one."""
    name = classification_data.find(flags.task_name)
    _refuse_dead_flags(flags, name)
    if name in classification_data.CUSTOM:
        dataset = classification_data.custom_dataset(
            name, flags.text_a_column, flags.text_b_column, flags.label_column, flags.labels,
            flags.header, flags.multi_label, flags.regression, flags.label_separator)
    else:
        dataset = classification_data.DATASETS[name]
    if flags.skip_first_line:
        dataset = classification_data.without_first_lines(dataset)
    return classification.Classification(
        name, dataset, flags.data_dir, command_line.custom_files(flags), flags.classifier_dropout,
        flags.class_weights, flags.skip_bad_lines)


def main(flags):
    """Fine-tunes, evaluates and predicts as the flags ask."""
    settings = command_line.settings(flags)
    harness.run(create_task(flags), settings)


if __name__ == "__main__":
    platforms.run(main, define_flags)
