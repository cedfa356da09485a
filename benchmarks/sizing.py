"""How many requests a second a processor bears, by the number of clients.

    python3 -m benchmarks.sizing exported/lcqmc 20

Starts similarity.py --serve with the model, and asks it for so many seconds from 1, 8 and 32
connections in turn, an item a request. CPU time is the server's own, as the clients run on the same
machine; other load makes it longer, but much less than it lowers the rates.
"""

import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.request

from util import console

from benchmarks import load
from serving import predictor

CLIENTS = (1, 8, 32)


class Single(load.Good):
    """Asks one item a request."""

    def body(self):
        item, answer = self.random.choice(self.known)
        return json.dumps({"items": [item]}).encode(), [answer]


def metrics(port):
    """{name: sum over the labels} of a server."""
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port) as response:
        text = response.read().decode()
    sums = {}
    for name, value in re.findall(r"^(\w+)(?:{.*})? (\S+)$", text, re.MULTILINE):
        sums[name] = sums.get(name, 0) + float(value)
    return sums


def measure(port, known, clients, seconds):
    """Asks from so many connections -> a row of the table."""
    report, until, before = load.Report(), time.monotonic() + seconds, metrics(port)
    threads = [threading.Thread(target=Single(
        port, known, report, {}, until, seed).run) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gained = {name: value - before.get(name, 0) for name, value in metrics(port).items()}
    count, cpu = len(report.seconds), gained["process_cpu_seconds_total"]
    return {"clients": clients, "requests/s": count / seconds,
            "median ms": 1000 * statistics.median(report.seconds),
            "CPU ms a request": 1000 * cpu / count, "requests/s of a processor": count / cpu,
            "rows a batch": gained["albert_batch_rows_sum"] / gained["albert_batch_rows_count"],
            "failures": len(report.failures)}


def main(model, seconds):
    console.start_log()
    known = load.items_of(predictor.load(model), 300)
    with tempfile.TemporaryDirectory() as directory, load.started(
            os.path.abspath(model), directory + "/log") as port:
        for clients in CLIENTS:
            row = measure(port, known, clients, float(seconds))
            print("  ".join("%s %.4g" % item for item in row.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
