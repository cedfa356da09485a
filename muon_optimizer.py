"""Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") for the
matrices between embeddings and output, AdamW for everything else.

    optimizer = MuonOptimizer(learning_rate=1e-3, weight_decay_rate=0.01, beta_2=0.98,
                              exclude_from_weight_decay=NO_DECAY)
    train_op = optimizer.apply_gradients(gradients_and_variables, global_step=global_step)
"""

import math

import tensorflow.compat.v1 as tf

import layers
from lamb_optimizer import AdamWOptimizer, matches

# The matrices, in both layouts: those of the encoder, of the head that predicts masked words, and
# brightmart's from the size of the embeddings to the model's.
MATRICES = ("/encoder/.*kernel", "/transform/dense/kernel", "/word_embeddings_2")
MOMENTUM = 0.95
# Of the polynomial a x + b x^3 + c x^5, five times of which brings numbers of 0 to 1 near to 1.
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
# The root mean square of an update over the rate, as AdamW's is between 0.2 and 0.4: the two share
# a rate (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2).
UPDATE_SIZE = 0.2


class MuonOptimizer(AdamWOptimizer):
    """Steps along the momentum of a matrix with all of its singular values made 1, about.

        m = 0.95 * m + 0.05 * gradient
        update = 0.2 * sqrt(max(rows, columns)) * orthogonal(0.95 * m + 0.05 * gradient)
        variable -= learning_rate * (update + weight_decay_rate * variable)

    m is the only state of a matrix, in the slot `<variable>/muon_m`; other variables have AdamW's.

    Arguments as in `lamb_optimizer.MomentsOptimizer`.
    """

    def _create_slots(self, var_list):
        matrices = [variable for variable in var_list if is_matrix(variable)]
        for variable in matrices:
            self._zeros_slot(variable, "m", "muon_m")
        super()._create_slots([variable for variable in var_list if not is_matrix(variable)])

    def _apply(self, gradient, variable):
        if not is_matrix(variable):
            return super()._apply(gradient, variable)
        m, new = self.get_slot(variable, "m"), 1.0 - MOMENTUM
        momentum = m.read_value()
        momentum += tf.cast(self._gated(new), gradient.dtype) * (gradient - momentum)
        update = orthogonal(MOMENTUM * momentum + new * gradient)
        update *= UPDATE_SIZE * math.sqrt(max(gradient.shape.as_list()))
        update += self._decay_of(variable) * variable.read_value()
        rate = tf.cast(self._gated(self._rate_of(variable)), gradient.dtype)
        return tf.group(m.assign(momentum, read_value=False),
                        variable.assign_sub(rate * update, read_value=False))


def is_matrix(variable):
    """Whether Muon steps by a variable's orthogonal momentum, and not as AdamW."""
    return variable.shape.ndims == 2 and matches(variable, MATRICES)


def orthogonal(matrix):
    """A matrix [m, n] with the singular vectors of `matrix` and singular values of 0.7 to 1.2.

    Newton and Schulz's iteration, by products alone, which may round to bfloat16 as those of the
    model. Singular values of less than a thousandth of the matrix's norm stay smaller.
    """
    rows, columns = matrix.shape.as_list()
    a, b, c = COEFFICIENTS
    wide = tf.transpose(matrix) if rows > columns else matrix
    wide /= tf.global_norm([wide]) + 1e-7
    for _ in range(ITERATIONS):
        square = layers.matmul(wide, wide, transpose_b=True)
        wide = a * wide + layers.matmul(b * square + c * layers.matmul(square, square), wide)
    return tf.transpose(wide) if rows > columns else wide
