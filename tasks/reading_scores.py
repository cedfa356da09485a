"""Scores of extracted answers, equal to those of the official scripts of SQuAD and CMRC2018.

    squad({"q1": ["Denver Broncos"]}, {"q1": "the Denver Broncos"}, EVALUATIONS["en"])
    # {"exact_match": 100.0, "f1": 100.0}

Gold answers are {question id: list of texts}, an empty list where the question has no answer;
predictions are {question id: text}. Scores are percentages, and a question without prediction
counts as wrong.
"""

import collections
import re
import string

import numpy as np

# How a language is judged. normalize: text -> what exact match compares; words: text -> list of
# what F1 counts; common: two such lists -> how many words they share; has_average: whether the mean
# of exact match and F1 is a score of its own.
Evaluation = collections.namedtuple("Evaluation", "normalize words common has_average")

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)

# What cmrc2018_evaluate.py leaves out. Its list has "……" too, which no single character equals.
_CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_IDEOGRAPHS = re.compile("([一-龥])")

# cmrc2018_evaluate.py cuts all but ideographs with nltk.word_tokenize, which follows the Penn
# Treebank. These are its rules for lower-case text without the punctuation above. That it looks
# for the ends of sentences before is left out: answers are phrases, and it needs a model for it.
_TREEBANK = tuple((re.compile(pattern), replacement) for pattern, replacement in (
    (r"[«‘„]", r" \g<0> "),
    (r"^\"", " `` "),
    (r"([ (\[{<])(?:\"|'')", r"\1 `` "),
    (r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
    (r"(?<=[^.])\.(?=[\])}>\"'» ]*$)", " . "),                 # the last one, not those of "u.s."
    (r"\.{2,}|[;@#$%&?!()\[\]{}<>»‒–—―]|,(?!\d)", r" \g<0> "),  # "1,000" is one word
    (r"\"|''", " '' "),
    (r"(?<=[^'\s])'[smd]?(?=\s|$)", r" \g<0>"),
    (r"(?<=[^'\s])(?:'ll|'re|'ve|n't)(?=\s|$)", r" \g<0>"),
    (r"\b(can(?=not)|d(?='ye)|gim(?=me)|gon(?=na)|got(?=ta)|lem(?=me)|more(?='n)"
     r"|wan(?=na(?:\s|$)))(not|'ye|me|na|ta|'n)\b", r" \1 \2 "),
    (r"(?<=\s)('t)(is|was)\b", r" \1 \2 "),
))


def normalize_english(text):
    """Lower case, without punctuation, articles and superfluous white space (as SQuAD).

    normalize_english("The  U.S. army") -> "us army"
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def english_words(text):
    """english_words("The  U.S. army") -> ["us", "army"]"""
    return normalize_english(text).split()


def common_words(first, second):
    """How many words two lists share, each as often as it stands in both."""
    return sum((collections.Counter(first) & collections.Counter(second)).values())


def normalize_chinese(text):
    """Lower case, without punctuation (as CMRC2018): "《Ω-Force》" -> "ωforce"."""
    return text.lower().strip().translate(_CMRC_PUNCTUATION)


def chinese_words(text):
    """Ideographs one by one, the rest by words: "光荣it's" -> ["光", "荣", "it", "'s"]."""
    words = []
    for number, part in enumerate(_IDEOGRAPHS.split(normalize_chinese(text))):
        if number % 2:  # what the pattern found
            words.append(part)
        elif part:
            for pattern, replacement in _TREEBANK:
                part = pattern.sub(replacement, part)
            words += part.split()
    return words


def characters(text):
    """A normalized text without white space, as a list: "《光荣 a》" -> ["光", "荣", "a"]."""
    return list("".join(normalize_chinese(text).split()))


def common_run(first, second):
    """The length of the longest run of words that stands in both lists."""
    if first == second:
        return len(first)
    longest, previous = 0, [0] * (len(second) + 1)
    for word in first:
        # Lengths of the runs that end at `word` and at every word of `second`.
        current = [0] + [length + 1 if word == other else 0
                         for length, other in zip(previous, second)]
        longest, previous = max(longest, max(current)), current
    return longest


EVALUATIONS = {
    "en": Evaluation(normalize_english, english_words, common_words, False),
    "zh": Evaluation(normalize_chinese, chinese_words, common_run, True),
    # DRCD's authors ship no script: SQuAD's overlap, of characters.
    "drcd": Evaluation(normalize_chinese, characters, common_words, False),
}


def exact_match(prediction, gold, evaluation):
    """1.0 if two texts are equal when normalized, else 0.0."""
    return float(evaluation.normalize(prediction) == evaluation.normalize(gold))


def f1(prediction, gold, evaluation):
    """The harmonic mean of how much of the prediction and of the gold text they share."""
    predicted_words, gold_words = evaluation.words(prediction), evaluation.words(gold)
    common = evaluation.common(gold_words, predicted_words)
    if not common:
        return 0.0
    precision, recall = common / len(predicted_words), common / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def judge(prediction, texts, evaluation):
    """(exact match, F1) of a prediction, each with the gold text that suits it best.

    None, where there is no prediction, is wrong.
    """
    if prediction is None:
        return 0.0, 0.0
    texts = set(texts)  # people often agree
    return (max(exact_match(prediction, text, evaluation) for text in texts),
            max(f1(prediction, text, evaluation) for text in texts))


def judge_with_negative(prediction, texts, evaluation):
    """`judge` where texts may be none: then the empty prediction alone is right (as SQuAD 2.0)."""
    texts = [text for text in texts if evaluation.normalize(text)]
    if texts or prediction is None:
        return judge(prediction, texts, evaluation)
    return (exact_match(prediction, "", evaluation),) * 2


def squad(golds, predictions, evaluation):
    """Scores where every question has an answer (SQuAD 1.1's and CMRC2018's scripts).

    Returns:
      {"exact_match", "f1"} in percent.
    """
    judged = [judge(predictions.get(question), texts, evaluation)
              for question, texts in golds.items()]
    return _percent(judged, "exact_match", "f1")


def _percent(judged, exact_name, f1_name):
    """[N, 2] of exact match and F1 -> {name: mean in percent}."""
    exact, overlap = 100.0 * np.mean(judged, axis=0)
    return {exact_name: float(exact), f1_name: float(overlap)}


def squad2(golds, answers, null_odds, threshold, evaluation):
    """Scores where questions may have no answer, under the names of SQuAD 2.0's script.

    Args:
      answers: {question id: the best text that is not empty, if there was any}.
      null_odds: {question id: how much higher the score of "no answer" is}.
      threshold: above which odds "no answer" is predicted.

    Returns:
      "exact_match" and "f1" in percent, the same of questions with (HasAns_) and without (NoAns_)
      answer with their number, and best_exact and best_f1 at best_exact_thresh and best_f1_thresh.
    """
    predictions = apply_threshold(answers, null_odds, threshold)
    judged = np.array([judge_with_negative(predictions.get(question), texts, evaluation)
                       for question, texts in golds.items()])  # [questions, 2]
    has_answer = np.array([bool(texts) for texts in golds.values()])
    scores = dict(_percent(judged, "exact_match", "f1"), total=len(golds))
    for prefix, among in (("HasAns", has_answer), ("NoAns", ~has_answer)):
        if among.any():
            scores.update(_percent(judged[among], prefix + "_exact", prefix + "_f1"))
            scores[prefix + "_total"] = int(among.sum())
    asked = [question for question in golds if question in answers]
    raw = np.array([judge_with_negative(answers[question], golds[question], evaluation)
                    for question in asked]).reshape(-1, 2)
    odds = np.array([null_odds[question] for question in asked])
    # Answering where there is no answer loses the point that "no answer" has.
    losses = np.array([-float(bool(answers[question])) for question in asked])
    known = np.array([bool(golds[question]) for question in asked], bool)
    for column, name in enumerate(("exact", "f1")):
        best, at = best_threshold(
            odds, np.where(known, raw[:, column], losses), (~has_answer).sum())
        scores["best_" + name] = 100.0 * best / len(golds)
        scores["best_%s_thresh" % name] = at
    return scores


def apply_threshold(answers, null_odds, threshold):
    """{question id: its answer, or "" where the odds of "no answer" exceed the threshold}."""
    return {question: "" if null_odds[question] > threshold else answer
            for question, answer in answers.items()}


def best_threshold(null_odds, gains, start):
    """(highest sum, threshold) over all thresholds of the odds of "no answer".

    Args:
      null_odds: float [N] of the questions.
      gains: float [N], what answering each of them adds.
      start: the sum when none is answered, with threshold 0 (as SQuAD 2.0's script).
    """
    order = np.argsort(null_odds, kind="stable")
    # One after another from `start`, as the script adds: sums that are nearly equal decide.
    sums = np.cumsum(np.append(start, gains[order]).astype(np.float64))
    best = sums.argmax()  # the first of equal ones, that of no answer before all
    return float(sums[best]), float(null_odds[order[best - 1]]) if best else 0.0
