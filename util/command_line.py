"""The flags of commands that also run on a cluster."""

import contextlib

from util.errors import UserError

from absl import flags as absl_flags

RUNNERS = ("spark",)


def define_runner_flags():
    """--runner and what says where it runs."""
    flags = absl_flags
    flags.DEFINE_enum("runner", None, RUNNERS, "Run on a cluster (pip install -r "
                      "requirements-spark.txt; Java 17): docs/scale.md.")
    flags.DEFINE_string("spark_master", None, "The cluster: spark://HOST:7077, yarn, k8s://HOST; "
                        "local[2] for two threads here; spark-submit's if not given.")
    flags.DEFINE_multi_string("spark_conf", [], "A property of Spark, as spark.executor.memory=2g; "
                              "may be given several times.")


def check_runner_flags(flags):
    """Refuses those of `define_runner_flags`, and --num_workers, that do not go together."""
    if not flags.runner and (flags.spark_master or flags.spark_conf):
        raise UserError("--spark_%s without --runner=spark; add it, or leave that out"
                        % ("master" if flags.spark_master else "conf"))
    if flags.runner and flags["num_workers"].present:
        raise UserError("--num_workers=%d with --runner: Spark takes what its cluster offers; "
                        "leave it out, or give --spark_conf=spark.cores.max=%d"
                        % (flags.num_workers, flags.num_workers))


@contextlib.contextmanager
def needing_pyspark():
    """Says what to install where an import inside it fails."""
    try:
        yield
    except ImportError as error:
        raise UserError("--runner=spark needs pyspark (%s); with Python 3.10 or later pip install "
                        "-r requirements-spark.txt, or leave --runner out" % error) from None
