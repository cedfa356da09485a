"""benchmarks/cluster.py: what it counts, and a whole small run of both drivers."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import cluster
from factories import ROOT
from processes import needs_proc
from spark_cluster import needs_spark

pytestmark = pytest.mark.one_platform

# A child that ends at once and leaves one behind, which works for a second of processor time.
ORPHAN = """
import os, subprocess, sys
from benchmarks import cluster
cluster.adopt_orphans()
work = "import time\\nwhile time.process_time() < 1: bytes(1 << 20)"
leave = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', %r])" % work
cost = cluster.measured(lambda: subprocess.check_call([sys.executable, "-c", leave]))
assert 1 <= cost["cpu_seconds"] < 1.9, cost
"""


@needs_proc
def test_processor_time_of_orphans_counts():
    subprocess.check_call([sys.executable, "-c", ORPHAN], cwd=ROOT)


def test_digest_is_of_names_and_bytes(tmp_path):
    def digest(**contents):
        path = tmp_path / str(len(os.listdir(str(tmp_path))))
        path.mkdir()
        for name, content in contents.items():
            (path / name).write_bytes(content)
        return cluster.digest(str(path))

    assert digest(a=b"1", b=b"2") == digest(b=b"2", a=b"1")
    assert len({digest(a=b"1", b=b"2"), digest(a=b"1", c=b"2"), digest(a=b"12", b=b"")}) == 3


@pytest.mark.slow
@needs_spark
def test_both_drivers(sample_vocab):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", "--input_file=data/news_zh_1.txt",
         "--vocab_file=" + sample_vocab, "--megabytes=0.02", "--workers=1", "--one_document"],
        cwd=ROOT, stdout=subprocess.PIPE, check=True)
    local, spark = map(json.loads, done.stdout.decode().strip().split("\n"))
    assert (local["runner"], spark["runner"], spark["megabytes"]) == ("local", "spark", 0.02)
    assert spark["cpu_seconds"] > local["cpu_seconds"] > 0
    assert {"executor", "Python of an executor", "Spark's driver"} <= set(spark["peak_mb"])
