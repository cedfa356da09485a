"""Labels texts, pairs of texts or any other items by a model that stays loaded.

    python3 similarity.py --model=output/lcqmc                       # type texts; a tab between two
    cat pairs.tsv | python3 similarity.py --model=exported/lcqmc > labelled.tsv
    python3 similarity.py --model=exported/lcqmc --input_file='pairs/*.tsv.gz' \
      --output_file=labelled@16.tsv --num_workers=8                  # goes on after a stop
    python3 similarity.py --model=exported/lcqmc --input_file='/shared/pairs/*.tsv.gz' \
      --output_file=/shared/labelled@16.tsv --runner=spark --spark_master=spark://HOST:7077
    python3 similarity.py --model=exported/lcqmc --serve             # over HTTP, with a page

    sim = BertSim("exported/lcqmc")                                  # from Python, as albert_zh's
    sim.start_model()
    sim.predict_sentences([("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")])

--model is a directory of export_model.py, a training's --output_dir or a checkpoint, of any task: a
tagger gives entities, a reading model answers, a choice model choices. A pre-trained model ranks
the words for every [MASK] of a text. docs/serving.md.
"""

import collections
import sys

from util import command_line as runners
from util import commands, files
from util.errors import UserError

from absl import flags as absl_flags

from serving import batch, command_line, engines, package, predictor, server_flags, stream


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
    command_line.define_model_flags()
    command_line.define_engine_flags()
    command_line.define_decision_flags()
    flags.DEFINE_string("input_file", None, "Items, one a line, a tab between the texts of one, or "
                        "JSON; globs, comma lists, compressed or not. Default: standard input.")
    flags.DEFINE_string("output_file", None, "Where the lines go with the answers behind them, "
                        "compressed by its ending; NAME@N.EXT: N files. Default: standard output.")
    flags.DEFINE_integer("num_workers", 1, "Processes that answer --input_file for --output_file.",
                         lower_bound=1)
    flags.DEFINE_bool("skip_bad_lines", False, "Write the reason behind a line that is no item, "
                      "count it and go on.")
    runners.define_runner_flags()
    server_flags.define_flags()


def check_runner_flags(flags):
    """Refuses flags that do not go with --runner."""
    runners.check_runner_flags(flags)
    if flags.runner and not (flags.input_file and flags.output_file):
        raise UserError("--runner=%s is for --input_file with --output_file; add them, or leave it "
                        "out" % flags.runner)
    if flags.runner and flags.model and not package.is_export(flags.model):
        raise UserError("--model=%s is no export, and workers of a cluster have no TensorFlow for "
                        "others; python3 export_model.py --model=%s --output=exported, and give "
                        "--model=exported" % (flags.model, flags.model))


def spark_driver():
    """The module serving.spark, which needs an optional package."""
    with runners.needing_pyspark():
        from serving import spark
        return spark


def score_files(flags):
    """--input_file to --output_file."""
    inputs = files.expand(flags.input_file)
    model = command_line.load_package(flags)
    batch.apart(lambda: command_line.check_decisions(flags, model),
                flags.num_workers if flags.eval_file else 1)
    work = model, inputs, flags.output_file, batch.Settings(
        flags.engine, flags.num_threads, flags.num_workers, flags.top, flags.bfloat16,
        flags.skip_bad_lines)
    if flags.runner:
        spark_driver().run(*work, master=flags.spark_master, conf=flags.spark_conf)
    else:
        batch.run(*work)


def serve(flags):
    """Answers over HTTP until it is stopped."""
    command_line.model_arguments(flags)  # so that a missing --model is said
    if flags.input_file or flags.output_file:
        raise UserError("--serve answers over HTTP; leave out --input_file and --output_file")
    try:
        from serving import json_log, server
    except ImportError as error:
        raise UserError("--serve: %s; %s, on Python 3.9 or newer"
                        % (error, engines.REQUIREMENTS)) from None
    settings, paths = server_flags.settings_of(flags), server_flags.models_of(flags.model)
    with server.listen(settings.host, settings.port) as listener:
        json_log.start()
        server.run(collections.OrderedDict(
            (name, command_line.load(flags, path)) for name, path in paths.items()),
            settings, listener)


def main(flags):
    check_runner_flags(flags)
    if flags.serve:
        serve(flags)
        return
    if flags.input_file and flags.output_file:
        score_files(flags)
        return
    if flags.output_file and "@" in flags.output_file:
        raise UserError("--output_file=%s of standard input: several files need --input_file"
                        % flags.output_file)
    if flags.num_workers > 1:
        raise UserError("--num_workers=%d is for --input_file with --output_file; leave it out"
                        % flags.num_workers)
    made = command_line.load(flags)
    if flags.input_file:
        placed = stream.of_files(files.expand(flags.input_file))
    elif sys.stdin.isatty():
        stream.interactive(made)
        return
    else:
        placed = stream.of_standard_input()
    stream.score(made, placed, flags.output_file, flags.skip_bad_lines)


if __name__ == "__main__":
    commands.run(main, define_flags)
