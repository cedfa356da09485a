"""Fine-tunes on multiple choice: RACE, C3, ChID, or your own JSON lines.

    python3 run_race.py --data_dir=RACE --do_train --do_eval --do_predict --output_dir=output/race \
      --spm_model_file=30k-clean.model --init_checkpoint=albert_base \
      --bert_config_file=albert_config/albert_config_base_en.json --max_seq_length=512 \
      --max_qa_length=128 --train_batch_size=32 --learning_rate=1e-5 --train_step=12000 \
      --warmup_step=1000

    python3 run_race.py --task_name=c3 --data_dir=c3 ...      # m-train.json, d-train.json and so on

Your own questions (train.jsonl, dev.jsonl, test.jsonl in --data_dir, or --train_file and so on), an
object a line, any number of choices:

    {"context": "...", "question": "...", "choices": ["...", "..."], "answer": 1}

    python3 run_race.py --task_name=jsonl --data_dir=my_questions ...
"""

import re

from util import console, files, platforms, tfrecords
from util.errors import UserError

import tensorflow.compat.v1 as tf

from finetuning import command_line, harness
from tasks import choice, choice_data


def define_flags():
    """The shared flags and those that name the task."""
    flags = tf.flags
    command_line.define_flags()
    flags.FLAGS.set_default("max_seq_length", 512)
    flags.DEFINE_string("task_name", "race", "A data set (%s); jsonl is for your own files."
                        % ", ".join(sorted(choice_data.DATASETS)))
    flags.DEFINE_integer("max_qa_length", 128, "Tokens of question and option together; what is "
                         "longer loses its beginning. Half of --max_seq_length at most.",
                         lower_bound=1)
    flags.DEFINE_bool("high_only", False, "RACE: the questions of high schools alone.")
    flags.DEFINE_bool("middle_only", False, "RACE: the questions of middle schools alone.")
    command_line.define_file_flags()
    flags.DEFINE_alias("eval_file", "dev_file")
    flags.DEFINE_alias("predict_file", "test_file")


def _custom_files(flags):
    """{split: path or None} of one's own files, without those that Google's code would write.

    In its run_race.py --train_file, --eval_file and --predict_file name TFRecord files of features,
    made of the questions in --data_dir.
    """
    custom = command_line.custom_files(flags)
    for split, path in custom.items():
        if path and flags.data_dir and _holds_features(path):
            console.say("--%s_file=%s is ignored: it names a file of features, which are kept in "
                        "--cache_dir; the questions are those of --data_dir", split, path)
            custom[split] = None
    return custom


def _holds_features(path):
    """Whether a file, which need not exist, is a TFRecord file by its name or by its content."""
    return bool(re.search(r"\.tf_?records?$", path)) or (
        files.is_file(path) and tfrecords.is_tfrecord(path))


def create_task(flags):
    """The task that --task_name asks for; a UserError that lists them for an unknown one."""
    name = choice_data.find(flags.task_name)
    if flags.high_only and flags.middle_only:
        raise UserError("--high_only and --middle_only leave nothing; give one of them, or none "
                        "for all questions")
    dataset = choice_data.DATASETS[name]
    for level in ("high", "middle"):
        if getattr(flags, "%s_only" % level):
            dataset = choice_data.only(dataset, level)
    return choice.Choice(name, dataset, flags.data_dir, _custom_files(flags),
                         flags.max_qa_length, flags.classifier_dropout, flags.skip_bad_lines)


def main(flags):
    """Fine-tunes, evaluates and predicts as the flags ask."""
    settings = command_line.settings(flags)
    harness.run(create_task(flags), settings)


if __name__ == "__main__":
    platforms.run(main, define_flags)
