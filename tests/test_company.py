"""What stands beside a checkpoint."""

import json

from util.errors import UserError

import pytest

import tiny
import tokenization
from interchange import company


def test_config_is_run_jsons_else_the_one_beside(tmp_path):
    tiny.write_config(tmp_path / "albert_config_tiny.json")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "config_of_data.json").write_text("[")
    assert company.config(str(tmp_path)) == tiny.config()
    tiny.write_config(tmp_path / "other_config.json", hidden_size=32)
    with pytest.raises(UserError, match="several configs .albert_config_tiny.json, other_config"):
        company.config(str(tmp_path))
    assert company.config(str(tmp_path), str(tmp_path / "other_config.json")).hidden_size == 32
    (tmp_path / "run.json").write_text(json.dumps(dict(
        tiny.config(num_attention_heads=4).to_dict(), task="x", labels="a,b", scheme="BIO")))
    assert company.config(str(tmp_path)).num_attention_heads == 4
    assert company.labels(str(tmp_path)) == (["a", "b"], "BIO")


def test_nothing_beside(tmp_path):
    with pytest.raises(UserError, match="holds no config; name the model's by --bert_config_file"):
        company.config(str(tmp_path))
    assert company.labels(str(tmp_path)) == ([], None) and company.identity(str(tmp_path)) == {}


def test_config_of_googles_bert(tmp_path):
    values = {key: value for key, value in tiny.CONFIG.items() if key != "embedding_size"}
    (tmp_path / "bert_config.json").write_text(json.dumps(values))
    found = company.config(str(tmp_path), is_bert=True)
    assert (found.layout, found.num_hidden_groups, found.embedding_size) == ("google", 2, 16)


def test_a_config_of_googles_bert_that_is_none(tmp_path):
    (tmp_path / "bert_config.json").write_text("{")
    with pytest.raises(UserError, match=r"bert_config.json: not valid JSON \(.*\); expected the"):
        company.config(str(tmp_path), str(tmp_path / "bert_config.json"), is_bert=True)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"7"])
def test_what_a_power_failure_left_says_nothing(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    (tmp_path / "a_config.json").write_bytes(content)
    assert company.identity(str(tmp_path)) == {}
    assert company.config_paths(str(tmp_path)) == []


def test_run_json_of_the_best_is_that_of_its_run(tmp_path):
    (tmp_path / "run.json").write_text('{"task": "x"}')
    for folder, expected in (("", {"task": "x"}), ("best", {"task": "x"}), ("other", {})):
        assert company.identity_of(str(tmp_path / folder / "model.ckpt-1")) == expected


def test_another_vocabulary_than_run_json_knows(tmp_path):
    checkpoint = str(tmp_path / "best" / "model.ckpt-1")
    tokenizer = tokenization.load_tokenizer(tiny.write_vocab(tmp_path / "vocab.txt"))
    company.check_vocabulary(tokenizer, checkpoint)  # nothing is known
    (tmp_path / "run.json").write_text(json.dumps(
        company.features_of(tokenizer.fingerprint, True)))
    company.check_vocabulary(tokenizer, checkpoint)
    other = tokenization.load_tokenizer(
        tiny.write_vocab(tmp_path / "other.txt", tiny.CHARACTERS[::-1]))
    with pytest.raises(UserError, match=r"ckpt-1 was trained with another vocabulary: vocabulary "
                       r"is \w{16} there and \w{16} here \(\S+/other.txt\); give the one of its"):
        company.check_vocabulary(other, checkpoint)
