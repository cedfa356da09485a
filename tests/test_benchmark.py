"""benchmark.py: rates, ratios, peers that are not there, and a whole small run."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys

from util import console, processors
from util.errors import UserError

import numpy as np
import pytest

import benchmark
import tiny
from benchmarks import inference, peers
from text import corpus

OURS = benchmark.Peer("this code", None, benchmark.RATE, 1)
ORIGINAL = benchmark.Peer("albert_zh", None, benchmark.ORIGINAL_RATE, 5)
# A Python with transformers may be another one than that of the tests.
HUGGING_FACE_PYTHON = os.environ.get("HUGGINGFACE_PYTHON", sys.executable)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(console, "say", lambda form, *values: lines.append(form % values))
    return lines


def test_rate_of_our_lines_is_the_median_after_the_first():
    lines = ["step %d/99  loss 8.1  %s examples/s  4,205 tokens/s  0:05:10 left" % step_rate
             for step_rate in [(16, "11.5"), (33, "50.0"), (50, "54.0"), (67, "51.0")]]
    assert benchmark.training_rate(OURS, "\n".join(lines)) == 51.0
    assert benchmark.training_rate(OURS, lines[0]) == 11.5  # a short run has no other
    with pytest.raises(UserError, match="it printed no rate; its last line: killed"):
        benchmark.training_rate(OURS, "WARNING\nkilled\n")


def test_rate_of_albert_zh_counts_every_line_once_and_no_start():
    rates = [1.0, 2.0, 3.0, 4.0, 5.0, 17.5, 18.0, 16.5]
    printed = "".join("INFO:tensorflow:examples/sec: %s\nI1121 12:43:25.67 140450079574912 "
                      "tpu_estimator.py:2308] examples/sec: %s\n" % (rate, rate) for rate in rates)
    assert benchmark.training_rate(ORIGINAL, printed) == 17.5


def test_rows_are_ratios_to_albert_zh_or_to_the_first():
    rates = {"this code": [50.0, 60.0, 52.0], "albert_zh": [26.0, 25.0, 27.0]}
    memory = {"this code": [1000.2, 900.0, 1100.0], "albert_zh": [1800.0] * 3}
    peaks = {"this code": [110e9, 104e9, 90e9], "albert_zh": [500e9] * 3}
    first, second = benchmark.training_rows(rates, memory, peaks, flops=1e9, tokens=93.4)
    assert first == {"pre-training": "this code", "examples/s": 52.0, "lowest": 50.0,
                     "highest": 60.0, "tokens/s": 4856, "% of GFLOP/s": "50 % of 104", "MB": 1000,
                     "x albert_zh": 2.0}
    assert (second["examples/s"], second["% of GFLOP/s"], second["x albert_zh"]) == (
        26, "5 % of 500", 1)
    del rates["albert_zh"]
    alone, = benchmark.training_rows(rates, memory, peaks, flops=1e9, tokens=93.4)
    assert alone["x this code"] == 1.0


def script(path, text):
    path.write_text(text)
    return [sys.executable, str(path)]


def test_all_are_measured_in_turn_and_one_that_fails_is_left_out(tmp_path, monkeypatch, said):
    monkeypatch.setattr(benchmark, "peer_command", lambda *arguments: script(
        tmp_path / "peaks.py", "print('{\"float32\": 2e9, \"bfloat16\": 9e9}')"))
    commands_of = {
        "this code": script(tmp_path / "good.py", "print('7.0 examples/s')"),
        "broken": script(tmp_path / "bad.py", "import no_such_module"),
        "silent": script(tmp_path / "silent.py", "print('done')"),
        "other": script(tmp_path / "other.py", "print('3.5 examples/s')")}
    peers = [benchmark.Peer(name, lambda output_dir, command=command: command, benchmark.RATE, 1,
                            "bfloat16" if name == "other" else "float32")
             for name, command in commands_of.items()]
    rates, memory, peaks = benchmark.measure_in_turn(peers, 2, str(tmp_path))
    assert dict(rates) == {"this code": [7, 7], "other": [3.5, 3.5]}
    assert peaks == {"this code": [2e9, 2e9], "other": [9e9, 9e9]}
    assert len(memory["other"]) == 2 and min(memory["other"]) > 2
    assert said == [
        "this code: 7.0 examples/s",
        "broken is skipped: bad.py failed: ModuleNotFoundError: No module named 'no_such_module'",
        "silent is skipped: it printed no rate; its last line: done",
        "other: 3.5 examples/s", "this code: 7.0 examples/s", "other: 3.5 examples/s"]
    with pytest.raises(UserError, match="bad.py failed"):  # this code must run
        benchmark.measure_in_turn(peers[1:], 1, str(tmp_path))


@pytest.mark.parametrize("text", ["", "\n \n", "\u200b\n"])
def test_text_without_documents_is_said(tmp_path, text):
    (tmp_path / "in.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"in.txt: no text in 1 file\(s\); give files with a sent"):
        corpus.write_sample([str(tmp_path / "in.txt")], 10, str(tmp_path / "out.txt"))


def test_bad_lines_are_left_out_where_the_flag_says_so(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"a\nb\xff\nc\n")
    arguments = [str(tmp_path / "in.txt")], 1, str(tmp_path / "out.txt")
    with pytest.raises(UserError, match="line 2: byte 2 is not UTF-8.* or pass --skip_bad_lines"):
        corpus.write_sample(*arguments)
    corpus.write_sample(*arguments, skip_bad_lines=True)
    assert (tmp_path / "out.txt").read_text() == "a\nc\n\n"
    assert not tiny.parse(benchmark.define_flags).skip_bad_lines


@pytest.mark.parametrize("flag, value", [
    ("megabytes", "inf"), ("megabytes", "4,nan"), ("megabytes", "0"), ("megabytes", "x"),
    ("megabytes", ""), ("num_workers", "1,-1"), ("num_workers", "1.5")])
def test_sizes_and_processes_are_numbers_above_0(tmp_path, flag, value):
    flags = tiny.parse(benchmark.define_flags, **{flag: value})
    with pytest.raises(UserError, match="--%s=%s: expected (sizes|numbers)" % (flag, value)):
        benchmark.data(flags, [], str(tmp_path))


def test_rows_of_making_data_are_medians_and_ratios_of_wall_clock():
    def cost(seconds):
        return {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_mb": 100.0, "instances": 60}

    costs = {"this code": [cost(3), cost(2), cost(9)], "albert_zh": [cost(30)] * 3}
    first, second = benchmark.data_rows(4.0, costs)
    assert first == {
        "MB": 4.0, "making data": "this code", "instances": 60, "seconds": 3, "CPU seconds": 6,
        "instances/s": 20, "times as fast as albert_zh": 10, "MB of the largest process": 100}
    assert second["times as fast as albert_zh"] == 1
    del costs["albert_zh"]
    assert benchmark.data_rows(4.0, costs)[0]["times as fast as this code"] == 1


def test_data_beside_a_script_like_albert_zh(tmp_path, sample_vocab, monkeypatch, said):
    """In turn, with the same text and flags; without albert_zh a message says so."""
    (tmp_path / "in.txt").write_text("长江发源于青藏高原。\n全长6300公里。\n\n" * 20,
                                     encoding="utf-8")
    (tmp_path / "create_pretraining_data.py").write_text(
        "import sys; assert '--dupe_factor=5' in sys.argv; print('Wrote 7 total instances')")
    monkeypatch.setattr(benchmark, "lacks_original", lambda *_: None)
    arguments = {"vocab_file": sample_vocab, "megabytes": "0.001", "num_workers": "1", "rounds": 1}
    with_peer = tiny.parse(benchmark.define_flags, albert_zh_dir=tmp_path,
                           albert_zh_python=sys.executable, **arguments)
    ours, theirs = benchmark.data(with_peer, [str(tmp_path / "in.txt")], str(tmp_path))
    assert theirs["instances"] == 7 and ours["instances"] > 7
    assert ours["times as fast as albert_zh"] < 1  # which did nothing
    monkeypatch.undo()
    monkeypatch.setattr(console, "say", lambda form, *values: said.append(form % values))
    benchmark.data(tiny.parse(benchmark.define_flags, **arguments), [str(tmp_path / "in.txt")],
                   str(tmp_path))
    assert "albert_zh is skipped: no --albert_zh_dir" in said


def test_no_segmenter_that_runs(tmp_path, sample_vocab, said):
    (tmp_path / "in.txt").write_text("a\nb\n")
    flags = tiny.parse(benchmark.define_flags, vocab_file=sample_vocab, megabytes="0.001",
                       segmenters="no_such_module")
    with pytest.raises(UserError, match="--segmenters=no_such_module: none of them runs here; "):
        benchmark.data(flags, [str(tmp_path / "in.txt")], str(tmp_path))


def test_processor_has_a_name():
    assert re.match(r"\S.*, \d+ of its processors$", benchmark.processor())


@pytest.mark.parametrize("output", ["in.txt", "./in.txt", "vocab.txt"])
def test_figures_do_not_overwrite_the_input(tmp_path, sample_vocab, output):
    (tmp_path / "in.txt").write_text("a\nb\n")
    shutil.copy(sample_vocab, str(tmp_path / "vocab.txt"))
    flags = tiny.parse(benchmark.define_flags, input_file=tmp_path / "in.txt",
                       vocab_file=tmp_path / "vocab.txt", output="%s/%s" % (tmp_path, output))
    with pytest.raises(UserError, match="is one of the input files; name another"):
        benchmark.run(benchmark.data, flags)


def candidates(tmp_path, **flags):
    values = tiny.parse(benchmark.define_flags, **flags)
    return {peer.name: (peer, problem)
            for peer, problem in benchmark.candidates(values, str(tmp_path))}


def test_peers_that_are_not_there_are_told_why(tmp_path, monkeypatch):
    monkeypatch.setattr(processors, "has_amx", lambda: False)
    gone = str(tmp_path / "gone" / "python")
    found = candidates(tmp_path, pythons="classic=" + gone, huggingface_python=gone + "," + gone)
    missing = gone + ": No such file or directory"
    assert {name: problem for name, (_, problem) in found.items()} == dict(
        {peer.name: missing + "; " + missing for peer in benchmark.HUGGING_FACE}, **{
            "this code": None, "this code, classic": missing, "albert_zh": "no --albert_zh_dir"})
    monkeypatch.setattr(benchmark, "HUGGING_FACE", [
        benchmark.HuggingFace("PyTorch", "pytorch", [], "import json")])
    clone = {"albert_zh_dir": tmp_path, "albert_zh_python": sys.executable}
    found = candidates(tmp_path, huggingface_python=gone + "," + sys.executable, **clone)
    assert found["albert_zh"][1] == "%s: no such file" % (tmp_path / "run_pretraining.py")
    peer, problem = found["PyTorch"]
    assert problem is None and peer.command("out")[0] == sys.executable
    assert benchmark.lacks(sys.executable, "import no_such_module") == (
        sys.executable + ": ModuleNotFoundError: No module named 'no_such_module'")


@pytest.mark.slow
def test_a_processor_with_bfloat16_has_a_row_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(processors, "has_amx", lambda: True)
    monkeypatch.setattr(benchmark, "HUGGING_FACE", [])
    found = candidates(tmp_path, pythons="same=" + sys.executable)
    rows = {name: peer.dtype for name, (peer, problem) in found.items()
            if name.startswith("this code") and (not problem or "needs TensorFlow 2" in problem)}
    assert rows == {"this code": "float32", "this code, same": "float32",
                    "this code, --amp": "bfloat16", "this code, --amp, same": "bfloat16"}
    assert "--amp=True" in found["this code, --amp"][0].command("out")


def test_peers_get_the_same_labels():
    features = tiny.pretraining_example(np.random.RandomState(0))
    features = {name: np.stack([value, value]) for name, value in features.items()}
    features["masked_lm_weights"][1, 1] = 0
    batch = peers.peer_batch(features)
    token = features["masked_lm_ids"][0, 0]
    expected = np.full([2, 16], -100)
    expected[0, [2, 5]] = expected[1, 2] = token
    np.testing.assert_array_equal(batch["labels"], expected)
    assert batch["sentence_order_label"].shape == (2,)


def test_labels_of_peers_are_numbered_in_their_order(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\nx y\tb\nz\ta\n")
    assert peers.read_labelled(str(tmp_path / "a.tsv")) == (["x y", "z"], [1, 0])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The batches of tiny records, as the peers read them, and an example's work."""
    tmp_path = tmp_path_factory.mktemp("prepared")
    records = tiny.write_records(tmp_path / "train.tfrecord", 64)
    target = str(tmp_path / "batches.npz")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        peers.prepare(tiny.write_config(tmp_path / "config.json"), records, target, 3, tiny.LENGTH,
                      tiny.PREDICTIONS)
    return target, json.loads(printed.getvalue())


@pytest.mark.slow
@pytest.mark.every_platform
def test_batches_for_peers(prepared):
    target, work = prepared
    # By hand as in test_flops.py: 15 of 16 positions are tokens.
    flops = 6 * (15 * 8 * 16 + 2 * (15 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 15 * 15 * 16)
                 + 16 * 16 + 16 * 2 + 2 * (16 * 16 + 16 * 8 + 8 * 100))
    assert work == {"tokens": 15.0, "predictions": 2.0, "flops": flops}
    config, batches = peers.read(target)
    assert (config["hidden_size"], config["hidden_act"], len(batches)) == (16, "gelu_new", 16)
    assert {"layout", "ln_type"}.isdisjoint(config)
    assert batches[0]["labels"].shape == (3, tiny.LENGTH)
    assert np.count_nonzero(batches[0]["labels"] >= 0) == 6
    assert np.any(batches[0]["input_ids"] != batches[1]["input_ids"])


@pytest.mark.slow
@pytest.mark.parametrize("peer", benchmark.HUGGING_FACE, ids=lambda peer: peer.name)
def test_transformers_learns_from_them(peer, prepared):
    problem = benchmark.lacks(HUGGING_FACE_PYTHON, peer.code)
    if problem:
        pytest.skip(problem)
    target, _ = prepared
    printed = subprocess.check_output(
        benchmark.peer_command(peer.function, target, 150, *peer.arguments,
                               python=HUGGING_FACE_PYTHON),
        cwd=benchmark.HERE, stderr=subprocess.DEVNULL).decode()
    lines = printed.strip().split("\n")
    assert len(lines) == 150 and lines[-1].startswith("step 150/150  loss ")
    losses = [float(line.split()[3]) for line in lines]
    assert np.mean(losses[-16:]) < np.mean(losses[:16]) - 0.3
    assert benchmark.training_rate(OURS, printed) > 1


@pytest.mark.slow
def test_whole_run_without_peers(tmp_path, sample_vocab, run_command):
    with open(sample_vocab, encoding="utf-8") as stream:
        size = len(stream.read().split())
    gone = str(tmp_path / "gone")
    status, printed = run_command(
        "benchmark.py", "pretrain", input_file="data/news_zh_1.txt", vocab_file=sample_vocab,
        bert_config_file=tiny.write_config(
            tmp_path / "config.json", vocab_size=size, max_position_embeddings=128,
            num_hidden_layers=1),
        rounds=1, steps=20, max_seq_length=32, huggingface_python=gone,
        output=tmp_path / "out.json")
    assert status == 0, printed
    assert "transformers, PyTorch is skipped: %s: No such file or directory" % gone in printed
    assert "albert_zh is skipped: no --albert_zh_dir" in printed
    row = json.loads((tmp_path / "out.json").read_text())["rows"][0]
    assert row["pre-training"] == "this code" and row["x this code"] == 1.0
    tokens = float(re.search(r"an example has (\d+) of 32 tokens", printed).group(1))
    assert tokens * row["examples/s"] == pytest.approx(row["tokens/s"], rel=0.03)
    assert 20 < tokens < 32 and row["tokens/s"] > 1000
    assert 100 < row["MB"] < 10000


# ---- inference ----

class Told(object):
    """A process of ways whose answers are known."""

    def __init__(self, shares, seconds):
        self._shares, self._seconds = shares, seconds

    def ask(self, row, cell, seconds=0):
        return self._seconds[row].pop(0) if seconds else self._shares[row]


def row_of(name, cells, size=None):
    return {"row": name, "role": inference.ROLES.get(name), "cells": cells, "MB": size,
            "problem": None}


@pytest.mark.parametrize("name, shares, sentence", [
    ("other", [[0.502, 0.498], [0.1, 0.9]], "the largest difference from the probabilities of our"),
    ("int8", [[0.9, 0.1], [0.1, 0.9]], "int8, pairs: the mean difference .* is 0.2, more than 0.1"),
    ("other", [[0.5, 0.5]], "other, pairs: the largest"), (None, [], "nearly the same")])
def test_other_probabilities_stop_it_before_anything_is_measured(said, name, shares, sentence):
    right = [[0.5, 0.5], [0.1, 0.9]] if name else [[0.5, 0.5]] * 2
    process = Told({"ours": right, "int8 ": [[0.5, 0.5], [0.2, 0.8]], name: shares}, {})
    rows = ["ours", "int8 "] if name else ["ours"]
    found = [(row_of(one, ["pairs"]), process) for one in rows + [name] * bool(name)]
    with pytest.raises(UserError, match=sentence):
        benchmark.check_equal(found)
    if name:
        benchmark.check_equal(found[:2])
        assert said[-1] == "int8 , pairs: mean difference 5.0e-02"


def test_rows_of_inference_are_medians_and_ratios_of_rounds(monkeypatch, tmp_path):
    export, pipeline = inference.EXPORTED, inference.PIPELINE
    process = Told({}, {"ours": [0.002, 1.0, 0.004, 2.0], export: [0.004, 0.010],
                        pipeline: [9.0, 9.0], inference.PIPELINE_32: [4.0, 6.0]})
    monkeypatch.setattr(benchmark, "measure", lambda command: ("", {"seconds": 0.5}))
    found = [(row_of("ours", ["1 x 32", "pairs"], 16.7), process),
             (row_of(export, ["1 x 32"], 36.0), process), (row_of(pipeline, ["pairs"]), process),
             (row_of(inference.PIPELINE_32, ["pairs"]), process)]
    seconds, first = benchmark.measure_ways(found, 2, str(tmp_path))
    ours, exported, *_ = benchmark.inference_rows("2 pairs", [row for row, _ in found], seconds,
                                                  first)
    assert ours == {
        "inference, 2 pairs": "ours", "1 x 32, ms": 3.0, "1 x 32: x export": 2.25,
        "32 x 128, ms": "-", "32 x 128: x export": "-", "32 x 128: x bfloat16": "-",
        "pairs/s": 2 / 1.5, "pairs: x pipeline": 3.5,
        "first answer, s": 0.5, "MB": 16.7}
    assert exported["1 x 32: x export"] == 1.0 and exported["first answer, s"] == "-"


@pytest.mark.slow
def test_ways_of_one_model(tmp_path):
    """Whatever is installed here computes the same; a way that cannot be loaded is said."""
    pytest.importorskip("onnxruntime")
    directory = tmp_path / "work"
    directory.mkdir()
    (tmp_path / "pairs.tsv").write_text("一丁\t七\t1\n万\t丈三上\t0\n", encoding="utf-8")
    vocab = tiny.write_vocab(tmp_path / "vocab.txt")
    config = tiny.write_config(tmp_path / "config.json", max_position_embeddings=128)
    inference.prepare(config, vocab, str(tmp_path / "pairs.tsv"), str(directory))
    with benchmark.Ways("ours", str(directory)) as process:
        found = [(row, process) for row in process.rows if not row["problem"]]
        assert {"ONNX Runtime", "ONNX Runtime, --int8", "TensorFlow"} <= {
            row["row"] for row, _ in found}
        benchmark.check_equal(found)
        assert 0 < process.ask("ONNX Runtime", "1 x 32", 0.01) < 1
    with pytest.raises(UserError, match="benchmarks.inference failed: .*No such file"):
        benchmark.Ways("ours", str(tmp_path))


@pytest.mark.parametrize("text, sentence", [
    ("", "has no lines"), ("a\tb\t0\na\n", "pairs.tsv line 2: expected two texts with a tab")])
def test_pairs_that_are_none(tmp_path, text, sentence):
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(UserError, match=sentence):
        inference.read_pairs(str(tmp_path / "pairs.tsv"))
