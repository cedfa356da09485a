"""One architecture written as another, exactly: albert_zh's and BERT's as Google's, and back.

    weights = layouts.google_from_brightmart(Weights(config, arrays))

albert_zh projects words from E to H before it adds positions: that is Google's layout with E = H,
whose table of words is the product of albert_zh's two. BERT is Google's layout with E = H whose
groups of layers are not shared.
"""

import collections

from util.errors import UserError

import numpy as np

import modeling
from interchange import tables

# A model by itself. config: an AlbertConfig; arrays: {name in the config's layout: array}.
Weights = collections.namedtuple("Weights", "config arrays")

_WORDS, _PROJECTION = "bert/embeddings/word_embeddings", "bert/embeddings/word_embeddings_2"
_MAPPING = "bert/encoder/embedding_hidden_mapping_in/"


def changed(config, **changes):
    """The config with other values of some keys."""
    return modeling.AlbertConfig.from_dict(dict(config.to_dict(), **changes))


def google_from_brightmart(weights):
    """albert_zh's layout -> Google's, with embedding_size = hidden_size.

    Raises:
      UserError: pre-LN, which Google's layout does not have.
    """
    config, arrays = weights
    if config.ln_type == "preln":
        raise UserError("ln_type preln has its LayerNorms ahead of attention and FFN; no other "
                        "code has such a model, so there is nothing to convert it to")
    google = changed(config, layout="google", embedding_size=config.hidden_size)
    taken, rest = _renamed(arrays, tables.rows("brightmart", google), _PROJECTION)
    words = np.asarray(arrays[_WORDS], np.float64) @ np.asarray(arrays[_PROJECTION], np.float64)
    return Weights(google, dict(rest, **dict(taken, **{_WORDS: words.astype(np.float32)})))


def brightmart_from_google(weights):
    """Google's layout with embedding_size = hidden_size and equal layers -> albert_zh's.

    Raises:
      UserError: words are projected after LayerNorm, or layers differ; the tensor is named.
    """
    config, arrays = shared(weights)
    if config.embedding_size != config.hidden_size:
        raise UserError("the word embeddings are %d wide and %skernel makes them %d after their "
                        "LayerNorm; albert_zh's layout projects them before it, so there is no "
                        "equal model of that layout"
                        % (config.embedding_size, _MAPPING, config.hidden_size))
    rows = [row._replace(ours=row.theirs, theirs=row.ours)
            for row in tables.rows("brightmart", config)]
    taken, rest = _renamed(arrays, rows)
    taken[_PROJECTION] = np.eye(config.hidden_size, dtype=np.float32)
    return Weights(changed(config, layout="brightmart"), dict(rest, **taken))


def _renamed(arrays, rows, *left_out):
    """({row.ours: the array called row.theirs}, the arrays that no row speaks of)."""
    taken = {row.ours: arrays[row.theirs] for row in rows if row.theirs in arrays}
    known = {row.theirs for row in rows}.union(left_out)
    return taken, {name: array for name, array in arrays.items() if name not in known}


def shared(weights):
    """The same model with one layer, of Google's layout.

    Raises:
      UserError: the layers differ; the first tensor that does is named.
    """
    config, arrays = weights
    first = tables.LAYERS["google"].format(g=0, i=0)
    kept = dict(arrays)
    for group, inner in tables.layers(config)[1:]:
        scope = tables.LAYERS["google"].format(g=group, i=inner)
        for name in sorted(name for name in arrays if name.startswith(scope)):
            if not np.array_equal(arrays[name], arrays[first + name[len(scope):]]):
                raise UserError("%s differs from %s: the layers are not shared, and this format "
                                "has one layer" % (name, first + name[len(scope):]))
            del kept[name]
    return Weights(changed(config, num_hidden_groups=1, inner_group_num=1,
                           num_hidden_layers=len(modeling.block_scopes(config))), kept)


def unshared(weights):
    """The same model with weights of its own for every layer, of Google's layout.

    Raises:
      UserError: embedding_size is not hidden_size, as in no BERT.
    """
    config, arrays = weights
    if config.embedding_size != config.hidden_size:
        raise UserError("the word embeddings are %d wide and the layers %d; BERT has no projection "
                        "between them, so there is no equal BERT; convert to hf_albert"
                        % (config.embedding_size, config.hidden_size))
    scopes = ["bert/encoder/%s/" % scope for scope in modeling.block_scopes(config)]
    kept = {name: array for name, array in arrays.items() if not name.startswith(tuple(scopes))}
    for number, scope in enumerate(scopes):
        for name in arrays:
            if name.startswith(scope):
                new_scope = tables.LAYERS["google"].format(g=number, i=0)
                kept[new_scope + name[len(scope):]] = arrays[name]
    return Weights(changed(config, num_hidden_layers=len(scopes), num_hidden_groups=len(scopes),
                           inner_group_num=1), kept)


def with_mapping(weights):
    """{name: array} with the projection from E to H that Google's layout leaves out at E = H."""
    config, arrays = weights
    if config.embedding_size != config.hidden_size:
        return arrays
    width = config.hidden_size
    return dict(arrays, **{_MAPPING + "kernel": np.eye(width, dtype=np.float32),
                           _MAPPING + "bias": np.zeros(width, np.float32)})


def without_mapping(weights, location):
    """Leaves out the projection from E to H where E = H and it is an identity.

    Raises:
      UserError: it is none.
    """
    config, arrays = weights
    if config.embedding_size != config.hidden_size:
        return weights
    for name, plain in (("kernel", np.eye(config.hidden_size)),
                        ("bias", np.zeros(config.hidden_size))):
        if not np.array_equal(arrays[_MAPPING + name], plain):
            raise UserError("%s: %s is not an identity although embedding_size is hidden_size %d; "
                            "Google's layout has no such layer"
                            % (location, _MAPPING + name, config.hidden_size))
    return Weights(config, {name: array for name, array in arrays.items()
                            if not name.startswith(_MAPPING)})
