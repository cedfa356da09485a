"""Fine-tuning end to end on tiny models: it learns, keeps the best, repeats itself, goes on."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import checkpoints
import estimators
import finetuning
import run_classifier
import tiny
from errors import UserError
from tasks import classification

TOLD = tiny.CHARACTERS[0]  # a text with this character is labelled "yes", one without it "no"


def texts(count, seed):
    """[(text of 3 to 9 characters, label)]."""
    rng = np.random.RandomState(seed)
    examples = []
    for _ in range(count):
        characters = [tiny.CHARACTERS[index] for index in rng.randint(1, 20, rng.randint(3, 10))]
        label = rng.choice(["no", "yes"])
        if label == "yes":
            characters[rng.randint(len(characters))] = TOLD
        examples.append(("".join(characters), label))
    return examples


def write_tsv(path, examples, header=True):
    lines = ["\t".join(example) for example in ([("text", "label")] if header else []) + examples]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pairs(path, examples, keys=("a", "b", "label")):
    """JSON lines of texts cut in two, with these of the three keys."""
    path.write_text("".join(json.dumps({key: value for key, value in (
        ("a", text[:2]), ("b", text[2:]), ("label", label)) if key in keys}) + "\n"
        for text, label in examples), encoding="utf-8")


def prepare(directory):
    """Writes both kinds of own files, config and vocabulary; returns the directory."""
    for split, count, seed in (("train", 640, 0), ("dev", 90, 1), ("test", 70, 2)):
        write_tsv(directory / (split + ".tsv"), texts(count, seed))
        keys = ("a", "b") if split == "test" else ("a", "b", "label")
        write_pairs(directory / (split + ".jsonl"), texts(count // 10, seed), keys)
    tiny.write_config(directory / "config.json")
    tiny.write_vocab(directory / "vocab.txt")
    return directory


def flag_values(here, output="out", **changes):
    """{flag: value} of a run on the TSV files."""
    values = {"task_name": "tsv", "header": True, "text_a_column": "text", "label_column": "label",
              "data_dir": here, "vocab_file": here / "vocab.txt", "output_dir": here / output,
              "bert_config_file": here / "config.json", "max_seq_length": 16,
              "train_batch_size": 16, "learning_rate": 0.003, "num_train_epochs": 3}
    return dict(values, **changes)


def flags_of(here, output="out", **changes):
    return tiny.parse(run_classifier.define_flags, **flag_values(here, output, **changes))


def run(here, output="out", **changes):
    """Runs the command; returns its output directory."""
    run_classifier.main(flags_of(here, output, **changes))
    return here / output


def run_short(here, output, **changes):
    """Four steps on pairs in JSON lines, with two evaluations and unlabelled test data."""
    values = {"task_name": "jsonl", "header": False, "text_a_column": "a", "text_b_column": "b",
              "do_train": True, "do_eval": True, "do_predict": True, "train_step": 4,
              "eval_every_steps": 2}
    return run(here, output, **dict(values, **changes))


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The directory of a run that trained, evaluated and predicted."""
    here = prepare(tmp_path_factory.mktemp("learned"))
    run(here, do_train=True, do_eval=True, do_predict=True)
    return here


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    here = prepare(tmp_path_factory.mktemp("short"))
    run_short(here, "out")
    return here


def results(path):
    lines = path.read_text().splitlines()
    return {name: float(value) for name, value in (line.split(" = ") for line in lines)}


def evaluations(output):
    """{step: {metric: value}} of the evaluations' TensorBoard files."""
    found = {}
    for name in os.listdir(str(output / "eval")):
        for event in tf.train.summary_iterator(str(output / "eval" / name)):
            for value in event.summary.value:
                found.setdefault(event.step, {})[value.tag] = value.simple_value
    return found


def test_learns_and_keeps_the_best(learned):
    scores = results(learned / "out" / "eval_results.txt")
    assert scores["accuracy"] > 0.9  # 0.5 by chance
    assert set(scores) == {"accuracy", "macro_f1", "majority_accuracy", "loss", "global_step"}
    every_epoch = evaluations(learned / "out")
    assert sorted(every_epoch) == [40, 80, 120]
    accuracies = [every_epoch[step]["accuracy"] for step in (40, 80, 120)]
    best = checkpoints.best(str(learned / "out"))
    assert best["step"] == scores["global_step"] == 40 * (1 + int(np.argmax(accuracies)))
    assert best["metrics"]["accuracy"] == pytest.approx(max(accuracies))
    assert scores["accuracy"] == best["metrics"]["accuracy"]


def test_predictions(learned):
    lines = (learned / "out" / "test_results.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    assert rows[0] == ["id", "label", "probability_no", "probability_yes"]
    assert [row[0] for row in rows[1:]] == ["test-%d" % number for number in range(1, 71)]
    probabilities = np.array([row[2:] for row in rows[1:]], np.float64)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=2e-6)
    assert [row[1] for row in rows[1:]] == [("no", "yes")[column]
                                            for column in probabilities.argmax(-1)]
    right = [row[1] == label for row, (_, label) in zip(rows[1:], texts(70, 2))]
    assert np.mean(right) == pytest.approx(
        results(learned / "out" / "test_metrics.txt")["accuracy"], abs=1e-6)
    assert np.mean(right) > 0.9


def test_prediction_alone_later_reuses_the_features(learned):
    output = learned / "out"
    before = (output / "test_results.tsv").read_bytes()
    times = {path: path.stat().st_mtime for path in (output / "cache").iterdir()}
    assert sorted(path.name.split("-")[0] for path in times) == ["dev", "test", "train"]
    (output / "test_results.tsv").unlink()
    run(learned, do_predict=True)
    assert (output / "test_results.tsv").read_bytes() == before
    assert {path: path.stat().st_mtime for path in (output / "cache").iterdir()} == times


def test_padding_does_not_change_predictions(learned):
    flags = flags_of(learned, eval_batch_size=7)
    config, tokenizer = finetuning.load(flags)
    task = run_classifier.create_task(flags)
    split = finetuning.Split(task, "dev", tokenizer, flags)
    estimator = estimators.create(finetuning.model_fn_builder(task, config, flags, 1, 0), flags)
    outputs = []
    for length, pad_to_max in ((16, False), (16, True), (32, True)):
        input_fn = finetuning.input_fn_builder(split.path, 90, length, 7, False, pad_to_max)
        batches = list(estimator.predict(input_fn, yield_single_examples=False))
        outputs.append(np.concatenate([batch["probabilities"] for batch in batches]))
    assert outputs[0].shape == (90, 2)
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)
    np.testing.assert_allclose(outputs[2], outputs[0], atol=1e-5)


def test_batches_are_as_long_as_their_longest_example(learned):
    flags = flags_of(learned, eval_batch_size=4)
    _, tokenizer = finetuning.load(flags)
    split = finetuning.Split(run_classifier.create_task(flags), "dev", tokenizer, flags)
    with tf.Graph().as_default(), tf.Session() as session:
        following = tf.data.make_one_shot_iterator(
            split.input_fn(flags)({})).get_next()
        for begin in range(0, 12, 4):
            lengths = [len(text) + 2 for text, _ in texts(90, 1)[begin:begin + 4]]
            batch = session.run(following)
            assert batch["input_ids"].shape == (4, max(lengths))
            assert batch["input_mask"].sum(-1).tolist() == lengths
            assert (batch["input_ids"] > 0).sum(-1).tolist() == lengths


def test_stopped_and_continued_run_equals_an_uninterrupted_one(short, here, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(tiny.StopHere):
        tiny.stop_at(patched, 3)
        run_short(here, "out")
    assert checkpoints.checkpoint_step(tf.train.latest_checkpoint(str(here / "out"))) == 2
    run_short(here, "out")
    tiny.assert_same_weights(here / "out" / "model.ckpt-4", short / "out" / "model.ckpt-4")
    assert (here / "out" / "test_results.tsv").read_bytes() == (
        short / "out" / "test_results.tsv").read_bytes()
    assert evaluations(here / "out") == evaluations(short / "out")
    assert not (short / "out" / "test_metrics.txt").exists()  # its test data has no labels


def test_another_seed_differs_and_training_alone_needs_no_dev_file(short, here):
    (here / "dev.jsonl").unlink()
    run_short(here, "out", seed=1, do_eval=False)
    assert checkpoints.best(str(here / "out")) is None
    assert (here / "out" / "test_results.tsv").read_bytes() != (
        short / "out" / "test_results.tsv").read_bytes()


def test_results_are_of_the_best_checkpoint(here, monkeypatch):
    predictions, accuracies = [], iter([0.9, 0.8, 0.1])
    predict, score = finetuning.predict, classification.Classification.score

    def recorded(estimator, split, flags, checkpoint):
        predictions.append(predict(estimator, split, flags, checkpoint)["probabilities"])
        return {"probabilities": predictions[-1]}

    def pretended(task, examples, predictions):
        return dict(score(task, examples, predictions), accuracy=next(accuracies))

    monkeypatch.setattr(finetuning, "predict", recorded)
    monkeypatch.setattr(classification.Classification, "score", pretended)
    run_short(here, "out", do_predict=False)
    second_step, fourth_step, reported = predictions
    np.testing.assert_array_equal(reported, second_step)
    assert np.abs(reported - fourth_step).max() > 1e-4
    assert finetuning.best_or_latest(str(here / "out")) == str(here / "out/best/model.ckpt-2")


def test_starts_from_the_weights_of_another_task(learned, here):
    output = run(here, init_checkpoint=learned / "out", labels="no,yes,maybe", do_train=True,
                 train_step=1)
    source = tiny.weights(tf.train.latest_checkpoint(str(learned / "out")))
    start = tiny.weights(output / "model.ckpt-0")
    loaded = [name for name in start if name.startswith("bert/") and "/adam_" not in name]
    assert len(loaded) == 24
    for name in loaded:
        np.testing.assert_array_equal(start[name], source[name], err_msg=name)
    assert start["output_weights"].shape == (3, 16) and start["global_step"] == 0


def cached(here, **changes):
    """The features' file of the dev split, made when absent."""
    flags = flags_of(here, cache_dir=here / "cache", **changes)
    task = run_classifier.create_task(flags)
    _, tokenizer = finetuning.load(flags)
    return finetuning.Split(task, "dev", tokenizer, flags).path


def test_features_are_made_anew_when_anything_changes(here, monkeypatch):
    first = cached(here)
    assert cached(here) == cached(here, output="elsewhere") == first
    paths = [first, cached(here, max_seq_length=12), cached(here, do_lower_case=False),
             cached(here, labels="yes,no"), cached(here, text_b_column="label")]
    characters = tiny.CHARACTERS[1:] + tiny.CHARACTERS[:1]
    tiny.write_vocab(here / "vocab.txt", characters)
    paths.append(cached(here))
    write_tsv(here / "dev.tsv", texts(90, 3))
    paths.append(cached(here))
    monkeypatch.setattr(finetuning, "code_version", lambda: "another")
    paths.append(cached(here))
    assert len(set(paths)) == 8
    assert sorted(paths) == sorted(str(path) for path in (here / "cache").iterdir())


@pytest.mark.parametrize("changes, steps, warmup", [
    ({}, 120, 12),
    ({"num_train_epochs": 0.5, "warmup_proportion": 0.25}, 20, 5),
    ({"train_step": 50}, 50, 5),
    ({"warmup_step": 30}, 120, 30),
    ({"train_step": 1000, "warmup_step": 0}, 1000, 0),
])
def test_schedule(tmp_path, changes, steps, warmup):
    assert finetuning.schedule(flags_of(tmp_path, **changes), 640) == (steps, warmup)


@pytest.mark.parametrize("given, name", [
    ("lcqmc_pair", "lcqmc"), ("LCQMC", "lcqmc"), ("XNLI", "xnli")])
def test_task_names(here, given, name):
    assert run_classifier.create_task(flags_of(here, task_name=given)).name == name


@pytest.mark.parametrize("changes, message", [
    ({"do_train": False}, "nothing to do; pass --do_train, --do_eval or --do_predict"),
    ({"do_train": False, "do_predict": True}, r"holds no checkpoint; train first \(--do_train\)"),
    ({"task_name": "lcqcm"}, "--task_name=lcqcm: no such task, expected one of lcqmc, xnli, tsv"),
    ({"vocab_file": "{here}/small.txt"}, "small.txt has 10 tokens, .* says vocab_size 100; use the "
                                         "vocabulary the model was trained with"),
    ({"vocab_file": ""}, "neither --vocab_file nor --spm_model_file is given"),
    ({"max_seq_length": 64}, "--max_seq_length=64 is larger than .* max_position_embeddings 32"),
    ({"train_batch_size": 1000}, "640 training examples are less than one step takes"),
    ({"labels": "yes,maybe"}, "train.tsv line .: unknown label 'no', expected one of yes, maybe"),
    ({"label_column": "topic"}, "no column 'topic' in the header, found text, label"),
    ({"do_eval": True, "dev_file": "/none"}, "--dev_file=/none: no such file"),
    ({"init_checkpoint": "/none"}, "/none: no such checkpoint"),
    ({"train_step": 4, "warmup_step": 5}, "expected at most num_train_steps=4"),
])
def test_refused(here, changes, message):
    tiny.write_vocab(here / "small.txt", tiny.CHARACTERS[:5])
    changes = {name: str(value).format(here=here) for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        run(here, **dict({"do_train": True}, **changes))


def test_command_succeeds(here, run_command):
    status, output = run_command(
        "run_classifier.py", **flag_values(here, do_train=True, do_eval=True, train_step=1))
    assert status == 0, output
    assert "step 1/1  loss" in output and "step 1  accuracy" in output


def test_directory_of_another_run(learned):
    with pytest.raises(UserError, match="labels is no,yes there and no,yes,maybe here"):
        run(learned, do_predict=True, labels="no,yes,maybe")
