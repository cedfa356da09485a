"""Extractive reading: files, windows, the head, n-best answers, and end to end on tiny models."""

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
from tasks import json_input, reading, reading_data, reading_windows
from tasks.bad_lines import BadLines

CMRC = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data", "cmrc2018")
CONTEXT = "Super Bowl 50 was won by Denver. Denver is in Colorado."


def question(name="q", text="Who won?", answers=(("Denver", 25),), **more):
    """A question as SQuAD has it; answers None: without the key."""
    record = dict({"id": name, "question": text}, **more)
    if answers is not None:
        record["answers"] = [{"text": answer, "answer_start": start} for answer, start in answers]
    return record


def document(*questions, **more):
    return dict({"version": "1.1", "data": [{"title": "t", "paragraphs": [
        {"context": CONTEXT, "qas": list(questions)}]}]}, **more)


def write(path, content):
    path.write_text(content if isinstance(content, str)
                    else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


def read(tmp_path, content, split="dev", with_negative=False):
    reader = reading_data.Reader(write(tmp_path / "f.json", content), split, with_negative)
    return reader, reader.read()


def test_squad(tmp_path):
    reader, (first, second) = read(tmp_path, document(
        question(), question("r", "Where?", [("Colorado", 46), ("in Colorado", 43)])))
    assert first == reading_data.Question(
        "q", str(tmp_path / "f.json") + " data[0].paragraphs[0].qas[0]", "Who won?", CONTEXT,
        reading_data.Label(("Denver",), 25, 31))
    assert second.label == reading_data.Label(("Colorado", "in Colorado"), 46, 54)
    assert (reader.moved, reader.missing) == (0, [])


def test_own_form_of_cmrc2018(tmp_path):
    _, (first,) = read(tmp_path, [{"context_id": "T_1", "context_text": "光荣开发的光荣", "qas": [
        {"query_id": "T_1_Q_0", "query_text": "谁？", "answers": ["开发", "光荣"]}]}])
    assert first[0] == "T_1_Q_0" and first.question == "谁？" and first.context == "光荣开发的光荣"
    assert first.location.endswith("f.json [0].qas[0]")
    assert first.label == reading_data.Label(("开发", "光荣"), 2, 4)


def test_numbers_are_texts(tmp_path):
    """CMRC2018's dev file has 29 answers that are JSON numbers."""
    _, (first,) = read(tmp_path, [{"context": "在2008年", "qas": [
        {"id": 7, "question": 1.50, "answers": [2008, {"text": 2008, "answer_start": 1}]}]}])
    assert first[2:] == ("1.5", "在2008年", reading_data.Label(("2008", "2008"), 1, 5))
    assert first.id == "7"


@pytest.mark.parametrize("form", ["lines", "array"])
def test_questions_with_their_context_as_hugging_face_exports_them(tmp_path, form):
    records = [{"id": name, "context": CONTEXT, "question": "Who?",
                "answers": {"text": ["Denver"], "answer_start": [25]}} for name in "ab"]
    text = json.dumps(records) if form == "array" else "\n".join(map(json.dumps, records))
    _, questions = read(tmp_path, text)
    assert [row.id for row in questions] == ["a", "b"]
    assert questions[0].label == reading_data.Label(("Denver",), 25, 31)


def test_bad_questions_are_counted_where_they_may_be_skipped(tmp_path):
    content = document(question("a"), question("a"), question("b", text=None), question("c"))
    content["data"].append({"context": " ", "qas": []})
    bad_lines = BadLines(skip=True)
    path = write(tmp_path / "f.json", content)
    questions = reading_data.Reader(path, "dev", False, bad_lines).read()
    assert [row.id for row in questions] == ["a", "c"] and bad_lines.count == 3


@pytest.mark.skipif(not os.path.isdir(CMRC), reason="the files of CMRC2018 are not there")
def test_the_real_cmrc2018(caplog):
    task = reading.Reading("cmrc2018", reading_data.DATASETS["cmrc2018"], CMRC)
    with caplog.at_level("INFO", "albert"):
        questions = task.examples("dev")
    assert len(questions) == 3219
    assert caplog.messages[0].endswith("dev.json: 3219 questions on 848 contexts")


@pytest.mark.parametrize("context, text, start, found", [
    ("abcabc", "bc", 1, 1), ("abcabc", "bc", 4, 4), ("abcabc", "bc", 3, 4), ("abcabc", "bc", 0, 1),
    ("abcabc", "bc", -1, 1), ("abcabc", "bc", 99, 4), ("abcabc", "bc", None, 1),
    ("abc", "d", 0, None), ("abc", "", 0, None), ("a b", " ", 1, None), ("aaa", "aa", 2, 1)])
def test_locate(context, text, start, found):
    assert reading_data.find_answer(context, text, start) == found


def test_answers_that_do_not_stand_there(tmp_path):
    content = document(
        question("moved", answers=[("Denver", 40)]), question("gone", answers=[("denver", 25)]),
        question("second", answers=[("denver", 25), ("Denver", 25)]))
    reader, questions = read(tmp_path, content)
    assert [row.label.begin for row in questions] == [33, None, 25]
    assert reader.moved == 1
    assert reader.missing == ["data[0].paragraphs[0].qas[1].answers"]
    reader, questions = read(tmp_path, content, split="train")
    assert [row.id for row in questions] == ["moved", "second"] and len(reader.missing) == 1


def test_what_is_wrong_with_answers_is_counted_and_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        reading_data.console, "say", lambda text, *values: said.append(text % values))
    path = write(tmp_path / "f.json", document(
        question("moved", answers=[("Denver", 40)]), question("gone", answers=[("x", 25)])))
    task = reading.Reading("own", reading_data.Dataset({}, "en"), None,
                           {"train": path, "dev": path})
    assert [len(task.examples(split)) for split in ("dev", "train")] == [2, 1]
    assert said == [
        path + ": 2 questions on 1 contexts",
        path + ": 1 answers do not stand at their answer_start; the place nearest to it is taken",
        path + ": 1 questions have no answer that stands in the context, kept and scored; the "
        "first is data[0].paragraphs[0].qas[1].answers",
        path + ": 1 questions on 1 contexts",
        path + ": 1 answers do not stand at their answer_start; the place nearest to it is taken",
        path + ": 1 questions have no answer that stands in the context, dropped; the first is "
        "data[0].paragraphs[0].qas[1].answers"]


@pytest.mark.parametrize("record, with_negative, texts", [
    (question(is_impossible=False), True, ("Denver",)),
    (question(answers=[], is_impossible=True), True, ()),
    (question(answers=[]), True, ()),
    (question(is_impossible=True, plausible_answers=[]), True, ()),
    (question(answers=None, is_impossible=True), True, ()),
    (question(is_impossible=True), False, ("Denver",)),
])
def test_questions_without_answer(tmp_path, record, with_negative, texts):
    for split in ("train", "dev", "test"):
        _, (row,) = read(tmp_path, document(record), split, with_negative)
        assert row.label.texts == texts and (row.label.begin is None) == (not texts)


@pytest.mark.parametrize("record", [
    question(answers=None), question(answers=[]), question(answers=[("FAKE_ANSWER_1", -1)])])
def test_a_test_file_may_lack_answers(tmp_path, record):
    _, (row,) = read(tmp_path, document(record), "test")
    assert row.label is None


def changed(path, value):
    """A document with `value` (or without the key: None) at a path of keys."""
    content = document(question(), question("r"))
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


PARAGRAPH = ("data", 0, "paragraphs", 0)
QUESTION = PARAGRAPH + ("qas", 1)


@pytest.mark.parametrize("content, message", [
    ('{"data": [\n  {"paragraphs": ]}', r"f.json line 2 column 18: not JSON \(Expecting value\)"),
    ("", "f.json line 1 column 1: not JSON"),
    ("3", "f.json: found 3, expected an object with 'data'$"),
    ({"version": "1.1"}, "f.json: no key 'data', found version"),
    ({"data": {}}, "f.json data: found {}, expected a list$"),
    ({"data": []}, "f.json: no questions in this file"),
    ({"data": [{"paragraphs": []}]}, "f.json: no questions in this file"),
    ({"data": ["x"]}, r'f.json data\[0\]: found "x", expected an object with'),
    ({"data": [{"title": "x"}]}, r"data\[0\]: no key 'context' or 'context_text', found title"),
    (changed(PARAGRAPH + ("context",), None), r"data\[0\].paragraphs\[0\]: no key 'context' or"),
    (changed(PARAGRAPH + ("context",), " "), r"paragraphs\[0\].context: found an empty text"),
    (changed(PARAGRAPH + ("context",), ["x"]), r'context: found \["x"\], expected a text$'),
    (changed(PARAGRAPH + ("qas",), None), r"paragraphs\[0\]: no key 'qas', found context"),
    (changed(QUESTION + ("question",), None), r"qas\[1\]: no key 'question' or 'query_text'"),
    (changed(QUESTION + ("id",), True), r"qas\[1\].id: found true, expected a text$"),
    (changed(QUESTION + ("id",), "q"),
     r"qas\[1\]: id 'q', which data\[0\].paragraphs\[0\].qas\[0\] has already"),
    (changed(QUESTION + ("answers",), None), r"f.json data\[0\].paragraphs\[0\].qas\[1\]: no key "
                                             "'answers', found id, question"),
    (changed(QUESTION + ("answers",), {"text": ["x"], "answer_start": []}),
     r"qas\[1\].answers: found 0 for 1 texts, expected one answer_start for each text$"),
    (changed(QUESTION + ("answers",), "x"), r'qas\[1\].answers: found "x", expected a list$'),
    (changed(QUESTION + ("answers",), []), r"qas\[1\].answers: no answer, .* needs "
                                           "--version_2_with_negative"),
    (changed(QUESTION + ("answers",), [None]), r"qas\[1\].answers\[0\]: found null, expected a "
                                               "text$"),
    (changed(QUESTION + ("answers",), [{"answer_start": 3}]), r"answers\[0\]: no key 'text'"),
    (changed(QUESTION + ("answers", 0, "answer_start"), "3"),
     r'answers\[0\].answer_start: found "3", expected the number of'),
])
def test_bad_files(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, content)


def test_not_utf8_and_no_usable_question(tmp_path):
    (tmp_path / "f.json").write_bytes('{"data": "é"}'.encode("latin-1"))
    with pytest.raises(UserError, match="f.json line 1: byte 11 is not UTF-8"):
        json_input.read_file(str(tmp_path / "f.json"))
    with pytest.raises(UserError, match="f.json: no questions whose answer stands in its context"):
        read(tmp_path, document(question(answers=[("x", 0)])), "train")


def test_half_a_surrogate_pair_becomes_one_other_character(tmp_path):
    text = json.dumps(document(question())).replace("Super", "\\ud800uper")
    _, (row,) = read(tmp_path, text)
    assert row.context[:2] == "\ufffdu" and row.label.begin == 25


@pytest.mark.parametrize("arguments, spans", [
    ((10, 6, 3), [(0, 6), (3, 9), (6, 10)]), ((6, 6, 3), [(0, 6)]), ((7, 6, 3), [(0, 6), (3, 7)]),
    ((5, 2, 9), [(0, 2), (2, 4), (4, 5)]), ((0, 6, 3), [(0, 0)])])
def test_windows(arguments, spans):
    assert reading_windows.windows(*arguments) == spans


def test_best_windows():
    # Token 3 has 2 tokens after it in the first window and none before it in the second; of equal
    # ones the first counts. The last window is shorter: less by 0.01 a token.
    spans = [(0, 6), (3, 9), (6, 10)]
    assert reading_windows.best_windows(spans, 10).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]


@pytest.fixture
def tokenizer(tmp_path):
    return tokenization.load_tokenizer(tiny.write_vocab(tmp_path / "vocab.txt"))


def chinese(numbers):
    return "".join(tiny.CHARACTERS[number] for number in numbers)


def make_task(n_best_size=20, with_negative=False, evaluation="zh", **changes):
    dataset = reading_data.Dataset({}, evaluation, with_negative=with_negative)
    return reading.Reading("own", dataset, None, n_best_size=n_best_size, **changes)


def example(context, begin, end, asked="", name="q"):
    label = None if begin is None else reading_data.Label((context[begin:end],), begin, end)
    return reading_data.Question(name, "f.json", asked, context, label)


def test_featurize(tokenizer):
    context = "  " + chinese(range(10, 16)) + " " + chinese(range(16, 20))  # 6 and 4 tokens
    task = make_task(doc_stride=3, max_query_length=2)
    first, second, third = task.featurize(
        example(context, 6, 8, chinese([1, 2, 3])), tokenizer, 11)  # room for 6
    ids = [5 + number for number in range(10, 20)]
    assert first["input_ids"].tolist() == [2, 6, 7, 3] + ids[:6] + [3]
    assert second["input_ids"].tolist() == [2, 6, 7, 3] + ids[3:9] + [3]
    assert third["input_ids"].tolist() == [2, 6, 7, 3] + ids[6:] + [3]
    assert third["segment_ids"].tolist() == [0] * 4 + [1] * 5 and third["lengths"] == [9]
    assert first["context_mask"].tolist() == [0] * 4 + [2, 2, 2, 2, 2, 1] + [0]
    assert second["context_mask"].tolist() == [0] * 4 + [1, 1, 2, 2, 2, 1] + [0]
    assert third["char_starts"].tolist() == [0] * 4 + [9, 10, 11, 12] + [0]
    assert third["char_ends"].tolist() == [0] * 4 + [10, 11, 12, 13] + [0]
    # The answer's tokens are 4 and 5: in the first two windows, not in the third.
    assert [(int(row["start_positions"][0]), int(row["end_positions"][0]))
            for row in (first, second, third)] == [(8, 9), (5, 6), (0, 0)]
    assert set(first) == set(task.features)


def test_answer_inside_a_word_takes_the_whole_word(tmp_path):
    tokenizer = tokenization.load_tokenizer(
        tiny.write_vocab(tmp_path / "v", ["in", "##side", "out", "."]))
    row, = make_task().featurize(example("out inside.", 6, 9), tokenizer, 16)
    assert row["input_ids"].tolist() == [2, 3, 7, 5, 6, 8, 3]
    assert (row["start_positions"], row["end_positions"]) == (4, 4)  # "sid" lies in "##side"


def test_nothing_to_answer_with(tokenizer):
    row, = make_task().featurize(example("\u200b", None, None, "x"), tokenizer, 16)
    assert row["input_ids"].tolist() == [2, 1, 3] and row["context_mask"].tolist() == [0, 0, 0]
    asked = example("x", 0, 1, chinese(range(9)))
    with pytest.raises(UserError, match="--max_seq_length=8 leaves no room .* question of 5 token"):
        list(make_task(max_query_length=5).featurize(asked, tokenizer, 8))


def built(features, n_best_size, shape=(None, None)):
    """Loss and predictions of random weights on features [B, S], with the whole logits."""
    task = make_task(n_best_size)
    tokens = ("input_ids", "segment_ids", "context_mask", "char_starts", "char_ends", "input_mask")
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        placed = {name: tf.placeholder(tf.int32, shape if name in tokens else shape[:1])
                  for name in features}
        model = modeling.AlbertModel(tiny.config(), False, placed["input_ids"],
                                     placed["input_mask"], placed["segment_ids"])
        loss, predictions = task.build(model.config, model, placed, False)
        session.run(tf.global_variables_initializer())
        weights = next(variable for variable in tf.trainable_variables()
                       if variable.op.name == "squad/output_weights")
        logits = tf.tensordot(model.get_sequence_output(), weights, [[2], [1]])
        return session.run((loss, predictions, logits),
                           {placed[name]: value for name, value in features.items()})


@pytest.fixture
def features():
    """Two windows [2, 9]: questions of 1 and 2 tokens, contexts of 5 and 2, padding."""
    ids = np.array([[2, 9, 3, 20, 21, 22, 23, 24, 3], [2, 9, 8, 3, 30, 31, 3, 0, 0]])
    mask = np.array([[0, 0, 0, 2, 2, 2, 1, 1, 0], [0, 0, 0, 0, 1, 2, 0, 0, 0]])
    return {"input_ids": ids, "input_mask": (ids > 0).astype(int), "context_mask": mask,
            "segment_ids": (mask > 0).astype(int), "char_starts": 10 * ids,
            "char_ends": 10 * ids + 1, "start_positions": np.array([4, 0]),
            "end_positions": np.array([5, 0])}


def test_loss_is_over_the_context_and_no_answer(features):
    loss, _, logits = built(features, 3)
    for row, allowed in enumerate(([0, 3, 4, 5, 6, 7], [0, 4, 5])):
        expected = 0
        for side, name in enumerate(("start_positions", "end_positions")):
            chosen = logits[row, allowed, side]
            expected += np.log(np.exp(chosen).sum()) - logits[row, features[name][row], side]
        assert loss[row] == pytest.approx(expected / 2, abs=1e-5)


@pytest.mark.parametrize("n_best_size, shape", [(3, (None, None)), (3, (2, 9)), (20, (None, None)),
                                                (20, (2, 9))])
def test_top_tokens(features, n_best_size, shape):
    _, found, logits = built(features, n_best_size, shape)
    np.testing.assert_allclose(found["null_logits"], logits[:, 0], atol=1e-5)
    for name, side, candidates in (("start", 0, ([3, 4, 5], [5])),
                                   ("end", 1, ([3, 4, 5, 6, 7], [4, 5]))):
        assert found[name + "_tokens"].shape == (2, n_best_size)
        for row, among in enumerate(candidates):
            best = sorted(among, key=lambda token: -logits[row, token, side])[:n_best_size]
            tokens = found[name + "_tokens"][row]
            assert tokens.tolist() == best + [-1] * (n_best_size - len(best))
            count = len(best)
            np.testing.assert_allclose(found[name + "_logits"][row, :count],
                                       logits[row, best, side], atol=1e-5)
            assert found[name + "_chars"][row, :count].tolist() == (
                features["char_%ss" % name][row, best].tolist())


def predicted(*rows):
    """Predictions of windows (example, null logits, [(start token, logit)], [(end token, logit)]);
    token i stands at character i."""
    wide = max(len(side) for row in rows for side in row[2:])
    found = {"example": np.array([row[0] for row in rows]),
             "null_logits": np.array([row[1] for row in rows], np.float32)}
    for name, column, added in (("start", 2, 0), ("end", 3, 1)):
        sides = [row[column] + [(-1, -10000.0)] * (wide - len(row[column])) for row in rows]
        found[name + "_tokens"] = np.array([[token for token, _ in side] for side in sides])
        found[name + "_logits"] = np.array([[logit for _, logit in side] for side in sides],
                                           np.float32)
        found[name + "_chars"] = found[name + "_tokens"] + added
    return found


def best(task, examples, predictions):
    return [([answer["text"] for answer in found],
             [round(answer["start_logit"] + answer["end_logit"], 4) for answer in found], odds)
            for _, found, odds in task.n_best(examples, predictions)]


def test_best_spans():
    examples = [example("abcdefgh", None, None)]
    predictions = predicted((0, (0, 0), [(2, 5.0), (4, 3.0)], [(1, 9.0), (6, 4.0), (4, 1.0)]))
    (texts, scores, _), = best(make_task(), examples, predictions)
    assert (texts, scores) == (["cdefg", "efg", "cde", "e"], [9, 7, 6, 4])  # none ends before it
    (texts, scores, _), = best(make_task(max_answer_length=3), examples, predictions)
    assert (texts, scores) == (["efg", "cde", "e"], [7, 6, 4])
    (texts, _, _), = best(make_task(2), examples, predictions)
    assert texts == ["cdefg", "efg"]


def test_probabilities_are_over_all_windows_of_a_question():
    examples = [example("ab ab cd", None, None), example("xyz", None, None)]
    predictions = predicted((0, (0, 0), [(0, 1.0)], [(1, 1.0)]),
                            (0, (0, 0), [(3, 2.0)], [(4, 1.0)]),
                            (1, (0, 0), [(0, 7.0)], [(0, 7.0)]))
    (_, first, _), (_, second, _) = make_task().n_best(examples, predictions)
    assert [dict(answer) for answer in first] == [  # "ab" once, with its better logits
        {"text": "ab", "probability": 1.0, "start_logit": 2.0, "end_logit": 1.0}]
    assert second[0]["text"] == "x" and second[0]["start_logit"] == 7
    predictions["start_tokens"][1], predictions["end_tokens"][1] = 6, 7
    predictions["start_chars"][1], predictions["end_chars"][1] = 6, 8
    first = next(make_task().n_best(examples, predictions))[1]
    assert [answer["text"] for answer in first] == ["cd", "ab"]
    assert first[0]["probability"] == pytest.approx(1 / (1 + np.exp(-1)))


def test_no_answer_among_the_best():
    examples = [example("abcdefgh", None, None)]
    predictions = predicted((0, (3, 3), [(2, 2.0)], [(2, 2.0)]), (0, (1, 2), [(4, 1)], [(4, 1)]))
    (texts, scores, odds), = best(make_task(with_negative=True), examples, predictions)
    # The least likely "no answer" of the windows counts: it may stand in another window.
    assert (texts, scores, odds) == (["c", "", "e"], [4, 3, 2], -1)


def test_question_without_any_span_gets_an_empty_answer(tmp_path):
    examples = [example("abc", 0, 1), example("abc", 1, 2, name="r")]
    predictions = predicted((0, (1, 1), [], []), (1, (0, 0), [(2, 1.0)], [(1, 1.0)]))
    assert best(make_task(), examples, predictions) == [([""], [2], 10002), ([""], [0], 10000)]
    paths = make_task().write_predictions(str(tmp_path), "test", examples, predictions)
    assert paths[0] == str(tmp_path / "predictions.json")
    assert json.loads((tmp_path / "predictions.json").read_text()) == {"q": "", "r": ""}
    assert make_task().score(examples, predictions) == {
        "exact_match": 0, "f1": 0, "average": 0}


@pytest.mark.parametrize("threshold, chosen", [(-1.5, ""), (-1.0, "c"), (0.0, "c")])
def test_files_of_predictions(tmp_path, threshold, chosen):
    dataset = reading_data.DATASETS["cmrc2018"]._replace(with_negative=True)
    task = reading.Reading("cmrc2018", dataset, None, null_score_diff_threshold=threshold)
    examples = [example("光荣cdefgh", 2, 3)]
    predictions = predicted((0, (3, 0), [(2, 2.0), (0, -1.0)], [(2, 2.0)]))
    paths = task.write_predictions(str(tmp_path), "test", examples, predictions)
    assert [os.path.basename(path) for path in paths] == [
        "predictions.json", "nbest_predictions.json", "null_odds.json", "cmrc2018_predict.json"]
    contents = [json.loads((tmp_path / os.path.basename(path)).read_text("utf-8"))
                for path in paths]
    assert contents[0] == contents[3] == {"q": chosen}
    assert [answer["text"] for answer in contents[1]["q"]] == ["c", "", "光荣c"]
    assert sum(answer["probability"] for answer in contents[1]["q"]) == pytest.approx(1)
    assert contents[2] == {"q": -1.0}
    names = [os.path.basename(path) for path in task.write_predictions(
        str(tmp_path), "dev", examples, predictions)]
    assert names == ["dev_predictions.json", "dev_nbest_predictions.json", "dev_null_odds.json"]


def test_scores_report_warning_and_errors():
    task = make_task(with_negative=True)
    none = reading_data.Label((), None, None)
    examples = [example("光荣开发", 0, 2), example("光荣开发", 2, 4, "谁？", "r"),
                example("光荣开发", 0, 1, name="s")._replace(label=none)]
    predictions = predicted((0, (0, 0), [(0, 1.0)], [(1, 1.0)]),
                            (1, (0, 0), [(3, 1.0)], [(3, 1.0)]),
                            (2, (0, 0), [(0, 1.0)], [(0, 0.5)]))
    scores = task.score(examples, predictions)
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3) / 3)
    assert scores["exact_match"] == pytest.approx(100 / 3)
    assert scores["average"] == pytest.approx((scores["f1"] + scores["exact_match"]) / 2)
    assert (scores["NoAns_f1"], scores["best_f1_thresh"]) == (0, -2)
    assert "F1 55.556 and exact match 33.333 at --null_score_diff_threshold=0; the best F1 is " \
        "88.889 at -2.000000" in task.report(examples, predictions)
    assert task.warning(scores) is None
    assert "F1 33.000 is no better than never to answer (33.333)" in task.warning(
        dict(scores, f1=33.0))
    rows = [dict(row) for row in task.errors(examples, predictions)]
    assert rows == [
        {"id": "r", "question": "谁？", "gold": "开发", "predicted": "发", "f1": "0.667",
         "context": "光荣开发"},
        {"id": "s", "question": "", "gold": "", "predicted": "光", "f1": "0.000",
         "context": "光荣开发"}]


def test_warning_of_an_untrained_model():
    assert "exact match 0.500 % is that of guessing" in make_task().warning(
        {"exact_match": 0.5, "f1": 4.0})
    assert make_task().warning({"exact_match": 1.5, "f1": 4.0}) is None
    assert make_task().report([], {}) is None


def test_evaluation_needs_answers():
    with pytest.raises(UserError, match="f.json: no answer; answers are needed to evaluate"):
        make_task().score([example("abc", None, None)], predicted((0, (0, 0), [], [])))


def test_excerpt():
    context = "x" * 100 + "yy" + "z" * 100
    assert reading.excerpt(example(context, 100, 102), "") == (
        "…" + "x" * 60 + "yy" + "z" * 60 + "…")
    row = example(context, 0, 1)._replace(label=reading_data.Label((), None, None))
    assert reading.excerpt(row, "xy") == "…" + "x" * 60 + "xy" + "y" + "z" * 59 + "…"


def write_task(path, count, seed, with_negative=False):
    """Questions for one of two kinds of characters, each once in the context; with negative always
    for the first kind, which may be missing."""
    rng = np.random.RandomState(seed)
    qas = []
    for number in range(count):
        asked = 0 if with_negative else rng.randint(2)
        characters = 20 + rng.randint(20, size=9)
        places = rng.permutation(9)[:2]
        characters[places] = [5 * kind + rng.randint(5) for kind in (0, 1)]
        is_impossible = with_negative and rng.randint(3) == 0
        if is_impossible:
            characters[places[asked]] = 20
        context, begin = chinese(characters), int(places[asked])
        answers = [] if is_impossible else [(context[begin], begin)]
        record = question("q%d" % number, chinese([50 + asked]), answers,
                          is_impossible=bool(is_impossible))
        qas.append({"context": context, "qas": [record]})
    return write(path, {"data": [{"paragraphs": qas}]})


def flag_values(here, **changes):
    return dict({
        "train_file": here / "train.json", "predict_file": here / "dev.json",
        "vocab_file": tiny.write_vocab(here / "vocab.txt"), "output_dir": here / "out",
        "bert_config_file": tiny.write_config(here / "config.json", num_hidden_layers=1),
        "evaluation": "zh",
        "max_seq_length": 10, "max_query_length": 2, "doc_stride": 4, "max_answer_length": 2,
        "n_best_size": 4, "train_batch_size": 32, "learning_rate": 0.003, "train_step": 300,
        "eval_every_steps": 300}, **changes)


def run(here, **changes):
    run_squad.main(tiny.parse(run_squad.define_flags, **flag_values(here, **changes)))
    return here / "out"


@pytest.mark.slow
@pytest.mark.parametrize("with_negative, head", [
    pytest.param(False, "bert", marks=pytest.mark.one_platform), (True, "bert"),
    pytest.param(True, "google_v2", marks=pytest.mark.one_platform)])
def test_learns(tmp_path, with_negative, head):
    write_task(tmp_path / "train.json", 1200, 0, with_negative)
    write_task(tmp_path / "dev.json", 60, 1, with_negative)
    output = run(tmp_path, do_train=True, do_eval=True, do_predict=True,
                 version_2_with_negative=with_negative, squad_head=head)
    scores = tiny.results(output)
    assert scores["exact_match"] > 80  # 1 in 9 by chance
    predictions = json.loads((output / "predictions.json").read_text("utf-8"))
    n_best = json.loads((output / "nbest_predictions.json").read_text("utf-8"))
    golds = {record["id"]: [answer["text"] for answer in record["answers"]] or [""]
             for paragraph in json.loads((tmp_path / "dev.json").read_text("utf-8"))
             ["data"][0]["paragraphs"] for record in paragraph["qas"]}
    assert set(predictions) == set(n_best) == set(golds)
    right = [predictions[name] in texts for name, texts in golds.items()]
    assert 100 * np.mean(right) == pytest.approx(scores["exact_match"])
    metrics = tiny.results(output / "test_metrics.txt")  # the same file is both dev and test
    assert metrics == pytest.approx({name: scores[name] for name in metrics})
    assert (output / "null_odds.json").exists() == with_negative
    assert ("best_f1_thresh" in scores) == with_negative
    # The head is recognised from the checkpoint, and kept in run.json.
    (output / "predictions.json").unlink()
    run(tmp_path, do_predict=True, version_2_with_negative=with_negative)
    assert json.loads((output / "predictions.json").read_text("utf-8")) == predictions


@pytest.mark.parametrize("changes, message", [
    ({"train_file": "", "predict_file": ""},
     "--task_name is missing, expected one of cmrc2018, drcd, squad, squad2 with --data_dir"),
    ({"task_name": "sqaud"}, "--task_name=sqaud: no such task.*; did you mean squad\\?$"),
    ({"predict_file": ""}, "--predict_file is missing; give the path of a file"),
    ({"predict_file": "/none"}, "--predict_file=/none: no such file"),
    ({"task_name": "squad", "train_file": ""}, r"--data_dir is missing; .* \(or give --train_file"),
    ({"task_name": "squad2", "data_dir": "/none", "train_file": ""},
     "no train data: none of /none/train-v2.0.json exists"),
    ({"max_query_length": 7}, "--max_seq_length=10 leaves no room for a context beside "
                              "--max_query_length=7"),
])
def test_refused(tmp_path, changes, message):
    write_task(tmp_path / "train.json", 40, 0)
    changes = dict({"do_train": True, "do_eval": True}, **changes)
    with pytest.raises(UserError, match=message):
        run(tmp_path, **changes)


@pytest.mark.parametrize("name, changes, evaluation, with_negative", [
    ("squad", {}, "en", False), ("squad2", {}, "en", True), ("CMRC2018", {}, "zh", False),
    ("drcd", {}, "zh", False), ("", {}, "en", False), ("", {"evaluation": "zh"}, "zh", False),
    ("squad", {"version_2_with_negative": True}, "en", True)])
def test_data_sets(tmp_path, name, changes, evaluation, with_negative):
    flags = tiny.parse(run_squad.define_flags, task_name=name, train_file="t", **changes)
    task = run_squad.create_task(flags)
    assert task.identity() == {"task": name.lower() or "reading", "evaluation": evaluation,
                               "version_2_with_negative": with_negative}


def test_defaults_of_the_originals():
    flags = tiny.parse(run_squad.define_flags)
    assert (flags.max_seq_length, flags.doc_stride, flags.max_query_length, flags.n_best_size,
            flags.max_answer_length, flags.start_n_top, flags.end_n_top) == (
                384, 128, 64, 20, 30, 5, 5)
