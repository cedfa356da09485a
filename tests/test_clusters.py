"""Several devices and several machines make the updates that one makes of the whole batch."""

import contextlib
import json
import os
import random
import shutil
import socket

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_pretraining
import tiny
import tuning
from processes import start, wait_until
from training import checkpoints, clusters, estimators


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Records with one and two predictions each, so that the parts of a batch differ."""
    directory = tmp_path_factory.mktemp("data")
    tiny.write_records(directory / "two.tfrecord", 128)
    tiny.write_records(directory / "one.tfrecord", 128, seed=1,
                       masked_lm_weights=np.array([1, 0], np.float32))
    tiny.write_records(directory / "dev.tfrecord", 64, seed=2)
    tiny.write_config(directory / "config.json", num_hidden_layers=1)
    return directory


def flags_of(data, output, **changes):
    return dict(tiny.PRETRAINING, **dict({
        "input_file": "%s,%s" % (data / "two.tfrecord", data / "one.tfrecord"),
        "eval_input_file": data / "dev.tfrecord", "bert_config_file": data / "config.json",
        "output_dir": output, "train_batch_size": 12, "num_train_steps": 3}, **changes))


def train(data, output, **changes):
    run_pretraining.main(
        tiny.parse(run_pretraining.define_flags, **flags_of(data, output, **changes)))
    return tf.train.latest_checkpoint(str(output))


def assert_close(first, second):
    """To 1e-5, in every variable; adam_m and adam_v are those of the update of the whole batch."""
    first, second = tiny.weights(first), tiny.weights(second)
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture
def two_devices(monkeypatch):
    """Two logical CPU devices in the place of --num_gpus=2."""
    plain = estimators.session_config

    def session_config(devices):
        config = plain(devices)
        config.device_count["CPU"] = 2
        return config

    monkeypatch.setattr(estimators, "session_config", session_config)
    monkeypatch.setattr(clusters, "local_devices", lambda count: [
        "/cpu:%d" % index for index in range(count)])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer, layout, parts", [
    pytest.param("adamw", "brightmart", 1, marks=pytest.mark.one_platform),
    pytest.param("muon", "google", 1, marks=pytest.mark.one_platform),
    pytest.param("lamb", "google", 2, marks=pytest.mark.every_platform)])
def test_two_devices_equal_one(data, tmp_path, two_devices, caplog, optimizer, layout, parts):
    """From the first step on, in all variables, in what is said, and in the evaluation.

    That runs on one of the devices. The first step itself makes large moves of rounding errors.
    """
    tiny.write_config(tmp_path / "config.json", num_hidden_layers=1, **tiny.LAYOUTS[layout])
    options = {"bert_config_file": tmp_path / "config.json", "optimizer": optimizer,
               "gradient_accumulation_steps": parts, "do_eval": optimizer == "lamb",
               "save_checkpoints_steps": 1}
    said, found = [], []
    for count in (1, 2):
        caplog.clear()
        with caplog.at_level("INFO", "albert"):
            found.append(train(data, tmp_path / str(count), num_gpus=count, **options))
        line, = [message for message in caplog.messages if message.startswith("step 3/3")]
        said.append([float(part.split()[1]) for part in line.split("  ")[1:6]])
        if count == 1:
            after_one_step(tmp_path / "1", tmp_path / "2")
    assert_close(*found)
    first, last = tiny.weights(tmp_path / "2" / "model.ckpt-1"), tiny.weights(found[0])
    for name in ("bert/embeddings/word_embeddings", "bert/pooler/dense/kernel", "global_step"):
        assert np.abs(last[name] - first[name]).max() > 1e-3, name
    np.testing.assert_allclose(said[1], said[0], rtol=2e-3)  # 4 digits are shown
    if options["do_eval"]:
        assert_same_results(tmp_path / "1", tmp_path / "2")


def assert_same_results(first, second):
    first, second = tiny.results(first), tiny.results(second)
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, err_msg=name)


def after_one_step(whole, copy):
    """Copies the directory of a run as it was after its first step."""
    copy.mkdir()
    for name in os.listdir(str(whole)):
        if name.startswith("model.ckpt-1."):
            shutil.copy(str(whole / name), str(copy))
    tf.train.update_checkpoint_state(str(copy), str(copy / "model.ckpt-1"))


def test_a_batch_that_the_devices_cannot_share(data, tmp_path, two_devices):
    with pytest.raises(UserError, match="--train_batch_size=7 is not a multiple of the 2 devices"):
        train(data, tmp_path, num_gpus=2, train_batch_size=7)


def test_more_gpus_than_there_are():
    with pytest.raises(UserError, match=r"--num_gpus=99: TensorFlow sees \d+ GPUs here; lower it"):
        clusters.local_devices(99)


TWO = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize("text, found", [
    (None, None), ("", None),
    ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, None),
    ({"cluster": TWO, "task": {"type": "worker", "index": 1}}, (["a:1", "b:2"], 1)),
    ({"cluster": dict(TWO, chief=["c:3"]), "task": {"type": "worker", "index": 1}},
     (["c:3", "a:1", "b:2"], 2)),
    ({"cluster": dict(TWO, chief=["c:3"]), "task": {"type": "chief", "index": 0}},
     (["c:3", "a:1", "b:2"], 0))])
def test_tf_config(text, found):
    assert clusters.from_environment(json.dumps(text) if text else text) == found


@pytest.mark.parametrize("text, message", [
    ("{", "TF_CONFIG={: .*; expected e.g. "),
    ({"cluster": TWO}, "TF_CONFIG=.*: 'task'; expected e.g."),
    ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "there is no worker 2 among 2"),
    ({"cluster": TWO, "task": {"type": "evaluator", "index": 0}}, "names the task 'evaluator'"),
    ({"cluster": dict(TWO, ps=["d:4"]), "task": {"type": "worker", "index": 0}}, "names ps; every"),
    ({"cluster": {"worker": ["a", "b:2"]}, "task": {"type": "worker", "index": 0}},
     "'a' is not host:port")])
def test_bad_tf_config(text, message):
    with pytest.raises(UserError, match=message):
        clusters.from_environment(text if isinstance(text, str) else json.dumps(text))


# ---- two processes on this machine ----

def free_ports(count):
    """Ports of this machine that nobody listens at, and that the system gives to nobody who asks
    for any: other tests do, while the workers are on their way to theirs.
    """
    ports, tried = [], random.SystemRandom().sample(range(20000, 32768), 1000)
    for port in tried:
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("0.0.0.0", port))
            ports.append(port)
        if len(ports) == count:
            break
    return ports


class Workers(object):
    """Two processes of a script that train together; their output goes to files."""

    def __init__(self, values, output, script="run_pretraining.py", ports=None):
        addresses = ["127.0.0.1:%d" % port for port in ports or free_ports(2)]
        self.logs = [output.parent / ("%s-%d.log" % (output.name, index)) for index in range(2)]
        self.processes = [start(script, values, log, TF_CONFIG=json.dumps(
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}))
            for index, log in enumerate(self.logs)]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.join()

    def status(self, index, seconds=600):
        self.processes[index].join(seconds)
        return self.processes[index].exitcode

    def statuses(self):
        return [self.status(index) for index in range(2)]

    def wait_until(self, condition, seconds=600):
        """As processes.wait_until, but fails when a worker ends too, and with what they said."""
        def is_so():
            assert all(process.is_alive() for process in self.processes), "a worker has ended"
            return condition()
        try:
            wait_until(is_so, seconds)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, "\n".join(map(self.said, range(2))))) from None

    def said(self, index):
        return self.logs[index].read_text()


@pytest.fixture(scope="module")
def one_step(data, quick_trainings):
    """Flags of runs that begin with what one step has made, its slots too.

    A first step makes large moves of rounding errors.
    """
    initial = train(data, data / "one_step", num_train_steps=1)
    return {"init_checkpoint": initial, "restore_slots": True}


@pytest.mark.slow
@pytest.mark.every_platform
def test_two_workers_equal_one_also_after_one_was_killed(data, one_step, tmp_path):
    options = dict(one_step, save_checkpoints_steps=20, num_train_steps=100000)
    output = tmp_path / "out"
    with Workers(flags_of(data, output, **options), output) as workers:
        workers.wait_until((output / "model.ckpt-20.index").exists)
        workers.processes[1].kill()
        assert workers.status(0) == 1
    last = workers.said(0).strip().split("\n")[-1]
    latest = tf.train.latest_checkpoint(str(output))
    assert last.startswith("error: worker 1 (127.0.0.1:")
    assert last.endswith(") is gone; start all workers again with the same commands, they go on "
                         "from " + latest)
    begun = tiny.weights(output / "model.ckpt-0")
    given = tiny.weights(one_step["init_checkpoint"])
    for name in set(begun) - {"global_step"}:
        np.testing.assert_array_equal(begun[name], given[name], err_msg=name)
    shutil.copytree(str(output), str(tmp_path / "alone"))
    options["num_train_steps"] = checkpoints.checkpoint_step(latest) + 3
    assert_two_train_as_one(data, output, tmp_path / "alone", options)


@pytest.mark.slow
def test_two_workers_evaluate_on_the_way_and_go_on(data, one_step, tmp_path):
    # The keys' bias has rounding errors for a gradient, and Adam makes moves of them.
    options = dict(one_step, learning_rate=0.003, do_eval=True, eval_every_steps=2)
    said = assert_two_train_as_one(data, tmp_path / "out", tmp_path / "alone", options)
    assert_same_results(tmp_path / "alone", tmp_path / "out")
    assert said[0].count("eval_results.txt") == 2
    assert "eval_results.txt" not in said[1]


def assert_two_train_as_one(data, together, alone, options):
    """What two workers do in one directory this process does in the other; what the workers say."""
    with Workers(flags_of(data, together, **options), together) as workers:
        assert workers.statuses() == [0, 0], workers.said(0) + workers.said(1)
    assert_close(train(data, alone, **options), tf.train.latest_checkpoint(str(together)))
    said = [workers.said(index) for index in range(2)]
    assert "Traceback" not in "".join(said)
    assert not (together / "tmp_worker_1").exists()
    return said


@pytest.mark.slow
def test_port_that_is_taken(data, tmp_path):
    with socket.socket() as taken:
        ports = free_ports(2)
        taken.bind(("127.0.0.1", ports[0]))
        taken.listen()
        output = tmp_path / "out"
        with Workers(flags_of(data, output), output, ports=ports) as workers:
            assert workers.status(0) == 1
    said = workers.said(0)
    assert said.strip().split("\n")[-1].startswith(
        "error: worker 0 cannot listen at 127.0.0.1:%d, its place in TF_CONFIG" % ports[0])
    assert "Traceback" not in said
    assert not tf.train.latest_checkpoint(str(output))


@pytest.mark.slow
@pytest.mark.one_platform
def test_two_workers_fine_tune_as_one(tmp_path):
    """Batches of similar length are shared, and worker 0 alone evaluates."""
    here = tuning.prepare(tmp_path)
    initial = tf.train.latest_checkpoint(str(
        tuning.run(here, "start", do_train=True, train_step=1)))
    options = {"do_train": True, "do_eval": True, "train_step": 3, "init_checkpoint": initial,
               "classifier_dropout": 0.0}
    values = tuning.flag_values(here, "two", **options)
    with Workers(values, here / "two", "run_classifier.py") as workers:
        assert workers.statuses() == [0, 0], workers.said(0) + workers.said(1)
    tuning.run(here, "one", **options)
    assert_close(tf.train.latest_checkpoint(str(here / "one")),
                 tf.train.latest_checkpoint(str(here / "two")))
    assert_same_results(here / "one", here / "two")
    assert "eval_results.txt" in workers.said(0) and "eval_results.txt" not in workers.said(1)
    assert "step 3/3  loss" in workers.said(0) and "step 3  accuracy" in workers.said(0)
