"""Restoring: its report and every refusal; layouts; damaged files."""

import os

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tiny
from interchange import huggingface, layouts, tensorflow_files
from training import restoring

BERT_ENCODER = "bert/encoder/layer_0/attention/self/query/kernel"
POOLER = "bert/pooler/dense/kernel"
WORDS = "bert/embeddings/word_embeddings"


def build(config):
    """The encoder and a head of 3 labels; returns their variables."""
    modeling.AlbertModel(config, False, tf.zeros([2, 8], tf.int32))
    tf.get_variable("output_weights", [3, config.hidden_size])
    return tf.trainable_variables()


def albert_arrays(config, **more):
    """Random values for every variable of the encoder, and `more`."""
    with tf.Graph().as_default():
        shapes = {variable.name[:-2]: variable.shape.as_list() for variable in build(config)
                  if variable.name.startswith("bert/")}
    rng = np.random.RandomState(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return dict(arrays, **more)


def plan(checkpoint, config, **options):
    with tf.Graph().as_default():
        return restoring.plan_restore(str(checkpoint), build(config), config, **options)


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


def assert_loaded(checkpoint, config, arrays):
    """Every variable of the encoder has its value of `arrays` after a restore."""
    with tf.Graph().as_default(), tf.Session() as session:
        variables = build(config)
        restoring.apply(restoring.plan_restore(str(checkpoint), variables, config))
        session.run(tf.global_variables_initializer())
        values = {variable.name[:-2]: session.run(variable) for variable in variables}
    assert set(values) - set(arrays) == {"output_weights"}
    for name in arrays:
        np.testing.assert_array_equal(values[name], arrays[name], err_msg=name)


@pytest.mark.parametrize("layout", sorted(tiny.LAYOUTS))
def test_restore_loads_the_values(tmp_path, layout):
    config = tiny.config(**tiny.LAYOUTS[layout])
    arrays = albert_arrays(config)
    tiny.save_checkpoint(tmp_path / "model.ckpt", arrays)
    assert_loaded(tmp_path, config, arrays)


def test_names_that_tensorflow_reads_as_a_pattern(tmp_path):
    config = tiny.config()
    arrays = albert_arrays(config)
    (tmp_path / "a [1] * b").mkdir()
    tensorflow_files.write_tensorflow(arrays, str(tmp_path / "a [1] * b" / "model.ckpt-3"))
    assert_loaded(tmp_path / "a [1] * b", config, arrays)


def test_module_of_tf_hub(tmp_path):
    """A SavedModel's variables, with the names of a module and numbered LayerNorms."""
    config = tiny.config(**tiny.LAYOUTS["google"])
    arrays = albert_arrays(config)
    numbers = {"embeddings/LayerNorm/": "embeddings/layer_normalization/",
               "LayerNorm_1/": "layer_normalization_2/", "LayerNorm/": "layer_normalization_1/"}
    renamed = {}
    for name, array in arrays.items():
        for ours, theirs in numbers.items():
            name = name.replace(ours, theirs)
        renamed["module/" + name] = array
    (tmp_path / "variables").mkdir()
    tensorflow_files.write_tensorflow(renamed, str(tmp_path / "variables" / "variables"))
    assert_loaded(tmp_path, config, arrays)


@pytest.mark.parametrize("kind", ["albert", "bert"])
def test_directory_of_transformers(tmp_path, kind):
    """With its own config.json."""
    config = tiny.config(num_hidden_groups=2 if kind == "bert" else 1,
                         embedding_size=16 if kind == "bert" else 8)
    arrays = albert_arrays(config)
    huggingface.write(huggingface.Model(layouts.Weights(config, arrays)), str(tmp_path),
                      "hf_" + kind)
    found = modeling.AlbertConfig.from_json_file(str(tmp_path / "config.json"))
    assert found == config
    assert_loaded(tmp_path, found, arrays)


def test_rows_and_table_of_a_restore(tmp_path):
    config = tiny.config()
    arrays = albert_arrays(config, **{
        "cls/predictions/output_bias": np.zeros(100, np.float32),
        "global_step": np.int64(7),
        POOLER + "/adam_m": np.zeros([16, 16], np.float32),
        POOLER + "/adam_v": np.zeros([16, 16], np.float32)})
    report = plan(tiny.save_checkpoint(tmp_path / "model.ckpt-7", arrays), config)
    assert restoring.Row("loaded", POOLER, [16, 16], "", POOLER) in report.rows
    assert [row[1:4] for row in report.rows if row.status == "random"] == [
        ("output_weights", [3, 16], "the task's own head")]
    assert [row[1:4] for row in report.rows if row.status == "unused"] == [
        (POOLER + "/adam_m", [16, 16], "optimizer slot"),
        (POOLER + "/adam_v", [16, 16], "optimizer slot"),
        ("cls/predictions/output_bias", [100], "not in this model"),
        ("global_step", [], "not in this model")]
    lines = report.table().split("\n")
    assert lines[0] == "restored from %s/model.ckpt-7: %d loaded, 1 left random, 4 unused" % (
        tmp_path, len(arrays) - 4)
    assert lines[-1] == "  unused  2 optimizer slots (adam_m, adam_v)"
    assert len(lines) == len(arrays) + 1


def test_names_of_the_original_codes_are_read_too(tmp_path):
    """Google's run_squad_v1.py calls its output layer cls/squad/…"""
    config = tiny.config(num_hidden_groups=1)
    bias = np.array([1.5, 2.5], np.float32)
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", albert_arrays(
        config, **{"cls/squad/output_bias": bias}))
    with tf.Graph().as_default(), tf.Session() as session:
        variables = build(config)
        variables.append(tf.get_variable("squad/output_bias", [2]))
        report = restoring.plan_restore(prefix, variables, config)
        restoring.apply(report)
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(session.run(variables[-1]), bias)
    row, = (row for row in report.rows if row.name == "squad/output_bias")
    assert (row.status, row.reason) == ("loaded", "from cls/squad/output_bias")
    assert report.names("unused") == []


@pytest.mark.parametrize("ending", [
    "", ".index", ".meta", ".data-00000-of-00001", ".data-00007-of-00010"])
def test_a_checkpoint_may_be_named_by_any_of_its_files(tmp_path, ending):
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt-7", {"w": [1.0]})
    assert restoring.resolve(prefix + ending) == prefix


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in this directory; give the path of model"):
        plan(tmp_path, tiny.config())
    with pytest.raises(UserError, match=r"no such checkpoint \(.*x.ckpt.index is missing\)"):
        plan(tmp_path / "x.ckpt", tiny.config())


@pytest.mark.parametrize("change, message", [
    ({"num_hidden_groups": 1}, "has the brightmart layout, the config says google; use the config"),
    ({"vocab_size": 101}, "vocabulary of 100 tokens and embeddings of 8, the config says "
                          "vocab_size 101 and embedding_size 8"),
    ({"embedding_size": 4}, "embeddings of 8, the config says vocab_size 100 and embedding_size 4"),
    ({"max_position_embeddings": 64}, "position_embeddings is 32x16, the config makes it 64x16"),
    ({"intermediate_size": 40}, "intermediate/dense/kernel is 16x32, the config makes it 16x40"),
])
def test_a_config_that_does_not_fit(tmp_path, change, message):
    tiny.save_checkpoint(tmp_path / "model.ckpt", albert_arrays(tiny.config()))
    with pytest.raises(UserError, match=message):
        plan(tmp_path, tiny.config(**change))


def test_google_checkpoint_and_brightmart_config(tmp_path):
    tiny.save_checkpoint(tmp_path / "model.ckpt", albert_arrays(tiny.config(num_hidden_groups=1)))
    with pytest.raises(UserError, match="has the google layout, the config says brightmart"):
        plan(tmp_path, tiny.config())


@pytest.mark.parametrize("arrays, message", [
    ({BERT_ENCODER: [1.0]}, "is a BERT checkpoint .* not an ALBERT: its layers are not shared"),
    ({"w": [1.0]}, "holds no ALBERT encoder; expected variables below bert/encoder/, found w"),
])
def test_checkpoints_of_other_models(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        plan(tiny.save_checkpoint(tmp_path / "model.ckpt", arrays), tiny.config())


def test_missing_variable(tmp_path):
    config = tiny.config()
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", without(albert_arrays(config), POOLER))
    with pytest.raises(UserError, match="has no variable %s; .*--allow_partial_init" % POOLER):
        plan(prefix, config)
    report = plan(prefix, config, allow_partial=True)
    assert restoring.Row("random", POOLER, [16, 16], "not in the checkpoint") in report.rows


@pytest.mark.parametrize("labels, status, reason", [
    (3, "loaded", ""), (2, "random", "the checkpoint's is 2x16")])
def test_head_of_another_task_stays_random(tmp_path, labels, status, reason):
    config = tiny.config()
    arrays = albert_arrays(config, output_weights=np.ones([labels, 16], np.float32))
    report = plan(tiny.save_checkpoint(tmp_path / "model.ckpt", arrays), config)
    row, = [row for row in report.rows if row.name == "output_weights"]
    assert row[:4] == (status, "output_weights", [3, 16], reason)


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_checkpoint(tmp_path, ending, share):
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", albert_arrays(tiny.config()))
    size = os.path.getsize(prefix + ending)
    os.truncate(prefix + ending, int(size * share))
    with pytest.raises(UserError, match="truncated or corrupt.*; copy or download it again"):
        plan(prefix, tiny.config())


def test_flipped_bits_are_found(tmp_path):
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", albert_arrays(tiny.config()))
    with open(prefix + ".data-00000-of-00001", "r+b") as stream:
        stream.seek(1000)
        stream.write(b"\x55" * 8)
    with pytest.raises(UserError, match="truncated or corrupt at bert/"):
        plan(prefix, tiny.config())


@pytest.mark.slow
def test_groups_start_as_group_0_where_asked(tmp_path):
    """Google's --init_from_group0: two groups from a checkpoint of one."""
    one, two = (tiny.config(num_hidden_groups=number, num_hidden_layers=2) for number in (1, 2))
    arrays = albert_arrays(one)
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", arrays)
    with pytest.raises(UserError, match="has no variable bert/encoder/transformer/group_1/"):
        plan(prefix, two)
    with tf.Graph().as_default(), tf.Session() as session:
        variables = build(two)
        restoring.apply(restoring.plan_restore(prefix, variables, two, from_group0=True))
        session.run(tf.global_variables_initializer())
        values = {variable.name[:-2]: session.run(variable) for variable in variables}
    for name in arrays:
        np.testing.assert_array_equal(values[name], arrays[name], err_msg=name)
        np.testing.assert_array_equal(
            values[name.replace("/group_0/", "/group_1/")], arrays[name], err_msg=name)


def test_predicting_needs_the_head(tmp_path):
    config = tiny.config()
    prefix = tiny.save_checkpoint(tmp_path / "model.ckpt", albert_arrays(config))
    with pytest.raises(UserError, match="cannot predict: output_weights is missing .*--do_train"):
        plan(prefix, config, needs_head=True)
    whole = albert_arrays(config, output_weights=np.zeros([3, 16], np.float32))
    assert "output_weights" in plan(
        tiny.save_checkpoint(tmp_path / "b.ckpt", whole), config, needs_head=True).names("loaded")


@pytest.mark.parametrize("names, state, expected", [
    (["model.ckpt-3", "model.ckpt-20"], "model.ckpt-3", "model.ckpt-3"),
    (["model.ckpt-3", "model.ckpt-20"], None, "model.ckpt-20"),
    (["model.ckpt-3", "model.ckpt-best"], "model.ckpt-7", "model.ckpt-best"),  # Google's do_eval
    (["albert_model.ckpt"], None, "albert_model.ckpt"),
    ([], "model.ckpt-7", None),
])
def test_the_checkpoint_of_a_directory(tmp_path, names, state, expected):
    for name in names:
        (tmp_path / (name + ".index")).write_text("")
    if state:
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "%s"\n' % state)
    assert restoring.find(str(tmp_path)) == (expected and str(tmp_path / expected))


def test_several_checkpoints_and_nothing_that_tells_which(tmp_path):
    for name in ("a.ckpt", "b.ckpt"):
        (tmp_path / (name + ".index")).write_text("")
    with pytest.raises(UserError, match=r"several checkpoints \(a.ckpt, b.ckpt\) and no state"):
        restoring.find(str(tmp_path))
