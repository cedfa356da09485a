"""Settings of a fine-tuning run, as small frozen tuples; see training/settings.py.

    settings = Settings(run, inputs, Schedule(learning_rate=1e-4), do_train=True, do_eval=True)
    settings.at(learning_rate=3e-5, seed=2, output_dir="output/other")
"""

import math
import typing

from training.settings import Run, Schedule


class Inputs(typing.NamedTuple):
    """The model's files, and how texts are featurized."""

    config_file: str
    vocab_file: typing.Optional[str] = None
    spm_model_file: typing.Optional[str] = None  # instead of vocab_file
    do_lower_case: bool = True
    max_seq_length: int = 128                    # tokens, [CLS] and [SEP] included
    cache_dir: typing.Optional[str] = None       # None: OUTPUT_DIR/cache


class Duration(typing.NamedTuple):
    """How long to train and to warm up: in epochs, or in steps if these are given."""

    num_train_epochs: float = 3.0
    warmup_proportion: float = 0.1
    train_step: typing.Optional[int] = None
    warmup_step: typing.Optional[int] = None


class Vectors(typing.NamedTuple):
    """Which vectors of a test file's texts to write (feature_export.py)."""

    level: typing.Optional[str] = None           # one of feature_export.LEVELS; None: no vectors
    layers: typing.Tuple[int, ...] = (-1,)       # of "token": -1 is the last


class Export(typing.NamedTuple):
    """Whether to write a SavedModel of the fine-tuned model (export.py)."""

    directory: typing.Optional[str] = None
    threshold: float = float("nan")              # of the task's metric; nan: none

    @property
    def has_threshold(self):
        """Whether the model is written only if its score on the dev file is high enough."""
        return not math.isnan(self.threshold)


class Settings(typing.NamedTuple):
    """Everything finetuning/harness.py needs besides the task."""

    run: Run
    inputs: Inputs
    schedule: Schedule                           # harness.with_steps fills in its steps
    duration: Duration = Duration()
    vectors: Vectors = Vectors()
    export: Export = Export()
    grid: typing.Tuple[typing.Tuple[float, int], ...] = ()  # (learning rate, seed) of every run
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    eval_every_steps: int = 0                    # 0: every epoch
    early_stopping: int = 0                      # evaluations without a better one; 0: never
    save_errors: bool = False
    use_checkpoint: str = "best"                 # or "last": what is scored and predicts

    @property
    def output_dir(self):
        """The directory of checkpoints and results."""
        return self.run.checkpointing.output_dir

    @property
    def cache_dir(self):
        """The directory of cached features."""
        return self.inputs.cache_dir or self.output_dir + "/cache"

    def at(self, learning_rate, seed, output_dir):
        """These settings with another rate, seed and output directory, but the same cache."""
        checkpointing = self.run.checkpointing._replace(output_dir=output_dir)
        return self._replace(
            run=self.run._replace(checkpointing=checkpointing, seed=seed),
            inputs=self.inputs._replace(cache_dir=self.cache_dir),
            schedule=self.schedule._replace(learning_rate=learning_rate), grid=())
