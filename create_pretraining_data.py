"""Raw text -> TFRecords for run_pretraining.py.

    python3 create_pretraining_data.py --input_file=data/news_zh_1.txt \
      --output_file=data/tf_news.tfrecord --vocab_file=data/sample_vocab.txt \
      --do_whole_word_mask=True --max_seq_length=128 --max_predictions_per_seq=20

Input: one sentence a line, a blank line between documents. Output: records with the features of the
original codes, and beside them a JSON description of how they were made. A run that was stopped
goes on when the same command is given again. `--output_file=data/tf@64.tfrecord` writes 64 shards;
docs/scale.md is about corpora of many gigabytes.
"""


from util import command_line, commands, console, files, shard_names, whole_files
from util.errors import UserError

from absl import flags as absl_flags

from pretraining import instances, record_maker, records, report, shard_files, shards
from text import dedupe, segmentation


def define_flags():
    """The flags of both original codes, with their names."""
    flags = absl_flags
    flags.DEFINE_string("input_file", None, "Text files, globs, or a comma list of them; .gz, "
                        ".bz2, .xz and .zst are read as they are.")
    flags.DEFINE_string("output_file", None, "TFRecord file, a comma list of them, or NAME@N.EXT "
                        "for N shards.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary, a token a line.")
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model, instead of --vocab_file.")
    flags.DEFINE_bool("do_lower_case", True, "Lower-case the text; the Chinese models want True.")
    flags.DEFINE_bool("do_whole_word_mask", True, "Mask whole words (jieba's); else single tokens.")
    flags.DEFINE_bool("non_chinese", False, "Words from the tokens (## or \u2581), not from jieba.")
    flags.DEFINE_integer("max_seq_length", 512, "Tokens an instance, [CLS] and [SEP] included.",
                         lower_bound=8)
    flags.DEFINE_integer("max_predictions_per_seq", 51, "Masked tokens an instance, at most; about "
                         "max_seq_length * masked_lm_prob.", lower_bound=1)
    flags.DEFINE_float("masked_lm_prob", 0.10, "Share of the tokens to mask, 0 to 1.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("ngram", 3, "Longest masked span in words, p(n) ~ 1/n; 3 as in the ALBERT "
                         "paper, 1 for single words.", lower_bound=1, upper_bound=10)
    flags.DEFINE_bool("favor_shorter_ngram", True, "Spans of n words have p(n) ~ 1/n; False: "
                      "reversed, the default of albert_zh's copy of Google's code.")
    flags.DEFINE_float("short_seq_prob", 0.1, "Share of documents cut to shorter instances.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("dupe_factor", None, "How often each document is used, with other masks; "
                         "10, or 1 with --store_word_starts or --store_sentences.", lower_bound=1)
    flags.DEFINE_integer("random_seed", 12345, "The same seed gives the same records.")
    flags.DEFINE_bool("brightmart_labels", False, "Label the later characters of a word with the "
                      "id of `##` + character, as albert_zh's data; for its released weights.")
    flags.DEFINE_bool("skip_bad_lines", False, "Count lines that are not UTF-8 and go on.")
    define_further_flags(flags)


def define_further_flags(flags):
    """The flags that the original codes do not have."""
    flags.DEFINE_integer("num_workers", None, "Processes; all processors if not given. The records "
                         "are the same with any number.", lower_bound=1)
    flags.DEFINE_bool("split_sentences", False, "Lines are paragraphs: split them into sentences.")
    flags.DEFINE_bool("dedupe", False, "Leave out documents that are nearly the same as one before "
                      "and lines that stood before (pip install -r requirements-data.txt); takes 8 "
                      "bytes a line and 72 a document, at times twice that.")
    flags.DEFINE_enum("segmenter", "jieba", segmentation.ENGINES, "What finds Chinese words: "
                      "jieba, the reference, or rjieba (pip install rjieba), which is faster.")
    flags.DEFINE_bool("store_word_starts", False, "Mask nothing and store where words begin, for "
                      "run_pretraining.py --dynamic_masking.")
    flags.DEFINE_bool("store_sentences", False, "Mask and pair nothing and store whole sentences, "
                      "for run_pretraining.py --dynamic_masking: it draws the order, too.")
    flags.DEFINE_string("report", None, "JSON to write: lengths, [UNK], spans, what looks wrong.")
    flags.DEFINE_string("work_dir", None, "Local directory for unfinished work, about twice the "
                        "output; beside the output if not given.")
    command_line.define_runner_flags()


def text_settings(flags):
    """The flags that decide how text becomes sentences, words and tokens."""
    return record_maker.TextSettings(
        vocab_file=flags.vocab_file, spm_model_file=flags.spm_model_file,
        do_lower_case=flags.do_lower_case, non_chinese=flags.non_chinese,
        segmenter=flags.segmenter, split_sentences=flags.split_sentences,
        skip_bad_lines=flags.skip_bad_lines, dedupe=flags.dedupe)


def instance_settings(flags):
    """The flags that decide what an instance is."""
    return instances.Settings(
        max_seq_length=flags.max_seq_length,
        max_predictions_per_seq=flags.max_predictions_per_seq,
        masked_lm_prob=flags.masked_lm_prob, short_seq_prob=flags.short_seq_prob,
        dupe_factor=flags.dupe_factor or (1 if is_unmasked(flags) else 10), ngram=flags.ngram,
        whole_words=flags.do_whole_word_mask, brightmart_labels=flags.brightmart_labels,
        store_word_starts=is_unmasked(flags), random_seed=flags.random_seed,
        favor_shorter_ngram=flags.favor_shorter_ngram, store_sentences=flags.store_sentences)


def is_unmasked(flags):
    """Whether masks are left to the training."""
    return flags.store_word_starts or flags.store_sentences


def check_flags(flags):
    """Refuses flags that contradict each other before anything is read."""
    if flags.max_predictions_per_seq >= flags.max_seq_length:
        raise UserError("--max_predictions_per_seq=%d is not below --max_seq_length=%d; usual is "
                        "max_seq_length * masked_lm_prob"
                        % (flags.max_predictions_per_seq, flags.max_seq_length))
    if flags.brightmart_labels and flags.spm_model_file:
        raise UserError("--brightmart_labels needs a WordPiece --vocab_file: a SentencePiece model "
                        "has no ##-tokens")
    if flags.work_dir and files.is_remote(flags.work_dir):
        raise UserError("--work_dir=%s is not local; give a directory of this machine"
                        % flags.work_dir)
    command_line.check_runner_flags(flags)
    if flags.runner and flags.work_dir:
        raise UserError("--work_dir=%s with --runner: workers on other machines do not see it; "
                        "leave it out, unfinished work then lies beside the output"
                        % flags.work_dir)
    if flags.dedupe and flags.runner:
        raise UserError("--dedupe with --runner=%s: what was seen before is known to one process "
                        "only; leave --runner out, or take duplicates out of the text before"
                        % flags.runner)
    if flags.dedupe:
        dedupe.load()


def spark_driver():
    """The module pretraining.spark, which needs an optional package."""
    with command_line.needing_pyspark():
        from pretraining import spark
        return spark


def main(flags):
    """Checks everything first, makes the data, and says what came out."""
    check_flags(flags)
    inputs = files.expand(flags.input_file)
    outputs = shard_files.output_paths(flags.output_file)
    shard_names.check_others(outputs)
    if all(files.is_empty(path) for path in inputs):
        raise UserError("%s: empty; expected one sentence a line, a blank line between documents"
                        % flags.input_file)
    maker = record_maker.RecordMaker(text_settings(flags), instance_settings(flags))
    descriptions = sorted(set(map(records.description_path, outputs)))
    whole_files.check_outputs(outputs + descriptions + list(filter(None, [flags.report])),
                              inputs + [maker.tokenizer.path])
    if flags.runner:
        statistics = spark_driver().make_data(
            inputs, outputs, maker, flags.spark_master, flags.spark_conf)
    else:
        statistics = shards.make_data(inputs, outputs, maker, flags.num_workers, flags.work_dir)
    if flags.report:
        whole_files.write_json(flags.report, report.report(statistics, maker.settings))
        console.say("report in %s", flags.report)
    console.say("%s", report.closing_table(statistics, maker.settings, outputs))
    console.say("next: python3 run_pretraining.py --input_file=%s --max_seq_length=%d "
                "--max_predictions_per_seq=%d --do_train%s --bert_config_file=... "
                "--output_dir=...", shard_files.output_pattern(flags.output_file),
                flags.max_seq_length, flags.max_predictions_per_seq,
                " --dynamic_masking" if is_unmasked(flags) else "")


if __name__ == "__main__":
    commands.run(main, define_flags)
