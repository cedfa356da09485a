"""What a request costs a server, by its own count."""

import pytest

pytest.importorskip("starlette", reason="the server's packages are of Python 3.9 and newer")

from benchmarks import load, sizing  # noqa: E402
from served import model, running, settings  # noqa: E402


def test_row_of_the_table(tmp_path):
    made = model(tmp_path)
    made.engine._bad = -1  # nothing fails
    with running({"own": made}, settings()) as port:
        before = len(made.engine.batches)
        row = sizing.measure(port, load.items_of(made, 20), 4, 0.5)
    assert row["failures"] == 0 and 1 <= row["rows a batch"] <= 4
    assert row["requests/s"] * row["CPU ms a request"] / 1000 == pytest.approx(
        row["requests/s"] / row["requests/s of a processor"])
    assert 0 < row["median ms"] < 500 and len(made.engine.batches) > before
