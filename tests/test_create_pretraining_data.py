"""create_pretraining_data.py: text in, records out, the same every time; errors leave nothing."""

import collections
import json
import os
import resource
import shutil
import signal
import subprocess

import commands

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from absl import flags as absl_flags

import create_pretraining_data as command
import pretraining_instances
import records
import tokenization
from errors import UserError
from tiny import parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEWS = os.path.join(ROOT, "data", "news_zh_1.txt")
TEXT = ("长江发源于青藏高原。\n它全长约6300公里。\n\n河口的人口。\n流速慢了。\n水流向东南。\n\n"
        "孤单的一句。\n")


def flags(tmp_path, vocab, text=TEXT, **changes):
    """Small settings on `text`, str or bytes; a flag of None keeps its default."""
    (tmp_path / "in.txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    values = {"input_file": tmp_path / "in.txt", "output_file": tmp_path / "out" / "a.tfrecord",
              "vocab_file": vocab, "max_seq_length": 32, "max_predictions_per_seq": 5,
              "dupe_factor": 2}
    values.update(changes)
    return {name: value for name, value in values.items() if value is not None}


def make(tmp_path, vocab, text=TEXT, **changes):
    """Runs the command in this process; returns the directory of its output."""
    command.main(parse(command.define_flags, **flags(tmp_path, vocab, text, **changes)))
    return tmp_path / "out"


def refused(tmp_path, vocab, text=TEXT, **changes):
    """The one sentence that ends the command with status 1; nothing is left beside the input."""
    parsed = parse(command.define_flags, **flags(tmp_path, vocab, text, **changes))
    before = everything(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        commands._main_with_plain_errors(lambda _: command.main(parsed), ["command"])
    assert everything(tmp_path) == before
    assert "\n" not in stopped.value.code  # a text as the code of sys.exit is status 1
    return stopped.value.code


def everything(directory):
    """Every file under a directory with its content."""
    return {os.path.join(root, name): open(os.path.join(root, name), "rb").read()  # noqa: SIM115
            for root, _, names in os.walk(str(directory)) for name in names}


def read(path):
    """A record file -> list of {name: list of numbers}."""
    examples = []
    for record in tf.python_io.tf_record_iterator(str(path)):
        features = tf.train.Example.FromString(record).features.feature
        examples.append({name: list(feature.float_list.value or feature.int64_list.value)
                         for name, feature in sorted(features.items())})
    return examples


def sidecar(path):
    with open(str(path) + ".json", encoding="utf-8") as stream:
        return json.load(stream)


# ---- end to end ----

def test_command_end_to_end(tmp_path, run_command, sample_vocab):
    path = tmp_path / "out" / "tf_news.tfrecord"
    changes = {"input_file": NEWS, "output_file": path, "max_seq_length": 64,
               "max_predictions_per_seq": 10, "masked_lm_prob": 0.15}
    status, output = run_command("create_pretraining_data.py",
                                 **flags(tmp_path, sample_vocab, **changes))
    assert status == 0, output
    assert sorted(os.listdir(str(path.parent))) == ["tf_news.tfrecord", "tf_news.tfrecord.json"]
    before = everything(path.parent)
    assert before == everything(make(tmp_path, sample_vocab, **changes))  # another process
    size = tokenization.load_tokenizer(sample_vocab).vocab_size
    records.check_pretraining_files([str(path)], 64, 10, size)
    count = records.count_records(str(path))
    assert count == records.total_records([str(path)]) > 1000
    for line in ("documents                                               180",
                 "instances                                             {:,}".format(count),
                 "written to %s" % path,
                 "next: python3 run_pretraining.py --input_file=%s --max_seq_length=64" % path):
        assert line in output
    assert "warning" not in output


def test_records_hold_whole_instances(tmp_path, sample_vocab):
    out = make(tmp_path, sample_vocab, input_file=NEWS, max_seq_length=64, dupe_factor=1)
    tokenizer = tokenization.load_tokenizer(sample_vocab)
    with open(NEWS, encoding="utf-8") as stream:
        text = "".join(tokenizer.tokenize(stream.read()))
    examples = read(out / "a.tfrecord")
    for example in examples:
        assert {name: len(values) for name, values in example.items()} == {
            name: feature.shape[0] for name, feature in records.pretraining_spec(64, 5).items()}
        length, predictions = sum(example["input_mask"]), int(sum(example["masked_lm_weights"]))
        assert 1 <= predictions <= 5
        tokens = np.array(example["input_ids"][:length])
        masked = example["masked_lm_positions"][:predictions]
        tokens[masked] = example["masked_lm_ids"][:predictions]
        first, second, rest = "".join(tokenizer.convert_ids_to_tokens(tokens)).split("[SEP]")
        assert first[:5] == "[CLS]" and rest == ""
        assert first[5:] in text and second in text
        middle = tokens.tolist().index(tokenizer.sep_id) + 1
        assert example["segment_ids"] == (
            [0] * middle + [1] * (length - middle) + [0] * (64 - length))
    swapped = sum(example["next_sentence_labels"][0] for example in examples)
    assert abs(swapped - len(examples) / 2) < 2 * len(examples) ** 0.5


def test_sidecar_says_how_the_data_was_made(tmp_path, sample_vocab):
    out = make(tmp_path, sample_vocab, ngram=2, random_seed=7, do_lower_case=False)
    tokenizer = tokenization.load_tokenizer(sample_vocab, do_lower_case=False)
    made = sidecar(out / "a.tfrecord")
    assert made["flags"] == {
        "max_seq_length": 32, "max_predictions_per_seq": 5, "masked_lm_prob": 0.1,
        "short_seq_prob": 0.1, "dupe_factor": 2, "ngram": 2, "whole_words": True,
        "brightmart_labels": False, "random_seed": 7, "do_lower_case": False, "non_chinese": False}
    assert made["vocab"] == {"file": sample_vocab, "size": tokenizer.vocab_size,
                             "fingerprint": tokenizer.fingerprint}
    examples = read(out / "a.tfrecord")
    assert made["files"] == {"a.tfrecord": len(examples)}
    expected = {
        "lines": 8, "documents": 3, "sentences": 6, "documents cut in pieces": 0,
        "documents dropped (fewer than two sentences)": 1, "instances": len(examples),
        "instances swapped": sum(sum(example["next_sentence_labels"]) for example in examples),
        "tokens": sum(sum(example["input_mask"]) for example in examples),
        "masked tokens": sum(sum(example["masked_lm_weights"]) for example in examples)}
    assert made["counts"] == expected


def test_shards_share_the_records_evenly(tmp_path, sample_vocab):
    names = ["t-%d-of-3.tfrecord" % shard for shard in range(3)] + ["u.tfrecord"]
    out = make(tmp_path, sample_vocab, input_file=NEWS,
               output_file=" , ".join(str(tmp_path / "out" / name) for name in names))
    assert sorted(os.listdir(str(out))) == sorted(names + ["t.tfrecord.json", "u.tfrecord.json"])
    counts = {name: len(read(out / name)) for name in names}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sidecar(out / "t.tfrecord")["files"] == {name: counts[name] for name in names[:3]}
    assert sidecar(out / "u.tfrecord")["files"] == {"u.tfrecord": counts["u.tfrecord"]}
    whole = make(tmp_path, sample_vocab, input_file=NEWS) / "a.tfrecord"
    assert sorted(map(str, read(whole))) == sorted(
        str(example) for name in names for example in read(out / name))


def test_globs_and_comma_lists(tmp_path, sample_vocab):
    parts = TEXT.split("\n\n")
    for index, part in enumerate(parts):
        (tmp_path / ("part_%d.txt" % index)).write_text(part, encoding="utf-8")
    pattern = "%s/part_[12].txt,%s/part_0.txt" % (tmp_path, tmp_path)
    out = make(tmp_path, sample_vocab, input_file=pattern)
    several = (out / "a.tfrecord").read_bytes()
    assert sidecar(out / "a.tfrecord")["counts"]["documents"] == 3  # a file ends a document
    assert (make(tmp_path, sample_vocab) / "a.tfrecord").read_bytes() == several


def test_document_makes_the_same_records_in_any_corpus(tmp_path, sample_vocab):
    whole = map(str, read(make(tmp_path, sample_vocab) / "a.tfrecord"))
    alone = map(str, read(make(tmp_path, sample_vocab, TEXT.split("\n\n")[1]) / "a.tfrecord"))
    assert set(alone) < set(whole)


def test_other_seed_other_records(tmp_path, sample_vocab):
    one, other = (set(map(str, read(make(tmp_path, sample_vocab, input_file=NEWS, dupe_factor=1,
                                         random_seed=seed) / "a.tfrecord"))) for seed in (1, 2))
    assert len(one & other) < 0.01 * len(one)  # a pair of very short sentences may come again


@pytest.mark.parametrize("changes, cuts", [
    ({}, 5), ({"non_chinese": True}, 0), ({"do_whole_word_mask": False}, 0)])
def test_jieba_cuts_every_sentence_unless_told_not_to(tmp_path, sample_vocab, monkeypatch, changes,
                                                      cuts):
    cut, seen = pretraining_instances.jieba_boundaries, []
    monkeypatch.setattr(pretraining_instances, "jieba_boundaries",
                        lambda sentence: seen.append(sentence) or cut(sentence))
    out = make(tmp_path, sample_vocab, TEXT[:TEXT.index("孤")], **changes)
    assert len(seen) == cuts
    assert read(out / "a.tfrecord")


# ---- parts ----

@pytest.mark.parametrize("count, size", [(0, 5), (3, 5), (5, 5), (100, 7), (100, 1000)])
def test_mixed_is_a_permutation(count, size):
    order = list(command.mixed(range(count), 1, size))
    assert sorted(order) == list(range(count))
    assert order == list(command.mixed(range(count), 1, size))
    if count == 100:
        assert order != list(range(100))
        assert order != list(command.mixed(range(count), 2, size))


def documents(tmp_path, text, **options):
    (tmp_path / "in.txt").write_bytes(text.encode("utf-8"))
    counts = collections.Counter()
    return list(command.read_documents([str(tmp_path / "in.txt")], counts, **options)), counts


@pytest.mark.parametrize("text, expected", [
    ("", []),
    ("\n \n\n", []),
    ("a\nb", [["a", "b"]]),
    ("\n\na\r\n b \n\n \u3000\nc\n\n\n", [["a", "b"], ["c"]]),
])
def test_documents_end_at_blank_lines(tmp_path, text, expected):
    assert documents(tmp_path, text)[0] == expected


def test_long_document_is_cut_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "MAX_DOCUMENT_SENTENCES", 3)
    pieces, counts = documents(tmp_path, "a\nb\nc\nd\ne\nf\ng\n\nh\n")
    assert pieces == [["a", "b", "c"], ["d", "e", "f"], ["g"], ["h"]]
    assert counts == {"lines": 9, "documents cut in pieces": 2}


def test_bytes_read_add_up_to_the_file(tmp_path):
    sizes = []
    documents(tmp_path, TEXT, on_bytes=sizes.append)
    assert sum(sizes) == os.path.getsize(str(tmp_path / "in.txt"))


def test_corpus_without_blank_lines_is_a_warning(tmp_path, sample_vocab, caplog):
    caplog.set_level("INFO", "albert")
    make(tmp_path, sample_vocab, TEXT.replace("\n\n", "\n"))
    assert "warning: 1 document(s) in 6 sentences; documents must be separated" in caplog.text
    caplog.clear()
    make(tmp_path, sample_vocab)
    assert "documents dropped (fewer than two sentences)              1" in caplog.text
    assert "warning" not in caplog.text


def test_warning_of_a_document_cut_in_pieces():
    counts = collections.Counter({"documents": 1, "sentences": 12345})
    table = command.closing_table(counts, ["a"])
    assert "warning: 1 document(s) in 12,345 sentences; documents must be separated" in table
    assert "warning" not in command.closing_table(collections.Counter(documents=2), ["a"])
    assert "warning" in command.closing_table(
        collections.Counter({"documents": 9, "documents cut in pieces": 1}), ["a"])


# ---- what the command refuses ----

BAD_LINE = TEXT.encode("utf-8") + "中文编码\n".encode("gbk") + TEXT.encode("utf-8")


@pytest.mark.parametrize("changes, message", [
    ({"input_file": None}, "no input files given"),
    ({"input_file": "/none/a.txt"}, "/none/a.txt: no such file"),
    ({"input_file": "/none/*.txt"}, "/none/*.txt: no such file"),
    ({"output_file": None}, "--output_file is missing"),
    ({"output_file": " , "}, "--output_file is missing"),
    ({"output_file": "/tmp"}, "/tmp: a directory, expected the name of a file"),
    ({"output_file": "/tmp/a,/tmp/b,/tmp/a"}, "--output_file names /tmp/a twice"),
    ({"output_file": "/etc/hostname/a.tfrecord"}, "/etc/hostname"),  # is a file
    ({"output_file": "/proc/none/a.tfrecord"}, "/proc/none: No such file or directory"),
    ({"vocab_file": None}, "neither --vocab_file nor --spm_model_file is given"),
    ({"vocab_file": "/none/vocab.txt"}, "--vocab_file=/none/vocab.txt: no such file"),
    ({"vocab_file": NEWS}, "expected every token once"),
    ({"max_predictions_per_seq": 32}, "--max_predictions_per_seq=32 is not below --max_seq_length"),
    ({"spm_model_file": "a.model", "brightmart_labels": True},
     "--brightmart_labels needs a WordPiece --vocab_file"),
    ({"text": ""}, "in.txt: empty; expected one sentence a line"),
    ({"text": "\n \n"}, "0 instances for 1 output files"),
    ({"text": "一句。\n\n又一句。\n"}, "the input needs documents of two or more sentences"),
    ({"text": BAD_LINE}, "in.txt line 9: byte 1 is not UTF-8; convert the file"),
])
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, sample_vocab, changes, message):
    sentence = refused(tmp_path, **dict({"vocab": sample_vocab}, **changes))
    assert sentence.startswith("error: ")
    assert message in sentence


def test_vocabulary_without_mask(tmp_path, sample_vocab):
    with open(sample_vocab, encoding="utf-8") as stream:
        tokens = stream.read().replace("[MASK]\n", "").replace("[CLS]\n", "")
    (tmp_path / "vocab.txt").write_text(tokens, encoding="utf-8")
    sentence = refused(tmp_path, str(tmp_path / "vocab.txt"))
    assert "vocab.txt: no [CLS] [MASK] among its" in sentence


def test_output_that_is_an_input(tmp_path, sample_vocab):
    sentence = refused(tmp_path, sample_vocab, output_file=tmp_path / "in.txt")
    assert "in.txt is one of the input files; name another" in sentence


def test_fewer_instances_than_files(tmp_path, sample_vocab):
    outputs = ",".join(str(tmp_path / ("t-%d-of-9" % shard)) for shard in range(9))
    assert "for 9 output files" in refused(tmp_path, sample_vocab, output_file=outputs)


def test_bad_lines_are_counted_and_left_out(tmp_path, sample_vocab):
    out = make(tmp_path, sample_vocab, BAD_LINE, skip_bad_lines=True)
    assert sidecar(out / "a.tfrecord")["counts"]["bad lines"] == 1
    examples = sorted(map(str, read(out / "a.tfrecord")))
    assert examples == sorted(map(str, read(
        make(tmp_path, sample_vocab, TEXT + TEXT) / "a.tfrecord")))


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
    ("short_seq_prob", 2), ("dupe_factor", 0), ("max_predictions_per_seq", "many")])
def test_flag_out_of_range(name, value):
    with pytest.raises(absl_flags.IllegalFlagValueError, match=name):
        parse(command.define_flags, **{name: value})


def limit_files():
    """What a full disk is to a process: writing beyond 100 KB of a file fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))


def test_file_too_large_is_one_sentence(tmp_path, run_command, sample_vocab):
    values = flags(tmp_path, sample_vocab, input_file=NEWS)
    status, output = run_command("create_pretraining_data.py", popen={"preexec_fn": limit_files},
                                 **values)
    assert status == 1
    assert output.strip().split("\n")[-1].startswith("error: %s" % (tmp_path / "out"))
    assert output.strip().endswith("File too large")
    assert "Traceback" not in output
    assert os.listdir(str(tmp_path / "out")) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, where this user may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("mount -t tmpfs is not permitted here")
    yield path
    subprocess.check_call(["umount", str(path)])


@pytest.mark.parametrize("text, blocks", [
    (TEXT, 0), (TEXT, 1), (TEXT, 2), (TEXT, 3),  # four files, flushed as they are closed
    (TEXT, 4),  # and their description, the fifth block
    (None, 64),  # in the midst of writing
])
def test_full_disk_leaves_no_part_of_a_set(tmp_path, sample_vocab, small_disk, text, blocks):
    block = os.statvfs(str(small_disk)).f_bsize
    (small_disk / "other").write_bytes(b"\0" * ((1 << 20) - blocks * block))
    outputs = ",".join(str(small_disk / ("t-%d-of-4" % shard)) for shard in range(4))
    if text is None:
        with open(NEWS, encoding="utf-8") as stream:
            text = stream.read()
    sentence = refused(tmp_path, sample_vocab, text, output_file=outputs)
    assert sentence.startswith("error: %s" % small_disk)
    assert sentence.endswith("No space left on device")


def test_the_fifth_block_is_enough(tmp_path, sample_vocab, small_disk):
    """So the test above fills the disk where it says it does."""
    block = os.statvfs(str(small_disk)).f_bsize
    (small_disk / "other").write_bytes(b"\0" * ((1 << 20) - 5 * block))
    outputs = ",".join(str(small_disk / ("t-%d-of-4" % shard)) for shard in range(4))
    make(tmp_path, sample_vocab, output_file=outputs)
    assert len(os.listdir(str(small_disk))) == 6


def test_error_of_the_last_writer_keeps_every_name_away(tmp_path, monkeypatch):
    """A disk that fills while the first file is closed, when the others are complete already."""
    class Writer(tf.python_io.TFRecordWriter):
        def __exit__(self, *error):
            super().__exit__(*error)
            if not writers.index(self):
                raise tf.errors.ResourceExhaustedError(None, None, "t; No space left on device")

    writers = []
    monkeypatch.setattr(command.tf.python_io, "TFRecordWriter",
                        lambda path: writers.append(Writer(path)) or writers[-1])
    with pytest.raises(tf.errors.ResourceExhaustedError):
        command.write_set([b"1", b"2", b"3"], [str(tmp_path / name) for name in "abc"], dict)
    assert os.listdir(str(tmp_path)) == []


def test_too_few_examples_leave_no_file(tmp_path):
    with pytest.raises(UserError, match="2 instances for 3 output files"):
        command.write_set([b"1", b"2"], [str(tmp_path / name) for name in "abc"], dict)
    assert os.listdir(str(tmp_path)) == []
