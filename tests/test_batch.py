"""Files answered in pieces, by processes, that a stopped run goes on with."""

import gzip
import logging
import os
import subprocess
import types

from util import text_lines
from util.errors import UserError

import pytest

import tiny
import tuning
from processes import ROOT, command, wait_until
from serving import batch, engines, predictor
from test_lines import Lengths

CHUNK = 4


@pytest.fixture
def model(monkeypatch):
    """A package, and predictors of it that count their runs in `runs` and stop before `stop_at`."""
    package = types.SimpleNamespace(
        fingerprint="f", head="classification", options={}, max_seq_length=16, weights=None,
        tokenizer=types.SimpleNamespace(fingerprint="t"), runs=0, stop_at=None)

    def stop():
        if package.runs == package.stop_at:
            raise tiny.StopHere
        package.runs += 1

    monkeypatch.setattr(batch, "CHUNK", CHUNK)
    monkeypatch.setattr(predictor, "make", lambda *arguments: Lengths(stop))
    return package


def write(tmp_path, counts=(7, 10)):
    """Files of so many lines; returns (their paths, all lines)."""
    paths, lines = [], []
    for number, count in enumerate(counts):
        of_file = ["x" * (1 + (number + line) % 5) for line in range(count)]
        paths.append(str(tmp_path / ("in-%d.tsv.gz" % number)))
        with gzip.open(paths[-1], "wt") as stream:
            stream.write("".join(line + "\n" for line in of_file))
        lines += of_file
    return paths, lines


def read(tmp_path):
    """The lines of all outputs, one after the other."""
    return [line for path in sorted(tmp_path.glob("out*"))
            for _, line in text_lines.read_lines(str(path))]


@pytest.mark.parametrize("output, names", [
    ("out.tsv", ["out.tsv"]),
    ("out@3.tsv.gz", ["out-0000%d-of-00003.tsv.gz" % part for part in range(3)])])
def test_outputs_are_the_inputs_in_order(tmp_path, model, output, names, caplog):
    caplog.set_level(logging.INFO, "albert")
    paths, lines = write(tmp_path)
    batch.run(model, paths, str(tmp_path / output), batch.Settings())
    assert sorted(os.listdir(str(tmp_path))) == ["in-0.tsv.gz", "in-1.tsv.gz"] + names
    assert read(tmp_path) == ["%s\t%.6f" % (line, len(line)) for line in lines]
    cut = sum(len(line) > 4 for line in lines)
    assert "17 lines of 2 file(s) in %d; " % len(names) in caplog.text
    assert "%d did not fit whole, 0 bad" % cut in caplog.text


def contents(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.glob("out*")}


@pytest.mark.parametrize("stops", [[0], [1], [2, 1], [3], [1, 1, 1, 1]])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(tmp_path, model, stops, caplog):
    caplog.set_level(logging.INFO, "albert")
    paths, _ = write(tmp_path)
    (tmp_path / "whole").mkdir()
    batch.run(model, paths, str(tmp_path / "whole" / "out@3.tsv"), batch.Settings())
    summary, runs = caplog.records[-1].getMessage().split(";")[2], model.runs
    assert runs == 6  # 5, 6 and 6 lines
    model.runs = 0
    for more in stops:
        model.stop_at = model.runs + more
        with pytest.raises(tiny.StopHere):
            batch.run(model, paths, str(tmp_path / "out@3.tsv"), batch.Settings())
        assert set(contents(tmp_path)) == {
            "out-0000%d-of-00003.tsv" % part for part in range(3) if model.runs >= 2 * part + 2}
    model.stop_at = None
    batch.run(model, paths, str(tmp_path / "out@3.tsv"), batch.Settings())
    assert model.runs == 6  # nothing twice
    assert contents(tmp_path) == contents(tmp_path / "whole")
    assert caplog.records[-1].getMessage().split(";")[2] == summary
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def stopped(tmp_path, model, stop_at=3):
    """A run that was stopped after `stop_at` pieces; returns its inputs and its output."""
    paths, _ = write(tmp_path)
    model.stop_at = stop_at
    with pytest.raises(tiny.StopHere):
        batch.run(model, paths, str(tmp_path / "out@3.tsv"), batch.Settings())
    model.stop_at = None
    return paths, str(tmp_path / "out@3.tsv")


@pytest.mark.parametrize("change, name", [
    ({"fingerprint": "g"}, "model"), ({"max_seq_length": 8}, "options"), ("inputs", "inputs"),
    ("content", "inputs"), ("engine", "engine"), ("output", "outputs")])
def test_work_of_another_run_is_refused(tmp_path, model, change, name):
    paths, output = stopped(tmp_path, model)
    settings = batch.Settings()
    if change == "inputs":
        paths = paths[:1]
    elif change == "content":
        os.utime(paths[0], (1, 1))
    elif change == "output":
        os.rename(str(tmp_path / ".out@3.tsv.work"), str(tmp_path / ".other@3.tsv.work"))
        output = str(tmp_path / "other@3.tsv")
    elif change == "engine":
        settings = settings._replace(engine="openvino")
    else:
        vars(model).update(change)
    with pytest.raises(UserError, match="holds unfinished work of a run with other %s; repeat that "
                                        "run's command, delete that directory" % name):
        batch.run(model, paths, output, settings)


def test_an_output_that_was_taken_away_is_made_again(tmp_path, model):
    paths, output = stopped(tmp_path, model)
    (tmp_path / "out-00000-of-00003.tsv").unlink()
    (tmp_path / ".out-00001-of-00003.tsv.77.tmp").write_text("unfinished")
    (tmp_path / ".out@3.tsv.work" / ".piece-1-1-0-0.77.tmp").write_text("unfinished")
    batch.run(model, paths, output, batch.Settings())
    assert len(read(tmp_path)) == 17 and sorted(path.name for path in tmp_path.glob(".*")) == []


def test_a_set_is_not_written_over(tmp_path, model):
    paths, _ = write(tmp_path)
    for name in ("out.tsv", "out-00001-of-00002.tsv"):
        (tmp_path / name).write_text("of before")
    batch.run(model, paths, str(tmp_path / "out.tsv"), batch.Settings())
    with pytest.raises(UserError, match="out-00001-of-00002.tsv is there already, of a run"):
        batch.run(model, paths, str(tmp_path / "out@2.tsv"), batch.Settings())
    assert len(list(text_lines.read_lines(str(tmp_path / "out.tsv")))) == 17
    assert (tmp_path / "out-00001-of-00002.tsv").read_text() == "of before"
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("line, reason", [
    ("a\tb\tc", "expected a text or a pair"), ("", "text is empty"), ("{", "starts with {")])
def test_bad_lines_are_said_before_anything_is_computed(tmp_path, model, line, reason, caplog):
    caplog.set_level(logging.INFO, "albert")
    (tmp_path / "in.tsv").write_text("a\nb\n%s\nc\n" % line)
    run = (model, [str(tmp_path / "in.tsv")], str(tmp_path / "out.tsv"))
    with pytest.raises(UserError, match="in.tsv line 3: %s.* or pass --skip_bad_lines" % reason):
        batch.run(*run, batch.Settings())
    assert os.listdir(str(tmp_path)) == ["in.tsv"] and not model.runs
    batch.run(*run, batch.Settings(skip_bad_lines=True))
    found = read(tmp_path)
    assert found[2].startswith(line + "\terror: " + reason) and found[3] == "c\t1.000000"
    assert "0 did not fit whole, 1 bad" in caplog.text


def test_a_bad_line_that_only_the_model_sees(tmp_path, model):
    """What is done is kept, and --skip_bad_lines goes on with it."""
    (tmp_path / "in.tsv").write_text("a\n" * 5 + "bad\nc\n")
    run = (model, [str(tmp_path / "in.tsv")], str(tmp_path / "out.tsv"))
    with pytest.raises(UserError, match="in.tsv line 6: bad is no item"):
        batch.run(*run, batch.Settings())
    batch.run(*run, batch.Settings(skip_bad_lines=True))
    assert model.runs == 2 and read(tmp_path)[5].startswith("bad\terror: bad is no item")


@pytest.mark.parametrize("output, message", [
    ("in.tsv", "is one of the input files"), ("", "a directory, expected the name of a file"),
    ("out@9.tsv", "3 lines for 9 output files"), ("out@0.tsv", "0 shards, expected 1 to")])
def test_outputs_that_cannot_be(tmp_path, model, output, message):
    (tmp_path / "in.tsv").write_text("a\nb\nc\n")
    with pytest.raises(UserError, match=message):
        batch.run(model, [str(tmp_path / "in.tsv")], os.path.join(str(tmp_path), output),
                  batch.Settings())
    assert os.listdir(str(tmp_path)) == ["in.tsv"]


def test_an_input_that_becomes_shorter(tmp_path, model):
    paths, _ = stopped(tmp_path, model)
    work = batch.Work(str(tmp_path / ".out@3.tsv.work"), [
        str(tmp_path / ("out-0000%d-of-00003.tsv" % part)) for part in range(3)], 17)
    with pytest.raises(UserError, match="fewer lines than a moment ago"):
        list(work.missing(paths[:1]))


def test_the_engine_is_measured_where_there_is_enough_to_do(tmp_path, model, monkeypatch):
    asked = []
    monkeypatch.setattr(batch, "FEWEST_TO_MEASURE", 17)
    monkeypatch.setattr(
        engines, "fastest", lambda *arguments: asked.append(arguments) or "openvino")
    paths, output = stopped(tmp_path, model)
    assert len(asked) == 1
    batch.run(model, paths, output, batch.Settings())  # with the engine of before
    batch.run(model, paths[:1], str(tmp_path / "few"), batch.Settings())
    batch.run(model, paths, str(tmp_path / "said"), batch.Settings(engine="onnxruntime"))
    assert len(asked) == 1


@pytest.mark.slow
def test_killed_workers_and_the_same_bytes(tmp_path):
    """kill -9 of a run of two processes, over a real export."""
    pytest.importorskip("onnxruntime")
    from test_predictor import export
    here = tuning.prepare(tmp_path)
    tuning.run(here, do_train=True, do_eval=True, train_step=2)
    flags = {"model": export(here, "export"), "input_file": str(tmp_path / "in.tsv.gz"),
             "num_workers": 2, "engine": "onnxruntime"}
    with gzip.open(flags["input_file"], "wt", encoding="utf-8") as stream:
        stream.writelines("%s\n" % text for text, _ in tuning.texts(30000, 0))
    outputs, log = {}, open(str(tmp_path / "log"), "w")  # noqa: SIM115 - for both processes
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        flags["output_file"] = str(tmp_path / name / "out@4.tsv.gz")
        process = subprocess.Popen(command("similarity.py", flags), cwd=ROOT, stderr=log)
        if name == "killed":
            wait_until(lambda: len(contents(tmp_path / "killed")) in (1, 2))
            process.kill()
            process.wait()
            assert len(contents(tmp_path / "killed")) < 4
            process = subprocess.Popen(command("similarity.py", flags), cwd=ROOT, stderr=log)
        assert process.wait() == 0, (tmp_path / "log").read_text()
        outputs[name] = contents(tmp_path / name)
    assert outputs["whole"] == outputs["killed"] and len(outputs["whole"]) == 4
    assert len(read(tmp_path / "whole")) == 30000
