"""Computing again what a gradient needs, instead of keeping it (gradient checkpointing).

    weights = {}
    for _ in range(4):
        x = recomputed(lambda x: activation(dense(x, 8, "dense", 0.02)), weights, x)
"""

import collections

import tensorflow.compat.v1 as tf


def recomputed(function, weights, *inputs):
    """function(*inputs), of which only inputs and output are kept in memory until the gradient.

    The gradient calls `function` again and differentiates that second result: memory of one call
    instead of all, for the time of one more (Chen et al. 2016, https://arxiv.org/abs/1604.06174).
    tf.recompute_grad of TensorFlow 1.15 computes again too early and does not share variables.

    Args:
      function: tensors -> a float tensor. It must get its variables by tf.get_variable, and its
        random numbers must be stateless: others would differ the second time.
      weights: {name: tensor}, empty before the first call and handed to every call with the same
        variables. Each call passes the weights on to the next, so that their gradients are added
        up from call to call; the sum of all at the end would keep one of every call.
      inputs: tensors, the first one float. With the variables they are all that `function`
        computes with, seeds of random numbers included.
    """
    scope = tf.get_variable_scope()
    used = collections.OrderedDict()  # the variables of the first call; handed to the second

    def call(inputs, known):
        def remember(getter, name, *args, **kwargs):
            if name not in known:
                known[name] = tf.convert_to_tensor(getter(name, *args, **kwargs))
            used[name] = known[name]
            return known[name]

        with tf.variable_scope(scope, custom_getter=remember):
            return function(*inputs)

    y = call(inputs, weights)
    names = list(used)

    @tf.custom_gradient
    def differentiable(*tensors):
        def gradient(upstream, *of_later_calls):
            # Not before the upstream gradient is there, and not merged with the first call.
            late = _after([upstream], tensors[:len(inputs)]) + list(tensors[len(inputs):])
            # tf.gradients goes on beyond where it is to arrive unless it is stopped.
            late = [tf.stop_gradient(tensor) for tensor in late]
            again = call(late[:len(inputs)], dict(zip(names, late[len(inputs):])))
            gradients = tf.gradients(again, late, upstream)
            sums = [tf.add(*pair) for pair in zip(of_later_calls, gradients[len(inputs):])]
            # The call before waits for these sums; else they would be left to the end, and what
            # they are made of kept.
            return _after(sums, gradients[:1]) + gradients[1:len(inputs)] + sums

        return [y] + list(tensors[len(inputs):]), gradient

    outputs = differentiable(*(list(inputs) + list(used.values())))
    weights.update(zip(names, outputs[1:]))
    return outputs[0]


def _after(awaited, tensors):
    """The tensors, plus a 0 that cannot be had before those `awaited`.

    A control dependency would not do: XLA does not heed it.
    """
    zero = tf.add_n([tf.cast(tf.minimum(tf.abs(tf.reshape(tensor, [-1])[0]), 0), tf.float32)
                     for tensor in awaited])
    return [tensor + tf.cast(zero, tensor.dtype) for tensor in tensors]
