"""The optimizers against the numbers of the original codes, the schedule, refusals, platforms."""

import os
import time

from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import lamb_optimizer
import optimization
from interchange.variable_names import SLOT_SUFFIXES

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")
NAMES = ("bert/embeddings/word_embeddings", "bert/encoder/dense/kernel",
         "bert/encoder/dense/bias", "bert/encoder/LayerNorm/gamma", "bert/encoder/LayerNorm/beta")
OPTIMIZERS = ["adamw", "lamb", "muon"]
# The original codes read the global step in a race with its increment; these are the steps whose
# rates the files show. Here the rate is always that of the updates already made.
GOLDEN_STEPS = {"google_adamw": [1, 2, 3, 4, 5], "google_lamb": [1, 2, 3, 4, 5],
                "brightmart_lamb": [1, 1, 2, 4, 5]}


def golden(case="google_adamw"):
    return dict(np.load(os.path.join(GOLDEN, "optimizer_%s.npz" % case)))


def golden_loss(numbers, ids, targets, sparse=True):
    """30 * mean((tanh(E[ids] K + b) * gamma + beta - targets) ** 2), E looked up or multiplied."""
    table, kernel, bias, gamma, beta = [
        tf.get_variable(name, initializer=numbers["initial/" + name]) for name in NAMES]
    rows = tf.gather(table, ids) if sparse else tf.matmul(tf.one_hot(ids, table.shape[0]), table)
    outputs = tf.tanh(tf.matmul(rows, kernel) + bias) * gamma + beta
    return 30 * tf.reduce_mean(tf.square(outputs - targets))


def train_op(loss, name="adamw", init_lr=0.05, steps=10, warmup=2, variables=None, **options):
    gradients = optimization.compute_gradients(loss, variables)
    return optimization.create_train_op(gradients, name, init_lr, steps, warmup, **options)


def initialized_session(**config):
    session = tf.Session(config=tf.ConfigProto(**config))
    session.run(tf.global_variables_initializer())
    return session


@pytest.mark.parametrize("case,name,lamb_exclude", [
    ("google_adamw", "adamw", "no_decay"),
    ("google_lamb", "lamb", "no_decay"),
    ("brightmart_lamb", "lamb", "none"),
])
def test_five_golden_steps(case, name, lamb_exclude):
    numbers = golden(case)
    with tf.Graph().as_default():
        ids, targets = tf.placeholder(tf.int32, [7]), tf.placeholder(tf.float32, [7, 6])
        loss = golden_loss(numbers, ids, targets)
        train = train_op(loss, name, lamb_exclude=lamb_exclude)
        step = tf.train.get_global_step()
        with initialized_session() as session:
            for index, golden_step in enumerate(GOLDEN_STEPS[case]):
                step.load(golden_step, session)
                found, _ = session.run([loss, train.train_op], {
                    ids: numbers["input/ids"][index], targets: numbers["input/targets"][index]})
                np.testing.assert_allclose(found, numbers["loss"][index], rtol=1e-5)
                for variable in tf.trainable_variables():
                    # Values near 0 carry the rounding of steps of 0.1: up to 2.5e-7 after five
                    # steps also where Adam is written out in separate operations.
                    wanted = numbers["after_step_%d/%s" % (index + 1, variable.op.name)]
                    np.testing.assert_allclose(
                        session.run(variable), wanted, rtol=1e-5, atol=3e-7)


@pytest.mark.parametrize("step,rate", [
    (0, 0.0), (1, 0.025), (2, 0.04), (3, 0.035), (9, 0.005), (10, 0.0), (11, 0.0)])
def test_rate_warms_up_and_decays_to_zero(step, rate):
    assert rate_at(step, 0.05, 10, 2) == pytest.approx(rate, rel=1e-6, abs=1e-9)


def rate_at(step, *arguments, **options):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(optimization.create_learning_rate(
            tf.constant(step, tf.int64), *arguments, **options))


def test_rate_without_warmup_starts_at_its_peak():
    assert rate_at(0, 0.05, 10, 0) == pytest.approx(0.05)


def test_poly_power_bends_the_decay():
    assert rate_at(5, 1.0, 10, 0, poly_power=2.0) == pytest.approx(0.25)


@pytest.mark.parametrize("step,rate", [(3, 0.0), (4, 0.0), (5, 0.5), (6, 0.4)])
def test_warmup_may_start_late(step, rate):
    assert rate_at(step, 1.0, 10, 2, start_warmup_step=4) == pytest.approx(rate, abs=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rate_is_that_of_the_updates_already_made(name):
    with tf.Graph().as_default():
        variable = tf.get_variable("w", initializer=[1.0, -1.0])
        train = train_op(tf.nn.l2_loss(variable), name)
        with initialized_session() as session:
            rates = [session.run([train.learning_rate, train.train_op])[0] for _ in range(4)]
            assert rates == pytest.approx([0.0, 0.025, 0.04, 0.035])
            assert session.run(tf.train.get_global_step()) == 4


def table_after(optimizer_name, gradient, use_resource=True, steps=3):
    """A table of 5 rows after updates by `gradient` (slices or dense)."""
    with tf.Graph().as_default():
        start = np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2)
        table = tf.get_variable("table", initializer=start, use_resource=use_resource)
        optimizer = optimization.make_optimizer(optimizer_name, 0.1)
        update = optimizer.apply_gradients([(gradient(), table)])
        with initialized_session() as session:
            for _ in range(steps):
                session.run(update)
            return session.run([table, optimizer.get_slot(table, "m"),
                                optimizer.get_slot(table, "v")])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_second_moment_decays_by_beta_2(name):
    """v = 0.02 g² after the first update; the rate of 0.1 then moves by m / sqrt(v)."""
    with tf.Graph().as_default():
        variable = tf.get_variable("w/bias", initializer=[1.0, 1.0])
        train = train_op(3.0 * variable[0], name, init_lr=0.1, warmup=0, beta_2=0.98,
                         lamb_exclude="no_decay", clip_norm=10.0)
        with initialized_session() as session:
            session.run(train.train_op)
            v, = (value for value in tf.global_variables() if value.op.name.endswith("adam_v"))
            np.testing.assert_allclose(session.run(v), [0.02 * 9, 0], rtol=1e-5)
            np.testing.assert_allclose(
                session.run(variable), [1 - 0.1 * 0.3 / np.sqrt(0.18), 1], rtol=1e-5)


def repeated_rows():
    return tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]),
                            tf.constant([3, 0, 3]), tf.constant([5, 2]))


def same_rows_dense():
    return tf.constant([[3.0, -1.0], [0.0, 0.0], [0.0, 0.0], [1.5, 2.5], [0.0, 0.0]])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("use_resource", [True, False])
def test_sparse_gradients_equal_dense_ones(name, use_resource):
    dense = table_after(name, same_rows_dense)
    for found, wanted in zip(table_after(name, repeated_rows, use_resource), dense):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(table_after(name, same_rows_dense, use_resource), dense):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("gradient,norm", [
    # Rows apart: 1 + 4 + 9 + 1 + .25 + .25. Rows summed: 9 + 1 + 2.25 + 6.25.
    (repeated_rows, 15.5 ** 0.5), (same_rows_dense, 18.5 ** 0.5)])
def test_norm_counts_looked_up_rows_apart_as_the_original_codes(gradient, norm):
    @tf.custom_gradient
    def loss_of(table):
        return tf.reduce_sum(table), lambda _: gradient()

    with tf.Graph().as_default():
        table = tf.get_variable("table", initializer=np.ones([5, 2], np.float32))
        train = train_op(loss_of(table))
        with initialized_session() as session:
            assert session.run(train.gradient_norm) == pytest.approx(norm)


def test_first_step_of_adamw_by_hand():
    # m = 0.1 * 0.5 and v = 0.001 * 0.25; the last entry is 1 and the rate 0.1.
    table, m, v = table_after(
        "adamw", lambda: tf.constant(np.full([5, 2], 0.5, np.float32)), steps=1)
    update = 0.05 / (0.00025 ** 0.5 + 1e-6) + 0.01
    np.testing.assert_allclose(table[4, 1], 1 - 0.1 * update, rtol=1e-6)
    # The kernel's 1 - beta_2 is 1.3e-5 off; the step makes up for it.
    np.testing.assert_allclose([m[4, 1], v[4, 1]], [0.05, 0.00025], rtol=2e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_changes_before_the_gradient_is_there(name):
    with tf.Graph().as_default():
        variable = tf.get_variable("w", initializer=[1.0])
        late = tf.py_func(lambda: time.sleep(0.1), [], [], stateful=True)
        with tf.control_dependencies([late]):
            loss = tf.reduce_sum(variable.read_value() ** 2)
        train = train_op(loss, name, warmup=0, weight_decay=1.0)
        with initialized_session() as session:
            assert session.run([loss, train.train_op])[0] == 1.0


def test_clipped_gradient_reaches_the_moments():
    with tf.Graph().as_default():
        variable = tf.get_variable("w", initializer=[3.0, 4.0])
        train = train_op(tf.nn.l2_loss(variable), warmup=0)
        with initialized_session() as session:
            assert session.run([train.gradient_norm, train.train_op])[0] == pytest.approx(5.0)
            m = next(v for v in tf.global_variables() if v.op.name == "w/adam_m")
            np.testing.assert_allclose(session.run(m), [0.06, 0.08], rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_checkpoint_has_the_names_of_googles_but_for_muons_matrices(name, tmp_path):
    numbers = golden()
    with tf.Graph().as_default():
        train_op(golden_loss(numbers, numbers["input/ids"][0], numbers["input/targets"][0]), name)
        with initialized_session() as session:
            path = tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    matrices = [NAMES[1]] if name == "muon" else []
    wanted = {name + "/muon_m" for name in matrices} | set(NAMES) | {
        name + suffix for name in NAMES if name not in matrices for suffix in SLOT_SUFFIXES[:2]}
    assert {name for name, _ in tf.train.list_variables(path)} == wanted | {"global_step"}


def test_layer_norm_and_bias_do_not_decay():
    with tf.Graph().as_default():
        for name in ("dense/kernel", "dense/bias", "LayerNorm/gamma", "layer_norm/beta"):
            tf.get_variable(name, initializer=[2.0])
        optimizer = optimization.make_optimizer("adamw", 0.1, weight_decay=0.5)
        still = [(tf.zeros([1]), variable) for variable in tf.trainable_variables()]
        update = optimizer.apply_gradients(still)
        with initialized_session() as session:
            session.run(update)
            values = session.run(tf.trainable_variables())
    np.testing.assert_allclose(np.ravel(values), [1.9, 2.0, 2.0, 2.0])


@pytest.mark.parametrize("weights,update,ratio", [
    (5.0, 2.0, 2.5), (0.0, 2.0, 1.0), (5.0, 0.0, 1.0)])
def test_trust_ratio(weights, update, ratio):
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(lamb_optimizer.trust_ratio(tf.constant(weights), tf.constant(update)))
    assert found == pytest.approx(ratio)


@pytest.mark.parametrize("name,rate", [("adamw", 0.2), ("lamb", 0.2), ("muon", 0.2)])
def test_reaches_a_known_minimum(name, rate):
    wanted = [0.4, 0.2, -0.5]
    with tf.Graph().as_default():
        weights = tf.get_variable("w", initializer=[0.1, -0.2, -0.1])
        loss = tf.reduce_mean(tf.square(tf.constant(wanted) - weights))
        train = train_op(loss, name, rate, 200, 0, weight_decay=0.0)
        with initialized_session() as session:
            for _ in range(200):
                session.run(train.train_op)
            np.testing.assert_allclose(session.run(weights), wanted, rtol=1e-2, atol=1e-2)


def test_variables_without_gradient_and_unnamed_ones_stay():
    with tf.Graph().as_default():
        trained, frozen, apart = [tf.get_variable(name, initializer=[1.0]) for name in "abc"]
        train = train_op(tf.reduce_sum(trained * frozen), warmup=0, variables=[trained, apart])
        with initialized_session() as session:
            session.run(train.train_op)
            values = np.ravel(session.run([trained, frozen, apart]))
    assert values[0] < 1.0
    assert values[1:].tolist() == [1.0, 1.0]


def test_a_loss_of_constants_is_refused():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="none of the variables"):
        tf.get_variable("w", initializer=[1.0])
        train_op(tf.constant(1.0))


def values_after(build, steps=3, **config):
    """{name: its copies on all devices} after `steps` runs of what `build()` makes."""
    with tf.Graph().as_default():
        update = build()
        with initialized_session(**config) as session:
            for _ in range(steps):
                session.run(update)
            return session.run({variable.op.name: list(getattr(variable, "values", [variable]))
                                for variable in tf.global_variables()})


def update_of_two_batches(name, sparse):
    numbers = golden()
    ids, targets = numbers["input/ids"][:2], numbers["input/targets"][:2]
    loss = golden_loss(numbers, ids.reshape(14), targets.reshape(14, 6), sparse)
    return train_op(loss, name, warmup=0).train_op


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("sparse", [True, False])
def test_two_replicas_equal_one_with_the_whole_batch(name, sparse):
    def replica():
        numbers, part = golden(), tf.distribute.get_replica_context().replica_id_in_sync_group
        ids, targets = [tf.gather(numbers["input/" + key], part) for key in ("ids", "targets")]
        return train_op(golden_loss(numbers, ids, targets, sparse), name, warmup=0).train_op

    def build():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
        with strategy.scope():
            updates = strategy.extended.call_for_each_replica(replica)
            return strategy.experimental_local_results(updates)

    found = values_after(build, device_count={"CPU": 2})
    wanted = values_after(lambda: update_of_two_batches(name, sparse))
    assert set(found) == set(wanted)
    for key, copies in found.items():
        assert len(copies) == 2
        np.testing.assert_allclose(copies, wanted[key] * 2, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("sparse", [True, False])
def test_update_compiles_with_xla(name, sparse):
    found = values_after(
        lambda: tf.xla.experimental.compile(lambda: update_of_two_batches(name, sparse)))
    wanted = values_after(lambda: update_of_two_batches(name, sparse))
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6)


def update_in_parts(name, sparse, num_parts):
    """As update_of_two_batches, one part after another."""
    numbers = golden()
    features = {key: tf.constant(np.reshape(numbers["input/" + key][:2], shape))
                for key, shape in [("ids", [14]), ("targets", [14, 6])]}

    def share(part):
        assert part["ids"].shape.as_list() == [14 // num_parts]
        loss = golden_loss(numbers, part["ids"], part["targets"], sparse) / num_parts
        return loss, {"twice": 2 * loss}

    loss, values, gradients = optimization.accumulate_gradients(share, features, num_parts)
    train = optimization.create_train_op(gradients, name, 0.05, 10, 0)
    return train.train_op, loss, values["twice"], train.gradient_norm


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("num_parts", [2, 7])
def test_accumulation_equals_the_whole_batch(name, sparse, num_parts):
    found = values_after(lambda: update_in_parts(name, sparse, num_parts))
    wanted = values_after(lambda: update_of_two_batches(name, sparse))
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
def test_loss_and_norm_of_accumulated_parts(sparse):
    shown = []
    for num_parts in (1, 2):
        with tf.Graph().as_default():
            update = update_in_parts("adamw", sparse, num_parts)
            with initialized_session() as session:
                shown.append(session.run(update[1:]))
    np.testing.assert_allclose(*shown, rtol=1e-5)
    np.testing.assert_allclose(shown[0][1], 2 * shown[0][0], rtol=1e-6)
    assert shown[0][2] > 1.0  # so that clipping is in the test above


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [True, False])
def test_accumulation_compiles_with_xla(sparse):
    found = values_after(lambda: tf.xla.experimental.compile(
        lambda: update_in_parts("lamb", sparse, 2)[0]))
    wanted = values_after(lambda: update_of_two_batches("lamb", sparse))
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6)


# ---- float16 ----

def scaled_training(name, losses, growth_steps=3):
    """One step for each number that the loss is multiplied by -> (weights, m, scale) after each."""
    with tf.Graph().as_default():
        factor = tf.placeholder(tf.float32, [])
        weights = tf.get_variable("w", initializer=[1.0, -2.0])
        scale = optimization.LossScale(initial=2.0 ** 10, growth_steps=growth_steps)
        loss = factor * tf.reduce_sum(tf.square(weights))
        gradients = optimization.compute_gradients(loss, scale=scale.value)
        train = optimization.create_train_op(gradients, name, 0.05, 10, 0, loss_scale=scale)
        by_name = {variable.op.name: variable for variable in tf.global_variables()}
        seen = []
        with initialized_session() as session:
            for number in losses:
                session.run(train.train_op, {factor: number})
                seen.append(session.run([by_name[key] for key in (
                    "w", "w/adam_m", "w/adam_v", "loss_scale/scale", "global_step")]))
    return seen


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_infinite_gradients_change_nothing_but_the_scale(name):
    seen = scaled_training(name, [1.0, float("inf"), 1.0])
    for before, after in zip(seen[0][:3], seen[1][:3]):
        np.testing.assert_array_equal(before, after)
    assert [step[3] for step in seen] == [1024.0, 512.0, 512.0]
    assert [step[4] for step in seen] == [1, 2, 3]  # the place in the data goes on
    assert np.abs(seen[2][0] - seen[1][0]).max() > 1e-3


def test_scale_grows_after_finite_steps_and_no_earlier():
    scales = [step[3] for step in scaled_training("adamw", [1, 1, float("nan"), 1, 1, 1, 1])]
    assert scales == [1024, 1024, 512, 512, 512, 1024, 1024]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scaled_training_is_that_without(name):
    with tf.Graph().as_default():
        weights = tf.get_variable("w", initializer=[1.0, -2.0])
        train = train_op(tf.reduce_sum(tf.square(weights)), name, warmup=0)
        with initialized_session() as session:
            plain = [session.run([train.train_op, weights])[1] is None or session.run(weights)
                     for _ in range(3)]
    found = [step[0] for step in scaled_training(name, [1.0] * 3)]
    np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_tpu_sums_over_the_cores():
    with tf.Graph().as_default() as graph:
        train_op(tf.nn.l2_loss(tf.get_variable("w", initializer=[1.0])), use_tpu=True)
        assert "CrossReplicaSum" in {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("options,message", [
    ({"name": "sgd"}, "optimizer=sgd: no such optimizer, expected adamw, lamb or muon"),
    ({"lamb_exclude": "all"}, "lamb_exclude=all: no such choice, expected no_decay or none"),
    ({"init_lr": 0.0}, "learning_rate=0.0: expected a number above 0"),
    ({"init_lr": float("nan")}, "learning_rate=nan: expected a number above 0"),
    ({"steps": 0}, "num_train_steps=0: expected a number above 0"),
    ({"steps": None}, "num_train_steps=None: expected a number above 0"),
    ({"warmup": -1}, "num_warmup_steps=-1: expected 0 or a number above it"),
    ({"warmup": 11}, "warmup ends at step 11 .* num_train_steps=10; warm up for fewer steps"),
    ({"start_warmup_step": 9}, "warmup ends at step 11"),
    ({"poly_power": 0}, "poly_power=0: expected a number above 0"),
    ({"weight_decay": -0.1}, "weight_decay=-0.1: expected 0 or a number above it"),
    ({"beta_2": 1.0}, "beta_2=1.0: expected a number below 1, as 0.98 or 0.999"),
    ({"clip_norm": 0}, "clip_norm=0: expected a number above 0"),
])
def test_refusals_name_what_is_wrong(options, message):
    with tf.Graph().as_default():
        loss = tf.nn.l2_loss(tf.get_variable("w", initializer=[1.0]))
        with pytest.raises(UserError, match=message):
            train_op(loss, **options)


@pytest.mark.parametrize("name,factor", [
    ("output_weights", 1.0), ("bert/pooler/dense/kernel", 1.0), ("cls/predictions/output_bias", 1),
    ("bert/encoder/layer_shared/output/dense/kernel", 0.5),
    ("bert/embeddings/word_embeddings", 0.25), ("bert/embeddings/LayerNorm/gamma", 0.25),
    ("bert/encoder/embedding_hidden_mapping_in/kernel", 0.25)])
def test_factor_of_layers_that_share_their_weights(name, factor):
    assert optimization.layer_factor(name, 0.5) == factor
    assert optimization.layer_factor(name, 1.0) == 1.0


@pytest.mark.parametrize("group,factor", [(0, 0.125), (1, 0.25), (2, 0.5)])
def test_factor_of_groups(group, factor):
    name = "bert/encoder/transformer/group_%d/inner_group_0/LayerNorm/beta" % group
    assert optimization.layer_factor(name, 0.5, num_groups=3) == factor
    assert optimization.layer_factor("bert/embeddings/word_embeddings", 0.5, 3) == 0.0625


@pytest.mark.parametrize("name, factor", [
    ("bert/pooler/dense/kernel", 0.1), ("pooler/dense/bias", 0.1),
    ("cls/seq_relationship/output_weights", 0.1), ("cls/predictions/output_bias", 1.0),
    ("bert/encoder/layer_shared/intermediate/dense/kernel", 1.0)])
def test_order_factor(name, factor):
    assert optimization.order_factor(name, 0.1) == factor


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_factor_scales_the_whole_step(name):
    """Decay included, and nothing else: the moments are those of the gradient."""
    steps = {}
    for factor in (1.0, 0.25):
        with tf.Graph().as_default():
            kernel = tf.get_variable("dense/kernel", initializer=[2.0, -3.0])
            other = tf.get_variable("other/kernel", initializer=[2.0, -3.0])
            loss = tf.reduce_sum(tf.square(kernel) + tf.square(other))
            train = train_op(loss, name, warmup=0, rate_factor=lambda variable, factor=factor: (
                factor if variable == "dense/kernel" else 1.0))
            with initialized_session() as session:
                session.run(train.train_op)
                values = session.run([kernel, other])
        steps[factor] = [value - [2.0, -3.0] for value in values]
    np.testing.assert_allclose(steps[0.25][0], 0.25 * steps[1.0][0], rtol=1e-5)
    np.testing.assert_allclose(steps[0.25][1], steps[1.0][1], rtol=1e-6)
    assert np.abs(steps[1.0][0]).min() > 0.01
