"""Recommended learning rate, warmup and steps by model size, optimizer and batch size.

    recipe = recipes.resolve(config, "adamw", step_examples=32, num_train_steps=4000)
    recipe.learning_rate, recipe.num_warmup_steps  # 0.0002, 200 for a tiny config
    recipe.sentences  # what was chosen and why, and warnings, a line each

For training from random weights. docs/recipes.md has the table with its sources.
"""

import collections
import math

from util.errors import UserError

# A row of the table: the peak `learning_rate` belongs to `train_batch_size` examples an update.
Recipe = collections.namedtuple(
    "Recipe", "name optimizer learning_rate beta_2 train_batch_size num_warmup_steps "
    "num_train_steps source")

# What `resolve` returns: the numbers to train with, and lines to show.
Resolved = collections.namedtuple(
    "Resolved", "name optimizer step_examples learning_rate beta_2 num_warmup_steps "
    "num_train_steps order_rate sentences")

# (name, hidden_size, num_hidden_layers) of the published models, smallest first.
SIZES = (("tiny", 312, 4), ("small", 384, 6), ("base", 768, 12), ("large", 1024, 24),
         ("xlarge", 2048, 24), ("xxlarge", 4096, 12))

ALBERT = "ALBERT paper 4.1, warmup as in Google's run_pretraining.py"
ALBERT_ZH = "albert_zh README, pre-training command"
BY_WIDTH = "scaled from large by 1 / hidden_size (Yang et al. 2022)"
ROWS = (
    Recipe("tiny", "adamw", 2e-4, 0.98, 32, 10000, 1000000,
           "rate measured here with tiny_google, steps as ELECTRA-small"),
    Recipe("small", "adamw", 1e-4, 0.98, 32, 10000, 1000000,
           "rate scaled from tiny, half of it; steps as ELECTRA-small"),
    Recipe("base", "adamw", 1e-4, 0.999, 256, 10000, 1000000, "BERT paper A.2"),
    Recipe("large", "adamw", 4e-4, 0.98, 8192, 30000, 500000, "RoBERTa paper, RoBERTa-large"),
    Recipe("xlarge", "adamw", 2e-4, 0.98, 8192, 30000, 500000, BY_WIDTH),
    Recipe("xxlarge", "adamw", 1e-4, 0.98, 8192, 30000, 500000, BY_WIDTH),
    Recipe("tiny", "lamb", 0.00176, 0.999, 4096, 12500, 125000, ALBERT_ZH),
    Recipe("small", "lamb", 0.00176, 0.999, 4096, 12500, 125000, ALBERT_ZH),
    Recipe("base", "lamb", 0.00176, 0.999, 4096, 3125, 125000, ALBERT),
    Recipe("large", "lamb", 0.00176, 0.999, 4096, 3125, 125000, ALBERT),
    Recipe("xlarge", "lamb", 0.00176, 0.999, 4096, 3125, 125000, ALBERT),
    Recipe("xxlarge", "lamb", 0.00176, 0.999, 4096, 3125, 125000, ALBERT),
)
MUON = "AdamW's, whose size its updates have (Liu et al. 2025)"
ROWS += tuple(row._replace(optimizer="muon", source=MUON) for row in ROWS
              if row.optimizer == "adamw")
RECIPES = {size[0]: {row.optimizer: row for row in ROWS if row.name == size[0]} for size in SIZES}

# The highest peak rates of the sources: RoBERTa-base with AdamW, LAMB's paper at batch 32768.
HIGHEST_RATE = {"adamw": 6e-4, "lamb": 5e-3, "muon": 6e-4}

# The batch sizes of the sources; outside this range the square-root rule is an extrapolation.
KNOWN_BATCHES = {"adamw": (16, 8192), "lamb": (512, 32768), "muon": (16, 8192)}
OUTSIDE = {("adamw", True): "accumulate gradients", ("adamw", False): "use --optimizer=lamb",
           ("muon", True): "accumulate gradients", ("muon", False): "use --optimizer=lamb",
           ("lamb", True): "use --optimizer=adamw", ("lamb", False): "take a smaller batch"}

# Passes over the records above which a run is warned, by whether masks and order are new in each;
# BERT read its text some 40 times.
MOST_PASSES = {False: 4, True: 40}

# From so many examples an update LAMB is chosen: half of the batch of both ALBERT codes.
LAMB_FROM = 2048

# BERT-base's initializer_range is 0.55 / sqrt(hidden_size). With much less, what a narrow model's
# attention adds drowns at first, and it leaves the plateau of guessing late; FULL measured well.
SMALL, FULL = 0.45, 0.88

# Of a training that begins with counted weights (first_weights.py), in place of the row above, and
# its highest rate; for no other size was it measured.
COUNTED_SIZE = "tiny"
COUNTED = {optimizer: Recipe(COUNTED_SIZE, optimizer, 7e-4, 0.98, 32, 10000, 1000000,
                             "rate measured here with first weights from counts")
           for optimizer in ("adamw", "muon")}
HIGHEST_COUNTED = 2e-3
# A budget of fewer hours than LONG has a higher rate, by the square root of how many times fewer,
# but none more than SHORT: measured at six minutes, fifteen and an hour.
LONG, SHORT = 1.0, 0.1
# The factor on the rate of its pooler and sentence-order head. What a batch tells of order is
# little, and at the whole rate the noise of the steps is more: the pooler's tanh saturates. It is
# as much less as the rate of a short budget is more.
COUNTED_ORDER_RATE = 0.1
# The shares of its budget up to which it has one layer, and two.
SHALLOW_SHARES = (0.06, 0.6)

# A learning rate of more than this many times the recipe's causes a warning.
FAR = 3.0


def size_of(config):
    """The smallest published size at least as wide and as deep as `config`, else "xxlarge".

    A model between two sizes thus gets the larger one's recipe, which has the lower rate.
    """
    for name, hidden_size, num_hidden_layers in SIZES:
        if config.hidden_size <= hidden_size and config.num_hidden_layers <= num_hidden_layers:
            return name
    return SIZES[-1][0]


def choose_optimizer(optimizer, learning_rate, step_examples, is_counted=False):
    """The optimizer to train with, and why, as a sentence.

    Args:
      optimizer: "adamw", "lamb", "muon", or None where none was given.
      learning_rate: the rate that was given, or None.
      step_examples: examples an update.
      is_counted: whether a tiny model's first weights come from counts.
    """
    if optimizer:
        return optimizer, "--optimizer=%s was given" % optimizer
    if learning_rate is not None:
        return "lamb", ("--learning_rate without --optimizer means LAMB, as in both originals; "
                        "--optimizer=adamw for AdamW")
    if step_examples >= LAMB_FROM:
        return "lamb", "--optimizer not given: LAMB for %d examples an update" % step_examples
    if is_counted:
        return "muon", "--optimizer not given: Muon for a tiny model that begins with counts"
    return "adamw", ("--optimizer not given: AdamW for %d examples an update, under %d"
                     % (step_examples, LAMB_FROM))


def recipe_for(config, optimizer, is_counted=False):
    """The row of the table for a config and an optimizer, "adamw", "lamb" or "muon".

    Args:
      is_counted: whether the first weights come from counts.
    """
    name = size_of(config)
    if is_counted and name == COUNTED_SIZE and optimizer in COUNTED:
        return COUNTED[optimizer]
    return _row(name, optimizer)


def _row(name, optimizer):
    if optimizer not in RECIPES[name]:
        raise UserError("optimizer=%s: no recipe for it, expected %s"
                        % (optimizer, " or ".join(sorted(RECIPES[name]))))
    return RECIPES[name][optimizer]


def scaled(recipe, step_examples, optimizer=None):
    """The peak rate for `step_examples` examples per update, to three digits.

    The rate grows with the square root of the batch (LAMB: You et al. 2019; Adam: Malladi et al.
    2022) up to HIGHEST_RATE. An optimizer other than the recipe's has its own row, since the rates
    of the two have no fixed ratio.
    """
    if step_examples < 1:
        raise UserError("step_examples=%s: expected at least 1 example an update" % step_examples)
    row = recipe if optimizer in (None, recipe.optimizer) else _row(recipe.name, optimizer)
    rate = row.learning_rate * math.sqrt(step_examples / float(row.train_batch_size))
    highest = HIGHEST_COUNTED if row in COUNTED.values() else HIGHEST_RATE[row.optimizer]
    return float("%.3g" % min(rate, highest))


def warmup_steps(recipe, num_train_steps):
    """The recipe's share of the steps, but at least 2000 or a twentieth, whichever is fewer.

    1% of a short run would be a handful of steps, while Adam's second moment (0.999) needs about
    2 / (1 - 0.999) of them (Ma and Yarats 2019).
    """
    share = recipe.num_warmup_steps * num_train_steps // recipe.num_train_steps
    return max(share, min(2000, num_train_steps // 20))


def short_budget_factor(recipe, budget_hours):
    """By what the rate of a row is multiplied in a budget of hours, or None; 1 for most rows."""
    if not budget_hours or recipe not in COUNTED.values():
        return 1.0
    return math.sqrt(LONG / min(max(budget_hours, SHORT), LONG))


def resolve(config, optimizer, step_examples=None, learning_rate=None, num_train_steps=None,
            num_warmup_steps=None, beta_2=None, is_counted=False, budget_hours=None):
    """The numbers to train with: given ones are kept, None is replaced from the table.

    Args:
      config: has hidden_size and num_hidden_layers.
      optimizer: "adamw", "lamb" or "muon".
      step_examples: examples per update, all accumulated parts together.
      is_counted: as in recipe_for.
      budget_hours: how long the training may take, or None.

    Returns:
      Resolved, whose order_rate is the factor on the rate of pooler and sentence-order head;
      warnings among its sentences begin with "warning: ".

    Raises:
      UserError: an unknown optimizer, or a batch size below 1.
    """
    recipe = recipe_for(config, optimizer, is_counted)
    sentences = []
    if step_examples is None:
        step_examples = recipe.train_batch_size
        sentences.append("--train_batch_size not given: the recipe's {:,} examples an update"
                         .format(step_examples))
    factor = short_budget_factor(recipe, budget_hours)
    advised = float("%.3g" % (factor * scaled(recipe, step_examples)))
    sentences += rate_sentences(config, recipe, step_examples, learning_rate, advised)
    order_rate = COUNTED_ORDER_RATE if is_counted else 1.0
    if learning_rate is None:
        learning_rate, order_rate = advised, float("%.3g" % (order_rate / factor))
        if factor > 1.0:
            sentences.append("that rate is %.2g times the recipe's, as the budget is %g hours, not "
                             "%g or more" % (factor, budget_hours, LONG))
    if beta_2 is None:
        beta_2 = recipe.beta_2
        sentences.append("--beta_2 not given: the recipe's %g" % beta_2)
    if num_train_steps is None:
        num_train_steps = recipe.num_train_steps
        sentences.append("--num_train_steps not given: {:,} ({})"
                         .format(num_train_steps, recipe.source))
    if num_warmup_steps is None:
        num_warmup_steps = warmup_steps(recipe, num_train_steps)
        sentences.append("--num_warmup_steps not given: {:,} of {:,} steps"
                         .format(num_warmup_steps, num_train_steps))
    return Resolved(recipe.name, optimizer, step_examples, learning_rate, beta_2, num_warmup_steps,
                    num_train_steps, order_rate, sentences)


def full_deviation(config):
    """The initializer_range that measured well for a config's width."""
    return FULL / math.sqrt(config.hidden_size)


def initializer_sentences(config):
    """[a line of advice] where random weights would be too small to learn from soon, else []."""
    if config.initializer_range * math.sqrt(config.hidden_size) >= SMALL:
        return []
    return ["initializer_range %g of the config is small for %d units: a model that begins with "
            "%.2g learns sooner (docs/recipes.md)"
            % (config.initializer_range, config.hidden_size, full_deviation(config))]


def passes_sentence(examples, num_records, masking):
    """A line on how often a training reads its records.

    Args:
      examples: the training's.
      num_records: in the files.
      masking: masking.Settings, or None for records that hold masks and pairs.
    """
    passes = examples / num_records
    line = "the run reads each of {:,} records {:.3g} times".format(num_records, passes)
    draws_order = bool(masking and masking.order)
    fresh = ("other masks, cuts and orders every time" if draws_order
             else "other masks every time, the order of the sentences stays" if masking
             else "with the same masks and order every time")
    if passes <= 1:
        return line
    if passes <= MOST_PASSES[draws_order]:
        return "%s, %s" % (line, fresh)
    return "warning: %s, %s; more text teaches more%s" % (
        line, fresh, "" if draws_order else ", and so do records made with --store_sentences "
        "(other masks, cuts and orders in every pass, by --dynamic_masking)")


def rate_sentences(config, recipe, step_examples, learning_rate, advised):
    """Lines on the rate: the `advised` one if none is given, and warnings."""
    setting = "albert %s (%d wide, %d layers), %s, %d examples an update" % (
        recipe.name, config.hidden_size, config.num_hidden_layers, recipe.optimizer, step_examples)
    lines = []
    if learning_rate is None:
        lines.append("--learning_rate not given: %g for %s (%g at %d: %s)" % (
            advised, setting, recipe.learning_rate, recipe.train_batch_size, recipe.source))
    elif learning_rate > FAR * advised:
        lines.append(
            "warning: --learning_rate=%g is %.1f times the recipe's %g for %s; with such rates the "
            "loss tends to stay at chance, the more so the larger the model; see docs/recipes.md"
            % (learning_rate, learning_rate / advised, advised, setting))
    fewest, most = KNOWN_BATCHES[recipe.optimizer]
    if not fewest <= step_examples <= most:
        lines.append("warning: %d examples an update are outside of the %d to %d that %s is known "
                     "to train with; %s" % (step_examples, fewest, most, recipe.optimizer,
                                            OUTSIDE[recipe.optimizer, step_examples < fewest]))
    return lines
