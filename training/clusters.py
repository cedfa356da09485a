"""Distributed training: several GPUs of a machine, or the workers of TF_CONFIG.

    cluster = clusters.from_environment(os.environ.get("TF_CONFIG"))   # None: this machine alone
    strategy = clusters.strategy(cluster, num_gpus=2)                  # None: one device

TF_CONFIG is TensorFlow's: {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker",
"index": 0}}, the same on every machine but for the index.
"""

import atexit
import collections
import contextlib
import json
import os
import socket
import sys
import threading
import time

from util import console
from util.errors import UserError

import tensorflow.compat.v1 as tf

EXAMPLE = ('{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
           '"task": {"type": "worker", "index": 0}}')

# Addresses of all workers, chief first, and which of them this process is.
Cluster = collections.namedtuple("Cluster", ["workers", "index"])


def from_environment(text):
    """The Cluster that a TF_CONFIG describes; None where it is empty or names this machine alone.

    Raises:
      UserError: not JSON, no workers, or a task that is not one of them.
    """
    if not text:
        return None
    try:
        described = json.loads(text)
        cluster, task = described["cluster"], described["task"]
        workers = list(cluster.get("chief", ())) + list(cluster["worker"])
        job, index = task["type"], int(task["index"])
        others = sorted(set(cluster) - {"chief", "worker"})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError("TF_CONFIG=%s: %s; expected e.g. %s"
                        % (text[:200], str(error) or "not understood", EXAMPLE)) from None
    if others or job not in ("chief", "worker"):
        raise UserError("TF_CONFIG names %s; every machine trains here, so expected only chief and "
                        "worker, e.g. %s" % (", ".join(others) or "the task %r" % job, EXAMPLE))
    position = index + (len(cluster.get("chief", ())) if job == "worker" else 0)
    bad = [address for address in workers if not _address(address)]
    if bad or not 0 <= index < len(cluster.get(job, ())):
        raise UserError("TF_CONFIG: %s; expected e.g. %s" % (
            "%r is not host:port" % bad[0] if bad else
            "there is no %s %d among %d" % (job, index, len(cluster.get(job, ()))), EXAMPLE))
    return Cluster(workers, position) if len(workers) > 1 else None


def _address(text):
    """"host:port" -> (host, port), or None."""
    host, _, port = str(text).rpartition(":")
    return (host, int(port)) if host and port.isdigit() else None


def has_gpu():
    """Whether TensorFlow sees a GPU on this machine."""
    return bool(tf.config.experimental.list_physical_devices("GPU"))


def local_devices(num_gpus):
    """The names of the first `num_gpus` GPUs of this machine.

    Raises:
      UserError: there are fewer.
    """
    gpus = tf.config.experimental.list_physical_devices("GPU")
    if len(gpus) < num_gpus:
        raise UserError("--num_gpus=%d: TensorFlow sees %d GPUs here; lower it, or look whether "
                        "the driver and CUDA fit this TensorFlow (nvidia-smi, "
                        "CUDA_VISIBLE_DEVICES)" % (num_gpus, len(gpus)))
    return ["/gpu:%d" % index for index in range(num_gpus)]


def strategy(cluster, num_gpus):
    """The tf.distribute strategy of a cluster or of several GPUs; None for one device."""
    if cluster:
        atexit.register(_drop_server)
        return tf.distribute.experimental.MultiWorkerMirroredStrategy()
    if num_gpus > 1:
        return tf.distribute.MirroredStrategy(local_devices(num_gpus))
    return None


def explain(cluster, error):
    """Raises a UserError for the tf.errors.UnknownError of a server that could not take its port;
    returns for any other.
    """
    if "Could not start gRPC server" in str(error):
        raise UserError(
            "worker %d cannot listen at %s, its place in TF_CONFIG: the port is taken, or the "
            "address is another machine's; end what listens there (ss -ltnp), or name another port "
            "in the TF_CONFIG of every worker" % (cluster.index, cluster.workers[cluster.index])
        ) from None


def _drop_server():
    """Deletes this worker's server before interpreter shutdown, where that prints a traceback."""
    from tensorflow.python.distribute import distribute_coordinator
    distribute_coordinator._thread_local.__dict__.clear()


class Watch(object):
    """Ends this process, with a sentence, when another worker dies during training.

        with Watch(cluster, directory) as watch:
            …                       # every update waits for all workers
            watch.stop()            # from now on workers may end

    TensorFlow would wait for a dead worker, or retry, for ever. A worker counts as dead when it
    accepts no more connections although it did before.
    """

    def __init__(self, cluster, last_checkpoint, every_seconds=2.0):
        """`last_checkpoint` is a function that names the checkpoint a restart would resume."""
        self._cluster = cluster
        self._last_checkpoint = last_checkpoint
        self._every_seconds = every_seconds
        self._stopped = threading.Event()

    def __enter__(self):
        if self._cluster:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        """Stops watching: from now on the other workers may end."""
        self._stopped.set()

    def _watch(self):
        others = [(index, address) for index, address in enumerate(self._cluster.workers)
                  if index != self._cluster.index]
        seen, failures, began = set(), collections.Counter(), time.time()
        has_warned = False
        while not self._stopped.wait(self._every_seconds):
            for index, address in others:
                if accepts(address):
                    seen.add(index)
                    failures[index] = 0
                elif index in seen:
                    failures[index] += 1
                    if failures[index] > 1 and not self._stopped.is_set():
                        self._end(index, address)
            missing = ["%d (%s)" % one for one in others if one[0] not in seen]
            if missing and not has_warned and time.time() - began > 15:
                console.say("waiting for worker %s to be started", ", ".join(missing))
                has_warned = True

    def _end(self, index, address):
        sys.stderr.write(
            "error: worker %d (%s) is gone; start all workers again with the same commands, they "
            "go on from %s\n" % (index, address, self._last_checkpoint() or "the beginning"))
        sys.stderr.flush()
        os._exit(1)  # the main thread is blocked inside TensorFlow and cannot be interrupted


def accepts(address):
    """Whether something listens at "host:port"."""
    with contextlib.suppress(OSError), socket.create_connection(_address(address), timeout=5):
        return True
    return False
