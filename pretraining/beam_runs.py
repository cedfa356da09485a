"""Runs pipelines of Apache Beam: their options, their log, and their errors as one sentence."""

import contextlib
import io
import logging
import os
import re
import shlex
import sys
import tempfile

from util import sources
from util.errors import UserError

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

NUM_WORKERS_OPTION = {"DirectRunner": "direct_num_workers", "FlinkRunner": "parallelism",
                      "DataflowRunner": "num_workers"}
_USER_ERROR = re.compile(r"UserError: (.+?)(?: \[while running .*)?$", re.M)
_OS_ERROR = re.compile(
    r"Error: \[Errno \d+\] ([^:\n]+?)(?:: '([^'\n]*)'.*)?(?: \[while running .*)?$", re.M)
_DEATH = ("a worker process died, most often killed for lack of memory; the DirectRunner holds all "
          "records there: leave --runner out on one machine, or take a cluster's runner")


def run(build, runner, num_workers=None, options=""):
    """Builds a pipeline and runs it to its end.

    Args:
      build: function of a beam.Pipeline, adds the steps.
      runner: a key of NUM_WORKERS_OPTION, or another runner of Beam.
      num_workers: processes of the DirectRunner, workers of a cluster; None: the runner decides.
      options: more options of Beam, as on a command line.

    Raises:
      UserError: the options are wrong, a step raised one, or a cluster did not do its work.
    """
    arguments = _arguments(runner, num_workers, options)
    with _importable_in_children(), _held_stderr() as (terminal, show), _log(runner, terminal):
        try:
            pipeline = beam.Pipeline(options=_options(runner, arguments))
            build(pipeline)
            _finish(pipeline.run())
        except Exception as error:
            text = "%s: %s" % (type(error).__name__, str(error).strip())
            mistake = find_mistake(text)
            if mistake:
                raise UserError(mistake) from None
            show()
            if runner == "DirectRunner":
                raise
            raise UserError("--runner=%s: %s; check --beam_options and the log above" % (
                runner, text.split("\n")[-1].strip(" .:"))) from None


def _arguments(runner, num_workers, options):
    """What Beam parses; of an option that is given twice the last one counts."""
    arguments = []
    if runner == "DirectRunner":
        arguments.append("--direct_running_mode=multi_processing")
    if num_workers and runner not in NUM_WORKERS_OPTION:
        raise UserError("--num_workers=%d: %s takes as many as its cluster offers; leave it out"
                        % (num_workers, runner))
    if num_workers:
        arguments.append("--%s=%d" % (NUM_WORKERS_OPTION[runner], num_workers))
    try:
        return arguments + shlex.split(options) + ["--runner=%s" % runner]
    except ValueError as error:
        raise UserError("--beam_options=%s: %s; write it like a command line, --name=value ..."
                        % (options, error)) from None


def _options(runner, arguments):
    """List of str -> PipelineOptions; a cluster's runner may know more options than Beam here."""
    options, usage = PipelineOptions(arguments), io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            unknown = set(options.get_all_options(retain_unknown_options=True))
            unknown -= set(options.get_all_options())
    except SystemExit:  # argparse has written its usage, and what is wrong in the last line
        problem = usage.getvalue().strip().split("\n")[-1].split("error: ")[-1]
        raise UserError("--beam_options: %s; correct it" % problem) from None
    if unknown and runner == "DirectRunner":
        raise UserError("--beam_options: %s has no option --%s; check the name"
                        % (runner, ", --".join(sorted(unknown))))
    return options


def _finish(result):
    """Waits for the end of a pipeline; Ctrl-C ends it on the cluster, too."""
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise
    if state != beam.runners.runner.PipelineState.DONE:
        raise RuntimeError("the pipeline ended as %s" % state)


def find_mistake(text):
    """An error of Beam, with the tracebacks of workers -> one sentence for the user, or None.

    The sentence is that of a UserError or an OSError (a full disk) in a worker, or says that a
    worker was killed.
    """
    match = _USER_ERROR.search(text)
    if match:
        return match.group(1)
    match = _OS_ERROR.search(text)
    if match:
        return "%s: %s" % (match.group(2) or "writing", match.group(1))
    return _DEATH if "Channel closed prematurely" in text else None


@contextlib.contextmanager
def _importable_in_children():
    """Worker processes of this machine find this project's modules, wherever it was started."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sources.ROOT, before]))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _held_stderr():
    """Keeps what this process and its children write to standard error: yields (terminal, show).

    A worker process writes a traceback of every exception, also of a UserError. `terminal` is the
    real standard error; show() writes there what was kept.
    """
    def show():
        sys.stderr.flush()
        held.seek(0)
        terminal.write(held.read().decode("utf-8", "replace"))
        terminal.flush()

    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(2), "w") as terminal:
        os.dup2(held.fileno(), 2)
        try:
            yield terminal, show
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)


@contextlib.contextmanager
def _log(runner, stream):
    """What a cluster's runner says (where the job is to be seen, its state), without tracebacks."""
    logger, handler = logging.getLogger("apache_beam"), logging.StreamHandler(stream)
    handler.addFilter(lambda record: record.levelno < logging.ERROR)
    if runner != "DirectRunner":
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
