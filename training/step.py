"""One training step: loss -> gradients -> update -> summaries -> hooks, for both phases.

A phase passes the loss of a part of a batch:

    spec = step.training_spec(loss_fn, features, config, run, schedule, trained, work)
"""

import collections

import tensorflow.compat.v1 as tf

import optimization
from training import estimators, hooks, restoring


def training_graph(loss_fn, features, config, run, schedule, budget=None):
    """Loss, gradients and update over this device's part of the batch.

    Args:
      loss_fn: function of {name: [B / parts, …]} -> (loss, {name: scalar}) that builds the model;
        all are that part's shares of the whole batch, so that the shares add up. There are
        run.batches.gradient_accumulation_steps parts.
      features: {name: [B, …]}.
      config: the AlbertConfig of the model.
      run, schedule: settings.Run and settings.Schedule.
      budget: the budget.Budget of a schedule with budget_hours.

    Returns:
      (optimization.TrainOp, {"loss" and the names of loss_fn: scalar}), the scalars those of the
      whole batch, whatever the number of devices.
    """
    devices = run.devices
    scale = estimators.loss_scale(devices)
    loss, values, gradients = optimization.accumulate_gradients(
        loss_fn, features, run.batches.gradient_accumulation_steps, scale=scale and scale.value)
    lengths, position, noted = (schedule.num_train_steps, schedule.num_warmup_steps), None, None
    if budget:
        lengths, (position, noted) = (1.0, schedule.warmup_proportion), budget.graph()
    train = optimization.create_train_op(
        gradients, schedule.optimizer, schedule.learning_rate, *lengths,
        poly_power=schedule.poly_power, use_tpu=devices.use_tpu,
        lamb_exclude=schedule.lamb_exclude or optimization.LAYOUT_LAMB_EXCLUDE[config.layout],
        start_warmup_step=schedule.start_warmup_step,
        loss_scale=scale, rate_factor=lambda name: optimization.order_factor(
            name, schedule.order_rate) * optimization.layer_factor(
                name, schedule.layer_decay, config.num_hidden_groups),
        position=position, beta_2=schedule.beta_2)
    if noted is not None:
        train = train._replace(train_op=tf.group(train.train_op, noted))
    means = optimization.mean_over_replicas([loss] + list(values.values()), devices.use_tpu)
    return train, collections.OrderedDict(zip(["loss"] + list(values), means))


def training_spec(loss_fn, features, config, run, schedule, trained, work, few_shapes,
                  further_hooks=None, budget=None):
    """The TPUEstimatorSpec of training: `training_graph`, restoring, summaries, session hooks.

    Args:
      trained: the checkpoint that training resumes from, or None.
      work: the hooks.Work of a step.
      few_shapes: whether batches have few shapes, each of which XLA compiles anew.
      further_hooks: function of the scalars of `training_graph` -> session hooks.
      The others as in `training_graph`.
    """
    with estimators.compiled(run.devices, few_shapes):
        train, scalars = training_graph(loss_fn, features, config, run, schedule, budget)
    scaffold_fn = restoring.restore_scaffold(config, run.initial, trained, run.devices.use_tpu)
    session_hooks = []
    if not run.devices.use_tpu:  # a TPU's tensors cannot be fetched one by one
        _add_summaries(train, scalars)
        session_hooks.append(hooks.ProgressHook(
            collections.OrderedDict(scalars, learning_rate=train.learning_rate),
            schedule.num_train_steps, work, run.checkpointing.output_dir, budget=budget))
        session_hooks += further_hooks(scalars) if further_hooks else []
    train_op = train.train_op
    if estimators.replicas() > 1:
        # Workers must all compute the means in every step, not only where one of them shows them.
        train_op = tf.group(train_op, *scalars.values())
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.TRAIN, loss=scalars["loss"], train_op=train_op,
        training_hooks=session_hooks, scaffold_fn=scaffold_fn)


def _add_summaries(train, scalars):
    """Adds the scalar summaries, which the Estimator writes every hundred steps."""
    for name, value in scalars.items():
        if name != "loss":  # an Estimator has that
            tf.summary.scalar(name, value)
    tf.summary.scalar("learning_rate", train.learning_rate)
    tf.summary.scalar("gradient_norm", train.gradient_norm)
    for name, ratio in train.trust_ratios.items():
        tf.summary.scalar("trust_ratio/" + name, ratio)
