"""A standalone Spark cluster of this machine for tests: a master and workers from the package."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from processes import alive, descendants, wait_until

if not importlib.util.find_spec("pyspark"):
    PROBLEM = "pyspark is not installed (pip install -r requirements-spark.txt)"
elif not (shutil.which("java") or os.environ.get("JAVA_HOME")):
    PROBLEM = "there is no Java (openjdk-17-jre-headless)"
elif not os.path.isdir("/proc/self"):
    PROBLEM = "needs /proc"
else:
    PROBLEM = None
needs_spark = pytest.mark.skipif(PROBLEM is not None, reason="Spark: %s" % PROBLEM)

# A JVM that starts soon and does little.
SMALL_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
# For a job: an executor of one core on each worker, so that two jobs have room at a time.
CONF = {"spark.executor.memory": "512m", "spark.executor.cores": "1", "spark.cores.max": "2",
        "spark.driver.memory": "512m", "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false",
        "spark.driver.extraJavaOptions": SMALL_JVM, "spark.executor.extraJavaOptions": SMALL_JVM,
        "spark.pyspark.python": sys.executable}
ONE_EXECUTOR = {"spark.cores.max": "1"}


class Cluster:
    """A master and two workers, listening on 127.0.0.1 alone; ended with the `with`."""

    def __init__(self, directory):
        self._directory = directory
        self._processes = []

    def __enter__(self):
        try:
            self.address = self._wait_for(
                self._start("master", "Master", "--port", "0"), r"Starting Spark master at (\S+)")
            self.workers = [self.start_worker(number) for number in range(2)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        started = [pid for process, _ in self._processes for pid in descendants(process.pid)]
        for process, _ in self._processes:
            process.kill()
            process.wait()
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, started)))

    def start_worker(self, number):
        """Starts a worker; returns its process."""
        started = self._start(
            "worker-%d" % number, "Worker", "--cores", "2", "--memory", "1100m", "--work-dir",
            os.path.join(self._directory, "work-%d" % number), self.address)
        self._wait_for(started, "Successfully registered")
        return started[0]

    def _start(self, name, role, *arguments):
        import pyspark
        home = os.path.dirname(pyspark.__file__)
        log = os.path.join(self._directory, name + ".log")
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                [os.path.join(home, "bin", "spark-class"),
                 "org.apache.spark.deploy.%s.%s" % (role.lower(), role), "--host", "127.0.0.1",
                 "--webui-port", "0"] + list(arguments),
                stdout=stream, stderr=stream, env=dict(
                    os.environ, SPARK_DAEMON_MEMORY="128m", SPARK_LOCAL_IP="127.0.0.1",
                    SPARK_DAEMON_JAVA_OPTS=SMALL_JVM))
        self._processes.append((process, log))
        return process, log

    def _wait_for(self, started, pattern):
        """Waits for a line in the log of what was started; returns what the pattern matched."""
        process, log = started

        def found():
            assert process.poll() is None, open(log).read()  # noqa: SIM115
            with open(log, encoding="utf-8", errors="replace") as stream:
                return re.search(pattern, stream.read())

        wait_until(found)
        return found().groups()[-1] if found().groups() else None


def executors(pid):
    """The pids of the executors below a process."""
    found = []
    for child in descendants(pid):
        with contextlib.suppress(OSError), open("/proc/%d/cmdline" % child, "rb") as stream:
            if b"CoarseGrainedExecutorBackend" in stream.read():
                found.append(child)
    return found
