"""The layers under modeling.py, several with hand-written gradients, and recomputation.

These gradients make fewer passes over memory than those of autodiff, and agree with them up to
rounding. Variables have the names of the released checkpoints.

    hidden = layer_norm(dense(x, 8, "dense", initializer_range=0.02, activation=gelu))

Dimensions: B batch, S sequence, H hidden, E embedding, N heads, D head size (H / N), V vocabulary,
P positions per sequence, n rows of a matrix, W and U any width.
"""

import collections
import contextlib
import functools
import math

import numpy as np
import tensorflow.compat.v1 as tf


def dense(x, units, name, initializer_range, activation=None):
    """[..., W] -> [..., units], with variables `name`/kernel [W, units] and `name`/bias [units]."""
    y = matmul_last(x, *dense_variables(shape_list(x)[-1], units, name, initializer_range))
    return activation(y) if activation else y


def dense_variables(width, units, name, initializer_range, has_bias=True):
    """(`name`/kernel [W, units], `name`/bias [units] or None), as `dense` has them."""
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [width, units],
                                 initializer=initializer(initializer_range))
        bias = tf.get_variable(
            "bias", [units], initializer=tf.zeros_initializer()) if has_bias else None
    return kernel, bias


def matmul_last(x, matrix, bias=None):
    """[..., W] x [W, U] -> [..., U] as one two-dimensional product in the dtype of `x`."""
    shape = shape_list(x)
    y = matmul(tf.reshape(x, [-1, shape[-1]]), tf.cast(matrix, x.dtype))
    if bias is not None:
        y = tf.nn.bias_add(y, tf.cast(bias, x.dtype))
    return tf.reshape(y, shape[:-1] + [shape_list(matrix)[-1]])


_scopes = collections.Counter()  # those below around this place

# Products that are cast have so many columns: it pays there, and fewer are the logits of classes.
_FEWEST_CAST = 64


@contextlib.contextmanager
def _within(name):
    _scopes[name] += 1
    try:
        yield
    finally:
        _scopes[name] -= 1


def is_within(name):
    """Whether a scope of this name is open: "narrow_products", "cast_products", "compiled_gelu"."""
    return _scopes[name] > 0


def narrow_products():
    """A scope whose products of matrices oneDNN computes in bfloat16, if the process asks for it.

    It rounds what is multiplied; sums and results are float32. The kernel of tf.matmul never does
    so, that of tf.raw_ops.BatchMatMulV2 does; see training/precision.py.
    """
    return _within("narrow_products")


def cast_products():
    """A scope whose products of matrices are those of bfloat16, cast to it and back.

    Results are rounded, too, but for logits; for processors where oneDNN does not round by itself.
    """
    return _within("cast_products")


def _narrow_product(a, b, transpose_a=False, transpose_b=False):
    return tf.raw_ops.BatchMatMulV2(x=a, y=b, adj_x=transpose_a, adj_y=transpose_b)


def _cast_product(a, b, transpose_a=False, transpose_b=False):
    if a.dtype != tf.float32 or shape_list(b)[0 if transpose_b else 1] < _FEWEST_CAST:
        return tf.matmul(a, b, transpose_a, transpose_b)
    a, b = (tf.cast(matrix, tf.bfloat16) for matrix in (a, b))
    return tf.cast(tf.matmul(a, b, transpose_a, transpose_b), tf.float32)


def matmul(a, b, transpose_a=False, transpose_b=False, rounds_result=True):
    """The product of two matrices, at most one of them transposed.

    Args:
      rounds_result: whether `cast_products` may round the result; not where it is logits.
    """
    product = (_narrow_product if is_within("narrow_products") else
               _cast_product if is_within("cast_products") else None)
    if not product:
        return tf.matmul(a, b, transpose_a, transpose_b)

    @tf.custom_gradient
    def multiplied(a, b):
        def gradient(upstream):
            return (product(b, upstream, transpose_b=True) if transpose_a
                    else product(upstream, b, transpose_b=not transpose_b),
                    product(upstream, a, transpose_a=True) if transpose_b
                    else product(a, upstream, transpose_a=not transpose_a))

        forward = product if rounds_result or product is _narrow_product else tf.matmul
        return forward(a, b, transpose_a, transpose_b), gradient

    return multiplied(a, b)


def lookup(table, ids, use_one_hot=False, dtype=tf.float32):
    """Rows of [V, W] at int [B, S] -> [B, S, W] of `dtype`."""
    if not use_one_hot:
        return tf.cast(tf.gather(table, ids), dtype)
    return matmul_last(tf.one_hot(ids, shape_list(table)[0], dtype=dtype), table)


def layer_norm(x, name="LayerNorm"):
    """Normalizes the last axis; epsilon 1e-12, as tf.contrib.layers.layer_norm in the originals."""
    width = shape_list(x)[-1]
    with tf.variable_scope(name):
        beta = tf.get_variable("beta", [width], initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", [width], initializer=tf.ones_initializer())
    y = _normalize(tf.cast(x, tf.float32), tf.convert_to_tensor(beta), tf.convert_to_tensor(gamma))
    return tf.cast(y, x.dtype)


@tf.custom_gradient
def _normalize(x, beta, gamma):
    """LayerNorm of [..., W], [W], [W]; its gradient takes two thirds of autodiff's time."""
    centered = x - tf.reduce_mean(x, -1, keepdims=True)
    scale = tf.rsqrt(tf.reduce_mean(tf.square(centered), -1, keepdims=True) + 1e-12)
    normalized = centered * scale

    def gradient(upstream):
        normalized_grad = upstream * gamma
        gamma_grads = upstream * normalized  # of every row
        x_grad = scale * (normalized_grad - tf.reduce_mean(normalized_grad, -1, keepdims=True)
                          - normalized * tf.reduce_mean(gamma_grads * gamma, -1, keepdims=True))
        rows = list(range(x.shape.ndims - 1))
        return x_grad, tf.reduce_sum(upstream, rows), tf.reduce_sum(gamma_grads, rows)

    return normalized * gamma + beta, gradient


# z and its derivative below are 0.5 * _SLOPE * x and so on.
_SLOPE = 2 * np.sqrt(2 / np.pi)
_CUBIC = _SLOPE * 0.044715


def gelu(x):
    """Gaussian Error Linear Unit, the tanh form (https://arxiv.org/abs/1606.08415).

    0.5 * x * (1 + tanh(z)) = x * sigmoid(2 * z) with z = sqrt(2 / pi) * (x + 0.044715 * x ** 3).
    With its gradient it is twice as fast as the formula with autodiff: fewer passes over memory;
    and twice as fast again within `compiled_gelu`.
    """
    value, slope = _compiled_gelu() if is_within("compiled_gelu") else (_gelu, _gelu_gradient)
    return tf.custom_gradient(lambda x: (value(x), lambda upstream: slope(x, upstream)))(x)


def compiled_gelu():
    """A scope in which XLA compiles GELU, once for every shape; TensorFlow 2."""
    return _within("compiled_gelu")


def _gelu(x):
    return x * tf.sigmoid(x * (_SLOPE + _CUBIC * tf.square(x)))


def _gelu_gradient(x, upstream):
    # TensorFlow finds that what `_gelu` computed is here again.
    square = tf.square(x)
    gate = tf.sigmoid(x * (_SLOPE + _CUBIC * square))
    y = x * gate
    return upstream * (gate + (y - y * gate) * (_SLOPE + 3 * _CUBIC * square))


@functools.lru_cache(None)
def _compiled_gelu():
    """The same two functions for all layers, so that they share what is compiled."""
    return [tf.function(function, jit_compile=True, autograph=False)
            for function in (_gelu, _gelu_gradient)]


def gelu_erf(x):
    """Gaussian Error Linear Unit by its definition, x * P(X <= x), as most BERT models have it.

    Computed in float32 whatever the type of `x`.
    """
    with tf.name_scope("gelu"):
        wide = tf.cast(x, tf.float32)
        return tf.cast(0.5 * wide * (1.0 + tf.math.erf(wide / np.float32(np.sqrt(2.0)))), x.dtype)


def activation(name):
    """The function of a config's `hidden_act`; None for "linear"."""
    return {"gelu": gelu, "gelu_erf": gelu_erf, "relu": tf.nn.relu, "tanh": tf.tanh,
            "linear": None}[name]


def dropout(x, rate, seed=None):
    """Dropout with probability `rate`; the tensor itself when the rate is 0.

    With a `seed`, int32 [2], the mask is a function of seed and shape.
    """
    return x * dropout_mask(shape_list(x), rate, x.dtype, seed) if rate else x


def dropout_mask(shape, rate, dtype, seed=None):
    """A tensor of `shape` that is 0 with probability `rate`, else 1 / (1 - rate)."""
    uniform = tf.random.uniform(shape) if seed is None else tf.random.stateless_uniform(shape, seed)
    return tf.cast(uniform >= rate, dtype) / (1.0 - rate)


def draw_seeds(count):
    """`count` random seeds for `dropout`, int32 [2] each; new ones in every step."""
    return [tf.random.uniform([2], maxval=np.iinfo(np.int32).max, dtype=tf.int32)
            for _ in range(count)]


def attention_bias(input_mask):
    """int [B, S] -> float [B, 1, 1, S]: 0 for tokens, -10000 for padding, as in the originals."""
    # TensorFlow Lite has no operator for a slice with two new axes.
    mask = tf.cast(tf.expand_dims(tf.expand_dims(input_mask, 1), 1), tf.float32)
    return (1.0 - mask) * -10000.0


def split_heads(x, num_heads):
    """[B, S, H] -> [B, N, S, D]."""
    batch, length, width = shape_list(x)
    return tf.transpose(tf.reshape(x, [batch, length, num_heads, width // num_heads]), [0, 2, 1, 3])


def merge_heads(x):
    """[B, N, S, D] -> [B, S, H]."""
    batch, heads, length, head_size = shape_list(x)
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, length, heads * head_size])


def attend(query, key, value, bias, dropout_rate=0.0, seed=None):
    """[B, N, P, D], twice [B, N, S, D] and an additive bias [B, 1, 1, S] -> [B, N, P, D].

    The gradient makes half as many passes over [B, N, P, S] as that of autodiff: a row's sum of
    weights times their gradients equals the product of its context and the context's gradient, and
    the scale is applied to the smaller queries.
    """
    scale = 1.0 / math.sqrt(shape_list(query)[-1])
    softmax_type, product_type = bias.dtype, query.dtype

    @tf.custom_gradient
    def attended(query, key, value, bias):
        query = scale * query
        products = tf.matmul(query, key, transpose_b=True)
        scores = tf.cast(products, softmax_type) + bias
        weights = tf.nn.softmax(scores)  # [B, N, P, S]
        if dropout_rate:
            mask = dropout_mask(shape_list(weights), dropout_rate, softmax_type, seed)
        dropped = tf.cast(weights * mask if dropout_rate else weights, product_type)
        context = tf.matmul(dropped, value)

        def gradient(upstream):
            weights_grad = tf.cast(tf.matmul(upstream, value, transpose_b=True), softmax_type)
            if dropout_rate:
                weights_grad *= mask
            mean = tf.reduce_sum(tf.cast(upstream * context, softmax_type), -1, keepdims=True)
            scores_grad = weights * (weights_grad - mean)  # [B, N, P, S]
            products_grad = tf.cast(scores_grad, product_type)
            return (scale * tf.matmul(products_grad, key),
                    tf.matmul(products_grad, query, transpose_a=True),
                    tf.matmul(dropped, upstream, transpose_a=True),
                    tf.reduce_sum(scores_grad, [1, 2], keepdims=True))

        return context, gradient

    return attended(query, key, value, bias)


def gather_positions(sequence, positions):
    """[B, S, H] at int [B, P] -> [B*P, H]."""
    batch, length, width = shape_list(sequence)
    offsets = tf.range(batch, dtype=positions.dtype)[:, tf.newaxis] * tf.cast(
        length, positions.dtype)
    return tf.gather(tf.reshape(sequence, [-1, width]), tf.reshape(positions + offsets, [-1]))


def gather_rows(sequence, positions):
    """[B, S, H] at int [B, P] -> [B, P, H]."""
    return tf.reshape(gather_positions(sequence, positions),
                      shape_list(positions) + [shape_list(sequence)[-1]])


def softmax_losses(hidden, table, bias, labels):
    """Softmax cross entropy over the vocabulary; its gradient creates no tensor [n, V].

    The gradient with respect to the logits is (probabilities - one-hot labels) * upstream. Its
    products with `hidden` and `table` are computed without it, in half of autodiff's time for a
    vocabulary of 21128.

    Args:
      hidden: float [n, E].
      table: float [V, E].
      bias: float [V].
      labels: int [n].

    Returns:
      ([n], logits [n, V]); both can be differentiated.
    """
    table, bias = tf.convert_to_tensor(table), tf.convert_to_tensor(bias)
    logits = tf.nn.bias_add(matmul(hidden, table, transpose_b=True, rounds_result=False), bias)
    of_labels = tf.stack([tf.range(shape_list(hidden)[0]), labels], -1)  # [n, 2]

    @tf.custom_gradient
    def losses(hidden, table, bias):
        probabilities = tf.nn.softmax(logits)
        # Relative to the most likely word, whose probability cannot round to 0.
        below_top = tf.reduce_max(logits, -1) - tf.gather_nd(logits, of_labels)
        loss = below_top - tf.log(tf.reduce_max(probabilities, -1))

        def gradient(upstream):
            weights = upstream[:, tf.newaxis]  # [n, 1]
            weighted = tf.concat([hidden * weights, weights], -1)  # the bias is the last column
            of_words = (matmul(probabilities, weighted, transpose_a=True)
                        - tf.math.unsorted_segment_sum(weighted, labels, shape_list(table)[0]))
            return (weights * (matmul(probabilities, table) - tf.gather(table, labels)),
                    of_words[:, :-1], of_words[:, -1])

        return loss, gradient

    return losses(hidden, table, bias), logits


def shape_list(tensor):
    """The shape as a list: an int where it is static, a scalar tensor where it is not."""
    static = tensor.shape.as_list()
    if None not in static:
        return static
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(static)]


def initializer(initializer_range):
    return tf.truncated_normal_initializer(stddev=initializer_range)


def recomputed(function, weights, *inputs):
    """function(*inputs), keeping only its inputs and output in memory for the backward pass.

    The gradient calls `function` again and differentiates the second result: the activations of one
    call in memory instead of those of all, at the cost of one more forward pass (Chen et al. 2016,
    https://arxiv.org/abs/1604.06174). tf.recompute_grad of TensorFlow 1.15 recomputes too early and
    does not share variables.

    Args:
      function: tensors -> a float tensor. It must get its variables by tf.get_variable, and its
        random ops must be stateless: others would differ in the second call.
      weights: {name: tensor}, empty before the first call and passed to every call that shares the
        variables. Each call hands the weights on to the next, so that their gradients are added up
        from call to call; one sum at the end would keep a gradient per call in memory.
      inputs: tensors, the first one float. `function` must depend on these (random seeds included)
        and on its variables only.
    """
    scope = tf.get_variable_scope()
    used = collections.OrderedDict()  # the variables of the first call; passed to the second

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
            # Delays the recomputation until the upstream gradient exists, and keeps TensorFlow from
            # merging it with the first call.
            delayed = _after([upstream], tensors[:len(inputs)]) + list(tensors[len(inputs):])
            # Without this, tf.gradients would continue past the tensors it is asked for.
            delayed = [tf.stop_gradient(tensor) for tensor in delayed]
            recomputed_y = call(delayed[:len(inputs)], dict(zip(names, delayed[len(inputs):])))
            gradients = tf.gradients(recomputed_y, delayed, upstream)
            sums = [tf.add(*pair) for pair in zip(of_later_calls, gradients[len(inputs):])]
            # The gradient of the call before this one waits for these sums; otherwise they would be
            # computed at the end, with all their terms in memory until then.
            return _after(sums, gradients[:1]) + gradients[1:len(inputs)] + sums

        return [y] + list(tensors[len(inputs):]), gradient

    outputs = differentiable(*(list(inputs) + list(used.values())))
    weights.update(zip(names, outputs[1:]))
    return outputs[0]


def _after(awaited, tensors):
    """The tensors plus a 0 that is computed from `awaited`, and therefore after it.

    XLA ignores control dependencies, so one would not be enough.
    """
    zero = tf.add_n([tf.cast(tf.minimum(tf.abs(tf.reshape(tensor, [-1])[0]), 0), tf.float32)
                     for tensor in awaited])
    return [tensor + tf.cast(zero, tensor.dtype) for tensor in tensors]
