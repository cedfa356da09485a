"""Inference: equal probabilities first, then rates and ratios."""


from util.errors import UserError

import pytest

import tiny
from benchmarks import inference, running, ways


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
def test_other_probabilities_stop_it_before_anything_is_measured(caplog, name, shares, sentence):
    caplog.set_level("INFO", "albert")
    right = [[0.5, 0.5], [0.1, 0.9]] if name else [[0.5, 0.5]] * 2
    process = Told({"ours": right, "int8 ": [[0.5, 0.5], [0.2, 0.8]], name: shares}, {})
    rows = ["ours", "int8 "] if name else ["ours"]
    found = [(row_of(one, ["pairs"]), process) for one in rows + [name] * bool(name)]
    with pytest.raises(UserError, match=sentence):
        ways.check_equal(found)
    if name:
        ways.check_equal(found[:2])
        assert caplog.messages[-1] == "int8 , pairs: mean difference 5.0e-02"


def test_rows_of_inference_are_medians_and_ratios_of_rounds(monkeypatch, tmp_path):
    export, pipeline = inference.EXPORTED, inference.PIPELINE
    process = Told({}, {"ours": [0.002, 1.0, 0.004, 2.0], export: [0.004, 0.010],
                        pipeline: [9.0, 9.0], inference.PIPELINE_32: [4.0, 6.0]})
    monkeypatch.setattr(running, "measure", lambda command: ("", {"seconds": 0.5}))
    found = [(row_of("ours", ["1 x 32", "pairs"], 16.7), process),
             (row_of(export, ["1 x 32"], 36.0), process), (row_of(pipeline, ["pairs"]), process),
             (row_of(inference.PIPELINE_32, ["pairs"]), process)]
    seconds, first = ways.measure_in_turn(found, 2, str(tmp_path))
    ours, exported, *_ = ways.rows_of("2 pairs", [row for row, _ in found], seconds, first)
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
    with ways.Ways("ours", str(directory)) as process:
        found = [(row, process) for row in process.rows if not row["problem"]]
        assert {"ONNX Runtime", "ONNX Runtime, --int8", "TensorFlow"} <= {
            row["row"] for row, _ in found}
        ways.check_equal(found)
        assert 0 < process.ask("ONNX Runtime", "1 x 32", 0.01) < 1
    with pytest.raises(UserError, match="benchmarks.inference failed: .*No such file"):
        ways.Ways("ours", str(tmp_path))


@pytest.mark.parametrize("text, sentence", [
    ("", "has no lines"), ("a\tb\t0\na\n", "pairs.tsv line 2: expected two texts with a tab")])
def test_pairs_that_are_none(tmp_path, text, sentence):
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(UserError, match=sentence):
        inference.read_pairs(str(tmp_path / "pairs.tsv"))
