"""Labels pairs of texts, or texts, by a model that stays loaded.

    python3 similarity.py --model=output/lcqmc                       # type texts; a tab between two
    cat pairs.tsv | python3 similarity.py --model=exported/lcqmc > labelled.tsv
    python3 similarity.py --model=exported/lcqmc --input_file=pairs.tsv.gz --output_file=out.tsv

    sim = BertSim("exported/lcqmc")                                  # from Python, as albert_zh's
    sim.start_model()
    sim.predict_sentences([("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")])

--model is a directory of export_model.py, a training's --output_dir or a checkpoint. A pre-trained
model ranks the words for every [MASK] of a text.
"""

import itertools
import sys
import time

from util import commands, console, files
from util.errors import UserError

from absl import flags as absl_flags

from serving import engines, predictor

CHUNK = 1024  # lines of a file that are answered together


class BertSim(object):
    """The predictor by the name and the methods of albert_zh's similarity.py.

    Args:
      model: as --model; by itself albert_zh's directory.
      **options: as of serving.predictor.load: engine, vocab_file, max_seq_length ...
    """

    def __init__(self, model="albert_lcqmc_checkpoints", **options):
        self._model, self._options = model, options
        self._predictor = None

    def start_model(self):
        """Loads the model, once."""
        if self._predictor is None:
            self._predictor = predictor.load(self._model, **self._options)

    def predict_sentences(self, sentences):
        """A list of texts or pairs of texts -> a list of answers, dicts of Predictor."""
        self.start_model()
        return self._predictor.predict(sentences)


def define_flags():
    flags = absl_flags
    flags.DEFINE_string("model", None, "A directory of export_model.py, an --output_dir or a "
                        "checkpoint.")
    flags.DEFINE_string("input_file", None, "Texts, one a line, a tab between the two of a pair; "
                        "globs, comma lists, compressed or not. Default: standard input.")
    flags.DEFINE_string("output_file", None, "Where the lines go with the label and the "
                        "probabilities behind them; default: standard output.")
    flags.DEFINE_enum("engine", "auto", ("auto",) + engines.NAMES, "What computes; auto: ONNX "
                      "Runtime where it is installed, else TensorFlow.")
    flags.DEFINE_integer("num_threads", None, "Processors to use; default: all.", lower_bound=1)
    flags.DEFINE_integer("top", 5, "Words for a [MASK].", lower_bound=1)
    flags.DEFINE_string("vocab_file", None, "Vocabulary, where --model has none beside it.")
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model, where there is none beside.")
    flags.DEFINE_bool("do_lower_case", True, "Whether the model's text is lower-cased.")
    flags.DEFINE_string("bert_config_file", None, "Config, where --model has none beside it.")
    flags.DEFINE_integer("max_seq_length", None, "Longest sequence; default: as exported, or 512.",
                         lower_bound=8)


def main(flags):
    if not flags.model:
        raise UserError("--model is missing; name a directory of export_model.py, an --output_dir "
                        "or a checkpoint")
    began = time.time()
    made = predictor.load(
        flags.model, engine=flags.engine, num_threads=flags.num_threads, top=flags.top,
        vocab_file=flags.vocab_file, spm_model_file=flags.spm_model_file,
        do_lower_case=flags.do_lower_case, bert_config_file=flags.bert_config_file,
        max_seq_length=flags.max_seq_length)
    made.warm_up()
    console.say("%s, model %s, %s, loaded in %.1f s", flags.model, made.package.fingerprint,
                made.engine.name, time.time() - began)
    if flags.input_file:
        lines = (line for path in files.expand(flags.input_file)
                 for _, line in files.read_lines(path))
    else:
        lines = (line.rstrip("\r\n") for line in sys.stdin)
    if flags.input_file is None and sys.stdin.isatty():
        interactive(made, lines)
    elif flags.output_file:
        with files.replacing(flags.output_file) as temporary, \
                open(temporary, "w", encoding="utf-8") as stream:
            count = score(made, lines, stream, began)
        console.say("%d lines written to %s", count, flags.output_file)
    else:
        score(made, lines, sys.stdout, began)


def interactive(made, lines):
    """Answers each line at once."""
    console.say("a text, or two with a tab or ' ||| ' between them; an empty line ends")
    for line in lines:
        if not line.strip():
            return
        try:
            answer = made.predict([item_of(line.replace(" ||| ", "\t"))])[0]
        except UserError as error:
            console.say("%s", error)
            continue
        print("\t".join(columns(answer)))
        if answer["tokens_cut"]:
            console.say("%d tokens did not fit and were cut", answer["tokens_cut"])


def score(made, lines, stream, began):
    """Writes every line with its answer behind it; returns how many there were.

    Raises:
      UserError: a line is not a text or a pair; with its number.
    """
    count, cut = 0, 0
    progress = console.progress(unit="lines", desc="answering")
    lines = iter(lines)
    for chunk in iter(lambda: list(itertools.islice(lines, CHUNK)), []):
        for number, line in enumerate(chunk, count + 1):
            if line.count("\t") > 1:
                raise UserError("line %d: %d tabs, expected a text, or two with a tab between them"
                                % (number, line.count("\t")))
        for line, answer in zip(chunk, made.predict([item_of(line) for line in chunk])):
            stream.write("\t".join([line] + columns(answer)) + "\n")
            cut += answer["tokens_cut"] > 0
        stream.flush()
        count += len(chunk)
        progress.update(len(chunk))
    progress.close()
    if cut:
        console.say("%d of %d lines did not fit and were cut", cut, count)
    return count


def item_of(line):
    """A line -> what Predictor takes."""
    return tuple(line.split("\t")) if "\t" in line else line


def columns(answer):
    """An answer as the cells of a line: the label, then label:probability of each."""
    if "value" in answer:
        return ["%.6f" % answer["value"]]
    if "masks" in answer:
        return [" ".join("%s:%.4f" % word for word in words) for words in answer["masks"]]
    label = ",".join(answer["labels"]) if "labels" in answer else answer["label"]
    return [label] + ["%s:%.6f" % item for item in answer["probabilities"].items()]


if __name__ == "__main__":
    commands.run(main, define_flags)
