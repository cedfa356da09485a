"""Work on a Spark cluster: its start, this project's code on its workers, progress, errors.

    with spark.session("albert", ["pretraining/spark.py"], "spark://host:7077") as session:
        lengths = session.run(session.spread(paths).map(length_of), "lengths")

Workers get the source files behind the modules as a zip, and what packages those need from their
Python (docs/scale.md).
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
import zipfile

from util import console, sources
from util.errors import UserError

import pyspark
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway

# More tasks of a job cost the driver more than they balance.
MAX_TASKS = 20000
# Seconds between looks at a job's tasks.
POLL_SECONDS = 2
# Seconds without a task at work before a word is said about it.
PATIENCE = 60
# The JVMs only pass bytes on: compiling their code well and collecting garbage in several threads
# costs more processor time than it saves.
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
# What users set by --spark_conf or spark-submit comes before these.
DEFAULTS = {
    "spark.driver.extraJavaOptions": JAVA_OPTIONS,
    "spark.executor.extraJavaOptions": JAVA_OPTIONS,
    "spark.ui.showConsoleProgress": "false",
    # A row of results or a batch of text is megabytes, their sum can be more than Spark's 1 GB.
    "spark.driver.maxResultSize": "0",
}
_USER_ERROR = re.compile(r"UserError: (.+)$", re.M)
_OS_ERROR = re.compile(r"Error: \[Errno \d+\] ([^:\n]+?)(?:: '([^'\n]*)'.*)?$", re.M)
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([^'\n]+)'", re.M)
_VERSIONS = re.compile(r"\[PYTHON_VERSION_MISMATCH\] (.+)$", re.M)
_PYTHON_ERROR = re.compile(r"^([\w.]*(?:Error|Exception): .+)$", re.M)
# What Java prints before the line that says why it does not start.
_LESS_TO_SAY = re.compile(r"WARNING|Using Spark's default|[\d/]+ [\d:]+ WARN|"
                          r"Error occurred during initialization|\s*$")
_JAVA_NAME = re.compile(
    r'^(?:Exception in thread "main" )?(?:[\w.$]+(?:Exception|Error): )+')


@contextlib.contextmanager
def session(name, modules, master=None, conf=(), local_files=()):
    """Yields a Session, and ends what it runs in the end, also by Ctrl-C.

    Args:
      name: what the cluster's page calls it.
      modules: source files of the project, relative to its root; workers get them and all that
        they import.
      master: as spark://host:7077, yarn, k8s://..., local[2]; None: spark-submit's.
      conf: list of "key=value", Spark's properties.
      local_files: paths of files to copy to all workers: `pyspark.SparkFiles.get(base name)`.

    Raises:
      UserError: no master, a property that is none, no Java, or the cluster does not answer.
    """
    settings = _settings(name, master, conf)
    with tempfile.TemporaryDirectory() as directory:
        log = os.path.join(directory, "spark.log")
        with _engine(settings, log) as gateway:
            try:
                context = _new_context(settings, gateway)
                context.setLogLevel("ERROR")
                for path in local_files:
                    context.addFile(path)
                context.addPyFile(_zip(modules, directory))
            except (Py4JError, PySparkException) as error:
                raise _problem(error, log) from None
            try:
                yield Session(context, log)
            finally:
                with contextlib.suppress(Py4JError):  # the engine is gone
                    context.stop()


class Session:
    """A job's place on a cluster.

    Attributes:
      context: pyspark.SparkContext.
    """

    def __init__(self, context, log):
        self.context, self._log = context, log

    def spread(self, items, per_task=1):
        """A list -> an RDD of it, so many in a task, or more where they were above MAX_TASKS."""
        return self.context.parallelize(
            items, max(1, min(-(-len(items) // per_task), MAX_TASKS)))

    def run(self, rdd, title):
        """The elements of an RDD as a list, with progress by tasks while they are made.

        Raises:
          UserError: a task raised one, or an OSError, or lacks a package; or Spark gave up.
        """
        group, outcome = uuid.uuid4().hex, {}

        def collect():
            try:
                self.context.setJobGroup(group, title)
                outcome["result"] = rdd.collect()
            except Exception as error:
                outcome["error"] = error

        # Not in this thread: Ctrl-C would break into py4j, which prints a traceback.
        collector = threading.Thread(target=collect, daemon=True)
        collector.start()
        self._watch(group, title, collector)
        error = outcome.get("error")
        if isinstance(error, (Py4JError, PySparkException)):
            raise _problem(error, self._log) from None
        if error:
            raise error
        return outcome["result"]

    def _watch(self, group, title, collector):
        """Shows the tasks of a job that are done, until its thread has ended."""
        tracker, begin, warned = self.context.statusTracker(), time.time(), False
        with console.progress(unit="tasks", desc=title, total=0) as bar:
            while collector.is_alive():
                collector.join(POLL_SECONDS)
                with contextlib.suppress(Py4JError, OSError):  # collect() will say what is wrong
                    stages = _stages(tracker, group)
                    bar.total = sum(stage.numTasks for stage in stages)
                    bar.update(sum(stage.numCompletedTasks for stage in stages) - bar.n)
                    if not warned and time.time() - begin > PATIENCE and not bar.n and not any(
                            stage.numActiveTasks for stage in stages):
                        warned = True
                        console.say("%s: no worker has taken a task for %d seconds; see the "
                                    "cluster's page: has it workers, with room for an executor "
                                    "(spark.executor.memory, spark.executor.cores)?",
                                    title, PATIENCE)


def _stages(tracker, group):
    """What a pyspark.StatusTracker says of the stages of a job group."""
    jobs = filter(None, map(tracker.getJobInfo, tracker.getJobIdsForGroup(group)))
    return [stage for job in jobs for stage in map(tracker.getStageInfo, job.stageIds) if stage]


def _settings(name, master, conf):
    """The arguments of `session` -> pyspark.SparkConf."""
    if _submitted():
        pyspark.SparkContext._ensure_initialized()  # else a SparkConf does not know its settings
    settings = pyspark.SparkConf(loadDefaults=_submitted())
    master = master or settings.get("spark.master")
    if not master:
        raise UserError("--runner=spark without a cluster; name it (--spark_master=spark://HOST:7077"
                        "|yarn|k8s://HOST|local[2]), or start the command by spark-submit")
    _check_address(master)
    settings.setMaster(master).setAppName(name)
    for key, value in DEFAULTS.items():
        settings.setIfMissing(key, value)
    for pair in conf:
        key, equals, value = pair.partition("=")
        if not equals or not key.startswith("spark."):
            raise UserError("--spark_conf=%s: expected a property of Spark and its value, as "
                            "spark.executor.memory=2g" % pair)
        settings.set(key, value)
    return settings


def _submitted():
    """Whether spark-submit has started this process; the engine runs then, with its settings."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _check_address(master):
    """Raises a UserError if nothing listens at spark://host:port[,host:port]: Spark takes a minute.
    """
    if not master.startswith("spark://"):
        return
    for address in master[len("spark://"):].split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            return
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
    raise UserError("--spark_master=%s: %s; check host and port (spark://HOST:7077), and that the "
                    "master runs there" % (master, problem))


def _zip(modules, directory):
    """Packs the source files of some modules, and what they import, for the workers."""
    archive = os.path.join(directory, "albert.zip")
    paths = sources.closure(*modules)
    packages = {os.path.join(os.path.dirname(path), "__init__.py") for path in paths
                if os.path.dirname(path)}
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(packages.union(paths)):
            stream.write(os.path.join(sources.ROOT, path), path)
    return archive


@contextlib.contextmanager
def _engine(settings, log):
    """Yields the gateway to Spark's JVM, what it prints going to a file; None: spark-submit's."""
    if _submitted():
        yield None
        return
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise UserError("--runner=spark needs Java 17 or 21, and there is no java on the PATH; "
                        "install it (openjdk-17-jre-headless) or set JAVA_HOME")
    try:
        with open(log, "wb") as stream:
            gateway = launch_gateway(settings, {"stdout": stream, "stderr": stream})
    except PySparkException:
        with open(log, encoding="utf-8", errors="replace") as stream:
            said = [line for line in stream if not _LESS_TO_SAY.match(line)] or ["it said nothing"]
        raise UserError("Spark's Java does not start: %s; check --spark_conf, and that this is "
                        "Java 17 or 21%s" % (
                            _JAVA_NAME.sub("", said[0]).strip(" .\n"), _kept(log))) from None
    try:
        yield gateway
    finally:
        gateway.shutdown()
        gateway.proc.stdin.close()  # which ends it
        gateway.proc.wait()
        pyspark.SparkContext._gateway = pyspark.SparkContext._jvm = None  # for another session


def _new_context(settings, gateway):
    """A SparkContext that leaves Ctrl-C to Python."""
    before = signal.getsignal(signal.SIGINT)
    try:
        context = pyspark.SparkContext(conf=settings, gateway=gateway)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
    context.pythonExec = _workers_python(settings) or context.pythonExec
    return context


def _workers_python(settings):
    """The Python of the workers; None: that of PYSPARK_PYTHON, or python3 there."""
    python = settings.get("spark.pyspark.python")
    if not python and "PYSPARK_PYTHON" not in os.environ and settings.get(
            "spark.master").startswith("local"):
        python = sys.executable
    return python


def _problem(error, log):
    """An error of Spark -> a UserError: that of a task, or Spark's first line and where its log is.
    """
    text = str(getattr(error, "java_exception", None) or error)
    mistake = find_mistake(text)
    if mistake:
        return UserError(mistake)
    line = _JAVA_NAME.sub("", text.strip().split("\n")[0]).strip(" .:")
    if "PYTHON_EXCEPTION" in text:  # of code; its traceback is in what is kept
        line = (_PYTHON_ERROR.findall(text.split("\n\tat ")[0]) or [line])[-1]
    return UserError("Spark gave up: %s%s; check the cluster, --spark_master and --spark_conf"
                     % (line, _kept(log, text)))


def _kept(log, text=""):
    """Keeps the engine's log, and what is to be added, in a file; says where, if there is a log."""
    if not os.path.exists(log):
        return ""
    number, path = tempfile.mkstemp(prefix="albert-spark-", suffix=".log")
    with os.fdopen(number, "wb") as target, open(log, "rb") as source:
        shutil.copyfileobj(source, target)
        target.write(text.encode("utf-8"))
    return " (all it says: %s)" % path


def find_mistake(text):
    """An error of Spark, with the tracebacks of workers -> one sentence for the user, or None.

    The sentence is that of a UserError or an OSError (a full disk) in a task, or names a package
    or a Python that a worker lacks.
    """
    match = _USER_ERROR.search(text)
    if match:
        return match.group(1)
    match = _OS_ERROR.search(text)
    if match:
        sentence = "%s: %s" % (match.group(2) or "writing", match.group(1))
        if match.group(1) == "No such file or directory":
            sentence += (" on a worker; give paths that all workers see: of a shared directory, "
                         "hdfs://, s3a://, gs://")
        return sentence
    match = _NO_MODULE.search(text)
    if match:
        return ("a worker's Python lacks the package %s; install the requirements there, or send "
                "them along (--spark_conf=spark.archives=..., docs/scale.md)" % match.group(1))
    match = _VERSIONS.search(text)
    if match:
        return ("this Python is %d.%d and that of a worker another (%s); give workers the same one "
                "(PYSPARK_PYTHON, docs/scale.md)" % (sys.version_info[:2] + (match.group(1),)))
    return None
