"""Submissions, targets, class weights, scores, learning."""

import os

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import published
import run_classifier
import tiny
import tuning
from published import copa, create, lines, pair, set_up, write, wsc
from tasks import classification, classification_data, targets


def predict(task, directory, split, **predictions):
    """Writes predictions; returns {file name: its lines}."""
    paths = task.write_predictions(str(directory / "out"), split, task.examples(split), {
        name: np.array(values) for name, values in predictions.items()})
    texts = {}
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            texts[os.path.basename(path)] = stream.read().splitlines()
    assert list(texts)[0] == split + "_results.tsv"
    return texts


@pytest.mark.parametrize("name, test_file, record, submission", [
    ("afqmc", "test.json", pair, "afqmc_predict.json"),
    ("cmnli", "test.json", pair, "cmnli_predict.json"),
    ("ocnli", "test.json", pair, "ocnli_50k_predict.json"),
    ("csl", "test.json", lambda **more: dict({"abst": "a", "keyword": []}, **more),
     "csl_predict.json"),
    ("tnews", "test.json", lambda **more: dict({"sentence": "a"}, **more), "tnews_predict.json"),
    ("tnews", "test1.1.json", lambda **more: dict({"sentence": "a"}, **more),
     "tnews11_predict.json"),
    ("iflytek", "test.json", lambda **more: dict({"sentence": "a"}, **more),
     "iflytek_predict.json"),
    ("cluewsc2020", "test.json", wsc, "cluewsc_predict.json"),
    ("cluewsc2020", "test1.0.json", wsc, "cluewsc10_predict.json"),
])
def test_submissions_to_clue(tmp_path, name, test_file, record, submission):
    keyword = {"keyword": ["k"]} if name == "csl" else {}
    (tmp_path / test_file).write_text(
        lines(record(id=5, **keyword), record(**keyword)), encoding="utf-8")
    task = create(name, tmp_path)
    texts = predict(task, tmp_path, "test", probabilities=np.eye(len(task.labels))[[1, 0]])
    assert texts[submission] == ['{"id": 5, "label": "%s"}' % task.labels[1],
                                 '{"id": 1, "label": "%s"}' % task.labels[0]]


@pytest.mark.parametrize("name, columns, submission", [
    ("cola", ("sentence",), "CoLA.tsv"), ("sst-2", ("sentence",), "SST-2.tsv"),
    ("mrpc", ("#1 String", "#2 String"), "MRPC.tsv"),
    ("qqp", ("question1", "question2"), "QQP.tsv"), ("qnli", ("question", "sentence"), "QNLI.tsv"),
    ("rte", ("sentence1", "sentence2"), "RTE.tsv"), ("wnli", ("sentence1", "sentence2"),
                                                    "WNLI.tsv"),
])
def test_submissions_to_glue(tmp_path, name, columns, submission):
    header = ("id" if name == "qqp" else "index",) + columns
    write(tmp_path, test__tsv=lines(header, ("3",) + ("a",) * len(columns)))
    task = create(name, tmp_path)
    texts = predict(task, tmp_path, "test", probabilities=[[0.25, 0.75]])
    assert texts[submission] == ["index\tprediction", "3\t%s" % task.labels[1]]


def test_submissions_of_copa(tmp_path):
    """A line a pair, numbered through, as albert_zh's run_classifier_clue.py writes it."""
    write(tmp_path, test__json=lines(copa("cause"), copa("effect")))
    texts = predict(create("copa", tmp_path), tmp_path, "test",
                    probabilities=np.eye(2)[[1, 0, 0, 1]])
    assert texts["copa_predict.json"] == [
        '{"id": %d, "label": "%s"}' % item for item in enumerate("1001")]


def test_submissions_of_mnli_and_sts_b(tmp_path):
    write(tmp_path, test_matched__tsv=lines(published.MNLI_HEADER, published.MNLI_ROW),
          test_mismatched__tsv=lines(published.MNLI_HEADER, published.MNLI_ROW),
          diagnostic__tsv=lines(("index", "sentence1", "sentence2"), ("0", "a", "b")),
          test__tsv=lines(published.STS_HEADER, published.STS_ROW))
    for split, name in (("test", "MNLI-m.tsv"), ("test_mm", "MNLI-mm.tsv"), ("ax", "AX.tsv")):
        texts = predict(create("mnli", tmp_path), tmp_path, split, probabilities=[[0, 0, 1]])
        assert texts[name] == ["index\tprediction", "0\tneutral"]
    texts = predict(create("sts-b", tmp_path), tmp_path, "test", values=[2.5])
    assert texts == {"test_results.tsv": ["id\tlabel", "0\t2.500000"],
                     "STS-B.tsv": ["index\tprediction", "0\t2.500000"]}


def custom(directory, text, form="tsv", class_weights=None, **options):
    write(directory, **{"train__" + form: text, "dev__" + form: text})
    columns = ("text", "label") if form == "jsonl" else ("0", "1")
    dataset = classification_data.custom_dataset(
        form, columns[0], None, columns[1], None, False, **options)
    return set_up(classification.Classification(
        form, dataset, str(directory), class_weights=class_weights))


@pytest.mark.parametrize("form, text, separator", [
    ("tsv", "a\tred,blue\nb\t\nc\tblue, green\n", ","),
    ("tsv", "a\tred | blue\nb\t\nc\tblue|green|blue\n", "|"),
    ("jsonl", lines({"text": "a", "label": ["red", "blue"]}, {"text": "b", "label": []},
                    {"text": "c", "label": ["blue", "green"]}), ","),
])
def test_several_labels(tmp_path, form, text, separator):
    task = custom(tmp_path, text, form, multi_label=True, separator=separator)
    assert task.labels == ("blue", "green", "red") and task.metric == "micro_f1"
    assert [example.label for example in task.examples("dev")] == [(0, 2), (), (0, 1)]
    assert task.identity() == {"task": form, "labels": "blue,green,red", "kind": "multi_label"}


def test_predictions_of_several_labels(tmp_path):
    task = custom(tmp_path, "a\tred,blue\nb\t\nc\tgreen\n", multi_label=True)
    examples = task.examples("dev")
    predictions = {"probabilities": np.array([[0.75, 0.25, 0.5], [0.1, 0.2, 0.25],
                                              [0.25, 0.75, 0.75]])}
    assert task.score(examples, predictions)["subset_accuracy"] == pytest.approx(1 / 3)
    assert task.confusion(examples, predictions) is None
    assert "green         1          1      1.000   1.000  1.000" in task.report(
        examples, predictions)
    assert [dict(row) for row in task.errors(examples, predictions)] == [
        {"id": "dev-1", "place": "%s/dev.tsv line 1" % tmp_path, "text_a": "a", "text_b": "",
         "label": "blue,red", "predicted": "blue",
         "probability": "blue 0.750000,red 0.500000"},
        {"id": "dev-3", "place": "%s/dev.tsv line 3" % tmp_path, "text_a": "c", "text_b": "",
         "label": "green", "predicted": "green,red",
         "probability": "green 0.750000,red 0.750000"}]
    assert predict(task, tmp_path, "dev", **predictions)["dev_results.tsv"] == [
        "id\tlabel\tprobability_blue\tprobability_green\tprobability_red",
        "dev-1\tblue\t0.750000\t0.250000\t0.500000", "dev-2\t\t0.100000\t0.200000\t0.250000",
        "dev-3\tgreen,red\t0.250000\t0.750000\t0.750000"]


def test_predictions_of_one_label(tmp_path):
    task = custom(tmp_path, "a\tx\nb\ty\n")
    examples = task.examples("dev")
    predictions = {"probabilities": np.array([[0.25, 0.75], [0.25, 0.75]])}
    names, matrix = task.confusion(examples, predictions)
    assert (names, matrix.tolist()) == (["x", "y"], [[0, 1], [0, 1]])
    assert task.report(examples, predictions).startswith("labels in rows, predictions in columns")
    error, = task.errors(examples, predictions)
    assert (error["id"], error["label"], error["predicted"], error["probability"]) == (
        "dev-1", "x", "y", "0.750000")


def test_numbers(tmp_path):
    task = custom(tmp_path, "a\t1\nb\t-2.5\nc\t3e0\n", regression=True)
    examples = task.examples("dev")
    assert [example.label for example in examples] == [1.0, -2.5, 3.0]
    predictions = {"values": np.array([1.0, -2.0, 0.0])}
    assert task.score(examples, predictions)[task.metric] == pytest.approx(
        np.mean([np.corrcoef([1, -2.5, 3], [1, -2, 0])[0, 1], 0.5]))
    assert task.report(examples, predictions) is task.confusion(examples, predictions) is None
    error, = task.errors(examples, predictions)
    assert (error["id"], error["label"], error["predicted"], error["error"]) == (
        "dev-3", "3", "0.000000", "3.000000")


@pytest.mark.parametrize("text, options, scores, message", [
    ("a\tx\nb\ty\nc\tx\n", {}, {"probabilities": [[1, 0]] * 3},
     "accuracy 0.6667 is not above 0.6667, .*--learning_rate.*--init_checkpoint"),
    ("a\tx\nb\ty\nc\tx\n", {}, {"probabilities": [[0.7, 0.3]] * 3},
     "not above 0.6667, that of always saying .*: the model has learnt nothing; "),
    (30 * "a\tx\n" + 10 * "b\ty\n", {}, {"probabilities": [[0.9, 0.1]] * 30 + [[0.6, 0.4]] * 10},
     "not above 0.7500, .*, yet .* by 6.2 standard deviations: the model has learnt which .*weigh"),
    (30 * "a\tx\n" + 10 * "b\ty\n", {"class_weights": "balanced"},
     {"probabilities": [[0.4, 0.6]] * 10 + [[0.6, 0.4]] * 20 + [[0.3, 0.7]] * 10}, None),
    ("a\tx\nb\ty\nc\tx\n", {"class_weights": ["1", "2"]}, {"probabilities": [[0.4, 0.6]] * 3},
     "the model has learnt nothing; .*num_train_epochs\\), and check that --init_checkpoint"),
    ("a\tx\nb\ty\nc\tx\n", {}, {"probabilities": [[1, 0], [0, 1], [1, 0]]}, None),
    ("a\tx\nb\ty\n", {"multi_label": True}, {"probabilities": [[0.1, 0.2]] * 2}, "no label of any"),
    ("a\tx\nb\ty\n", {"multi_label": True}, {"probabilities": [[0.1, 0.7]] * 2}, None),
    ("a\t1\nb\t2\n", {"regression": True}, {"values": [1.5, 1.5]},
     r"the predictions \(standard deviation 0.0000, that of the labels 0.5000, correlation 0.0000"),
    ("a\t1\nb\t2\n", {"regression": True}, {"values": [2, 1]}, "correlation -1.0000"),
    ("a\t1\nb\t1\n", {"regression": True}, {"values": [1, 2]}, "all labels are the same number"),
    ("a\t1\nb\t2\n", {"regression": True}, {"values": [1, 2]}, None),
])
def test_warnings(tmp_path, text, options, scores, message):
    task = custom(tmp_path, text, **options)
    warning = task.warning(task.score(task.examples("dev"), {
        name: np.array(values, np.float64) for name, values in scores.items()}))
    if message is None:
        assert warning is None
    else:
        with pytest.raises(UserError, match=message):
            raise UserError(warning)


@pytest.mark.parametrize("name, probabilities, expected", [
    ("cola", [[0, 1], [0, 1]], {"matthews": 0.0}),
    ("mrpc", [[0, 1], [0, 1]], {"f1": 2 / 3, "accuracy_and_f1": (0.5 + 2 / 3) / 2}),
])
def test_scores_of_benchmarks(tmp_path, name, probabilities, expected):
    header = lines(("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"))
    write(tmp_path, dev__tsv=lines(("i", "0", "", "a"), ("i", "1", "", "b")) if name == "cola"
          else header + lines(("0", "1", "2", "a", "b"), ("1", "1", "2", "a", "b")))
    task = create(name, tmp_path)
    scores = task.score(task.examples("dev"), {"probabilities": np.array(probabilities)})
    assert {key: scores[key] for key in expected} == pytest.approx(expected)
    assert task.metric in expected


class Model(object):
    """Stands for an AlbertModel whose pooled output is given."""

    def __init__(self, pooled):
        self.pooled = tf.constant(pooled, tf.float32)

    def get_pooled_output(self):
        return self.pooled


def losses(task, label_ids, is_training=True, logits=None):
    """The losses of examples whose logits are these (0 where not given), and the predictions."""
    label_ids = np.array(label_ids)
    logits = np.zeros([len(label_ids), task._target.size]) if logits is None else np.array(logits)
    with tf.Graph().as_default(), tf.Session() as session:
        output = task.build(tiny.config(hidden_size=logits.shape[1], num_attention_heads=1),
                            Model(logits), {"label_ids": tf.constant(label_ids)}, is_training)
        identity = {"output_weights": np.eye(logits.shape[1])}
        session.run([variable.assign(identity.get(variable.op.name, np.zeros(variable.shape)))
                     for variable in tf.global_variables()])
        return session.run(output)


def test_losses(tmp_path):
    text = "a\tx\nb\ty\n"
    loss, predictions = losses(
        custom(tmp_path, text), [0, 1], False, np.log([[0.8, 0.2], [0.5, 0.5]]))
    np.testing.assert_allclose(loss, -np.log([0.8, 0.5]), rtol=1e-5)
    np.testing.assert_allclose(predictions["probabilities"], [[0.8, 0.2], [0.5, 0.5]], rtol=1e-5)
    several = custom(tmp_path, text, multi_label=True)
    loss, predictions = losses(several, np.float32([[1, 0]]), False, [[np.log(4), 0]])
    np.testing.assert_allclose(loss, [-np.log([0.8, 0.5]).mean()], rtol=1e-5)
    np.testing.assert_allclose(predictions["probabilities"], [[0.8, 0.5]], rtol=1e-5)
    number = custom(tmp_path, "a\t1\n", regression=True)
    loss, predictions = losses(number, np.float32([3, 1]), False, [[1.0], [1.0]])
    assert (loss.tolist(), predictions["values"].tolist()) == ([4, 0], [1, 1])


def test_class_weights(tmp_path):
    write(tmp_path, train__txt=lines(*[("a", "b", "0")] * 3 + [("a", "b", "1")]))

    def weighted(weights, is_training=True):
        task = create("lcqmc", tmp_path, class_weights=weights, classifier_dropout=0.0)
        task.fit(task.examples("train"))
        return (losses(task, [0, 1], is_training)[0] / np.log(2)).tolist()

    assert weighted(None) == pytest.approx([1, 1])
    assert weighted(["1", "2.5"]) == weighted([1, 2.5]) == pytest.approx([1, 2.5])
    assert weighted(["balanced"]) == weighted("balanced") == pytest.approx([2 / 3, 2])
    assert weighted(["balanced"], is_training=False) == pytest.approx([1, 1])


def test_balanced_weights():
    weights = targets.balanced_weights([3, 1, 0])
    np.testing.assert_allclose(weights, [2 / 3, 2, 1])
    assert np.dot(weights, [3, 1, 0]) == pytest.approx(4)


@pytest.mark.parametrize("weights", [["1"], ["1", "2", "3"], ["1", "0"], ["1", "-1"], ["1", "x"],
                                     ["1", "nan"], ["1", "inf"]])
def test_class_weights_that_do_not_fit(weights):
    with pytest.raises(UserError, match="--class_weights=%s: expected 2 positive numbers, for the "
                                        "labels 0, 1, or balanced" % ",".join(weights)):
        create("lcqmc", "", class_weights=weights)


def test_class_weights_of_other_targets():
    with pytest.raises(UserError, match="--class_weights: only for one label an example"):
        create("sts-b", "", class_weights="balanced")


def test_dropout(tmp_path):
    task = custom(tmp_path, "a\t1\n", regression=True)
    found = losses(task, np.zeros(2000, np.float32), True, np.ones([2000, 1]))[1]["values"]
    assert np.mean(found == 0) == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("changes, message", [
    ({"multi_label": True, "regression": True}, "--multi_label and --regression exclude each"),
    ({"regression": True, "labels": "1,2"}, "--labels with --regression: numbers have no list"),
    ({"multi_label": True, "label_separator": ""}, "--label_separator is empty"),
    ({"task_name": "lcqmc", "text_a_column": "1"}, "--text_a_column has no effect with "
     "--task_name=lcqmc, .* it is for your own files .*; leave it out$"),
    ({"task_name": "jsonl"}, "--header has no effect with --task_name=jsonl; leave it out$"),
    ({"label_separator": "|"}, "--label_separator has no effect without --multi_label"),
    ({"skip_first_line": True}, "--skip_first_line has no effect with --header"),
    ({"regression": True, "class_weights": "1,2"}, "--class_weights has no effect with --regr"),
    ({"class_weights": "1"}, "--class_weights=1: expected 2 positive numbers, for the labels no, "),
])
def test_refused_flags(tmp_path, changes, message):
    tuning.prepare(tmp_path)
    with pytest.raises(UserError, match=message):
        run_classifier.create_task(tuning.flags_of(tmp_path, **changes)).setup()


def test_fingerprints_tell_tables_and_labels_apart(tmp_path):
    text = "a\tx\nb\ty\n"
    tasks = [custom(tmp_path, text), custom(tmp_path, text, multi_label=True),
             custom(tmp_path, text, multi_label=True, separator="|"),
             custom(tmp_path, "a\tx\nb\tz\n")]
    assert len({task.fingerprint() for task in tasks}) == 4
    assert "0x" not in repr([create(name, tmp_path)._dataset.sources for name in
                             classification_data.DATASETS])  # addresses differ between two runs


def several(count, seed):
    """Texts that begin with their labels, three times each: the first two of the vocabulary."""
    rng = np.random.RandomState(seed)
    rows = []
    for _ in range(count):
        chosen = np.flatnonzero(rng.randint(2, size=2))
        characters = 3 * list(chosen) + list(rng.randint(2, 20, 4))
        rows.append(("".join(tiny.CHARACTERS[index] for index in characters),
                     ",".join("ab"[index] for index in chosen)))
    return rows


def numbers(count, seed):
    """Texts whose number is how often a character is in them."""
    rng = np.random.RandomState(seed)
    rows = []
    for _ in range(count):
        times = rng.randint(5)
        characters = [0] * times + list(rng.randint(1, 20, 6 - times))
        rng.shuffle(characters)
        rows.append(("".join(tiny.CHARACTERS[index] for index in characters), "%d" % times))
    return rows


# test_losses and test_harness.py run on both platforms.
@pytest.mark.slow
@pytest.mark.one_platform
@pytest.mark.parametrize("flag, rows, metric, at_least, steps", [
    ("multi_label", several, "micro_f1", 0.8, 400),
    ("regression", numbers, "mean_correlation", 0.8, 200)])
def test_learns(tmp_path, flag, rows, metric, at_least, steps):
    tuning.prepare(tmp_path)
    for split, count, seed in (("train", 640, 0), ("dev", 90, 1), ("test", 70, 2)):
        tuning.write_tsv(tmp_path / (split + ".tsv"), rows(count, seed))
    output = tuning.run(tmp_path, do_train=True, do_eval=True, do_predict=True, save_errors=True,
                        train_step=steps, eval_every_steps=steps, **{flag: True})
    # Without learning 0.67, by always saying both, and 0.
    assert tiny.results(output)[metric] > at_least
    assert len((output / "test_results.tsv").read_text().splitlines()) == 71
    assert (output / "dev_errors.tsv").exists()


def pairs(count, seed):
    """Two texts and the label that the first character tells."""
    rng = np.random.RandomState(seed)
    rows = []
    for _ in range(count):
        first, second = (["".join(tiny.CHARACTERS[index] for index in rng.randint(3, 20, length))
                          for length in rng.randint(2, 6, 2)])
        label = rng.randint(3)
        rows.append((tiny.CHARACTERS[label] + first, second,
                     ("contradiction", "entailment", "neutral")[label]))
    return rows


@pytest.mark.slow
@pytest.mark.one_platform
def test_learns_mnli_with_both_dev_files(tmp_path):
    tuning.prepare(tmp_path)
    header = published.MNLI_HEADER + ("label1", "gold_label")
    for name, count, seed in (("train", 640, 0), ("dev_matched", 60, 1), ("dev_mismatched", 50, 2)):
        rows = [published.MNLI_ROW[:8] + (first, second, "-", label) for first, second, label
                in pairs(count, seed)]
        write(tmp_path, **{name + "__tsv": lines(header, *rows)})
    for name in ("test_matched", "test_mismatched"):
        rows = [("%d" % index,) + published.MNLI_ROW[1:8] + (first, second)
                for index, (first, second, _) in enumerate(pairs(30, 3))]
        write(tmp_path, **{name + "__tsv": lines(published.MNLI_HEADER, *rows)})
    output = tuning.run(tmp_path, task_name="MNLI", do_train=True, do_eval=True, do_predict=True,
                        learning_rate=0.001, train_step=160, eval_every_steps=160)
    for suffix in ("", "_dev_mm"):
        assert tiny.results(output / ("eval_results%s.txt" % suffix))["accuracy"] > 0.9
    for name in ("MNLI-m.tsv", "MNLI-mm.tsv"):
        predicted = (output / name).read_text().splitlines()
        right = sum(line == "%d\t%s" % (index, label) for index, (line, (_, _, label)) in
                    enumerate(zip(predicted[1:], pairs(30, 3))))
        assert len(predicted) == 31 and right > 26
