"""What goes on beside the steps of a training: progress, checkpoints in time, ends, warnings."""

import collections
import signal
import time

from util import console

import tensorflow.compat.v1 as tf

# What one step is made of; tokens, flops (of its matrix products) and peak (a function that
# measures the flops a second of this machine) may be None.
Work = collections.namedtuple("Work", ["examples", "tokens", "flops", "peak"])

# After which shares of the steps since the warmup a loss that does not fall is spoken of.
STAGNATION_SHARES = (0.05, 0.2, 0.5)


class StepHook(tf.train.SessionRunHook):
    """Knows the last step that was made, also when that step fails; calls `at_end` after the last.

    It counts: fetched along with a step, the number is that before or after it.
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
    """Asks for the end of training when SIGTERM comes; as a context it heeds the signal."""

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
    """A timer that is due after so many steps or so many seconds, whichever comes first."""

    def __init__(self, steps, seconds):
        super().__init__(every_secs=seconds)
        self._steps = steps

    def should_trigger_for_step(self, step):
        last = self.last_triggered_step()
        return (super().should_trigger_for_step(step)
                or (last is not None and step >= last + self._steps))


class CheckpointHook(tf.train.CheckpointSaverHook):
    """Saves every so many steps or seconds; an Estimator then saves at no other times."""

    def __init__(self, directory, steps, seconds):
        super().__init__(directory, save_secs=seconds)
        self._timer = _StepsOrSeconds(steps, seconds)


class ProgressHook(tf.train.SessionRunHook):
    """Says now and then how training goes: on the console, and in TensorBoard what it measured.

        step 40/1000  loss 8.1  …  52.1 examples/s  6,670 tokens/s  57 % of peak  0:05:10 left
    """

    def __init__(self, values, total_steps, work, directory=None, every_seconds=10.0):
        """`values` is an ordered {label: scalar tensor}, `work` the Work of a step; the rates go
        to the event file of `directory`, if any."""
        self._values = values
        self._total_steps = total_steps
        self._work = work
        self._directory = directory
        self._peak = None
        self._every_seconds = every_seconds

    def after_create_session(self, session, coord):
        self._step = int(session.run(tf.train.get_global_step()))
        # The first step compiles and fills buffers: it is not part of any rate.
        self._since = None

    def before_run(self, run_context):
        due = self._since and time.time() - self._since[0] >= self._every_seconds
        last = self._step + 1 >= self._total_steps
        return tf.train.SessionRunArgs(self._values if due or last else {})

    def after_run(self, run_context, run_values):
        self._step += 1
        now = time.time()
        if run_values.results:
            self._say(run_values.results, now)
        if run_values.results or self._since is None:
            self._since = (time.time(), self._step)

    def _say(self, values, now):
        parts = ["step %d/%d" % (self._step, self._total_steps)]
        parts += ["%s %.4g" % item for item in values.items()]
        if self._since and self._step > self._since[1]:
            rate = (self._step - self._since[1]) / (now - self._since[0])
            if self._work.peak and not self._peak and self._step < self._total_steps:
                self._peak = self._work.peak()  # a second, once; too long for a short run
            shown = speeds(self._work, rate, self._peak)
            parts += [form % value for form, value in shown.values()]
            parts.append("%s left" % duration((self._total_steps - self._step) / rate))
            if self._directory:
                tf.summary.FileWriterCache.get(self._directory).add_summary(tf.Summary(value=[
                    tf.Summary.Value(tag="speed/" + name, simple_value=value)
                    for name, (_, value) in shown.items()]), self._step)
        console.say("%s", "  ".join(parts))


def speeds(work, rate, peak=None):
    """The Work of a step, steps a second, flops a second -> {name: (format, value)}."""
    shown = collections.OrderedDict(examples=("%.1f examples/s", rate * work.examples))
    if work.tokens:
        shown["tokens"] = ("%.0f tokens/s", rate * work.tokens)
    if peak:
        shown["share_of_peak"] = ("%.0f %% of peak", 100.0 * rate * work.flops / peak)
    return shown


class StagnationHook(tf.train.SessionRunHook):
    """Says in words when the masked-LM accuracy stays at what guessing by frequency gives."""

    def __init__(self, accuracy, baseline, num_warmup_steps, num_train_steps, remedies):
        """`accuracy` is a scalar tensor, `baseline` that of always guessing the likeliest token."""
        self._accuracy = accuracy
        self._baseline = baseline
        after = num_train_steps - num_warmup_steps
        # At least 20 steps are looked at: the accuracy of one is that of some hundred tokens.
        self._looks = [(num_warmup_steps + int(after * share), max(20, int(after * share / 2)))
                       for share in STAGNATION_SHARES]
        self._remedies = remedies
        self._seen = []

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
            found = sum(self._seen[-windows[self._step]:]) / windows[self._step]
            if found <= 1.1 * self._baseline:
                console.say(
                    "warning: at step %d the masked-LM accuracy (%.3f) is that of always guessing "
                    "the most frequent token (%.3f): nothing is learnt from context yet. %s",
                    self._step, found, self._baseline, self._remedies)


def duration(seconds):
    """3725 -> "1:02:05"."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    return "%d:%02d:%02d" % (minutes // 60, minutes % 60, seconds)
