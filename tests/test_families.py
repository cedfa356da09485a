"""What holds for every family of tasks: files are read once, the cache's name covers the code.

Variables have the originals' names and the config's initializer_range.
"""

import builtins
import collections
import json
import os
import shutil

from util import sources
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import run_classifier
import run_ner
import run_race
import run_squad
import tiny
import tokenization
import tuning
from conftest import ROOT
from finetuning import features as featurizing
from tasks import base

CHARACTERS = "".join(tiny.CHARACTERS)
COUNTS = {"train": 24, "dev": 6, "test": 4}


def classification_file(count):
    return "text\tlabel\n" + "".join(
        "%s\t%s\n" % row for row in tuning.texts(count, 0)), "tsv"


def choice_file(count):
    return "".join(json.dumps({
        "context": CHARACTERS[number:number + 4], "question": CHARACTERS[40],
        "choices": list(CHARACTERS[:2 + number % 3]), "answer": number % 2}) + "\n"
        for number in range(count)), "jsonl"


def tagging_file(count):
    return "\n".join("%s B-PER\n%s I-PER\n%s O\n" % tuple(CHARACTERS[number:number + 3])
                     for number in range(count)), "conll"


def reading_file(count):
    return json.dumps({"data": [{"paragraphs": [{"context": CHARACTERS[number:number + 5], "qas": [
        {"id": str(number), "question": CHARACTERS[50],
         "answers": [{"text": CHARACTERS[number + 1], "answer_start": 1}]}]}
        for number in range(count)]}]}), "json"


Family = collections.namedtuple("Family", "command file names flags modules variables")
DRCD = {"train": "DRCD_training", "dev": "DRCD_dev", "test": "DRCD_test"}
SPLITS = {split: split for split in COUNTS}
FAMILIES = {
    "classification": Family(
        run_classifier, classification_file, SPLITS,
        {"task_name": "tsv", "header": True, "text_a_column": "text", "label_column": "label",
         "class_weights": "balanced"}, ("tasks/classification.py", "tasks/targets.py"),
        {"output_weights": [2, 16], "output_bias": [2]}),
    "choice": Family(run_race, choice_file, SPLITS, {"task_name": "jsonl"}, ("tasks/choice.py",),
                     {"output_weights": [1, 16], "output_bias": [1]}),
    "tagging": Family(run_ner, tagging_file, SPLITS, {"task_name": "conll"},
                      ("tasks/tagging.py", "tasks/tag_schemes.py", "text/sentences.py"),
                      {"tagging/output_weights": [16, 3], "tagging/output_bias": [3]}),
    "reading": Family(run_squad, reading_file, DRCD, {"task_name": "drcd", "max_query_length": 2},
                      ("tasks/reading.py",),
                      {"squad/output_weights": [2, 16], "squad/output_bias": [2]}),
}


@pytest.fixture(params=sorted(FAMILIES))
def family(request):
    return FAMILIES[request.param]


@pytest.fixture
def here(tmp_path, family):
    """A directory with config, vocabulary and the family's files in "data"."""
    (tmp_path / "data").mkdir()
    for split, count in COUNTS.items():
        text, ending = family.file(count)
        (tmp_path / "data" / ("%s.%s" % (family.names[split], ending))).write_text(
            text, encoding="utf-8")
    tiny.write_config(tmp_path / "config.json", num_hidden_layers=1)
    tiny.write_vocab(tmp_path / "vocab.txt")
    return tmp_path


@pytest.fixture
def opened(here, monkeypatch):
    """A Counter of how often each file in "data" was opened."""
    counts, directory = collections.Counter(), str(here / "data")

    def counting(opener):
        def opening(path, *arguments, **options):
            if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(directory):
                counts[os.path.relpath(os.fspath(path), directory)] += 1
            return opener(path, *arguments, **options)
        return opening

    monkeypatch.setattr(builtins, "open", counting(open))
    monkeypatch.setattr(tf.gfile, "GFile", counting(tf.gfile.GFile))
    return counts


def flags_of(here, family, **changes):
    values = {"data_dir": here / "data", "vocab_file": here / "vocab.txt",
              "bert_config_file": here / "config.json", "output_dir": here / "out",
              "max_seq_length": 16, "train_batch_size": 8, "train_step": 1}
    return tiny.parse(family.command.define_flags, **dict(values, **dict(family.flags, **changes)))


@pytest.mark.slow
def test_a_run_reads_every_file_once(here, family, opened):
    family.command.main(flags_of(here, family, do_train=True, do_eval=True, do_predict=True))
    assert len(opened) == 3 and set(opened.values()) == {1}, opened


def test_neither_the_constructor_nor_the_graph_reads_files(here, family, opened):
    task = family.command.create_task(flags_of(here, family))
    assert not opened
    task.setup()
    examples = task.examples("train")
    task.fit(examples)
    assert task.is_labelled(examples) and len(opened) == 1
    for name in os.listdir(str(here / "data")):
        (here / "data" / name).unlink()
    tokenizer = tokenization.load_tokenizer(str(here / "vocab.txt"))
    config = tiny.config()
    with tf.Graph().as_default():
        features, = task.featurize(examples[0], tokenizer, 16)
        batch = {name: tf.constant(np.asarray(value)[np.newaxis])
                 for name, value in features.items()}
        ids = tf.reshape(batch["input_ids"], [-1, features["input_ids"].shape[-1]])
        batch["input_mask"] = tf.ones_like(batch["input_ids"])
        model = modeling.AlbertModel(config, True, ids)
        losses, _ = task.build(config, model, batch, True)
        assert losses.shape.as_list() == [1]
        assert family.variables == {
            variable.op.name: variable.shape.as_list() for variable in tf.trainable_variables()
            if not variable.op.name.startswith("bert/")}
    task.max_choices(examples)
    task.identity()
    task.fingerprint()
    assert set(opened.values()) == {1}


def test_a_missing_file_is_said_before_another_is_read(here, family, opened):
    ending = family.file(1)[1]
    (here / "data" / ("%s.%s" % (family.names["dev"], ending))).unlink()
    with pytest.raises(UserError, match="no dev data: none of .* exists; check --data_dir"):
        family.command.main(flags_of(here, family, do_train=True, do_eval=True))
    assert not opened


def test_the_output_layer_starts_at_the_range_of_the_config():
    with tf.Graph().as_default(), tf.Session() as session:
        logits = base.output_layer(tf.ones([2, 3, 4000]), 5, tiny.config(hidden_size=4000), 0.0)
        assert logits.shape.as_list() == [2, 3, 5]
        session.run(tf.global_variables_initializer())
        weights = session.run(tf.trainable_variables()[0])
    assert weights.std() == pytest.approx(0.88 * 0.3, rel=0.03)  # cut at two deviations


def code_files(family, here, monkeypatch):
    """(the task, its tokenizer, the files whose content `code_version` hashes)."""
    task = family.command.create_task(flags_of(here, family))
    tokenizer = tokenization.load_tokenizer(str(here / "vocab.txt"))
    files = []
    with monkeypatch.context() as patched:
        patched.setattr(sources, "code_version", lambda *paths: files.extend(
            sources.closure(*paths)))
        featurizing.code_version(task, tokenizer)
    return task, tokenizer, files


def test_the_version_of_the_code_covers_what_makes_features(here, family, monkeypatch):
    files = code_files(family, here, monkeypatch)[2]
    assert set(family.modules + (
        "finetuning/features.py", "tasks/base.py", "tokenization.py", "training/input_pipeline.py",
        "util/files.py", "util/text_lines.py", "util/tfrecords.py")) <= set(files)
    # What trains and evaluates does not touch features.
    assert not {"finetuning/harness.py", "training/estimators.py", "optimization.py"} & set(files)


@pytest.fixture
def copied_code(tmp_path, here, family, monkeypatch):
    """(a function that gives the code's version, the files behind it) of a copy of the code."""
    task, tokenizer, files = code_files(family, here, monkeypatch)
    for path in files:
        (tmp_path / "code" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.join(ROOT, path), str(tmp_path / "code" / path))
    with monkeypatch.context() as patched:
        patched.setattr(sources, "path_of", lambda module: os.path.relpath(module.__file__, ROOT))
        patched.setattr(sources, "ROOT", str(tmp_path / "code"))
        sources.imported_names.cache_clear()
        yield (lambda: featurizing.code_version(task, tokenizer),
               [tmp_path / "code" / path for path in files])
    sources.imported_names.cache_clear()


def test_any_change_of_that_code_changes_its_version(copied_code):
    version, files = copied_code
    versions = {version()}
    for path in files:
        with open(str(path), "a") as stream:
            stream.write("# changed\n")
        versions.add(version())
    assert len(versions) == 1 + len(files)
