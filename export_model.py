"""Writes a trained model as an ONNX file with what it needs to be served, and runs it at once.

    python3 export_model.py --model=output/lcqmc --vocab_file=vocab.txt --output=exported/lcqmc
    python3 similarity.py --model=exported/lcqmc

--model is a training's --output_dir (its best checkpoint), a checkpoint, or a directory of
transformers; pre-trained models too. The file takes any batch and length. docs/serving.md.
"""

import os

from util import console, files, platforms
from util.errors import UserError

from absl import flags as absl_flags

from interchange import tokenizer_files
from serving import command_line, decisions, exporting, package


def define_flags():
    flags = absl_flags
    command_line.define_model_flags()
    flags.DEFINE_string("output", None, "The directory to make; it must not exist.")
    flags.DEFINE_bool("int8", False, "Products of 8-bit integers: smaller and faster, with other "
                      "numbers; see --max_flips.")
    flags.DEFINE_bool("optimize", False, "Use ONNX Runtime's own operators: faster, and no other "
                      "runtime reads the file.")
    command_line.define_decision_flags()


def main(flags):
    for name in ("model", "output"):
        if not flags[name].value:
            raise UserError("--%s is missing; e.g. --model=output/lcqmc --output=exported/lcqmc"
                            % name)
    if flags.int8 and flags.optimize:
        raise UserError("--int8 with --optimize: ONNX Runtime's quantizer does not know its own "
                        "operators; leave one of them out")
    if flags.int8:
        files.require_file(flags.eval_file, "eval_file")
    if package.is_export(flags.model):
        raise UserError("%s is an export already; give what it was made of" % flags.model)
    found = command_line.load_package(flags)
    if flags.int8 and (found.head != "classification" or found.kind):
        raise UserError("--int8 is for a classification with one label, whose decisions can be "
                        "compared; leave it out")
    with files.making_directory(flags.output) as directory:
        path = os.path.join(directory, package.ONNX)
        exporting.export(found, path, flags.int8, flags.optimize)
        package.save(found, directory)
        tokenizer_files.copy(found.tokenizer, directory)
        report = exporting.compare(found, path, exporting.batches(found))
        console.say("%s: %.1f MB, %.1f ms a sentence, largest difference from the checkpoint %.1e",
                    "int8" if flags.int8 else "float32", report.bytes / 1e6, report.milliseconds,
                    report.difference)
        problem = _problem(flags, found, path, report)
        if problem:
            raise UserError("%s; the export is kept as %s for a look" % (
                problem, files.keep_aside(directory, flags.output)))
    console.say("next: python3 similarity.py --model=%s", flags.output)


def _problem(flags, found, path, report):
    """Why an export is not good enough, or None."""
    if not flags.int8:
        return ("it differs by %.1e, more than %.0e" % (report.difference, exporting.LIMIT)
                if not report.difference <= exporting.LIMIT else None)
    if not exporting.has_vnni():
        console.say("this processor has no VNNI: 7-bit weights were used, as products of 8 bits "
                    "would saturate")
    lines = (line for _, line in files.read_lines(flags.eval_file))
    counted = exporting.decisions(found, path, lines)
    console.say("%s", decisions.describe(counted))
    return decisions.problem(counted, flags.max_flips)


if __name__ == "__main__":
    platforms.run(main, define_flags)
