"""Work in several processes: all results, every error, and no process that outlives its parent."""

import os
import signal
import subprocess
import sys
import time

from util import workers
from util.errors import UserError

import pytest

from processes import alive, needs_proc, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

pytestmark = needs_proc


class Square:
    """Work that cannot be pickled, as tokenizers cannot: a fork shares it."""

    def __init__(self):
        self._table = (number * number for number in range(10))

    def __call__(self, number):
        return number * number, os.getpid()


@pytest.mark.parametrize("num_workers", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_every_item_and_its_result(num_workers, count):
    made = list(workers.in_parallel(Square(), range(count), num_workers))
    assert sorted((item, square) for item, (square, _) in made) == [
        (number, number * number) for number in range(count)]
    pids = {pid for _, (_, pid) in made}
    if num_workers == 1:
        assert pids <= {os.getpid()}
        assert [item for item, _ in made] == list(range(count))
    else:
        assert os.getpid() not in pids
        assert len(pids) <= num_workers
        wait_until(lambda: not any(map(alive, pids)))


def test_workers_work_at_the_same_time(tmp_path):
    def meet(number):
        (tmp_path / str(number)).write_text("")
        wait_until(lambda: len(os.listdir(str(tmp_path))) == 3)
        return os.getpid()

    assert len({pid for _, pid in workers.in_parallel(meet, range(3), 3)}) == 3


def test_items_are_read_a_little_ahead():
    """Or a corpus would stand in memory when reading is faster than work."""
    read, ahead = [], []

    def reading():
        for number in range(50):
            read.append(number)
            yield number

    for done, _ in enumerate(workers.in_parallel(Square(), reading(), 2)):
        ahead.append(len(read) - done)
    assert len(read) == 50
    assert max(ahead) <= 5


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("error", [
    UserError("a.txt line 3: wrong"), ValueError("a bug"),
    OSError(28, "No space left on device", "/data/a")])
def test_error_of_the_work_comes_through(num_workers, error):
    def work(number):
        if number == 5:
            raise error
        return number

    made = []
    with pytest.raises(type(error)) as raised:
        made.extend(item for item, _ in workers.in_parallel(work, range(1000), num_workers))
    assert str(raised.value) == str(error)
    assert getattr(raised.value, "filename", None) == getattr(error, "filename", None)
    assert 5 not in made and len(made) < 500  # and nothing new is begun


@pytest.mark.parametrize("num_workers", [1, 2])
def test_error_of_reading_comes_through_after_the_work(num_workers, tmp_path):
    def work(number):
        time.sleep(0.05)
        (tmp_path / str(number)).write_text("")

    def reading():
        yield 0
        yield 1
        raise UserError("in.txt line 3: byte 1 is not UTF-8")

    with pytest.raises(UserError, match="line 3"):
        list(workers.in_parallel(work, reading(), num_workers))
    assert "0" in os.listdir(str(tmp_path))  # what was begun is finished: it is kept


@pytest.mark.parametrize("die", [lambda: os.kill(os.getpid(), signal.SIGKILL),
                                 lambda: os._exit(0)])
def test_worker_that_dies_is_one_sentence(die):
    def work(number):
        if number == 7:
            die()
        return os.getpid()

    pids = set()
    with pytest.raises(UserError, match="a worker process died, most often killed for lack of "
                                        "memory; what is done is kept: start again, with fewer "
                                        "--num_workers"):
        for _, pid in workers.in_parallel(work, range(100), 2):
            pids.add(pid)
    wait_until(lambda: not any(map(alive, pids)))


def test_consumer_that_stops_ends_the_workers():
    pids = set()
    for item, (_, pid) in workers.in_parallel(Square(), range(1000), 2):
        pids.add(pid)
        if item > 20:
            break
    wait_until(lambda: not any(map(alive, pids)))


PARENT = """
import os, signal, sys, time
from util import workers

def work(number):
    os.write(1, b"%%d\\n" %% os.getpid())
    %s

for _ in workers.in_parallel(work, range(8), 2):
    pass
"""


def start(what):
    """A process that works with two others -> (Popen, their pids)."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT % what], cwd=ROOT,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              universal_newlines=True)
    pids = set()
    while len(pids) < 2:
        pids.add(int(parent.stdout.readline()))
    assert all(map(alive, pids))
    return parent, pids


@pytest.mark.parametrize("what", [
    "time.sleep(100)",
    "while True: pass",  # busy, as with text
])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(what, how):
    parent, pids = start(what)
    try:
        parent.send_signal(how)
        assert parent.wait() == -how
        wait_until(lambda: not any(map(alive, pids)))
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.slow
def test_ctrl_c_is_left_to_the_parent():
    """A terminal sends it to all; the workers finish what they have begun, without a traceback."""
    parent, pids = start("time.sleep(0.3)")
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    assert parent.wait() == 0
    parent.stdout.close()


def test_default_number():
    assert workers.default_number() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("contents, number", [
    ({"cpu.max": "100000 100000"}, 1), ({"cpu.max": "150000 100000"}, 2),
    ({"cpu.max": "max 100000"}, 8), ({}, 8), ({"quota": "-1", "period": "100000"}, 8),
    ({"quota": "50000", "period": "100000"}, 1), ({"cpu.max": "9900000 100000"}, 8)])
def test_processors_of_a_container(tmp_path, monkeypatch, contents, number):
    for name, content in contents.items():
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(workers, "CPU_QUOTA_FILES", [
        [str(tmp_path / name) for name in names] for names in (["cpu.max"], ["quota", "period"])])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert workers.processors() == workers.default_number() == number
