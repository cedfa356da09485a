"""The models that a training goes through: one layer, two, four ..., then that of the config.

Layers that share their weights may begin as fewer of them do, which compute more examples a second
and leave the plateau of guessing sooner (docs/recipes.md).

    parts = stages.planned(["0.06", "0.3"], config, "config.json", default_shares=())
    parts[0].config.num_hidden_layers, parts[0].until  # 1, 0.06
"""

import collections

from util.errors import UserError

import modeling
from training import estimators

# A part of a training: its model's AlbertConfig, and the share of the whole at which it ends.
Stage = collections.namedtuple("Stage", "config until")


def layers(config):
    """How many, in words."""
    return "one layer" if config.num_hidden_layers == 1 else "%d layers" % config.num_hidden_layers


def _shares(given):
    """The numbers of --shallow_share, ascending."""
    try:
        shares = [float(share) for share in given]
    except ValueError:
        shares = [-1.0]
    if not all(0.0 <= share <= 1.0 for share in shares) or shares != sorted(set(shares)):
        raise UserError("--shallow_share=%s: expected shares of the training, 0 to 1, each larger "
                        "than the one before" % ",".join(given))
    return shares


def planned(given, config, location, default_shares):
    """[Stage] by --shallow_share.

    Args:
      given: its list of strings, or None.
      config: AlbertConfig of the last stage.
      location: the config's file.
      default_shares: in place of None, where smaller models can come first.

    Raises:
      UserError: the config's layers have weights of their own, there is but one, the training is
        that of several machines, or the shares are none.
    """
    shares, obstacle = None if given is None else _shares(given), None
    if estimators.this_cluster():
        obstacle = (" with TF_CONFIG: it is for the devices of one machine; train with a config of "
                    "one layer, then give that as --init_checkpoint")
    elif config.num_hidden_groups > 1 or config.num_hidden_layers == 1:
        obstacle = (": %s has %s, so that no further layer could begin as the first; leave it out"
                    % (location, layers(config) if config.num_hidden_groups == 1 else
                       "%d groups of layers" % config.num_hidden_groups))
    if any(shares or []) and obstacle:
        raise UserError("--shallow_share=%s%s" % (",".join(given), obstacle))
    if obstacle:
        shares = ()
    elif shares is None:
        shares = default_shares
    return [Stage(modeling.AlbertConfig.from_dict(dict(config.to_dict(), num_hidden_layers=depth)),
                  share) for depth, share in zip((1, 2, 4, 8, 16, 32), shares)
            if depth < config.num_hidden_layers] + [Stage(config, 1.0)]


def noted(parts):
    """The `until` of all but the last [Stage], as run.json has them: a number, or several in a
    list.
    """
    shares = [stage.until for stage in parts[:-1]]
    return shares if len(shares) > 1 else sum(shares)


def left(parts, before, key, done, total):
    """The parts; those that a run has left behind in an earlier call end at 0.

    That had fewer steps or hours; by its share of more of them it would be in such a stage again.

    Args:
      parts: [Stage].
      before: what the run was trained with in that call, run_directory.training_of.
      key: of it, for what here is `total`.
      done, total: steps, or hours.
    """
    had, shares = before.get(key), before.get("shallow_share", 0.0)
    if not had:
        return parts
    behind = [share * had <= done for share in (shares if isinstance(shares, list) else [shares])]
    number = len(parts) - 1 if all(behind) else sum(behind)
    return [stage._replace(until=0.0) if index < number and done < stage.until * total else stage
            for index, stage in enumerate(parts)]
