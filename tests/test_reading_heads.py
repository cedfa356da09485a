"""Google's head for SQuAD 2.0 gives the numbers and answers of its code; which head a run takes."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tiny
import tokenization
from tasks import reading, reading_data

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")
# The variables of Google's create_v2_model, for hidden_size 24.
SHAPES = {"start_logits/dense/kernel": [24, 1], "start_logits/dense/bias": [1],
          "end_logits/dense_0/kernel": [48, 24], "end_logits/dense_0/bias": [24],
          "end_logits/LayerNorm/beta": [24], "end_logits/LayerNorm/gamma": [24],
          "end_logits/dense_1/kernel": [24, 1], "end_logits/dense_1/bias": [1],
          "answer_class/dense_0/kernel": [48, 24], "answer_class/dense_0/bias": [24],
          "answer_class/dense_1/kernel": [24, 1]}
CHARACTERS = [chr(0x4e00 + index) for index in range(55)]


def text(codes):
    return "".join(map(chr, codes[codes > 0]))


class Case:
    """Google's own answers to twelve questions in 33 windows, and what led to them."""

    def __init__(self):
        self.numbers = dict(np.load(os.path.join(GOLDEN, "squad_google_v2.npz")))
        self.config = modeling.AlbertConfig.from_json_file(
            os.path.join(GOLDEN, "model_google.json"))
        encoder = np.load(os.path.join(GOLDEN, "model_google.npz"))
        self.weights = dict(
            self.part("variable/"), **{name[len("variable/"):]: encoder[name] for name in encoder
                                       if name.startswith("variable/bert/")})
        (self.length, self.doc_stride, self.max_query_length, self.n_best_size,
         self.max_answer_length, self.start_n_top, self.end_n_top) = map(
             int, self.numbers["settings"])
        self.examples = [
            reading_data.Question("q%d" % number, "golden", text(asked), text(context),
                                  self._label(text(context), *answer))
            for number, (asked, context, answer) in enumerate(zip(
                self["question"], self["context"], self["answer"].tolist()))]

    @staticmethod
    def _label(context, begin, end):
        if begin < 0:
            return reading_data.Label((), None, None)
        return reading_data.Label((context[begin:end],), begin, end)

    def __getitem__(self, name):
        return self.numbers[name]

    def part(self, prefix):
        return {name[len(prefix):]: value for name, value in self.numbers.items()
                if name.startswith(prefix)}

    def task(self, **changes):
        settings = dict({"head": "google_v2", "dropout": 0.0}, **{name: getattr(self, name)
                        for name in ("doc_stride", "max_query_length", "n_best_size",
                                     "max_answer_length", "start_n_top", "end_n_top")})
        return reading.Reading("own", reading_data.Dataset({}, "en", with_negative=True), None,
                               **dict(settings, **changes))


@pytest.fixture(scope="module")
def golden():
    return Case()


@pytest.fixture(scope="module")
def features(golden, tmp_path_factory):
    """What `featurize` makes of the questions, padded as the harness pads them."""
    vocab = tiny.write_vocab(tmp_path_factory.mktemp("vocab") / "vocab.txt", CHARACTERS)
    tokenizer = tokenization.load_tokenizer(vocab)
    task, rows = golden.task(), []
    for number, example in enumerate(golden.examples):
        for row in task.featurize(example, tokenizer, golden.length):
            rows.append(dict(row, example=np.array([number])))
    lengths = np.concatenate([row.pop("lengths") for row in rows])
    batch = {"input_mask": (np.arange(golden.length) < lengths[:, np.newaxis]).astype(np.int32)}
    for name in rows[0]:
        wide = name not in ("start_positions", "end_positions", "example")
        batch[name] = np.stack([
            np.pad(row[name], (0, golden.length - len(row[name])), "constant") if wide
            else row[name][0] for row in rows])
    return batch


def compute(golden, features, is_training=False, static=False, task=None):
    """(loss [B], predictions, gradients of the mean loss) with the golden weights."""
    with tf.Graph().as_default(), tf.Session() as session:
        feed = {name: tf.placeholder(tf.int32, value.shape if static else [None] * value.ndim)
                for name, value in features.items()}
        model = modeling.AlbertModel(golden.config, is_training, feed["input_ids"],
                                     feed["input_mask"], feed["segment_ids"])
        loss, predictions = (task or golden.task()).build(golden.config, model, feed, is_training)
        variables = tf.trainable_variables()
        for variable in variables:
            variable.load(golden.weights[variable.name[:-2]], session)
        gradients = {variable.name[:-2]: tf.convert_to_tensor(gradient)
                     for variable, gradient in zip(variables, tf.gradients(
                         tf.reduce_mean(loss), variables)) if gradient is not None}
        return session.run((loss, predictions, gradients),
                           {feed[name]: value for name, value in features.items()})


def assert_close(actual, expected, name):
    # A softmax does not see what shifts all its logits alike: the rest is rounding noise.
    if name.endswith(("key/bias", "start_logits/dense/bias", "end_logits/dense_1/bias",
                      "end_logits/LayerNorm/beta")):
        assert max(np.abs(actual).max(), np.abs(expected).max()) < 1e-6, name
        return
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(),
                               err_msg=name)


def test_variables_are_those_of_googles_code(golden):
    assert {name: list(value.shape) for name, value in golden.part("variable/").items()} == SHAPES
    with tf.Graph().as_default():
        ids = tf.zeros([2, 8], tf.int32)
        names = set(golden.task().features) - {"lengths"}
        golden.task().build(
            golden.config, modeling.AlbertModel(golden.config, True, ids),
            {name: ids[:, 0] if name.endswith("positions") else ids for name in names}, True)
        assert {variable.name[:-2]: variable.shape.as_list() for variable in
                tf.trainable_variables() if not variable.name.startswith("bert/")} == SHAPES


def test_features_are_those_of_googles_code(golden, features):
    for name in ("input_ids", "start_positions", "end_positions"):
        np.testing.assert_array_equal(features[name], golden["input/" + name], err_msg=name)
    first = np.arange(golden.length) == 0
    np.testing.assert_array_equal((features["context_mask"] == 0) & ~first,
                                  golden["input/p_mask"] == 1)
    np.testing.assert_array_equal(features["start_positions"] == 0, golden["input/is_impossible"])


@pytest.mark.parametrize("static", [False, True])
def test_golden_loss_and_gradients(golden, features, static):
    loss, _, gradients = compute(golden, features, True, static)
    assert loss.shape == (33,)
    assert loss.mean() == pytest.approx(float(golden["training/loss"]), rel=1e-5)
    expected = golden.part("gradient/")
    assert set(gradients) == set(expected) == set(golden.weights) - {
        "bert/pooler/dense/kernel", "bert/pooler/dense/bias"}
    for name in expected:
        assert_close(gradients[name], expected[name], name)


@pytest.mark.parametrize("static", [False, True])
def test_golden_predictions(golden, features, static):
    _, predictions, _ = compute(golden, features, static=static)
    expected = golden.part("output/")
    for name in ("start_top_index", "end_top_index"):
        np.testing.assert_array_equal(predictions[name].reshape(33, -1), expected[name])
    for name in ("start_top_log_probs", "end_top_log_probs", "cls_logits"):
        actual = predictions[name].reshape(expected[name].shape)
        is_allowed = expected[name] > -1e29
        np.testing.assert_allclose(actual[is_allowed], expected[name][is_allowed], atol=1e-5)
        assert (actual[~is_allowed] < -1e29).all()


def test_golden_answers_and_scores(golden, features, tmp_path):
    _, predictions, _ = compute(golden, features)
    predictions["example"] = features["example"]
    task = golden.task()
    task.write_predictions(str(tmp_path), "test", golden.examples, predictions)
    written = (json.loads((tmp_path / name).read_text("utf-8")) for name in (
        "predictions.json", "nbest_predictions.json", "null_odds.json"))
    final, n_best, odds = ([values["q%d" % number] for number in range(12)] for values in written)
    assert final == [text(codes) for codes in golden["prediction"]]
    assert [[answer["text"] for answer in answers] for answers in n_best] == [
        [text(codes) for codes in texts[:count]]
        for texts, count in zip(golden["n_best/text"], golden["n_best/count"])]
    for answers, numbers in zip(n_best, golden["n_best/numbers"]):
        for answer, expected in zip(answers, numbers):
            assert [answer["start_log_prob"], answer["end_log_prob"],
                    answer["probability"]] == pytest.approx(list(expected), abs=1e-5)
    assert odds == pytest.approx(golden["null_odds"].tolist(), abs=1e-5)
    scores = task.score(golden.examples, predictions)
    expected = golden.part("score/")
    assert 0 < expected["best_f1"] < 100 and expected["best_f1_thresh"] != 0
    for name in ("best_f1", "best_exact", "best_f1_thresh", "best_exact_thresh", "f1"):
        assert scores[name] == pytest.approx(float(expected[name]), abs=1e-5), name
    assert scores["exact_match"] == pytest.approx(float(expected["exact"]))
    assert "F1 %.3f" % expected["f1"] in task.report(golden.examples, predictions)
    assert "threshold=%g;" % scores["best_f1_thresh"] in task.report(golden.examples, predictions)
