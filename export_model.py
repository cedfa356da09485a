"""Writes a trained model in the formats of other runtimes, with what serving needs, and runs them.

    python3 export_model.py --model=output/lcqmc --vocab_file=vocab.txt --output=exported/lcqmc
    python3 similarity.py --model=exported/lcqmc
    python3 export_model.py --model=output/lcqmc --vocab_file=vocab.txt --output=exported/all \
      --format=onnx,saved_model,tflite,frozen_graph,hub

--model is a training's --output_dir (its best checkpoint), a checkpoint, or a directory of
transformers; pre-trained models too. The files take any batch and length. docs/serving.md.
"""

from util import console, files, platforms, text_lines, whole_files
from util.errors import UserError

from absl import flags as absl_flags

from interchange import inference_graph, tokenizer_files
from serving import (
    command_line,
    decisions,
    exporting,
    frozen_graph,
    hub_module,
    onnx_file,
    package,
    saved_model,
    tflite,
)

FORMATS = ("onnx", "saved_model", "tflite", "frozen_graph", "hub")


def define_flags():
    flags = absl_flags
    command_line.define_model_flags()
    flags.DEFINE_string("output", None, "The directory to make; it must not exist.")
    flags.DEFINE_list("format", ["onnx"], "One or several of %s." % ", ".join(FORMATS))
    flags.DEFINE_bool("text_signature", True, "Put the tokenizer into the SavedModel, where "
                      "tensorflow-text is installed; whoever loads it needs that too.")
    flags.DEFINE_list("tflite_types", ["float32"], "Weights of the TFLite files, one each: %s; of "
                      "int8 --max_flips says what is good enough." % ", ".join(tflite.TYPES))
    flags.DEFINE_integer("tflite_length", 0, "Tokens of every input of the TFLite files, one "
                         "sequence at a time, and of the longest sequence; 0: any number of "
                         "both.", lower_bound=0)
    flags.DEFINE_bool("int8", False, "ONNX: products of 8-bit integers: smaller and faster, "
                      "with other numbers; see --max_flips.")
    flags.DEFINE_bool("optimize", False, "ONNX: use ONNX Runtime's own operators: faster, and "
                      "no other runtime reads the file.")
    command_line.define_decision_flags()


def main(flags):
    check(flags)
    model = command_line.load_package(flags)
    if flags.tflite_length > model.weights.config.max_position_embeddings:
        raise UserError("--tflite_length=%d: the model has %d positions; give so many or fewer"
                        % (flags.tflite_length, model.weights.config.max_position_embeddings))
    if has_int8(flags) and (model.head != "classification" or model.kind):
        raise UserError("int8 is for a classification with one label, whose decisions can be "
                        "compared; leave it out")
    if flags.tflite_length:
        model = model._replace(max_seq_length=min(model.max_seq_length, flags.tflite_length))
    with whole_files.making_directory(flags.output) as directory:
        package.save(model, directory)
        tokenizer_files.copy(model.tokenizer, directory)
        reference = exporting.Reference(model)
        problems = list(filter(None, (_problem(flags, model, artifact, reference)
                                      for artifact in write(flags, model, directory))))
        if problems:
            raise UserError("%s; the export is kept as %s for a look" % (
                ", ".join(problems), whole_files.keep_aside(directory, flags.output)))
    console.say("next: %s", "python3 similarity.py --model=%s" % flags.output
                if "onnx" in flags.format else "docs/serving.md says who reads which file")


def check(flags):
    """Refuses flags that are missing or do not go together."""
    for name in ("model", "output"):
        if not flags[name].value:
            raise UserError("--%s is missing; e.g. --model=output/lcqmc --output=exported/lcqmc"
                            % name)
    for name, known in (("format", FORMATS), ("tflite_types", tuple(tflite.TYPES))):
        unknown = set(flags[name].value) - set(known)
        if unknown or not flags[name].value:
            raise UserError("--%s=%s: expected one or several of %s, with commas between"
                            % (name, ",".join(flags[name].value), ", ".join(known)))
    if flags.int8 and flags.optimize:
        raise UserError("--int8 with --optimize: ONNX Runtime's quantizer does not know its own "
                        "operators; leave one of them out")
    if (flags.int8 or flags.optimize) and "onnx" not in flags.format:
        raise UserError("--int8 and --optimize are of ONNX; add onnx to --format, or leave them "
                        "out (TFLite: --tflite_types=int8)")
    if has_int8(flags):
        files.require_file(flags.eval_file, "eval_file")
    if package.is_export(flags.model):
        raise UserError("%s is an export already; give what it was made of" % flags.model)


def has_int8(flags):
    """Whether a file of 8-bit integers is wanted."""
    return flags.int8 or ("tflite" in flags.format and "int8" in flags.tflite_types)


def write(flags, model, directory):
    """Writes every format into a directory; yields the exporting.Artifacts."""
    writers = {
        "onnx": lambda: onnx_file.write(model, directory, flags.int8, flags.optimize),
        "saved_model": lambda: saved_model.write(model, directory, flags.text_signature),
        "tflite": lambda: tflite.write(model, directory, flags.tflite_types, flags.tflite_length),
        "frozen_graph": lambda: frozen_graph.write(model, directory),
        "hub": lambda: hub_module.write(model, directory)}
    for name in FORMATS:
        if name in flags.format:
            yield from writers[name]()


def _problem(flags, model, artifact, reference):
    """Prints the report of an artifact; returns why it is not good enough, or None."""
    report = reference.compare(artifact)
    console.say("%s: %.1f MB, %.1f ms a sentence, largest difference from the checkpoint %.1e%s",
                artifact.name, report.bytes / 1e6, report.milliseconds, report.difference,
                ", %.2f %% of %d decisions equal" % (100 * report.agreement, report.count)
                if report.count else "")
    if artifact.limit is not None:
        return ("%s: it differs by %.1e, more than %.0e" % (
            artifact.name, report.difference, artifact.limit)
            if not report.difference <= artifact.limit else None)
    exact = inference_graph.Session(model.weights, model.head)
    counted = decisions.compare(model, exact, artifact.engine, (
        line for _, line in text_lines.read_lines(flags.eval_file)))
    console.say("%s", decisions.describe(counted))
    problem = decisions.problem(counted, flags.max_flips)
    return problem and "%s: %s" % (artifact.name, problem)


if __name__ == "__main__":
    platforms.run(main, define_flags)
