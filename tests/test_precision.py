"""--amp on a processor: who may have it, what it rounds, and that a run keeps it."""

import logging
import os
import shutil

from util import processors
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import layers
import processes
import run_pretraining
import tiny
from test_run_pretraining import flag_values
from training import clusters, command_line, flops, precision, run_directory, settings

AMP = settings.Devices(amp=True)


def test_needs_onednn(monkeypatch):
    """TensorFlow 1 has none for bfloat16; TensorFlow 2 may have it switched off."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(UserError, match="--amp with TensorFlow .*; give --noamp, or use"):
        precision.check(AMP)
    precision.check(settings.Devices())


def test_a_processor_without_it_is_named(monkeypatch, caplog):
    monkeypatch.setattr(precision, "has_onednn", lambda: True)
    monkeypatch.setattr(precision, "rounds_products", lambda: False)
    monkeypatch.setattr(precision, "needs_casts", lambda: False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(processors, "name", lambda: "Xeon E5")
    with caplog.at_level(logging.INFO, "albert"):
        precision.check(AMP)
    assert caplog.messages == ["warning: --amp on Xeon E5: it has no products of bfloat16 (AMX, "
                               "AVX512-BF16); they stay float32"]


@pytest.mark.parametrize("rates, words", [
    ([2e11, 9e11], "Xeon multiplies bfloat16 4.5 times as fast as float32 (900 and 200 GFLOP/s)"),
    ([2e11, 2.5e11], None)])
def test_advice_is_measured(rates, words, monkeypatch, caplog):
    monkeypatch.setattr(precision, "has_onednn", lambda: True)
    monkeypatch.setattr(processors, "has_bfloat16", lambda: True)
    monkeypatch.setattr(processors, "name", lambda: "Xeon")
    of_types = dict(zip((tf.float32, tf.bfloat16), rates))
    monkeypatch.setattr(flops, "measure_matmul_peak",
                        lambda device, seconds, dtype: of_types[dtype])
    precision.advise.cache_clear()
    with caplog.at_level(logging.INFO, "albert"):
        for devices in (settings.Devices(), AMP, settings.Devices()):
            precision.advise(devices)
    precision.advise.cache_clear()
    assert [message.split(":")[0] for message in caplog.messages] == ([words] if words else [])


@pytest.mark.parametrize("values, types", [
    ({}, (tf.float32, tf.float32)), ({"amp": True}, (tf.float32, tf.bfloat16)),
    ({"amp": True, "use_tpu": True}, (tf.bfloat16, tf.bfloat16))])
def test_types(values, types):
    devices = settings.Devices(**values)
    assert (precision.compute_type(devices), precision.product_type(devices)) == types


def test_float16_is_of_gpus(monkeypatch):
    monkeypatch.setattr(clusters, "has_gpu", lambda: True)
    assert precision.is_float16(AMP)
    assert not precision.is_float16(settings.Devices())
    assert precision.computing(len, AMP) is len


@pytest.mark.parametrize("flags, scope", [
    ("avx512f amx_bf16 avx512_bf16", "narrow_products"), ("avx512_bf16", "cast_products"),
    ("avx2", "narrow_products")])
def test_model_fn_builds_the_products_of_the_processor(flags, scope, monkeypatch):
    monkeypatch.setattr(processors, "_described", lambda: flags)

    def model_fn(features, labels, mode, params):
        return [name for name in ("narrow_products", "cast_products") if layers.is_within(name)]

    assert precision.computing(model_fn, AMP)(None, None, None, None) == [scope]
    assert precision.computing(model_fn, settings.Devices())(None, None, None, None) == []
    assert not layers.is_within(scope)


def products_in(scope, transposed, rows=3, width=4, columns=5, **options):
    """[product, gradients of both factors] within a scope and without."""
    rng = np.random.RandomState(0)
    with tf.Graph().as_default(), tf.Session() as session:
        a, b = (tf.constant(rng.standard_normal(shape[::-1] if turned else shape), tf.float32)
                for shape, turned in zip(([rows, width], [width, columns]), transposed))
        weights = tf.constant(rng.standard_normal([rows, columns]), tf.float32)
        found = []
        for around in (scope, layers.compiled_gelu):
            with around():
                product = layers.matmul(a, b, *transposed, **options)
            found.append([product] + tf.gradients(product * weights, [a, b]))
        return session.run(found)


TRANSPOSED = pytest.mark.parametrize(
    "transposed", [(False, False), (True, False), (False, True)])


@TRANSPOSED
def test_narrow_products_have_the_gradients_of_others(transposed):
    """In a process that does not ask for bfloat16 they are the same products."""
    for actual, expected in zip(*products_in(layers.narrow_products, transposed)):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@TRANSPOSED
def test_cast_products_are_rounded_ones(transposed):
    for actual, expected in zip(*products_in(layers.cast_products, transposed, 70, 80, 90)):
        np.testing.assert_allclose(actual, expected, rtol=0.02, atol=0.15)
        assert np.abs(actual - expected).mean() > 1e-3
        assert not (actual.view(np.int32) & 0xffff).any()


def test_cast_products_leave_logits_alone():
    """Those of few classes, and those of a vocabulary."""
    for options in ({"columns": 5}, {"columns": 90, "rounds_result": False}):
        actual, expected = products_in(layers.cast_products, (False, False), 70, 80, **options)
        np.testing.assert_array_equal(actual[0], expected[0])


@pytest.mark.skipif(tf.__version__.startswith("1."), reason="XLA compiles GELU in TensorFlow 2")
def test_compiled_gelu_is_gelu():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(np.linspace(-6, 6, 50), tf.float32)
        values = [layers.gelu(x)]
        with layers.compiled_gelu():
            values.append(layers.gelu(x))
        found = session.run([[y, tf.gradients(y, x)[0]] for y in values])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_a_run_keeps_its_type(tmp_path, monkeypatch):
    checked = []
    monkeypatch.setattr(precision, "check", lambda devices: checked.append(devices.amp))
    monkeypatch.setattr(run_directory, "was_trained_with_amp", lambda directory: True)
    for values in ({}, {"amp": False}, {"amp": True}):
        flags = flag_values(tmp_path, tmp_path / "out", **values)
        command_line.run_settings(tiny.parse(run_pretraining.define_flags, **flags))
    assert checked == [True, False, True]


@pytest.mark.parametrize("values, is_fast, expected", [
    ({}, True, True), ({}, False, False), ({"amp": False}, True, False),
    ({"amp": True}, False, True)])
def test_a_budget_takes_it(tmp_path, monkeypatch, caplog, values, is_fast, expected):
    """Where it is fast, and the directory's run has no other type."""
    monkeypatch.setattr(precision, "check", lambda devices: None)
    monkeypatch.setattr(precision, "has_onednn", lambda: True)
    monkeypatch.setattr(processors, "has_bfloat16", lambda: is_fast)
    flags = tiny.parse(run_pretraining.define_flags, **flag_values(
        tmp_path, tmp_path / "out", **values))
    with caplog.at_level(logging.INFO, "albert"):
        assert command_line.run_settings(flags, prefers_amp=True).devices.amp == expected
        assert not command_line.run_settings(flags).devices.amp or values.get("amp")
    assert ("--amp is taken, as " in caplog.text) == (expected and not values)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.ckpt-1.index").write_text("")
    tf.train.update_checkpoint_state(str(tmp_path / "out"), str(tmp_path / "out" / "model.ckpt-1"))
    if not values:  # a run keeps its type
        assert not command_line.run_settings(flags, prefers_amp=True).devices.amp


@pytest.mark.slow
@pytest.mark.skipif(not precision.has_onednn(), reason="oneDNN multiplies bfloat16 in TensorFlow 2")
def test_a_run_goes_on_bit_for_bit_in_its_type(tmp_path):
    """--amp is given once; where a processor has bfloat16 the weights are not those of float32."""
    tiny.write_records(tmp_path / "train.tfrecord", 64)
    tiny.write_config(tmp_path / "config.json", num_hidden_layers=1, hidden_size=64)

    def train(output, **changes):
        log = str(tmp_path / (output + ".log"))
        process = processes.start("run_pretraining.py", flag_values(
            tmp_path, tmp_path / output, save_checkpoints_steps=2, **changes), log)
        process.join()
        with open(log) as stream:
            printed = stream.read()
        assert process.exitcode == 0, printed
        return printed

    printed = train("whole", amp=True)
    shutil.copytree(str(tmp_path / "whole"), str(tmp_path / "parts"))
    for path in (tmp_path / "parts").glob("model.ckpt-4.*"):
        path.unlink()
    tf.train.update_checkpoint_state(
        str(tmp_path / "parts"), str(tmp_path / "parts" / "model.ckpt-2"))
    train("parts")
    train("float32")
    tiny.assert_same_weights(tmp_path / "whole/model.ckpt-4", tmp_path / "parts/model.ckpt-4")
    whole, other = (tf.train.load_checkpoint(str(tmp_path / name / "model.ckpt-4")).get_tensor(
        "bert/pooler/dense/kernel") for name in ("whole", "float32"))
    assert np.array_equal(whole, other) == ("they stay float32" in printed)
    np.testing.assert_allclose(whole, other, atol=0.02)
