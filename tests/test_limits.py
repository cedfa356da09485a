"""What bounds scores from above: [UNK], texts that are cut, gold that no prediction can be."""

import pytest

import tiny
import tokenization
from finetuning import limits
from tasks import (
    choice,
    choice_data,
    classification,
    classification_data,
    reading,
    reading_data,
    tag_schemes,
    tagging,
    tagging_data,
)


@pytest.fixture
def tokenizer(tmp_path):
    return tokenization.load_tokenizer(tiny.write_vocab(
        tmp_path / "vocab.txt", list("天地玄黄宇宙8%") + ["80", "##%", "ab", "##cd"]))


def counted(task, examples, tokenizer, length=16):
    """A Limits of some examples."""
    found = limits.Limits()
    for example in examples:
        windows = list(task.featurize(example, tokenizer, length))
        found.add(task, example, windows, tokenizer, length)
    return found


def numbers(found):
    """{"what which": [how many, of how many]} of those above 0."""
    return {" ".join(key): value for key, value in found.counts.items() if value[0]}


def test_texts_that_are_cut(tokenizer):
    task = classification.Classification("lcqmc", classification_data.DATASETS["lcqmc"], None)
    task.setup()
    examples = [classification.Example("1", "", "天" * first, "地" * second, 0)
                for first, second in ((6, 7), (7, 7), (20, 1))]
    assert numbers(counted(task, examples, tokenizer)) == {
        "texts are longer than --max_seq_length=16 and are cut": [2, 3]}


def answer(context, begin, end, *more):
    texts = (context[begin:end],) + more
    return reading_data.Question("q", "", "天", context, reading_data.Label(texts, begin, end))


INSIDE = "answers begin or end inside a token, so no prediction of them is exact"
LONG = "answers have more tokens than --max_answer_length=3, so they cannot be predicted"


@pytest.mark.parametrize("example, sentence", [
    (answer("80%地", 0, 1), INSIDE),
    (answer("80%地", 0, 1, "地"), None),            # another gold answer can be predicted
    (answer("80%地8", 0, 1), None),                 # and so can the same text elsewhere
    (answer("，天，地", 0, 2), None),               # punctuation does not count in scores
    (answer("天地玄黄", 0, 4), LONG),
    (reading_data.Question("q", "", "天" * 5, "地", None),
     "questions are longer than --max_query_length=4 and are cut")])
def test_answers_that_cannot_be_predicted(tokenizer, example, sentence):
    task = reading.Reading("own", reading_data.Dataset({}, "zh"), None, max_query_length=4,
                           max_answer_length=3)
    assert numbers(counted(task, [example], tokenizer)) == ({sentence: [1, 1]} if sentence else {})


def test_entities_that_cannot_be_predicted(tokenizer, tmp_path):
    dataset = tagging_data.custom_dataset("conll", ["A"])
    task = tagging.Tagging("conll", dataset, None, scheme="BIO")
    task.setup()
    text = "天abcd地\u200b玄"
    entities = [tag_schemes.Entity("A", *span) for span in ((0, 1), (2, 5), (6, 7), (7, 8))]
    example = tagging_data.Sentence("1", "", text, range(8), range(1, 9), entities)
    assert numbers(counted(task, [example], tokenizer)) == {
        "entities begin or end inside a token or in characters that have none, so they cannot be "
        "predicted": [2, 4]}
    assert not numbers(counted(task, [example._replace(entities=None)], tokenizer))


def test_questions_and_passages_that_are_cut(tokenizer):
    task = choice.Choice("jsonl", choice_data.DATASETS["jsonl"], None, max_qa_length=4)
    examples = [choice_data.Question(1, "", ("天" * length,), None, "地" * asked, ["玄", "黄"], 0,
                                     None)
                for length, asked in ((10, 2), (11, 2), (1, 4))]
    assert numbers(counted(task, examples, tokenizer)) == {
        "questions have a choice with which they are longer than 4 tokens (--max_qa_length, half "
        "of --max_seq_length) and lose their beginning": [1, 3],
        "passages are longer than --max_seq_length=16 leaves room for and are cut": [1, 3]}


def test_a_vocabulary_that_does_not_fit_is_told(tokenizer, tmp_path, said):
    task = classification.Classification("lcqmc", classification_data.DATASETS["lcqmc"], None)
    task.setup()
    example = classification.Example("1", "", "天洪荒洪", "天" * 6, 0)
    found = counted(task, [example], tokenizer)
    assert found.tokens == [3, 10]
    sentence = ("warning: dev: 30.0 % of the tokens are [UNK], most often 洪 荒; the vocabulary "
                "does not fit the text (check --vocab_file or --spm_model_file, and "
                "--do_lower_case)")
    assert said(found.say, "dev")[1] == [sentence]
    found.write(str(tmp_path / "limits.json"))
    assert said(limits.read(str(tmp_path / "limits.json")).say, "dev")[1] == [sentence]
    fitting = counted(task, [example._replace(text_a="天" * 200)], tokenizer, 300)
    assert not said(fitting.say, "dev")[1]
