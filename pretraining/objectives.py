"""The objectives of pre-training, masked LM and sentence order, as the model_fn of an Estimator.

    model_fn = objectives.model_fn_builder(config, run, schedule, 512, 51)
    estimator = estimators.create(model_fn, run)
"""

import collections
import functools

import tensorflow.compat.v1 as tf

import modeling
import optimization
from pretraining import first_weights
from training import estimators, flops, hooks, precision, restoring, step


def pretraining_outputs(config, build, features, total_weight=None):
    """(masked LM, sentence order), each (loss, per-example losses [n], logits [n, ...]).

    Args:
      build: function of (features, output_positions) -> the AlbertModel over them.
      total_weight: as in modeling.get_masked_lm_output.
    """
    positions = features["masked_lm_positions"]
    # The heads read the first token and the masked ones, 20 of 128 tokens by default.
    model = build(features, output_positions=positions)
    masked_lm = modeling.get_masked_lm_output(
        config, model, positions, features["masked_lm_ids"], features["masked_lm_weights"],
        total_weight)
    sentence_order = modeling.get_sentence_order_output(
        config, model.get_pooled_output(), features["next_sentence_labels"])
    return masked_lm, sentence_order


def pretraining_shares(config, build, features, total_weight, num_parts):
    """A part of a batch -> its shares of (loss, {metric name: scalar}), which add up.

    Args:
      build: as in `pretraining_outputs`.
      total_weight: sum of the masked_lm_weights of the whole batch.
      num_parts: the number of parts of the batch.
    """
    masked_lm, sentence_order = pretraining_outputs(config, build, features, total_weight)
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    lm_correct = tf.equal(tf.argmax(masked_lm[2], -1, output_type=tf.int32),
                          tf.reshape(features["masked_lm_ids"], [-1]))
    order_correct = tf.equal(tf.argmax(sentence_order[2], -1, output_type=tf.int32),
                             tf.reshape(features["next_sentence_labels"], [-1]))
    values = collections.OrderedDict([
        ("masked_lm_loss", masked_lm[0]),
        ("masked_lm_accuracy",
         tf.reduce_sum(weights * tf.cast(lm_correct, tf.float32)) / (total_weight + 1e-5)),
        ("sentence_order_loss", sentence_order[0] / num_parts),
        ("sentence_order_accuracy",
         tf.reduce_mean(tf.cast(order_correct, tf.float32)) / num_parts),
    ])
    return values["masked_lm_loss"] + values["sentence_order_loss"], values


def evaluation_metrics(lm_example_loss, lm_logits, labels, weights, order_example_loss,
                       order_logits, order_labels, record_weights):
    """Streaming metrics over all batches, named as in the original code, and what they are over."""
    weights = tf.reshape(weights, [-1])
    labels, order_labels = tf.reshape(labels, [-1]), tf.reshape(order_labels, [-1])
    return {
        "masked_lm_accuracy": tf.metrics.accuracy(labels, tf.argmax(lm_logits, -1), weights),
        "masked_lm_loss": tf.metrics.mean(lm_example_loss, weights),
        "sentence_order_accuracy": tf.metrics.accuracy(
            order_labels, tf.argmax(order_logits, -1), record_weights),
        "sentence_order_loss": tf.metrics.mean(order_example_loss, record_weights),
        "eval_records": _total(record_weights),
        "eval_predictions": _total(weights),
    }


def _total(values):
    """A streaming sum, which tf.metrics lacks: (value, update operation)."""
    total = tf.Variable(0.0, trainable=False, dtype=tf.float64, collections=[
        tf.GraphKeys.LOCAL_VARIABLES, tf.GraphKeys.METRIC_VARIABLES])
    return total.read_value(), tf.assign_add(total, tf.reduce_sum(tf.cast(values, tf.float64)))


def model_fn_builder(config, run, schedule, baseline=None, shower=None, budget=None,
                     first_values=None):
    """Returns the model_fn of TPUEstimator for training, evaluation and export.

    Args:
      config: an AlbertConfig.
      run: settings.Run.
      schedule: settings.Schedule; None without training.
      baseline: the masked-LM accuracy of guessing, to warn of stagnation at it; None for no
        warning.
      shower: filled_masks.Shower of evaluations, or None.
      budget: the budget.Budget of a schedule with budget_hours.
      first_values: function {name: shape} -> {name: array} of the weights that a training begins
        with, see first_weights.py; None: random ones, or those of the initial checkpoint.
    """

    def build(mode, features, output_positions=None):
        return modeling.AlbertModel(
            config, mode == tf.estimator.ModeKeys.TRAIN, features["input_ids"],
            features["input_mask"], features["segment_ids"], scope="bert",
            output_positions=output_positions, **estimators.model_options(
                run.devices, varying_shapes=mode != tf.estimator.ModeKeys.PREDICT))

    def model_fn(features, labels, mode, params):
        del labels, params
        trained = estimators.seed_graph(run)
        build_for_mode = functools.partial(build, mode)
        if mode == tf.estimator.ModeKeys.TRAIN:
            spec = step.training_spec(
                training_loss(config, build_for_mode, features, run), features, config, run,
                schedule, trained, step_work(config, run, features),
                few_shapes=True, further_hooks=functools.partial(
                    stagnation_hooks, schedule=schedule, baseline=baseline, budget=budget),
                budget=budget)
            if first_values and not trained:
                spec = spec._replace(scaffold_fn=first_weights.scaffold_fn(first_values))
            return spec
        if mode == tf.estimator.ModeKeys.PREDICT:
            model = build_for_mode(features)
            return tf.estimator.tpu.TPUEstimatorSpec(mode, predictions={
                "sequence_output": model.get_sequence_output(),
                "pooled_output": model.get_pooled_output()})
        return evaluation_spec(config, build_for_mode, features, run, trained, shower)

    return model_fn


def training_loss(config, build, features, run):
    """The loss_fn of `step.training_graph` for this device's batch of features.

    Args:
      build: as in `pretraining_outputs`.
      run: settings.Run.
    """
    # Averaged over the devices: each device then divides the sum of its losses by the average
    # number of predictions, and the mean of the results is the loss of the whole batch.
    total_weight, = optimization.mean_over_replicas(
        [tf.reduce_sum(features["masked_lm_weights"])], run.devices.use_tpu)
    num_parts = run.batches.gradient_accumulation_steps
    return lambda part: pretraining_shares(config, build, part, total_weight, num_parts)


def evaluation_spec(config, build, features, run, trained, shower=None):
    """The TPUEstimatorSpec of an evaluation.

    Args:
      config, build, features: as in `pretraining_outputs`; features has record_weights, too.
      run: settings.Run.
      trained: the run's own checkpoint; without one the initial checkpoint is evaluated.
      shower: filled_masks.Shower, or None; a TPU's tensors cannot be fetched one by one.
    """
    masked_lm, sentence_order = pretraining_outputs(config, build, features)
    scaffold_fn = restoring.restore_scaffold(
        config, run.initial, trained, run.devices.use_tpu, needs_head=True)
    session_hooks = [shower.hook(features, masked_lm[2], sentence_order[2])] if (
        shower and not run.devices.use_tpu) else []
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.EVAL, loss=masked_lm[0] + sentence_order[0],
        eval_metrics=(evaluation_metrics, [
            masked_lm[1], masked_lm[2], features["masked_lm_ids"], features["masked_lm_weights"],
            sentence_order[1], sentence_order[2], features["next_sentence_labels"],
            features["record_weights"]]),
        evaluation_hooks=session_hooks, scaffold_fn=scaffold_fn)


def step_work(config, run, features):
    """The hooks.Work of a training step over these features."""
    examples = run.batches.step_examples
    lengths = tf.reduce_sum(tf.cast(features["input_mask"], tf.float32), 1)  # [B]
    predictions = tf.reduce_sum(features["masked_lm_weights"], 1)  # [B]
    sizes, = optimization.mean_over_replicas([tf.stack([
        tf.reduce_mean(value) for value in (lengths, tf.square(lengths), predictions)])],
        run.devices.use_tpu)
    return hooks.Work(
        examples, sizes, lambda tokens, squares, predictions: flops.training_flops(
            config, examples, tokens, predictions, squares),
        # The peak is measured on one device; that of float16 depends on TensorFlow's rewriting.
        None if precision.is_float16(run.devices) or estimators.replicas() > 1
        else functools.partial(flops.measure_matmul_peak,
                               dtype=precision.product_type(run.devices)))


def stagnation_hooks(scalars, schedule, baseline, budget=None):
    """The hook that warns when the masked-LM accuracy stays at `baseline`; none without one."""
    if not baseline:
        return []
    hook = hooks.StagnationHook(
        scalars["masked_lm_accuracy"], baseline,
        "Give it more steps if the loss still falls; else start again with a lower --learning_rate "
        "(a third of %g), more --num_warmup_steps, or --init_checkpoint (docs/recipes.md)"
        % schedule.learning_rate)
    if budget:
        budget.when_planned(lambda steps: hook.plan(int(schedule.warmup_proportion * steps), steps))
    else:
        hook.plan(schedule.start_warmup_step + schedule.num_warmup_steps, schedule.num_train_steps)
    return [hook]


def serving_input_fn(max_seq_length):
    """The inputs of the exported encoder: three int32 tensors [B, S]."""
    features = {name: tf.placeholder(tf.int32, [None, max_seq_length], name)
                for name in ("input_ids", "input_mask", "segment_ids")}
    return tf.estimator.export.ServingInputReceiver(features, features)
