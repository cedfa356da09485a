"""Settings of a training run, as small frozen tuples; a command makes them of its flags.

    run = Run(checkpointing=Checkpointing("output/tiny"), devices=Devices(num_gpus=2))
    run.batches.step_examples                        # 32
    other = run._replace(seed=2)

Fields have the names of their flags; training/command_line.py explains those and makes the settings
of them.
"""

import typing


class Devices(typing.NamedTuple):
    """The devices (one, GPUs of this machine, workers by TF_CONFIG, or a TPU) and their options."""

    num_gpus: int = 1                      # of this machine
    recompute: bool = False                # see layers.recomputed
    amp: bool = False                      # bfloat16, on a GPU float16; see precision.py
    xla: typing.Optional[bool] = None      # None: where it measured faster
    use_tpu: bool = False
    tpu_name: typing.Optional[str] = None  # or grpc:// address
    tpu_zone: typing.Optional[str] = None
    gcp_project: typing.Optional[str] = None
    master: typing.Optional[str] = None    # TensorFlow master address
    num_tpu_cores: int = 8
    iterations_per_loop: int = 1000        # steps of a TPU between two visits of the host


class Batches(typing.NamedTuple):
    """Batch sizes, of all devices together."""

    train_batch_size: int = 32
    gradient_accumulation_steps: int = 1   # batches a step
    eval_batch_size: int = 64

    @property
    def step_examples(self):
        """Examples one training step takes."""
        return self.train_batch_size * self.gradient_accumulation_steps


class Checkpointing(typing.NamedTuple):
    """Where checkpoints are saved, how often, and how many are kept."""

    output_dir: str
    save_checkpoints_steps: int = 1000
    save_checkpoints_secs: int = 0         # beside those by steps; 0: none
    keep_checkpoint_max: int = 5


class Initial(typing.NamedTuple):
    """The checkpoint that a new run initializes its variables from."""

    init_checkpoint: typing.Optional[str] = None
    allow_partial_init: bool = False       # model variables may stay random
    restore_slots: bool = False            # the optimizer's moments too
    init_from_group0: bool = False         # groups of layers that it lacks start as its group 0


class Schedule(typing.NamedTuple):
    """The optimizer and its learning rate over the steps, or over a budget of time
    (optimization.create_train_op).
    """

    learning_rate: typing.Optional[float] = None     # peak
    num_train_steps: typing.Optional[int] = None     # updates in all
    num_warmup_steps: typing.Optional[int] = None
    start_warmup_step: int = 0
    poly_power: float = 1.0
    optimizer: str = "adamw"               # or "lamb", "muon"
    lamb_exclude: typing.Optional[str] = None        # of optimization.LAMB_EXCLUDE; None: by layout
    layer_decay: float = 1.0               # see optimization.layer_factor
    order_rate: float = 1.0                # see optimization.order_factor
    beta_2: float = 0.999                  # see optimization.make_optimizer
    budget_hours: typing.Optional[float] = None      # then there is no number of steps
    warmup_proportion: float = 0.0         # of the budget


class Run(typing.NamedTuple):
    """Everything both training phases need beside their data and their schedule."""

    checkpointing: Checkpointing
    batches: Batches = Batches()
    devices: Devices = Devices()
    initial: Initial = Initial()
    seed: int = 12345                      # of weights, dropout and the data's order
