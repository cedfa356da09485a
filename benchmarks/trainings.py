"""Trainings by this code and by others, measured in turn: rates, memory, share of the peak."""

import collections
import json
import os
import re
import statistics

from util import console
from util.errors import UserError

from benchmarks import running

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


def trainer(python, script, training):
    """A function output_dir -> the command that trains with the flags `training`."""
    return lambda output_dir: (
        [running.executable(python)] + running.ours(script, output_dir=output_dir, **training)[1:])


def rate_of(peer, printed):
    """The median of the rates that a training printed after its warm-up."""
    shown = [float(rate) for rate in re.findall(peer.pattern, printed, re.MULTILINE)]
    if not shown:
        raise UserError("it printed no rate; its last line: %s" % running.last_line(printed))
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
        measured = json.loads(running.last_line(running.measure(running.peer_command("peaks"))[0]))
        for index, peer in list(enumerate(peers)):
            try:
                printed, cost = running.measure(
                    peer.command(os.path.join(directory, "out-%d-%d" % (number, index))))
                rate = rate_of(peer, printed)
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


def rows_of(rates, memory, peaks, flops, tokens):
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
