"""First weights that a count of the text gives, in place of random ones, for pre-training.

    counts = first_weights.count(paths, masking, config)
    values = first_weights.values(config, shapes, counts, seed=12345)  # {name: array}

A model that begins at random spends most of a small budget on what a count tells in seconds: how
frequent a token is, which tokens have the same neighbours, and that a token's neighbours are where
to look. So the bias of the masked-LM head begins as the logarithm of the frequencies; the word
embeddings as directions of the positive pointwise mutual information of neighbours (Levy and
Goldberg 2014); positions as sinusoids (Vaswani et al. 2017, section 3.5), which two thirds of the
heads turn so that each looks at one distance, 1 to 8 tokens before or behind. Of the other heads
at most two look at a segment, the rest from a word at that of the other segment which is most like
it. All of it is trained like any other weight, and no variable is added.

Dimensions: V vocabulary, E embedding, H hidden, W width of the position embeddings (E in Google's
layout, H in brightmart's), D head size, C contexts, F frequencies of the sinusoids.
"""

import collections
import math

from util import console

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
from pretraining import recipes
from training import input_pipeline

MOST_TOKENS = 1 << 25  # of the text that are counted
WINDOW = 5  # tokens on either side that are neighbours, which count by 1 / distance
FEWEST = 5  # occurrences of a token whose neighbours say something
CONTEXTS, LARGEST_TABLE = 2048, 1 << 26  # the most frequent tokens, as neighbours; V * C at most
LOOKING_HEADS, FARTHEST = 2 / 3, 8
SHARPNESS = 40.0  # a looking head's weight at its distance, where one further has 1
LIKENESS = 12.0  # logarithm of a matching head's weight at the same word, where an unlike one has 1
FREQUENCIES, HIGHEST, LOWEST = 16, 2.6, 0.03  # of sinusoids, in radians a token
POSITIONS, TYPES = 0.5, 0.25  # squared length of their embeddings, where a word's is 1

# tokens: how many were counted; frequencies: int [V]; vectors: float [V, E] of length 1, or 0 for
# a token of which too little is known.
Counts = collections.namedtuple("Counts", "tokens frequencies vectors")


# ---- counting ----

def count(paths, masking, config):
    """Counts tokens and their neighbours in unmasked records.

    Args:
      paths: files of records without masks (create_pretraining_data.py --store_sentences or
        --store_word_starts).
      masking: their masking.Settings.
      config: AlbertConfig.

    Returns:
      Counts.

    Raises:
      tf.errors.InvalidArgumentError: a record holds tokens out of range.
    """
    ids = _read(paths, masking.mask_id, config.vocab_size)
    is_ordinary = np.ones(config.vocab_size, bool)
    is_ordinary[list(masking.special_ids)] = False
    frequencies = np.bincount(ids, minlength=config.vocab_size) * is_ordinary  # [V]
    contexts = np.argsort(-frequencies, kind="stable")[
        :min(CONTEXTS, LARGEST_TABLE // config.vocab_size)]
    table = _count_neighbours(ids, is_ordinary, contexts)
    vectors = _directions(_information(table), config.embedding_size)
    vectors[frequencies < FEWEST] = 0
    return Counts(int(frequencies.sum()), frequencies, vectors)


def _read(paths, filler, vocab_size):
    """The token ids of the records, int32, at most MOST_TOKENS, as many of each file at most.

    Some `filler` stands between two records.
    """
    parts = []
    for path in console.progress(paths, unit="files", desc="reading tokens"):
        room = MOST_TOKENS // len(paths)
        for batch in _batches(path, filler, vocab_size):
            parts.append(batch[:room])
            room -= len(parts[-1])
            if not room:
                break
    return np.concatenate(parts)


def _batches(path, filler, vocab_size):
    """Yields the token ids of 4,096 records after the other, as `_read` returns them."""
    spec = {"input_ids": tf.VarLenFeature(tf.int64)}

    def parse(serialized):
        ids = tf.sparse.to_dense(tf.parse_example(serialized, spec)["input_ids"], filler)
        fit = [tf.debugging.assert_non_negative(ids),
               tf.debugging.assert_less(ids, tf.constant(vocab_size, tf.int64))]
        with tf.control_dependencies(fit):
            lengths = tf.reduce_sum(tf.cast(tf.not_equal(ids, filler), tf.int32), 1)
        apart = tf.pad(tf.cast(ids, tf.int32), [[0, 0], [0, WINDOW]], constant_values=filler)
        return tf.boolean_mask(apart, tf.sequence_mask(lengths + WINDOW, tf.shape(apart)[1]))

    with tf.Graph().as_default(), tf.Session() as session:
        batches = input_pipeline.made_ahead(
            tf.data.TFRecordDataset(path).batch(4096).map(parse))
        following = tf.data.make_one_shot_iterator(batches).get_next()
        while True:
            try:
                yield session.run(following)
            except tf.errors.OutOfRangeError:
                return


def _count_neighbours(ids, is_ordinary, contexts, chunk=1 << 23):
    """float32 [V, C]: how often a token has a context within WINDOW, by 1 / distance."""
    size = len(is_ordinary)
    columns = np.full(size, -1, np.int64)
    columns[contexts] = np.arange(len(contexts))
    columns[~is_ordinary] = -1
    table = np.zeros(size * len(contexts), np.float32)
    portions = range(0, len(ids), chunk)
    for begin in console.progress(portions, unit="portions", desc="counting neighbours"):
        for distance in range(1, WINDOW + 1):
            behind = ids[begin + distance:begin + distance + chunk].astype(np.int64)
            before = ids[begin:begin + len(behind)].astype(np.int64)
            for word, context in ((before, behind), (behind, before)):
                column = columns[context]
                cells = (word * len(contexts) + column)[is_ordinary[word] & (column >= 0)]
                table += np.bincount(cells, minlength=len(table)) / np.float32(distance)
    return table.reshape(size, len(contexts))


def _information(table):
    """[V, C] of counts -> the positive pointwise mutual information, in place.

    The frequencies of contexts are smoothed by the power of 0.75 (Levy, Goldberg and Dagan 2015).
    """
    words = table.sum(1, keepdims=True)
    contexts = table.sum(0) ** 0.75
    contexts /= max(contexts.sum(), 1)
    table /= np.maximum(words * contexts, 1e-12)
    np.log(np.maximum(table, 1, out=table), out=table)
    return table


def _directions(information, width):
    """[V, C] -> [V, E]: the rows' places on the main axes, as vectors of length 1 (or 0)."""
    squares, axes = np.linalg.eigh(information.T.dot(information))  # [C], [C, C], ascending
    main = slice(None, -width - 1, -1)
    strengths = np.sqrt(np.maximum(squares[main], 1e-6))  # [E]
    places = information.dot(axes[:, main]) / np.sqrt(strengths)  # [V, E]: U * sqrt(S)
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-6)
    return np.pad(places, [(0, 0), (0, width - places.shape[1])], "constant")


# ---- weights ----

def values(config, shapes, counts, seed):
    """The first values of a model's matrices and of the masked-LM head's bias.

    Args:
      config: AlbertConfig.
      shapes: {name: shape} of the variables.
      counts: Counts.

    Returns:
      {name: float32 array}; biases and norms that are not in it begin as ever.
    """
    rng = np.random.RandomState(seed)
    deviation = recipes.full_deviation(config)
    weights = {name: deviation * np.clip(rng.standard_normal(shape), -2, 2)
               for name, shape in sorted(shapes.items()) if len(shape) == 2}
    places, words = _set_embeddings(weights, config, counts, deviation, rng)
    _set_heads(weights, config, list(_heads(config, places, words, rng)))
    shares = (counts.frequencies + 1.0) / (counts.tokens + len(counts.frequencies))
    weights["cls/predictions/output_bias"] = np.log(shares)
    return {name: value.astype(np.float32) for name, value in weights.items()}


def looking_heads(config):
    """The distances that heads look at, those of the first heads: -1, 1, -2, 2 ..."""
    return [(1 + head // 2 % FARTHEST) * (1 if head % 2 else -1)
            for head in range(int(LOOKING_HEADS * config.num_attention_heads))]


def segment_heads(config):
    """What the heads after those look at: -1 the other segment, 1 the own; half of the rest."""
    rest = config.num_attention_heads - len(looking_heads(config))
    return [-1, 1][:rest // 2]


def matching_heads(config):
    """The numbers of the heads after those, which look at the same word in the other segment."""
    return range(len(looking_heads(config)) + len(segment_heads(config)),
                 config.num_attention_heads)


def _frequencies(number):
    return np.geomspace(HIGHEST, LOWEST, number)


def _sinusoids(length, number):
    """[length, 2F]: cos and sin of F frequencies in turn."""
    angles = np.arange(length)[:, np.newaxis] * _frequencies(number)
    return np.stack([np.cos(angles), np.sin(angles)], -1).reshape(length, -1)


def _set_embeddings(weights, config, counts, deviation, rng):
    """Words by their neighbours; positions, as sinusoids, and segments in dimensions of their own.

    Returns:
      [H, 2F + 1]: what makes of a block's input its sinusoids, and -1 or 1 for its segment.
      [H, at most E]: what makes of it the word's embedding, of length 1.
    """
    hidden, width = config.hidden_size, config.embedding_size
    stretch = 1.0  # of an embedding, on its way to the first block
    if config.layout == "brightmart":  # words are projected before positions are added
        number = max(1, min(FREQUENCIES, hidden // 8, (hidden - width - 1) // 2))
        axes = _orthonormal(min(hidden, width + 2 * number + 1), hidden, rng)
        weights["bert/embeddings/word_embeddings_2"] = recipes.FULL * axes[:width]
        words, places = _turned(counts.vectors, width, rng), axes[-2 * number - 1:]
        seen, seen_words = places, axes[:width]
        energy = width * np.square(deviation * recipes.FULL)
    else:
        number = max(1, min(FREQUENCIES, width // 8))
        own = 2 * number + 1
        words = np.pad(_turned(counts.vectors, width - own, rng), [(0, 0), (own, 0)], "constant")
        places, axes = np.eye(own, width), np.eye(width)
        energy = (width - own) * np.square(deviation)
        if width != hidden:
            axes, stretch = _orthonormal(width, hidden, rng), recipes.FULL
            weights["bert/encoder/embedding_hidden_mapping_in/kernel"] = stretch * axes
        seen, seen_words = axes[:own], axes[own:]
    table, types = (weights["bert/embeddings/%s_embeddings" % name]
                    for name in ("position", "token_type"))
    sizes = np.sqrt(energy * np.append(np.full(2 * number, POSITIONS / number), TYPES))
    weights["bert/embeddings/word_embeddings"] = words * deviation * math.sqrt(words.shape[1])
    table[:] = (sizes[:-1] * _sinusoids(len(table), number)).dot(places[:-1])
    types[:] = sizes[-1] * np.linspace(-1, 1, len(types))[:, np.newaxis] * places[-1]
    # After their LayerNorm, which in pre-LN another one follows.
    square = stretch ** 2 * table.shape[1] if config.ln_type == "postln" else hidden
    length = math.sqrt(square / (1 + POSITIONS + TYPES))  # of a word's part
    return seen.T / (sizes * length / math.sqrt(energy)), seen_words.T / length


def _orthonormal(rows, columns, rng):
    return np.linalg.qr(rng.standard_normal([columns, rows]))[0].T


def _turned(vectors, width, rng):
    """The vectors' first dimensions, turned so that all are alike; random where they are 0."""
    vectors = vectors[:, :width].copy()
    unknown = ~vectors.any(1)
    vectors[unknown] = rng.standard_normal([unknown.sum(), width])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.dot(_orthonormal(width, width, rng))


def _heads(config, places, words, rng):
    """Yields of every head what makes of a block's input its queries and keys, [H, at most D] both.

    Sinusoids are turned by a distance; a segment is the other where its sign is; words are the same
    where their products with directions drawn at random are.

    Args:
      places, words: as of `_set_embeddings`.
    """
    size = config.hidden_size // config.num_attention_heads
    number = min(places.shape[1] // 2, size // 2)
    frequencies = _frequencies(places.shape[1] // 2)[:number]
    # Of all numbers of one distance, those of the next: the weights' logarithms differ by this.
    difference = (number - np.cos(frequencies).sum()) / math.sqrt(size)
    keys = places[:, :2 * number] * math.sqrt(math.log(SHARPNESS) / difference)
    cosines, sines = keys[:, ::2], keys[:, 1::2]
    for distance in looking_heads(config):
        angles = distance * frequencies
        yield np.stack([cosines * np.cos(angles) - sines * np.sin(angles),
                        cosines * np.sin(angles) + sines * np.cos(angles)], -1).reshape(
                            len(keys), -1), keys
    side = places[:, -1:] * math.sqrt(math.log(SHARPNESS) / 2 * math.sqrt(size))
    for sign in segment_heads(config):
        yield sign * side, side
    width = min(words.shape[1], size - 1)
    for _ in matching_heads(config):
        directions = _orthonormal(width, words.shape[1], rng).T
        alike = words.dot(directions) * math.sqrt(
            LIKENESS * math.sqrt(size) * words.shape[1] / width)
        yield np.hstack([alike, -side]), np.hstack([alike, side])


def _set_heads(weights, config, heads):
    """The first columns of the queries and keys of every block's heads, from `_heads`."""
    size = config.hidden_size // config.num_attention_heads
    for scope in set(modeling.block_scopes(config)):
        for name, parts in zip(("query", "key"), zip(*heads)):
            kernel = weights["bert/encoder/%s/%s/self/%s/kernel" % (
                scope, modeling.BLOCK_NAMES[config.layout].attention, name)]
            for head, part in enumerate(parts):
                kernel[:, head * size:head * size + part.shape[1]] = part


def scaffold_fn(first_values):
    """The scaffold_fn of a training that begins with such values in place of random ones.

    Args:
      first_values: function {name: shape} -> {name: array}, as `values`.
    """
    variables = {variable.name.split(":")[0]: variable for variable in tf.trainable_variables()}
    first = first_values({name: variable.shape.as_list() for name, variable in variables.items()})

    def begin(scaffold, session):
        for name, value in first.items():
            # Those of the replicas of a tf.distribute strategy.
            for variable in getattr(variables[name], "values", None) or [variables[name]]:
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})

    return lambda: tf.train.Scaffold(init_fn=begin)
