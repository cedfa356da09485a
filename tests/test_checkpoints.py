"""Restoring with its report and every refusal; output directories; the best and the last good."""

import json
import logging
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import checkpoints
import files
import modeling
import tiny
from errors import UserError

BERT_ENCODER = "bert/encoder/layer_0/attention/self/query/kernel"
POOLER = "bert/pooler/dense/kernel"
WORDS = "bert/embeddings/word_embeddings"


def save(path, arrays):
    """Writes a checkpoint of {name: array}, and the state of its directory; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.Saver({name: tf.Variable(value) for name, value in arrays.items()})
        session.run(tf.global_variables_initializer())
        return saver.save(session, str(path), write_meta_graph=False)


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
        return checkpoints.plan_restore(str(checkpoint), build(config), config, **options)


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize("layout", sorted(tiny.LAYOUTS))
def test_restore_loads_the_values(tmp_path, layout):
    config = tiny.config(**tiny.LAYOUTS[layout])
    arrays = albert_arrays(config)
    save(tmp_path / "model.ckpt", arrays)
    with tf.Graph().as_default(), tf.Session() as session:
        variables = build(config)
        checkpoints.apply(checkpoints.plan_restore(str(tmp_path), variables, config))
        session.run(tf.global_variables_initializer())
        values = {variable.name[:-2]: session.run(variable) for variable in variables}
    assert set(values) - set(arrays) == {"output_weights"}
    for name in arrays:
        np.testing.assert_array_equal(values[name], arrays[name], err_msg=name)


def test_rows_and_table_of_a_restore(tmp_path):
    config = tiny.config()
    arrays = albert_arrays(config, **{
        "cls/predictions/output_bias": np.zeros(100, np.float32),
        "global_step": np.int64(7),
        POOLER + "/adam_m": np.zeros([16, 16], np.float32),
        POOLER + "/adam_v": np.zeros([16, 16], np.float32)})
    report = plan(save(tmp_path / "model.ckpt-7", arrays), config)
    assert checkpoints.Row("loaded", POOLER, [16, 16], "") in report.rows
    assert [row[1:] for row in report.rows if row.status == "random"] == [
        ("output_weights", [3, 16], "the task's own head")]
    assert [row[1:] for row in report.rows if row.status == "unused"] == [
        (POOLER + "/adam_m", [16, 16], "optimizer slot"),
        (POOLER + "/adam_v", [16, 16], "optimizer slot"),
        ("cls/predictions/output_bias", [100], "not in this model"),
        ("global_step", [], "not in this model")]
    lines = report.table().split("\n")
    assert lines[0] == "restored from %s/model.ckpt-7: %d loaded, 1 left random, 4 unused" % (
        tmp_path, len(arrays) - 4)
    assert lines[-1] == "  unused  2 optimizer slots (adam_m, adam_v)"
    assert len(lines) == len(arrays) + 1


@pytest.mark.parametrize("ending", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_a_checkpoint_may_be_named_by_any_of_its_files(tmp_path, ending):
    prefix = save(tmp_path / "model.ckpt-7", {"w": [1.0]})
    assert checkpoints.resolve(prefix + ending) == prefix


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
    save(tmp_path / "model.ckpt", albert_arrays(tiny.config()))
    with pytest.raises(UserError, match=message):
        plan(tmp_path, tiny.config(**change))


def test_google_checkpoint_and_brightmart_config(tmp_path):
    save(tmp_path / "model.ckpt", albert_arrays(tiny.config(num_hidden_groups=1)))
    with pytest.raises(UserError, match="has the google layout, the config says brightmart"):
        plan(tmp_path, tiny.config())


@pytest.mark.parametrize("arrays, message", [
    ({BERT_ENCODER: [1.0]}, "is a BERT checkpoint .* not an ALBERT: its layers are not shared"),
    ({"w": [1.0]}, "holds no ALBERT encoder; expected variables below bert/encoder/, found w"),
])
def test_checkpoints_of_other_models(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        plan(save(tmp_path / "model.ckpt", arrays), tiny.config())


def test_missing_variable(tmp_path):
    config = tiny.config()
    prefix = save(tmp_path / "model.ckpt", without(albert_arrays(config), POOLER))
    with pytest.raises(UserError, match="has no variable %s; .*--allow_partial_init" % POOLER):
        plan(prefix, config)
    report = plan(prefix, config, allow_partial=True)
    assert checkpoints.Row("random", POOLER, [16, 16], "not in the checkpoint") in report.rows


@pytest.mark.parametrize("labels, status, reason", [
    (3, "loaded", ""), (2, "random", "the checkpoint's is 2x16")])
def test_head_of_another_task_stays_random(tmp_path, labels, status, reason):
    config = tiny.config()
    arrays = albert_arrays(config, output_weights=np.ones([labels, 16], np.float32))
    report = plan(save(tmp_path / "model.ckpt", arrays), config)
    assert checkpoints.Row(status, "output_weights", [3, 16], reason) in report.rows


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_checkpoint(tmp_path, ending, share):
    prefix = save(tmp_path / "model.ckpt", albert_arrays(tiny.config()))
    size = os.path.getsize(prefix + ending)
    os.truncate(prefix + ending, int(size * share))
    with pytest.raises(UserError, match="truncated or corrupt.*; copy or download it again"):
        plan(prefix, tiny.config())


def test_flipped_bits_are_found(tmp_path):
    prefix = save(tmp_path / "model.ckpt", albert_arrays(tiny.config()))
    with open(prefix + ".data-00000-of-00001", "r+b") as stream:
        stream.seek(1000)
        stream.write(b"\x55" * 8)
    with pytest.raises(UserError, match="truncated or corrupt at bert/"):
        plan(prefix, tiny.config())


@pytest.mark.parametrize("names, layout", [
    (["bert/encoder/layer_shared/output/dense/bias"], "brightmart"),
    (["global_step", "bert/encoder/transformer/group_0/inner_group_0/LayerNorm/beta"], "google"),
    ([BERT_ENCODER], "bert"),
    ([WORDS], None)])
def test_detect_layout(names, layout):
    assert checkpoints.detect_layout(names) == layout


def test_claim_directory_names_what_differs(tmp_path):
    identity = {"hidden_size": 16, "task": "lcqmc"}
    checkpoints.claim_directory(str(tmp_path / "a"), {"hidden_size": 24})
    checkpoints.claim_directory(str(tmp_path / "a"), identity)  # it holds no checkpoint yet
    save(tmp_path / "a" / "model.ckpt", {"w": [1.0]})
    checkpoints.claim_directory(str(tmp_path / "a"), identity)
    with pytest.raises(UserError) as refused:
        checkpoints.claim_directory(str(tmp_path / "a"), {"hidden_size": 24, "labels": "0,1"})
    assert str(refused.value) == (
        "--output_dir=%s/a holds checkpoints of another run: hidden_size is 16 there and 24 here, "
        "labels is None there and 0,1 here, task is lcqmc there and None here; use an empty "
        "directory or that run's flags" % tmp_path)
    assert json.loads((tmp_path / "a" / "run.json").read_text()) == identity


def test_claim_directory_finds_a_truncated_checkpoint(tmp_path):
    prefix = save(tmp_path / "model.ckpt", {"w": np.zeros(100, np.float32)})
    os.truncate(prefix + ".data-00000-of-00001", 200)
    with pytest.raises(UserError, match="truncated or corrupt"):
        checkpoints.claim_directory(str(tmp_path), {})


def save_steps(directory, *steps):
    """Checkpoints model.ckpt-STEP that hold their step, all in the state file."""
    prefixes = [save(directory / ("model.ckpt-%d" % step), {"global_step": np.int64(step)})
                for step in steps]
    tf.train.update_checkpoint_state(str(directory), prefixes[-1], prefixes)
    return prefixes


def listed(directory):
    """The names in the state file: (the one to go on from, all)."""
    state = tf.train.get_checkpoint_state(str(directory))
    return (os.path.basename(state.model_checkpoint_path),
            [os.path.basename(path) for path in state.all_model_checkpoint_paths])


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("size", [0, 5])
def test_claim_directory_goes_back_to_the_newest_whole_checkpoint(tmp_path, caplog, ending, size):
    steps = save_steps(tmp_path, 10, 20, 30, 100)
    contents = {}
    for prefix in steps[2:]:
        os.truncate(prefix + ending, size)
        contents[os.path.basename(prefix + ending) + ".damaged"] = size
    with caplog.at_level(logging.INFO, "albert"):
        checkpoints.claim_directory(str(tmp_path), {})
    assert listed(tmp_path) == ("model.ckpt-20", ["model.ckpt-10", "model.ckpt-20"])
    assert checkpoints.resolve(str(tmp_path)) == steps[1]
    assert caplog.messages == [
        "%s is truncated or corrupt and was renamed to *.damaged; going on from %s"
        % (prefix, steps[1]) for prefix in (steps[3], steps[2])]
    aside = [name for name in os.listdir(str(tmp_path)) if name.endswith(".damaged")]
    assert len(aside) == 4  # index and data of two
    assert {name: os.path.getsize(str(tmp_path / name)) for name in contents} == contents
    before = sorted(os.listdir(str(tmp_path)))
    checkpoints.claim_directory(str(tmp_path), {})
    assert sorted(os.listdir(str(tmp_path))) == before and len(caplog.messages) == 2


def test_claim_directory_without_any_whole_checkpoint(tmp_path):
    steps = save_steps(tmp_path, 10, 20)
    for prefix in steps:
        os.truncate(prefix + ".index", 0)
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(UserError, match="ckpt-20: the checkpoint is truncated or corrupt.*; copy"):
        checkpoints.claim_directory(str(tmp_path), {})
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_damaged_checkpoint_of_another_run_stays_where_it_is(tmp_path):
    steps = save_steps(tmp_path, 10, 20)
    checkpoints.claim_directory(str(tmp_path), {"hidden_size": 24})
    os.truncate(steps[1] + ".index", 0)
    with pytest.raises(UserError, match="hidden_size is 24 there and 16 here"):
        checkpoints.claim_directory(str(tmp_path), {"hidden_size": 16})
    assert listed(tmp_path)[0] == "model.ckpt-20" and os.path.exists(steps[1] + ".index")


@pytest.mark.parametrize("content", [None, b"", b"garbage {", b"\xff\xfe\x00", b"\x00" * 80])
def test_claim_directory_writes_a_lost_state_file_again(tmp_path, caplog, content):
    steps = save_steps(tmp_path, 9, 10)
    os.remove(str(tmp_path / "checkpoint"))
    if content is not None:
        (tmp_path / "checkpoint").write_bytes(content)
        with pytest.raises(UserError, match="no checkpoint in this directory"):
            checkpoints.resolve(str(tmp_path))
    with caplog.at_level(logging.INFO, "albert"):
        checkpoints.claim_directory(str(tmp_path), {})
    assert listed(tmp_path) == ("model.ckpt-10", ["model.ckpt-9", "model.ckpt-10"])
    assert caplog.messages == ["%s/checkpoint is missing or damaged; going on from %s"
                               % (tmp_path, steps[1])]


def test_what_a_person_went_back_from_stays(tmp_path, caplog):
    """The state file was edited to name step 20; step 30 is neither taken nor touched."""
    steps = save_steps(tmp_path, 10, 20, 30)
    tf.train.update_checkpoint_state(str(tmp_path), steps[1], steps[:2])
    checkpoints.claim_directory(str(tmp_path), {})
    assert listed(tmp_path)[0] == "model.ckpt-20"
    os.remove(steps[1] + ".index")
    os.remove(steps[1] + ".data-00000-of-00001")
    with caplog.at_level(logging.INFO, "albert"):
        checkpoints.claim_directory(str(tmp_path), {})
    assert caplog.messages == ["%s is missing; going on from %s" % (steps[1], steps[0])]
    assert listed(tmp_path) == ("model.ckpt-10", ["model.ckpt-10"])
    assert checkpoints.verify(steps[2]) == []


def test_a_kill_during_the_very_first_save_leaves_nothing_to_go_on_from(tmp_path):
    prefix = save_steps(tmp_path, 0)[0]
    os.remove(str(tmp_path / "checkpoint"))
    os.truncate(prefix + ".index", 0)
    checkpoints.claim_directory(str(tmp_path), {})
    assert tf.train.latest_checkpoint(str(tmp_path)) is None


def test_a_checkpoint_that_is_removed_meanwhile_is_not_put_aside(tmp_path, monkeypatch):
    """A directory is evaluated while the run in it saves step 20 and removes step 10."""
    older, old = save_steps(tmp_path, 5, 10)
    verify = checkpoints.verify

    def slowly(prefix):
        if prefix == old:
            os.remove(old + ".index")
            save_steps(tmp_path, 20)
        return verify(prefix)

    monkeypatch.setattr(checkpoints, "verify", slowly)
    assert checkpoints.newest_whole(str(tmp_path)) == (str(tmp_path / "model.ckpt-20"), [])
    checkpoints.claim_directory(str(tmp_path), {})
    assert os.path.exists(older + ".index")
    assert listed(tmp_path) == ("model.ckpt-20", ["model.ckpt-20"])
    assert not [name for name in os.listdir(str(tmp_path)) if name.endswith(".damaged")]


@pytest.mark.parametrize("content", [None, b"", b"\xff{"])
def test_a_lost_identity_is_written_again(tmp_path, content):
    save_steps(tmp_path, 10)
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    checkpoints.claim_directory(str(tmp_path), {"hidden_size": 16})
    assert json.loads((tmp_path / "run.json").read_text()) == {"hidden_size": 16}


def test_saver_has_a_checkpoint_on_the_disk_before_it_removes_another(tmp_path, monkeypatch):
    def sync(path):
        synced.append((os.path.basename(path), os.path.exists(first + ".index")))

    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.get_variable("w", initializer=1.0)
        saver = checkpoints.Saver(max_to_keep=1, sharded=True)
        session.run(tf.global_variables_initializer())
        first = saver.save(session, str(tmp_path / "model.ckpt"), global_step=1)
        synced = []
        monkeypatch.setattr(checkpoints, "_sync", sync)
        session.run(weight.assign(2.0))
        second = saver.save(session, str(tmp_path / "model.ckpt"), global_step=2)
        session.run(weight.assign(3.0))
        saver.save(session, str(tmp_path / "model.ckpt"), global_step=2)  # there already
    assert sorted(synced) == sorted((name, True) for name in [
        "checkpoint", "model.ckpt-2.data-00000-of-00001", "model.ckpt-2.index", tmp_path.name])
    assert listed(tmp_path) == ("model.ckpt-2", ["model.ckpt-2"])
    assert not os.path.exists(first + ".index")
    assert tiny.weights(second) == {"w": 2.0}


def best_of(tmp_path, values, **options):
    """keep_best over checkpoints with these values, one a step; returns (kept, the best's step)."""
    kept = []
    for step, value in enumerate(values, 1):
        prefix = save(tmp_path / ("model.ckpt-%d" % step), {"w": [float(step)]})
        kept.append(checkpoints.keep_best(str(tmp_path), prefix, step, {"score": value}, "score",
                                          **options))
    return kept, checkpoints.best(str(tmp_path))


@pytest.mark.parametrize("values, larger, kept, step", [
    ([0.5, 0.6, 0.6, 0.4], True, [True, True, False, False], 2),
    ([0.5, 0.6, 0.4, 0.4], False, [True, False, True, False], 3),
    ([0.5, float("nan"), 0.6], True, [True, False, True], 3),
    ([float("nan"), 0.1], True, [True, True], 2),
])
def test_keep_best(tmp_path, values, larger, kept, step):
    assert checkpoints.best(str(tmp_path)) is None
    actual, best = best_of(tmp_path, values, larger_is_better=larger)
    assert actual == kept
    assert (best["step"], best["metrics"]) == (step, {"score": values[step - 1]})
    assert tiny.weights(best["checkpoint"]) == {"w": [step]}
    assert sorted(os.listdir(str(tmp_path / "best"))) == [
        "best.json", "model.ckpt-%d.data-00000-of-00001" % step, "model.ckpt-%d.index" % step]


@pytest.mark.parametrize("function, calls, step", [
    ("Copy", 0, 1), ("Copy", 1, 1), ("rename", 0, 1), ("rename", 1, 1), ("rename", 2, 1),
    ("Remove", 0, 2), ("Remove", 1, 2)])
def test_a_crash_leaves_a_usable_best(tmp_path, monkeypatch, function, calls, step):
    best_of(tmp_path, [0.5])
    prefix = save(tmp_path / "model.ckpt-2", {"w": [2.0]})
    module, done = files if function == "rename" else tf.gfile, []
    original = getattr(module, function)

    def crash(*arguments, **options):
        if len(done) == calls:
            raise tiny.StopHere
        done.append(arguments)
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, function, crash)
        with pytest.raises(tiny.StopHere):
            checkpoints.keep_best(str(tmp_path), prefix, 2, {"score": 0.6}, "score")
    best = checkpoints.best(str(tmp_path))
    assert best["step"] == step and tiny.weights(best["checkpoint"]) == {"w": [step]}
    prefix = save(tmp_path / "model.ckpt-3", {"w": [3.0]})
    assert checkpoints.keep_best(str(tmp_path), prefix, 3, {"score": 0.7}, "score")
    assert len(os.listdir(str(tmp_path / "best"))) == 3


def test_last_good_passes_over_nan_and_missing_files(tmp_path):
    assert checkpoints.last_good(str(tmp_path)) is None
    prefixes = [save(tmp_path / ("model.ckpt-%d" % step), {"w": [value], "global_step": step})
                for step, value in enumerate([1.0, 2.0, float("nan"), float("inf"), 5.0])]
    os.remove(prefixes[4] + ".index")
    tf.train.update_checkpoint_state(str(tmp_path), prefixes[-1], prefixes)
    assert checkpoints.last_good(str(tmp_path)) == prefixes[1]
    assert checkpoints.verify(prefixes[2]) == checkpoints.verify(prefixes[3]) == ["w"]
    assert checkpoints.verify(prefixes[0]) == []


def test_checkpoint_step(tmp_path):
    assert checkpoints.checkpoint_step(None) == 0
    assert checkpoints.checkpoint_step(
        save(tmp_path / "model.ckpt", {"global_step": np.int64(7)})) == 7
