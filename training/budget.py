"""A budget of time in place of a number of steps: the share that is used decides the learning rate.

    budget = Budget(seconds=7200)
    budget.resume(checkpoint)       # or None: a killed run goes on with what is left
    budget.begin_stage(0.4)         # for a training of two stages; left out, there is one
    estimators.train(estimator, input_fn, ENDLESS, paths, run, [BudgetHook(budget, ...)])
    budget.begin_stage(1.0)
    …

All of the clock's time since the Budget was made counts: building graphs, evaluations, checkpoints.
What is used is a variable of the graph, so that every checkpoint holds the time that it took; what
a killed run did after its last checkpoint is lost, as work and as time.
"""

import time

from util import console
from util.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

from interchange.tensorflow_files import open_reader, read_tensor
from training import hooks

VARIABLE = "budget"  # float64 [2]: seconds used, kept for the end; of variable_names.is_bookkeeping
ENDLESS = 2 ** 31 - 1  # steps
# A budget is used up when this share of it is left, so that nothing is trained again for a step.
CLOSE = 0.005
# Seconds of steps that are timed, after the first one, which compiles and fills buffers.
TIMED = 10.0
# Of the time of a training step, what an evaluation of as many examples takes: the forward pass.
FORWARD = 1 / 3
# Shares of a budget: an evaluation that takes more is said, and what is kept for it at most.
LONG_EVALUATION, MOST_KEPT = 0.1, 0.5


class Budget:
    """The time of a training.

    Args:
      seconds: of the whole training, over all its resumptions.
      clock: function without arguments -> seconds.

    Attributes:
      seconds: as given.
      kept: seconds for what comes after the last step, the evaluation at the end.
      step_seconds: how long a step takes, 0 until that is known.
      until: the share of the time to train in at which the current stage ends.
    """

    def __init__(self, seconds, clock=time.time):
        self.seconds, self.kept, self.step_seconds = float(seconds), 0.0, 0.0
        self.until = 1.0
        self._clock, self._begin = clock, clock()
        self._is_measured = False  # whether an evaluation told how long it takes
        self._planned, self._listeners = None, []
        self._state = np.zeros(3)

    def resume(self, checkpoint):
        """Counts the time that a checkpoint took, or nothing for None.

        Raises:
          UserError: the checkpoint does not say.
        """
        if checkpoint is None:
            return
        reader = open_reader(checkpoint)
        if not reader.has_tensor(VARIABLE):
            raise UserError(
                "%s was trained by steps and does not say what time it took; go on with "
                "--num_train_steps, or give it as --init_checkpoint to a run with an empty "
                "--output_dir" % checkpoint)
        used, self.kept = read_tensor(reader, checkpoint, VARIABLE).tolist()
        self._begin -= used

    def used(self):
        """Seconds."""
        return self._clock() - self._begin

    def begin_stage(self, until):
        """From now on the training ends at a share of its time; the schedule of the rate stays."""
        self.until, self.step_seconds, self._planned = until, 0.0, None

    def left(self):
        """Seconds to train in."""
        return self.until * (self.seconds - self.kept) - self.used()

    def is_used_up(self):
        return self.left() <= max(CLOSE * self.seconds, self.step_seconds / 2)

    def keep(self, seconds, is_measured=False):
        """Keeps time for the end; an estimate does not replace what was measured."""
        if is_measured or not self._is_measured:
            self.kept = min(seconds, MOST_KEPT * self.seconds)
            self._is_measured = is_measured

    def plan(self, step):
        """Says, once, how many steps the time that is left is enough for."""
        if self._planned:
            return
        self._planned = step + max(int(self.left() / self.step_seconds), 1)
        is_last = self.until == 1
        console.say("%.3g steps a second: about %s steps in %s, as %s of %s is left",
                    1 / self.step_seconds, "{:,}".format(self._planned),
                    "all" if is_last else "this stage", hooks.duration(self.left()),
                    ("the budget of " if is_last else "its ")
                    + hooks.duration(self.until * self.seconds))
        for listener in self._listeners if is_last else ():
            listener(self._planned)

    def when_planned(self, listener):
        """Calls a function with the expected number of steps in all, as soon as it is known."""
        if self._planned and self.until == 1:
            listener(self._planned)
        else:
            self._listeners.append(listener)

    # ---- in the graph ----

    def begin_step(self):
        """Sets what the graph reads in the next step, the same on all devices."""
        used = self.used()
        self._state = np.array([
            min(used / (self.seconds - self.kept), 1.0), used + self.step_seconds, self.kept])

    def graph(self):
        """(the share of the time that is used, float32 scalar; the operation that notes it)."""
        state = tf.py_func(lambda: self._state, [], tf.float64, stateful=True)
        state.set_shape([3])
        with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
            variable = tf.get_variable(
                VARIABLE, [2], tf.float64, tf.zeros_initializer(), trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        return tf.cast(state[0], tf.float32), variable.assign(state[1:], read_value=False)


class BudgetHook(tf.train.SessionRunHook):
    """Measures the steps, plans by them, and ends the training when its time is over.

    Args:
      budget: Budget.
      step_examples: examples a step.
      eval_examples: those of an evaluation at the end; 0: none.
    """

    def __init__(self, budget, step_examples, eval_examples=0):
        self._budget, self._step_examples = budget, step_examples
        self._eval_examples = eval_examples
        self._began = budget.used()

    def after_create_session(self, session, coord):
        self._step = int(session.run(tf.train.get_global_step()))
        self._first = None  # (step, seconds used) after the first one

    def before_run(self, run_context):
        self._budget.begin_step()

    def after_run(self, run_context, run_values):
        budget = self._budget
        self._step += 1
        used = budget.used()
        if self._first is None:
            self._first = self._step, used
        else:
            budget.step_seconds = (used - self._first[1]) / (self._step - self._first[0])
            if used - self._first[1] >= min(TIMED, 0.02 * budget.seconds):
                self._keep()
                budget.plan(self._step)
        if budget.left() <= budget.step_seconds / 2:
            run_context.request_stop()

    def _keep(self):
        """Keeps time for the evaluation at the end, by how long a step takes."""
        if not self._eval_examples:
            return
        budget = self._budget
        seconds = (self._first[1] - self._began) / 2 + (  # a graph without gradients, the restore
            FORWARD * budget.step_seconds * self._eval_examples / self._step_examples)
        before = budget.kept
        budget.keep(seconds)
        if before < LONG_EVALUATION * budget.seconds < budget.kept:
            console.say("warning: the evaluation at the end takes about %s of the budget of %s; "
                        "fewer records in --eval_input_file, or --max_eval_steps, leave more to "
                        "the training", hooks.duration(seconds), hooks.duration(budget.seconds))
