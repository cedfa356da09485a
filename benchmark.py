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
import sys
import tempfile

from util import commands, console, files, processors, whole_files, workers
from util.errors import UserError

from absl import flags as absl_flags

import tokenization
from benchmarks import running, trainings, ways
from text import corpus

CLASSIFIER = "import torch; from transformers import AlbertForSequenceClassification"
PAIRS = {"steps": 200, "train_batch_size": 64, "max_seq_length": 128}  # of `finetune`


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
        peers = running.those_that_run(data_candidates(flags, making, processes))
        if not peers:
            raise UserError("--segmenters=%s: none of them runs here; install one (pip install "
                            "rjieba), or leave the flag out for jieba" % ",".join(flags.segmenters))
        costs = collections.OrderedDict((peer.name, []) for peer in peers)
        for _ in range(flags.rounds):
            for peer in peers:
                printed, cost = running.measure(peer.command)
                printed_counts = re.findall(peer.pattern, printed, re.MULTILINE)
                if not printed_counts:
                    raise UserError("%s did not say how many instances it made; its last line: %s"
                                    % (peer.name, running.last_line(printed)))
                cost["instances"] = int(printed_counts[0].replace(",", ""))
                costs[peer.name].append(cost)
                console.say("%g MB, %s: %.1f s", megabytes, peer.name, cost["seconds"])
        rows += data_rows(megabytes, costs)
    return rows


def data_candidates(flags, making, processes):
    """Yields (Peer, why it cannot run or None) of makers of records with the flags `making`."""
    script = "create_pretraining_data.py"
    for segmenter in flags.segmenters:
        for number in processes:
            command = running.ours(script, num_workers=number, segmenter=segmenter, **making)
            yield (running.Peer("this code, %s, processes: %d" % (segmenter, number), command,
                                r"^instances +([\d,]+)", 0),
                   running.lacks(sys.executable, "import " + segmenter))
    script = os.path.join(os.path.abspath(flags.albert_zh_dir or ""), script)
    python = running.executable(flags.albert_zh_python or "")
    yield (running.Peer("albert_zh", [python] + running.ours(script, **making)[1:],
                        r"Wrote (\d+) total instances", 0),
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
        running.measure(running.ours(
            "create_pretraining_data.py", input_file=text, vocab_file=flags.vocab_file,
            output_file=os.path.join(directory, name + ".tfrecord"), masked_lm_prob=0.15,
            dupe_factor=1, **dict(lengths, **extra_flags)))
    rates = {name: [] for name in sets}
    for number in range(flags.rounds):
        for name in sets:
            printed, _ = running.measure(running.ours(
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


def lacks_original(flags, script, code="import tensorflow.contrib"):
    """Why a script of albert_zh cannot be run in a Python that must run `code`, or None."""
    for name in ("albert_zh_dir", "albert_zh_python"):
        if not getattr(flags, name):
            return "no --%s" % name
    if not os.path.exists(script):
        return "%s: no such file" % script
    return running.lacks(running.executable(flags.albert_zh_python), code)


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
    train = trainings.trainer(flags.albert_zh_python or "", script, training)
    yield (running.Peer("albert_zh", train, trainings.ORIGINAL_RATE, 5),
           lacks_original(flags, script))
    for peer in trainings.HUGGING_FACE:
        yield huggingface_candidate(
            flags, peer, os.path.join(directory, "batches.npz"), flags.steps)


def our_candidates(flags, script, training):
    """Yields (Peer, problem) of a script of this project, with this Python and --pythons."""
    for amp in [False, True] if processors.has_bfloat16() else [False]:
        typed = dict(training, amp=amp)
        name, dtype = ("this code, --amp", "bfloat16") if amp else ("this code", "float32")
        train = trainings.trainer(sys.executable, script, typed)
        yield running.Peer(name, train, trainings.RATE, 1, dtype), None
        for item in flags.pythons:
            other, _, python = item.rpartition("=")
            problem = running.lacks(running.executable(python), "import tensorflow")
            if amp and not problem:
                problem = running.lacks(
                    running.executable(python), "from training import precision; "
                    "assert precision.has_onednn(), '--amp needs TensorFlow 2'")
            train = trainings.trainer(python, script, typed)
            yield running.Peer("%s, %s" % (name, other or python), train, trainings.RATE, 1,
                               dtype), problem


def huggingface_candidate(flags, peer, *arguments):
    """(Peer, problem) of a HuggingFace in a Python that can run it; `arguments` come first."""
    python, problem = huggingface_python(flags, peer.code)
    command = running.peer_command(peer.function, *arguments, *peer.arguments, python=python)
    dtype = "bfloat16" if "bfloat16" in peer.arguments else "float32"
    return running.Peer(peer.name, lambda output_dir: command, trainings.RATE, 5, dtype), problem


def huggingface_python(flags, code):
    """(a Python of --huggingface_python that can run `code`, None), or (one, why none can)."""
    pythons = [running.executable(python)
               for python in flags.huggingface_python or [sys.executable]]
    problems = [running.lacks(python, code) for python in pythons]
    if None in problems:
        return pythons[problems.index(None)], None
    return pythons[0], "; ".join(problems)


def pretrain(flags, paths, directory):
    """A step of pre-training by this code, albert_zh and Hugging Face's, in turn."""
    text, records = (os.path.join(directory, name) for name in ("text.txt", "train.tfrecord"))
    corpus.write_sample(paths, 1e6, text, flags.skip_bad_lines, flags.full_sequences)
    lengths = flags.max_seq_length, flags.max_predictions_per_seq
    running.measure(running.ours(
        "create_pretraining_data.py", input_file=text, vocab_file=flags.vocab_file,
        output_file=records, masked_lm_prob=0.15, dupe_factor=1, max_seq_length=lengths[0],
        max_predictions_per_seq=lengths[1], short_seq_prob=0.0 if flags.full_sequences else 0.1))
    printed, _ = running.measure(running.peer_command(
        "prepare", os.path.abspath(flags.bert_config_file), records,
        os.path.join(directory, "batches.npz"), flags.train_batch_size, *lengths))
    work = json.loads(running.last_line(printed))
    console.say("an example has %.0f of %d tokens and %.1f of %d predictions on average",
                work["tokens"], lengths[0], work["predictions"], lengths[1])
    peers = running.those_that_run(candidates(flags, directory))
    measured = trainings.measure_in_turn(peers, flags.rounds, directory)
    return trainings.rows_of(*measured, flops=work["flops"], tokens=work["tokens"])


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
    printed, _ = running.measure(running.peer_command(
        "prepare_pairs", config, flags.vocab_file, paths[0], target, PAIRS["max_seq_length"]))
    checked_peers = list(our_candidates(flags, "run_classifier.py", training))
    checked_peers += [huggingface_candidate(
        flags, peer, target, PAIRS["train_batch_size"], PAIRS["steps"])
        for peer in trainings.TRAINERS]
    rates, memory, _ = trainings.measure_in_turn(
        running.those_that_run(checked_peers), flags.rounds, directory)
    baseline = trainings.TRAINERS[0].name
    baseline = baseline if baseline in rates else "this code"
    return [{"fine-tuning, %s" % running.last_line(printed): name,
             "examples/s": statistics.median(values), "lowest": min(values),
             "highest": max(values), "MB": int(statistics.median(memory[name])),
             "x " + baseline: statistics.median(values) / statistics.median(rates[baseline])}
            for name, values in rates.items()]


def inference(flags, paths, directory):
    """Probabilities by this code's engines and by transformers, in turn, of the same weights."""
    if len(paths) != 1:
        raise UserError("--input_file=%s: inference takes one file of pairs" % flags.input_file)
    printed, _ = running.measure([
        sys.executable, "-m", "benchmarks.inference", "prepare",
        os.path.abspath(flags.bert_config_file), os.path.abspath(flags.vocab_file),
        os.path.abspath(paths[0]), directory])
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(ways.Ways("ours", directory))]
        python, problem = huggingface_python(flags, CLASSIFIER)
        if problem:
            console.say("transformers is skipped: %s", problem)
        else:
            processes.append(stack.enter_context(ways.Ways("theirs", directory, python)))
        entries = []  # [(row, its process)]
        for process in processes:
            for row in process.rows:
                if row["problem"]:
                    console.say("%s is skipped: %s", row["row"], row["problem"])
                else:
                    entries.append((row, process))
        ways.check_equal(entries)
        seconds, first = ways.measure_in_turn(entries, flags.rounds, directory)
    return ways.rows_of(running.last_line(printed), [row for row, _ in entries], seconds, first)


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
