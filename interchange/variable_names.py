"""What variables are called in the original codes' checkpoints, where the names differ from ours.

    source("squad/output_bias", shapes)          # "cls/squad/output_bias" in Google's
    source("bert/pooler/dense/bias/adam_m", shapes)       # ".../lamb_m" in brightmart's
"""

import re

SLOT_SUFFIXES = ("/adam_m", "/adam_v", "/muon_m")
# The endings of albert_zh's optimization.py.
_SLOT_ALIASES = {"/adam_m": "/lamb_m", "/adam_v": "/lamb_v"}
# Google's run_squad_v1.py.
_HEAD_ALIASES = {"squad/output_weights": "cls/squad/output_weights",
                 "squad/output_bias": "cls/squad/output_bias"}
# Variable scopes that tell which architecture wrote a checkpoint.
LAYOUT_MARKS = (("bert/encoder/layer_shared/", "brightmart"),
                ("bert/encoder/transformer/group_", "google"),
                ("bert/encoder/layer_0/", "bert"))
# What a TF-Hub module's variables stand below.
_MODULE = "module/"
_NORM = re.compile(r"(.*/)LayerNorm(_1)?/(beta|gamma)$")
_INNER = re.compile(r"/inner_group_[0-9]+/$")
_GROUP = re.compile(r"/group_[0-9]+/")


def is_slot(name):
    """Whether a name is that of an optimizer's moment, in any code's checkpoint."""
    return name.endswith(SLOT_SUFFIXES + tuple(_SLOT_ALIASES.values()))


def is_bookkeeping(name):
    """Whether a name is of a training's own numbers: its step, its time, the scale of its loss."""
    return name in ("global_step", "budget") or name.startswith("loss_scale/")


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
    endings = [suffix] + ([_SLOT_ALIASES[suffix]] if suffix in _SLOT_ALIASES else [])
    for alias in filter(None, aliases):
        for candidate in (prefix + alias + ending
                          for prefix in ("", _MODULE) for ending in endings):
            if candidate in names:
                return candidate
    return _numbered_norm(name, names)


def _numbered_norm(name, names):
    """The name of a LayerNorm that Keras numbered over the whole graph, or None.

    bert/embeddings/layer_normalization/beta, …/inner_group_0/layer_normalization_1/beta; only where
    a scope has as many as it should: those of layers that do not share theirs are more.
    """
    match = _NORM.match(name)
    if not match:
        return None
    scope, second, array = match.groups()
    wanted = 2 if _INNER.search(scope) else 1
    pattern = "(?:%s)?%slayer_normalization(?:_([0-9]+))?/%s$" % (_MODULE, re.escape(scope), array)
    matches = filter(None, (re.match(pattern, name) for name in names))
    norms = sorted((int(match.group(1) or 0), match.group()) for match in matches)
    return norms[1 if second else 0][1] if len(norms) == wanted else None


def detect_layout(names):
    """"google", "brightmart", "bert" (not an ALBERT), or None, from variable names."""
    for name in names:
        for mark, layout in LAYOUT_MARKS:
            if name.startswith((mark, _MODULE + mark)):
                return layout
    return None
