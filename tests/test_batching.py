"""The queue before the models, and what is computed together."""

import threading
import time
from concurrent import futures

import numpy as np
import pytest

from serving import batching


class Model(object):
    """Answers a row by its first token; a row that starts with -1 fails."""

    def __init__(self):
        self.batches = []
        self.open = threading.Event()
        self.open.set()

    def compute(self, rows):
        self.open.wait(30)
        self.batches.append([len(row["input_ids"]) for row in rows])
        if any(row["input_ids"][0] < 0 for row in rows):
            raise RuntimeError("an operator failed")
        return [row["input_ids"][0] for row in rows]


class Watch(batching.Observer):
    def __init__(self):
        self.seconds, self.sizes = [], []

    def waited(self, predictor, seconds):
        self.seconds.append(seconds)

    def computed(self, predictor, rows, padded, seconds):
        self.sizes.append((rows, padded))


def row(length, token=0):
    return {"input_ids": np.full(length, token)}


def held(batcher, model):
    """Holds the batcher's thread in a batch of one; returns its Future."""
    model.open.clear()
    future, = batcher.submit(model, [[row(1)]])
    while batcher.waiting:
        time.sleep(0.001)
    return future


def settings(batch_tokens=64, wait_seconds=0.0, queue_tokens=1000):
    return batching.Settings(batch_tokens, wait_seconds, queue_tokens)


def test_everybody_gets_the_outputs_of_their_own_rows():
    model, found = Model(), {}
    with batching.Batcher(settings()) as batcher:
        def ask(number):
            rows = [row(1 + (number + part) % 5, 10 * number + part) for part in range(3)]
            found[number] = [future.result(30) for future in batcher.submit(
                model, [rows[:2], rows[2:]])]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number: [[10 * number, 10 * number + 1], [10 * number + 2]]
                     for number in range(50)}


def test_batches_are_of_one_model_of_similar_lengths_and_of_so_many_padded_tokens():
    model, other, watch = Model(), Model(), Watch()
    with batching.Batcher(settings(batch_tokens=200), watch) as batcher:
        first = held(batcher, model)
        waiting = [future for length in (60, 8, 50, 9, 64, 70)
                   for future in batcher.submit(model, [[row(length)]])]
        waiting += batcher.submit(other, [[row(60)]])
        model.open.set()
        futures.wait([first] + waiting, 30)
    # 60 is the oldest; 70 would be the fourth of 70 padded tokens, 8 and 9 mostly padding.
    assert model.batches == [[1], [60, 64, 50], [8, 9], [70]] and other.batches == [[60]]
    assert watch.sizes == [(1, 1), (3, 192), (2, 18), (1, 70), (1, 60)]
    assert len(watch.seconds) == 8 and all(0 <= seconds < 30 for seconds in watch.seconds)


def test_no_row_is_mostly_padding():
    """Not beside one over twice as long, unless both are short."""
    model = Model()
    with batching.Batcher(settings(batch_tokens=10000)) as batcher:
        held(batcher, model)
        waiting = [future for length in (100, 49, 50, 200, 8, 20)
                   for future in batcher.submit(model, [[row(length)]])]
        model.open.set()
        futures.wait(waiting, 30)
    assert model.batches == [[1], [100, 50], [49], [200], [8, 20]]


def test_one_who_fails_fails_alone():
    model = Model()
    with batching.Batcher(settings()) as batcher:
        held(batcher, model)
        good, bad, also_good = batcher.submit(model, [[row(3, 1)], [row(3, -1)], [row(3, 2)]])
        model.open.set()
        assert (good.result(30), also_good.result(30)) == ([1], [2])
        with pytest.raises(RuntimeError, match="an operator failed"):
            bad.result(30)
        assert batcher.submit(model, [[row(3, 4)]])[0].result(30) == [4]


def test_waits_for_others_but_not_long():
    model = Model()
    with batching.Batcher(settings(wait_seconds=0.2)) as batcher:
        began = time.monotonic()
        waiting = batcher.submit(model, [[row(3)]]) + batcher.submit(model, [[row(4)]])
        futures.wait(waiting, 30)
        assert time.monotonic() - began >= 0.2 and model.batches == [[3, 4]]
        began = time.monotonic()
        batcher.submit(model, [[row(32)], [row(32)]])[1].result(30)  # a batch is full
        assert time.monotonic() - began < 0.2


def test_queue_is_bounded():
    model = Model()
    with batching.Batcher(settings(queue_tokens=100)) as batcher:
        held(batcher, model)
        large, = batcher.submit(model, [[row(150)]])  # nothing waits
        with pytest.raises(batching.Full, match="150 tokens wait .*, at most 100 may") as full:
            batcher.submit(model, [[row(1)]])
        assert 1 <= full.value.seconds <= 60
        large.cancel()
        batcher.submit(model, [[row(40)]])
        with pytest.raises(batching.Full):
            batcher.submit(model, [[row(40)], [row(40)]])  # all or none
        assert batcher.waiting == 40
        model.open.set()
    assert model.batches == [[1], [40]]


def test_who_is_gone_is_not_computed():
    model = Model()
    with batching.Batcher(settings(wait_seconds=0.05)) as batcher:
        gone, = batcher.submit(model, [[row(3)]])
        assert gone.cancel() and batcher.waiting == 0
        assert batcher.submit(model, [[row(4, 7)]])[0].result(30) == [7]
    assert model.batches == [[4]]


def test_close_computes_what_waits():
    model = Model()
    batcher = batching.Batcher(settings(wait_seconds=60))
    future, = batcher.submit(model, [[row(3, 7)]])
    batcher.close()
    assert future.result(0) == [7]


def test_an_item_without_tokens():
    with batching.Batcher(settings()) as batcher:
        assert batcher.submit(Model(), [[]])[0].result(30) == []
