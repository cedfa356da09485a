"""tf.estimator where TensorFlow has none; and every platform gives the same: records, checkpoints,
predictions. The others are those whose environments scripts/test.sh has made."""

import os
import re
import shutil
import subprocess
import sys

from util import estimator_package, platforms

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import factories
import run_pretraining
import tiny
import tuning
from conftest import LOADED_WITH_TENSORFLOW, ROOT

OTHERS = [os.path.join(ROOT, name, "bin", "python") for name in (".venv-2.15", ".venv-1.15")]
WITHOUT_ESTIMATOR = pytest.mark.skipif(
    platforms.has_estimator(), reason="TensorFlow %s has tf.estimator" % tf.__version__)


@pytest.fixture
def others():
    """The Pythons of the other platforms."""
    found = [python for python in OTHERS
             if os.path.exists(python) and not sys.prefix.startswith(os.path.dirname(
                 os.path.dirname(python)))]
    if not found:
        pytest.skip("no other platform: bash scripts/test.sh makes .venv-2.15 and .venv-1.15")
    return found


def run_on(python, script, values):
    """Runs a command on a platform; returns what it printed, warnings of libraries among it."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [python, script] + ["--%s=%s" % item for item in values.items()], cwd=ROOT,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, output
    return output


def test_tensorflow_is_loaded_without_keras():
    """Which takes a quarter of the start of a command; who asks for it has it."""
    assert "keras" not in LOADED_WITH_TENSORFLOW
    assert tf.keras.optimizers.__name__


# ---- tf.estimator from its package ----

def test_every_name_of_estimator_is_there():
    assert tf.estimator.Estimator and tf.estimator.export.ServingInputReceiver
    for part, names in estimator_package.PUBLIC.items():
        place = getattr(tf.estimator, part) if part else tf.estimator
        for name in sum(names.values(), []):
            assert hasattr(place, name), (part, name)


@WITHOUT_ESTIMATOR
def test_private_names_are_those_that_were_checked():
    """TensorFlow's and the package's insides, by the table."""
    inside = dict(estimator_package.INSIDE)
    config = tf.estimator.RunConfig()
    estimator = tf.estimator.Estimator(lambda features: None, config=config)
    holders = {"Estimator": estimator, "RunConfig": config}
    config._distribute_coordinator_mode = None  # ours to set
    for place, names in inside.items():
        holder = holders.get(place) or __import__(place, fromlist=["_"])
        for name in names:
            assert hasattr(holder, name), (place, name)
    assert tf.__version__ == estimator_package.CHECKED_VERSION


@WITHOUT_ESTIMATOR
def test_nothing_of_tensorflow_is_replaced():
    """No stand-in stays where another library could find it."""
    assert not [name for name in estimator_package._stand_ins() if name in sys.modules]
    assert "keras" not in sys.modules["tensorflow_estimator"].__dict__


@WITHOUT_ESTIMATOR
@pytest.mark.parametrize("cluster, kind, index, expected", [
    ({"worker": ["a:1", "b:2"]}, "worker", 1, (1, 2)),
    ({"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "worker", 1, (2, 3)),
    ({"chief": ["a:1"], "worker": ["b:2"]}, "chief", 0, (0, 2))])
def test_place_in_a_cluster(monkeypatch, cluster, kind, index, expected):
    from tensorflow.python.distribute import distribute_coordinator_context

    class Context(object):
        cluster_spec, task_type, task_id = tf.train.ClusterSpec(cluster), kind, index
        master_target, is_chief = "grpc://x:1", index == 0

    monkeypatch.setattr(distribute_coordinator_context, "get_current_worker_context", Context)
    config = tf.estimator.RunConfig()
    estimator_package._place(config)
    assert (config.global_id_in_cluster, config.num_worker_replicas) == expected
    assert (config.task_type, config.task_id, config.master) == (kind, index, "grpc://x:1")


@WITHOUT_ESTIMATOR
def test_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(estimator_package, "PACKAGE", "tensorflow_estimator_that_is_not_there")
    with pytest.raises(SystemExit) as raised:
        platforms._install_estimator()
    assert raised.value.code.startswith(
        "error: tf.estimator is missing (No module named 'tensorflow_estimator_that_is_not_there')"
        "; this project runs on Python 3.10-3.13 with TensorFlow 2.21.0")


# ---- the same everywhere ----

@pytest.mark.slow
@pytest.mark.one_platform
def test_directory_is_trained_on_by_every_platform_in_turn(tmp_path, others):
    """Weights, slots and step; as by this one alone, which stops and goes on as often."""
    tiny.write_records(tmp_path / "a.tfrecord")
    tiny.write_config(tmp_path / "config.json", **tiny.LAYOUTS["google"])
    values = dict(tiny.PRETRAINING, input_file=tmp_path / "a.tfrecord", optimizer="lamb",
                  bert_config_file=tmp_path / "config.json", train_batch_size=8)

    def turn(number, python, output):
        flags = dict(values, num_train_steps=2 * number + 2, output_dir=tmp_path / output)
        if python:
            run_on(python, "run_pretraining.py", flags)
        else:
            run_pretraining.main(tiny.parse(run_pretraining.define_flags, **flags))

    turn(0, None, "in_turn")
    shutil.copytree(str(tmp_path / "in_turn"), str(tmp_path / "alone"))
    turns = others + [None]
    for number, python in enumerate(turns, 1):
        turn(number, python, "in_turn")
        turn(number, None, "alone")
    step = 2 * len(turns) + 2
    alone, in_turn = (tiny.weights(tmp_path / output / ("model.ckpt-%d" % step))
                      for output in ("alone", "in_turn"))
    assert set(alone) == set(in_turn) and alone["global_step"] == step
    assert [name for name in alone if name.endswith("adam_v")]
    for name, value in alone.items():
        if "/key/bias" in name:  # its gradient is 0 but for rounding, which the optimizers amplify
            continue
        np.testing.assert_allclose(in_turn[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.one_platform
def test_records_are_the_same_bytes(tmp_path, others, sample_vocab):
    for index, python in enumerate([sys.executable] + others):
        values = factories.flags(tmp_path, sample_vocab, factories.news(), num_workers=2,
                                 ngram=3, output_file=tmp_path / ("%d.tfrecord" % index))
        run_on(python, "create_pretraining_data.py", values)
    first, *rest = [(tmp_path / ("%d.tfrecord" % index)).read_bytes()
                    for index in range(len(others) + 1)]
    assert len(first) > 10 ** 5 and all(content == first for content in rest)


@pytest.mark.slow
@pytest.mark.one_platform
def test_predictions_are_the_same(tmp_path, others, fine_tuned):
    """Of a model that was fine-tuned here: features, probabilities and the files they go to."""
    found = []
    for index, python in enumerate([sys.executable] + others):
        output = run_on(python, "run_classifier.py", tuning.flag_values(
            fine_tuned, tmp_path / str(index), do_predict=True,
            init_checkpoint=fine_tuned / "out"))
        assert not re.search("warning|deprecat|oneDNN|absl", output, re.I), output
        found.append(np.loadtxt(str(tmp_path / str(index) / "test_results.tsv"), skiprows=1,
                                dtype=str))
    for other in found[1:]:
        assert (other[:, :2] == found[0][:, :2]).all()  # names and decisions
        np.testing.assert_allclose(other[:, 2:].astype(float), found[0][:, 2:].astype(float),
                                   atol=1e-5)
