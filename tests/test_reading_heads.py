"""Google's head for SQuAD 2.0 gives the numbers and answers of its code; which head a run takes."""

import json
import os

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import run_squad
import tiny
import tokenization
from tasks import reading, reading_answers, reading_data, reading_heads

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


def rows(*windows):
    """Predictions of windows (null logit, [(start, log prob, [(end, log prob)])]), token i at
    character i; E is 2."""
    found = {"cls_logits": np.array([null for null, _ in windows], np.float32)}
    for side, values in (
            ("start", [[start[:2] for start in starts] for _, starts in windows]),
            ("end", [[start[2] for start in starts] for _, starts in windows])):
        values = np.array(values)
        tokens = values[..., 0].astype(int)
        found[side + "_top_index"] = np.maximum(tokens, 0)
        found[side + "_top_log_probs"] = values[..., 1].astype(np.float32)
        found[side + "_top_chars"] = tokens + (tokens >= 0) * (side == "end")
    return found


def google_n_best(context, windows, **settings):
    answers, odds = reading_heads.create("google_v2", reading_answers.Settings(**settings)).n_best(
        context, rows(*windows))
    return [(answer["text"], answer["start_log_prob"], answer["end_log_prob"])
            for answer in answers], odds


def test_n_best_of_the_ends_of_each_start():
    windows = [(0.5, [(2, -1.0, [(4, -0.5), (1, -0.1)]), (-1, -0.5, [(2, -0.1), (3, -9.0)])]),
               (-0.25, [(2, -2.0, [(2, -2.0), (-1, -0.1)]), (5, -3.0, [(5, -0.5), (6, -1.0)])])]
    assert google_n_best("abcdefgh", windows) == (
        [("cde", -1, -0.5), ("f", -3, -0.5), ("c", -2, -2), ("fg", -3, -1)], -0.25)
    # An end before its start, or a token of the question, is left out; so is what is too long.
    assert google_n_best("abcdefgh", windows, max_answer_length=2)[0] == [
        ("f", -3, -0.5), ("c", -2, -2), ("fg", -3, -1)]
    assert google_n_best("abcdefgh", windows, n_best_size=2)[0] == [
        ("cde", -1, -0.5), ("f", -3, -0.5)]


def test_n_best_as_google_lists_texts_once_and_blank_ones():
    windows = [(0.0, [(0, -1.0, [(0, -1.0), (1, -2.0)]), (2, -0.5, [(2, -1.0), (3, -5.0)])])]
    assert google_n_best("a  a", windows) == ([("", -0.5, -1.0), ("a", -1, -1)], 0)


def test_question_without_candidates():
    assert google_n_best("abc", [(0.0, [(-1, 0.0, [(1, 0.0), (2, 0.0)])])]) == (
        [("", -1e6, -1e6)], 0)


def test_the_threshold_itself_is_no_answer():
    google, bert = (reading_heads.create(name, reading_answers.Settings()) for name in (
        "google_v2", "bert"))
    assert google.highest_odds(0.25) < 0.25 and bert.highest_odds(0.25) == 0.25
    assert google.highest_odds(0.25) > np.float32(0.25) - np.float32(2e-8)


@pytest.mark.slow
@pytest.mark.parametrize("threshold, labelled, expected", [
    (None, True, "best"), (None, False, 0.0), (-0.5, True, -0.5)])
def test_threshold_of_the_answers(golden, features, threshold, labelled, expected):
    _, predictions, _ = compute(golden, features)
    predictions["example"] = features["example"]
    examples = golden.examples
    if not labelled:
        examples = [example._replace(label=None) for example in examples]
    answers = golden.task(null_score_diff_threshold=threshold)._answers(examples, predictions)
    if expected == "best":
        expected = float(golden["score/best_f1_thresh"])
    assert answers.threshold == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_more_candidates_than_tokens(golden, features):
    """Short batches are filled up; what is added is no candidate."""
    task = golden.task(start_n_top=20, end_n_top=18)
    _, predictions, _ = compute(golden, features, task=task)
    assert predictions["start_top_index"].shape == (33, 20)
    assert predictions["end_top_index"].shape == (33, 20, 18)
    assert (predictions["start_top_chars"][:, 16:] == -1).all()
    assert (predictions["end_top_chars"][:, :, 16:] == -1).all()
    _, static, _ = compute(golden, features, static=True, task=task)
    np.testing.assert_array_equal(static["end_top_chars"], predictions["end_top_chars"])


@pytest.mark.parametrize("head, given, rate", [
    ("bert", None, 0.0), ("google_v2", None, 0.1), ("bert", 0.2, 0.2), ("google_v2", 0.0, 0.0)])
def test_dropout_of_the_original_codes(head, given, rate):
    assert reading_heads.create(head, reading_answers.Settings(dropout=given))._dropout == rate


@pytest.mark.parametrize("names, head", [
    (["bert/x", "answer_class/dense_0/bias", "squad/output_bias"], "google_v2"),
    (["cls/squad/output_weights"], "bert"), (["squad/output_weights"], "bert"),
    (["cls/predictions/output_bias", "output_weights"], None), ([], None)])
def test_recognise(names, head):
    assert reading_heads.recognise(names) == head


GOOGLE, BERT = {"answer_class/dense_1/kernel": [1.0]}, {"squad/output_bias": [1.0]}
PRETRAINED = {"bert/pooler/dense/bias": [1.0]}


@pytest.mark.parametrize("initial, trained, flag, head", [
    (None, None, None, "bert"), (None, None, "google_v2", "google_v2"),
    (PRETRAINED, None, None, "bert"), (GOOGLE, None, None, "google_v2"),
    (GOOGLE, None, "bert", "bert"), (BERT, GOOGLE, None, "google_v2"),
    (GOOGLE, BERT, None, "bert"), (GOOGLE, GOOGLE, "google_v2", "google_v2")])
def test_head_of_a_run(tmp_path, initial, trained, flag, head):
    values = {}
    for name, arrays in (("init", initial), ("out", trained)):
        (tmp_path / name).mkdir()
        if arrays:
            tiny.save_checkpoint(tmp_path / name / "model.ckpt-3", arrays)
    if initial:
        values["init_checkpoint"] = tmp_path / "init"
    if flag:
        values["squad_head"] = flag
    flags = tiny.parse(run_squad.define_flags, output_dir=tmp_path / "out", **values)
    assert run_squad.squad_head(flags) == head


def test_a_run_does_not_change_its_head(tmp_path):
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt-3", GOOGLE)
    flags = tiny.parse(run_squad.define_flags, output_dir=tmp_path, squad_head="bert")
    with pytest.raises(UserError, match="--squad_head=bert, but %s holds that of "
                       "--squad_head=google_v2; leave the flag out or use" % prefix):
        run_squad.squad_head(flags)
