"""Batches for peers, their labels, and that transformers learns from them."""

import contextlib
import io
import json
import os
import subprocess
import sys

from util import sources

import numpy as np
import pytest

import tiny
from benchmarks import peers, running, trainings

# A Python with transformers may be another one than that of the tests.
HUGGING_FACE_PYTHON = os.environ.get("HUGGINGFACE_PYTHON", sys.executable)


def test_peers_get_the_same_labels():
    features = tiny.pretraining_example(np.random.RandomState(0))
    features = {name: np.stack([value, value]) for name, value in features.items()}
    features["masked_lm_weights"][1, 1] = 0
    batch = peers.peer_batch(features)
    token = features["masked_lm_ids"][0, 0]
    expected = np.full([2, 16], -100)
    expected[0, [2, 5]] = expected[1, 2] = token
    np.testing.assert_array_equal(batch["labels"], expected)
    assert batch["sentence_order_label"].shape == (2,)


def test_labels_of_peers_are_numbered_in_their_order(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\nx y\tb\nz\ta\n")
    assert peers.read_labelled(str(tmp_path / "a.tsv")) == (["x y", "z"], [1, 0])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The batches of tiny records, as the peers read them, and an example's work."""
    tmp_path = tmp_path_factory.mktemp("prepared")
    records = tiny.write_records(tmp_path / "train.tfrecord", 64)
    target = str(tmp_path / "batches.npz")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        peers.prepare(tiny.write_config(tmp_path / "config.json"), records, target, 3, tiny.LENGTH,
                      tiny.PREDICTIONS)
    return target, json.loads(printed.getvalue())


@pytest.mark.slow
@pytest.mark.every_platform
def test_batches_for_peers(prepared):
    target, work = prepared
    # By hand as in test_flops.py: 15 of 16 positions are tokens.
    flops = 6 * (15 * 8 * 16 + 2 * (15 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 15 * 15 * 16)
                 + 16 * 16 + 16 * 2 + 2 * (16 * 16 + 16 * 8 + 8 * 100))
    assert work == {"tokens": 15.0, "predictions": 2.0, "flops": flops}
    config, batches = peers.read(target)
    assert (config["hidden_size"], config["hidden_act"], len(batches)) == (16, "gelu_new", 16)
    assert {"layout", "ln_type"}.isdisjoint(config)
    assert batches[0]["labels"].shape == (3, tiny.LENGTH)
    assert np.count_nonzero(batches[0]["labels"] >= 0) == 6
    assert np.any(batches[0]["input_ids"] != batches[1]["input_ids"])


@pytest.mark.slow
@pytest.mark.parametrize("peer", trainings.HUGGING_FACE, ids=lambda peer: peer.name)
def test_transformers_learns_from_them(peer, prepared):
    problem = running.lacks(HUGGING_FACE_PYTHON, peer.code)
    if problem:
        pytest.skip(problem)
    target, _ = prepared
    printed = subprocess.check_output(
        running.peer_command(peer.function, target, 150, *peer.arguments,
                             python=HUGGING_FACE_PYTHON),
        cwd=sources.ROOT, stderr=subprocess.DEVNULL).decode()
    lines = printed.strip().split("\n")
    assert len(lines) == 150 and lines[-1].startswith("step 150/150  loss ")
    losses = [float(line.split()[3]) for line in lines]
    assert np.mean(losses[-16:]) < np.mean(losses[:16]) - 0.3
    assert trainings.rate_of(running.Peer(peer.name, None, trainings.RATE, 1), printed) > 1
