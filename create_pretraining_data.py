"""Raw text -> TFRecords for run_pretraining.py.

    python3 create_pretraining_data.py --input_file=data/news_zh_1.txt \
      --output_file=data/tf_news.tfrecord --vocab_file=data/sample_vocab.txt \
      --do_whole_word_mask=True --max_seq_length=128 --max_predictions_per_seq=20

Input: one sentence a line, a blank line between documents. Output: records with the features of the
original codes, and beside them a JSON that says how they were made.
"""

import collections
import contextlib
import random

import commands

import tensorflow.compat.v1 as tf

import files
import pretraining_instances
import records
import tokenization
from errors import UserError

# A longer document is cut in pieces, so that memory does not depend on it.
MAX_DOCUMENT_SENTENCES = 2000
# Instances held for mixing: neighbours in the output do not come from one document.
SHUFFLE_BUFFER = 10000


def define_flags():
    """The flags of both original codes, with their names."""
    flags = tf.flags
    flags.DEFINE_string("input_file", None, "Text files, globs, or a comma list of them.")
    flags.DEFINE_string("output_file", None, "TFRecord file, or a comma list of them.")
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
    flags.DEFINE_integer("dupe_factor", 10, "How often each document is used, with other masks.",
                         lower_bound=1)
    flags.DEFINE_integer("random_seed", 12345, "The same seed gives the same records.")
    flags.DEFINE_bool("brightmart_labels", False, "Label the later characters of a word with the "
                      "id of `##` + character, as albert_zh's data; for its released weights.")
    flags.DEFINE_bool("skip_bad_lines", False, "Count lines that are not UTF-8 and go on.")


def instance_settings(flags):
    """The flags that decide what an instance is."""
    return pretraining_instances.Settings(
        max_seq_length=flags.max_seq_length,
        max_predictions_per_seq=flags.max_predictions_per_seq,
        masked_lm_prob=flags.masked_lm_prob, short_seq_prob=flags.short_seq_prob,
        dupe_factor=flags.dupe_factor, ngram=flags.ngram, whole_words=flags.do_whole_word_mask,
        brightmart_labels=flags.brightmart_labels, random_seed=flags.random_seed)


def read_documents(paths, counts, skip_bad_lines=False, on_bytes=None):
    """Yields documents, lists of sentences; ends one at a blank line and at the end of a file.

    Args:
      paths: text files.
      counts: a Counter; gets "lines", "bad lines" and "documents cut in pieces".
      skip_bad_lines: leave lines out that are not UTF-8 instead of refusing the file.
      on_bytes: called with the (approximate) number of bytes of each line.
    """
    def on_bad_line(_):
        counts["bad lines"] += 1

    for path in paths:
        document = []
        for _, line in files.read_lines(path, on_bad_line if skip_bad_lines else None,
                                         files.OR_SKIP):
            counts["lines"] += 1
            if on_bytes:
                on_bytes(len(line.encode("utf-8")) + 1)
            sentence = line.strip()
            if sentence:
                document.append(sentence)
            if document and (not sentence or len(document) == MAX_DOCUMENT_SENTENCES):
                counts["documents cut in pieces"] += bool(sentence)
                yield document
                document = []
        if document:
            yield document


def make_instances(documents, encode, settings, vocabulary, counts):
    """Documents -> serialized examples; counts what was read, made and dropped."""
    for sentences in documents:
        counts["documents"] += 1
        counts["sentences"] += len(sentences)
        document = encode(sentences)
        if len(document.bounds) < 3:
            counts["documents dropped (fewer than two sentences)"] += 1
            continue
        for instance in pretraining_instances.document_instances(document, settings, vocabulary):
            counts["instances"] += 1
            counts["instances swapped"] += instance.is_swapped
            counts["tokens"] += len(instance.tokens)
            counts["masked tokens"] += len(instance.positions)
            yield records.serialize(pretraining_instances.instance_features(instance, settings))


def mixed(examples, seed, size=SHUFFLE_BUFFER):
    """Yields all examples in a mixed order, holding `size` of them."""
    rng = random.Random(seed)
    held = []
    for example in examples:
        if len(held) < size:
            held.append(example)
            continue
        place = int(rng.random() * size)
        held[place], example = example, held[place]
        yield example
    while held:
        place = int(rng.random() * len(held))
        held[place], held[-1] = held[-1], held[place]
        yield held.pop()


def write_examples(examples, paths):
    """Deals examples to the files in turn; returns the number of records in each."""
    written = [0] * len(paths)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(tf.python_io.TFRecordWriter(path)) for path in paths]
        for index, example in enumerate(examples):
            writers[index % len(paths)].write(example)
            written[index % len(paths)] += 1
    if sum(written) < len(paths):
        raise UserError("%d instances for %d output files; the input needs documents of two or "
                        "more sentences, with a blank line between documents"
                        % (sum(written), len(paths)))
    return written


def describe(settings, tokenizer, flags, counts):
    """How the records were made; run_pretraining.py compares it with its flags."""
    return {
        "flags": dict(settings._asdict(), do_lower_case=flags.do_lower_case,
                      non_chinese=flags.non_chinese),
        "vocab": {"file": flags.spm_model_file or flags.vocab_file, "size": tokenizer.vocab_size,
                  "fingerprint": tokenizer.fingerprint},
        "counts": dict(counts),
    }


def write_sidecar(path, description, written):
    """Writes a description to `path`, with {record file: number of records} of what it is of."""
    files.write_json(path, dict(description, files={
        name.rsplit("/", 1)[-1]: count for name, count in written.items()}))


def write_set(examples, paths, description):
    """Writes record files and what describes them; all are complete before one has its name.

    Args:
      examples: iterable of serialized examples.
      paths: record files.
      description: function () -> dict, called when all examples are made.
    """
    sidecars = sorted({records.sidecar_path(path) for path in paths})
    with contextlib.ExitStack() as stack:
        temporary = {path: stack.enter_context(files.replacing(path)) for path in paths + sidecars}
        written = write_examples(examples, [temporary[path] for path in paths])
        for sidecar in sidecars:
            write_sidecar(temporary[sidecar], description(), {
                path: count for path, count in zip(paths, written)
                if records.sidecar_path(path) == sidecar})


def closing_table(counts, paths):
    """The summary a person reads at the end, as one text."""
    rows = ["%-46s %12s" % (name, "{:,}".format(counts[name])) for name in (
        "documents", "sentences", "documents dropped (fewer than two sentences)",
        "documents cut in pieces", "bad lines", "instances")]
    instances = max(counts["instances"], 1)
    rows.append("%-46s %12.1f" % ("tokens an instance", counts["tokens"] / instances))
    rows.append("%-46s %12.1f" % ("masked tokens an instance",
                                  counts["masked tokens"] / instances))
    rows.append("%-46s %11.1f%%" % ("instances swapped",
                                    100.0 * counts["instances swapped"] / instances))
    rows.append("written to %s" % ", ".join(paths))
    if counts["documents"] == 1 or counts["documents cut in pieces"]:
        rows.append("warning: %d document(s) in %s sentences; documents must be separated by blank "
                    "lines, or pairs span unrelated texts"
                    % (counts["documents"], "{:,}".format(counts["sentences"])))
    return "\n".join(rows)


def output_paths(output_file, inputs):
    """The comma list --output_file -> paths, each once and none of them an input file."""
    paths = [path.strip() for path in (output_file or "").split(",") if path.strip()]
    if not paths:
        raise UserError("--output_file is missing; name a TFRecord file to write")
    for index, path in enumerate(paths):
        if path in inputs:
            raise UserError("--output_file=%s is one of the input files; name another" % path)
        if path in paths[:index]:
            raise UserError("--output_file names %s twice; name every file once" % path)
    return paths


def check_flags(flags):
    """Refuses flags that contradict each other before anything is read."""
    if flags.max_predictions_per_seq >= flags.max_seq_length:
        raise UserError("--max_predictions_per_seq=%d is not below --max_seq_length=%d; usual is "
                        "max_seq_length * masked_lm_prob"
                        % (flags.max_predictions_per_seq, flags.max_seq_length))
    if flags.brightmart_labels and flags.spm_model_file:
        raise UserError("--brightmart_labels needs a WordPiece --vocab_file: a SentencePiece model "
                        "has no ##-tokens")


def main(flags):
    """Reads documents, makes instances, writes them mixed, and says what came out."""
    check_flags(flags)
    paths = files.expand(flags.input_file)
    outputs = output_paths(flags.output_file, paths)
    tokenizer = tokenization.load_tokenizer(
        flags.vocab_file, flags.spm_model_file, flags.do_lower_case)
    vocabulary = pretraining_instances.Vocabulary(tokenizer)
    settings = instance_settings(flags)
    boundaries = None
    if settings.whole_words and not flags.non_chinese and not flags.spm_model_file:
        boundaries = pretraining_instances.jieba_boundaries
    counts = collections.Counter()

    def encode(sentences):
        return pretraining_instances.encode_document(sentences, tokenizer, boundaries)

    total = sum(tf.gfile.Stat(path).length for path in paths)
    if not total:
        raise UserError("%s: empty; expected one sentence a line, a blank line between documents"
                        % flags.input_file)
    with commands.progress(total=total, unit="B", desc="text") as bar:
        documents = read_documents(paths, counts, flags.skip_bad_lines, bar.update)
        examples = make_instances(documents, encode, settings, vocabulary, counts)
        write_set(mixed(examples, flags.random_seed), outputs,
                  lambda: describe(settings, tokenizer, flags, counts))
    commands.say("%s", closing_table(counts, outputs))
    commands.say("next: python3 run_pretraining.py --input_file=%s --max_seq_length=%d "
                 "--max_predictions_per_seq=%d --do_train --bert_config_file=... --output_dir=...",
                 flags.output_file, flags.max_seq_length, flags.max_predictions_per_seq)


if __name__ == "__main__":
    commands.run(main, define_flags)
