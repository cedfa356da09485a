"""What an export holds beside its graph."""

import json

from util.errors import UserError

import numpy as np
import pytest

import tiny
import tokenization
from interchange import layouts, tensorflow_files
from serving import checkpoint_package, package, predictor
from test_conversion import random_weights


def saved(directory, head, **options):
    """A directory as export_model.py makes it, with an empty graph; the Package."""
    tokenizer = tokenization.load_tokenizer(tiny.write_vocab(directory / "vocab.txt"))
    found = package.Package(head, None, [], 64, tokenizer, None, None, "f", "t",
                            package.options_of(head, options))
    package.save(found, str(directory))
    (directory / package.ONNX).write_text("")
    return found


def test_options_are_kept_and_replaced(tmp_path):
    found = saved(tmp_path, "reading", doc_stride=7, with_negative=True)
    assert found.options["max_answer_length"] == 30
    loaded = predictor.load_package(str(tmp_path))
    assert loaded.options == found.options and loaded.max_seq_length == 64
    loaded = predictor.load_package(str(tmp_path), {"doc_stride": 9}, max_seq_length=32)
    assert loaded.options == dict(found.options, doc_stride=9) and loaded.max_seq_length == 32
    assert predictor.load_package(str(tmp_path), max_seq_length=999).max_seq_length == 64
    with pytest.raises(UserError, match="--max_qa_length is for a model of choice, this one is of "
                                        "reading; leave it out"):
        predictor.load_package(str(tmp_path), {"max_qa_length": 9})


def test_an_export_of_before_there_were_options(tmp_path):
    saved(tmp_path, "choice")
    values = json.loads((tmp_path / package.FILE).read_text())
    del values["options"]
    (tmp_path / package.FILE).write_text(json.dumps(values))
    assert predictor.load_package(str(tmp_path)).options == {
        "max_qa_length": 128, "fills_blanks": False}


def checkpoint(directory, identity, **arrays):
    """A checkpoint of an encoder and more arrays, with its run.json."""
    weights = random_weights()
    arrays = dict({name: array for name, array in weights.arrays.items()
                   if not name.startswith("cls/")}, **arrays)
    tensorflow_files.write_tensorflow(arrays, str(directory / "model.ckpt"))
    (directory / "run.json").write_text(json.dumps(dict(weights.config.to_dict(), **identity)))
    tiny.write_vocab(directory / "vocab.txt", tiny.CHARACTERS[:weights.config.vocab_size - 5])
    return layouts.Weights(weights.config, arrays)


def test_a_head_that_is_not_served(tmp_path):
    checkpoint(tmp_path, {"squad_head": "google_v2"})
    with pytest.raises(UserError, match="has the head --squad_head=google_v2, which is not served"):
        checkpoint_package.load(str(tmp_path))


def test_tags_that_are_none(tmp_path):
    width = random_weights().config.hidden_size
    checkpoint(tmp_path, {}, **{"tagging/output_weights": np.zeros([width, 3], np.float32),
                                "tagging/output_bias": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="tag 'LABEL_0', expected O or one like B-PER"):
        checkpoint_package.load(str(tmp_path))


def test_options_and_length_of_a_checkpoint(tmp_path):
    width = random_weights().config.hidden_size
    weights = checkpoint(tmp_path, {"task": "squad2", "version_2_with_negative": True}, **{
        "squad/output_weights": np.zeros([2, width], np.float32),
        "squad/output_bias": np.zeros(2, np.float32)})
    found = checkpoint_package.load(str(tmp_path), options={"n_best_size": 5})
    assert found.options["with_negative"] and found.options["n_best_size"] == 5
    assert found.max_seq_length == weights.config.max_position_embeddings
    assert checkpoint_package.load(str(tmp_path), max_seq_length=9).max_seq_length == 9


def test_only_a_model_of_race_fills_blanks(tmp_path):
    width = random_weights().config.hidden_size
    for task, fills in (("race", True), ("c3", False), ("jsonl", False)):
        checkpoint(tmp_path, {"task": task}, output_weights=np.zeros([1, width], np.float32),
                   output_bias=np.zeros(1, np.float32))
        found = checkpoint_package.load(str(tmp_path))
        assert found.head == "choice" and found.options["fills_blanks"] == fills
