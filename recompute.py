"""Computing again what a gradient needs, instead of keeping it (gradient checkpointing).

    y = recomputed(lambda x: activation(dense(x, 8, "dense", 0.02)), x)
"""

import collections

import tensorflow.compat.v1 as tf


def recomputed(function, *inputs):
    """function(*inputs), of which only inputs and output are kept in memory until the gradient.

    The gradient calls `function` again and differentiates that second result: memory of one call
    instead of all, for the time of one more (Chen et al. 2016, https://arxiv.org/abs/1604.06174).
    tf.recompute_grad of TensorFlow 1.15 computes again too early and does not share variables.

    Args:
      function: tensors -> a float tensor. It must get its variables by tf.get_variable, and its
        random numbers must be stateless: others would differ the second time.
      inputs: tensors, the first one float. With the variables they are all that `function`
        computes with, seeds of random numbers included.
    """
    scope = tf.get_variable_scope()

    def call(inputs, variables):
        def remember(getter, name, *args, **kwargs):
            if name not in variables:
                variables[name] = tf.convert_to_tensor(getter(name, *args, **kwargs))
            return variables[name]

        with tf.variable_scope(scope, custom_getter=remember):
            return function(*inputs)

    variables = collections.OrderedDict()  # of the first call; handed to the second
    y = call(inputs, variables)

    @tf.custom_gradient
    def differentiable(*tensors):
        def gradient(upstream):
            # Not before the upstream gradient is there, and not merged with the first call.
            late = _after([upstream], tensors[:len(inputs)]) + list(tensors[len(inputs):])
            # tf.gradients goes on beyond where it is to arrive unless it is stopped.
            late = [tf.stop_gradient(tensor) for tensor in late]
            again = call(late[:len(inputs)], dict(zip(variables, late[len(inputs):])))
            gradients = tf.gradients(again, late, upstream)
            # The block before waits for this one's weight gradients; XLA would leave those to the
            # end and keep what they are made of.
            return _after(gradients[len(inputs):], gradients[:1]) + gradients[1:]

        return y, gradient

    return differentiable(*(list(inputs) + list(variables.values())))


def _after(awaited, tensors):
    """The tensors, plus a 0 that cannot be had before those `awaited`.

    A control dependency would not do: XLA does not heed it.
    """
    zero = tf.add_n([tf.cast(tf.minimum(tf.abs(tf.reshape(tensor, [-1])[0]), 0), tf.float32)
                     for tensor in awaited])
    return [tensor + tf.cast(zero, tensor.dtype) for tensor in tensors]
