"""The predictor that stays loaded, what it is made of, and the commands around it."""

import json
import os
import threading

from util import text_lines
from util.errors import UserError

import pytest

import export_model
import similarity
import tiny
from interchange import tensorflow_files
from serving import batch, checkpoint_package, decisions, engines, exporting, predictor
from test_conversion import random_weights

HAS_ONNX = engines.available()[0] == "onnxruntime"
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason=engines.REQUIREMENTS)
ENGINES = engines.available()


def expected(here):
    """[(label, [probability])] as --do_predict wrote them."""
    lines = (here / "out" / "test_results.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [(line.split("\t")[1], [float(cell) for cell in line.split("\t")[2:]])
            for line in lines]


def test_texts(here):
    lines = (here / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t")[0] for line in lines]


test_texts.__test__ = False


def load(here, **options):
    return predictor.load(str(here / "out"), vocab_file=str(here / "vocab.txt"), **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_are_those_of_the_command(fine_tuned, engine):
    made = load(fine_tuned, engine=engine, max_seq_length=16)
    answers = made.predict(test_texts(fine_tuned))
    for answer, (label, shares) in zip(answers, expected(fine_tuned)):
        assert answer["label"] == label and list(answer["probabilities"]) == ["no", "yes"]
        assert list(answer["probabilities"].values()) == pytest.approx(shares, abs=1e-5)
    assert made.package.task == "tsv" and made.engine.name == engine


def test_answers_do_not_depend_on_their_company(fine_tuned, monkeypatch):
    made, texts = load(fine_tuned), test_texts(fine_tuned)
    together = made.predict(texts)
    monkeypatch.setattr(predictor, "BATCH_TOKENS", 1)
    for alone, other in zip(made.predict(texts), together):
        assert alone["label"] == other["label"]
        assert alone["probabilities"]["no"] == pytest.approx(other["probabilities"]["no"], abs=1e-6)


def test_threads_get_their_own_answers(fine_tuned):
    made, texts = load(fine_tuned), test_texts(fine_tuned)
    whole = [answer["label"] for answer in made.predict(texts)]
    found = {}

    def ask(index):
        found[index] = [answer["label"] for answer in made.predict(texts[index:index + 20])]

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(0, 50, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(labels == whole[index:index + 20] for index, labels in found.items())
    assert len(found) == 10


def test_items(fine_tuned):
    made = load(fine_tuned, max_seq_length=8)
    text = "".join(tiny.CHARACTERS[:9])
    cut, pair, whole = made.predict([text, (text[:4], text[4:]), "a"])
    assert (cut["tokens_cut"], pair["tokens_cut"], whole["tokens_cut"]) == (3, 4, 0)
    with pytest.raises(UserError, match="item 2: expected a text or a pair of texts .*, found 3"):
        made.predict(["a", 3])
    assert made.predict([]) == []


def test_pieces_of_predict(fine_tuned):
    """Rows of several callers are computed together; each gets its own answer."""
    made, texts = load(fine_tuned), test_texts(fine_tuned)[:5]
    all_rows = [made.rows(text) for text in texts]
    outputs = made.compute([row for rows in all_rows for row in rows])
    for text, rows, output, answer in zip(texts, all_rows, outputs, made.predict(texts)):
        found = json.loads(json.dumps(made.answer(text, rows, [output])))
        assert found["label"] == answer["label"] and len(rows) == 1
        assert found["probabilities"]["no"] == pytest.approx(
            answer["probabilities"]["no"], abs=1e-6)
    with pytest.raises(UserError, match="^expected a text"):
        made.rows(3)


@pytest.mark.parametrize("engine", ENGINES)
def test_words_for_a_mask(tmp_path, engine):
    """By the logits of the masked-LM head at the places of [MASK], softmax in full."""
    weights = random_weights()
    tensorflow_files.write_tensorflow(weights.arrays, str(tmp_path / "model.ckpt"))
    (tmp_path / "config.json").write_text(json.dumps(weights.config.to_dict()))
    tiny.write_vocab(tmp_path / "vocab.txt")
    made = predictor.load(str(tmp_path), engine=engine, top=3)
    first, second = made.predict(["一[MASK]丁[MASK]", "[MASK]"])
    assert [len(words) for words in first["masks"]] == [3, 3] and len(second["masks"]) == 1
    for words in first["masks"]:
        assert words == sorted(words, key=lambda word: -word[1])
        assert 0 < sum(share for _, share in words) <= 1
    made._family._top = 100
    assert sum(share for _, share in made.predict(["[MASK]"])[0]["masks"][0]) == pytest.approx(1)
    with pytest.raises(UserError, match=r"item 1: no \[MASK\] among the tokens that fit"):
        made.predict(["一丁"])


# ---- exports ----

def export(here, name, **flags):
    export_model.main(tiny.parse(export_model.define_flags, **dict({
        "model": here / "out", "vocab_file": here / "vocab.txt", "output": here / name}, **flags)))
    return str(here / name)


@needs_onnx
@pytest.mark.parametrize("flags", [{}, {"optimize": True}])
def test_export_answers_as_the_checkpoint(fine_tuned, tmp_path, flags):
    path = export(fine_tuned, "export%d" % len(flags), max_seq_length=16, **flags)
    assert sorted(os.listdir(path)) == ["model.json", "model.onnx", "triton", "vocab.txt"]
    made = predictor.load(path)
    assert made.package.max_seq_length == 16 and made.engine.name == "onnxruntime"
    assert made.package.fingerprint == checkpoint_package.load(
        str(fine_tuned / "out"), str(fine_tuned / "vocab.txt")).fingerprint
    for answer, (label, shares) in zip(made.predict(test_texts(fine_tuned)), expected(fine_tuned)):
        assert answer["label"] == label
        assert list(answer["probabilities"].values()) == pytest.approx(shares, abs=1e-5)
    with pytest.raises(UserError, match="is an export already"):
        export_model.main(tiny.parse(export_model.define_flags, model=path, output=tmp_path / "o"))


@needs_onnx
@pytest.mark.slow
def test_int8_is_kept_by_its_decisions(fine_tuned, monkeypatch):
    lines = (fine_tuned / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    (fine_tuned / "eval.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {"int8": True, "eval_file": fine_tuned / "eval.tsv", "max_seq_length": 16}
    operators = [node.op_type for node in pytest.importorskip("onnx").load(
        export(fine_tuned, "int8", max_flips=0.05, **options) + "/model.onnx").graph.node]
    assert operators.count("MatMulInteger") >= 6 and "LayerNormalization" in operators
    counted = decisions.Decisions(90, 0.5, 0.9, 0.5)
    monkeypatch.setattr(decisions, "compare", lambda *arguments: counted)
    with pytest.raises(UserError, match="50.00 % of the decisions flipped, more than --max_flips="
                                        "0.005; the export is kept as .*bad.unequal for a look"):
        export(fine_tuned, "bad", **options)
    assert not (fine_tuned / "bad").exists() and (fine_tuned / "bad.unequal").exists()


@needs_onnx
def test_export_that_differs_is_kept_aside(fine_tuned, monkeypatch):
    monkeypatch.setattr(exporting, "LIMIT", -1.0)
    with pytest.raises(UserError, match="it differs by .*; the export is kept as"):
        export(fine_tuned, "far")
    assert not (fine_tuned / "far").exists() and (fine_tuned / "far.unequal").exists()


@pytest.mark.parametrize("values, message", [
    ({}, "--model is missing"), ({"model": "x"}, "--output is missing"),
    ({"model": "x", "output": "y", "int8": True}, "--eval_file is missing"),
    ({"model": "x", "output": "y", "int8": True, "optimize": True}, "--int8 with --optimize"),
    ({"model": "nowhere", "output": "y"}, "nowhere: no such checkpoint")])
def test_export_flags_that_cannot_run(values, message):
    with pytest.raises(UserError, match=message):
        export_model.main(tiny.parse(export_model.define_flags, **values))


# ---- similarity.py ----

def flags(here, **changes):
    return tiny.parse(similarity.define_flags, **dict({
        "model": here / "out", "vocab_file": here / "vocab.txt", "max_seq_length": 16}, **changes))


@pytest.mark.parametrize("output, count", [(None, 0), ("out.tsv.gz", 1), ("out@3.tsv", 3)])
def test_file_of_texts(fine_tuned, tmp_path, monkeypatch, capsysbinary, output, count):
    """To standard output and to files, the same lines."""
    monkeypatch.setattr(batch, "CHUNK", 16)
    (tmp_path / "in.tsv").write_text("\n".join(test_texts(fine_tuned)) + "\n", encoding="utf-8")
    options = {"output_file": tmp_path / output} if output else {}
    similarity.main(flags(fine_tuned, input_file=tmp_path / "in.tsv", **options))
    lines = [line for path in sorted(tmp_path.glob("out*"))
             for _, line in text_lines.read_lines(str(path))]
    lines = lines or capsysbinary.readouterr().out.decode("utf-8").splitlines()
    assert len(lines) == 70 and len(os.listdir(str(tmp_path))) == 1 + count
    for line, text, (label, shares) in zip(lines, test_texts(fine_tuned), expected(fine_tuned)):
        cells = line.split("\t")
        assert cells[:2] == [text, label]
        assert float(cells[2].split(":")[1]) == pytest.approx(shares[0], abs=2e-5)


def test_bad_line_leaves_no_file(fine_tuned, tmp_path):
    (tmp_path / "in.tsv").write_text("a\nb\tc\td\n", encoding="utf-8")
    with pytest.raises(UserError, match="in.tsv line 2: expected a text or a pair of texts .* or "
                                        "pass --skip_bad_lines"):
        similarity.main(flags(fine_tuned, input_file=tmp_path / "in.tsv",
                              output_file=tmp_path / "out.tsv"))
    assert os.listdir(str(tmp_path)) == ["in.tsv"]


def test_class_of_albert_zh(fine_tuned):
    sim = similarity.BertSim(str(fine_tuned / "out"), vocab_file=str(fine_tuned / "vocab.txt"))
    sim.start_model()
    assert sim.predict_sentences([("我", "你")])[0]["label"] in ("no", "yes")


@needs_onnx
@pytest.mark.slow
def test_an_export_is_served_without_tensorflow(fine_tuned, run_command):
    path = export(fine_tuned, "served")
    (fine_tuned / "one.tsv").write_text("一丁\n", encoding="utf-8")
    (fine_tuned / "fake" / "tensorflow").mkdir(parents=True)
    (fine_tuned / "fake" / "tensorflow" / "__init__.py").write_text("raise ImportError('not here')")
    popen = {"env": dict(os.environ, PYTHONPATH=str(fine_tuned / "fake"))}
    status, output = run_command(
        "similarity.py", model=path, input_file=fine_tuned / "one.tsv", popen=popen)
    assert status == 0 and "一丁\t" in output, output
    assert run_command("export_model.py", popen=popen)[0] == 1  # so it is really not there
