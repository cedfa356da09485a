"""What trainings print -> rates, ratios, and one that fails."""

import sys

from util.errors import UserError

import pytest

from benchmarks import running, trainings

OURS = running.Peer("this code", None, trainings.RATE, 1)
ORIGINAL = running.Peer("albert_zh", None, trainings.ORIGINAL_RATE, 5)


def test_rate_of_our_lines_is_the_median_after_the_first():
    lines = ["step %d/99  loss 8.1  %s examples/s  4,205 tokens/s  0:05:10 left" % step_rate
             for step_rate in [(16, "11.5"), (33, "50.0"), (50, "54.0"), (67, "51.0")]]
    assert trainings.rate_of(OURS, "\n".join(lines)) == 51.0
    assert trainings.rate_of(OURS, lines[0]) == 11.5  # a short run has no other
    with pytest.raises(UserError, match="it printed no rate; its last line: killed"):
        trainings.rate_of(OURS, "WARNING\nkilled\n")


def test_rate_of_albert_zh_counts_every_line_once_and_no_start():
    rates = [1.0, 2.0, 3.0, 4.0, 5.0, 17.5, 18.0, 16.5]
    printed = "".join("INFO:tensorflow:examples/sec: %s\nI1121 12:43:25.67 140450079574912 "
                      "tpu_estimator.py:2308] examples/sec: %s\n" % (rate, rate) for rate in rates)
    assert trainings.rate_of(ORIGINAL, printed) == 17.5


def test_rows_are_ratios_to_albert_zh_or_to_the_first():
    rates = {"this code": [50.0, 60.0, 52.0], "albert_zh": [26.0, 25.0, 27.0]}
    memory = {"this code": [1000.2, 900.0, 1100.0], "albert_zh": [1800.0] * 3}
    peaks = {"this code": [110e9, 104e9, 90e9], "albert_zh": [500e9] * 3}
    first, second = trainings.rows_of(rates, memory, peaks, flops=1e9, tokens=93.4)
    assert first == {"pre-training": "this code", "examples/s": 52.0, "lowest": 50.0,
                     "highest": 60.0, "tokens/s": 4856, "% of GFLOP/s": "50 % of 104", "MB": 1000,
                     "x albert_zh": 2.0}
    assert (second["examples/s"], second["% of GFLOP/s"], second["x albert_zh"]) == (
        26, "5 % of 500", 1)
    del rates["albert_zh"]
    alone, = trainings.rows_of(rates, memory, peaks, flops=1e9, tokens=93.4)
    assert alone["x this code"] == 1.0


def script(path, text):
    path.write_text(text)
    return [sys.executable, str(path)]


def test_all_are_measured_in_turn_and_one_that_fails_is_left_out(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "albert")
    monkeypatch.setattr(running, "peer_command", lambda *arguments: script(
        tmp_path / "peaks.py", "print('{\"float32\": 2e9, \"bfloat16\": 9e9}')"))
    commands_of = {
        "this code": script(tmp_path / "good.py", "print('7.0 examples/s')"),
        "broken": script(tmp_path / "bad.py", "import no_such_module"),
        "silent": script(tmp_path / "silent.py", "print('done')"),
        "other": script(tmp_path / "other.py", "print('3.5 examples/s')")}
    peers = [running.Peer(name, lambda output_dir, command=command: command, trainings.RATE, 1,
                          "bfloat16" if name == "other" else "float32")
             for name, command in commands_of.items()]
    rates, memory, peaks = trainings.measure_in_turn(peers, 2, str(tmp_path))
    assert dict(rates) == {"this code": [7, 7], "other": [3.5, 3.5]}
    assert peaks == {"this code": [2e9, 2e9], "other": [9e9, 9e9]}
    assert len(memory["other"]) == 2 and min(memory["other"]) > 2
    assert caplog.messages == [
        "this code: 7.0 examples/s",
        "broken is skipped: bad.py failed: ModuleNotFoundError: No module named 'no_such_module'",
        "silent is skipped: it printed no rate; its last line: done",
        "other: 3.5 examples/s", "this code: 7.0 examples/s", "other: 3.5 examples/s"]
    with pytest.raises(UserError, match="bad.py failed"):  # this code must run
        trainings.measure_in_turn(peers[1:], 1, str(tmp_path))
