"""A server at saturation, with clients that ask well, that ask badly, and that go away.

    python3 -m benchmarks.load exported/lcqmc 600

Starts similarity.py --serve with the model and small limits, and asks it for so many seconds from
this machine. It ends with status 1, and the reasons, where an answer was not that of the model
alone, the server answered what it should have refused or the other way round, did not answer as to
its health, failed within, or grew in memory.
"""

import collections
import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

from util import console, sources
from util.errors import UserError

from benchmarks import running
from serving import predictor

LIMITS = {"max_connections": 64, "read_seconds": 2, "answer_seconds": 20, "queue_tokens": 1024}
TOLERANCE = 1e-4  # of probabilities, computed with others
SETTLING = 0.25  # of the time; memory is compared from there on
GROWTH = 1.05  # of memory, at most; and some megabytes, for what a short run has not yet settled
GROWTH_BYTES = 16e6
HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BUSY = (429, 503)
PROBE_SECONDS = 5  # for an answer as to its health, as in docs/serving.md


class Report(object):
    """What happened, counted by many threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts = collections.Counter()  # (kind of client, status)
        self.seconds = []  # of good answers
        self.failures = []  # sentences
        self.memory = []  # bytes of the server, each half second

    def count(self, kind, status, seconds=None):
        with self._lock:
            self.counts[kind, status] += 1
            if seconds is not None:
                self.seconds.append(seconds)

    def fail(self, form, *values):
        with self._lock:
            self.failures.append(form % values)

    def memory_by_fifths(self):
        """Bytes: the medians of five parts of the time after settling."""
        values = self.memory[int(SETTLING * len(self.memory)):]
        bounds = [number * len(values) // 5 for number in range(6)]
        return [statistics.median(values[begin:max(end, begin + 1)])
                for begin, end in zip(bounds, bounds[1:])]


# ---- items and their answers ----

def items_of(made, count, seed=0):
    """[(item, its answer)] of a Predictor: texts of its vocabulary, alone and computed one by one.

    Left out are those whose answer changes when they are computed with others, being a tie.
    """
    source = random.Random(seed)
    items = [_item(made, source) for _ in range(count)]
    alone = [made.predict([item])[0] for item in items]
    together = made.predict(items)
    kept = [(item, answer) for item, answer, other in zip(items, alone, together)
            if same(answer, other)]
    if len(kept) < 0.9 * count:
        raise UserError("%d of %d answers change when they are computed with others"
                        % (count - len(kept), count))
    return kept


def _item(made, source):
    tokens = [token for token in made.package.tokenizer.tokens
              if not re.match(r"\[.*\]$|<.*>$", token)]
    longest = made.package.max_seq_length

    def text(most):
        return "".join(source.choice(tokens).replace("##", "").replace("\u2581", " ")
                       for _ in range(source.randint(1, most))) or "a"

    head = made.package.head
    if head is None:
        return text(longest // 4) + "[MASK]" + text(longest // 4)
    if head == "choice":
        return {"context": text(longest), "question": text(8), "choices": [text(6), text(6)]}
    if head == "reading":
        return {"context": text(longest), "question": text(8)}
    if head == "tagging" or source.random() < 0.5:
        return text(longest)
    return [text(longest // 2), text(longest // 2)]


def same(expected, actual):
    """Whether two answers are equal, numbers but for rounding."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and expected.keys() == actual.keys() and all(
            same(value, actual[name]) for name, value in expected.items())
    if isinstance(expected, (list, tuple)):
        return isinstance(actual, (list, tuple)) and len(expected) == len(actual) and all(
            map(same, expected, actual))
    if isinstance(expected, float):
        return isinstance(actual, (int, float)) and abs(expected - actual) <= TOLERANCE * max(
            1, abs(expected))
    return expected == actual


# ---- clients ----

class Client(object):
    """What all have: where the server is, until when to ask, and whom to tell.

    Args:
      port: of the server, on this machine.
      known: [(item, answer)].
      report: Report.
      limits: {flag: value} of the server.
      until: time.monotonic() of the end.
      seed: of what is asked.
    """

    def __init__(self, port, known, report, limits, until, seed):
        self.port, self.known, self.report = port, known, report
        self.limits, self.until = limits, until
        self.random = random.Random(seed)

    def run(self):
        while time.monotonic() < self.until:
            try:
                self.ask()
            except OSError:
                self.report.count(type(self).__name__, "no connection")
                time.sleep(0.05)

    def body(self):
        """(JSON of a request of known items and bad ones, their answers; None: an error)."""
        chosen = [self.random.choice(self.known) for _ in range(self.random.randint(1, 8))]
        chosen += [(bad, None) for bad in self.random.sample(
            ["", 3, None, {"x": 1}, [], ["a"] * 9], self.random.randint(0, 1))]
        self.random.shuffle(chosen)
        return (json.dumps({"items": [item for item, _ in chosen]}).encode(),
                [answer for _, answer in chosen])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 60)


class Good(Client):
    """Asks on a connection that it keeps, and looks at every answer."""

    def run(self):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port,
                                                           timeout=60)) as self.connection:
            self.number = 0
            super().run()

    def ask(self):
        body, expected = self.body()
        self.number += 1
        identity, began = "%d-%d" % (id(self), self.number), time.monotonic()
        try:
            self.connection.request("POST", "/v1/predict", body, {
                "Content-Type": "application/json", "X-Request-ID": identity})
            response = self.connection.getresponse()
            reply = json.loads(response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise OSError(str(error)) from None
        if response.status == 200:
            self.report.count("Good", 200, time.monotonic() - began)
            self.check(identity, response, expected, reply)
        elif response.status in BUSY:
            self.report.count("Good", response.status)
            time.sleep(0.05 * self.random.random())
        else:
            self.report.fail("a good request got %d: %.200s", response.status, reply)

    def check(self, identity, response, expected, reply):
        if response.getheader("X-Request-ID") != identity:
            self.report.fail("the answer to another request came")
        answers = reply["answers"]
        if len(answers) != len(expected):
            self.report.fail("%d answers to %d items", len(answers), len(expected))
        for wanted, answer in zip(expected, answers):
            if not ("error" in answer if wanted is None else same(wanted, answer)):
                self.report.fail("expected %.200s, got %.200s", wanted, answer)


class Bad(Client):
    """Sends what must be refused, or answered item by item, and looks at the status."""

    KINDS = {
        "broken JSON": (b'{"items": ["a"', 400), "no JSON": (b"\x00\xff\xfe", 400),
        "wrong types": (b'{"items": {"a": 1}, "model": 3}', 400),
        "numbers": (b'{"items": [1, 2.5, null, true, {}, []]}', 200),
        "NUL": (b'{"items": ["a\\u0000b", "\\u0000"]}', 200),
        "lone surrogates": (b'{"items": ["\\ud800", "a\\udfff"]}', 200),
        "empty": (b'{"items": ["", ["", ""], " "]}', 200),
        "100,000 characters": (json.dumps({"items": ["长" * 100000]}).encode(), 200),
        "nested": (b'{"items": ' + b"[" * 100000, 400),
        "10 MB": (b" " * 10000000, 413), "10 MB in chunks": (None, 413)}

    def ask(self):
        kind = self.random.choice(sorted(self.KINDS))
        body, expected = self.KINDS[kind]
        with self.connect() as client:
            try:
                if body is None:
                    client.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
                    for _ in range(10):
                        client.sendall(b"f4240\r\n" + b" " * 1000000 + b"\r\n")
                    client.sendall(b"0\r\n\r\n")
                else:
                    client.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
            except OSError:
                pass  # an answer may have come before all was sent
            status = status_of(client)
        self.report.count(kind, status)
        if status not in (expected, None) + BUSY:
            self.report.fail("%s: status %s, expected %d", kind, status, expected)


class Vanishing(Client):
    """Sends half a request or a whole one, and is gone, with or without a farewell."""

    def ask(self):
        body, _ = self.body()
        whole = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        with self.connect() as client:
            client.sendall(whole[:self.random.choice([10, len(whole) - 5, len(whole)])])
            if self.random.random() < 0.5:  # a reset
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.02 * self.random.random())
        self.report.count("Vanishing", "gone")


class Slow(Client):
    """Sends a byte now and then, until the server has enough of it."""

    def ask(self):
        most = 5 * self.limits["read_seconds"] + 5
        with self.connect() as client:
            end = time.monotonic() + most
            head = HEAD + b"content-length: 99999\r\n\r\n"
            client.sendall(head[:self.random.choice([20, len(head)])])
            with contextlib.suppress(OSError):
                while time.monotonic() < self.until:
                    client.sendall(b"x")
                    time.sleep(0.1)
                    if time.monotonic() > end:
                        self.report.fail("a slow client was borne for %.1f s", most)
                        return
            self.report.count("Slow", "left")


class Crowd(Client):
    """More connections than allowed, all at once; some ask."""

    def ask(self):
        with contextlib.ExitStack() as stack:
            for _ in range(3 * self.limits["max_connections"]):
                client = stack.enter_context(self.connect())
                with contextlib.suppress(OSError):
                    if self.random.random() < 0.2:
                        client.sendall(HEAD + b'content-length: 13\r\n\r\n{"items": []}')
                        self.report.count("Crowd", status_of(client))
        time.sleep(1)


class Health(Client):
    """Asks each half second, as Kubernetes does, whether the server lives, and how large it is."""

    def ask(self):
        for path in ("/health/live", "/health/ready", "/metrics"):
            began = time.monotonic()
            with contextlib.closing(self.connect()) as client:
                client.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
                text = b"".join(iter(lambda client=client: client.recv(1 << 16), b"")).decode()
            if not text:
                raise OSError("over twice the limit of connections")
            status, seconds = int(text.split()[1]), time.monotonic() - began
            self.report.count(path, status)
            if status != 200 or seconds > PROBE_SECONDS:
                self.report.fail("%s: %d after %.1f s", path, status, seconds)
        size, = re.findall(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
        self.report.memory.append(float(size))
        time.sleep(0.5)


def status_of(client):
    """The status of what comes on a socket; None where nothing does."""
    try:
        received = client.recv(1 << 16)
    except OSError:
        return None
    return int(received.split()[1]) if received.startswith(b"HTTP/1.1 ") else None


def attack(port, known, seconds, limits, good=12):
    """Asks a server from many threads -> the Report."""
    report, until = Report(), time.monotonic() + seconds
    kinds = [Good] * good + [Bad] * 3 + [Vanishing] * 2 + [Slow] * 2 + [Crowd, Health]
    threads = [threading.Thread(target=kind(port, known, report, limits, until, seed).run,
                                daemon=True) for seed, kind in enumerate(kinds)]
    for thread in threads:
        thread.start()
    progress = console.progress(total=int(seconds), unit="s", desc="asking")
    while time.monotonic() < until:
        time.sleep(min(1, seconds))
        progress.update(1)
    progress.close()
    for thread in threads:
        thread.join(90)
        if thread.is_alive():
            report.fail("a client waits still for its answer")
    return report


def conclude(report):
    """Adds to the failures what the numbers say; returns the lines of the summary."""
    seconds = sorted(report.seconds) or [0.0]
    memory = report.memory_by_fifths() if report.memory else [0]
    if memory[-1] > GROWTH * memory[0] + GROWTH_BYTES:
        report.fail("memory grew from %.0f to %.0f MB", memory[0] / 1e6, memory[-1] / 1e6)
    if not report.seconds:
        report.fail("not one good request was answered")
    lines = ["%-20s %-14s %d" % (kind, status, count) for (kind, status), count in sorted(
        report.counts.items(), key=str)]
    return lines + [
        "good requests: %d answered, median %.0f ms, 99th of 100 %.0f ms" % (
            len(report.seconds), 1000 * seconds[len(seconds) // 2],
            1000 * seconds[int(0.99 * len(seconds))]),
        "memory, fifth by fifth of the time after settling: %s MB" % ", ".join(
            "%.1f" % (size / 1e6) for size in memory),
        "failures: %d" % len(report.failures)]


# ---- the server ----

@contextlib.contextmanager
def started(model, log, **limits):
    """similarity.py --serve, on a port of its own, which is given; ends it by SIGTERM.

    Args:
      log: a path for its lines.
      **limits: flags of it.
    """
    command = running.ours("similarity.py", serve=True, port=0, model=model, **limits)
    with open(log, "wb") as stream:
        process = subprocess.Popen(command, stderr=stream, cwd=sources.ROOT)
    try:
        while not any(line.get("event") == "ready" for line in log_lines(log)):
            if process.poll() is not None:
                with open(log, encoding="utf-8") as stream:
                    raise UserError("the server ended: %s" % running.last_line(stream.read()))
            time.sleep(0.1)
        yield next(int(port) for line in log_lines(log) for port in re.findall(
            r"listening on http://[^ ]*:(\d+)/", line.get("message", "")))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(60)
        finally:
            process.kill()
    if status != 0:
        raise UserError("the server ended with status %d" % status)


def log_lines(path):
    """The lines of a server's log as dicts."""
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line[:1] == "{" and line[-1:] == "\n"]


def main(model, seconds):
    console.start_log()
    known = items_of(predictor.load(model), 500)
    with tempfile.TemporaryDirectory() as directory:
        log = os.path.join(directory, "log")
        with started(os.path.abspath(model), log, **LIMITS) as port:
            report = attack(port, known, float(seconds), LIMITS)
        for line in log_lines(log):
            if line["level"] == "error":
                report.fail("the server logged: %.2000s", json.dumps(line))
    lines = conclude(report)
    print("\n".join(report.failures[:20] + lines))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
