"""Fine-tunes on named entities: CLUENER, Weibo, MSRA, or your own CoNLL or JSON lines files.

    python3 run_ner.py --task_name=cluener --do_train=true --do_eval=true --do_predict=true \
      --data_dir=data/cluener --vocab_file=vocab.txt --max_seq_length=128 --train_batch_size=32 \
      --bert_config_file=albert_config/albert_config_tiny.json --learning_rate=1e-4 \
      --num_train_epochs=5 --output_dir=output/cluener --init_checkpoint=albert_model.ckpt

Your own files (train.conll, dev.conll, test.conll in --data_dir, or --train_file and so on): a
character or word a line, its tag in the last column, a blank line between sentences; or JSON lines
as CLUENER has them.

    python3 run_ner.py --task_name=conll --joiner=' ' ...
"""

from util import platforms

import tensorflow.compat.v1 as tf

from finetuning import command_line, harness
from tasks import tag_schemes, tagging, tagging_data


def define_flags():
    """The shared flags and those that name the task."""
    flags = tf.flags
    command_line.define_flags()
    flags.DEFINE_string("task_name", None, "A data set (%s), or conll or jsonl for your own files."
                        % ", ".join(sorted(tagging_data.DATASETS)))
    flags.DEFINE_enum("scheme", None, sorted(tag_schemes.SCHEMES), "How tags are written: BIO "
                      "(IOB2), BMES (BMEO) or BIOES (IOBES); default: as in the training file, BIO "
                      "for JSON.", case_sensitive=False)
    flags.DEFINE_string("joiner", None, "Own CoNLL files: what stands between two tokens; nothing "
                        "in Chinese, ' ' between words.")
    flags.DEFINE_bool("position_digits", False, "Own CoNLL files: tokens are written as character "
                      "and position, like 科0 in Weibo's.")
    flags.DEFINE_list("labels", None, "Own files: the types of entities; else those of the "
                      "training file.")
    command_line.define_file_flags()


def create_task(flags):
    """The task that --task_name asks for; a UserError that lists them for an unknown one."""
    name = tagging_data.find(flags.task_name)
    if name != "conll":
        command_line.refuse(flags, ("joiner", "position_digits"), "with --task_name=%s" % name)
    if name not in tagging_data.CUSTOM:
        command_line.refuse(flags, ("labels",), "with --task_name=%s" % name)
    if name in tagging_data.CUSTOM:
        dataset = tagging_data.custom_dataset(
            name, flags.labels, flags.joiner, flags.position_digits)
    else:
        dataset = tagging_data.DATASETS[name]
    return tagging.Tagging(name, dataset, flags.data_dir, command_line.custom_files(flags),
                           flags.scheme, flags.classifier_dropout, flags.skip_bad_lines)


def main(flags):
    """Fine-tunes, evaluates and predicts as the flags ask."""
    settings = command_line.settings(flags)
    harness.run(create_task(flags), settings)


if __name__ == "__main__":
    platforms.run(main, define_flags)
