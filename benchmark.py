"""Speed and memory of the commands, measured as people run them.

    python3 benchmark.py data --input_file=corpus.txt --vocab_file=vocab.txt
    python3 benchmark.py masking --input_file=corpus.txt --vocab_file=vocab.txt

Prints a table in Markdown and writes it with all figures to --output. Run it alone: whatever else
the machine does is in the figures.
"""

import collections
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import commands

from absl import flags as absl_flags

import corpus
import files
import tokenization
from errors import UserError

# albert_zh's create_pretraining_data.py: 4 MB of text, --dupe_factor=5, length 128, whole words, on
# two cores of another machine.
ORIGINAL_INSTANCES_A_SECOND = 419
HERE = os.path.dirname(os.path.abspath(__file__))


def define_flags():
    flags = absl_flags
    flags.DEFINE_string("input_file", None, "Text as for create_pretraining_data.py.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.")
    flags.DEFINE_string("output", "benchmark.json", "JSON to write.")
    flags.DEFINE_list("megabytes", ["4", "16", "64"], "data: sizes of the text, which is repeated "
                      "or cut to them.")
    flags.DEFINE_list("num_workers", ["1", "2"], "data: numbers of processes.")
    flags.DEFINE_string("bert_config_file", "albert_config/albert_config_tiny.json",
                        "masking: the model to train.")
    flags.DEFINE_integer("rounds", 3, "masking: how often both ways are measured, in turn.",
                         lower_bound=1)
    flags.DEFINE_integer("steps", 80, "masking: steps of a round.", lower_bound=20)


def write_text(paths, num_bytes, target):
    """Writes whole documents of the files, again from the start if need be, to about a size."""
    written = 0
    with open(target, "w", encoding="utf-8") as stream:
        while written < num_bytes:
            for document in corpus.read_documents(paths, collections.Counter()):
                text = "\n".join(document) + "\n\n"
                stream.write(text)
                written += len(text.encode("utf-8"))
                if written >= num_bytes:
                    break


def measure(script, **flags):
    """Runs a command -> (what it printed, {seconds, cpu_seconds, peak_mb}).

    peak_mb is the resident memory of the largest of its processes.
    """
    command = [sys.executable, os.path.join(HERE, script)]
    command += ["--%s=%s" % item for item in flags.items()]
    with tempfile.TemporaryFile() as output:
        begin = os.times().elapsed
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=HERE)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        seconds = os.times().elapsed - begin
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if status:
        raise UserError("%s failed: %s" % (script, text.strip().split("\n")[-1]))
    return text, {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
                  "peak_mb": usage.ru_maxrss / 1024.0}


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
    """create_pretraining_data.py by size of the text and number of processes."""
    rows = []
    for megabytes in flags.megabytes:
        text = os.path.join(directory, "text.txt")
        write_text(paths, float(megabytes) * 1e6, text)
        for num_workers in flags.num_workers:
            output = os.path.join(directory, "out.tfrecord")
            _, cost = measure(
                "create_pretraining_data.py", input_file=text, output_file=output,
                vocab_file=flags.vocab_file, num_workers=num_workers, max_seq_length=128,
                max_predictions_per_seq=20, masked_lm_prob=0.15, dupe_factor=5)
            with open(output + ".json", encoding="utf-8") as stream:
                instances = json.load(stream)["counts"]["instances"]
            rate = instances / cost["seconds"]
            rows.append({
                "MB": float(megabytes), "workers": int(num_workers), "instances": instances,
                "seconds": cost["seconds"], "CPU seconds": cost["cpu_seconds"],
                "instances/s": rate, "x albert_zh": rate / ORIGINAL_INSTANCES_A_SECOND,
                "MB of the largest process": cost["peak_mb"]})
            commands.say("%s", table(rows[-1:]).split("\n")[-1])
    return rows


def masking(flags, paths, directory):
    """run_pretraining.py on masks from the records and on masks drawn while training, in turn."""
    text = os.path.join(directory, "text.txt")
    write_text(paths, 4e6, text)
    lengths = {"max_seq_length": 128, "max_predictions_per_seq": 20}
    sets = {"static": {}, "dynamic": {"store_word_starts": True}}
    for name, own in sets.items():
        measure("create_pretraining_data.py", input_file=text, vocab_file=flags.vocab_file,
                output_file=os.path.join(directory, name + ".tfrecord"), masked_lm_prob=0.15,
                dupe_factor=1, **dict(lengths, **own))
    rates = {name: [] for name in sets}
    for number in range(flags.rounds):
        for name in sets:
            printed, _ = measure(
                "run_pretraining.py", do_train=True, bert_config_file=flags.bert_config_file,
                input_file=os.path.join(directory, name + ".tfrecord"), train_batch_size=32,
                output_dir=os.path.join(directory, "%s-%d" % (name, number)),
                num_train_steps=flags.steps, num_warmup_steps=10, learning_rate=1e-4,
                dynamic_masking=name == "dynamic", **lengths)
            shown = [float(rate) for rate in re.findall(r"([\d.]+) examples/s", printed)]
            rates[name].append(statistics.median(shown))
            commands.say("%s: %.1f examples/s", name, rates[name][-1])
    baseline = statistics.median(rates["static"])
    return [{"masks": name, "examples/s": statistics.median(rates[name]),
             "lowest": min(rates[name]), "highest": max(rates[name]),
             "x static": statistics.median(rates[name]) / baseline} for name in sets]


BENCHMARKS = {"data": data, "masking": masking}


def run(benchmark, flags):
    """Runs one benchmark in a temporary directory and writes its table."""
    tokenization.load_tokenizer(flags.vocab_file)  # a wrong file is said at once
    paths = files.expand(flags.input_file)
    with files.replacing(flags.output) as temporary:
        with tempfile.TemporaryDirectory() as directory:
            rows = benchmark(flags, paths, directory)
        files.write_json(temporary, {"rows": rows, "table": table(rows)})
    commands.say("%s", table(rows))
    commands.say("figures in %s", flags.output)


if __name__ == "__main__":
    name = sys.argv.pop(1) if len(sys.argv) > 1 else None
    if name not in BENCHMARKS:
        sys.exit("error: benchmark.py %s: no such benchmark; give one of: %s"
                 % (name or "", ", ".join(sorted(BENCHMARKS))))
    commands.run(lambda flags: run(BENCHMARKS[name], flags), define_flags)
