"""Scores of extracted answers, computed by hand after the official scripts."""

import numpy as np
import pytest

from tasks import reading_scores
from tasks.reading_scores import EVALUATIONS

EN, ZH = EVALUATIONS["en"], EVALUATIONS["zh"]


@pytest.mark.parametrize("text, normal", [
    ("The  Denver Broncos!", "denver broncos"),
    ("an apple, a day", "apple day"),
    ("Anna's theory", "annas theory"),  # articles are whole words
    ("a-b the-n", "ab then"),           # punctuation goes before articles
    ("U.S.\tArmy\n", "us army"),
    ("“quoted” – 10%", "“quoted” – 10"),  # ASCII punctuation only
    ("The", ""),
    ("", ""),
])
def test_normalize_english(text, normal):
    assert reading_scores.normalize_english(text) == normal


@pytest.mark.parametrize("text, normal", [
    ("《战国无双3》。", "战国无双3"), ("  Ω-Force： ", "ωforce"), ("U.S.（美国）", "u.s.美国"),
    ("……", "……"), ("（）", ""), ("", "")])
def test_normalize_chinese(text, normal):
    assert reading_scores.normalize_chinese(text) == normal


@pytest.mark.parametrize("text, words", [
    ("光荣和ω-Force", ["光", "荣", "和", "ωforce"]),
    ("約翰Smith說的の", ["約", "翰", "smith", "說", "的", "の"]),
    ("1,000元，3.14%", ["1,000", "元", "3.14", "%"]),
    ("Henry A. Walsh Jr.", ["henry", "a.", "walsh", "jr", "."]),
    ("it's, don't \"go\"", ["it", "'s", ",", "do", "n't", "``", "go", "''"]),
    ("(u.s.) [a;b] x...y?", ["(", "u.s.", ")", "[", "a", ";", "b", "]", "x", "...", "y", "?"]),
    ("cannot 'quote' we'll", ["can", "not", "'", "quote", "'", "we", "'ll"]),
    ("2019—2020年", ["2019", "—", "2020", "年"]),
    ("，。", []),
])
def test_chinese_words(text, words):
    assert reading_scores.chinese_words(text) == words


@pytest.mark.parametrize("first, second, length", [
    ("abcdef", "xbcdy", 3), ("abab", "ba", 2), ("abc", "acb", 1), ("abc", "abc", 3),
    ("abc", "x", 0), ("", "abc", 0), ("", "", 0)])
def test_common_run_is_contiguous(first, second, length):
    assert reading_scores.common_run(list(first), list(second)) == length


@pytest.mark.parametrize("prediction, texts, exact, f1", [
    ("the Denver Broncos", ["Denver Broncos"], 1, 1),
    ("Denver", ["Denver Broncos"], 0, 2 / 3),            # precision 1, recall 1/2
    ("Denver", ["Carolina", "Denver Broncos", "denver."], 1, 1),  # the best of all
    ("to be or not to be", ["to be to"], 0, 2 * .5 * 1 / 1.5),    # each word as often as in both
    ("", ["Denver"], 0, 0),
    (None, ["Denver"], 0, 0),
    ("the", ["a"], 1, 0),  # as the script of 1.1: equal, but no word in common
])
def test_english(prediction, texts, exact, f1):
    assert reading_scores.judge(prediction, texts, EN) == pytest.approx((exact, f1))


@pytest.mark.parametrize("prediction, texts, exact, f1", [
    ("《光荣》", ["光荣"], 1, 1),
    ("光荣和ω-force", ["光荣和ω-force"], 1, 1),
    ("光荣", ["光荣和ω-force"], 0, 2 * 1 * .5 / 1.5),          # 2 of 4 segments
    ("和ωforce开发", ["光荣和ω-force"], 0, .5),                # 2 of 4 both ways
    ("是光荣", ["光荣是"], 0, 2 / 3),                          # the run 光荣, not 3 characters
    ("是光荣", ["光荣是", "荣", "是"], 0, 2 / 3),
    ("光 荣", ["光荣"], 0, 1),                                 # exact match keeps spaces
    ("", ["光荣"], 0, 0),
    (None, ["光荣"], 0, 0),
])
def test_chinese(prediction, texts, exact, f1):
    assert reading_scores.judge(prediction, texts, ZH) == pytest.approx((exact, f1))


@pytest.mark.parametrize("prediction, texts, exact, f1", [
    ("是光荣", ["光荣是"], 0, 1),        # wherever the characters stand
    ("光 荣", ["光荣"], 0, 1),
    ("80%", ["8"], 0, 2 * 1 / 3 / (1 + 1 / 3)),
    ("光荣", ["《光荣》"], 1, 1)])
def test_drcd(prediction, texts, exact, f1):
    assert reading_scores.judge(prediction, texts, EVALUATIONS["drcd"]) == pytest.approx(
        (exact, f1))


@pytest.mark.parametrize("evaluation", [EN, ZH])
@pytest.mark.parametrize("prediction, texts, score", [
    ("", [], 1), ("x", [], 0), (None, [], 0), ("", ["x"], 0), ("x", ["x"], 1), (None, ["x"], 0),
    ("", [":"], 1), ("-", [], 1)])  # what punctuation alone is after normalizing
def test_questions_without_answer(evaluation, prediction, texts, score):
    assert reading_scores.judge_with_negative(prediction, texts, evaluation) == (score, score)


def test_squad_is_the_mean_in_percent():
    golds = {"a": ["Denver Broncos"], "b": ["1996", "96"], "c": ["x"], "missing": ["y"]}
    predictions = {"a": "Denver", "b": "the 96", "c": "", "of no question": "z"}
    assert reading_scores.squad(golds, predictions, EN) == pytest.approx(
        {"exact_match": 25.0, "f1": 100 * (2 / 3 + 1) / 4})


GOLDS = {"a": ["x y"], "b": ["z"], "c": [], "d": []}
ANSWERS = {"a": "x", "b": "z", "c": "w", "d": ""}
ODDS = {"a": -2.0, "b": 1.0, "c": 3.0, "d": 4.0}


@pytest.mark.parametrize("threshold, predictions, exact, f1", [
    (0.0, ["x", "", "", ""], 50, 100 * (2 / 3 + 0 + 1 + 1) / 4),
    (1.0, ["x", "z", "", ""], 75, 100 * (2 / 3 + 3) / 4),  # odds equal to it: answered
    (5.0, ["x", "z", "w", ""], 50, 100 * (2 / 3 + 2) / 4),
    (-3.0, ["", "", "", ""], 50, 50),
])
def test_threshold(threshold, predictions, exact, f1):
    answers = reading_scores.apply_threshold(ANSWERS, ODDS, threshold)
    assert [answers[name] for name in "abcd"] == predictions
    scores = reading_scores.squad2(GOLDS, ANSWERS, ODDS, threshold, EN)
    assert scores["exact_match"] == exact and scores["f1"] == pytest.approx(f1)
    # From answering none (2 right) to a and b: 2 + 2/3 + 1; c then costs one.
    assert scores["best_f1"] == pytest.approx(100 * (2 + 2 / 3 + 1) / 4)
    assert scores["best_exact"] == 75
    assert scores["best_f1_thresh"] == scores["best_exact_thresh"] == 1.0


def test_with_and_without_answer_apart():
    scores = reading_scores.squad2(GOLDS, ANSWERS, ODDS, 3.5, EN)
    assert {name: scores[name] for name in scores if "best" not in name} == pytest.approx({
        "exact_match": 50, "f1": 100 * (2 / 3 + 2) / 4, "total": 4,
        "HasAns_exact": 50, "HasAns_f1": 100 * (2 / 3 + 1) / 2, "HasAns_total": 2,
        "NoAns_exact": 50, "NoAns_f1": 50, "NoAns_total": 2})
    of_one_kind = reading_scores.squad2({"a": ["x"]}, {"a": "x"}, {"a": 0.0}, 0.0, EN)
    assert of_one_kind["HasAns_f1"] == 100 and "NoAns_f1" not in of_one_kind


def test_best_is_never_to_answer():
    scores = reading_scores.squad2({"a": ["x"], "b": []}, {"a": "y", "b": "y"},
                                   {"a": -1.0, "b": -2.0}, 0.0, EN)
    assert (scores["f1"], scores["best_f1"], scores["best_f1_thresh"]) == (0, 50, 0)


def test_question_without_prediction_is_wrong():
    scores = reading_scores.squad2({"a": ["x"], "b": []}, {}, {}, 0.0, EN)
    assert (scores["f1"], scores["best_f1"]) == (0, 50)


def best_threshold_of_the_script(odds, gains, start):
    """As SQuAD 2.0's script goes through the questions."""
    score = best = start
    threshold = 0.0
    for question in sorted(range(len(odds)), key=odds.__getitem__):
        score += gains[question]
        if score > best:
            best, threshold = score, odds[question]
    return best, threshold


def test_best_threshold_is_the_scripts_to_the_last_bit():
    rng = np.random.RandomState(0)
    for _ in range(300):
        gains = rng.choice([-1, 0, 1 / 3, 2 / 3, 0.2, 1.0], rng.randint(12))
        odds, start = rng.choice(8, len(gains)) / 7, rng.randint(3)
        assert reading_scores.best_threshold(odds, gains, start) == (
            best_threshold_of_the_script(odds.tolist(), gains.tolist(), start))
