"""Fine-tunes on sentences or sentence pairs: LCQMC, XNLI, or your own TSV or JSON lines.

    python3 run_classifier.py --task_name=lcqmc_pair --do_train=true --do_eval=true \
      --data_dir=data/lcqmc --vocab_file=vocab.txt --max_seq_length=128 --train_batch_size=64 \
      --bert_config_file=albert_config/albert_config_tiny.json --learning_rate=1e-4 \
      --num_train_epochs=5 --output_dir=output/lcqmc --init_checkpoint=albert_model.ckpt

Your own files (train.tsv, dev.tsv, test.tsv in --data_dir, or given by --train_file and so on):

    python3 run_classifier.py --task_name=tsv --header --text_a_column=title --label_column=topic \
      --labels=sport,economy ...
"""

import platforms

import tensorflow.compat.v1 as tf

import finetuning
from errors import UserError
from tasks import classification

OWN_TASKS = ("tsv", "jsonl")


def define_flags():
    """The shared flags and those that name the task."""
    flags = tf.flags
    finetuning.define_flags()
    flags.DEFINE_string("task_name", None, "A data set (%s), or tsv or jsonl for your own files."
                        % ", ".join(sorted(classification.DATASETS)))
    flags.DEFINE_string("text_a_column", "0", "Own files: column of the (first) text; a number "
                        "from 0, or a name with --header or in JSON.")
    flags.DEFINE_string("text_b_column", None, "Own files: column of the second text, if any.")
    flags.DEFINE_string("label_column", "1", "Own files: column of the label.")
    flags.DEFINE_list("labels", None, "Own files: the labels; else those of the training file.")
    flags.DEFINE_bool("header", False, "Own TSV files: the first line names the columns.")
    for split in ("train", "dev", "test"):
        flags.DEFINE_string("%s_file" % split, None, "Own path of the %s file." % split)


def create_task(flags):
    """The task that --task_name asks for; a UserError that lists them for an unknown one."""
    name = (flags.task_name or "").lower()
    name = classification.ALIASES.get(name, name)
    own_files = {split: flags["%s_file" % split].value for split in ("train", "dev", "test")}
    if name in OWN_TASKS:
        dataset = classification.own_dataset(
            name, flags.text_a_column, flags.text_b_column, flags.label_column, flags.labels,
            flags.header)
    elif name in classification.DATASETS:
        dataset = classification.DATASETS[name]
    else:
        raise UserError("--task_name=%s: no such task, expected one of %s" % (
            flags.task_name, ", ".join(sorted(classification.DATASETS) + list(OWN_TASKS))))
    return classification.Classification(name, dataset, flags.data_dir, own_files)


def main(flags):
    """Fine-tunes, evaluates and predicts as the flags ask."""
    finetuning.run(create_task, flags)


if __name__ == "__main__":
    platforms.run(main, define_flags)
