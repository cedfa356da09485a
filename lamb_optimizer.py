"""LAMB (You et al. 2019, "Large Batch Optimization for Deep Learning"), AdamW, and the base class
of both: moments and their names in a checkpoint, sparse gradients, weight decay.

    optimizer = LambOptimizer(learning_rate=0.00176, weight_decay_rate=0.01,
                              exclude_from_weight_decay=NO_DECAY)
    train_op = optimizer.apply_gradients(gradients_and_variables, global_step=global_step)
"""

import collections
import re

import numpy as np
import tensorflow.compat.v1 as tf

NO_DECAY = ("LayerNorm", "layer_norm", "bias")


class MomentsOptimizer(tf.train.Optimizer):
    """Base class with Adam's two moments, without bias correction.

    A subclass implements `_apply(gradient, variable)`. The moments m and v are the only state, kept
    in slots named `<variable>/adam_m` and `<variable>/adam_v`, as in Google's checkpoints.

    Args:
      learning_rate: a float, a scalar tensor, or a function without arguments that returns one.
      weight_decay_rate: added to the update as rate * variable, never to the gradient.
      beta_1, beta_2: decay of m and of v per update.
      epsilon: added to sqrt(v).
      exclude_from_weight_decay: regular expressions; a variable does not decay if one of them
        matches anywhere in its name; None: every variable does.
      rate_factor: function of a variable's name -> factor on its learning rate; None: 1.
      name: the name of the operations; it is part of no variable's name.
    """

    def __init__(self, learning_rate, weight_decay_rate=0.0, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-6, exclude_from_weight_decay=None, rate_factor=None,
                 name="MomentsOptimizer"):
        super().__init__(use_locking=False, name=name)
        self._learning_rate = learning_rate
        self._weight_decay_rate = weight_decay_rate
        self._beta_1 = beta_1
        self._beta_2 = beta_2
        self._epsilon = epsilon
        self._exclude_from_weight_decay = tuple(exclude_from_weight_decay or ())
        self._rate_factor = rate_factor or (lambda name: 1.0)
        self._applied = None
        # {variable name: scalar tensor}, filled by apply_gradients if the subclass adapts layers.
        self.trust_ratios = collections.OrderedDict()

    def apply_only_if(self, condition):
        """Makes updates leave everything as it is, moments included, where `condition` is false.

        Call this before apply_gradients. The gradients must be finite in any case.

        Args:
          condition: a bool scalar tensor.
        """
        self._applied = tf.cast(condition, tf.float32)

    def _gated(self, number):
        """`number`, or 0 where the condition of `apply_only_if` is false."""
        return number if self._applied is None else number * self._applied

    def _create_slots(self, var_list):
        for variable in var_list:
            self._zeros_slot(variable, "m", "adam_m")
            self._zeros_slot(variable, "v", "adam_v")

    def _prepare(self):
        rate = self._call_if_callable(self._learning_rate)
        self._rate = tf.convert_to_tensor(rate, dtype=tf.float32, name="learning_rate")

    def _rate_of(self, variable):
        factor = self._rate_factor(variable.op.name)
        return self._rate if factor == 1.0 else self._rate * factor

    def _apply(self, gradient, variable):
        """The operation that updates `variable` and its moments by a dense gradient."""
        raise NotImplementedError

    def _decay_of(self, variable):
        """The weight decay rate of `variable`, 0 where it is excluded."""
        return 0.0 if matches(variable, self._exclude_from_weight_decay) else (
            self._weight_decay_rate)

    def _scale(self, dtype):
        """The factor on rate and epsilon that corrects a rounding error of the kernel in `_adam`.

        The kernel computes 1 - beta_2 in the variable's dtype, with a relative error of 1.3e-5 for
        0.999 in float32. Its v is therefore scale ** 2 times the exact one, and
        m / (sqrt(v) + epsilon * scale) is the exact m / (sqrt(v) + epsilon) divided by scale.
        """
        rounded = float(np.array(self._beta_2, dtype.as_numpy_dtype))
        return np.sqrt((1.0 - rounded) / (1.0 - self._beta_2))

    def _adam(self, gradient, variable, rate):
        """Updates m and v, then variable -= rate * m / (sqrt(v) + epsilon), in one kernel.

        m = beta_1 * m + (1 - beta_1) * gradient and v likewise with the square. The kernel's bias
        correction, sqrt(1 - beta2_power) / (1 - beta1_power), is 1 with both powers 0.
        """
        scale = self._scale(gradient.dtype)
        numbers = {"beta1_power": 0.0, "beta2_power": 0.0, "lr": self._gated(rate * scale),
                   "beta1": 1.0 - self._gated(1.0 - self._beta_1),
                   "beta2": 1.0 - self._gated(1.0 - self._beta_2),
                   "epsilon": self._epsilon * scale}
        numbers = {key: tf.cast(value, gradient.dtype) for key, value in numbers.items()}
        state = {"var": variable, "m": self.get_slot(variable, "m"),
                 "v": self.get_slot(variable, "v")}
        if variable.dtype != variable.dtype.base_dtype:  # a reference variable, not a resource
            return tf.raw_ops.ApplyAdam(grad=gradient, **state, **numbers)
        state = {key: value.handle for key, value in state.items()}
        return tf.raw_ops.ResourceApplyAdam(grad=gradient, **state, **numbers)

    def _apply_slices(self, values, variable, indices):
        # The moments of every row decay and move the row, looked up or not, so a sparse update
        # would save nothing. The segment sum also adds up repeated rows, in one pass and without
        # tf.unique, which XLA cannot compile.
        rows = variable.shape.as_list()[0]
        return self._apply(tf.unsorted_segment_sum(values, indices, rows), variable)

    def _apply_dense(self, grad, var):
        return self._apply(grad, var)

    def _resource_apply_dense(self, grad, handle):
        return self._apply(grad, handle)

    def _apply_sparse(self, grad, var):
        return self._apply_slices(grad.values, var, grad.indices)

    def _resource_apply_sparse(self, grad, handle, indices):
        return self._apply_slices(grad, handle, indices)

    # TensorFlow would sum repeated rows before calling the two above, which already do so.
    _apply_sparse_duplicate_indices = _apply_sparse
    _resource_apply_sparse_duplicate_indices = _resource_apply_sparse


class AdamWOptimizer(MomentsOptimizer):
    """Adam with decoupled weight decay and without bias correction, as BERT's.

        variable -= learning_rate * (m / (sqrt(v) + epsilon) + weight_decay_rate * variable)

    Arguments as in `MomentsOptimizer`.
    """

    def _apply(self, gradient, variable):
        before, decay = [], self._decay_of(variable)
        if decay:
            # Adam's update does not read the variable, so decay may come first, but only once the
            # gradient is computed: the loss must not read a variable that has already decayed.
            factor = 1.0 - decay * tf.cast(self._gated(self._rate_of(variable)), gradient.dtype)
            with tf.control_dependencies([gradient]):
                before = [variable.assign(factor * variable.read_value(), read_value=False)]
        with tf.control_dependencies(before):
            return self._adam(gradient, variable, self._rate_of(variable))


class LambOptimizer(MomentsOptimizer):
    """LAMB without bias correction, as in Google's ALBERT, with a choice of layer adaptation.

        update = m / (sqrt(v) + epsilon) + weight_decay_rate * variable
        variable -= learning_rate * trust_ratio * update

    Args:
      exclude_from_layer_adaptation: regular expressions; a variable whose name matches one of them
        has trust ratio 1. None: those of `exclude_from_weight_decay` (Google's ALBERT). Empty:
        every variable is adapted (brightmart's albert_zh).
      The others as in `MomentsOptimizer`.
    """

    def __init__(self, learning_rate, weight_decay_rate=0.0, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-6, exclude_from_weight_decay=None, rate_factor=None,
                 exclude_from_layer_adaptation=None, name="LambOptimizer"):
        super().__init__(learning_rate, weight_decay_rate, beta_1, beta_2, epsilon,
                         exclude_from_weight_decay, rate_factor, name)
        if exclude_from_layer_adaptation is None:
            exclude_from_layer_adaptation = self._exclude_from_weight_decay
        self._exclude_from_layer_adaptation = tuple(exclude_from_layer_adaptation)

    def _apply(self, gradient, variable):
        # With rate 0 the kernel updates only the moments, in one pass: measured faster than the
        # seven passes of separate ops. The step itself needs norms, so it is written out.
        m, v = self.get_slot(variable, "m"), self.get_slot(variable, "v")
        scale, decay = self._scale(gradient.dtype), self._decay_of(variable)
        with tf.control_dependencies([self._adam(gradient, variable, rate=0.0)]):
            update = m.read_value() / (tf.sqrt(v.read_value()) + self._epsilon * scale)
            weights = variable.read_value()
        if decay:
            update += decay / scale * weights  # the entire update is divided by scale
        step = tf.cast(self._gated(self._rate_of(variable) * scale), update.dtype)
        if not matches(variable, self._exclude_from_layer_adaptation):
            # tf.global_norm is one fused pass; tf.norm materializes the squares first.
            ratio = trust_ratio(tf.global_norm([weights]), scale * tf.global_norm([update]))
            self.trust_ratios.setdefault(variable.op.name, ratio)  # the first replica's
            step *= ratio
        return variable.assign_sub(step * update, read_value=False)


def trust_ratio(weights_norm, update_norm):
    """||weights|| / ||update|| of two scalars; 1 where either is 0 (LAMB, algorithm 2)."""
    both = tf.logical_and(weights_norm > 0, update_norm > 0)
    return tf.where(both, weights_norm / update_norm, tf.ones_like(update_norm))


def matches(variable, patterns):
    """Whether one of the regular expressions matches anywhere in a variable's name."""
    name = variable.name.split(":")[0]
    return any(re.search(pattern, name) for pattern in patterns)


# Names that code written for the originals imports.


class StepOfCaller(object):
    """Before an optimizer: `apply_gradients` takes the global step and leaves it as it is.

    Those who use the originals' optimizers add 1 to it themselves.
    """

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        del global_step
        return super().apply_gradients(grads_and_vars, name=name)


class LAMBOptimizer(StepOfCaller, LambOptimizer):
    """LAMB by the name and the arguments of Google's code."""
