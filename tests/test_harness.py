"""Fine-tuning end to end on tiny models: it learns, keeps the best, repeats itself, goes on."""

import json
import logging
import os

from util import console
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_classifier
import tiny
from finetuning import command_line, harness
from tasks import classification
from training import checkpoints
from tuning import flags_of, prepare, run, run_short, texts, write_pairs


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    here = prepare(tmp_path_factory.mktemp("short"))
    run_short(here, "out")
    return here


def evaluations(output):
    """{step: {metric: value}} of the evaluations' TensorBoard files."""
    found = {}
    for name in os.listdir(str(output / "eval")):
        for event in tf.train.summary_iterator(str(output / "eval" / name)):
            for value in event.summary.value:
                if value.tag != "report":
                    found.setdefault(event.step, {})[value.tag] = value.simple_value
    return found


@pytest.mark.slow
def test_learns_and_keeps_the_best(fine_tuned):
    scores = tiny.results(fine_tuned / "out")
    assert scores["accuracy"] > 0.9  # 0.5 by chance
    assert set(scores) == {"accuracy", "macro_f1", "majority_accuracy", "deviations_above_chance",
                           "loss", "global_step"}
    every_epoch = evaluations(fine_tuned / "out")
    assert sorted(every_epoch) == [40, 80, 120]
    best_step = max(every_epoch, key=lambda step: (
        every_epoch[step]["accuracy"], -every_epoch[step]["loss"]))
    best = checkpoints.best(str(fine_tuned / "out"))
    assert best["step"] == scores["global_step"] == best_step
    assert best["metrics"]["accuracy"] == pytest.approx(every_epoch[best_step]["accuracy"])
    assert scores["accuracy"] == best["metrics"]["accuracy"]


@pytest.mark.slow
def test_predictions(fine_tuned):
    lines = (fine_tuned / "out" / "test_results.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    assert rows[0] == ["id", "label", "probability_no", "probability_yes"]
    assert [row[0] for row in rows[1:]] == ["test-%d" % number for number in range(1, 71)]
    probabilities = np.array([row[2:] for row in rows[1:]], np.float64)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=2e-6)
    assert [row[1] for row in rows[1:]] == [("no", "yes")[column]
                                            for column in probabilities.argmax(-1)]
    right = [row[1] == label for row, (_, label) in zip(rows[1:], texts(70, 2))]
    assert np.mean(right) == pytest.approx(
        tiny.results(fine_tuned / "out" / "test_metrics.txt")["accuracy"], abs=1e-6)
    assert np.mean(right) > 0.9


@pytest.mark.slow
def test_prediction_alone_later_reuses_the_features(fine_tuned):
    output = fine_tuned / "out"
    before = (output / "test_results.tsv").read_bytes()
    times = {path: path.stat().st_mtime for path in (output / "cache").glob("*.tfrecord")}
    assert sorted(path.name.split("-")[0] for path in times) == ["dev", "test", "train"]
    (output / "test_results.tsv").unlink()
    run(fine_tuned, do_predict=True)
    assert (output / "test_results.tsv").read_bytes() == before
    assert {path: path.stat().st_mtime for path in times} == times


@pytest.mark.slow
def test_prediction_alone_needs_no_training_file(fine_tuned, tmp_path):
    """Labels and vocabulary are those of the run; a file with other labels is not looked at."""
    before = (fine_tuned / "out" / "test_results.tsv").read_bytes()
    (tmp_path / "test.tsv").write_bytes((fine_tuned / "test.tsv").read_bytes())
    run(fine_tuned, do_predict=True, data_dir=tmp_path, vocab_file="")
    assert (fine_tuned / "out" / "test_results.tsv").read_bytes() == before
    output = run(fine_tuned, tmp_path / "empty", do_predict=True, data_dir=tmp_path, vocab_file="",
                 init_checkpoint=checkpoints.best(str(fine_tuned / "out"))["checkpoint"])
    assert (output / "test_results.tsv").read_bytes() == before


@pytest.mark.slow
def test_vocabulary_and_casing_of_the_model(here, tmp_path):
    """Those of the run in --output_dir, else of the initial checkpoint's, unless flags say others.
    """
    first, out = tmp_path / "first", tmp_path / "out"
    (first / "best").mkdir(parents=True)
    (first / "vocab.txt").write_bytes((here / "vocab.txt").read_bytes())
    (first / "run.json").write_text(json.dumps({"do_lower_case": False}))
    (first / "best" / "model.ckpt-3.index").write_text("")

    def inputs(**flags):
        found = command_line.settings(flags_of(
            here, out, do_predict=True, vocab_file="", **flags)).inputs
        return found.vocab_file, found.do_lower_case

    initial = {"init_checkpoint": first / "best" / "model.ckpt-3"}
    assert inputs() == (None, True)
    assert inputs(**initial) == (str(first / "vocab.txt"), False)
    assert inputs(do_lower_case=True, **initial) == (str(first / "vocab.txt"), True)
    out.mkdir()
    (out / "vocab.txt").write_bytes((here / "vocab.txt").read_bytes())
    (out / "run.json").write_text(json.dumps({"do_lower_case": True}))
    assert inputs(**initial) == (str(out / "vocab.txt"), True)


@pytest.mark.one_platform
@pytest.mark.parametrize("name", ["test_results.tsv", "link"])
def test_predictions_do_not_overwrite_the_texts(short, name):
    path = short / "out" / "test_results.tsv"
    predictions, text = path.read_bytes(), (short / "test.jsonl").read_bytes()
    os.symlink("test_results.tsv", str(short / "out" / "link"))
    path.write_bytes(text)
    try:
        with pytest.raises(UserError, match="test_results.tsv is one of the input files; name ano"):
            run_short(short, "out", do_train=False, do_eval=False,
                      test_file=short / "out" / name)
        assert path.read_bytes() == text
    finally:
        path.write_bytes(predictions)
        (short / "out" / "link").unlink()


@pytest.mark.slow
def test_a_fine_tuned_model_predicts_from_elsewhere(fine_tuned, tmp_path, caplog):
    """As albert_zh's run_classifier: --init_checkpoint, an empty directory, nothing is trained."""
    trained = checkpoints.best(str(fine_tuned / "out"))["checkpoint"]
    with caplog.at_level(logging.INFO, "albert"):
        output = run(fine_tuned, tmp_path / "empty", do_eval=True, do_predict=True,
                     init_checkpoint=trained)
    assert "evaluating and predicting with %s" % trained in caplog.messages
    assert (output / "test_results.tsv").read_bytes() == (
        fine_tuned / "out" / "test_results.tsv").read_bytes()
    assert tiny.results(output)["accuracy"] == tiny.results(fine_tuned / "out")["accuracy"]


@pytest.mark.slow
def test_what_google_left_in_a_directory_predicts(fine_tuned, tmp_path):
    """After its --do_eval: model.ckpt-best, and a state file that names what is gone."""
    output = tmp_path / "google"
    output.mkdir()
    trained = checkpoints.best(str(fine_tuned / "out"))["checkpoint"]
    tiny.save_checkpoint(output / "model.ckpt-best", tiny.weights(trained))
    (output / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-999"\n')
    run(fine_tuned, output, do_predict=True)
    assert (output / "test_results.tsv").read_bytes() == (
        fine_tuned / "out" / "test_results.tsv").read_bytes()


@pytest.mark.slow
def test_a_model_without_the_head_cannot_predict(fine_tuned, tmp_path):
    weights = tiny.weights(tf.train.latest_checkpoint(str(fine_tuned / "out")))
    pretrained = {name: value for name, value in weights.items() if name.startswith("bert/")}
    tiny.save_checkpoint(tmp_path / "albert_model.ckpt", pretrained)
    with pytest.raises(UserError, match="cannot predict: output_.* is missing"):
        run(fine_tuned, tmp_path / "empty", do_predict=True, init_checkpoint=tmp_path)


@pytest.mark.slow
@pytest.mark.one_platform
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


@pytest.mark.one_platform
def test_another_seed_differs_and_training_alone_needs_no_dev_file(short, here):
    (here / "dev.jsonl").unlink()
    run_short(here, "out", seed=2, do_eval=False)
    assert checkpoints.best(str(here / "out")) is None
    assert (here / "out" / "test_results.tsv").read_bytes() != (
        short / "out" / "test_results.tsv").read_bytes()


@pytest.mark.one_platform
@pytest.mark.slow
def test_results_are_of_the_best_checkpoint(here, monkeypatch):
    """Its predictions of the dev file are scored twice and made once."""
    made, scored, accuracies = [], [], iter([0.9, 0.8, 0.1])
    predict, score = harness.predict, classification.Classification.score

    def recorded(estimator, split, checkpoint):
        made.append(predict(estimator, split, checkpoint)["probabilities"])
        return {"probabilities": made[-1]}

    def pretended(task, examples, predictions):
        scored.append(predictions["probabilities"])
        return dict(score(task, examples, predictions), accuracy=next(accuracies))

    monkeypatch.setattr(harness, "predict", recorded)
    monkeypatch.setattr(classification.Classification, "score", pretended)
    run_short(here, "out", do_predict=False)
    second_step, fourth_step, reported = scored
    assert len(made) == 2 and reported is second_step
    assert np.abs(reported - fourth_step).max() > 1e-4
    settings = command_line.settings(flags_of(here, do_predict=True))
    assert harness.trained_checkpoint(settings) == str(here / "out/best/model.ckpt-2")
    assert harness.trained_checkpoint(settings._replace(use_checkpoint="last")) == str(
        here / "out/model.ckpt-4")
    monkeypatch.setattr(classification.Classification, "score", score)
    run_short(here, "out", do_train=False, do_predict=False)  # restores that checkpoint
    np.testing.assert_array_equal(made[2], second_step)


@pytest.mark.slow
@pytest.mark.one_platform
def test_a_directory_that_is_used_again(here, caplog):
    """What was trained, scored and predicted with what is said, and nothing is mixed in silence."""
    output = run_short(here, "out", do_predict=False, eval_every_steps=4)
    best = checkpoints.best(str(output))
    with pytest.raises(UserError, match="another run: vocabulary is [0-9a-f]{16} there and [0-9a-f]"
                                        "{16} here; use an empty directory"):
        tiny.write_vocab(here / "other.txt", tiny.CHARACTERS[::-1])
        run_short(here, "out", vocab_file=here / "other.txt", do_train=False, do_eval=False)
    write_pairs(here / "dev.jsonl", texts(9, seed=5)[::-1])
    with caplog.at_level(logging.INFO, "albert"):
        run_short(here, "out", do_predict=False, init_checkpoint="/none", learning_rate=0.002)
    said = "\n".join(caplog.messages)
    assert ("step 4 is reached in %s: nothing is trained; --init_checkpoint=/none is ignored, it "
            "began with random weights; learning_rate was 0.001 and is 0.002; use an empty "
            % output) in said
    assert "the dev data is another than that by which %s is the best" % best["checkpoint"] in said
    assert checkpoints.best(str(output))["data"] != best["data"]
    caplog.clear()
    with caplog.at_level(logging.INFO, "albert"):
        run_short(here, "out", do_eval=False, train_step=5)
    said, best = "\n".join(caplog.messages), checkpoints.best(str(output))
    assert "predictions of %s (step %d, best accuracy on the dev data %.4f)" % (
        best["checkpoint"], best["step"], best["metrics"]["accuracy"]) in said
    assert ("warning: it is older than the last training, whose steps 5 to 5 were not scored "
            "(--do_train without --do_eval); --use_checkpoint=last takes step 5") in said


@pytest.mark.slow
def test_names_of_directories_are_names(tmp_path):
    """Of data, records, caches and initial checkpoints, whatever a file system allows."""
    odd = tmp_path / "lr[1e-4] *?~,{x}\"'"
    odd.mkdir()
    prepare(odd)
    once = {"train_step": 1, "eval_every_steps": 1, "cache_dir": odd / "c"}
    first = run_short(odd, tmp_path / "first, ~ of 'two'", do_predict=False, **once)
    moved = odd / "moved"
    first.rename(moved)
    output = run_short(odd, tmp_path / "second", init_checkpoint=moved, **once)
    assert len((output / "test_results.tsv").read_text().splitlines()) == 8
    start = tiny.weights(output / "model.ckpt-0")
    np.testing.assert_array_equal(start["bert/pooler/dense/kernel"], checkpoints.open_reader(
        str(moved / "model.ckpt-1")).get_tensor("bert/pooler/dense/kernel"))


def test_a_file_that_changes_during_a_run_is_told(here, caplog, monkeypatch):
    def train(*arguments):
        (here / "dev.jsonl").write_text("")

    monkeypatch.setattr(harness, "train_and_evaluate", train)
    monkeypatch.setattr(harness, "_evaluate_best", train)
    with caplog.at_level(logging.INFO, "albert"):
        run_short(here, "out", do_predict=False)
    assert ("warning: %s has changed since it was read; scores and predictions are of what it held "
            "before: start again for those of the new content" % (here / "dev.jsonl")
            ) in caplog.messages


@pytest.mark.slow
def test_starts_from_the_weights_of_another_task(fine_tuned, here):
    output = run(here, init_checkpoint=fine_tuned / "out", labels="no,yes,maybe", do_train=True,
                 train_step=1)
    source = tiny.weights(tf.train.latest_checkpoint(str(fine_tuned / "out")))
    start = tiny.weights(output / "model.ckpt-0")
    loaded = [name for name in start if name.startswith("bert/") and "/adam_" not in name]
    assert len(loaded) == 24
    for name in loaded:
        np.testing.assert_array_equal(start[name], source[name], err_msg=name)
    assert start["output_weights"].shape == (3, 16) and start["global_step"] == 0


@pytest.mark.parametrize("changes, steps, warmup", [
    ({}, 120, 12),
    ({"num_train_epochs": 0.5, "warmup_proportion": 0.25}, 20, 5),
    ({"train_step": 50}, 50, 5),
    ({"warmup_step": 30}, 120, 30),
    ({"train_step": 1000, "warmup_step": 0}, 1000, 0),
])
def test_schedule(tmp_path, changes, steps, warmup):
    settings = command_line.settings(flags_of(tmp_path, do_train=True, **changes))
    schedule = harness.with_steps(settings, 640).schedule
    assert (schedule.num_train_steps, schedule.num_warmup_steps) == (steps, warmup)


@pytest.mark.parametrize("given, name", [
    ("lcqmc_pair", "lcqmc"), ("LCQMC", "lcqmc"), ("XNLI", "xnli")])
def test_task_names(here, given, name):
    assert run_classifier.create_task(
        tiny.parse(run_classifier.define_flags, task_name=given)).name == name


@pytest.mark.parametrize("changes, message", [
    ({"do_train": False}, "nothing to do; pass --do_train, .* or --export_features"),
    ({"do_train": False, "do_predict": True}, r"holds no checkpoint; train first \(--do_train\)"),
    ({"task_name": "lcqcm"}, "--task_name=lcqcm: no such task, expected one of afqmc, .*lcqmc"),
    ({"vocab_file": "{here}/small.txt"}, "small.txt has 10 tokens, .* says vocab_size 100; use the "
                                         "vocabulary the model was trained with"),
    ({"vocab_file": ""}, "neither --vocab_file nor --spm_model_file is given"),
    ({"max_seq_length": 64}, "--max_seq_length=64 is larger than .* max_position_embeddings 32"),
    ({"train_batch_size": 1000}, "640 training sequences are fewer than one step takes"),
    ({"labels": "yes,maybe"}, "train.tsv line .: unknown label 'no', expected one of yes, maybe"),
    ({"label_column": "topic"}, "no column 'topic' in the header, found text, label"),
    ({"do_eval": True, "dev_file": "/none"}, "--dev_file=/none: no such file"),
    ({"init_checkpoint": "/none"}, "/none: no such checkpoint"),
    ({"train_step": 4, "warmup_step": 5}, "--warmup_step=5 is beyond the 4 steps of this training"),
    ({"num_train_epochs": 0.001}, "--num_train_epochs=0.001: 640 sequences, 16 a step, make 0 steps"
                                  "; expected 1 to 2147483647: change it, or leave --do_train out"),
    ({"num_train_epochs": 1e20}, r"--num_train_epochs=1e\+20: 640 sequences, 16 a step, make 4e"),
])
def test_refused(here, changes, message):
    tiny.write_vocab(here / "small.txt", tiny.CHARACTERS[:5])
    changes = {name: str(value).format(here=here) for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        run(here, **dict({"do_train": True}, **changes))


@pytest.mark.slow
def test_directory_of_another_run(fine_tuned):
    with pytest.raises(UserError, match="labels is no,yes there and no,yes,maybe here"):
        run(fine_tuned, do_predict=True, labels="no,yes,maybe")


@pytest.mark.parametrize("steps, every, expected", [
    (120, 40.0, [40, 80, 120]),      # three epochs of 640 examples in batches of 16
    (1503, 6013 / 8, [751, 1503]),   # two of 6,013 in batches of 8: no third evaluation at 1,502
    (60, 40, [40, 60]),
    (3, 40, [3]),
    (10, 4, [4, 8, 10])])
def test_steps_of_evaluations(steps, every, expected):
    assert harness.evaluation_steps(steps, every) == expected


@pytest.mark.parametrize("examples, batch, epochs", [(6013, 8, 7), (34334, 32, 9), (10, 3, 10)])
def test_every_epoch_is_evaluated_once(examples, batch, epochs):
    """The last at the steps that `with_steps` counts."""
    last = int(examples / batch * epochs)
    assert harness.evaluation_steps(last, examples / batch) == [
        examples * epoch // batch for epoch in range(1, epochs + 1)]


@pytest.fixture(scope="module")
def stuck(tmp_path_factory):
    """The directory of a run that cannot learn, and what it said."""
    here, lines = prepare(tmp_path_factory.mktemp("stuck")), []
    say = console.say
    console.say = lambda form, *values: lines.append(form % values)
    try:
        run(here, do_train=True, do_eval=True, save_errors=True, learning_rate=1e-12,
            train_step=40, eval_every_steps=4, early_stopping=2)
    finally:
        console.say = say
    return here / "out", lines


@pytest.mark.one_platform
@pytest.mark.slow
def test_stops_early(stuck):
    output, lines = stuck
    assert sorted(evaluations(output)) == [4, 8, 12]
    assert checkpoints.checkpoint_step(tf.train.latest_checkpoint(str(output))) == 12
    assert tiny.results(output)["global_step"] == 4
    assert "stopped early: no better accuracy in the 2 evaluations since step 4" in lines


@pytest.mark.one_platform
@pytest.mark.slow
def test_errors_are_listed_with_their_texts(stuck):
    output, _ = stuck
    lines = (output / "dev_errors.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
    accuracy = tiny.results(output)["accuracy"]
    assert len(rows) == round(90 * (1 - accuracy)) > 10
    dev = texts(90, 1)
    for row in rows:
        text, label = dev[int(row["id"].split("-")[1]) - 1]
        assert (row["text_a"], row["label"]) == (text, label) and row["predicted"] != label


def test_no_errors_leave_an_empty_list(tmp_path):
    path = str(tmp_path / "errors.tsv")
    assert harness._write_errors(path, iter([])) == 0
    assert (tmp_path / "errors.tsv").read_text() == ""


@pytest.mark.one_platform
@pytest.mark.slow
def test_what_has_learnt_nothing_is_told_and_reported(stuck):
    output, lines = stuck
    warning, = (line for line in lines if line.startswith("warning: "))
    assert "is not above 0.5333, that of always saying the most frequent label" in warning
    report, = (line for line in lines if line.startswith("labels in rows, predictions in columns"))
    found = []
    for name in os.listdir(str(output / "eval")):
        for event in tf.train.summary_iterator(str(output / "eval" / name)):
            found += [tf.make_ndarray(value.tensor).item().decode()
                      for value in event.summary.value if value.tag == "report"]
    assert "```\n%s\n```" % report in found


@pytest.mark.parametrize("changes, message", [
    ({"early_stopping": 1}, "--early_stopping=1 without --do_eval"),
    ({"class_weights": "1"}, "--class_weights=1: expected 2 positive numbers"),
])
def test_what_goes_with_what(here, changes, message):
    with pytest.raises(UserError, match=message):
        run(here, do_train=True, **changes)


@pytest.mark.one_platform
@pytest.mark.slow
def test_layers_near_the_text_move_less(here):
    """The first step of AdamW moves every weight by its rate, whatever the gradient is."""
    moved = {}
    for decay in (1.0, 0.1):
        output = run(here, "decay%g" % decay, do_train=True, train_step=1, warmup_step=0,
                     layer_decay=decay, save_checkpoints_steps=1)
        before = tiny.weights(output / "model.ckpt-0")
        after = tiny.weights(output / "model.ckpt-1")
        moved[decay] = {name: np.abs(after[name] - before[name]).mean()
                        for name in ("bert/pooler/dense/kernel",
                                     "bert/encoder/layer_shared/intermediate/dense/kernel",
                                     "bert/embeddings/position_embeddings")}
    ratios = [moved[0.1][name] / moved[1.0][name] for name in moved[1.0]]
    np.testing.assert_allclose(ratios, [1.0, 0.1, 0.01], rtol=1e-3)
