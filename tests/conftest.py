"""Every test runs as the commands do: TensorFlow 1.x behaviour with resource variables."""

import os

# TensorFlow 1.15's XLA trades 1e-4 of accuracy for speed on CPUs unless told not to.
os.environ["XLA_FLAGS"] = "--xla_cpu_enable_fast_math=false"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow.compat.v1 as tf  # noqa: E402 - reads the environment above

tf.disable_v2_behavior()
tf.enable_resource_variables()
tf.logging.set_verbosity(tf.logging.ERROR)
