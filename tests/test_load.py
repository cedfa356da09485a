"""The load that a server bears, for some seconds, and what is found wrong with one."""

import pytest

pytest.importorskip("starlette", reason="the server's packages are of Python 3.9 and newer")

from benchmarks import load  # noqa: E402
from served import model, running, settings, write_model  # noqa: E402
from serving import predictor  # noqa: E402


@pytest.mark.slow
def test_server_bears_it(tmp_path):
    write_model(tmp_path)
    known = load.items_of(predictor.load(str(tmp_path)), 60)
    limits = dict(load.LIMITS, read_seconds=0.5)
    with load.started(str(tmp_path), str(tmp_path / "log"), **limits) as port:
        report = load.attack(port, known, 15, limits)
    lines = load.conclude(report)
    assert report.failures == [], lines
    logged = load.log_lines(str(tmp_path / "log"))
    assert [line for line in logged if line["level"] == "error"] == []
    happened = {kind for kind, _ in report.counts}
    assert happened >= set(load.Bad.KINDS) | {"Good", "Vanishing", "Slow", "Crowd"}
    assert report.counts["Good", 200] > 50 and report.counts["10 MB", 413] > 0
    assert report.counts["Crowd", 503] > 0


def test_wrong_answers_are_seen(tmp_path):
    made = model(tmp_path)
    made.engine._bad = -1  # nothing fails
    known = load.items_of(made, 20)
    with running({"own": made}, settings()) as port:
        made.engine._told = 0  # answers otherwise from here on
        report = load.attack(port, known, 1, load.LIMITS, good=2)
    assert any(failure.startswith("expected {'label': ") for failure in report.failures)


def test_growth_is_seen():
    report = load.Report()
    report.memory = [50e6 + 2e6 * second for second in range(100)]
    report.count("Good", 200, 0.1)
    load.conclude(report)
    assert report.failures == ["memory grew from 114 to 234 MB"]


def test_same():
    answer = {"label": "a", "probabilities": {"a": 0.5}, "masks": [("x", 1.0)], "start": None}
    assert load.same(answer, dict(answer, probabilities={"a": 0.50001}, masks=[["x", 1.0]]))
    for other in (dict(answer, label="b"), dict(answer, probabilities={"a": 0.51}), {},
                  dict(answer, masks=[]), dict(answer, start=0)):
        assert not load.same(answer, other)
