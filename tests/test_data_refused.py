"""What create_pretraining_data.py refuses: one sentence, and nothing is left behind."""

import os
import shutil

import pytest
from absl import flags as absl_flags

import create_pretraining_data as command
from factories import NEWS, TEXT, description, flags, make, refused
from tiny import parse

# TensorFlow has no part in it.
pytestmark = pytest.mark.one_platform

BAD_LINE = TEXT.encode("utf-8") + "中文编码\n".encode("gbk") + TEXT.encode("utf-8")


@pytest.mark.parametrize("changes, message", [
    ({"input_file": None}, "no input files given"),
    ({"input_file": "/none/a.txt"}, "/none/a.txt: no such file"),
    ({"input_file": "/none/*.txt"}, "/none/*.txt: no such file"),
    ({"output_file": None}, "--output_file is missing"),
    ({"output_file": " , "}, "--output_file is missing"),
    ({"output_file": "/tmp"}, "/tmp: a directory, expected the name of a file"),
    ({"output_file": "/tmp/a,/tmp/b,/tmp/a"}, "--output_file names /tmp/a twice"),
    ({"output_file": "/tmp/a@2,/tmp/a-00001-of-00002"},
     "--output_file names /tmp/a-00001-of-00002 twice"),
    ({"output_file": "/etc/hostname/a.tfrecord"}, "/etc/hostname"),  # is a file
    ({"output_file": "/proc/none/a.tfrecord"},
     "/proc/none/a.tfrecord.json cannot be written (No such file or directory); give another path"),
    ({"output_file": "/dev/null"}, "/dev/null: a device or a pipe, expected the name of a file"),
    ({"report": "/dev/full"}, "/dev/full: a device or a pipe, expected the name of a file"),
    ({"output_file": "/tmp/%s.tfrecord" % ("长" * 90)}, "cannot be written (File name too long)"),
    ({"output_file": "/tmp/a\udcff.tfrecord"}, "/tmp/a�.tfrecord: this is not UTF-8; rename"),
    ({"vocab_file": None}, "neither --vocab_file nor --spm_model_file is given"),
    ({"vocab_file": "/none/vocab.txt"}, "--vocab_file=/none/vocab.txt: no such file"),
    ({"vocab_file": NEWS}, "expected every token once"),
    ({"max_predictions_per_seq": 32}, "--max_predictions_per_seq=32 is not below --max_seq_length"),
    ({"spm_model_file": "a.model", "brightmart_labels": True},
     "--brightmart_labels needs a WordPiece --vocab_file"),
    ({"work_dir": "gs://bucket/work"}, "--work_dir=gs://bucket/work is not local; give a directory "
                                       "of this machine"),
    ({"work_dir": "/proc/none/work"}, "/proc/none: No such file or directory"),
    ({"spark_conf": "spark.a=b"}, "--spark_conf without --runner=spark; add it, or leave that out"),
    ({"spark_master": "local[2]"}, "--spark_master without --runner=spark; add it"),
    ({"runner": "spark", "work_dir": "/tmp", "num_workers": None},
     "--work_dir=/tmp with --runner: workers on other machines do not see it"),
    ({"runner": "spark"}, "--num_workers=1 with --runner: Spark takes what its cluster offers"),
    ({"text": ""}, "in.txt: empty; expected one sentence a line"),
    ({"text": "\n \n"}, "0 instances for 1 output files"),
    ({"text": "一句。\n\n又一句。\n"}, "the input needs documents of two or more sentences"),
    ({"text": "长江发源于青藏高原" * 200 + "\n一句。\n"},
     "99 % of the text is in no instance, because sentences are long for --max_seq_length=32 or "
     "alone in their documents; raise it, or pass --split_sentences if lines are paragraphs; "
     "2 sentences in 1 documents were found"),
    ({"text": TEXT.replace("\n", "\r")}, "in.txt line 1: its lines end with CR alone, expected LF"),
    ({"text": BAD_LINE}, "in.txt line 9: byte 1 is not UTF-8; it looks like GBK: convert the file "
                         "(iconv -f gb18030 -t utf-8) or "
                         "pass --skip_bad_lines"),
])
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, sample_vocab, changes, message):
    sentence = refused(tmp_path, **dict({"vocab": sample_vocab}, **changes))
    assert sentence.startswith("error: ")
    assert message in sentence


def test_vocabulary_of_special_tokens_only(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    assert refused(tmp_path, str(tmp_path / "vocab.txt")) == (
        "error: %s/vocab.txt: nothing but the special tokens [PAD] [UNK] [CLS] [SEP] [MASK], "
        "expected words or characters too; make it anew with create_vocab.py or take that of the "
        "model" % tmp_path)


def test_vocabulary_without_mask(tmp_path, sample_vocab):
    with open(sample_vocab, encoding="utf-8") as stream:
        tokens = stream.read().replace("[MASK]\n", "").replace("[CLS]\n", "")
    (tmp_path / "vocab.txt").write_text(tokens, encoding="utf-8")
    sentence = refused(tmp_path, str(tmp_path / "vocab.txt"))
    assert "vocab.txt: no [CLS] [MASK] among its" in sentence


@pytest.mark.parametrize("flag", ["output_file", "report"])
@pytest.mark.parametrize("name", ["in.txt", "./in.txt", "../{dir}/in.txt", "link", "hard", "v.txt"])
def test_output_that_is_an_input(tmp_path, sample_vocab, flag, name):
    (tmp_path / "in.txt").write_text(TEXT, encoding="utf-8")
    os.symlink(str(tmp_path / "in.txt"), str(tmp_path / "link"))
    os.link(str(tmp_path / "in.txt"), str(tmp_path / "hard"))
    shutil.copy(sample_vocab, str(tmp_path / "v.txt"))
    path = "%s/%s" % (tmp_path, name.format(dir=tmp_path.name))
    assert refused(tmp_path, str(tmp_path / "v.txt"), **{flag: path}) == (
        "error: %s is one of the input files; name another" % path)


def test_files_to_write_that_are_one(tmp_path, sample_vocab):
    changes = {"output_file": "%s/a,%s/./a" % (tmp_path, tmp_path)}
    assert refused(tmp_path, sample_vocab, **changes) == (
        "error: %s/a and %s/./a are one file to write; name each once" % (tmp_path, tmp_path))
    changes = {"output_file": tmp_path / "a", "report": tmp_path / "a.json"}
    assert "a.json are one file to write" in refused(tmp_path, sample_vocab, **changes)


def test_description_that_is_an_input(tmp_path, sample_vocab):
    """in.txt.json would be the description of in.txt."""
    text = tmp_path / "a.json"
    text.write_text(TEXT, encoding="utf-8")
    sentence = refused(tmp_path, sample_vocab, input_file=text, output_file=tmp_path / "a")
    assert sentence == "error: %s is one of the input files; name another" % text


def test_fewer_instances_than_files(tmp_path, sample_vocab):
    sentence = refused(tmp_path, sample_vocab, output_file=tmp_path / "t@9")
    assert sentence.startswith("error: 4 instances for 9 output files; the input needs documents")


def test_bad_lines_are_counted_and_left_out(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    out = make(tmp_path, sample_vocab, BAD_LINE, skip_bad_lines=True)
    assert description(out / "a.tfrecord")["counts"]["bad lines"] == 1
    assert "warning: 1 of 17 lines are not UTF-8 and were left out" in caplog.text
    content = (out / "a.tfrecord").read_bytes()
    assert (make(tmp_path, sample_vocab, TEXT + TEXT) / "a.tfrecord").read_bytes() == content


def test_old_output_stays_when_the_new_one_fails(tmp_path, sample_vocab):
    make(tmp_path, sample_vocab)
    assert "line 9" in refused(tmp_path, sample_vocab, BAD_LINE)  # compares every file's content


@pytest.mark.parametrize("arguments, message", [
    (["data.txt"], "unexpected argument 'data.txt'; flags are written --name=value"),
    (["--max_predictions_per_seq=0"], "--max_predictions_per_seq=0"),
])
def test_bad_flags_end_with_status_1(tmp_path, run_command, sample_vocab, arguments, message):
    values = flags(tmp_path, sample_vocab)
    values.pop("max_predictions_per_seq")
    status, output = run_command("create_pretraining_data.py", *arguments, **values)
    assert status == 1
    assert message in output
    assert "Traceback" not in output
    assert os.listdir(str(tmp_path)) == ["in.txt"]


@pytest.mark.parametrize("name, value", [
    ("max_seq_length", 7), ("masked_lm_prob", 1.5), ("masked_lm_prob", -0.1), ("ngram", 0),
    ("short_seq_prob", 2), ("dupe_factor", 0), ("max_predictions_per_seq", "many"),
    ("num_workers", 0), ("segmenter", "other"), ("runner", "other")])
def test_flag_out_of_range(name, value):
    with pytest.raises(absl_flags.IllegalFlagValueError, match=name):
        parse(command.define_flags, **{name: value})
