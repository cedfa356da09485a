"""The flags that commands share: those of trained models, and of clusters."""

import io
import logging

from util import command_line as runners
from util.errors import UserError

import pytest

import convert_checkpoint
import create_pretraining_data
import export_model
import similarity
import tiny
from interchange import command_line as company_flags
from serving import command_line, decisions, predictor
from test_engines import has_bfloat16


@pytest.mark.parametrize("command", [convert_checkpoint, export_model, similarity])
def test_both_names_of_the_config(command):
    flags = tiny.parse(command.define_flags, albert_config_file="a.json")
    assert flags.bert_config_file == "a.json"
    assert set(tiny.parse(lambda: company_flags.define_company_flags("--x"))) <= set(flags)


def test_arguments_of_a_model():
    flags = tiny.parse(similarity.define_flags, model="m", vocab_file="v", doc_stride=7,
                       null_score_diff_threshold=-1.5)
    assert command_line.model_arguments(flags) == {
        "vocab_file": "v", "spm_model_file": None, "do_lower_case": True,
        "bert_config_file": None, "max_seq_length": None,
        "options": {"doc_stride": 7, "null_score_diff_threshold": -1.5}}
    with pytest.raises(UserError, match="--model is missing; name a directory"):
        similarity.main(tiny.parse(similarity.define_flags))


def flags_of(here, **changes):
    return tiny.parse(similarity.define_flags, model=here / "out", vocab_file=here / "vocab.txt",
                      max_seq_length=16, **changes)


@pytest.mark.one_platform
@pytest.mark.parametrize("changes, message", [
    ({"doc_stride": 7}, "--doc_stride is for a model of reading, this one is of classification"),
    ({"eval_file": "dev.tsv"}, "--eval_file is for --bfloat16"),
    ({"bfloat16": True, "engine": "tensorflow"}, "only OpenVINO computes in it"),
    ({"num_workers": 2}, "--num_workers=2 is for --input_file with --output_file"),
    ({"output_file": "out@2.tsv"}, "of standard input: several files need --input_file"),
    ({"runner": "spark"}, "--runner=spark is for --input_file with --output_file; add them"),
    ({"runner": "spark", "input_file": "a", "output_file": "b"},
     "out is no export, .*; python3 export_model.py --model=.*out --output=exported, and give ")])
def test_flags_that_do_not_fit(fine_tuned, monkeypatch, changes, message):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UserError, match=message):
        similarity.main(flags_of(fine_tuned, **changes))


@pytest.mark.skipif(not has_bfloat16(), reason="a processor with bfloat16")
def test_bfloat16_is_judged_by_its_decisions(fine_tuned, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "albert")
    made = command_line.load(flags_of(fine_tuned, bfloat16=True))
    assert made.engine.name == "openvino in bfloat16"
    assert "--eval_file=dev.tsv compares the decisions" in caplog.text
    lines = (fine_tuned / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    (fine_tuned / "eval.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = flags_of(fine_tuned, bfloat16=True, eval_file=fine_tuned / "eval.tsv", max_flips=0.1)
    found = command_line.load_package(flags)
    command_line.check_decisions(flags, found)
    assert "bfloat16: of 90 decisions" in caplog.text
    exact = predictor.make(found, "openvino").predict(["一丁"])[0]["probabilities"]["no"]
    assert made.predict(["一丁"])[0]["probabilities"]["no"] == pytest.approx(exact, abs=0.05)
    monkeypatch.setattr(decisions, "compare", lambda *arguments: decisions.Decisions(
        90, 0.5, 0.9, 0.5))
    with pytest.raises(UserError, match="--bfloat16: 50.00 % of the decisions flipped, more than"):
        command_line.check_decisions(flags, found)


@pytest.mark.parametrize("command", [create_pretraining_data, similarity])
@pytest.mark.parametrize("changes, message", [
    ({}, None), ({"runner": "spark", "spark_conf": "spark.cores.max=2"}, None),
    ({"spark_master": "yarn"}, "--spark_master without --runner=spark; add it"),
    ({"spark_conf": "spark.cores.max=2"}, "--spark_conf without --runner=spark; add it"),
    ({"runner": "spark", "num_workers": 1}, "--num_workers=1 with --runner: Spark takes what")])
def test_flags_of_a_cluster(command, changes, message):
    flags = tiny.parse(command.define_flags, **changes)
    if not message:
        runners.check_runner_flags(flags)
        return
    with pytest.raises(UserError, match=message):
        runners.check_runner_flags(flags)


def test_a_package_that_is_missing():
    with pytest.raises(UserError, match=r"^--runner=spark needs pyspark \(No module .*; with "
                                        "Python 3.10 or later pip install"), \
            runners.needing_pyspark():
        import no_such_module  # noqa: F401
