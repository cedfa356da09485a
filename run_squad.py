"""Fine-tunes on extractive reading: SQuAD 1.1 and 2.0, CMRC2018, DRCD, or your own files.

    python3 run_squad.py --train_file=train-v1.1.json --predict_file=dev-v1.1.json --do_train \
      --do_predict --output_dir=output/squad --spm_model_file=30k-clean.model \
      --bert_config_file=albert_config/albert_config_base_en.json --init_checkpoint=albert_base \
      --max_seq_length=384 --doc_stride=128 --max_query_length=64 --n_best_size=20 \
      --max_answer_length=30 --train_batch_size=48 --learning_rate=5e-5 --num_train_epochs=2.0

    python3 run_squad.py ... --version_2_with_negative               # SQuAD 2.0: maybe no answer
    python3 run_squad.py ... --version_2_with_negative --squad_head=google_v2   # as Google's ALBERT
    python3 run_squad.py --task_name=cmrc2018 --data_dir=cmrc2018 --do_train --do_eval \
      --do_predict --vocab_file=vocab.txt --max_seq_length=512 ...

Your own files are in SQuAD's form; --evaluation=zh scores Chinese answers by the character.
"""

from util import console, platforms
from util.errors import UserError

import tensorflow.compat.v1 as tf

from finetuning import command_line, harness
from tasks import reading, reading_data, reading_heads, reading_scores
from training import checkpoints, restoring


def define_flags():
    """The shared flags and those of reading, with the names of both original codes."""
    flags = tf.flags
    command_line.define_flags()
    flags.FLAGS.set_default("max_seq_length", 384)
    flags.FLAGS.set_default("classifier_dropout", None)  # as the head's original code
    flags.DEFINE_string("task_name", None, "A data set in --data_dir (%s); not needed with "
                        "--train_file and --predict_file."
                        % ", ".join(sorted(reading_data.DATASETS)))
    flags.DEFINE_string("train_file", None, "Own path of the training file, in SQuAD's form.")
    flags.DEFINE_string("predict_file", None, "Own path of the file to evaluate and to predict.")
    flags.DEFINE_integer("doc_stride", 128, "Tokens between the beginnings of two windows of a "
                         "context that is too long for one.", lower_bound=1)
    flags.DEFINE_integer("max_query_length", 64, "Tokens of a question; longer ones are cut.",
                         lower_bound=1)
    flags.DEFINE_integer("n_best_size", 20, "Answers a question in nbest_predictions.json, and "
                         "starts and ends that are looked at in a window.", lower_bound=1)
    flags.DEFINE_integer("max_answer_length", 30, "Tokens of an answer.", lower_bound=1)
    flags.DEFINE_bool("version_2_with_negative", False, "Questions may have no answer, as in "
                      "SQuAD 2.0; always so with --task_name=squad2.")
    flags.DEFINE_float("null_score_diff_threshold", None, "Above which odds \"no answer\" is "
                       "predicted: bert's are the difference in score to the best other answer, "
                       "google_v2's the logit of its classifier. Default: 0; with google_v2, as in "
                       "Google's code, the value with the best F1, which --do_eval prints.")
    flags.DEFINE_enum("evaluation", None, sorted(reading_scores.EVALUATIONS),
                      "How answers are scored: as SQuAD's (en) or CMRC2018's (zh) script, or with "
                      "SQuAD's overlap of characters (drcd); default: zh for CMRC2018 and DRCD, en "
                      "for SQuAD and your own files.")
    _define_head_flags()


def _define_head_flags():
    flags = tf.flags
    flags.DEFINE_enum("squad_head", None, sorted(reading_heads.HEADS), "The output layer: BERT's, "
                      "which both original codes have for SQuAD 1.1, or that of Google's ALBERT "
                      "for SQuAD 2.0; default: that of the checkpoint in --output_dir or of "
                      "--init_checkpoint, else bert.")
    flags.DEFINE_integer("start_n_top", 5, "--squad_head=google_v2: starts that are looked at in a "
                         "window.", lower_bound=1)
    flags.DEFINE_integer("end_n_top", 5, "--squad_head=google_v2: ends that are looked at for each "
                         "of them.", lower_bound=1)


def squad_head(flags):
    """--squad_head, or the key of reading_heads.HEADS whose variables the checkpoints hold.

    Raises:
      UserError: the flag is not the head of the checkpoint in --output_dir.
    """
    trained = flags.output_dir and restoring.find(flags.output_dir)
    head = _head_of(trained)
    if head and flags.squad_head not in (None, head):
        raise UserError("--squad_head=%s, but %s holds that of --squad_head=%s; leave the flag out "
                        "or use an empty --output_dir" % (flags.squad_head, trained, head))
    if head or flags.squad_head:
        return head or flags.squad_head
    head = _head_of(flags.init_checkpoint and restoring.resolve(flags.init_checkpoint))
    if head == "google_v2":
        console.say("--squad_head=google_v2, as %s has it", flags.init_checkpoint)
    return head or "bert"


def _head_of(checkpoint):
    """The head in a checkpoint, None where there is none of either."""
    if not checkpoint:
        return None
    return reading_heads.recognise(
        checkpoints.open_reader(checkpoint).get_variable_to_shape_map())


def create_task(flags):
    """The task that the flags ask for; a UserError that lists the data sets if there is none."""
    if not flags.task_name and (flags.train_file or flags.predict_file):
        name, dataset = "reading", reading_data.Dataset({}, "en")
    else:
        name = reading_data.find(flags.task_name)
        dataset = reading_data.DATASETS[name]
    if flags.max_query_length + 3 >= flags.max_seq_length:
        raise UserError("--max_seq_length=%d leaves no room for a context beside "
                        "--max_query_length=%d and three special tokens; raise the one or lower "
                        "the other" % (flags.max_seq_length, flags.max_query_length))
    if not dataset.files:
        command_line.refuse(flags, ("data_dir",), "without --task_name")
    dataset = dataset._replace(
        evaluation=flags.evaluation or dataset.evaluation,
        with_negative=flags.version_2_with_negative or dataset.with_negative)
    head = squad_head(flags)
    if head != "google_v2":
        command_line.refuse(flags, ("start_n_top", "end_n_top"), "with --squad_head=" + head)
    if not dataset.with_negative:
        command_line.refuse(flags, ("null_score_diff_threshold",),
                            "without --version_2_with_negative")
    custom_files = {"train": flags.train_file, "dev": flags.predict_file,
                    "test": flags.predict_file}
    return reading.Reading(
        name, dataset, flags.data_dir, custom_files, flags.doc_stride, flags.max_query_length,
        flags.n_best_size, flags.max_answer_length, flags.null_score_diff_threshold,
        flags.classifier_dropout, head, flags.start_n_top, flags.end_n_top,
        flags.skip_bad_lines)


def main(flags):
    """Fine-tunes, evaluates and predicts as the flags ask."""
    settings = command_line.settings(flags)
    harness.run(create_task(flags), settings)


if __name__ == "__main__":
    platforms.run(main, define_flags)
