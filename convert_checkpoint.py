"""Carries a model from one checkpoint format to another and proves it, or says what a file is.

    python3 convert_checkpoint.py --from=brightmart --to=hf_albert \
      --input=albert_tiny_zh/albert_model.ckpt --output=output/albert_tiny_hf
    python3 convert_checkpoint.py --inspect=albert_tiny_zh/albert_model.ckpt

Formats: google and brightmart, the two layouts of ALBERT in TensorFlow; hf_albert and hf_bert,
directories of transformers; bert, Google's BERT (to read it, a directory of transformers too). What
each direction needs and gives: docs/interchange.md.
"""

import glob
import os
import shutil

from util import console, files, platforms, text_lines, whole_files
from util.errors import UserError

import numpy as np
from absl import flags as absl_flags

from interchange import (
    averaging,
    company,
    conversion,
    huggingface,
    inspection,
    proof,
    safetensors_files,
    tables,
    tensorflow_files,
    tokenizer_files,
)
from interchange.command_line import define_company_flags
from tasks import tag_schemes
from training import checkpoints, restoring


def define_flags():
    flags = absl_flags
    flags.DEFINE_enum("from", None, conversion.SOURCES, "The format of --input.")
    flags.DEFINE_enum("to", None, conversion.TARGETS, "The format of --output.")
    flags.DEFINE_string("input", None, "A checkpoint, its directory, or a directory of "
                        "transformers; for --average a directory or a comma list.")
    flags.DEFINE_string("output", None, "The directory to make; it must not exist.")
    define_company_flags("--input")
    flags.DEFINE_enum("head", None, sorted(tables.HEADS), "What a fine-tuned head is of, where its "
                      "name leaves it open: one output may be a choice's score or a number.")
    flags.DEFINE_list("labels", None, "Names of a fine-tuned head's labels, in order; default: "
                      "what run.json beside the checkpoint says.")
    flags.DEFINE_string("inspect", None, "A checkpoint to describe; converts nothing.")
    flags.DEFINE_string("text", None, "With --inspect: a text file, to find the number of heads "
                        "and the activation by masked-LM loss.")
    flags.DEFINE_bool("float16", False, "Write the numbers of transformers' formats in float16: "
                      "half the size; what reads them computes in float32.")
    flags.DEFINE_bool("strip", False, "Drop optimizer slots and the step; the format stays.")
    flags.DEFINE_integer("average", None, "Average the last so many checkpoints of a directory, or "
                         "those of a comma list.", lower_bound=2)


def main(flags):
    if flags.inspect:
        inspect(flags)
        return
    wanted = ("input", "output") if flags.strip or flags.average else (
        "from", "to", "input", "output")
    for name in wanted:
        if not flags[name].value:
            raise UserError("--%s is missing; e.g. --from=brightmart --to=hf_albert "
                            "--input=albert_tiny_zh/albert_model.ckpt --output=output/hf" % name)
    if flags.float16 and flags.to not in huggingface.CLASS_PREFIX:
        raise UserError("--float16 is for --to=%s: TensorFlow's checkpoints are read in the type "
                        "that they have; leave it out" % " and ".join(huggingface.CLASS_PREFIX))
    if flags.strip or flags.average:
        rewrite(flags)
    else:
        convert(flags)


# ---- one format to another ----

def convert(flags):
    """--from, --to."""
    source, path = flags["from"].value, restoring.resolve(flags.input)
    beside = company.home_of(path)
    config = None if path == beside else company.config(
        beside, flags.bert_config_file, source == "bert")
    tokenizer = _tokenizer(flags, beside)
    model = _with_labels(conversion.read(source, path, config), flags, beside)
    _check_tokenizer(tokenizer, model, flags)
    for name in model.unknown:
        console.say("not understood and left out: %s", name)
    dtype = np.float16 if flags.float16 else None
    if flags.float16:
        model = _rounded(model, tokenizer)
    with whole_files.making_directory(flags.output) as directory:
        written = conversion.write(model, directory, flags.to, tokenizer, dtype)
        if tokenizer and flags.to not in huggingface.CLASS_PREFIX:
            shutil.copy(tokenizer.path, directory)
        largest = _prove(model, flags.to, directory, tokenizer)
        if not largest <= proof.LIMIT:
            raise UserError("the two differ by %.1e, more than %.0e; the output is kept as %s for "
                            "a look" % (largest, proof.LIMIT,
                                        whole_files.keep_aside(directory, flags.output)))
    console.say("%s: %s, %s, %d MB", flags.output, flags.to, written, _bytes(flags.output) >> 20)
    _say_next(flags)


def _tokenizer(flags, directory):
    return tokenizer_files.load(directory, flags.vocab_file, flags.spm_model_file,
                                flags.do_lower_case)


def _rounded(model, tokenizer):
    """The Model in float16's numbers; says what that changes."""
    rounded = conversion.in_float16(model)
    features = proof.batch(tokenizer, model.weights.config)
    proof.report("float16", proof.differences(*(
        proof.outputs(one.weights, features, model.head) for one in (model, rounded))))
    return rounded


def _check_tokenizer(tokenizer, model, flags):
    """Refuses a vocabulary of another size, or none where transformers needs one."""
    if tokenizer:
        tokenizer_files.check_size(tokenizer, model.weights.config)
        company.check_vocabulary(tokenizer, restoring.resolve(flags.input))
    if tokenizer is None and flags.to in huggingface.CLASS_PREFIX:
        raise UserError("no vocabulary beside %s; transformers needs it: name it by --vocab_file "
                        "or --spm_model_file" % flags.input)


def _with_labels(model, flags, directory):
    """The Model with the head that --head says, and its labels."""
    if flags.head and model.head and flags.head != model.head:
        model = model._replace(head=flags.head)
    if model.head not in ("classification", "tagging"):
        return model
    labels = flags.labels or model.labels or tag_schemes.outputs_of(*company.labels(directory))
    count = huggingface.num_labels(model)
    if labels and len(labels) != count:
        raise UserError("%d labels (%s) for a head of %d outputs; give --labels, or --head if it "
                        "is another" % (len(labels), ",".join(labels[:5]), count))
    return model._replace(labels=labels or None)


def _prove(model, target, directory, tokenizer):
    """Compares what both sides compute; returns the largest difference.

    Args:
      model: what was read; it computes by the graph of its own layout.
      target: the format of what was written.
      directory: where that is.
      tokenizer: of tokenization.py, or None.
    """
    features = proof.batch(tokenizer, model.weights.config)
    expected = proof.outputs(model.native or model.weights, features, model.head)
    written = conversion.read_back(target, directory)
    largest = proof.report("here", proof.differences(
        expected, proof.outputs(written.weights, features, model.head)))
    if target in huggingface.CLASS_PREFIX:
        theirs = proof.transformers_outputs(
            directory, huggingface.architecture(model, target), features)
        if theirs is None:
            console.say("not compared with transformers: it or PyTorch is not installed here")
        else:
            largest = max(largest, proof.report(
                "transformers", proof.differences(expected, theirs)))
    return largest


def _bytes(directory):
    return sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory))


def _say_next(flags):
    """The next command to type."""
    if flags.to in huggingface.CLASS_PREFIX:
        console.say("next: transformers.AutoModel.from_pretrained(%r)", flags.output)
    elif flags.to == "bert":
        console.say("next: --init_checkpoint=%s/%s of Google's BERT", flags.output,
                    conversion.CHECKPOINT)
    else:
        vocab_file, spm_model_file = tokenizer_files.find(flags.output)
        console.say("next: python3 run_classifier.py --init_checkpoint=%s/%s "
                    "--bert_config_file=%s/%s --%s=%s --task_name=... --data_dir=... --do_train "
                    "--output_dir=...", flags.output, conversion.CHECKPOINT, flags.output,
                    safetensors_files.HF_CONFIG, "spm_model_file" if spm_model_file else (
                        "vocab_file"), spm_model_file or vocab_file or "...")


# ---- one file by itself ----

def rewrite(flags):
    """--strip and --average: the same format, fewer or averaged arrays."""
    if flags.average:
        if "," in flags.input and not os.path.isdir(flags.input):
            prefixes = [restoring.resolve(path) for path in flags.input.split(",")]
        else:
            prefixes = checkpoints.listed_prefixes(flags.input)[-flags.average:]
        if len(prefixes) != flags.average:
            raise UserError("--average=%d: %s has %d checkpoints; lower it or list them by commas"
                            % (flags.average, flags.input, len(prefixes)))
        arrays = averaging.average(prefixes)
    else:
        prefixes = [restoring.resolve(flags.input)]
        arrays = averaging.stripped(prefixes[0])
    with whole_files.making_directory(flags.output) as directory:
        tensorflow_files.write_tensorflow(arrays, os.path.join(directory, conversion.CHECKPOINT))
        for name in os.listdir(os.path.dirname(prefixes[0]) or "."):
            if name == company.IDENTITY_FILE or "config" in name or "vocab" in name:
                shutil.copy(os.path.join(os.path.dirname(prefixes[0]), name), directory)
    before = sum(map(os.path.getsize, glob.glob(glob.escape(prefixes[-1]) + ".*")))
    after = _bytes(flags.output)
    console.say("%s: %d arrays of %s; %.1f MB, before %.1f MB", flags.output, len(arrays),
                "%d checkpoints" % len(prefixes) if flags.average else prefixes[0],
                after / 1e6, before / 1e6)


def inspect(flags):
    """--inspect: what a file is; with --text, which config fits it best."""
    path = restoring.resolve(flags.inspect)
    shapes = inspection.shapes_of(path)
    step = checkpoints.checkpoint_step(path) if "global_step" in shapes else None
    description = inspection.describe(shapes, step)
    print(inspection.report(path, description))
    tokenizer = _tokenizer(flags, company.home_of(path))
    _check_company(path, description, tokenizer)
    if not flags.text:
        return
    if tokenizer is None:
        raise UserError("--text needs the vocabulary: name it by --vocab_file or --spm_model_file")
    if "masked LM" not in description.heads:
        raise UserError("%s has no masked-LM head, by which --text tells configs apart" % path)
    lines = (line for _, line in text_lines.read_lines(files.require_file(flags.text, "text")))
    length = min(64, description.sizes["max_position_embeddings"])
    ids = inspection.text_ids(lines, tokenizer, length)
    ranked = inspection.rank(path, description, ids, tokenizer)
    guessing = inspection.frequency_loss(ids, tokenizer)
    print(inspection.ranking_report(ranked, guessing))


def _check_company(path, description, tokenizer):
    """Says whether the configs and the vocabulary beside a checkpoint fit it.

    Raises:
      UserError: one does not.
    """
    for config_path in company.config_paths(company.directory_of(path)):
        config = company.config(None, config_path, description.layout == "bert")
        for key, size in description.sizes.items():
            if getattr(config, key) != size:
                raise UserError("%s does not fit: %s is %s there and %s in the checkpoint"
                                % (config_path, key, getattr(config, key), size))
        print("  beside it     %s fits: %d layers, %d heads, hidden_act %s" % (
            os.path.basename(config_path), config.num_hidden_layers, config.num_attention_heads,
            config.hidden_act))
    if tokenizer:
        if tokenizer.vocab_size != description.sizes["vocab_size"]:
            raise UserError("%s does not fit: %d tokens there and %d in the checkpoint" % (
                tokenizer.path, tokenizer.vocab_size, description.sizes["vocab_size"]))
        print("  beside it     %s fits: %d tokens" % (
            os.path.basename(tokenizer.path), tokenizer.vocab_size))


if __name__ == "__main__":
    platforms.run(main, define_flags)
