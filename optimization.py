"""The train op: AdamW, LAMB or Muon, warmup and decay of the learning rate, clipped gradients.

    gradients = optimization.compute_gradients(loss)
    train = optimization.create_train_op(
        gradients, "lamb", init_lr=0.00176, num_train_steps=125000, num_warmup_steps=12500)
    _, rate = session.run([train.train_op, train.learning_rate])
"""

import collections
import functools
import math
import re

from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

import lamb_optimizer
from lamb_optimizer import NO_DECAY, AdamWOptimizer, LambOptimizer
from muon_optimizer import MuonOptimizer

# The choices of --lamb_exclude: which variables are excluded from LAMB's layer adaptation.
LAMB_EXCLUDE = {
    "no_decay": None,  # those without weight decay, as in Google's ALBERT
    "none": (),        # no variable, as in brightmart's albert_zh
}
# What each layout's own code does.
LAYOUT_LAMB_EXCLUDE = {"google": "no_decay", "brightmart": "none"}

# trust_ratios is {variable name: scalar} of LAMB's adapted variables, empty for AdamW.
TrainOp = collections.namedtuple(
    "TrainOp", ["train_op", "learning_rate", "gradient_norm", "trust_ratios"])
Gradient = collections.namedtuple("Gradient", ["value", "squares", "variable"])


def create_learning_rate(global_step, init_lr, num_train_steps, num_warmup_steps, poly_power=1.0,
                         start_warmup_step=0):
    """The learning rate at `global_step`, a float32 scalar, as in BERT and Google's ALBERT.

    Linear warmup from 0 to `init_lr` in the `num_warmup_steps` steps after `start_warmup_step`,
    then init_lr * (1 - global_step / num_train_steps) ** poly_power, and 0 from `num_train_steps`.
    10 steps with 2 of warmup and rate 0.05 give 0, 0.025, 0.04, 0.035, ... 0.005.

    Args:
      global_step: the number of updates already made, an integer scalar or variable.
      init_lr: the peak, above 0.
      num_train_steps: the total number of updates, above 0.
      num_warmup_steps, start_warmup_step: in updates, together at most `num_train_steps`. Up to
        `start_warmup_step` the rate is 0.
      poly_power: 1 for linear decay, above 0.

    Raises:
      UserError: a number out of its range.
    """
    _require("learning_rate", init_lr)
    _require("num_train_steps", num_train_steps)
    _require("poly_power", poly_power)
    _require("num_warmup_steps", num_warmup_steps, zero=True)
    _require("start_warmup_step", start_warmup_step, zero=True)
    if start_warmup_step + num_warmup_steps > num_train_steps:
        raise UserError(
            "warmup ends at step %d (num_warmup_steps=%d after start_warmup_step=%d), expected at "
            "most num_train_steps=%d; warm up for fewer steps or train for more"
            % (start_warmup_step + num_warmup_steps, num_warmup_steps, start_warmup_step,
               num_train_steps))
    step = tf.cast(global_step, tf.float32)  # exact up to 2 ** 24 steps
    rate = tf.train.polynomial_decay(
        float(init_lr), step, num_train_steps, end_learning_rate=0.0, power=poly_power)
    warmed = step - start_warmup_step
    if num_warmup_steps:
        # In Google's ALBERT the rate is negative before start_warmup_step.
        warmup = init_lr * tf.maximum(warmed, 0.0) / num_warmup_steps
        rate = tf.where(warmed < num_warmup_steps, warmup, rate)
    return rate


def layer_factor(name, decay, num_groups=1):
    """Layer-wise learning-rate decay: the factor on the rate of the variable `name`.

    1 above the transformer (pooler and heads), `decay` for the last group of layers, decay ** 2 for
    the group before it, and so on down to the embeddings (Howard & Ruder 2018, section 3.2). A
    group is one set of weights, however many layers share it.
    """
    group = re.search(r"/group_(\d+)/", name)
    if re.search(r"/embeddings/|/embedding_hidden_mapping_in/", name):
        depth = num_groups + 1
    elif "/encoder/" in name:
        depth = num_groups - (int(group.group(1)) if group else 0)
    else:
        depth = 0
    return decay ** depth


def order_factor(name, factor):
    """`factor` for what tells the order of sentences, the pooler and its head; 1 for the rest."""
    return factor if re.search(r"(^|/)(pooler|seq_relationship)/", name) else 1.0


def make_optimizer(name, learning_rate, weight_decay=0.01, lamb_exclude="no_decay",
                   rate_factor=None, beta_2=0.999):
    """The optimizer `name`, "adamw", "lamb" or "muon", with the constants of BERT and ALBERT.

    Args:
      learning_rate: a float or a scalar tensor.
      weight_decay: at least 0, for everything but LayerNorm and bias.
      lamb_exclude: a key of LAMB_EXCLUDE; for "lamb" alone.
      rate_factor: function of a variable's name -> factor on its learning rate, and so its decay.
      beta_2: decay of the second moment per update; 0.98 is RoBERTa's.

    Raises:
      UserError: an unknown name or key, a negative decay, or a beta_2 that is not below 1.
    """
    _require("weight_decay", weight_decay, zero=True)
    _require("beta_2", beta_2, zero=True)
    if beta_2 >= 1:
        raise UserError("beta_2=%s: expected a number below 1, as 0.98 or 0.999" % beta_2)
    if lamb_exclude not in LAMB_EXCLUDE:
        raise UserError("lamb_exclude=%s: no such choice, expected %s"
                        % (lamb_exclude, " or ".join(sorted(LAMB_EXCLUDE))))
    common = {"beta_2": beta_2, "exclude_from_weight_decay": NO_DECAY, "rate_factor": rate_factor}
    if name == "adamw":
        return AdamWOptimizer(learning_rate, weight_decay, name="AdamWeightDecay", **common)
    if name == "muon":
        return MuonOptimizer(learning_rate, weight_decay, name="MuonOptimizer", **common)
    if name == "lamb":
        return LambOptimizer(learning_rate, weight_decay,
                             exclude_from_layer_adaptation=LAMB_EXCLUDE[lamb_exclude], **common)
    raise UserError("optimizer=%s: no such optimizer, expected adamw, lamb or muon" % name)


def shares_moments(one, other):
    """Whether a training by one optimizer can go on by the other: AdamW and LAMB keep the same."""
    return one == other or "muon" not in (one, other)


class LossScale(object):
    """Dynamic loss scaling for float16 (Micikevicius et al. 2018, "Mixed Precision Training").

        scale = LossScale()
        gradients = compute_gradients(loss, scale=scale.value)     # of the unscaled loss
        train = create_train_op(gradients, …, loss_scale=scale)

    The scale doubles after `growth_steps` finite steps in a row. A step whose gradients are not
    finite halves it and updates nothing else; it still increments the global step, from which the
    position in the data is computed.
    """

    def __init__(self, initial=2.0 ** 15, growth_steps=2000):
        self._growth_steps = growth_steps
        # Every replica assigns the same value, since all see the mean of the gradients.
        options = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        with tf.variable_scope("loss_scale", reuse=tf.AUTO_REUSE):
            self._scale = tf.get_variable("scale", initializer=np.float32(initial), **options)
            self._finite_steps = tf.get_variable("finite_steps", initializer=np.int64(0), **options)
        self.value = self._scale.read_value()

    def update(self, finite):
        """The op that sets the next step's scale, given if this step's gradients are `finite`."""
        counted = self._finite_steps.read_value() + 1
        grows = tf.logical_and(finite, counted >= self._growth_steps)
        scale = tf.where(finite, tf.where(grows, 2.0 * self.value, self.value),
                         tf.maximum(0.5 * self.value, 1.0))
        stays = tf.logical_and(finite, tf.logical_not(grows))
        return tf.group(self._scale.assign(scale, read_value=False),
                        self._finite_steps.assign(tf.where(stays, counted, tf.zeros_like(counted)),
                                                  read_value=False))


def compute_gradients(loss, variables=None, scale=None):
    """The gradients of a scalar loss, as dense tensors.

    Args:
      variables: those to differentiate by; the trainable ones when None. Variables that the loss
        does not depend on are skipped.
      scale: a factor on the loss during backpropagation, so that small gradients do not underflow
        in float16; the gradients returned are those of the unscaled loss.

    Returns:
      [Gradient(value, squares, variable)]; `squares` is None, or, for an embedding table that is
      only looked up, the sum of squares over the single look-ups.
    """
    variables = tf.trainable_variables() if variables is None else variables
    upstream = None if scale is None else [tf.cast(scale, loss.dtype)]
    gradients = []
    for value, variable in zip(tf.gradients(loss, variables, grad_ys=upstream), variables):
        if value is None:
            continue
        if scale is not None:
            value = _divided(value, scale)
        squares = None
        if isinstance(value, tf.IndexedSlices):
            squares = _sum_of_squares(value.values)
            value = tf.math.unsorted_segment_sum(
                value.values, value.indices, variable.shape.as_list()[0])
        gradients.append(Gradient(value, squares, variable))
    if not gradients:
        raise ValueError("the loss depends on none of the variables to train")
    return gradients


def _divided(value, scale):
    if isinstance(value, tf.IndexedSlices):
        return tf.IndexedSlices(value.values / scale, value.indices, value.dense_shape)
    return value / scale


def accumulate_gradients(loss_fn, features, num_parts, variables=None, scale=None):
    """Gradients of a batch computed in parts, one after another, in the memory of one part.

    Args:
      loss_fn: function {name: [B / num_parts, …]} -> (loss, {name: scalar}) that builds the model;
        each is the part's share of the value over the whole batch, so that shares add up.
      features: {name: [B, …]}; B is a multiple of `num_parts`.
      variables, scale: as in `compute_gradients`.

    Returns:
      (loss, {name: scalar}, gradients as from `compute_gradients`), all of the whole batch.
    """
    def compute(features):
        loss, values = loss_fn(features)
        return loss, values, compute_gradients(loss, variables, scale)

    if num_parts == 1:
        return compute(features)
    parts = {name: tf.reshape(value, tf.concat([[num_parts, -1], tf.shape(value)[1:]], 0))
             for name, value in features.items()}
    for name, value in features.items():
        batch = value.shape.as_list()[0]
        parts[name].set_shape([num_parts, batch and batch // num_parts]
                              + value.shape.as_list()[1:])

    def part(index):
        return {name: tf.gather(value, index) for name, value in parts.items()}

    def add(index, sums):
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            terms = _tensors(*compute(part(index)))
        return index + 1, [total + term for total, term in zip(sums, terms)]

    loss, values, gradients = compute(part(0))

    _, sums = tf.while_loop(lambda index, _: index < num_parts, add,
                            [1, _tensors(loss, values, gradients)], parallel_iterations=1,
                            back_prop=False)
    sums = iter(sums)
    loss = next(sums)
    values = collections.OrderedDict((name, next(sums)) for name in values)
    return loss, values, [
        Gradient(next(sums), next(sums) if gradient.squares is not None else None,
                 gradient.variable) for gradient in gradients]


def _tensors(loss, values, gradients):
    """A flat list of the tensors that `accumulate_gradients` returns."""
    return [loss] + list(values.values()) + [
        tensor for gradient in gradients for tensor in gradient[:2] if tensor is not None]


def _sum_of_squares(values):
    return 2.0 * tf.nn.l2_loss(values)


def create_train_op(gradients, optimizer_name, init_lr, num_train_steps, num_warmup_steps,
                    poly_power=1.0, weight_decay=0.01, clip_norm=1.0, use_tpu=False,
                    lamb_exclude="no_decay", start_warmup_step=0, loss_scale=None,
                    rate_factor=None, position=None, beta_2=0.999):
    """One update of the variables, which also increments the global step.

    The rate is that of the global step before the update. Gradients are clipped to a global norm of
    `clip_norm`; as in the original code, an embedding row that a batch looks up twice enters the
    norm as two gradients, not as their sum (like tf.IndexedSlices in tf.global_norm). Google's code
    looks token types up too, except on a TPU, where it takes the one-hot product as this code does:
    its norm counts each token's type gradient alone (in a measured case gradients there came out
    1/0.964 of ours). The replicas of a tf.distribute strategy, or the cores of a TPU, make the same
    update as one device with the whole batch.

    Args:
      gradients: from `compute_gradients` or `accumulate_gradients`; under a distribution strategy
        those of the replica's own batch, which are averaged here.
      loss_scale: the LossScale whose value the gradients were computed with, or None.
      position: where the schedule is, a scalar in the unit of num_train_steps and
        num_warmup_steps; None: the global step.
      The others as in `create_learning_rate` and `make_optimizer`.

    Returns:
      TrainOp; its gradient_norm is that before clipping.

    Raises:
      UserError: a number out of its range or an unknown name.
    """
    _require("clip_norm", clip_norm)
    global_step = tf.train.get_or_create_global_step()
    rate = create_learning_rate(global_step if position is None else position, init_lr,
                                num_train_steps, num_warmup_steps, poly_power, start_warmup_step)
    optimizer = make_optimizer(
        optimizer_name, rate, weight_decay, lamb_exclude, rate_factor, beta_2)
    gradients = _mean_gradients(gradients, use_tpu)
    norm = tf.sqrt(tf.add_n([
        _sum_of_squares(gradient.value) if gradient.squares is None else gradient.squares
        for gradient in gradients]))
    values, after = [gradient.value for gradient in gradients], []
    if loss_scale:
        finite = tf.math.is_finite(norm)
        optimizer.apply_only_if(finite)
        after.append(loss_scale.update(finite))
        # 0 times infinity is NaN, so non-finite values are replaced.
        values = [tf.where(tf.math.is_finite(value), value, tf.zeros_like(value))
                  for value in values]
        norm = tf.where(finite, norm, tf.zeros_like(norm))
    clipped, _ = tf.clip_by_global_norm(values, clip_norm, use_norm=norm)
    # apply_gradients sums over the replicas, so each passes an equal share of the clipped mean.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    pairs = [(value / replicas if replicas > 1 else value, gradient.variable)
             for value, gradient in zip(clipped, gradients)]
    update = optimizer.apply_gradients(pairs, global_step=global_step)
    return TrainOp(tf.group(update, *after) if after else update, rate, norm,
                   optimizer.trust_ratios)


def mean_over_replicas(values, use_tpu=False):
    """Each device's tensors -> their means over all devices, the same on every device.

    The devices are the replicas of the current strategy, or the cores of a TPU; with one device the
    tensors are returned as they are.
    """
    if use_tpu:
        cores = tf.tpu.cross_replica_sum(1.0)
        return [tf.tpu.cross_replica_sum(value) / cores for value in values]
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return values
    # get_replica_context().all_reduce looks up the values' devices and fails for variables that
    # several layers share; the global step is a destination on every device.
    return tf.distribute.get_replica_context().merge_call(
        _mean_in_all, args=[tf.train.get_or_create_global_step()] + list(values))


def _mean_in_all(strategy, destinations, *values):
    return strategy.extended.batch_reduce_to(
        tf.distribute.ReduceOp.MEAN, [(value, destinations) for value in values])


def _mean_gradients(gradients, use_tpu):
    """The gradients averaged over all devices.

    They are clipped after this: before it, the norms would be those of parts of the batch.
    """
    replicas = (tf.tpu.cross_replica_sum(1.0) if use_tpu
                else tf.distribute.get_strategy().num_replicas_in_sync)
    means = iter(mean_over_replicas([
        part for gradient in gradients for part in gradient[:2] if part is not None], use_tpu))
    return [Gradient(next(means),
                     None if gradient.squares is None else next(means) / replicas,
                     gradient.variable) for gradient in gradients]


def _require(name, value, zero=False):
    """Rejects a value that is not a finite number above 0 (with `zero`, 0 or above)."""
    if value is None or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        expected = "0 or a number above it" if zero else "a number above 0"
        raise UserError("%s=%s: expected %s" % (name, value, expected))


# Names that code written for the originals imports.


class AdamWeightDecayOptimizer(lamb_optimizer.StepOfCaller, AdamWOptimizer):
    """AdamW by the name and the arguments of the original codes."""


# That of albert_zh's optimization.py, which adapts every variable.
LAMBOptimizer = functools.partial(lamb_optimizer.LAMBOptimizer, exclude_from_layer_adaptation=())


def create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps, use_tpu, optimizer=None,
                     poly_power=1.0, start_warmup_step=0, colocate_gradients_with_ops=False,
                     excluded_tvars=None):
    """The operation of one update, as `optimization.create_optimizer` of both original codes.

    Args:
      loss: a scalar.
      init_lr, num_train_steps, num_warmup_steps, poly_power, start_warmup_step: as in
        `create_learning_rate`.
      optimizer: "adamw" or "lamb". None: what the code of the model's layout does without a name,
        AdamW in Google's and LAMB in albert_zh's. LAMB adapts the variables that this code adapts.
      colocate_gradients_with_ops: no number depends on it.
      excluded_tvars: names (with ":0") of variables that stay as they are.
    """
    del colocate_gradients_with_ops
    variables = [variable for variable in tf.trainable_variables()
                 if variable.name not in (excluded_tvars or ())]
    layout = ("google" if any("/transformer/group_" in variable.name for variable in variables)
              else "brightmart")
    return create_train_op(
        compute_gradients(loss, variables),
        optimizer or ("adamw" if layout == "google" else "lamb"), init_lr, num_train_steps,
        num_warmup_steps, poly_power, use_tpu=use_tpu, lamb_exclude=LAYOUT_LAMB_EXCLUDE[layout],
        start_warmup_step=start_warmup_step).train_op
