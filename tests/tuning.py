"""A tiny task in own files, for tests that fine-tune through run_classifier.py in-process."""

import json

import numpy as np

import run_classifier
import tiny

TOLD = tiny.CHARACTERS[0]  # a text with this character is labelled "yes", one without it "no"


def texts(count, seed):
    """[(text of 3 to 9 characters, label)]."""
    rng = np.random.RandomState(seed)
    examples = []
    for _ in range(count):
        characters = [tiny.CHARACTERS[index] for index in rng.randint(1, 20, rng.randint(3, 10))]
        label = rng.choice(["no", "yes"])
        if label == "yes":
            characters[rng.randint(len(characters))] = TOLD
        examples.append(("".join(characters), label))
    return examples


def write_tsv(path, examples, header=True):
    lines = ["\t".join(example) for example in ([("text", "label")] if header else []) + examples]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pairs(path, examples, keys=("a", "b", "label")):
    """JSON lines of texts cut in two, with these of the three keys."""
    path.write_text("".join(json.dumps({key: value for key, value in (
        ("a", text[:2]), ("b", text[2:]), ("label", label)) if key in keys}) + "\n"
        for text, label in examples), encoding="utf-8")


def prepare(directory):
    """Writes both kinds of own files, config and vocabulary; returns the directory."""
    for split, count, seed in (("train", 640, 0), ("dev", 90, 1), ("test", 70, 2)):
        write_tsv(directory / (split + ".tsv"), texts(count, seed))
        keys = ("a", "b") if split == "test" else ("a", "b", "label")
        write_pairs(directory / (split + ".jsonl"), texts(count // 10, seed), keys)
    tiny.write_config(directory / "config.json", num_hidden_layers=1)
    tiny.write_vocab(directory / "vocab.txt")
    return directory


def flag_values(here, output="out", **changes):
    """{flag: value} of a run on the TSV files."""
    values = {"task_name": "tsv", "header": True, "text_a_column": "text", "label_column": "label",
              "data_dir": here, "vocab_file": here / "vocab.txt", "output_dir": here / output,
              "bert_config_file": here / "config.json", "max_seq_length": 16,
              "train_batch_size": 16, "learning_rate": 0.001, "num_train_epochs": 3}
    if changes.get("task_name", "tsv") not in ("tsv", "jsonl"):
        for name in ("header", "text_a_column", "label_column"):
            del values[name]
    if "train_step" in changes:
        del values["num_train_epochs"]
    if "learning_rates" in changes:
        del values["learning_rate"]
    return dict(values, **changes)


def flags_of(here, output="out", **changes):
    return tiny.parse(run_classifier.define_flags, **flag_values(here, output, **changes))


def run(here, output="out", **changes):
    """Runs the command; returns its output directory."""
    run_classifier.main(flags_of(here, output, **changes))
    return here / output


def run_short(here, output, **changes):
    """Four steps on pairs in JSON lines, with two evaluations and unlabelled test data."""
    values = {"task_name": "jsonl", "header": False, "text_a_column": "a", "text_b_column": "b",
              "do_train": True, "do_eval": True, "do_predict": True, "train_step": 4,
              "eval_every_steps": 2}
    return run(here, output, **dict(values, **changes))
