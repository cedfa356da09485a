"""recipes.py: sizes, the square-root rule, what is chosen, and that the documented table is it."""

import collections
import glob
import json
import os
import subprocess
import sys

from util.errors import UserError

import pytest

import modeling
from factories import MASKING
from pretraining import masking, recipes

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
Shape = collections.namedtuple("Shape", "hidden_size num_hidden_layers")
SHAPES = {name: Shape(width, layers) for name, width, layers in recipes.SIZES}
NAMES = ["tiny", "small", "base", "large", "xlarge", "xxlarge"]


def test_size_of_every_shipped_config():
    paths = glob.glob(os.path.join(ROOT, "albert_config", "albert_config_*.json"))
    assert len(paths) == 15
    for path in paths:
        with open(path) as stream:
            values = json.load(stream)
        shape = Shape(values["hidden_size"], values["num_hidden_layers"])
        assert recipes.size_of(shape) == os.path.basename(path).split(".")[0].split("_")[2]


@pytest.mark.parametrize("shape, name", [
    ((16, 2), "tiny"), ((313, 4), "small"), ((312, 5), "small"), ((312, 12), "base"),
    ((512, 6), "base"), ((768, 13), "large"), ((1025, 12), "xlarge"), ((3000, 24), "xxlarge"),
    ((8192, 48), "xxlarge")])
def test_between_two_sizes_is_the_larger(shape, name):
    assert recipes.size_of(Shape(*shape)) == name


@pytest.mark.parametrize("name, optimizer, examples, rate", [
    ("tiny", "adamw", 32, 2e-4),  # trained tiny_google: docs/recipes.md
    ("tiny", "adamw", 128, 4e-4),
    ("tiny", "adamw", 4096, 6e-4),  # the highest AdamW rate of the sources
    ("base", "adamw", 256, 1e-4),  # BERT
    ("base", "adamw", 8192, 5.66e-4),  # RoBERTa-base took 6e-4
    ("base", "adamw", 32, 3.54e-5),
    ("large", "adamw", 8192, 4e-4),  # RoBERTa-large
    ("large", "adamw", 2048, 2e-4),  # ELECTRA-large
    ("xlarge", "adamw", 8192, 2e-4),
    ("large", "lamb", 4096, 0.00176),  # ALBERT
    ("large", "lamb", 512, 6.22e-4),  # 6.25e-4 in LAMB's paper
    ("large", "lamb", 32768, 0.00498),  # 5e-3 in LAMB's paper
    ("large", "lamb", 65536, 0.005)])
def test_rate_of_a_batch(name, optimizer, examples, rate):
    other = {"adamw": "lamb", "lamb": "adamw"}[optimizer]
    assert recipes.scaled(recipes.RECIPES[name][optimizer], examples) == rate
    assert recipes.scaled(recipes.RECIPES[name][other], examples, optimizer) == rate


@pytest.mark.parametrize("name, optimizer, examples, rate", [
    ("tiny", "adamw", 64, 9.9e-4), ("tiny", "adamw", 4096, 2e-3),  # higher than from random weights
    ("tiny", "lamb", 4096, 0.00176), ("base", "adamw", 256, 1e-4)])  # the same
def test_rate_of_counted_weights(name, optimizer, examples, rate):
    found = recipes.resolve(SHAPES[name], optimizer, examples, is_counted=True)
    assert found.learning_rate == rate
    assert not [sentence for sentence in found.sentences if sentence.startswith("warning")]


@pytest.mark.parametrize("hours, rate, order_rate", [
    (0.01, 3.13e-3, 0.0316), (0.1, 3.13e-3, 0.0316), (0.24, 2.02e-3, 0.049), (0.5, 1.4e-3, 0.0707),
    (1, 9.9e-4, 0.1), (48, 9.9e-4, 0.1), (None, 9.9e-4, 0.1)])
def test_rate_of_a_short_budget(hours, rate, order_rate):
    """Pooler and order head keep theirs, 1e-4."""
    found = recipes.resolve(SHAPES["tiny"], "muon", 64, is_counted=True, budget_hours=hours)
    assert (found.learning_rate, found.order_rate) == (rate, order_rate)
    assert found.learning_rate * found.order_rate == pytest.approx(1e-4, rel=0.02)
    said = [line for line in found.sentences if "as the budget is" in line]
    assert len(said) == (hours in (0.01, 0.1, 0.24, 0.5))


@pytest.mark.parametrize("name, optimizer, is_counted, given, order_rate", [
    ("tiny", "muon", False, None, 1.0), ("base", "muon", True, None, 0.1),
    ("tiny", "lamb", True, None, 0.1), ("tiny", "muon", True, 5e-4, 0.1)])
def test_rates_that_are_of_no_short_budget(name, optimizer, is_counted, given, order_rate):
    found = [recipes.resolve(SHAPES[name], optimizer, 64, given, is_counted=is_counted,
                             budget_hours=hours) for hours in (0.1, None)]
    assert found[0].learning_rate == found[1].learning_rate
    assert found[0].order_rate == found[1].order_rate == order_rate


@pytest.mark.parametrize("examples", [1, 32, 256, 4096])
def test_larger_models_get_lower_adamw_rates(examples):
    rates = [recipes.resolve(SHAPES[name], "adamw", examples).learning_rate for name in NAMES]
    assert rates[0] > rates[-1] * 5
    assert all(first >= second for first, second in zip(rates, rates[1:]))


def test_chosen_numbers_and_why():
    found = recipes.resolve(SHAPES["tiny"], "adamw", 32, num_train_steps=4000)
    assert found[:-1] == ("tiny", "adamw", 32, 2e-4, 0.98, 200, 4000, 1.0)
    assert found.sentences == [
        "--learning_rate not given: 0.0002 for albert tiny (312 wide, 4 layers), adamw, 32 "
        "examples an update (0.0002 at 32: rate measured here with tiny_google, steps as "
        "ELECTRA-small)",
        "--beta_2 not given: the recipe's 0.98",
        "--num_warmup_steps not given: 200 of 4,000 steps"]


def test_nothing_given_is_the_papers_run():
    found = recipes.resolve(SHAPES["xlarge"], "lamb")
    assert found[:-1] == ("xlarge", "lamb", 4096, 0.00176, 0.999, 3125, 125000, 1.0)
    assert [line.split(":")[0] for line in found.sentences] == [
        "--train_batch_size not given", "--learning_rate not given", "--beta_2 not given",
        "--num_train_steps not given", "--num_warmup_steps not given"]
    assert "4,096 examples" in found.sentences[0] and "125,000" in found.sentences[3]


def test_given_numbers_are_kept():
    found = recipes.resolve(SHAPES["large"], "adamw", 64, 3e-5, 1000, 0, 0.9)
    assert found == ("large", "adamw", 64, 3e-5, 0.9, 0, 1000, 1.0, [])


@pytest.mark.parametrize("name, optimizer, steps, warmup", [
    ("base", "adamw", 1000000, 10000), ("base", "adamw", 500000, 5000),
    ("base", "adamw", 100000, 2000), ("base", "adamw", 600, 30), ("base", "adamw", 1, 0),
    ("large", "adamw", 10000, 600), ("tiny", "lamb", 1000, 100), ("base", "lamb", 250000, 6250)])
def test_warmup_of_other_numbers_of_steps(name, optimizer, steps, warmup):
    found = recipes.resolve(SHAPES[name], optimizer, 512, num_train_steps=steps)
    assert found.num_warmup_steps == warmup


@pytest.mark.parametrize("name, examples, rate, times", [
    ("tiny", 32, 1e-3, "5.0"),  # at guessing by frequency after 560 steps
    ("tiny", 64, 0.00176, "6.2"),  # albert_zh's rate without its batch and optimizer
    ("base", 32, 3e-4, "8.5"),  # the base runs ended at 7 in public logs: docs/recipes.md
    ("base", 16, 3e-4, "12.0"),
    ("base", 16, 2e-4, "8.0"),
    ("large", 32, 2e-4, "8.0")])  # suits tiny
def test_rates_known_to_fail_are_warned_of(name, examples, rate, times):
    found = recipes.resolve(SHAPES[name], "adamw", examples, rate, 1000, 50, 0.999)
    assert found.learning_rate == rate
    assert len(found.sentences) == 1
    assert found.sentences[0].startswith(
        "warning: --learning_rate=%g is %s times the recipe's " % (rate, times))


@pytest.mark.parametrize("name, optimizer, examples, rate", [
    ("tiny", "adamw", 32, 2e-4), ("tiny", "adamw", 128, 5e-4),  # ELECTRA-small's
    ("base", "adamw", 32, 5e-5), ("base", "adamw", 64, 5e-5),  # public logs: docs/recipes.md
    ("base", "adamw", 256, 2e-4),  # ELECTRA-base's
    ("tiny", "lamb", 4096, 0.00176)])
def test_rates_known_to_train_are_not(name, optimizer, examples, rate):
    assert recipes.resolve(SHAPES[name], optimizer, examples, rate, 1000, 50, 0.999).sentences == []


@pytest.mark.parametrize("optimizer, examples, remedy", [
    ("lamb", 32, "use --optimizer=adamw"), ("adamw", 16384, "use --optimizer=lamb"),
    ("adamw", 8, "accumulate gradients"), ("lamb", 65536, "take a smaller batch")])
def test_batch_outside_of_the_sources(optimizer, examples, remedy):
    sentences = recipes.resolve(
        SHAPES["base"], optimizer, examples, 1e-5, 1000, 50, 0.999).sentences
    assert len(sentences) == 1
    assert sentences[0].startswith("warning: %d examples an update are outside of" % examples)
    assert sentences[0].endswith("; " + remedy)


@pytest.mark.parametrize("name, advised", [
    ("tiny", "0.05"), ("small_google", "0.045"), ("base", None), ("large_google", None)])
def test_small_random_weights_of_narrow_models(name, advised):
    """0.02 is BERT-base's; what is advised is not advised against."""
    config = modeling.AlbertConfig.from_json_file(
        os.path.join(ROOT, "albert_config", "albert_config_%s.json" % name))
    lines = recipes.initializer_sentences(config)
    assert [line.split("begins with ")[1].split(" ")[0] for line in lines] == (
        [advised] if advised else [])
    config.initializer_range = float(advised or 0.02)
    assert recipes.initializer_sentences(config) == []


def test_errors():
    with pytest.raises(UserError, match="optimizer=sgd: no recipe for it, expected adamw or lamb"):
        recipes.resolve(SHAPES["tiny"], "sgd")
    with pytest.raises(UserError, match="step_examples=0: expected at least 1"):
        recipes.resolve(SHAPES["tiny"], "adamw", 0)


def test_documented_table_is_the_table():
    with open(os.path.join(ROOT, "docs", "recipes.md"), encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    cells = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [row[:7] for row in cells if row[1] in ("adamw", "lamb")] == [
        ["| " + row.name, row.optimizer, "%g" % row.learning_rate, "%g" % row.beta_2] + [
            "{:,}".format(number) for number in (
                row.train_batch_size, row.num_warmup_steps, row.num_train_steps)]
        for row in recipes.ROWS if row.optimizer != "muon"]


def test_muon_has_the_rates_of_adamw():
    for name in NAMES:
        rows = [recipes.recipe_for(SHAPES[name], optimizer) for optimizer in ("adamw", "muon")]
        assert rows[0][2:-1] == rows[1][2:-1]
        assert recipes.scaled(rows[0], 256) == recipes.scaled(rows[1], 256)


def test_needs_no_tensorflow():
    code = "from pretraining import recipes; import sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code], cwd=ROOT) == 0


@pytest.mark.parametrize("given, rate, batch, chosen, reason", [
    ("adamw", 0.00176, 4096, "adamw", "--optimizer=adamw was given"),
    (None, 0.00176, 4096, "lamb", "--learning_rate without --optimizer means LAMB"),
    (None, 0.0001, 32, "lamb", "--learning_rate without --optimizer means LAMB"),
    (None, None, 32, "adamw", "AdamW for 32 examples an update"),
    (None, None, 2048, "lamb", "LAMB for 2048 examples an update"),
])
def test_choice_of_the_optimizer(given, rate, batch, chosen, reason):
    optimizer, sentence = recipes.choose_optimizer(given, rate, batch)
    assert optimizer == chosen and reason in sentence


@pytest.mark.parametrize("given, rate, batch, chosen", [
    (None, None, 64, "muon"), ("adamw", None, 64, "adamw"), (None, 1e-3, 64, "lamb"),
    (None, None, 2048, "lamb")])
def test_choice_of_the_optimizer_with_counts(given, rate, batch, chosen):
    assert recipes.choose_optimizer(given, rate, batch, is_counted=True)[0] == chosen


def test_passes_over_the_records_are_said_and_many_are_warned_of():
    paired = MASKING._replace(order=masking.Order(2, 3))
    assert recipes.passes_sentence(500, 1000, None) == (
        "the run reads each of 1,000 records 0.5 times")
    assert recipes.passes_sentence(4000, 1000, MASKING) == (
        "the run reads each of 1,000 records 4 times, other masks every time, the order of the "
        "sentences stays")
    for settings, passes, warned in [(None, 4, False), (None, 5, True), (MASKING, 5, True),
                                     (paired, 40, False), (paired, 41, True)]:
        line = recipes.passes_sentence(1000 * passes, 1000, settings)
        assert line.startswith("warning: ") == warned
        assert ("--store_sentences" in line) == (warned and settings is not paired)
