"""Tagging: schemes, CoNLL and JSON files and every bad one, units and tokens, windows, learning."""

import collections
import json
import os

from util.errors import UserError

import numpy as np
import pytest
from seqeval.metrics import sequence_labeling

import run_ner
import tiny
import tokenization
from tasks import tag_schemes, tagging_data, tagging_windows
from tasks.bad_lines import BadLines
from tasks.tables import Source
from tasks.tag_schemes import Entity, decode, encode
from tasks.tagging import Tagging
from tasks.tagging_data import Conll, Dataset, JsonSpans

SHARED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data")
WEIBO = os.environ.get("WEIBO_NER_DIR") or os.path.join(SHARED, "weibo_ner")
ENTITIES = [Entity("PER", 0, 1), Entity("PER", 1, 4), Entity("LOC", 5, 7)]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def json_lines(path):
    with open(str(path), encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def read(table, path, text, split="dev", scheme=None, types=None):
    path = write(path, text)
    return list(table.sentences(path, table.read(path, split), split, scheme, types))


def survey(table, path, scheme=None):
    return table.survey(path, list(table.read(path, "train")), scheme)


@pytest.mark.parametrize("scheme, tags", [
    ("BIO", "B-PER B-PER I-PER I-PER O B-LOC I-LOC"),
    ("BMES", "S-PER B-PER M-PER E-PER O B-LOC E-LOC"),
    ("BIOES", "S-PER B-PER I-PER E-PER O B-LOC E-LOC")])
def test_schemes(scheme, tags):
    assert encode(ENTITIES, 7, scheme) == tags.split()
    assert decode(tags.split()) == ENTITIES


def test_round_trips_of_random_entities():
    rng = np.random.RandomState(0)
    for _ in range(200):
        ends = sorted(rng.choice(np.arange(1, 20), 6, replace=False).tolist())
        entities = [Entity(rng.choice(["A", "B-c"]), begin, end)
                    for begin, end in zip(ends[::2], ends[1::2])]
        for scheme in tag_schemes.SCHEMES:
            assert decode(encode(entities, 20, scheme)) == entities


@pytest.mark.parametrize("tags, entities", [
    ("O I-PER I-PER O", [("PER", 1, 3)]),
    ("B-LOC I-PER", [("LOC", 0, 1), ("PER", 1, 2)]),
    ("B-PER O M-PER E-PER M-PER", [("PER", 0, 1), ("PER", 2, 4), ("PER", 4, 5)]),
    ("E-PER S-PER I-PER", [("PER", 0, 1), ("PER", 1, 2), ("PER", 2, 3)]),
    ("O O", [])])
def test_illegal_sequences_are_read_as_conlleval_does(tags, entities):
    assert decode(tags.split()) == entities


@pytest.mark.parametrize("text", [
    "-DOCSTART- -X- O O\n\n我 x O\n在 x O\n北 x B-LOC\n京 x I-LOC\n\n\n好 x O\n",
    "\ufeff我\tO\r\n在\tO\r\n北\tB-LOC\r\n京\tI-LOC\r\n \t\r\n好\tO"])
def test_conll(tmp_path, text):
    first, second = read(Conll(), tmp_path / "f", text)
    assert (first.id, first.text, first.entities) == ("dev-1", "我在北京", [("LOC", 2, 4)])
    assert second.location.endswith("f line %d" % (9 if "DOC" in text else 6))
    assert (first.starts, first.ends) == ([0, 1, 2, 3], [1, 2, 3, 4])


def test_white_space_is_a_token(tmp_path):
    for text in ("a O\n  B-X\n\u3000 I-X\n", "a\tO\n \tB-X\n\u3000\tI-X\n"):
        sentence, = read(Conll(), tmp_path / "f", text)
        assert (sentence.text, sentence.entities) == ("a \u3000", [("X", 1, 3)])


def test_words_are_joined(tmp_path):
    sentence, = read(Conll(joiner=" "), tmp_path / "f", "New B-LOC\nYork I-LOC\nis O\n")
    assert (sentence.text, sentence.starts) == ("New York is", [0, 4, 9])
    with pytest.raises(UserError, match="Latin words, .* may have a space between .*--joiner=' '."):
        survey(Conll(), str(tmp_path / "f"))


def test_position_digits(tmp_path):
    text = "科0\tB-ORG.NAM\n310\tI-ORG.NAM\n\ufffd\ufffd0\tO\n02\tO\n"
    sentence, = read(Conll(position_digits=True), tmp_path / "f", text)
    assert (sentence.text, sentence.starts) == ("科3\ufffd\ufffd0", [0, 1, 2, 4])


def test_untagged_test_file(tmp_path):
    sentence, = read(Conll(position_digits=True), tmp_path / "f", "科0\n技1\n", split="test")
    assert (sentence.text, sentence.entities) == ("科技", None)


def test_position_digits_of_weibo_are_found(tmp_path):
    table = tagging_data.DATASETS["weibo"].sources["dev"].table
    for text in ("科0 O\n技1 O\n30 O\n", "科 O\n技 O\n3 O\n"):
        assert read(table, tmp_path / "f", text)[0].text == "科技3"
    with pytest.raises(UserError, match="f line 3: token '3', expected a character and its "
                                        "position in the word, like 科0; the lines of a file are"):
        read(table, tmp_path / "f", "科0 O\n技1 O\n3 O\n")


def test_a_test_file_of_texts_is_none_of_characters(tmp_path):
    with pytest.raises(UserError, match="f: most lines are texts, expected a character or a word"):
        read(Conll(), tmp_path / "f", "我在北京见李四了。\n\n浙商银行的叶老桂走了。\n好\n", "test")


def in_files(directory, texts, **options):
    """A Tagging of own files: {split: text}."""
    for split, text in texts.items():
        write(directory / (split + ".conll"), text)
    return set_up(Tagging("conll", tagging_data.custom_dataset("conll"), str(directory), **options))


def test_scheme_and_types_of_a_run_are_known_without_the_training_file(tmp_path):
    task = Tagging("conll", tagging_data.custom_dataset("conll"), str(tmp_path))
    task.setup({"task": "conll", "labels": "LOC,PER", "scheme": "BMES"})
    assert task.tags == tag_schemes.tags_of(("LOC", "PER"), "BMES")


def test_entities_are_counted_by_type(tmp_path, said):
    task = in_files(tmp_path, {"train": "我 B-Per\n在 O\n\n北 B-PER\n", "test": "我 O\n\n在 O\n"})
    assert said(task.examples, "train")[1] == [
        "train.conll: 2 sentences; entities: PER 1, Per 1",
        "train.conll: the labels 'PER', 'Per' differ only in form and are trained as 2 classes; "
        "write them alike if they are one"]
    examples, messages = said(task.examples, "test")
    assert not task.is_labelled(examples) and messages == [
        "test.conll: no line has an entity: the file is taken as one without tags",
        "test.conll: 2 sentences; no tags"]


def test_bad_sentences_are_counted_where_they_may_be_skipped(tmp_path, said, caplog):
    task = in_files(tmp_path, {"train": "我 B-A\n\n在 O x\n\n北 X-A\n\n京 O\n"},
                    skip_bad_lines=True)
    examples, messages = said(task.examples, "train")
    assert [example.text for example in examples] == ["我", "京"] and task.types == ("A",)
    assert "train.conll: 2 bad lines are left out; the first: " in caplog.messages[0]
    (tmp_path / "train.conll").write_bytes("我 B-A\n".encode("utf-8") + b"\xff O\n" + (
        "在 O\n\n京 B-A\n".encode("utf-8")))
    assert [example.text for example in in_files(
        tmp_path, {}, skip_bad_lines=True, scheme="BIO").examples("train")] == ["京"]
    table, bad_lines = JsonSpans(), BadLines(skip=True)
    path = write(tmp_path / "f", "\n".join((
        '{"text": "a", "label": {}}', '{"text": "b"}', '{"text": 3, "label": {}}')))
    records = list(table.read(path, "train", bad_lines))
    sentences = list(table.sentences(path, records, "train", "BIO", None, bad_lines))
    assert [sentence.text for sentence in sentences] == ["a", "3"] and bad_lines.count == 1


@pytest.mark.parametrize("tags, scheme", [
    ("O B-PER I-PER", "BIO"), ("I-PER", "BIO"), ("B-PER M-PER E-PER", "BMES"),
    ("B-PER E-PER S-LOC", "BIOES"), ("S-PER B-LOC I-LOC E-LOC", "BIOES")])
def test_scheme_is_recognised(tmp_path, tags, scheme):
    path = write(tmp_path / "f", "".join("字 %s\n" % tag for tag in tags.split()))
    assert survey(Conll(), path)[0] == scheme
    assert survey(Conll(), path)[1] == (("LOC", "PER") if "LOC" in tags else ("PER",))


@pytest.mark.parametrize("text, message", [
    ("字 O\n字 x O\n", r"f line 2: 3 column\(s\), expected 2 as above"),
    ("字\n", r"f line 1: 1 column\(s\), expected at least 2, a token first and its tag last"),
    ("字 B\n", "f line 1: tag 'B', expected O or one like B-PER"),
    ("字 B-\n", "f line 1: tag 'B-', expected"),
    ("字 U-PER\n", "f line 1: tag 'U-PER', expected"),
    ("字 I-PER\n字 O\n字 M-PER\n", "f line 3: tag 'M-PER', but 'I-PER' above; expected one scheme"),
    ("\tB-PER\n", "f line 1: an empty token"),
    ("字 O\n", "1 lines and none with an entity"),
    ("\n", "0 lines and none with an entity"),
])
def test_bad_conll_training_files(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        survey(Conll(), write(tmp_path / "f", text))


@pytest.mark.parametrize("table, text, message", [
    (Conll(), "字 O\n字 B-ORG\n", "f line 2: unknown type 'ORG', expected one of LOC, PER"),
    (Conll(), "字 S-PER\n", r"f line 1: tag 'S-PER', expected the scheme BIO \(B, I\)"),
    (Conll(position_digits=True), "字 O\n", "f line 1: token '字', expected a character and its "
                                            "position"),
    (JsonSpans(), "{", "f line 1 column 2: not JSON"),
    (JsonSpans(), "[[]]", r"f \[0\]: found \[\], expected an object with 'text'$"),
    (JsonSpans(), '{"text": "", "label": {}}', 'f line 1 text: found "", expected a text that is '
                                               'not empty$'),
    (JsonSpans(), '{"text": [], "label": {}}', r"f line 1 text: found \[\], expected a text$"),
    (JsonSpans(), '{"id": {}, "text": "a", "label": {}}', "f line 1 id: found {}, expected a t"),
    (Conll(), '{"text": "a"}', "f line 1: it looks like JSON, .*; read it with --task_name=jsonl$"),
    (JsonSpans(), '{"text": "a"}', "f line 1: no key 'label', found text"),
    (JsonSpans(), '\n{"text": "ab", "label": {"ORG": {"a": [[0, 0]]}}}',
     "f line 2 label.ORG: unknown type 'ORG'"),
    (JsonSpans(), '{"text": "ab", "label": []}', r"f line 1 label: found \[\], expected an obj"),
    (JsonSpans(), '{"text": "ab", "label": {"PER": 1}}', "label.PER: found 1, expected an object"),
    (JsonSpans(), '{"text": "ab", "label": {"PER": {"a": 3}}}', "label.PER.a: found 3, expected a"),
    (JsonSpans(), '{"text": "ab", "label": {"PER": {"a": [[0, 0], [1]]}}}',
     r"label.PER.a\[1\]: found \[1\], expected \[first, last\]"),
    (JsonSpans(), '{"text": "ab", "label": {"PER": {"b": [[1, 0]]}}}', r"found \[1, 0\], expected"),
    (JsonSpans(), '{"text": "ab", "label": {"PER": {"b": [[1, 2]]}}}',
     r"label.PER.b\[0\]: \[1, 2\] is outside the text, which has 2 characters"),
    (JsonSpans(), '{"text": "ab", "label": {"PER": {"b": [[0, 0]]}}}',
     r"label.PER.b\[0\]: the text has 'a' at \[0, 0\], expected 'b'"),
])
def test_bad_files(tmp_path, table, text, message):
    with pytest.raises(UserError, match=message):
        read(table, tmp_path / "f", text, scheme="BIO", types=("LOC", "PER"))


def test_json_spans(tmp_path):
    lines = ['{"text": "浙商银行的叶老桂", "label": {"name": {"叶老桂": [[5, 7]]}, '
             '"company": {"浙商银行": [[0, 3]]}, "address": {"浙商": [[0, 1]]}}}',
             '{"id": 7, "text": "\\ud83d无", "label": {}}']
    first, second = read(JsonSpans(), tmp_path / "f", "\n".join(lines))
    assert first.entities == [("company", 0, 4), ("name", 5, 8)]  # the longer of two that overlap
    assert (second.id, second.text, second.entities) == (7, "\ufffd无", [])
    assert survey(JsonSpans(), str(tmp_path / "f")) == ("BIO", ("company", "name"))
    assert read(JsonSpans(), tmp_path / "f", '{"id": 0, "text": "a"}', "test")[0].entities is None


def test_units_of_tokens():
    # a bc|d e: tokens "a", "bcd" over two units, "##e" in a unit told already, none of no length
    first, last = tagging_windows.units_of_tokens(
        [1, 4, 5, 7], [0, 2, 2, 5, 6, 6], [1, 5, 2, 6, 7, 6])
    assert first.tolist() == [1, 2, 0, 4, 0, 0]
    assert last.tolist() == [1, 3, 0, 4, 0, 0]


@pytest.mark.parametrize("stops, windows", [
    ([7], [(0, 7, 0, 7), (7, 15, 7, 14), (13, 20, 14, 20)]),
    ([3], [(0, 8, 0, 7), (6, 14, 7, 13), (12, 20, 13, 20)]),
    ([6, 8, 13, 16], [(0, 8, 0, 8), (8, 16, 8, 16), (16, 20, 16, 20)])])
def test_windows(stops, windows):
    assert tagging_windows.cut_windows(20, 8, stops) == windows


def test_windows_count_every_token_once():
    rng = np.random.RandomState(0)
    for _ in range(300):
        num_tokens, room = rng.randint(0, 200), rng.randint(6, 40)
        stops = sorted(rng.randint(0, 200, 5).tolist())
        windows = tagging_windows.cut_windows(num_tokens, room, stops)
        counted = [token for _, _, begin, end in windows for token in range(begin, end)]
        assert counted == list(range(num_tokens))
        assert all(begin <= first <= last <= end <= begin + room
                   for begin, end, first, last in windows)


def make_task(directory, scheme="BIO", joiner=None):
    """A Tagging of the types LOC and PER without files."""
    sources = {"train": Source(("train",), Conll(joiner)), "test": Source(("f",), Conll(joiner))}
    return set_up(Tagging("own", Dataset(sources, ("LOC", "PER"), "submitted.json"),
                          str(directory), scheme=scheme))


def set_up(task):
    task.setup()
    return task


def make_tokenizer(path):
    return tokenization.WordPieceTokenizer(tiny.write_vocab(
        path, list("我在北京见李四了。，") + ["ok", "go", "##od", "p", "##hone"]))


def predict(task, examples, tokenizer, length, tags_of):
    """Predictions as the harness hands them back; tags_of(example) are of its units."""
    predictions = collections.defaultdict(list)
    for number, example in enumerate(examples):
        tags = tags_of(example)
        for window in task.featurize(example, tokenizer, length):
            assert len(window["input_ids"]) == window["lengths"][0] <= length
            predictions["example"].append(number)
            for name in ("first_units", "last_units"):
                predictions[name].append(np.append(window[name], [0, 0]))  # padding
            predictions["tag_ids"].append(np.array(
                [task.tags.index(tags[unit - 1]) if unit else 1
                 for unit in predictions["first_units"][-1]]))
    return predictions


def gold_tags(task):
    return lambda example: encode(example.entities, len(example.ends), task.scheme)


@pytest.mark.parametrize("scheme", sorted(tag_schemes.SCHEMES))
@pytest.mark.parametrize("length", [8, 13, 64])
def test_gold_comes_back_through_windows(tmp_path, scheme, length):
    task, tokenizer = make_task(tmp_path, scheme), make_tokenizer(tmp_path / "vocab.txt")
    text = ("我 O\n在 O\n北 B-LOC\n\u200b I-LOC\n京 I-LOC\n见 O\n李 B-PER\n四 I-PER\n了 O\n"
            "。 O\n" * 5 + "\np O\nh O\no O\nn O\ne O\n\ufffd O\n")
    examples = read(Conll(), tmp_path / "f", text)
    predictions = predict(task, examples, tokenizer, length, gold_tags(task))
    assert task.entities(examples, predictions) == [example.entities for example in examples]
    assert task.score(examples, predictions) == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0,
        "majority_accuracy": 31 / 56}


def test_labels_of_tokens(tmp_path):
    task, tokenizer = make_task(tmp_path, joiner=" "), make_tokenizer(tmp_path / "vocab.txt")
    example, = read(Conll(joiner=" "), tmp_path / "f", "ok O\ngood B-PER\n\u200b O\n北京 I-LOC\n")
    features, = task.featurize(example, tokenizer, 16)
    # [CLS] ok go ##od 北 京 [SEP]
    assert features["first_units"].tolist() == [0, 1, 2, 0, 4, 0, 0]
    assert features["last_units"].tolist() == [0, 1, 2, 0, 4, 0, 0]
    assert [task.tags[tag] for tag in features["label_ids"]] == ["O", "O", "B-PER"] + ["O", "B-LOC",
                                                                                       "O", "O"]


@pytest.mark.parametrize("units, tags, entities", [
    ("北 \u200b 京", "B-LOC O I-LOC", [("LOC", 0, 3)]),  # a lost character inside an entity
    ("北 \u200b 京", "B-LOC O B-LOC", [("LOC", 0, 1), ("LOC", 2, 3)]),  # and between two
    ("北 \u200b 京", "B-LOC O O", [("LOC", 0, 1)]),
    ("o k 北", "B-PER O O", [("PER", 0, 2)]),  # one token of two units
    ("o k 北", "O I-PER O", []),
    ("\u200b", "B-PER", [])])
def test_units_without_a_token(tmp_path, units, tags, entities):
    task, tokenizer = make_task(tmp_path), make_tokenizer(tmp_path / "vocab.txt")
    examples = read(Conll(), tmp_path / "f", "".join("%s\n" % unit for unit in units.split(" ")),
                    "test")
    predictions = predict(task, examples, tokenizer, 16, lambda _: tags.split())
    assert task.entities(examples, predictions) == [entities]


def wrong_example(tmp_path):
    """(task, examples, predictions): 李四 is found, 北京 is not, 在 is taken for a place."""
    task, tokenizer = make_task(tmp_path), make_tokenizer(tmp_path / "vocab.txt")
    examples = read(Conll(), tmp_path / "f", "我 O\n在 O\n北 B-LOC\n京 I-LOC\n见 O\n李 B-PER\n"
                    "四 I-PER\n\n好 O\n")
    predictions = predict(task, examples, tokenizer, 16, lambda example: (
        "O B-LOC O O O B-PER I-PER".split() if len(example.ends) > 1 else ["O"]))
    return task, examples, predictions


def test_scores(tmp_path):
    task, examples, predictions = wrong_example(tmp_path)
    scores = task.score(examples, predictions)
    assert scores == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 5 / 8,
                      "majority_accuracy": 4 / 8}
    assert task.warning(scores) is None
    for changes in ({"f1": 0.0}, {"accuracy": 0.5}):
        assert "has not learnt to find entities; check --init_checkpoint" in task.warning(
            dict(scores, **changes))
    lines = [line.split() for line in task.report(examples, predictions).splitlines()]
    assert ["LOC", "0.0000", "0.0000", "0.0000", "1"] in lines
    assert ["PER", "1.0000", "1.0000", "1.0000", "1"] in lines
    assert list(task.errors(examples, predictions)) == [{
        "id": "dev-1", "place": "%s line 1" % (tmp_path / "f"), "text": "我在北京见李四",
        "missed": "LOC 北京 (2-4)", "spurious": "LOC 在 (1-2)"}]


def test_scores_without_any_entity(tmp_path):
    task, tokenizer = make_task(tmp_path), make_tokenizer(tmp_path / "vocab.txt")
    examples = read(Conll(), tmp_path / "f", "我 O\n")
    predictions = predict(task, examples, tokenizer, 16, lambda _: ["O"])
    assert task.score(examples, predictions)["f1"] == 0
    assert task.report(examples, predictions) is None


def test_scoring_needs_tags(tmp_path):
    task, tokenizer = make_task(tmp_path), make_tokenizer(tmp_path / "vocab.txt")
    examples = read(Conll(), tmp_path / "f", "我\n", "test")
    predictions = predict(task, examples, tokenizer, 16, lambda _: ["O"])
    assert not task.is_labelled(examples)
    with pytest.raises(UserError, match="f line 1: no tags; tags are needed to evaluate"):
        task.score(examples, predictions)


def test_written_predictions(tmp_path):
    task, examples, predictions = wrong_example(tmp_path)
    assert len(task.write_predictions(str(tmp_path), "dev", examples, predictions)) == 2
    assert (tmp_path / "dev_predictions.conll").read_text(encoding="utf-8") == (
        "我\tO\tO\n在\tO\tB-LOC\n北\tB-LOC\tO\n京\tI-LOC\tO\n见\tO\tO\n李\tB-PER\tB-PER\n"
        "四\tI-PER\tI-PER\n\n好\tO\tO\n\n")
    examples = [example._replace(entities=None) for example in examples]
    paths = task.write_predictions(str(tmp_path), "test", examples, predictions)
    assert (tmp_path / "test_predictions.conll").read_text(encoding="utf-8").startswith(
        "我\tO\n在\tB-LOC\n北\tO\n")
    assert json_lines(paths[1])[0] == {"id": "dev-1", "text": "我在北京见李四", "entities": [
        {"type": "LOC", "start": 1, "end": 2, "text": "在"},
        {"type": "PER", "start": 5, "end": 7, "text": "李四"}]}
    assert [os.path.basename(path) for path in paths] == [
        "test_predictions.conll", "test_predictions.json", "submitted.json"]
    assert json_lines(paths[2]) == [
        {"id": "dev-1", "label": {"LOC": {"在": [[1, 1]]}, "PER": {"李四": [[5, 6]]}}},
        {"id": "dev-2", "label": {}}]


def test_rows():
    assert {name: sorted(row.sources) for name, row in tagging_data.DATASETS.items()} == {
        name: ["dev", "test", "train"]
        for name in ("cluener", "weibo", "msra", "people_daily", "resume")}
    task = set_up(Tagging("cluener", tagging_data.DATASETS["cluener"], None))
    assert (len(task.tags), task.scheme) == (21, "BIO")
    other = set_up(Tagging("cluener", tagging_data.DATASETS["cluener"], None, scheme="BMES"))
    assert len(other.tags) == 41


def test_weibo():
    if not os.path.isdir(WEIBO):
        pytest.skip("no Weibo NER files; name their directory in WEIBO_NER_DIR")
    task = set_up(Tagging("weibo", tagging_data.DATASETS["weibo"], WEIBO))
    assert (len(task.tags), task.scheme, len(task.types)) == (17, "BIO", 8)
    tokenizer = tokenization.WordPieceTokenizer(os.path.join(SHARED, "vocab_chinese_21128.txt"))
    for split, sentences, units, entities in (
            # 10 entities of the training file and 4 of the test file begin with an I-
            ("train", 1350, 73778, 1885 + 10), ("dev", 270, 14509, 389),
            ("test", 270, 14842, 414 + 4)):
        examples = task.examples(split)
        assert len(examples) == sentences
        assert sum(len(example.ends) for example in examples) == units
        assert sum(len(example.entities) for example in examples) == entities
    scores = [task.score(examples, predict(task, examples, tokenizer, length, gold_tags(task)))
              for length in (128, 32)]
    assert scores[0] == scores[1]
    assert scores[0]["f1"] == 1.0


def sentences(count, seed):
    """[(characters, tags)]: characters 0-4 begin a PER, which goes on with 5-9; 10-14 are a LOC."""
    rng = np.random.RandomState(seed)
    drawn = []
    for _ in range(count):
        tokens, tags = [], []
        while len(tokens) < 8:
            kind = rng.randint(4)
            length = rng.randint(1, 4) if kind == 0 else 1
            numbers = ([rng.randint(5)] + rng.randint(5, 10, length - 1).tolist() if kind == 0
                       else [rng.randint(10, 15)] if kind == 1 else [rng.randint(15, 40)])
            tokens += [tiny.CHARACTERS[number] for number in numbers]
            tags += (["B-PER"] + ["I-PER"] * (length - 1) if kind == 0
                     else ["B-LOC"] if kind == 1 else ["O"])
        drawn.append((tokens, tags))
    return drawn


def conll_text(drawn, tagged=True):
    return "\n\n".join("\n".join(
        "%s %s" % pair if tagged else pair[0] for pair in zip(*sentence)) for sentence in drawn)


def flag_values(here, **changes):
    values = {"task_name": "conll", "data_dir": here, "vocab_file": here / "vocab.txt",
              "bert_config_file": here / "config.json", "output_dir": here / "out",
              "max_seq_length": 16, "train_batch_size": 16, "learning_rate": 0.005,
              "num_train_epochs": 3, "eval_every_steps": 1000}
    return dict(values, **changes)


def run(here, **changes):
    run_ner.main(tiny.parse(run_ner.define_flags, **flag_values(here, **changes)))
    return here / "out"


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The directory of a run that trained, evaluated and predicted an untagged test file."""
    here = tmp_path_factory.mktemp("learned")
    for split, count, seed in (("train", 640, 0), ("dev", 60, 1), ("test", 40, 2)):
        write(here / (split + ".conll"), conll_text(sentences(count, seed), split != "test"))
    tiny.write_config(here / "config.json")
    tiny.write_vocab(here / "vocab.txt")
    run(here, do_train=True, do_eval=True, do_predict=True)
    return here


@pytest.mark.slow
def test_learns(learned):
    scores = tiny.results(learned / "out")
    assert scores["f1"] > 0.9
    assert scores["majority_accuracy"] < 0.5


@pytest.mark.slow
def test_predicts_what_it_has_learnt(learned):
    lines = json_lines(learned / "out" / "test_predictions.json")
    assert [line["text"] for line in lines] == ["".join(tokens) for tokens, _ in sentences(40, 2)]
    gold = [tags for _, tags in sentences(40, 2)]
    predicted = [encode([Entity(found["type"], found["start"], found["end"])
                         for found in line["entities"]], len(line["text"]), "BIO")
                 for line in lines]
    assert sequence_labeling.f1_score(gold, predicted) > 0.9


def test_long_texts_are_predicted_whole(learned):
    drawn = sentences(40, 3)
    long = (sum((tokens for tokens, _ in drawn), []), sum((tags for _, tags in drawn), []))
    write(learned / "long.conll", conll_text([long]))
    output = run(learned, do_predict=True, test_file=learned / "long.conll")
    lines = (output / "test_predictions.conll").read_text(encoding="utf-8").split("\n")
    assert [line.split("\t")[0] for line in lines[:-2]] == long[0]
    assert tiny.results(output / "test_metrics.txt")["f1"] > 0.8


@pytest.mark.parametrize("changes, message", [
    ({"task_name": "nerr"}, "--task_name=nerr: no such task, expected one of cluener, msra, "
                            "people_daily, resume, weibo, conll, jsonl$"),
    ({"task_name": "weibo_nre"}, r"--task_name=weibo_nre: no such .*; did you mean weibo\?$"),
    ({"data_dir": ""}, "--data_dir is missing"),
    ({"scheme": "BMES"}, r"train.conll line \d+: tag 'I-PER', expected the scheme BMES"),
    ({"labels": "PER,ORG"}, "train.conll line .*: unknown type 'LOC', expected one of PER, ORG"),
    ({"position_digits": True}, "train.conll line 1: token"),
])
def test_refused(learned, changes, message):
    with pytest.raises(UserError, match=message):
        run(learned, do_train=True, output_dir=learned / "other", **changes)


@pytest.mark.parametrize("given, name", [("CLUENER", "cluener"), ("jsonl", "jsonl")])
def test_task_names(tmp_path, given, name):
    write(tmp_path / "train.json", '{"text": "ab", "label": {"PER": {"a": [[0, 0]]}}}')
    flags = tiny.parse(run_ner.define_flags, **flag_values(tmp_path, task_name=given))
    assert set_up(run_ner.create_task(flags)).identity()["task"] == name
