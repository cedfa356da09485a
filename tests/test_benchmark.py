"""benchmark.py: flags, making data, peers that are not there, and a whole small run."""

import json
import re
import shutil
import sys

from util import processors
from util.errors import UserError

import pytest

import benchmark
import tiny
from benchmarks import running, trainings
from text import corpus


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


def test_data_beside_a_script_like_albert_zh(tmp_path, sample_vocab, monkeypatch, caplog):
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
    caplog.set_level("INFO", "albert")
    benchmark.data(tiny.parse(benchmark.define_flags, **arguments), [str(tmp_path / "in.txt")],
                   str(tmp_path))
    assert "albert_zh is skipped: no --albert_zh_dir" in caplog.messages


def test_commands_of_milliseconds_take_time():
    costs = [running.measure([sys.executable, "-S", "-c", ""])[1] for _ in range(10)]
    assert len({cost["seconds"] for cost in costs}) == 10  # the clock's steps are finer than 10 ms
    assert all(0 < cost["seconds"] < 10 for cost in costs)


def test_no_segmenter_that_runs(tmp_path, sample_vocab):
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
    monkeypatch.setattr(processors, "has_bfloat16", lambda: False)
    gone = str(tmp_path / "gone" / "python")
    found = candidates(tmp_path, pythons="classic=" + gone, huggingface_python=gone + "," + gone)
    missing = gone + ": No such file or directory"
    assert {name: problem for name, (_, problem) in found.items()} == dict(
        {peer.name: missing + "; " + missing for peer in trainings.HUGGING_FACE}, **{
            "this code": None, "this code, classic": missing, "albert_zh": "no --albert_zh_dir"})
    monkeypatch.setattr(trainings, "HUGGING_FACE", [
        trainings.HuggingFace("PyTorch", "pytorch", [], "import json")])
    clone = {"albert_zh_dir": tmp_path, "albert_zh_python": sys.executable}
    found = candidates(tmp_path, huggingface_python=gone + "," + sys.executable, **clone)
    assert found["albert_zh"][1] == "%s: no such file" % (tmp_path / "run_pretraining.py")
    peer, problem = found["PyTorch"]
    assert problem is None and peer.command("out")[0] == sys.executable
    assert running.lacks(sys.executable, "import no_such_module") == (
        sys.executable + ": ModuleNotFoundError: No module named 'no_such_module'")


@pytest.mark.slow
def test_a_processor_with_bfloat16_has_a_row_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(processors, "has_bfloat16", lambda: True)
    monkeypatch.setattr(trainings, "HUGGING_FACE", [])
    found = candidates(tmp_path, pythons="same=" + sys.executable)
    rows = {name: peer.dtype for name, (peer, problem) in found.items()
            if name.startswith("this code") and (not problem or "needs TensorFlow 2" in problem)}
    assert rows == {"this code": "float32", "this code, same": "float32",
                    "this code, --amp": "bfloat16", "this code, --amp, same": "bfloat16"}
    assert "--amp=True" in found["this code, --amp"][0].command("out")


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
