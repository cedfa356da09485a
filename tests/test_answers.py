"""What a model's outputs say, by the family of the task."""

import json

import numpy as np
import pytest

import run_ner
import run_race
import run_squad
import tiny
from serving import answers, package, predictor


class Tokenizer(object):
    """A token a character."""

    cls_id, sep_id, mask_id = 2, 3, 4

    def encode(self, text):
        return [ord(char) for char in text]


def package_of(head, kind=None, labels=()):
    return package.Package(head, kind, list(labels), 16, Tokenizer(), None, None, "", "x")


def test_several_labels_and_a_number():
    family = answers.create(package_of("classification", "multi_label", ["a", "b"]), 5)
    fields = {"text": "xy", "text_b": None}
    rows = family.rows(fields)
    assert rows[0]["input_ids"].tolist() == [2, 120, 121, 3] and rows[0]["cut"] == 0
    answer = family.answer(fields, rows, [np.array([0.0, 3.0], np.float32)])
    assert answer["labels"] == ["b"] and answer["probabilities"]["a"] == 0.5
    number = answers.create(package_of("classification", "regression"), 5)
    assert number.answer(fields, rows, [np.array([1.5])]) == {"value": 1.5}


# ---- the same as --do_predict ----

CHARACTERS = tiny.CHARACTERS
# Texts of up to four windows.
RANDOM = np.random.RandomState(5)


def text(length):
    """Characters, a sentence's end now and then, and what tokenizers drop or skip."""
    return "".join(RANDOM.choice(CHARACTERS + [" ", "。", "\u200b"] * 3) for _ in range(length))


def texts(count):
    return [CHARACTERS[0] + text(RANDOM.randint(3, 45)) for _ in range(count)]


def tagging_files(here):
    found = texts(25)
    for split in ("train", "test"):
        (here / (split + ".jsonl")).write_text("".join(json.dumps(
            {"text": one, "label": {"PER": {one[:2]: [[0, 1]]}, "LOC": {one[2]: [[2, 2]]}}}) + "\n"
            for one in found), encoding="utf-8")
    return found


def word_files(here):
    found = [" ".join("".join(RANDOM.choice(CHARACTERS[:20], 3)) for _ in range(9))
             for _ in range(25)]
    for split in ("train", "test"):
        (here / (split + ".conll")).write_text("\n".join("".join(
            "%s %s\n" % (word, RANDOM.choice(["O", "B-PER", "I-PER"]))
            for word in ["一"] + one.split()) for one in found), encoding="utf-8")
    return ["一 " + one for one in found]


def reading_files(here):
    found = [(one, text(3) + CHARACTERS[3]) for one in texts(20)]
    (here / "squad.json").write_text(json.dumps({"data": [{"paragraphs": [
        {"context": context, "qas": [{"id": str(number), "question": question, "answers": [
            {"text": context[:2], "answer_start": 0}]}]}
        for number, (context, question) in enumerate(found)]}]}), encoding="utf-8")
    return found


def choice_files(here):
    found = [{"context": one, "question": text(5), "choices": [
        CHARACTERS[number] + text(9) for number in range(2 + index % 3)]}
        for index, one in enumerate(texts(20))]
    for split in ("train", "test"):
        (here / (split + ".jsonl")).write_text("".join(
            json.dumps(dict(item, answer=1)) + "\n" for item in found), encoding="utf-8")
    return found


def predicted(command, here, **changes):
    """Trains two steps and predicts, into out/."""
    tiny.write_config(here / "config.json", num_hidden_layers=1)
    tiny.write_vocab(here / "vocab.txt")
    command.main(tiny.parse(command.define_flags, **dict({
        "vocab_file": here / "vocab.txt", "output_dir": here / "out",
        "bert_config_file": here / "config.json", "max_seq_length": 16, "train_batch_size": 8,
        "train_step": 2, "do_train": True, "do_predict": True}, **changes)))


def made(here, **options):
    return predictor.load(str(here / "out"), vocab_file=str(here / "vocab.txt"), max_seq_length=16,
                          options=options)


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("files, flags", [
    (tagging_files, {"task_name": "jsonl", "scheme": "BIOES"}),
    (word_files, {"task_name": "conll", "joiner": " "})])
def test_entities_are_those_of_the_command(tmp_path, files, flags):
    items = files(tmp_path)
    predicted(run_ner, tmp_path, data_dir=tmp_path, **flags)
    expected = [line["entities"] for line in lines_of(tmp_path / "out" / "test_predictions.json")]
    found = made(tmp_path).predict(items)
    assert [answer["entities"] for answer in found] == expected
    assert len({entity["type"] for entities in expected for entity in entities}) > 0
    assert all(entity["text"] == item[entity["start"]:entity["end"]]
               for item, answer in zip(items, found) for entity in answer["entities"])


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("with_negative", [False, True])
def test_answers_are_those_of_the_command(tmp_path, with_negative):
    """Without and with questions that have none; a threshold that half of them exceed."""
    items, out = reading_files(tmp_path), tmp_path / "out"
    options = {"doc_stride": 4, "max_query_length": 3, "max_answer_length": 6, "n_best_size": 5}
    flags = dict(options, train_file=tmp_path / "squad.json", predict_file=tmp_path / "squad.json",
                 version_2_with_negative=with_negative)
    predicted(run_squad, tmp_path, **flags)
    if with_negative:
        options["null_score_diff_threshold"] = float(np.median(
            list(read_json(out / "null_odds.json").values())))
        predicted(run_squad, tmp_path, do_train=False, **dict(flags, **options))
    found = made(tmp_path, **options).predict(items)
    texts, n_best = (read_json(out / name) for name in (
        "predictions.json", "nbest_predictions.json"))
    assert [answer["answer"] for answer in found] == [texts[str(n)] for n in range(len(items))]
    assert {bool(answer["answer"]) for answer in found} == {True, not with_negative}
    for number, ((context, _), answer) in enumerate(zip(items, found)):
        listed = {one["text"]: one["probability"] for one in n_best[str(number)]}
        assert answer["probability"] == pytest.approx(listed[answer["answer"]], abs=1e-5)
        if answer["answer"]:
            assert context[answer["start"]:answer["end"]] == answer["answer"]
        else:
            assert answer["no_answer_odds"] > options["null_score_diff_threshold"]
            assert answer["start"] is None


@pytest.mark.slow
def test_choices_are_those_of_the_command(tmp_path):
    items = choice_files(tmp_path)
    predicted(run_race, tmp_path, data_dir=tmp_path, task_name="jsonl", max_qa_length=4)
    found = made(tmp_path, max_qa_length=4).predict(items)
    for answer, line in zip(found, lines_of(tmp_path / "out" / "test_predictions.json")):
        assert (answer["choice"], answer["text"]) == (line["answer"], line["text"])
        assert answer["probabilities"] == pytest.approx(line["probabilities"], abs=1e-5)
    assert found[0]["tokens_cut"] > 0


# ---- by hand ----

def test_texts_without_a_token():
    """Every family answers; there is nothing to find."""
    class NoTokens(Tokenizer):
        def encode(self, text):
            return []

        def encode_with_offsets(self, text):
            return [], [], []

    for head, fields, outputs, expected in (
            ("tagging", {"text": "\0"}, np.zeros([2, 3]), {"entities": []}),
            ("reading", {"context": "\0", "question": "\0"}, np.zeros([2, 2]),
             {"answer": "", "start": None, "end": None, "probability": 1.0, "score": 0.0})):
        found = package_of(head, labels=["O", "B-X", "I-X"] * (head == "tagging"))
        family = answers.create(found._replace(
            tokenizer=NoTokens(), options=package.options_of(head, {})), 5)
        rows = family.rows(fields)
        assert len(rows) == 1 and family.answer(fields, rows, [outputs]) == expected


def test_the_blank_that_is_asked_for():
    """ChID's: its neighbours are read, the other blank is four masks."""
    class Vocabulary(Tokenizer):
        vocab = {}

    family = answers.create(package_of("choice")._replace(
        tokenizer=Vocabulary(), max_seq_length=32, options={
            "max_qa_length": 4, "fills_blanks": False}), 5)
    for question, ids in (("#idiom000002#", [4, 4, 4, 4, 99, 100, 4]),
                          ("#idiom000001#", [4, 99, 100, 4, 4, 4, 4])):
        rows = family.rows({"context": "ab#idiom000001#cd#idiom000002#ef", "question": question,
                            "choices": ["xyz", "x"]})
        for row, choice in zip(rows, ([120, 121, 122], [120])):
            assert row["input_ids"].tolist() == [2, 97, 98] + ids + [101, 102, 3] + choice + [3]
            assert row["cut"] == 0
