"""The flags that the commands of trained models share, and what they make of them."""

import time

from util import console, files, text_lines
from util.errors import UserError

from absl import flags as absl_flags

from interchange.command_line import define_company_flags
from serving import decisions, engines, package, predictor

_NO_MODEL = ("--model is missing; name a directory of export_model.py, an --output_dir or a "
             "checkpoint")


def define_model_flags():
    """--model and what stands for files that it does not have beside it."""
    flags = absl_flags
    flags.DEFINE_string("model", None, "A training's --output_dir, a checkpoint, a directory of "
                        "transformers, or one of export_model.py.")
    define_company_flags("--model")
    flags.DEFINE_integer("max_seq_length", None, "Longest sequence; default: as exported, 384 of "
                         "reading, else 512.", lower_bound=8)
    flags.DEFINE_integer("max_query_length", None, "Reading: tokens of a question; default: 64.",
                         lower_bound=1)
    flags.DEFINE_integer("doc_stride", None, "Reading: tokens between the beginnings of two "
                         "windows of a long context; default: 128.", lower_bound=1)
    flags.DEFINE_integer("max_answer_length", None, "Reading: tokens of an answer; default: 30.",
                         lower_bound=1)
    flags.DEFINE_integer("n_best_size", None, "Reading: answers that a probability is among; "
                         "default: 20.", lower_bound=1)
    flags.DEFINE_float("null_score_diff_threshold", None, "Reading: above which odds \"no answer\" "
                       "is said, where the model knows such questions; default: 0.")
    flags.DEFINE_integer("max_qa_length", None, "Choice: tokens of question and choice together; "
                         "default: 128.", lower_bound=1)


def define_decision_flags():
    """What less exact numbers are judged by."""
    flags = absl_flags
    flags.DEFINE_string("eval_file", None, "With less exact numbers: texts and labels, as dev.tsv "
                        "of LCQMC, to compare decisions on.")
    flags.DEFINE_float("max_flips", 0.005, "Share of decisions that they may change.",
                       lower_bound=0.0, upper_bound=1.0)


def define_engine_flags():
    """What computes."""
    flags = absl_flags
    flags.DEFINE_enum("engine", "auto", ("auto",) + engines.NAMES, "What computes; auto: for files "
                      "the fastest one, which is measured, else ONNX Runtime where it is "
                      "installed, or TensorFlow.")
    flags.DEFINE_bool("bfloat16", False, "Compute in bfloat16, by OpenVINO on a processor that has "
                      "it: faster, with other numbers; see --eval_file.")
    flags.DEFINE_integer("num_threads", None, "Processors to use; default: all that this process "
                         "may.", lower_bound=1)
    flags.DEFINE_integer("top", 5, "Words for a [MASK].", lower_bound=1)


def model_arguments(flags):
    """The arguments of checkpoint_package.load and predictor.load, of `define_model_flags`.

    Raises:
      UserError: there is no --model.
    """
    if not flags.model:
        raise UserError(_NO_MODEL)
    names = {name for of_head in package.OPTIONS.values() for name in of_head}
    return {"vocab_file": flags.vocab_file, "spm_model_file": flags.spm_model_file,
            "do_lower_case": flags.do_lower_case, "bert_config_file": flags.bert_config_file,
            "max_seq_length": flags.max_seq_length,
            "options": {name: flags[name].value for name in sorted(names)
                        if name in flags and flags[name].value is not None}}


def load_package(flags, path=None):
    """The Package of a model, without an engine; `path` in place of --model."""
    arguments = model_arguments(flags)
    return predictor.load_package(path or flags.model, **arguments)


def load(flags, path=None):
    """The Predictor of a model, which has computed once; says what it is."""
    began = time.time()
    model = load_package(flags, path)
    check_decisions(flags, model)
    made = predictor.make(model, flags.engine, flags.num_threads, flags.top, flags.bfloat16)
    made.warm_up()
    console.say("%s, model %s, %s, loaded in %.1f s", path or flags.model,
                model.fingerprint, made.engine.name, time.time() - began)
    return made


def check_decisions(flags, model):
    """Compares decisions in bfloat16 and in float32 on --eval_file, or says what that would tell.

    Args:
      model: a Package, with weights.

    Raises:
      UserError: too many differ; --eval_file is not for this engine.
    """
    if not flags.bfloat16:
        if flags.eval_file:
            raise UserError("--eval_file is for --bfloat16, whose decisions it compares with those "
                            "of float32; leave it out")
    elif not flags.eval_file:
        console.say("bfloat16: probabilities differ in the third digit from those of float32; "
                    "--eval_file=dev.tsv compares the decisions")
    else:
        path = files.require_file(flags.eval_file, "eval_file")
        exact, other = (predictor.make(
            model, "openvino", flags.num_threads, bfloat16=bfloat16).engine
            for bfloat16 in (False, True))
        compared = decisions.compare(
            model, exact, other, (line for _, line in text_lines.read_lines(path)))
        console.say("bfloat16: %s", decisions.describe(compared))
        problem = decisions.problem(compared, flags.max_flips)
        if problem:
            raise UserError("--bfloat16: %s; leave it out, or raise that" % problem)
