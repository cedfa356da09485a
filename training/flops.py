"""Floating-point operations of a training step, and the peak rate of this machine.

    step_flops = flops.training_flops(config, batch_size=32, tokens=93.0, predictions=13.6,
                                      squares=9840.0)
    share_of_peak = steps_a_second * step_flops / flops.measure_matmul_peak()

Dimensions: B batch, S sequence, H hidden, E embedding, I intermediate, V vocabulary, P predictions
a sequence.
"""

import time

import tensorflow.compat.v1 as tf

import modeling

# Chained products in one session run, at most: enough that a run on a fast GPU takes much longer
# than launching it.
_LONGEST_CHAIN = 64


def training_flops(config, batch_size, tokens, predictions, squares=None):
    """Floating-point operations of the matrix products of one training step.

    A product of [m, k] and [k, n] is 2 * m * k * n operations, a multiplication and an addition
    each; the gradient of a product is two of its size, so a step is three times the forward pass:

      words to H   [B*S, E] x [E, H], in google's layout only where E is not H
      a layer      4 of [B*S, H] x [H, H], 2 of [B*S, H] x [H, I], and attention's two products,
                   together N times [S, D] x [D, S] a sequence, H = N * D
      pooler       [B, H] x [H, H], and the sentence order's [B, H] x [H, 2]
      masked LM    [B*P, H] x [H, H], x [H, E] (brightmart) or [B*P, H] x [H, E] (google), and
                   [B*P, E] x [E, V]

    Embedding look-ups are not counted (nor are look-ups by one-hot products), nor what --recompute
    computes twice: this is the model's useful work, the same for every implementation.

    Padding is no useful work: of sequences of unequal lengths S and P are the means.

    Args:
      config: an AlbertConfig.
      batch_size, tokens, predictions: B, S and P.
      squares: the mean of the squares of the sequences' lengths; None: all are of length S.

    Returns:
      A number.
    """
    hidden, embedding = config.hidden_size, config.embedding_size
    squares = tokens * tokens if squares is None else squares
    brightmart = config.layout == "brightmart"
    layer = (tokens * (4 * hidden * hidden + 2 * hidden * config.intermediate_size)
             + 2 * squares * hidden)
    projection = tokens * embedding * hidden if brightmart or embedding != hidden else 0
    sentence = hidden * hidden + 2 * hidden
    prediction = embedding * (hidden + config.vocab_size) + (hidden * hidden if brightmart else 0)
    multiplications = batch_size * (
        projection + len(modeling.block_scopes(config)) * layer + sentence
        + predictions * prediction)
    return 3 * 2 * multiplications


def measure_matmul_peak(device=None, size=2048, seconds=1.0, dtype=tf.float32):
    """The floating-point operations a second of products [size, size] x [size, size].

    The best of what fits into `seconds` (at least one run after the first). It has a graph and a
    session of its own; the default graph is left alone.

    Args:
      device: "/cpu:0", "/gpu:0" or None for TensorFlow's choice.
      size: 2048 reaches the peak of CPUs and, several in a row, of GPUs.
      seconds: how long to repeat.
      dtype: of the matrices.
    """
    with tf.Graph().as_default() as graph, tf.device(device):
        # Of this size the products of products neither overflow nor vanish, which is slow.
        initial = tf.cast(tf.random_normal([size, size], stddev=size ** -0.5), dtype)
        matrix = tf.Variable(initial, use_resource=True)
        factor, product, chain = matrix.read_value(), matrix.read_value(), []
        for _ in range(_LONGEST_CHAIN):
            product = tf.matmul(product, factor)
            chain.append(product.op)  # not the product: it need not leave the device
        start = tf.global_variables_initializer()
    with tf.Session(graph=graph) as session:
        session.run(start)
        return _best_rate(session, chain, 2 * size ** 3, seconds)


def _best_rate(session, chain, flops, seconds):
    """Runs longer and longer chains of products, each of `flops`, up to about 0.1 s a run."""
    length, best, end = 1, 0.0, time.perf_counter() + seconds
    run = session.make_callable(chain[0])
    run()  # the first run of a session prepares the others
    while True:
        begin = time.perf_counter()
        run()
        now = time.perf_counter()
        best = max(best, length * flops / (now - begin))
        if now >= end:
            return best
        if now - begin < 0.05 and length < len(chain):
            length *= 2
            run = session.make_callable(chain[length - 1])
            run()
