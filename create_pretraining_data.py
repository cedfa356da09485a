"""Raw text -> TFRecords for run_pretraining.py.

    python3 create_pretraining_data.py --input_file=data/news_zh_1.txt \
      --output_file=data/tf_news.tfrecord --vocab_file=data/sample_vocab.txt \
      --do_whole_word_mask=True --max_seq_length=128 --max_predictions_per_seq=20

Input: one sentence a line, a blank line between documents. Output: records with the features of the
original codes, and beside them a JSON that says how they were made. A run that was stopped goes on
when the same command is given again. `--output_file=data/tf@64.tfrecord` writes 64 shards; docs/
scale.md is about corpora of many gigabytes.
"""

import collections
import contextlib
import glob
import hashlib
import logging
import os
import re
import tempfile

from util import commands, console, files, sources, tfrecords, workers
from util.errors import UserError

from absl import flags as absl_flags

import tokenization
from pretraining import instances, report, shards
from text import corpus, segmentation, sentences

# Text that a worker takes at a time; less where there is little, so that all have some.
MIN_CHUNK, MAX_CHUNK = 1 << 14, 1 << 21
MAX_SHARDS = 99999
RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")


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
    flags.DEFINE_float("short_seq_prob", 0.1, "Share of documents cut to shorter instances.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("dupe_factor", None, "How often each document is used, with other masks; "
                         "10, or 1 with --store_word_starts.", lower_bound=1)
    flags.DEFINE_integer("random_seed", 12345, "The same seed gives the same records.")
    flags.DEFINE_bool("brightmart_labels", False, "Label the later characters of a word with the "
                      "id of `##` + character, as albert_zh's data; for its released weights.")
    flags.DEFINE_bool("skip_bad_lines", False, "Count lines that are not UTF-8 and go on.")
    define_own_flags(flags)


def define_own_flags(flags):
    """The flags that the original codes do not have."""
    flags.DEFINE_integer("num_workers", None, "Processes; all processors if not given. The records "
                         "are the same with any number.", lower_bound=1)
    flags.DEFINE_bool("split_sentences", False, "Lines are paragraphs: split them into sentences.")
    flags.DEFINE_enum("segmenter", "jieba", segmentation.ENGINES, "What finds Chinese words: "
                      "jieba, the reference, or rjieba (pip install rjieba), which is faster.")
    flags.DEFINE_bool("store_word_starts", False, "Mask nothing and store where words begin, for "
                      "run_pretraining.py --dynamic_masking.")
    flags.DEFINE_string("report", None, "JSON to write: lengths, [UNK], spans, what looks wrong.")
    flags.DEFINE_string("work_dir", None, "Local directory for unfinished work, about twice the "
                        "output; beside the output if not given.")
    flags.DEFINE_enum("runner", None, RUNNERS, "Run on Apache Beam (pip install -r "
                      "requirements-beam.txt): docs/scale.md.")
    flags.DEFINE_string("beam_options", "", "More options of Beam and its runner, as one text: "
                        "\"--flink_master=host:8081 --parallelism=64\".")


def instance_settings(flags):
    """The flags that decide what an instance is."""
    return instances.Settings(
        max_seq_length=flags.max_seq_length,
        max_predictions_per_seq=flags.max_predictions_per_seq,
        masked_lm_prob=flags.masked_lm_prob, short_seq_prob=flags.short_seq_prob,
        dupe_factor=flags.dupe_factor or (1 if flags.store_word_starts else 10), ngram=flags.ngram,
        whole_words=flags.do_whole_word_mask, brightmart_labels=flags.brightmart_labels,
        store_word_starts=flags.store_word_starts, random_seed=flags.random_seed)


def check_flags(flags):
    """Refuses flags that contradict each other before anything is read."""
    if flags.max_predictions_per_seq >= flags.max_seq_length:
        raise UserError("--max_predictions_per_seq=%d is not below --max_seq_length=%d; usual is "
                        "max_seq_length * masked_lm_prob"
                        % (flags.max_predictions_per_seq, flags.max_seq_length))
    if flags.brightmart_labels and flags.spm_model_file:
        raise UserError("--brightmart_labels needs a WordPiece --vocab_file: a SentencePiece model "
                        "has no ##-tokens")
    if flags.report and files.is_directory(flags.report):
        raise UserError("--report=%s is a directory; give the name of a JSON file" % flags.report)
    if flags.work_dir and files.is_remote(flags.work_dir):
        raise UserError("--work_dir=%s is not local; give a directory of this machine"
                        % flags.work_dir)
    if flags.work_dir and flags.runner:
        raise UserError("--work_dir=%s with --runner: workers on other machines do not see it; "
                        "leave it out, unfinished work then lies beside the output"
                        % flags.work_dir)
    if flags.beam_options and not flags.runner:
        raise UserError("--beam_options without --runner; name a runner (%s) or leave them out"
                        % ", ".join(RUNNERS))


def output_paths(output_file, inputs):
    """--output_file -> paths, each once and none of them an input file.

    "a.tfrecord, b.tfrecord" -> ["a.tfrecord", "b.tfrecord"]
    "tf@2.tfrecord" -> ["tf-00000-of-00002.tfrecord", "tf-00001-of-00002.tfrecord"]
    """
    paths = []
    for part in filter(None, (part.strip() for part in (output_file or "").split(","))):
        shards = re.match(r"(.*[^/])@(\d+)((?:\.[^/.]*)?)$", part)
        if not shards:
            paths.append(part)
            continue
        number = int(shards.group(2))
        if not 0 < number <= MAX_SHARDS:
            raise UserError("--output_file=%s: %d shards, expected 1 to %d"
                            % (part, number, MAX_SHARDS))
        paths += ["%s-%05d-of-%05d%s" % (shards.group(1), shard, number, shards.group(3))
                  for shard in range(number)]
    if not paths:
        raise UserError("--output_file is missing; name a TFRecord file to write")
    for path, times in collections.Counter(paths).items():
        if path in inputs:
            raise UserError("--output_file=%s is one of the input files; name another" % path)
        if times > 1:
            raise UserError("--output_file names %s twice; name every file once" % path)
        if files.is_directory(path):
            raise UserError("%s: a directory, expected the name of a file to write" % path)
    return paths


def check_other_shards(paths):
    """Refuses to write 8 shards beside 16 of the same name: a glob would train on both."""
    patterns = {re.sub(r"-\d{5}-of-\d{5}", "-%s-of-%s" % (("[0-9]" * 5,) * 2), glob.escape(path))
                for path in paths if not files.is_remote(path)}
    for pattern in sorted(patterns):
        others = sorted(set(glob.glob(pattern)) - set(paths))
        if others:
            raise UserError("%s is of another set with the name of --output_file; delete the set "
                            "or give another name" % others[0])


def work_path(outputs, work_dir):
    """The directory for unfinished work: hidden, beside the first output unless that is remote."""
    directory, name = os.path.split(re.sub(r"\.json$", "", tfrecords.sidecar_path(outputs[0])))
    if work_dir or files.is_remote(outputs[0]):
        name += "." + hashlib.sha256(outputs[0].encode("utf-8")).hexdigest()[:8]
        directory = work_dir or tempfile.gettempdir()
    return os.path.join(directory, ".%s.work" % name)


def describe(settings, tokenizer, flags, statistics):
    """How the records were made; run_pretraining.py compares it with its flags."""
    special = {tokenizer.tokens[index]: index for index in (
        tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)}
    return {
        "flags": dict(settings._asdict(), do_lower_case=flags.do_lower_case,
                      non_chinese=flags.non_chinese, segmenter=flags.segmenter,
                      split_sentences=flags.split_sentences),
        "vocab": {"file": flags.spm_model_file or flags.vocab_file, "size": tokenizer.vocab_size,
                  "fingerprint": tokenizer.fingerprint, "special_ids": special},
        "counts": dict(statistics.counts),
    }


def publish(written, outputs, description):
    """Gives finished shards their names, and writes what describes them, all or none.

    Args:
      written: list of (path of a finished shard, number of records).
      outputs: as many paths.
      description: of `describe`; a JSON beside the outputs gets it, with the number of records of
        every file.
    """
    sidecars = sorted({tfrecords.sidecar_path(path) for path in outputs})
    files.remove_abandoned(outputs + sidecars)
    with contextlib.ExitStack() as stack:
        temporary = {path: stack.enter_context(files.replacing(path))
                     for path in outputs + sidecars}
        for sidecar in sidecars:
            counts = {os.path.basename(path): count for path, (_, count) in zip(outputs, written)
                      if tfrecords.sidecar_path(path) == sidecar}
            with files.open_file(temporary[sidecar], "w") as stream:
                stream.write(files.json_text(dict(description, files=counts)) + "\n")
        for (shard, _), path in zip(written, outputs):
            (files.rename if files.is_remote(shard) else files.move)(shard, temporary[path])


def segmenter(flags):
    """The engine that finds Chinese words (its name), or None where tokens begin the words."""
    chinese = flags.do_whole_word_mask and not flags.non_chinese and not flags.spm_model_file
    return flags.segmenter if chinese else None


def splitter(flags):
    """What splits lines into sentences, or None where a line is a sentence."""
    return sentences.split_sentences if flags.split_sentences else None


def too_few(number, outputs):
    """The UserError of fewer instances than files."""
    return UserError(
        "%d instances for %d output files; the input needs documents of two or more sentences, "
        "with a blank line between documents" % (number, len(outputs)))


def make_data(flags, inputs, outputs, tokenizer, settings):
    """Reads, makes, shuffles and writes -> Statistics."""
    num_workers = flags.num_workers or workers.default_number()
    split = splitter(flags)
    total = sum(map(files.size, inputs))
    counts = collections.Counter()
    documents = corpus.read_documents(inputs, counts, flags.skip_bad_lines, split)
    # A power of two, so that a file that was mended does not change the chunks before it.
    chunk = min(max(1 << (total // 128).bit_length(), MIN_CHUNK), MAX_CHUNK)
    directory = work_path(outputs, flags.work_dir)
    with shards.work_directory(directory):
        engine = segmenter(flags)
        records_of = shards.RecordMaker(
            tokenizer, engine and segmentation.load(engine), settings)
        maker = shards.RunMaker(
            directory, records_of,
            (tokenizer.fingerprint, engine, sources.code_version("create_pretraining_data.py")))
        runs, statistics = shards.make_runs(
            maker, corpus.chunks(documents, chunk, counts), num_workers, total)
        counts.pop("input bytes", None)
        statistics.counts.update(counts)
        if statistics.counts["instances"] < len(outputs):
            shards.clear(directory)
            raise too_few(statistics.counts["instances"], outputs)
        written = shards.write_shards(directory, runs, len(outputs), num_workers)
        publish(written, outputs, describe(settings, tokenizer, flags, statistics))
    return statistics


def beam_driver():
    """The module pretraining.beam, which needs an optional package."""
    logging.getLogger("apache_beam").setLevel(logging.WARNING)  # it tells what it did not import
    try:
        from pretraining import beam
    except ImportError as error:
        raise UserError("--runner needs Apache Beam (%s); pip install -r requirements-beam.txt, or "
                        "leave --runner out" % error) from None
    return beam


def make_data_on_beam(flags, inputs, outputs, tokenizer, settings):
    """Like make_data, by a pipeline of Apache Beam."""
    driver = beam_driver()
    num_workers = flags.num_workers
    if flags.runner == "DirectRunner":
        num_workers = num_workers or workers.default_number()
    console.say("%s makes the records of %d file(s); it shows no progress here",
                 flags.runner, len(inputs))
    with driver.work_directory(outputs[0]) as directory:
        written, statistics = driver.run(
            driver.Source(inputs, flags.skip_bad_lines, splitter(flags)),
            driver.Recipe(flags.vocab_file, flags.spm_model_file, flags.do_lower_case,
                          segmenter(flags), settings),
            directory, len(outputs), flags.runner, num_workers, flags.beam_options)
        if len(written) < len(outputs):
            raise too_few(statistics.counts["instances"], outputs)
        publish(written, outputs, describe(settings, tokenizer, flags, statistics))
    return statistics


def main(flags):
    """Checks everything first, makes the data, and says what came out."""
    check_flags(flags)
    inputs = files.expand(flags.input_file)
    outputs = output_paths(flags.output_file, inputs)
    check_other_shards(outputs)
    if not sum(map(files.size, inputs)):
        raise UserError("%s: empty; expected one sentence a line, a blank line between documents"
                        % flags.input_file)
    if flags.report:  # a path that cannot be written fails now, not after the work
        files.make_directory(os.path.dirname(flags.report))
    tokenizer = tokenization.load_tokenizer(
        flags.vocab_file, flags.spm_model_file, flags.do_lower_case)
    settings = instance_settings(flags)
    make = make_data_on_beam if flags.runner else make_data
    statistics = make(flags, inputs, outputs, tokenizer, settings)
    if flags.report:
        files.write_json(flags.report, report.report(statistics, settings))
        console.say("report in %s", flags.report)
    console.say("%s", report.closing_table(statistics, settings, outputs))
    console.say("next: python3 run_pretraining.py --input_file=%s --max_seq_length=%d "
                 "--max_predictions_per_seq=%d --do_train%s --bert_config_file=... "
                 "--output_dir=...", re.sub(r"@\d+", "-*", flags.output_file),
                 flags.max_seq_length, flags.max_predictions_per_seq,
                 " --dynamic_masking" if flags.store_word_starts else "")


if __name__ == "__main__":
    commands.run(main, define_flags)
