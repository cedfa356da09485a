"""Dynamic batching: requests of many clients wait in one queue and are computed together.

    with Batcher(Settings()) as batcher:
        answers = batcher.submit(predictor, [rows_of_one_item, rows_of_another])
        answers[0].result()   # the outputs of the first item's rows

One thread computes, as an engine takes all processors by itself. Whoever has waited longest is
always in the next batch; others of its model join by length, so that little is spent on padding.
"""

import collections
import functools
import math
import threading
import time
from concurrent import futures

# batch_tokens: padded tokens of a run, at most; wait_seconds: how long the first of a batch waits
# for others; queue_tokens: how many may wait.
Settings = collections.namedtuple("Settings", "batch_tokens wait_seconds queue_tokens")
Settings.__new__.__defaults__ = (4096, 0.002, 1 << 16)

PADDING = 2  # no row is padded to more than this many times its length ...
SHORT = 32  # ... unless the batch is of rows as short as this
SMOOTHING = 0.1  # of the measured tokens a second


class Full(Exception):
    """More tokens wait than may; `seconds` is when there will be room, as far as one can tell."""

    def __init__(self, tokens, limit, seconds):
        super(Full, self).__init__("%d tokens wait to be computed, at most %d may"
                                   % (tokens, limit))
        self.seconds = seconds


class Observer(object):
    """What is told of the work; does nothing by itself."""

    def waited(self, predictor, seconds):
        """An item was taken from the queue."""

    def computed(self, predictor, rows, padded, seconds):
        """A batch of so many rows and padded tokens was run."""


class _Entry(object):
    """An item that waits: its feature rows, and the Future of their outputs."""

    def __init__(self, predictor, rows):
        self.predictor, self.rows = predictor, rows
        lengths = [len(row["input_ids"]) for row in rows]
        self.longest, self.tokens = max(lengths, default=0), sum(lengths)
        self.arrived = time.monotonic()
        self.future = futures.Future()


class Batcher(object):
    """The queue and the thread that empties it.

    Args:
      settings: Settings.
      observer: Observer.
    """

    def __init__(self, settings, observer=None):
        self._settings, self._observer = settings, observer or Observer()
        self._queue = collections.OrderedDict()  # {_Entry: None}, the oldest first
        self._waiting = 0  # tokens
        self._changed = threading.Condition()
        self._closed = False
        self._rate = None  # tokens a second
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Computes what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def waiting(self):
        """Tokens that wait."""
        with self._changed:
            return self._waiting

    def submit(self, predictor, items):
        """Queues items, all or none.

        Args:
          predictor: has compute(rows) -> [outputs of each row].
          items: a list of lists of feature rows, dicts with "input_ids".

        Returns:
          A Future for each item, of the outputs of its rows; one that is cancelled in time is not
          computed.

        Raises:
          Full: they do not fit. What is too large by itself is taken while nothing waits.
        """
        entries = [_Entry(predictor, rows) for rows in items]
        with self._changed:
            self._check_room(sum(entry.tokens for entry in entries))
            for entry in entries:
                self._queue[entry] = None
                self._waiting += entry.tokens
            self._changed.notify()
        for entry in entries:
            entry.future.add_done_callback(functools.partial(self._forget, entry))
        return [entry.future for entry in entries]

    def _check_room(self, more):
        if self._waiting and self._waiting + more > self._settings.queue_tokens:
            seconds = math.ceil(self._waiting / self._rate) if self._rate else 1
            raise Full(self._waiting, self._settings.queue_tokens, min(max(seconds, 1), 60))

    def _forget(self, entry, future):
        """Takes what was cancelled out of the queue."""
        if future.cancelled():
            with self._changed:
                self._remove([entry])

    def _remove(self, entries):
        for entry in entries:
            if entry in self._queue:
                del self._queue[entry]
                self._waiting -= entry.tokens

    def _work(self):
        while True:
            batch = self._next()
            if not batch:
                return
            taken = [entry for entry in batch if entry.future.set_running_or_notify_cancel()]
            for entry in taken:
                self._observer.waited(entry.predictor, time.monotonic() - entry.arrived)
            if taken:
                self._compute(taken)

    def _next(self):
        """Entries to compute together; none when closed and empty."""
        with self._changed:
            while not (self._closed or (self._queue and self._enough())):
                self._changed.wait(self._time_left() if self._queue else None)
            batch = choose(list(self._queue), self._settings.batch_tokens)
            self._remove(batch)
            return batch

    def _oldest(self):
        return next(iter(self._queue))

    def _time_left(self):
        return self._oldest().arrived + self._settings.wait_seconds - time.monotonic()

    def _enough(self):
        return self._time_left() <= 0 or sum(
            entry.tokens for entry in self._queue
            if entry.predictor is self._oldest().predictor) >= self._settings.batch_tokens

    def _compute(self, batch):
        """Runs a batch; what fails together is tried alone, so that one fails for itself."""
        rows = [row for entry in batch for row in entry.rows]
        began = time.monotonic()
        try:
            outputs = list(batch[0].predictor.compute(rows))
        except Exception as error:  # whatever an engine raises, it is the answer to that item
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for entry in batch:
                self._compute([entry])
            return
        self._measure(batch, time.monotonic() - began)
        for entry in batch:
            entry.future.set_result(outputs[:len(entry.rows)])
            outputs = outputs[len(entry.rows):]

    def _measure(self, batch, seconds):
        rows = sum(len(entry.rows) for entry in batch)
        self._observer.computed(batch[0].predictor, rows,
                                rows * max(entry.longest for entry in batch), seconds)
        rate = sum(entry.tokens for entry in batch) / max(seconds, 1e-6)
        self._rate = rate if self._rate is None else (
            SMOOTHING * rate + (1 - SMOOTHING) * self._rate)


def choose(queue, batch_tokens):
    """The entries of the next batch: the oldest, and those nearest to its length that fit.

    Args:
      queue: entries with predictor, rows and longest; the oldest first.
      batch_tokens: padded, at most; the oldest is taken whatever its size.
    """
    if not queue:
        return []
    oldest = queue[0]
    others = sorted((entry for entry in queue[1:] if entry.predictor is oldest.predictor),
                    key=lambda entry: abs(entry.longest - oldest.longest))
    batch, rows = [oldest], len(oldest.rows)
    shortest = longest = oldest.longest
    for entry in others:
        low, high = min(shortest, entry.longest), max(longest, entry.longest)
        if high > max(PADDING * low, SHORT):
            continue
        if (rows + len(entry.rows)) * high > batch_tokens:
            break
        batch.append(entry)
        rows, shortest, longest = rows + len(entry.rows), low, high
    return batch
