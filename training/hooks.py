"""Session hooks: progress, timed checkpoints, graceful stop, warnings."""

import collections
import signal
import time

from util import console

import numpy as np
import tensorflow.compat.v1 as tf

# The work of one training step: its examples; a tensor [3], the means of their tokens, squares of
# tokens, and predictions; a function of these three, the floating-point operations of its matrix
# products; and a function that measures this machine's peak in operations a second. All but the
# examples may be None.
Work = collections.namedtuple("Work", ["examples", "sizes", "flops", "peak"])

# Up to so many times the accuracy of guessing a model is said to be at its level.
AT_BASELINE = 1.1
# Shares of the steps after warmup at which a stagnating masked-LM accuracy is warned of.
STAGNATION_SHARES = (0.05, 0.2, 0.5)


class StepHook(tf.train.SessionRunHook):
    """Counts the steps; `last` is the last completed one, also when a step fails.

    Counting is exact: a global step fetched along with a training step may be the value before or
    after it. `at_end` is called after step `max_steps`; a session run makes `steps_a_run` of them.
    """

    last = 0

    def __init__(self, max_steps, steps_a_run=1, at_end=None):
        self._max_steps = max_steps
        self._steps_a_run = steps_a_run
        self._at_end = at_end

    def after_create_session(self, session, coord):
        self.last = int(session.run(tf.train.get_global_step()))

    def after_run(self, run_context, run_values):
        self.last = min(self.last + self._steps_a_run, self._max_steps)
        if self.last == self._max_steps and self._at_end:
            self._at_end()


class TerminationHook(tf.train.SessionRunHook):
    """Requests a stop of training at SIGTERM; use it as a context, which handles the signal."""

    asked = False

    def __enter__(self):
        self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *error):
        signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number, frame):
        self.asked = True

    def after_run(self, run_context, run_values):
        if self.asked:
            run_context.request_stop()


class _StepsOrSeconds(tf.train.SecondOrStepTimer):
    """Triggers after a number of steps or of seconds, whichever comes first."""

    def __init__(self, steps, seconds):
        super().__init__(every_secs=seconds)
        self._steps = steps

    def should_trigger_for_step(self, step):
        last = self.last_triggered_step()
        return (super().should_trigger_for_step(step)
                or (last is not None and step >= last + self._steps))


class CheckpointHook(tf.train.CheckpointSaverHook):
    """Saves every `steps` or `seconds`, whichever comes first; the Estimator then saves at no other
    time.
    """

    def __init__(self, directory, steps, seconds):
        super().__init__(directory, save_secs=seconds)
        self._timer = _StepsOrSeconds(steps, seconds)


class ProgressHook(tf.train.SessionRunHook):
    """Prints progress every few seconds; writes the measured speed to TensorBoard.

        step 40/1000  loss 8.1  …  52.1 examples/s  6,670 tokens/s  57 % of peak  0:05:10 left
    """

    def __init__(self, values, total_steps, work, directory=None, every_seconds=10.0, budget=None):
        """Args:
          values: ordered {label: scalar tensor} to print.
          total_steps: the global step at which training ends; None with a budget.
          work: the Work of a step.
          directory: where TensorBoard's event file is, or None.
          every_seconds: between two lines.
          budget: the budget.Budget that ends the training, or None.
        """
        self._values = values
        self._total_steps = total_steps
        self._work = work
        self._directory = directory
        self._peak = None
        self._every_seconds = every_seconds
        self._budget = budget

    def after_create_session(self, session, coord):
        self._step = int(session.run(tf.train.get_global_step()))
        # The first step compiles and fills buffers: it is not part of any rate.
        self._since = None
        self._sizes = []  # of the steps since then

    def before_run(self, run_context):
        due = self._since and time.time() - self._since[0] >= self._every_seconds
        last = not self._budget and self._step + 1 >= self._total_steps
        fetched = {"values": self._values if due or last else {}}
        if self._work.sizes is not None:
            fetched["sizes"] = self._work.sizes
        return tf.train.SessionRunArgs(fetched)

    def after_run(self, run_context, run_values):
        self._step += 1
        now = time.time()
        self._sizes.append(run_values.results.get("sizes"))
        if run_values.results["values"]:
            self._say(run_values.results["values"], now)
        if run_values.results["values"] or self._since is None:
            self._since = (time.time(), self._step)
            self._sizes = []

    def _say(self, values, now):
        parts = ["step %d" % self._step if self._budget else
                 "step %d/%d" % (self._step, self._total_steps)]
        parts += ["%s %.4g" % item for item in values.items()]
        if self._since and self._step > self._since[1]:
            rate = (self._step - self._since[1]) / (now - self._since[0])
            left = (self._budget.left() if self._budget
                    else (self._total_steps - self._step) / rate)  # seconds
            if self._work.peak and not self._peak and left > 0:
                self._peak = self._work.peak()  # a second, once; too long for a short run
            sizes = None if self._work.sizes is None else np.mean(self._sizes, 0)
            shown = speeds(self._work, rate, sizes, self._peak)
            parts += [form % value for form, value in shown.values()]
            parts.append("%s left" % duration(max(left, 0)))
            if self._directory:
                tf.summary.FileWriterCache.get(self._directory).add_summary(tf.Summary(value=[
                    tf.Summary.Value(tag="speed/" + name, simple_value=value)
                    for name, (_, value) in shown.items()]), self._step)
        console.say("%s", "  ".join(parts))


def speeds(work, rate, sizes=None, peak=None):
    """What a training does in a second -> {name: (format, value)}.

    Args:
      work: the Work of a step.
      rate: steps a second.
      sizes: the values of work.sizes.
      peak: operations a second.
    """
    shown = collections.OrderedDict(examples=("%.1f examples/s", rate * work.examples))
    if sizes is not None:
        shown["tokens"] = ("%.0f tokens/s", rate * work.examples * sizes[0])
        if peak:
            shown["share_of_peak"] = ("%.0f %% of peak", 100.0 * rate * work.flops(*sizes) / peak)
    return shown


class StagnationHook(tf.train.SessionRunHook):
    """Warns when the masked-LM accuracy stays at that of guessing."""

    def __init__(self, accuracy, baseline, remedies):
        """`accuracy` is a scalar tensor, `baseline` that of a model without context."""
        self._accuracy = accuracy
        self._baseline = baseline
        self._looks = []  # at none before `plan`
        self._remedies = remedies
        self._seen = []

    def plan(self, num_warmup_steps, num_train_steps):
        """Chooses the steps to look at."""
        after = num_train_steps - num_warmup_steps
        # At least 20 steps are looked at: the accuracy of one is that of some hundred tokens.
        self._looks = [(num_warmup_steps + int(after * share), max(20, int(after * share / 2)))
                       for share in STAGNATION_SHARES]

    def after_create_session(self, session, coord):
        self._step = int(session.run(tf.train.get_global_step()))

    def before_run(self, run_context):
        looking = any(end - window <= self._step < end for end, window in self._looks)
        return tf.train.SessionRunArgs({"accuracy": self._accuracy} if looking else {})

    def after_run(self, run_context, run_values):
        self._step += 1
        if run_values.results:
            self._seen.append(float(run_values.results["accuracy"]))
        windows = dict(self._looks)
        if self._step in windows and len(self._seen) >= windows[self._step]:
            average = sum(self._seen[-windows[self._step]:]) / windows[self._step]
            if average <= AT_BASELINE * self._baseline:
                console.say(
                    "warning: at step %d the masked-LM accuracy (%.3f) is that of guessing the "
                    "most frequent token and copying what is not masked (%.3f): nothing is learnt "
                    "from context yet. %s",
                    self._step, average, self._baseline, self._remedies)


def duration(seconds):
    """3725 -> "1:02:05"."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    return "%d:%02d:%02d" % (minutes // 60, minutes % 60, seconds)
