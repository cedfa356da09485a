"""The type of a model's products: float32, or with --amp a narrower one where the device has it.

| device | with --amp |
|---|---|
| TPU | the encoder in bfloat16 |
| GPU | float16 by TensorFlow's rewriting of the graph, with loss scaling |
| processor with AMX | what is multiplied is rounded to bfloat16; sums and results are float32 |
| processor with AVX512-BF16 alone | so are the results of products, but for logits |

Weights, LayerNorm, softmax, losses and the optimizer are float32 in any case. bfloat16 has the
range of float32, so that losses need no scaling.
"""

import functools
import os

from util import console, processors
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import layers
from training import clusters, flops

# TensorFlow reads it once a process, before the first product; values other than these it ignores.
_VARIABLE, _BFLOAT16 = "TF_SET_ONEDNN_FPMATH_MODE", "BF16"

# A product in bfloat16 is worth a word if it is faster by this factor.
_WORTH_SAYING = 1.5
_SECONDS = 0.2  # of measuring either type


def is_float16(devices):
    """Whether TensorFlow rewrites the graph to float16, as on a GPU.

    Args:
      devices: settings.Devices.
    """
    return bool(devices.amp) and not devices.use_tpu and clusters.has_gpu()


def compute_type(devices):
    """The compute_type of modeling.AlbertModel."""
    return tf.bfloat16 if devices.amp and devices.use_tpu else tf.float32


def product_type(devices):
    """The type that matrices are multiplied in, whose peak a step is compared with."""
    return tf.bfloat16 if devices.amp and not is_float16(devices) else tf.float32


def computing(model_fn, devices):
    """The model_fn, building what `check` prepared."""
    if not (devices.amp and _on_processor(devices)):
        return model_fn

    scope = layers.cast_products if needs_casts() else layers.narrow_products

    def narrow(features, labels, mode, params):
        with scope():
            return model_fn(features, labels, mode, params)

    return narrow


def is_fast(devices):
    """Whether --amp is faster than float32 on this machine's processor, which computes."""
    return _on_processor(devices) and has_onednn() and processors.has_bfloat16()


def check(devices):
    """Prepares this process for --amp; says where it cannot be fast.

    Raises:
      UserError: --amp on a processor with a TensorFlow whose oneDNN is missing or switched off.
    """
    if not (devices.amp and _on_processor(devices)):
        return
    if not has_onednn():
        raise UserError("--amp with TensorFlow %s%s: it does not multiply bfloat16 on processors, "
                        "and sees no GPU here; give --noamp, or use TensorFlow 2 with oneDNN "
                        "(Python 3.9 or newer)" % (tf.__version__, "" if tf.__version__[0] == "1"
                                                   else " and TF_ENABLE_ONEDNN_OPTS=0"))
    os.environ[_VARIABLE] = _BFLOAT16
    if not needs_casts() and not rounds_products():
        console.say("warning: --amp on %s: it has no products of bfloat16 (AMX, AVX512-BF16); they "
                    "stay float32", processors.name())


def _on_processor(devices):
    return not devices.use_tpu and not clusters.has_gpu()


def has_onednn():
    """Whether this TensorFlow computes products on processors by oneDNN."""
    return (not tf.__version__.startswith("1.")
            and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0")


def rounds_products():
    """Whether products within `layers.narrow_products` are in bfloat16 in this process."""
    matrix = np.full([64, 64], 1.0 + 2.0 ** -12, np.float32)  # 1 in bfloat16
    with tf.Graph().as_default(), tf.device("/cpu:0"), layers.narrow_products():
        factor = tf.placeholder(tf.float32, matrix.shape)
        product = layers.matmul(factor, factor)
        with tf.Session() as session:
            return bool(session.run(product, {factor: matrix})[0, 0] == 64.0)


def needs_casts():
    """Whether products are in bfloat16 here only where the graph says so: AVX512-BF16, no AMX."""
    return processors.has_bfloat16() and not processors.has_amx()


@functools.lru_cache(None)
def advise(devices):
    """Says once what --amp would bring on this processor, measured, where it is not given."""
    if devices.amp or not is_fast(devices):
        return
    rates = [flops.measure_matmul_peak("/cpu:0", seconds=_SECONDS, dtype=dtype)
             for dtype in (tf.float32, tf.bfloat16)]
    if rates[1] > _WORTH_SAYING * rates[0]:
        console.say("%s multiplies bfloat16 %.1f times as fast as float32 (%.0f and %.0f GFLOP/s): "
                    "--amp makes use of it; sums and weights stay float32", processors.name(),
                    rates[1] / rates[0], rates[1] / 1e9, rates[0] / 1e9)
