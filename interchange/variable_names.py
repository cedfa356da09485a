"""What variables are called in the original codes' checkpoints, where the names differ from ours.

    source("squad/output_bias", shapes)          # "cls/squad/output_bias" in Google's
    source("bert/pooler/dense/bias/adam_m", shapes)       # ".../lamb_m" in brightmart's
"""

import re

SLOT_SUFFIXES = ("/adam_m", "/adam_v")
# The endings of albert_zh's optimization.py.
_SLOT_ALIASES = {"/adam_m": "/lamb_m", "/adam_v": "/lamb_v"}
# Google's run_squad_v1.py.
_HEAD_ALIASES = {"squad/output_weights": "cls/squad/output_weights",
                 "squad/output_bias": "cls/squad/output_bias"}
# Variable scopes that tell which architecture wrote a checkpoint.
LAYOUT_MARKS = (("bert/encoder/layer_shared/", "brightmart"),
                ("bert/encoder/transformer/group_", "google"),
                ("bert/encoder/layer_0/", "bert"))
_GROUP = re.compile(r"/group_[0-9]+/")


def is_slot(name):
    """Whether a name is that of an optimizer's moment, in any code's checkpoint."""
    return name.endswith(SLOT_SUFFIXES + tuple(_SLOT_ALIASES.values()))


def source(name, names, from_group0=False):
    """The name under which a checkpoint has a variable, or None.

    Args:
      name: of the variable in the graph.
      names: those in the checkpoint.
      from_group0: groups of layers that the checkpoint lacks take the weights of group 0 (Google's
        --init_from_group0).
    """
    suffix = next(filter(name.endswith, SLOT_SUFFIXES), "")
    variable = name[:len(name) - len(suffix)]
    aliases = [variable, _HEAD_ALIASES.get(variable)]
    if from_group0:
        aliases.append(_GROUP.sub("/group_0/", variable))
    for alias in aliases:
        for ending in (suffix, _SLOT_ALIASES.get(suffix)):
            if alias is not None and ending is not None and alias + ending in names:
                return alias + ending
    return None


def detect_layout(names):
    """"google", "brightmart", "bert" (not an ALBERT), or None, from variable names."""
    for name in names:
        for mark, layout in LAYOUT_MARKS:
            if name.startswith(mark):
                return layout
    return None
