"""The model that comes with the code: small, whole, and it has learnt something."""

import os

import numpy as np
import pytest

import convert_checkpoint
import create_pretraining_data
import run_classifier
import run_pretraining
import tiny
import tokenization
from conftest import ROOT
from interchange import conversion
from pretraining import inputs

SAMPLE = os.path.join(ROOT, "data", "albert_tiny_sample")
TEXT = os.path.join(ROOT, "data", "news_zh_1.txt")
VOCAB = os.path.join(SAMPLE, "vocab.txt")
INITIAL = {"init_checkpoint": SAMPLE, "vocab_file": VOCAB,
           "bert_config_file": os.path.join(SAMPLE, "config.json")}

pytestmark = pytest.mark.one_platform  # what reads it has tests on each


@pytest.fixture(scope="module")
def model():
    return conversion.read_back("hf_albert", SAMPLE)


def test_files_fit_and_are_small(model):
    sizes = [os.path.getsize(os.path.join(SAMPLE, name)) for name in os.listdir(SAMPLE)]
    assert sum(sizes) < 10e6
    tokenizer = tokenization.load_tokenizer(VOCAB)
    assert len(tokenizer.tokens) == model.weights.config.vocab_size
    assert model.weights.config.num_hidden_layers == 4


def test_fills_masks_better_than_guessing(tmp_path):
    """Beyond four standard deviations, on a text that it was not trained on."""
    shape = {"max_seq_length": 128, "max_predictions_per_seq": 26}
    create_pretraining_data.main(tiny.parse(
        create_pretraining_data.define_flags, input_file=TEXT, vocab_file=VOCAB,
        output_file=tmp_path / "text.tfrecord", masked_lm_prob=0.15, dupe_factor=1, **shape))
    run_pretraining.main(tiny.parse(
        run_pretraining.define_flags, eval_input_file=tmp_path / "text.tfrecord", do_eval=True,
        output_dir=tmp_path / "out", xla=False, eval_batch_size=64, **dict(shape, **INITIAL)))
    found = tiny.results(tmp_path / "out")
    chance = inputs.guessing_accuracy([str(tmp_path / "text.tfrecord")], None)
    deviation = (chance * (1 - chance) / found["eval_predictions"]) ** 0.5
    assert found["masked_lm_accuracy"] > chance + 4 * deviation, found


def test_becomes_a_checkpoint_of_google(model, tmp_path):
    """The command compares what both compute; the numbers, float16 in the file, are the same."""
    convert_checkpoint.main(tiny.parse(convert_checkpoint.define_flags, **{
        "from": "hf_albert", "to": "google", "input": SAMPLE, "output": tmp_path / "google"}))
    back = conversion.read_back("google", str(tmp_path / "google"))
    assert set(back.weights.arrays) == set(model.weights.arrays)
    for name, array in back.weights.arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, model.weights.arrays[name], err_msg=name)


@pytest.mark.slow
def test_fine_tuning_from_it_learns(tmp_path):
    run_classifier.main(tiny.parse(
        run_classifier.define_flags, task_name="lcqmc_pair", do_train=True, do_eval=True,
        data_dir=os.path.join(ROOT, "data", "lcqmc"), output_dir=tmp_path / "out",
        max_seq_length=48, train_batch_size=32, learning_rate=1e-4, num_train_epochs=4,
        **INITIAL))
    # 0.5 by chance, with a deviation of 0.036; about 0.65 where no head compared the two.
    assert tiny.results(tmp_path / "out")["accuracy"] > 0.75
