"""Multiple choice: readers, every bad file, what the model sees, scores, and that it learns."""

import json
import os

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_race
import tiny
import tokenization
from tasks import choice, choice_data, choice_windows

C3_DATA = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data", "c3")
RACE = {"article": "Tom has a dog.", "questions": ["Tom has a _ .", "Who has it?"],
        "options": [["cat", "dog", "cow", "pig"], ["Tom", "Ann", "Bob", "Eve"]],
        "answers": ["B", "A"], "id": "high1.txt"}
WHO = {"question": "谁?", "choice": ["他", "她"], "answer": "她"}
WHEN = {"question": "何时?", "choice": ["早", "中", "晚"], "answer": "早"}
C3 = [[["第一段", "第二段"], [WHO, WHEN], "1-1"]]
CHID = {"content": ["甲乙#idiom000001#丙丁#idiom000002#戊", "己#idiom000003#"],
        "candidates": ["一心一意", "三心二意", "大摇大摆"]}
CHID_ANSWERS = {"#idiom000001#": 2, "#idiom000002#": 0, "#idiom000003#": 1}
OWN = {"context": "天是蓝的", "question": "天是", "choices": ["红的", "蓝的", "黑的"],
       "answer": "蓝的"}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_race(directory, split="dev", level="high", name="1.txt", **changes):
    write(directory / split / level / name, dict(RACE, **changes))


def task_of(name, directory, **options):
    return choice.Choice(name, choice_data.DATASETS[name], str(directory), **options)


@pytest.fixture
def tokenizer(tmp_path):
    return tokenization.load_tokenizer(tiny.write_vocab(tmp_path / "vocab.txt"))


def text_of(tokenizer, ids):
    return "".join(tokenizer.convert_ids_to_tokens(ids))


def test_race(tmp_path):
    write_race(tmp_path)
    write_race(tmp_path, level="middle", questions=[], options=[], answers=[])
    write_race(tmp_path, level="middle", name="2.txt", id="middle2.txt")
    task = task_of("race", tmp_path)
    assert [os.path.relpath(path, str(tmp_path)) for path in task.path("dev")] == [
        "dev/middle/1.txt", "dev/middle/2.txt", "dev/high/1.txt"]
    examples = task.examples("dev")
    assert [(example.id, example.label, example.group) for example in examples] == [
        ("middle2.txt-0", 1, "middle"), ("middle2.txt-1", 0, "middle"), ("high1.txt-0", 1, "high"),
        ("high1.txt-1", 0, "high")]
    assert examples[3].location == "%s line 1 questions[1]" % (tmp_path / "dev/high/1.txt")
    assert examples[3].passage == ("Tom has a dog.",) and examples[3].choices[3] == "Eve"
    assert task.max_choices(examples) == 4


def test_race_of_one_level_and_below_its_own_directory(tmp_path):
    write_race(tmp_path / "RACE")
    dataset = choice_data.only(choice_data.DATASETS["race"], "high")
    high = choice.Choice("race", dataset, str(tmp_path))
    assert len(high.examples("dev")) == 2
    with pytest.raises(UserError, match="no .txt files in .*RACE/dev/middle; .*--high_only"):
        task_of("race", tmp_path).examples("dev")
    with pytest.raises(UserError, match="--high_only: this data set has no levels"):
        choice_data.only(choice_data.DATASETS["c3"], "high")


def test_race_is_read_once_where_all_txt_repeats_the_single_files(tmp_path):
    """Google's run_race.py reads middle/all.txt and high/all.txt, made of the single files."""
    for level in ("middle", "high"):
        write_race(tmp_path, level=level, name="all.txt")
    write(tmp_path / "dev/middle/all.txt", "\n".join([json.dumps(RACE)] * 3))
    assert len(task_of("race", tmp_path).examples("dev")) == 6 + 2
    write_race(tmp_path, level="middle", name="7.txt")
    assert len(task_of("race", tmp_path).examples("dev")) == 2 + 2


def test_race_of_several_lines_and_of_one_object_over_many(tmp_path):
    path = tmp_path / "own.txt"
    for text, expected in (("\n".join([json.dumps(RACE)] * 3), 6), (json.dumps(RACE, indent=1), 2)):
        write(path, text)
        task = task_of("race", tmp_path, custom_files={"dev": str(path)})
        assert len(task.examples("dev")) == expected
        assert task.path("dev") == str(path)


def test_c3(tmp_path):
    write(tmp_path / "m-dev.json", C3)
    task = task_of("c3", tmp_path)
    assert task.path("dev") == str(tmp_path / "m-dev.json")
    write(tmp_path / "d-dev.json", C3)
    examples = task.examples("dev")
    assert len(task.path("dev")) == 2
    assert [(example.id, example.label, example.group) for example in examples] == [
        (0, 1, "m"), (1, 0, "m"), (2, 1, "d"), (3, 0, "d")]
    assert examples[1].location == "%s [0][1][1]" % (tmp_path / "m-dev.json")
    assert examples[1].passage == ("第一段\n第二段",) and examples[1].choices == ["早", "中", "晚"]


def test_c3_test_files_have_no_answers(tmp_path):
    record = [["段"], [{"question": "谁?", "choice": ["他", "她"], "id": 7},
                      {"question": "谁?", "choice": ["他", "她"], "answer": ""}], "1-1"]
    write(tmp_path / "test1.0.json", [record])
    examples = task_of("c3", tmp_path).examples("test")
    assert [(example.id, example.label, example.group) for example in examples] == [
        (7, None, None), (1, None, None)]
    write(tmp_path / "d-test.json", C3)
    assert task_of("c3", tmp_path).examples("test")[1].label == 0


def test_chid(tmp_path):
    write(tmp_path / "train.json", CHID)
    write(tmp_path / "train_answer.json", CHID_ANSWERS)
    examples = task_of("chid", tmp_path).examples("train")
    assert [(example.id, example.blank, example.label) for example in examples] == [
        ("#idiom000001#", 0, 2), ("#idiom000002#", 1, 0), ("#idiom000003#", 0, 1)]
    assert examples[0].passage == examples[1].passage == ("甲乙", "丙丁", "戊")
    assert examples[2].passage == ("己", "")
    assert examples[1].location == "%s line 1 content[0] #idiom000002#" % (tmp_path / "train.json")
    write(tmp_path / "test1.1.json", CHID)
    assert [example.label for example in task_of("chid", tmp_path).examples("test")] == [None] * 3


def test_own_questions(tmp_path):
    without_passage = {"question": "?", "choices": ["a", "b"], "answer": 0}
    lines = [OWN, dict(OWN, answer=2, id="x"), without_passage]
    write(tmp_path / "dev.jsonl", "\n".join(map(json.dumps, lines)))
    task = task_of("jsonl", tmp_path)
    examples = task.examples("dev")
    assert [(example.id, example.label) for example in examples] == [
        ("dev-1", 1), ("x", 2), ("dev-3", 0)]
    assert examples[2].passage == ("",) and task.max_choices(examples) == 3
    write(tmp_path / "train.json", dict(OWN, choices=["蓝的"] * 7))
    assert task.max_choices(task.examples("train")) == 7


@pytest.mark.parametrize("changes, message", [
    ({"answers": ["B", "E"]}, r'1.txt line 1 answers\[1\]: found "E", expected one of A B C D$'),
    ({"answers": ["B"]}, r"1.txt line 1: found 1 answers for 2 questions, expected one for each$"),
    ({"options": [["a", "b"], ["a"]]}, r"1.txt line 1 options\[1\]: found 1 texts, expected 2"),
    ({"options": [["a", []], []]}, r"1.txt line 1 options\[0\]\[1\]: found \[\], expected a text$"),
    ({"questions": [None, ""]}, r"1.txt line 1 questions\[0\]: found null, expected a text$"),
    ({"article": ["a"]}, r'1.txt line 1 article: found \["a"\], expected a text$'),
    ({"options": [["a"] * 5, ["a"] * 4]}, r"questions\[0\]: 5 choices, race has at most 4"),
])
def test_bad_race_files(tmp_path, changes, message):
    write_race(tmp_path, **changes)
    write_race(tmp_path, level="middle")
    with pytest.raises(UserError, match=message):
        task_of("race", tmp_path).examples("dev")


def c3_with(**changes):
    return [[["段"], [dict(WHO, **changes)], "1-1"]]


@pytest.mark.parametrize("name, files, message", [
    ("c3", {"dev.json": "x"}, "no dev data: none of .*m-dev.json, .*d-dev.json exists"),
    ("c3", {"m-dev.json": "[[1"},
     "m-dev.json line 1 column 4: not JSON .*, expected one JSON value; .*cut off, copy it again"),
    ("c3", {"m-dev.json": {}}, "m-dev.json: found {}, expected a list$"),
    ("c3", {"m-dev.json": []}, "m-dev.json: no questions in this file"),
    ("c3", {"m-dev.json": [["a"]]},
     r'\[0\]: found \["a"\], expected \[paragraphs, questions, id\]$'),
    ("c3", {"m-dev.json": c3_with(answer="它")},
     r'm-dev.json \[0\]\[1\]\[0\].answer: found "它", expected an index from 0 to 1 or one of '
     r'\["他", "她"\]$'),
    ("c3", {"m-dev.json": c3_with(choice="他")},
     r'm-dev.json \[0\]\[1\]\[0\].choice: found "他", expected a list of texts$'),
    ("c3", {"m-dev.json": [[["段"], [{"choice": ["a", "b"]}], ""]]},
     r"\[0\]\[1\]\[0\]: no key 'question', found choice"),
    ("chid", {"dev.json": CHID}, "dev_answer.json: no such file; expected the answers of"),
    ("chid", {"dev.json": CHID, "dev_answer.json": {"#idiom000001#": 0}},
     r"dev.json line 1 content\[0\] #idiom000002#: no answer in .*dev_answer.json"),
    ("chid", {"dev.json": CHID, "dev_answer.json": dict(CHID_ANSWERS, **{"#idiom000001#": 3})},
     "dev_answer.json #idiom000001#: found 3, expected an index from 0 to 2 or one of "),
    ("jsonl", {"dev.jsonl": "{"}, "dev.jsonl line 1 column 2: not JSON"),
    ("jsonl", {"dev.jsonl": "[]"}, r"dev.jsonl: no questions in this file$"),
    ("jsonl", {"dev.jsonl": dict(OWN, answer=True)},
     'answer: found true, expected an index from 0 to 2 or one of \\["红的", "蓝的", "黑的"\\]$'),
    ("jsonl", {"dev.jsonl": dict(OWN, answer=-1)}, "answer: found -1, expected an index from 0 to"),
    ("jsonl", {"dev.jsonl": dict(OWN, choices=[[], 2])}, r"choices\[0\]: found \[\], expected a t"),
    ("jsonl", {"dev.jsonl": dict(OWN, choices=[1, 2], answer=1)},
     "answer: found 1, expected the text of a choice in quotes, as the choices are numbers too$"),
    ("jsonl", {"dev.jsonl": dict(OWN, id=[1])}, r"line 1 id: found \[1\], expected a text$"),
])
def test_bad_files(tmp_path, name, files, message):
    for file_name, value in files.items():
        write(tmp_path / file_name, value)
    with pytest.raises(UserError, match=message):
        task_of(name, tmp_path).examples("dev")


@pytest.mark.skipif(not os.path.isdir(C3_DATA), reason="CLUE's C3 is not there")
def test_the_real_c3():
    task = choice.Choice("c3", choice_data.DATASETS["c3"], C3_DATA)
    counts = {split: len([example for example in task.examples(split) if example.group == "m"])
              for split in ("train", "dev")}
    assert counts == {"train": 6013, "dev": 1991}


def test_the_choice_takes_the_place_of_the_blank():
    assert choice_windows.join("Tom is _ .", "a boy", True) == "Tom is a boy ."
    assert choice_windows.join("小明____了。", r"\1走", True) == r"小明\1走了。"
    assert choice_windows.join("Who?", "Tom", True) == "Who? Tom"
    assert choice_windows.join("", "一心一意", True) == "一心一意"


def test_only_race_has_blanks_in_its_questions():
    assert choice_windows.join("What is foo_bar?", "a name", False) == "What is foo_bar? a name"
    assert [name for name, dataset in choice_data.DATASETS.items() if dataset.fills_blanks] == [
        "race"]


def test_c3_under_its_authors_names(tmp_path):
    for part in "md":
        write(tmp_path / ("c3-%s-dev.json" % part), C3)
    by_directory = task_of("c3", tmp_path).examples("dev")
    assert [example.group for example in by_directory] == ["m", "m", "d", "d"]
    parts = ",".join(str(tmp_path / ("c3-%s-dev.json" % part)) for part in "md")
    assert task_of("c3", None, custom_files={"dev": parts}).examples("dev") == by_directory
    with pytest.raises(UserError, match="--dev_file=.*c3-x-dev.json: no such file"):
        task_of("c3", None, custom_files={"dev": parts + ",c3-x-dev.json"}).path("dev")


def test_answers_are_counted_by_position(tmp_path, said):
    equal = dict(OWN, choices=["a", "a"], answer=0)
    write(tmp_path / "dev.jsonl", [OWN, dict(OWN, answer=2), equal])
    assert said(task_of("jsonl", tmp_path).examples, "dev")[1] == [
        "dev.jsonl: 3 questions; positions of the answers: 0 1, 1 1, 2 1",
        "dev.jsonl: in 1 questions another choice is the same text as the answer; the first one "
        "counts"]
    for answer in (None, "", -1, "-1"):
        write(tmp_path / "test.jsonl", dict(OWN, answer=answer))
        examples, messages = said(task_of("jsonl", tmp_path).examples, "test")
        assert examples[0].label is None and messages == ["test.jsonl: 1 questions; no answers"]


def test_bad_questions_are_counted_where_they_may_be_skipped(tmp_path, said, caplog):
    write(tmp_path / "dev.jsonl", "\n".join(
        json.dumps(record) for record in (OWN, dict(OWN, answer=7), [1], OWN)) + "\n{")
    task = choice.Choice("jsonl", choice_data.DATASETS["jsonl"], str(tmp_path),
                         skip_bad_lines=True)
    examples, messages = said(task.examples, "dev")
    assert [example.id for example in examples] == ["dev-1", "dev-4"]
    assert "dev.jsonl: 3 bad lines are left out; the first: " in caplog.messages[0]


def test_questions_of_a_submission_have_ids_of_their_own(tmp_path):
    record = [["段"], [dict(WHO, id=7), dict(WHEN, id=7)], "1-1"]
    write(tmp_path / "test1.0.json", [record])
    with pytest.raises(UserError, match=r"\[0\]\[1\]\[1\]: id 7, which .* has already"):
        task_of("c3", tmp_path).examples("test")


def test_featurize(tokenizer):
    first = "".join(tiny.CHARACTERS[:20])
    example = base_question(passage=(first,), question=tiny.CHARACTERS[30],
                            choices=[tiny.CHARACTERS[40], "".join(tiny.CHARACTERS[50:59])], label=1)
    task = task_of("jsonl", "", max_qa_length=4)
    features, = task.featurize(example, tokenizer, 16)
    assert features["lengths"].tolist() == [16, 16] and features["label_ids"].tolist() == [1]
    assert text_of(tokenizer, features["input_ids"][0]) == (
        "[CLS]%s[SEP]%s%s[SEP]" % (first[:11], tiny.CHARACTERS[30], tiny.CHARACTERS[40]))
    # The last 4 of 10 tokens of question and choice.
    assert text_of(tokenizer, features["input_ids"][1]) == (
        "[CLS]%s[SEP]%s[SEP]" % (first[:9], "".join(tiny.CHARACTERS[55:59])))
    assert features["segment_ids"].tolist() == [[0] * 13 + [1] * 3, [0] * 11 + [1] * 5]
    short, = task.featurize(example._replace(passage=(first[:2],)), tokenizer, 16)
    assert short["lengths"].tolist() == [7, 9] and short["input_ids"].shape == (2, 9)
    assert short["input_ids"][0, 7:].tolist() == short["segment_ids"][0, 7:].tolist() == [0, 0]


def base_question(**changes):
    values = {"id": "1", "location": "file line 1", "passage": ("",), "blank": None, "question": "",
              "choices": ["a", "b"], "label": 0, "group": None}
    return choice_data.Question(**dict(values, **changes))


def test_featurize_leaves_at_least_half_to_the_passage(tokenizer):
    passage, question = "".join(tiny.CHARACTERS[:20]), "".join(tiny.CHARACTERS[20:60])
    example = base_question(passage=(passage,), question=question, choices=["", passage[:1]])
    features, = task_of("jsonl", "").featurize(example, tokenizer, 15)
    assert text_of(tokenizer, features["input_ids"][1]) == (
        "[CLS]%s[SEP]%s%s[SEP]" % (passage[:6], question[-5:], passage[0]))


def test_blanks_and_the_window_around_the_asked_one(tmp_path, tokenizer):
    parts = ["".join(tiny.CHARACTERS[begin:begin + 10]) for begin in (0, 10, 20)]
    example = base_question(passage=tuple(parts), blank=1, choices=[parts[0][:4], parts[1][:4]])
    ids, middle = choice_windows.passage_ids(example, tokenizer)
    assert (len(ids), middle, ids[middle]) == (35, 24, tokenizer.mask_id)
    assert ids[10:14] == [tokenizer.mask_id] * 4
    features, = task_of("chid", "").featurize(example, tokenizer, 16)
    assert text_of(tokenizer, features["input_ids"][0]) == "[CLS]%s[MASK]%s[SEP]%s[SEP]" % (
        parts[1][-4:], parts[2][:4], parts[0][:4])
    own = tiny.write_vocab(tmp_path / "unused.txt", ["[unused1]"] + tiny.CHARACTERS)
    ids, middle = choice_windows.passage_ids(example, tokenization.load_tokenizer(own))
    assert ids[middle] == 5


def test_window():
    ids = list(range(10))
    assert choice_windows.window(ids, None, 3) == [0, 1, 2]
    assert choice_windows.window(ids, 5, 4) == [3, 4, 5, 6]
    assert choice_windows.window(ids, 0, 4) == [0, 1, 2, 3]
    assert choice_windows.window(ids, 9, 4) == [6, 7, 8, 9]
    assert choice_windows.window(ids, 5, 20) == ids
    assert choice.excerpt(base_question(passage=("a", "b", "c"), blank=1)) == "a…b____c"


def losses(task, batches):
    """(losses, probabilities) of batches of features that stand for one model's outputs."""
    found = []
    with tf.Graph().as_default(), tf.Session() as session:
        weights = None
        for pooled, mask, labels in batches:
            with tf.variable_scope(tf.get_variable_scope(), reuse=weights):
                found.append(task.build(
                    tiny.config(), FakeModel(tf.constant(pooled, tf.float32)),
                    {"input_mask": tf.constant(mask, tf.int32), "label_ids": tf.constant(labels)},
                    is_training=False))
            weights = True
        session.run(tf.global_variables_initializer())
        return session.run(found)


class FakeModel(object):
    def __init__(self, pooled):
        self._pooled = pooled

    def get_pooled_output(self):
        return self._pooled


def test_padding_does_not_count():
    rng = np.random.RandomState(0)
    sizes, labels = (2, 4, 3), [1, 3, 0]
    pooled = rng.randn(3, 4, 16) * 20
    mask = np.zeros([3, 4, 5], int)
    for row, size in enumerate(sizes):
        mask[row, :size, :2] = 1
    alone = [(pooled[row, :size], mask[row:row + 1, :size], labels[row:row + 1])
             for row, size in enumerate(sizes)]
    together, *separate = losses(task_of("jsonl", ""), [
        (pooled.reshape(12, 16), mask, labels)] + alone)
    np.testing.assert_allclose(together[0], np.concatenate([loss for loss, _ in separate]),
                               rtol=1e-5)
    for row, size in enumerate(sizes):
        np.testing.assert_allclose(together[1]["probabilities"][row, :size],
                                   separate[row][1]["probabilities"][0], atol=1e-6)
        assert not together[1]["probabilities"][row, size:].any()


def scored():
    """Four questions of 2 to 4 choices, two of them right, and a padded table of probabilities."""
    examples = [
        base_question(id="1", label=0, group="high"),
        base_question(id="2", label=2, choices=["a", "b", "c", "d"], group="middle"),
        base_question(id="3", label=1, choices=["a", "b"], group="high"),
        base_question(id="4", label=0, choices=["a", "b", "c", "d"], group="high",
                      question="谁?", passage=("长" * 200,))]
    rows = np.array([[0.5, 0.25, 0.9, 0], [0.1, 0.2, 0.6, 0.1], [0.7, 0.3, 0, 0],
                     [0.25, 0.75, 0, 0]])
    return examples, {"probabilities": rows, "example": np.arange(4)}


def test_scores():
    scores = task_of("race", "").score(*scored())
    assert scores == {
        "accuracy": 0.5, "accuracy_high": pytest.approx(1 / 3), "accuracy_middle": 1.0,
        "chance_accuracy": 0.375, "majority_accuracy": 0.5,
        "loss": pytest.approx(-np.mean(np.log([0.5, 0.6, 0.3, 0.25])))}
    assert "no better than guessing (0.3750 by chance" in task_of("race", "").warning(scores)
    assert task_of("race", "").warning(dict(scores, accuracy=0.51)) is None
    examples, predictions = scored()
    with pytest.raises(UserError, match="file line 1: no answer; answers are needed to evaluate"):
        task_of("race", "").score([examples[0]._replace(label=None)], predictions)


def test_errors():
    rows = list(task_of("race", "").errors(*scored()))
    assert [row["id"] for row in rows] == ["3", "4"]
    assert dict(rows[1]) == {
        "id": "4", "place": "file line 1", "question": "谁?", "passage": "长" * 100 + "…",
        "chosen": "b", "right": "a", "probability_chosen": "0.7500", "probability_right": "0.2500"}


def test_predictions(tmp_path):
    path = tmp_path / "dev_predictions.json"
    assert task_of("race", "").write_predictions(str(tmp_path), "dev", *scored()) == [str(path)]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        "id": "1", "answer": 0, "text": "a", "probabilities": [0.5, 0.25]}
    assert [len(line["probabilities"]) for line in lines] == [2, 4, 2, 4]


@pytest.mark.parametrize("name, test_file, submission, text", [
    ("c3", "test1.0.json", "c310_predict.json", '{"id": 0, "label": 0}\n{"id": 1, "label": 1}\n'),
    ("c3", "test1.1.json", "c311_predict.json", '{"id": 0, "label": 0}\n{"id": 1, "label": 1}\n'),
    ("chid", "test.json", "chid10_predict.json", '{\n"0": 0,\n"1": 1\n}\n'),
])
def test_submissions(tmp_path, name, test_file, submission, text):
    write(tmp_path / test_file, "")
    examples = [base_question(id=number if name == "c3" else str(number)) for number in range(2)]
    paths = task_of(name, tmp_path).write_predictions(
        str(tmp_path), "test", examples, {"probabilities": np.eye(2)})
    assert [os.path.basename(path) for path in paths] == ["test_predictions.json", submission]
    assert (tmp_path / submission).read_text() == text


def write_toy(path, count, seed, answers=True):
    """Questions of 2 to 4 choices; the right one has character 0, and the passage is noise."""
    rng = np.random.RandomState(seed)
    lines = []
    for _ in range(count):
        choices = ["".join(tiny.CHARACTERS[index] for index in rng.randint(1, 20, 3))
                   for _ in range(rng.randint(2, 5))]
        answer = rng.randint(len(choices))
        choices[answer] = tiny.CHARACTERS[0] + choices[answer][1:]
        line = {"context": "".join(tiny.CHARACTERS[index] for index in rng.randint(1, 20, 5)),
                "question": tiny.CHARACTERS[21], "choices": choices, "answer": int(answer)}
        if not answers:
            del line["answer"]
        lines.append(json.dumps(line, ensure_ascii=False))
    write(path, "\n".join(lines))


def run(here, **changes):
    values = {"task_name": "jsonl", "data_dir": here, "vocab_file": here / "vocab.txt",
              "output_dir": here / "out", "bert_config_file": here / "config.json",
              "max_seq_length": 24, "train_batch_size": 16, "learning_rate": 0.005,
              "num_train_epochs": 4, "eval_every_steps": 40}
    run_race.main(tiny.parse(run_race.define_flags, **dict(values, **changes)))


@pytest.mark.slow
def test_learns(tmp_path):
    for split, count, seed in (("train", 320, 0), ("dev", 80, 1), ("test", 20, 2)):
        write_toy(tmp_path / (split + ".jsonl"), count, seed, answers=split != "test")
    tiny.write_config(tmp_path / "config.json")
    tiny.write_vocab(tmp_path / "vocab.txt")
    run(tmp_path, do_train=True, do_eval=True, do_predict=True)
    scores = tiny.results(tmp_path / "out")
    assert scores["accuracy"] > 0.9 and scores["chance_accuracy"] < 0.4
    predictions = [json.loads(line) for line in (
        tmp_path / "out" / "test_predictions.json").read_text(encoding="utf-8").splitlines()]
    told = [tiny.CHARACTERS[0] in prediction["text"] for prediction in predictions]
    assert len(told) == 20 and np.mean(told) > 0.8


def test_flags():
    flags = tiny.parse(run_race.define_flags)
    assert (flags.task_name, flags.max_seq_length, flags.max_qa_length) == ("race", 512, 128)
    flags = tiny.parse(run_race.define_flags, middle_only=True, data_dir="/none")
    with pytest.raises(UserError, match="no .txt files in /none/train/middle"):
        run_race.create_task(flags).examples("train")


@pytest.mark.parametrize("name, exists", [
    ("train.tf_record", False), ("features.tfrecord", True), ("features.tfrecords", False),
    ("train_features", True)])
def test_googles_files_of_features_are_ignored(tmp_path, caplog, name, exists):
    """Google's --train_file is where features are written to, or read from if it exists."""
    write_race(tmp_path, "train")
    write_race(tmp_path, "train", level="middle")
    if exists:
        tiny.write_records(tmp_path / name)
    flags = tiny.parse(run_race.define_flags, data_dir=tmp_path, train_file=tmp_path / name)
    with caplog.at_level("INFO", "albert"):
        assert len(run_race.create_task(flags).examples("train")) == 4
    assert caplog.messages[:1] == [
        "--train_file=%s is ignored: it names a file of features, which are kept in --cache_dir; "
        "the questions are those of --data_dir" % (tmp_path / name)]


def test_googles_names_of_the_files(tmp_path):
    write(tmp_path / "dev.jsonl", OWN)
    write(tmp_path / "test.jsonl", "\n".join([json.dumps(OWN)] * 2))
    task = run_race.create_task(tiny.parse(
        run_race.define_flags, task_name="jsonl", data_dir="/none",
        eval_file=tmp_path / "dev.jsonl", predict_file=tmp_path / "test.jsonl"))
    assert [len(task.examples(split)) for split in ("dev", "test")] == [1, 2]
    task = run_race.create_task(tiny.parse(run_race.define_flags, eval_file="/none/features"))
    with pytest.raises(UserError, match="--dev_file=/none/features: no such file"):
        task.examples("dev")


@pytest.mark.parametrize("changes, message", [
    ({"task_name": "raec"}, "--task_name=raec: no such task, expected one of c3, chid, jsonl, "
                            "race; did you mean race\\?$"),
    ({"high_only": True, "middle_only": True}, "--high_only and --middle_only leave nothing"),
    ({"task_name": "c3", "high_only": True}, "--high_only: this data set has no levels"),
    ({"data_dir": ""}, "--data_dir is missing; name the directory of the data"),
    ({"train_file": "/none"}, "--train_file=/none: no such file"),
])
def test_refused(changes, message):
    with pytest.raises(UserError, match=message):
        run_race.create_task(tiny.parse(run_race.define_flags, **dict(
            {"data_dir": "/none"}, **changes))).examples("train")
