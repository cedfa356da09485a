"""docs/coming-over.md: its tables are those of util/originals.py; the originals' commands run."""

import json
import logging
import os
import re
import shlex

from util import commands, originals
from util.sources import ROOT

import pytest
from absl import flags as absl_flags

import create_pretraining_data
import run_classifier
import run_pretraining
import run_race
import run_squad
import tiny

PAGE = os.path.join(ROOT, "docs", "coming-over.md")


def flag_rows():
    """The table of flags as the page has it."""
    yield "| flag | of | in | here |"
    yield "|---|---|---|---|"
    for flag in originals.FLAGS:
        what = ("another name of `--%s`" % flag.here if flag.here
                else "ignored: %s" % flag.ignored if flag.ignored
                else "refused%s: %s" % ("" if flag.harmless in (None, "") else
                                        " unless %s" % flag.harmless, flag.refused))
        yield "| `--%s` | %s | %s | %s |" % (
            flag.name, ", ".join(flag.codes),
            ", ".join("`%s.py`" % command for command in flag.commands), what)


def default_rows():
    """The table of defaults as the page has it, a row a command and flag."""
    yield "| command | flag | albert_zh | google |"
    yield "|---|---|---|---|"
    commands = sorted({command for table in originals.DEFAULTS.values() for command in table})
    for command in commands:
        by_code = [originals.DEFAULTS[code].get(command, {}) for code in originals.CODES]
        for flag in sorted(set().union(*by_code)):
            yield "| `%s.py` | `--%s` | %s | %s |" % (
                (command, flag) + tuple(str(values.get(flag, "")) for values in by_code))


def page(name):
    """The lines between <!-- name --> and <!-- end -->."""
    with open(PAGE, encoding="utf-8") as stream:
        return re.search("<!-- %s -->\n(.*?)<!-- end -->" % name, stream.read(), re.S).group(1)


def test_tables_are_those_of_the_code():
    assert page("flags").splitlines() == list(flag_rows())
    assert page("defaults").splitlines() == list(default_rows())


# ---- the commands of both READMEs, as they stand there but for paths ----

ALBERT_ZH_DATA = """create_pretraining_data.py --do_whole_word_mask=True --input_file={news}
  --output_file={here}/data/tf_news.tfrecord --vocab_file={vocab} --do_lower_case=True
  --max_seq_length=512 --max_predictions_per_seq=51 --masked_lm_prob=0.10"""
ALBERT_ZH_PRETRAINING = """run_pretraining.py --input_file={here}/data/tf*.tfrecord
  --output_dir={here}/brightmart --do_train=True --do_eval=True
  --bert_config_file={here}/brightmart.json --train_batch_size=4096 --max_seq_length=512
  --max_predictions_per_seq=51 --num_train_steps=125000 --num_warmup_steps=12500
  --learning_rate=0.00176 --save_checkpoints_steps=2000 --init_checkpoint={here}/initial"""
ALBERT_ZH_GOOGLE = """run_pretraining.py --input_file={here}/data/tf*.tfrecord --eval_batch_size=64
  --output_dir={here}/google --do_train=True --do_eval=True
  --albert_config_file={here}/google.json --export_dir={here}/google_export
  --train_batch_size=4096 --max_seq_length=512 --max_predictions_per_seq=51
  --num_train_steps=125000 --num_warmup_steps=12500 --learning_rate=0.00176
  --save_checkpoints_steps=2000"""
ALBERT_ZH_LCQMC = """run_classifier.py --task_name=lcqmc_pair --do_train=true --do_eval=true
  --data_dir={lcqmc} --vocab_file={vocab} --bert_config_file={here}/brightmart.json
  --max_seq_length=128 --train_batch_size=64 --learning_rate=1e-4 --num_train_epochs=5
  --output_dir={here}/lcqmc --init_checkpoint={here}/brightmart"""
ALBERT_ZH_CLUE = """run_classifier.py --task_name=afqmc --data_dir={here}/afqmc --vocab_file={vocab}
  --bert_config_file={here}/brightmart.json --init_checkpoint={here}/brightmart
  --max_seq_length=128 --train_batch_size=16 --learning_rate=2e-5 --num_train_epochs=3
  --save_checkpoints_steps=300 --output_dir={here}/afqmc_output/ --keep_checkpoint_max=0"""
GOOGLE_PRETRAINING = """run_pretraining.py --input_file={here}/data/tf*.tfrecord
  --output_dir={here}/google_2 --init_checkpoint={here}/google
  --albert_config_file={here}/google.json --do_train --do_eval --train_batch_size=4096
  --eval_batch_size=64 --max_seq_length=512 --max_predictions_per_seq=51 --optimizer='lamb'
  --learning_rate=.00176 --num_train_steps=125000 --num_warmup_steps=3125
  --save_checkpoints_steps=5000"""
GOOGLE_MNLI = """run_classifier.py --data_dir={here}/glue --output_dir={here}/mnli
  --init_checkpoint={here}/google --albert_config_file={here}/google.json --vocab_file={vocab}
  --do_train --do_eval --do_predict --do_lower_case --max_seq_length=128 --optimizer=adamw
  --task_name=MNLI --warmup_step=1000 --learning_rate=3e-5 --train_step=10000
  --save_checkpoints_steps=100 --train_batch_size=128"""
GOOGLE_SQUAD = """run_squad.py --albert_config_file={here}/google.json --output_dir={here}/squad
  --train_file={here}/squad.json --predict_file={here}/squad.json
  --train_feature_file={here}/train_feature_file.tf
  --predict_feature_file={here}/predict_feature_file.tf
  --predict_feature_left_file={here}/pred_left_file.pkl --init_checkpoint={here}/google
  --vocab_file={vocab} --do_lower_case --max_seq_length=384 --doc_stride=128
  --max_query_length=64 --do_train=true --do_predict=true --train_batch_size=48
  --predict_batch_size=8 --learning_rate=5e-5 --num_train_epochs=2.0 --warmup_proportion=.1
  --save_checkpoints_steps=5000 --n_best_size=20 --max_answer_length=30"""
GOOGLE_RACE = """run_race.py --albert_config_file={here}/google.json --output_dir={here}/race_output
  --train_file={here}/train.tf_record --eval_file={here}/eval.tf_record --data_dir={here}/race
  --init_checkpoint={here}/google --vocab_file={vocab} --max_seq_length=512 --max_qa_length=128
  --do_train --do_eval --train_batch_size=32 --eval_batch_size=8 --learning_rate=1e-5
  --train_step=12000 --warmup_step=1000 --save_checkpoints_steps=100"""
# What a test machine does of it: two steps of two examples.
SMALL = {"train_batch_size": 2, "eval_batch_size": 4, "num_train_steps": 2, "num_warmup_steps": 0,
         "max_eval_steps": 2, "train_step": 2, "warmup_step": 0, "xla": False}
COMMANDS = {"create_pretraining_data": create_pretraining_data, "run_classifier": run_classifier,
            "run_pretraining": run_pretraining, "run_race": run_race, "run_squad": run_squad}


@pytest.fixture(scope="module")
def places(tmp_path_factory, sample_vocab):
    """{name in a command: path} of small data in the forms that the commands ask for."""
    here = tmp_path_factory.mktemp("originals")
    with open(sample_vocab, encoding="utf-8") as stream:
        size = len(stream.read().splitlines())
    for layout, changes in tiny.LAYOUTS.items():
        tiny.write_config(here / (layout + ".json"), vocab_size=size, num_hidden_layers=1,
                          max_position_embeddings=512, **changes)
    rows = ["长江水\t长江\t%d" % (number % 2) for number in range(4)]
    lcqmc, afqmc, mnli, race = (here / name for name in ("lcqmc_data", "afqmc", "glue/MNLI",
                                                         "race/RACE"))
    for directory in (lcqmc, afqmc, mnli):
        directory.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (lcqmc / (split + ".txt")).write_text("\n".join(rows) + "\n", encoding="utf-8")
        (afqmc / (split + ".json")).write_text("".join(json.dumps(
            {"sentence1": "长江", "sentence2": "水", "label": str(number % 2)}) + "\n"
            for number in range(4)))
    for name in ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched"):
        (mnli / (name + ".tsv")).write_text("sentence1\tsentence2\tgold_label\n" + "".join(
            "a low test\tlow\t%s\n" % label
            for label in ("contradiction", "entailment", "neutral")))
    (here / "squad.json").write_text(json.dumps({"data": [{"paragraphs": [{
        "context": "the low test", "qas": [{"id": str(number), "question": "what", "answers": [
            {"text": "low", "answer_start": 4}]} for number in range(3)]}]}]}))
    for split in ("train", "dev", "test"):
        for level in ("middle", "high"):
            directory = race / split / level
            directory.mkdir(parents=True)
            (directory / "1.txt").write_text(json.dumps(
                {"article": "the low test", "questions": ["what _ ."], "answers": ["A"],
                 "options": [["a", "b", "c", "d"]], "id": level + "1.txt"}))
    return {"here": here, "vocab": sample_vocab, "lcqmc": lcqmc,
            "news": os.path.join(ROOT, "data", "news_zh_1.txt")}


def run_command_line(text, places, *more):
    """Runs a command in this process as its own would, but for SMALL."""
    script, *arguments = shlex.split(text.format(**places)) + list(more)
    name = commands.command_name(script)
    module = COMMANDS[name]

    def define():
        module.define_flags()
        commands.define_original_flags(absl_flags, name)

    flags = tiny.parse(define)
    flags.unparse_flags()
    flags([script] + commands.join_booleans(arguments, flags))
    commands.apply_original_flags(flags, name)
    for flag in set(SMALL) & set(flags):
        setattr(flags, flag, SMALL[flag])
    for replaced in {"num_train_epochs", "warmup_proportion"} & set(flags):
        flags[replaced].unparse()
    module.main(flags)


@pytest.mark.slow
@pytest.mark.one_platform  # what they are made of has tests on each
def test_readmes_commands_run(places, caplog):
    """In the order of a user: data, pre-training, fine-tuning."""
    here = places["here"]
    with caplog.at_level(logging.INFO, "albert"):
        run_command_line(ALBERT_ZH_DATA, places)
        run_command_line(ALBERT_ZH_GOOGLE, places, "--eval_on_train_data")
        run_command_line(ALBERT_ZH_PRETRAINING.replace("--init_checkpoint={here}/initial", ""),
                         places)
        run_command_line(ALBERT_ZH_LCQMC, places)
        run_command_line(ALBERT_ZH_CLUE, places, "--do_train=true", "--do_eval=false")
        run_command_line(ALBERT_ZH_CLUE, places, "--do_train=false", "--do_eval=true",
                         "--do_predict=true")
        run_command_line(GOOGLE_PRETRAINING, places)
        run_command_line(GOOGLE_MNLI, places)
        run_command_line(GOOGLE_SQUAD, places)
        run_command_line(GOOGLE_RACE, places)
    said = "\n".join(caplog.messages)
    assert "optimizer: LAMB (trust ratio on every variable" in said  # albert_zh's
    assert "optimizer: LAMB (trust ratio where weight decay applies" in said  # Google's
    assert "--train_feature_file is ignored" in said
    assert "--train_file=%s/train.tf_record is ignored" % here in said
    for path in ("google_export", "lcqmc/eval_results.txt", "afqmc_output/test_results.tsv",
                 "mnli/test_mm_results.tsv", "squad/predictions.json",
                 "race_output/eval_results.txt"):
        assert (here / path).exists(), path
