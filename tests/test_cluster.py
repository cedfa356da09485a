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

# A child that has one of its own, which works for a second of processor time.
MEASURED = """
import subprocess, sys
from benchmarks import cluster
cluster.adopt_orphans()
work = "import time\\nwhile time.process_time() < 1: bytes(1 << 20)\\ntime.sleep(1)"
child = "import signal, subprocess, sys, time\\n" + sys.argv[1]
cost = cluster.measured(lambda: subprocess.check_call([sys.executable, "-c", child, work]))
assert 1 <= cost["cpu_seconds"] < 1.9, cost
"""


@needs_proc
@pytest.mark.parametrize("child", [
    "subprocess.check_call([sys.executable, '-c', sys.argv[1]])",
    "subprocess.Popen([sys.executable, '-c', sys.argv[1]])",  # an orphan, soon
    "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # as the daemon of Spark's Pythons
    "subprocess.Popen([sys.executable, '-c', sys.argv[1]])\ntime.sleep(4)",
    "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # the same, and an orphan in the end
    "subprocess.Popen([sys.executable, '-c', sys.argv[1]])\ntime.sleep(1)"])
def test_processor_time_of_all_counts_once(child):
    subprocess.check_call([sys.executable, "-c", MEASURED, child], cwd=ROOT)


@needs_proc
def test_processor_time_of_others_does_not_count():
    # The child of this one is as forgotten, and in the session of the measured, as the system's
    # threads are in some.
    other = subprocess.Popen([sys.executable, "-c", """
import os, signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
work = "import os, sys\\nwhile os.getppid() == int(sys.argv[1]): pass"
subprocess.call([sys.executable, "-c", work, str(os.getpid())])
"""])
    try:
        subprocess.check_call([sys.executable, "-c", MEASURED,
                               "subprocess.check_call([sys.executable, '-c', sys.argv[1]])"],
                              cwd=ROOT)
    finally:
        other.kill()
        other.wait()


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
    local, spark, idle = map(json.loads, done.stdout.decode().strip().split("\n"))
    assert (local["runner"], spark["runner"], spark["megabytes"]) == ("local", "spark", 0.02)
    assert spark["cpu_seconds"] > local["cpu_seconds"] > 0
    assert idle["runner"] == "cluster" and 0 < idle["cpu_seconds"] < spark["cpu_seconds"]
    assert spark["times the local cpu_seconds"] > spark["the same without the cluster's"] > 1
    assert {"executor", "Python of an executor", "Spark's driver"} <= set(spark["peak_mb"])
