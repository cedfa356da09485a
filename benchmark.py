"""Speed and memory of the commands, measured as people run them.

    python3 benchmark.py data --input_file=corpus.txt --vocab_file=vocab.txt \
      --albert_zh_dir=../albert_zh --albert_zh_python=../py37/bin/python
    python3 benchmark.py masking --input_file=corpus.txt --vocab_file=vocab.txt
    python3 benchmark.py pretrain --input_file=corpus.txt --vocab_file=vocab.txt \
      --albert_zh_dir=../albert_zh --albert_zh_python=../py37/bin/python \
      --huggingface_python=../transformers/bin/python
    python3 benchmark.py finetune --input_file=pairs.tsv --vocab_file=vocab.txt \
      --huggingface_python=../transformers/bin/python
    python3 benchmark.py inference --input_file=pairs.tsv --vocab_file=vocab.txt \
      --huggingface_python=../transformers/bin/python

Prints a table in Markdown and writes it with all figures to --output. Run it on an idle machine:
other load distorts the figures. Missing peers are skipped with a message.
"""

import collections
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

from util import commands, console, files, processors, whole_files, workers
from util.errors import UserError

from absl import flags as absl_flags

import tokenization
from text import corpus

HERE = os.path.dirname(os.path.abspath(__file__))

# A training to measure: `command(output_dir)` is its command line, a list (what makes data has but
# one); `pattern` matches the rates in its output, of which the first `skip` are warm-up; `dtype` is
# the type of its products, whose peak it is compared with.
Peer = collections.namedtuple("Peer", ["name", "command", "pattern", "skip", "dtype"])
Peer.__new__.__defaults__ = ("float32",)
RATE = r"([\d.]+) examples/s"
ORIGINAL_RATE = r"^INFO:tensorflow:examples/sec: ([\d.]+)"  # logged twice, once with this prefix
# A row of transformers: a function of benchmarks/peers.py, its arguments after batches and steps,
# code that must run.
HuggingFace = collections.namedtuple("HuggingFace", ["name", "function", "arguments", "code"])
PYTORCH = "import torch; from transformers import AlbertForPreTraining"
HUGGING_FACE = [
    HuggingFace("transformers, PyTorch", "pytorch", [], PYTORCH),
    HuggingFace("transformers, PyTorch, masked logits, compiled", "pytorch_masked", ["float32"],
                PYTORCH),
    HuggingFace("transformers, PyTorch, masked logits, compiled, bfloat16", "pytorch_masked",
                ["bfloat16"], PYTORCH),
    HuggingFace("transformers, TensorFlow", "tensorflow", [],
                "import tensorflow; from transformers import TFAlbertForPreTraining")]
TRAINERS = [HuggingFace(
    "transformers, PyTorch, group_by_length" + ending, "pytorch_pairs", [dtype],
    "import torch; from transformers.trainer_pt_utils import LengthGroupedSampler")
    for ending, dtype in (("", "float32"), (", bfloat16", "bfloat16"))]
CLASSIFIER = "import torch; from transformers import AlbertForSequenceClassification"
PAIRS = {"steps": 200, "train_batch_size": 64, "max_seq_length": 128}  # of `finetune`
# `inference`: seconds of a cell in a round, and the roles of the rows that it is compared with.
CELL_SECONDS = {"1 x 32": 0.5, "32 x 128": 1.0, "pairs": 1.0}
BASELINES = {"1 x 32": ["export"], "32 x 128": ["export", "bfloat16"], "pairs": ["pipeline"]}
# How far probabilities may be from those of the first row, by what stands in a row's name: float32
# the largest difference, the less exact ones, which random weights make noisy, the mean.
LIMITS = (("int8", "mean", 0.1), ("bfloat16", "mean", 0.1), ("", "largest", 1e-3))


def define_flags():
    flags = absl_flags
    flags.DEFINE_string("input_file", None, "Text as for create_pretraining_data.py; finetune, "
                        "inference: pairs with labels, as LCQMC's train.txt.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.")
    flags.DEFINE_bool("skip_bad_lines", False, "Leave out lines that are not UTF-8.")
    flags.DEFINE_string("output", "benchmark.json", "JSON to write.")
    flags.DEFINE_list("megabytes", ["4", "16", "64"], "data: sizes of the text, which is repeated "
                      "or cut to them.")
    flags.DEFINE_list("num_workers", ["1", "2"], "data: numbers of processes.")
    flags.DEFINE_list("segmenters", ["jieba"], "data: engines that find words, as jieba,rjieba.")
    flags.DEFINE_string("bert_config_file", "albert_config/albert_config_tiny.json",
                        "masking, pretrain, finetune, inference: the model.")
    flags.DEFINE_integer("rounds", 3, "Rounds, in each of which everything is measured once.",
                         lower_bound=1)
    flags.DEFINE_integer("steps", 80, "masking, pretrain: steps per round; runs of less than half "
                         "a minute mostly measure the warm-up.", lower_bound=20)
    flags.DEFINE_integer("train_batch_size", 32, "pretrain: examples per step.", lower_bound=1)
    flags.DEFINE_integer("max_seq_length", 128, "pretrain: tokens per example.", lower_bound=8)
    flags.DEFINE_integer("max_predictions_per_seq", 20, "pretrain: masked tokens per example.",
                         lower_bound=1)
    flags.DEFINE_bool("full_sequences", False, "pretrain: take the text as one document, so that "
                      "examples are full; else they are as its documents make them.")
    flags.DEFINE_list("pythons", [], "pretrain, finetune: other Pythons to run this code with, as "
                      "name=path, e.g. classic=../py37/bin/python.")
    flags.DEFINE_string("albert_zh_dir", None, "data, pretrain: a clone of brightmart/albert_zh.")
    flags.DEFINE_string("albert_zh_python", None, "data, pretrain: a Python with TensorFlow 1.15 "
                        "(data: and jieba) for it.")
    flags.DEFINE_list("huggingface_python", [], "pretrain, finetune, inference: a Python with "
                      "transformers and PyTorch or TensorFlow, or one with each; default: this "
                      "one.")


def numbers(name, texts, number_type, expected):
    """The values of a flag that lists numbers, each finite and above 0."""
    try:
        values = [number_type(text) for text in texts]
    except ValueError:
        values = []
    if not values or not all(0 < value < float("inf") for value in values):
        raise UserError("--%s=%s: expected %s" % (name, ",".join(texts), expected))
    return values


def ours(script, **flags):
    """The command line that runs a script of this directory."""
    return [sys.executable, os.path.join(HERE, script)] + ["--%s=%s" % item
                                                           for item in flags.items()]


def peer_command(function, *arguments, python=sys.executable):
    """The command line that calls a function of benchmarks/peers.py in a Python."""
    return [python, "-m", "benchmarks.peers", function] + [str(value) for value in arguments]


def measure(command):
    """Runs a command -> (its output, {seconds, cpu_seconds, peak_mb}).

    peak_mb is the resident memory of the largest of its processes. A new process is at first a copy
    of this one, which therefore must not import TensorFlow.
    """
    # Leaves nothing in the directories of other projects, not even .pyc files.
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    with tempfile.TemporaryFile() as output:
        begin = os.times().elapsed
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=HERE,
                                   env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        seconds = os.times().elapsed - begin
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if status:
        raise UserError("%s failed: %s" % (command_name(command), last_line(text)))
    return text, {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
                  "peak_mb": usage.ru_maxrss / 1024.0}


def command_name(command):
    """["python", "-m", "benchmarks.peers", …] -> "benchmarks.peers"."""
    return os.path.basename(command[2] if command[1] == "-m" else command[1])


def last_line(text):
    return text.strip().split("\n")[-1]


def table(rows):
    """A list of dicts with the same keys -> Markdown."""
    def cell(value):
        if isinstance(value, float):
            return "%.2f" % value if abs(value) < 10 else "%.0f" % value
        return "{:,}".format(value) if isinstance(value, int) else str(value)

    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[cell(value) for value in row.values()] for row in rows]
    return "\n".join("| %s |" % " | ".join(line) for line in lines)


def data(flags, paths, directory):
    """create_pretraining_data.py by size of the text and processes, and albert_zh's, in turn."""
    rows = []
    sizes = numbers("megabytes", flags.megabytes, float, "sizes in MB above 0, as 4,16")
    processes = numbers("num_workers", flags.num_workers, int, "numbers of processes, as 1,2")
    for megabytes in sizes:
        text, output = (os.path.join(directory, name) for name in ("text.txt", "out.tfrecord"))
        corpus.write_sample(paths, megabytes * 1e6, text, flags.skip_bad_lines)
        making = {
            "input_file": text, "output_file": output, "vocab_file": os.path.abspath(
                flags.vocab_file), "max_seq_length": 128, "max_predictions_per_seq": 20,
            "masked_lm_prob": 0.15, "dupe_factor": 5, "do_whole_word_mask": True}
        peers = those_that_run(data_candidates(flags, making, processes))
        if not peers:
            raise UserError("--segmenters=%s: none of them runs here; install one (pip install "
                            "rjieba), or leave the flag out for jieba" % ",".join(flags.segmenters))
        costs = collections.OrderedDict((peer.name, []) for peer in peers)
        for _ in range(flags.rounds):
            for peer in peers:
                printed, cost = measure(peer.command)
                found = re.findall(peer.pattern, printed, re.MULTILINE)
                if not found:
                    raise UserError("%s did not say how many instances it made; its last line: %s"
                                    % (peer.name, last_line(printed)))
                cost["instances"] = int(found[0].replace(",", ""))
                costs[peer.name].append(cost)
                console.say("%g MB, %s: %.1f s", megabytes, peer.name, cost["seconds"])
        rows += data_rows(megabytes, costs)
    return rows


def data_candidates(flags, making, processes):
    """Yields (Peer, why it cannot run or None) of makers of records with the flags `making`."""
    script = "create_pretraining_data.py"
    for segmenter in flags.segmenters:
        for number in processes:
            command = ours(script, num_workers=number, segmenter=segmenter, **making)
            yield (Peer("this code, %s, processes: %d" % (segmenter, number), command,
                        r"^instances +([\d,]+)", 0), lacks(sys.executable, "import " + segmenter))
    script = os.path.join(os.path.abspath(flags.albert_zh_dir or ""), script)
    command = [executable(flags.albert_zh_python or "")] + ours(script, **making)[1:]
    yield (Peer("albert_zh", command, r"Wrote (\d+) total instances", 0),
           lacks_original(flags, script, "import tensorflow.contrib, jieba"))


def data_rows(megabytes, costs):
    """{name: [costs of `measure`, with instances, by rounds]} -> rows of medians, for a table."""
    def median(name, key):
        return statistics.median(cost[key] for cost in costs[name])

    baseline = "albert_zh" if "albert_zh" in costs else list(costs)[0]
    return [{"MB": megabytes, "making data": name, "instances": int(median(name, "instances")),
             "seconds": median(name, "seconds"), "CPU seconds": median(name, "cpu_seconds"),
             "instances/s": median(name, "instances") / median(name, "seconds"),
             "times as fast as " + baseline: median(baseline, "seconds") / median(name, "seconds"),
             "MB of the largest process": median(name, "peak_mb")} for name in costs]


def masking(flags, paths, directory):
    """run_pretraining.py with masks from the records and with dynamic masks, in turn."""
    text = os.path.join(directory, "text.txt")
    corpus.write_sample(paths, 4e6, text, flags.skip_bad_lines)
    lengths = {"max_seq_length": 128, "max_predictions_per_seq": 20}
    sets = {"static": {}, "dynamic": {"store_word_starts": True}}
    for name, extra_flags in sets.items():
        measure(ours(
            "create_pretraining_data.py", input_file=text, vocab_file=flags.vocab_file,
            output_file=os.path.join(directory, name + ".tfrecord"), masked_lm_prob=0.15,
            dupe_factor=1, **dict(lengths, **extra_flags)))
    rates = {name: [] for name in sets}
    for number in range(flags.rounds):
        for name in sets:
            printed, _ = measure(ours(
                "run_pretraining.py", do_train=True, bert_config_file=flags.bert_config_file,
                input_file=os.path.join(directory, name + ".tfrecord"), train_batch_size=32,
                output_dir=os.path.join(directory, "%s-%d" % (name, number)),
                num_train_steps=flags.steps, num_warmup_steps=10, learning_rate=1e-4,
                optimizer="adamw",
                dynamic_masking=name == "dynamic", **lengths))
            shown = [float(rate) for rate in re.findall(r"([\d.]+) examples/s", printed)]
            rates[name].append(statistics.median(shown))
            console.say("%s: %.1f examples/s", name, rates[name][-1])
    baseline = statistics.median(rates["static"])
    return [{"masks": name, "examples/s": statistics.median(rates[name]),
             "lowest": min(rates[name]), "highest": max(rates[name]),
             "x static": statistics.median(rates[name]) / baseline} for name in sets]


def executable(python):
    """The path of a Python as the user gave it -> a path that is valid in any directory."""
    return os.path.abspath(python) if os.path.dirname(python) else python


def lacks_original(flags, script, code="import tensorflow.contrib"):
    """Why a script of albert_zh cannot be run in a Python that must run `code`, or None."""
    for name in ("albert_zh_dir", "albert_zh_python"):
        if not getattr(flags, name):
            return "no --%s" % name
    if not os.path.exists(script):
        return "%s: no such file" % script
    return lacks(executable(flags.albert_zh_python), code)


def lacks(python, code):
    """Why a Python cannot run some code, or None."""
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except OSError as error:
        return "%s: %s" % (python, os.strerror(error.errno))
    if done.returncode:
        return "%s: %s" % (python, last_line(done.stdout.decode("utf-8", "replace")))
    return None


def candidates(flags, directory):
    """Yields (Peer, why it cannot run or None); this code with this Python comes first."""
    training = {
        "do_train": True, "bert_config_file": os.path.abspath(flags.bert_config_file),
        "input_file": os.path.join(directory, "train.tfrecord"), "num_train_steps": flags.steps,
        "num_warmup_steps": 10, "learning_rate": 1e-4, "train_batch_size": flags.train_batch_size,
        "max_seq_length": flags.max_seq_length,
        "max_predictions_per_seq": flags.max_predictions_per_seq}
    script = "run_pretraining.py"
    yield from our_candidates(flags, script, dict(training, optimizer="adamw"))
    script = os.path.join(os.path.abspath(flags.albert_zh_dir or ""), script)
    yield (Peer("albert_zh", trainer(flags.albert_zh_python or "", script, training),
                ORIGINAL_RATE, 5), lacks_original(flags, script))
    for peer in HUGGING_FACE:
        yield huggingface_candidate(
            flags, peer, os.path.join(directory, "batches.npz"), flags.steps)


def trainer(python, script, training):
    """A function output_dir -> the command that trains with the flags `training`."""
    return lambda output_dir: (
        [executable(python)] + ours(script, output_dir=output_dir, **training)[1:])


def our_candidates(flags, script, training):
    """Yields (Peer, problem) of a script of this directory, with this Python and --pythons."""
    for amp in [False, True] if processors.has_amx() else [False]:
        typed = dict(training, amp=amp)
        name, dtype = ("this code, --amp", "bfloat16") if amp else ("this code", "float32")
        yield Peer(name, trainer(sys.executable, script, typed), RATE, 1, dtype), None
        for item in flags.pythons:
            other, _, python = item.rpartition("=")
            problem = lacks(executable(python), "import tensorflow")
            if amp and not problem:
                problem = lacks(executable(python), "from training import precision; "
                                "assert precision.has_onednn(), '--amp needs TensorFlow 2'")
            yield Peer("%s, %s" % (name, other or python), trainer(python, script, typed), RATE, 1,
                       dtype), problem


def huggingface_candidate(flags, peer, *arguments):
    """(Peer, problem) of a HuggingFace in a Python that can run it; `arguments` come first."""
    python, problem = huggingface_python(flags, peer.code)
    command = peer_command(peer.function, *arguments, *peer.arguments, python=python)
    dtype = "bfloat16" if "bfloat16" in peer.arguments else "float32"
    return Peer(peer.name, lambda output_dir: command, RATE, 5, dtype), problem


def huggingface_python(flags, code):
    """(a Python of --huggingface_python that can run `code`, None), or (one, why none can)."""
    pythons = [executable(python) for python in flags.huggingface_python or [sys.executable]]
    problems = [lacks(python, code) for python in pythons]
    if None in problems:
        return pythons[problems.index(None)], None
    return pythons[0], "; ".join(problems)


def training_rate(peer, printed):
    """The median of the rates that a training printed after its warm-up."""
    shown = [float(rate) for rate in re.findall(peer.pattern, printed, re.MULTILINE)]
    if not shown:
        raise UserError("it printed no rate; its last line: %s" % last_line(printed))
    return statistics.median(shown[peer.skip:] or shown[-1:])


def measure_in_turn(peers, rounds, directory):
    """Trains all peers, round after round, and measures the machine's peak before each round.

    A peer that fails is skipped from then on; if the first one fails, its error is raised.

    Returns:
      ({name: [examples per second]}, {name: [MB]}, {name: [peak FLOP/s of its type]}).
    """
    rates, memory, peaks = collections.OrderedDict(), {}, {}
    peers = list(peers)
    for number in range(rounds):
        measured = json.loads(last_line(measure(peer_command("peaks"))[0]))
        for index, peer in list(enumerate(peers)):
            try:
                printed, cost = measure(
                    peer.command(os.path.join(directory, "out-%d-%d" % (number, index))))
                rate = training_rate(peer, printed)
            except UserError as error:
                if peer is peers[0]:
                    raise
                console.say("%s is skipped: %s", peer.name, error)
                peers.remove(peer)
                rates.pop(peer.name, None)
                continue
            rates.setdefault(peer.name, []).append(rate)
            memory.setdefault(peer.name, []).append(cost["peak_mb"])
            peaks.setdefault(peer.name, []).append(measured[peer.dtype])
            console.say("%s: %.1f examples/s", peer.name, rate)
    return rates, memory, peaks


def training_rows(rates, memory, peaks, flops, tokens):
    """What `measure_in_turn` returns, and flops and tokens per example -> the table's rows."""
    medians = collections.OrderedDict(
        (name, statistics.median(values)) for name, values in rates.items())
    baseline = "albert_zh" if "albert_zh" in medians else list(medians)[0]
    rows = []
    for name, rate in medians.items():
        peak = statistics.median(peaks[name])
        rows.append({
            "pre-training": name, "examples/s": rate, "lowest": min(rates[name]),
            "highest": max(rates[name]), "tokens/s": int(rate * tokens),
            "% of GFLOP/s": "%.0f %% of %.0f" % (100.0 * rate * flops / peak, peak / 1e9),
            "MB": int(statistics.median(memory[name])),
            "x " + baseline: rate / medians[baseline]})
    return rows


def pretrain(flags, paths, directory):
    """A step of pre-training by this code, albert_zh and Hugging Face's, in turn."""
    text, records = (os.path.join(directory, name) for name in ("text.txt", "train.tfrecord"))
    corpus.write_sample(paths, 1e6, text, flags.skip_bad_lines, flags.full_sequences)
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    measure(ours("create_pretraining_data.py", input_file=text, vocab_file=flags.vocab_file,
                 output_file=records, masked_lm_prob=0.15, dupe_factor=1,
                 max_seq_length=lengths[0], max_predictions_per_seq=lengths[1],
                 short_seq_prob=0.0 if flags.full_sequences else 0.1))
    printed, _ = measure(peer_command(
        "prepare", os.path.abspath(flags.bert_config_file), records,
        os.path.join(directory, "batches.npz"), flags.train_batch_size, *lengths))
    work = json.loads(last_line(printed))
    console.say("an example has %.0f of %d tokens and %.1f of %d predictions on average",
                work["tokens"], lengths[0], work["predictions"], lengths[1])
    peers = those_that_run(candidates(flags, directory))
    return training_rows(*measure_in_turn(peers, flags.rounds, directory), work["flops"],
                         work["tokens"])


def those_that_run(checked_peers):
    """[(Peer, problem or None)] -> the peers without a problem; prints why others are skipped."""
    peers = []
    for peer, problem in checked_peers:
        if problem:
            console.say("%s is skipped: %s", peer.name, problem)
        else:
            peers.append(peer)
    return peers


def finetune(flags, paths, directory):
    """A step of fine-tuning on pairs by this code and by a loop like Hugging Face's Trainer."""
    if len(paths) != 1:
        raise UserError("--input_file=%s: finetune takes one file of pairs" % flags.input_file)
    config = os.path.abspath(flags.bert_config_file)
    training = {
        "task_name": "lcqmc", "train_file": os.path.abspath(paths[0]), "do_train": True,
        "vocab_file": os.path.abspath(flags.vocab_file), "bert_config_file": config,
        "train_step": PAIRS["steps"], "train_batch_size": PAIRS["train_batch_size"],
        "max_seq_length": PAIRS["max_seq_length"], "learning_rate": 1e-4,
        "cache_dir": os.path.join(directory, "cache")}
    target = os.path.join(directory, "pairs.npz")
    printed, _ = measure(peer_command(
        "prepare_pairs", config, flags.vocab_file, paths[0], target, PAIRS["max_seq_length"]))
    checked_peers = list(our_candidates(flags, "run_classifier.py", training))
    checked_peers += [huggingface_candidate(
        flags, peer, target, PAIRS["train_batch_size"], PAIRS["steps"]) for peer in TRAINERS]
    rates, memory, _ = measure_in_turn(those_that_run(checked_peers), flags.rounds, directory)
    baseline = TRAINERS[0].name if TRAINERS[0].name in rates else "this code"
    return [{"fine-tuning, %s" % last_line(printed): name,
             "examples/s": statistics.median(values), "lowest": min(values),
             "highest": max(values), "MB": int(statistics.median(memory[name])),
             "x " + baseline: statistics.median(values) / statistics.median(rates[baseline])}
            for name, values in rates.items()]


# ---- inference ----

class Ways(object):
    """A process of benchmarks/inference.py that has loaded a model in several ways.

    Attributes:
      rows: what there is: {"row": name, "role": of BASELINES or None, "MB": size of its file or
        None, "problem": why it is not there or None, "cells": what it computes}.
    """

    def __init__(self, function, directory, python=sys.executable):
        self._log = os.path.join(directory, function + ".log")
        with open(self._log, "wb") as stream:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.inference", function, directory], cwd=HERE,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
                env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        self.rows = self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            with open(self._log, encoding="utf-8", errors="replace") as stream:
                raise UserError("benchmarks.inference failed: %s" % last_line(stream.read()))
        return json.loads(line.decode("utf-8"))

    def ask(self, row, cell, seconds=0):
        """The median seconds of a cell; with 0 seconds its probabilities."""
        request = {"row": row, "cell": cell, "seconds": seconds}
        self._process.stdin.write(json.dumps(request).encode("utf-8") + b"\n")
        self._process.stdin.flush()
        return self._answer()["seconds" if seconds else "probabilities"]


def inference(flags, paths, directory):
    """Probabilities by this code's engines and by transformers, in turn, of the same weights."""
    if len(paths) != 1:
        raise UserError("--input_file=%s: inference takes one file of pairs" % flags.input_file)
    printed, _ = measure([
        sys.executable, "-m", "benchmarks.inference", "prepare",
        os.path.abspath(flags.bert_config_file), os.path.abspath(flags.vocab_file),
        os.path.abspath(paths[0]), directory])
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(Ways("ours", directory))]
        python, problem = huggingface_python(flags, CLASSIFIER)
        if problem:
            console.say("transformers is skipped: %s", problem)
        else:
            processes.append(stack.enter_context(Ways("theirs", directory, python)))
        found = []  # [(row, its process)]
        for process in processes:
            for row in process.rows:
                if row["problem"]:
                    console.say("%s is skipped: %s", row["row"], row["problem"])
                else:
                    found.append((row, process))
        check_equal(found)
        seconds, first = measure_ways(found, flags.rounds, directory)
    return inference_rows(last_line(printed), [row for row, _ in found], seconds, first)


def check_equal(found):
    """Raises a UserError if a row has other probabilities than the first one, or all have one."""
    for cell in CELL_SECONDS:
        rows = [(row["row"], process) for row, process in found if cell in row["cells"]]
        expected = values = None
        for name, process in rows:
            values = [share for shares in process.ask(name, cell) for share in shares]
            expected = expected or values
            differences = [abs(one - other) for one, other in zip(values, expected)]
            kind, limit = next(its for part, *its in LIMITS if part in name)
            difference = max(differences) if kind == "largest" else statistics.mean(differences)
            if len(values) != len(expected) or not difference <= limit:
                raise UserError("%s, %s: the %s difference from the probabilities of %s is %.2g, "
                                "more than %g" % (
                                    name, cell, kind, rows[0][0], difference, limit))
            console.say("%s, %s: %s difference %.1e", name, cell, kind, difference)
        if values and len(values) > 2 and max(values) - min(values) < 0.1:
            raise UserError("all inputs have nearly the same probabilities, so that nothing is "
                            "checked; give another --bert_config_file")


def measure_ways(found, rounds, directory):
    """Measures every cell of every row, one after the other, round after round.

    Returns:
      ({(name, cell): [seconds of each round]}, [seconds from similarity.py's start to its end]).
    """
    seconds, first = collections.defaultdict(list), []
    pair = os.path.join(directory, "pair.tsv")
    whole_files.write_lines(pair, ["\u4f60\u597d\t\u60a8\u597d"])
    total = rounds * sum(len(row["cells"]) for row, _ in found)
    with console.progress(total=total, unit="cells", desc="measuring") as bar:
        for _ in range(rounds):
            first.append(measure(ours(
                "similarity.py", model=os.path.join(directory, "plain"), input_file=pair,
                engine="onnxruntime"))[1]["seconds"])
            for cell, budget in CELL_SECONDS.items():
                for row, process in found:
                    if cell in row["cells"]:
                        seconds[row["row"], cell].append(process.ask(row["row"], cell, budget))
                        bar.update()
    return seconds, first


def inference_rows(title, rows, seconds, first):
    """What `measure_ways` returns -> the table's rows; ratios are medians of those of the rounds.
    """
    def ratio(name, cell, role):
        others = [seconds[row["row"], cell] for row in rows
                  if row["role"] == role and (row["row"], cell) in seconds]
        if not others or (name, cell) not in seconds:
            return "-"
        return statistics.median(theirs / own for theirs, own in zip(
            min(others, key=statistics.median), seconds[name, cell]))

    table_rows = []
    for index, row in enumerate(rows):
        name, cells = row["row"], collections.OrderedDict()
        for cell in CELL_SECONDS:
            if (name, cell) in seconds:
                value = statistics.median(seconds[name, cell])
                value = int(title.split()[0]) / value if cell == "pairs" else 1000 * value
            else:
                value = "-"
            cells["pairs/s" if cell == "pairs" else cell + ", ms"] = value
            for role in BASELINES[cell]:
                cells["%s: x %s" % (cell, role)] = ratio(name, cell, role)
        cells["first answer, s"] = "-" if index else statistics.median(first)
        cells["MB"] = "-" if row["MB"] is None else row["MB"]
        table_rows.append(dict({"inference, " + title: name}, **cells))
    return table_rows


BENCHMARKS = {"data": data, "masking": masking, "pretrain": pretrain, "finetune": finetune,
              "inference": inference}


def processor():
    """The name of this machine's processor, and how many of it this process may use."""
    return "%s, %d of its processors" % (processors.name(), workers.processors())


def run(benchmark, flags):
    """Runs one benchmark in a temporary directory and writes its table."""
    tokenization.load_tokenizer(flags.vocab_file)  # fails now if the file is wrong
    paths = files.expand(flags.input_file)
    files.check_rereadable(paths)
    whole_files.check_outputs([flags.output], paths + [flags.vocab_file])
    with whole_files.replacing(flags.output) as temporary:
        with tempfile.TemporaryDirectory() as directory:
            rows = benchmark(flags, paths, directory)
        with files.open_file(temporary, "w") as stream:
            stream.write(whole_files.json_text({
                "processor": processor(), "rows": rows, "table": table(rows)}) + "\n")
    console.say("%s\n\n%s", processor(), table(rows))
    console.say("figures in %s", flags.output)


if __name__ == "__main__":
    name = sys.argv.pop(1) if len(sys.argv) > 1 else None
    if name not in BENCHMARKS:
        sys.exit("error: benchmark.py %s: no such benchmark; give one of: %s"
                 % (name or "", ", ".join(sorted(BENCHMARKS))))
    commands.run(lambda flags: run(BENCHMARKS[name], flags), define_flags)
