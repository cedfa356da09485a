"""The predictor that stays loaded, what it is made of, and the commands around it."""

import json
import os
import threading

from util import files
from util.errors import UserError

import pytest

import export_model
import similarity
import tiny
import tuning
from interchange import tensorflow_files
from serving import batch, checkpoint_package, decisions, engines, exporting, predictor
from test_conversion import random_weights

HAS_ONNX = engines.available()[0] == "onnxruntime"
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason=engines.REQUIREMENTS)
ENGINES = engines.available()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a fine-tuned classification in out/, and its predictions of the test file.
    """
    here = tuning.prepare(tmp_path_factory.mktemp("trained"))
    tuning.run(here, do_train=True, do_eval=True, do_predict=True)
    return here


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
def test_answers_are_those_of_the_command(trained, engine):
    made = load(trained, engine=engine, max_seq_length=16)
    answers = made.predict(test_texts(trained))
    for answer, (label, shares) in zip(answers, expected(trained)):
        assert answer["label"] == label and list(answer["probabilities"]) == ["no", "yes"]
        assert list(answer["probabilities"].values()) == pytest.approx(shares, abs=1e-5)
    assert made.package.task == "tsv" and made.engine.name == engine


def test_answers_do_not_depend_on_their_company(trained, monkeypatch):
    made, texts = load(trained), test_texts(trained)
    together = made.predict(texts)
    monkeypatch.setattr(predictor, "BATCH_TOKENS", 1)
    for alone, other in zip(made.predict(texts), together):
        assert alone["label"] == other["label"]
        assert alone["probabilities"]["no"] == pytest.approx(other["probabilities"]["no"], abs=1e-6)


def test_threads_get_their_own_answers(trained):
    made, texts = load(trained), test_texts(trained)
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


def test_items(trained):
    made = load(trained, max_seq_length=8)
    text = "".join(tiny.CHARACTERS[:9])
    cut, pair, whole = made.predict([text, (text[:4], text[4:]), "a"])
    assert (cut["tokens_cut"], pair["tokens_cut"], whole["tokens_cut"]) == (3, 4, 0)
    with pytest.raises(UserError, match="item 2: expected a text or a pair of texts .*, found 3"):
        made.predict(["a", 3])
    assert made.predict([]) == []


def test_pieces_of_predict(trained):
    """Rows of several callers are computed together; each gets its own answer."""
    made, texts = load(trained), test_texts(trained)[:5]
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
def test_export_answers_as_the_checkpoint(trained, tmp_path, flags):
    path = export(trained, "export%d" % len(flags), max_seq_length=16, **flags)
    assert sorted(os.listdir(path)) == ["model.json", "model.onnx", "triton", "vocab.txt"]
    made = predictor.load(path)
    assert made.package.max_seq_length == 16 and made.engine.name == "onnxruntime"
    assert made.package.fingerprint == checkpoint_package.load(
        str(trained / "out"), str(trained / "vocab.txt")).fingerprint
    for answer, (label, shares) in zip(made.predict(test_texts(trained)), expected(trained)):
        assert answer["label"] == label
        assert list(answer["probabilities"].values()) == pytest.approx(shares, abs=1e-5)
    with pytest.raises(UserError, match="is an export already"):
        export_model.main(tiny.parse(export_model.define_flags, model=path, output=tmp_path / "o"))


@needs_onnx
@pytest.mark.slow
def test_int8_is_kept_by_its_decisions(trained, monkeypatch):
    lines = (trained / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    (trained / "eval.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {"int8": True, "eval_file": trained / "eval.tsv", "max_seq_length": 16}
    operators = [node.op_type for node in pytest.importorskip("onnx").load(
        export(trained, "int8", max_flips=0.05, **options) + "/model.onnx").graph.node]
    assert operators.count("MatMulInteger") >= 6 and "LayerNormalization" in operators
    counted = decisions.Decisions(90, 0.5, 0.9, 0.5)
    monkeypatch.setattr(decisions, "compare", lambda *arguments: counted)
    with pytest.raises(UserError, match="50.00 % of the decisions flipped, more than --max_flips="
                                        "0.005; the export is kept as .*bad.unequal for a look"):
        export(trained, "bad", **options)
    assert not (trained / "bad").exists() and (trained / "bad.unequal").exists()


@needs_onnx
def test_export_that_differs_is_kept_aside(trained, monkeypatch):
    monkeypatch.setattr(exporting, "LIMIT", -1.0)
    with pytest.raises(UserError, match="it differs by .*; the export is kept as"):
        export(trained, "far")
    assert not (trained / "far").exists() and (trained / "far.unequal").exists()


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
def test_file_of_texts(trained, tmp_path, monkeypatch, capsysbinary, output, count):
    """To standard output and to files, the same lines."""
    monkeypatch.setattr(batch, "CHUNK", 16)
    (tmp_path / "in.tsv").write_text("\n".join(test_texts(trained)) + "\n", encoding="utf-8")
    options = {"output_file": tmp_path / output} if output else {}
    similarity.main(flags(trained, input_file=tmp_path / "in.tsv", **options))
    lines = [line for path in sorted(tmp_path.glob("out*"))
             for _, line in files.read_lines(str(path))]
    lines = lines or capsysbinary.readouterr().out.decode("utf-8").splitlines()
    assert len(lines) == 70 and len(os.listdir(str(tmp_path))) == 1 + count
    for line, text, (label, shares) in zip(lines, test_texts(trained), expected(trained)):
        cells = line.split("\t")
        assert cells[:2] == [text, label]
        assert float(cells[2].split(":")[1]) == pytest.approx(shares[0], abs=2e-5)


def test_bad_line_leaves_no_file(trained, tmp_path):
    (tmp_path / "in.tsv").write_text("a\nb\tc\td\n", encoding="utf-8")
    with pytest.raises(UserError, match="in.tsv line 2: expected a text or a pair of texts .* or "
                                        "pass --skip_bad_lines"):
        similarity.main(flags(trained, input_file=tmp_path / "in.tsv",
                              output_file=tmp_path / "out.tsv"))
    assert os.listdir(str(tmp_path)) == ["in.tsv"]


def test_class_of_albert_zh(trained):
    sim = similarity.BertSim(str(trained / "out"), vocab_file=str(trained / "vocab.txt"))
    sim.start_model()
    assert sim.predict_sentences([("我", "你")])[0]["label"] in ("no", "yes")


@needs_onnx
@pytest.mark.slow
def test_an_export_is_served_without_tensorflow(trained, run_command):
    path = export(trained, "served")
    (trained / "one.tsv").write_text("一丁\n", encoding="utf-8")
    (trained / "fake" / "tensorflow").mkdir(parents=True)
    (trained / "fake" / "tensorflow" / "__init__.py").write_text("raise ImportError('not here')")
    popen = {"env": dict(os.environ, PYTHONPATH=str(trained / "fake"))}
    status, output = run_command(
        "similarity.py", model=path, input_file=trained / "one.tsv", popen=popen)
    assert status == 0 and "一丁\t" in output, output
    assert run_command("export_model.py", popen=popen)[0] == 1  # so it is really not there
