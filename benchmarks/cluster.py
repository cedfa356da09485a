"""What Spark costs beside the local driver of create_pretraining_data.py, on a cluster here.

    python3 -m benchmarks.cluster --input_file=corpus.txt --vocab_file=vocab.txt \
      --megabytes=64,512 --workers=1,2
    python3 -m benchmarks.cluster --input_file=corpus.txt --vocab_file=vocab.txt \
      --megabytes=16 --one_document

For every size and number of workers: the local driver with as many processes, then Spark, on a
master and workers of one core each, which are started for it and end with it, and then such a
cluster without a job, which is to be subtracted where a cluster runs anyway. Prints a line of JSON
each: processor time (user and system, of all processes, their start included), wall-clock, and the
peak of resident memory by the role of a process, in MB: several sizes show what grows with the
text. An error if the files differ. Linux; run it on an idle machine.
"""

import collections
import contextlib
import ctypes
import functools
import glob
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from util import commands, console, files, sources
from util.errors import UserError

from absl import flags as absl_flags

from benchmarks import running
from text import corpus

# {role: what its command line holds}
ROLES = {"executor": b"CoarseGrainedExecutorBackend", "Python of an executor": b"pyspark.daemon",
         "Spark's driver": b"org.apache.spark.deploy.SparkSubmit",
         "create_pretraining_data.py": b"create_pretraining_data.py"}
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl
START_SECONDS = 120


def define_flags():
    flags = absl_flags
    flags.DEFINE_string("input_file", None, "Text as for create_pretraining_data.py.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.")
    flags.DEFINE_list("megabytes", ["8", "64"], "Sizes of the text, which is repeated or cut.")
    flags.DEFINE_list("workers", ["2"], "Numbers of workers, and of local processes.")
    flags.DEFINE_bool("one_document", False, "The text is one document, without blank lines.")
    flags.DEFINE_integer("rounds", 1, "How often each is measured, in turn.", lower_bound=1)
    flags.DEFINE_multi_string("spark_conf", [], "Properties of Spark, as of "
                              "create_pretraining_data.py.")


@contextlib.contextmanager
def cluster(directory, number):
    """Yields the address of a standalone master with so many workers of one core on 127.0.0.1."""
    started = []
    try:
        address = _start(directory, "Master", started, ["--port", "0"],
                         r"Starting Spark master at (\S+)")
        for _ in range(number):
            _start(directory, "Worker", started, [
                "--cores", "1", "--memory", "2g", "--work-dir", directory, address],
                "(Successfully registered)")
        yield address
    finally:
        for process in started:
            process.terminate()


def _start(directory, role, started, arguments, pattern):
    """Starts a daemon of Spark; returns what the pattern's group matches in its log."""
    from util import spark

    import pyspark
    log = os.path.join(directory, "%s-%d.log" % (role, len(started)))
    environment = dict(
        os.environ, SPARK_LOCAL_IP="127.0.0.1", SPARK_DAEMON_MEMORY="128m",
        SPARK_DAEMON_JAVA_OPTS=spark.JAVA_OPTIONS)
    with open(log, "wb") as stream:
        started.append(subprocess.Popen(
            [os.path.join(os.path.dirname(pyspark.__file__), "bin", "spark-class"),
             "org.apache.spark.deploy.%s.%s" % (role.lower(), role), "--host", "127.0.0.1",
             "--webui-port", "0"] + arguments, stdout=stream, stderr=stream, env=environment))
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and started[-1].poll() is None:
        with open(log, encoding="utf-8", errors="replace") as stream:
            match = re.search(pattern, stream.read())
        if match:
            return match.group(1)
        time.sleep(0.2)
    raise UserError("Spark's %s did not start: %s" % (role, files.open_file(log).read()[-500:]))


class Watch(threading.Thread):
    """Looks at this process's descendants every half second.

    Attributes:
      megabytes: {role: peak of the resident memory of one}.
      forgotten: {process id: seconds of processor time} of those whose parent ignores their end, as
        the daemon of an executor's Pythons does: the system then adds their time to no parent's.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.megabytes, self.forgotten, self.stop = {}, {}, threading.Event()

    def run(self):
        while not self.stop.wait(0.5):
            for process, status, parent in _descendants():
                with contextlib.suppress(OSError):  # it has ended
                    self._look(process, status, parent)

    def _look(self, process, status, parent):
        if int(_value(parent, "SigIgn"), 16) >> signal.SIGCHLD - 1 & 1:
            ticks = map(int, _read("/proc/%d/stat" % process).rpartition(")")[2].split()[11:13])
            self.forgotten[process] = sum(ticks) / os.sysconf("SC_CLK_TCK")
        peak = _value(status, "VmHWM")  # in kB; what has just ended has none
        with open("/proc/%d/cmdline" % process, "rb") as stream:
            command = stream.read()
        for role, part in ROLES.items():
            if part in command and peak:
                self.megabytes[role] = max(self.megabytes.get(role, 0), int(peak) // 1024)
                return


def _read(path):
    with open(path) as stream:
        return stream.read()


def _value(status, name):
    """A value of a /proc/*/status, as a string; None where it is missing."""
    match = re.search(r"^%s:\s+(\w+)" % name, status, re.MULTILINE)
    return match and match.group(1)


def _descendants():
    """Yields a process id, its /proc/*/status and its parent's: of children, theirs and so on."""
    statuses, children = {}, collections.defaultdict(list)
    for path in glob.glob("/proc/[0-9]*/status"):
        with contextlib.suppress(OSError):  # it has ended
            process, status = int(path.split("/")[2]), _read(path)
            statuses[process] = status
            children[int(_value(status, "PPid"))].append(process)
    parents = [os.getpid()]
    for parent in parents:  # which grows
        parents += children[parent]
        for process in children[parent]:
            yield process, statuses[process], statuses[parent]


def adopt_orphans():
    """Makes processes whose parent ends before them children of this one: their time counts, too.
    """
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def measured(work):
    """Calls work() -> {cpu_seconds, seconds, peak_mb} of all processes that it starts and ends."""
    watch, begin, ended = Watch(), time.monotonic(), []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch.start()
    try:
        work()
    finally:
        with contextlib.suppress(ChildProcessError):  # all have ended
            while True:
                ended.append(os.wait()[0])
        watch.stop.set()
        watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Orphans among them have counted.
    cpu += sum(seconds for process, seconds in watch.forgotten.items() if process not in ended)
    return {"cpu_seconds": round(cpu, 1), "seconds": round(time.monotonic() - begin, 1),
            "peak_mb": watch.megabytes}


def make(flags, text, output, *arguments):
    """Runs create_pretraining_data.py on a text."""
    command = running.ours(
        "create_pretraining_data.py", input_file=text, output_file=output,
        vocab_file=os.path.abspath(flags.vocab_file), max_seq_length=128,
        max_predictions_per_seq=20, masked_lm_prob=0.15, store_word_starts=True)
    done = subprocess.run(command + list(arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, cwd=sources.ROOT)
    if done.returncode:
        raise UserError("create_pretraining_data.py failed: %s"
                        % running.last_line(done.stdout.decode("utf-8", "replace")))


def make_locally(flags, text, output, directory, number):
    """Runs create_pretraining_data.py in so many processes."""
    make(flags, text, output, "--num_workers=%d" % number)


def make_on_spark(flags, text, output, directory, number):
    """Starts a cluster, runs create_pretraining_data.py on it, and ends it."""
    conf = ["spark.executor.memory=512m", "spark.executor.cores=1", "spark.driver.memory=512m",
            "spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1",
            "spark.pyspark.python=" + sys.executable] + flags.spark_conf
    with cluster(directory, number) as address:
        make(flags, text, output, "--runner=spark", "--spark_master=" + address,
             *["--spark_conf=" + pair for pair in conf])


def start_and_end(directory, number):
    """A cluster without a job."""
    with cluster(directory, number):
        pass


def digest(directory):
    """A hash of the files of a directory."""
    sha256 = hashlib.sha256()
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        sha256.update(repr((name, files.size(path))).encode("utf-8"))
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                sha256.update(block)
    return sha256.hexdigest()


def compare(flags, text, directory, number):
    """Runs both drivers, and a cluster without a job -> {runner: what `measured` says}."""
    rows, digests = {}, {}
    for runner, run in (("local", make_locally), ("spark", make_on_spark)):
        made = os.path.join(directory, runner)
        os.mkdir(made)
        rows[runner] = measured(functools.partial(
            run, flags, text, os.path.join(made, "tf@4.tfrecord"), directory, number))
        digests[runner] = digest(made)
        shutil.rmtree(made)
    if digests["local"] != digests["spark"]:
        raise UserError("the files of the two drivers differ; see tests/test_spark.py")
    rows["cluster"] = measured(functools.partial(start_and_end, directory, number))
    local, spark, cluster_itself = (row["cpu_seconds"] for row in rows.values())
    rows["spark"]["times the local cpu_seconds"] = round(spark / local, 2)
    rows["spark"]["the same without the cluster's"] = round((spark - cluster_itself) / local, 2)
    return rows


def main(flags):
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    paths = files.expand(flags.input_file)
    for megabytes in flags.megabytes:
        for number in flags.workers:
            for _ in range(flags.rounds):
                with tempfile.TemporaryDirectory() as directory:
                    text = os.path.join(directory, "text.txt")
                    corpus.write_sample(paths, float(megabytes) * 1e6, text,
                                        one_document=flags.one_document)
                    rows = compare(flags, text, directory, int(number))
                for runner, row in rows.items():
                    print(json.dumps(dict(
                        {"runner": runner, "megabytes": float(megabytes), "workers": int(number),
                         "one_document": flags.one_document}, **row)), flush=True)


if __name__ == "__main__":
    console.start_log()
    commands.run(main, define_flags)
