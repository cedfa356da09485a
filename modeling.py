"""The ALBERT model: factorized embeddings, shared transformer blocks, pooler, MLM and SOP heads.

Both published architectures are built by the same code: `config.layout` is "brightmart" (albert_zh)
or "google" (google-research/albert). They differ in where the embeddings are projected from E to H,
in the width of the MLM head, and in variable names.

Dimensions: B batch, S sequence, H hidden, E embedding, N heads, D head size (H / N),
I intermediate, V vocabulary, P predictions per sequence.
"""

import collections
import functools
import re

from util import files
from util.errors import UserError

import tensorflow.compat.v1 as tf

from layers import (
    activation,
    dense,
    draw_seeds,
    dropout,
    gather_rows,
    initializer,
    layer_norm,
    lookup,
    matmul,
    matmul_last,
    recomputed,
    shape_list,
    softmax_losses,
)
from token_rows import Packed, Padded, only_where

REQUIRED = object()

# Every key of a config file, declared once: name -> (type, default, smallest value or choices).
CONFIG_KEYS = collections.OrderedDict([
    ("vocab_size", (int, REQUIRED, 1)),
    ("embedding_size", (int, 128, 1)),
    ("hidden_size", (int, REQUIRED, 1)),
    ("num_hidden_layers", (int, REQUIRED, 1)),
    ("num_hidden_groups", (int, 1, 1)),
    ("inner_group_num", (int, 1, 1)),
    ("num_attention_heads", (int, REQUIRED, 1)),
    ("intermediate_size", (int, REQUIRED, 1)),
    ("hidden_act", (str, "gelu", ("gelu", "gelu_erf", "relu", "tanh", "linear"))),
    ("hidden_dropout_prob", (float, 0.0, 0.0)),
    ("attention_probs_dropout_prob", (float, 0.0, 0.0)),
    ("max_position_embeddings", (int, 512, 1)),
    ("type_vocab_size", (int, 2, 1)),
    ("initializer_range", (float, 0.02, 0.0)),
    ("ln_type", (str, "postln", ("postln", "preln"))),
    ("layout", (str, None, ("google", "brightmart"))),
])

# No number of a config is larger; the largest published one is a vocabulary of 250,000 tokens.
LARGEST = 1 << 24

# Keys of the released config files that never affected the model.
LEGACY_KEYS = frozenset([
    "directionality", "down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks",
    "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head",
    "pooler_type"])

# config.json of transformers ("model_type") has other names for the activations: its "gelu" is the
# form with the error function.
HF_ACTIVATIONS = collections.OrderedDict([
    ("gelu_new", "gelu"), ("gelu_pytorch_tanh", "gelu"), ("gelu", "gelu_erf"), ("relu", "relu"),
    ("tanh", "tanh"), ("linear", "linear")])
# Its keys that change the model, with the only value that this code has; others are passed over.
HF_FIXED = {"add_cross_attention": False, "is_decoder": False, "layer_norm_eps": 1e-12,
            "position_embedding_type": "absolute", "pruned_heads": {}, "tie_word_embeddings": True}

# The variable scopes of a block's parts in the two layouts, relative to the block's scope.
BlockNames = collections.namedtuple(
    "BlockNames", "attention attention_norm intermediate output output_norm")
BLOCK_NAMES = {
    "brightmart": BlockNames("attention", "attention/output/LayerNorm", "intermediate/dense",
                             "output/dense", "output/LayerNorm"),
    "google": BlockNames("attention_1", "LayerNorm", "ffn_1/intermediate/dense",
                         "ffn_1/intermediate/output/dense", "LayerNorm_1"),
}


class AlbertConfig(object):
    """The hyperparameters of a model, as in the released JSON files.

        config = AlbertConfig.from_json_file("albert_config/albert_config_tiny.json")
        config.hidden_size, config.layout  # 312, "brightmart"

    A config.json of transformers' ALBERT or BERT is read too: BERT is Google's layout with
    embedding_size = hidden_size and a group of its own for every layer.

    Attributes are the names in CONFIG_KEYS. `layout` defaults to "google" for a config that has
    `num_hidden_groups`, and to "brightmart" for others. The constructor is that of
    Google's code: AlbertConfig(vocab_size=30000, hidden_size=768, ...) has the defaults of
    ALBERT-xxlarge and Google's layout.
    """

    _arguments = collections.OrderedDict([
        ("vocab_size", REQUIRED), ("embedding_size", 128), ("hidden_size", 4096),
        ("num_hidden_layers", 12), ("num_hidden_groups", 1), ("num_attention_heads", 64),
        ("intermediate_size", 16384), ("inner_group_num", 1), ("down_scale_factor", 1),
        ("hidden_act", "gelu"), ("hidden_dropout_prob", 0), ("attention_probs_dropout_prob", 0),
        ("max_position_embeddings", 512), ("type_vocab_size", 2), ("initializer_range", 0.02),
        ("layout", "google")])

    def __init__(self, *arguments, **values):
        given = dict(zip(self._arguments, arguments), **values)
        self._set(dict(self._arguments, **given), "config")

    @classmethod
    def from_dict(cls, values, location="config"):
        """Builds a config from a dict; `location` names its source in error messages.

        Raises:
          UserError: an unknown or missing key, or a value of the wrong type or range.
        """
        config = cls.__new__(cls)
        if "model_type" in values:
            values = _of_transformers(values, location)
        config._set(values, location)
        return config

    @classmethod
    def from_json_file(cls, path):
        """Builds a config from a released JSON file; errors as `from_dict`, naming the file."""
        if not files.is_file(path):
            raise UserError("%s: no such config file; see albert_config/ for ready ones" % path)
        return cls.from_dict(files.read_json_object(
            path, "an object of hyperparameters as in albert_config/"), path)

    def check_length(self, max_seq_length):
        """Raises a UserError if the model has fewer positions than --max_seq_length."""
        if max_seq_length > self.max_position_embeddings:
            raise UserError("--max_seq_length=%d is larger than the config's "
                            "max_position_embeddings %d"
                            % (max_seq_length, self.max_position_embeddings))

    def to_dict(self):
        """The config as a dict; `from_dict` makes an equal config of it."""
        return {key: getattr(self, key) for key in CONFIG_KEYS}

    def __eq__(self, other):
        return isinstance(other, AlbertConfig) and self.to_dict() == other.to_dict()

    def _set(self, values, location):
        for key in sorted(set(values) - set(CONFIG_KEYS) - LEGACY_KEYS):
            raise UserError("%s: unknown key %r; known keys are %s"
                            % (location, key, ", ".join(CONFIG_KEYS)))
        for key in CONFIG_KEYS:
            setattr(self, key, _checked_value(key, values, location))
        if self.layout is None:
            self.layout = "google" if "num_hidden_groups" in values else "brightmart"
        if self.hidden_size % self.num_attention_heads:
            raise UserError("%s: hidden_size %d is not divisible by num_attention_heads %d"
                            % (location, self.hidden_size, self.num_attention_heads))
        if self.layout == "brightmart" and (self.num_hidden_groups, self.inner_group_num) != (1, 1):
            raise UserError("%s: num_hidden_groups %d and inner_group_num %d need layout google; "
                            "brightmart's layout has one shared layer"
                            % (location, self.num_hidden_groups, self.inner_group_num))
        if self.num_hidden_groups > self.num_hidden_layers:
            raise UserError("%s: num_hidden_groups %d is larger than num_hidden_layers %d"
                            % (location, self.num_hidden_groups, self.num_hidden_layers))


def _of_transformers(values, location):
    """The values of a config.json of transformers by the names and in the terms of CONFIG_KEYS."""
    model_type = values["model_type"]
    if model_type not in ("albert", "bert"):
        raise UserError("%s: model_type is %r, expected albert or bert" % (location, model_type))
    for key, only in HF_FIXED.items():
        if values.get(key, only) != only:
            raise UserError("%s: %r is %r; this code has the model with %r alone"
                            % (location, key, values[key], only))
    taken = {key: value for key, value in values.items() if key in CONFIG_KEYS}
    name = values.get("hidden_act", "gelu_new" if model_type == "albert" else "gelu")
    if name not in HF_ACTIVATIONS:
        raise UserError("%s: 'hidden_act' is %r, expected one of %s"
                        % (location, name, ", ".join(HF_ACTIVATIONS)))
    taken.update(layout="google", hidden_act=HF_ACTIVATIONS[name])
    if model_type == "bert":
        taken.update(embedding_size=values.get("hidden_size"),
                     num_hidden_groups=values.get("num_hidden_layers"), inner_group_num=1)
    return taken


def _checked_value(key, values, location):
    """The value of one config key, checked against its declared type and range."""
    value_type, default, allowed = CONFIG_KEYS[key]
    value = values.get(key, default)
    if value is REQUIRED:
        raise UserError("%s: the key %r is missing" % (location, key))
    if key not in values or (value is None and default is None):
        return default
    if value_type is float and type(value) is int:
        value = float(value)
    if type(value) is not value_type:
        raise UserError("%s: %r is %r, expected %s" % (location, key, value, value_type.__name__))
    if value_type is str:
        if value not in allowed:
            raise UserError("%s: %r is %r, expected one of %s"
                            % (location, key, value, ", ".join(allowed)))
    elif not allowed <= value <= LARGEST or (key.endswith("dropout_prob") and value >= 1.0):
        raise UserError("%s: %r is %r, out of range" % (location, key, value))
    return value


class AlbertModel(object):
    """The ALBERT encoder over a batch of token ids.

        config = AlbertConfig.from_json_file("albert_config/albert_config_tiny.json")
        model = AlbertModel(config, is_training=True, input_ids=input_ids, input_mask=input_mask,
                            token_type_ids=segment_ids)
        logits = tf.matmul(model.get_pooled_output(), output_weights)
    """

    def __init__(self, config, is_training, input_ids, input_mask=None, token_type_ids=None,
                 use_one_hot_embeddings=False, scope=None, recompute=False,
                 compute_type=tf.float32, output_positions=None, use_einsum=True,
                 skip_padding=False):
        """Builds the graph.

        Args:
          config: an AlbertConfig.
          is_training: whether dropout is applied.
          input_ids: int [B, S]; static sizes stay static (TPU), unknown ones are read at run time.
          input_mask: int [B, S], 1 for tokens and 0 for padding; all ones when None.
          token_type_ids: int [B, S], 0 for the first segment and 1 for the second; zeros when None.
          use_one_hot_embeddings: look up word embeddings by a one-hot product (faster on TPUs).
          scope: the variable scope, "bert" when None, the name in every released checkpoint.
          recompute: keep only each block's input and recompute the block in the backward pass, see
            `layers.recomputed`; less memory for about 1.4 times the time.
          compute_type: tf.bfloat16 or tf.float16 for matrix products and GELU. Variables and their
            gradients, LayerNorm, the attention's softmax, the pooler and everything the
            getters return stay float32.
          output_positions: int [B, P]; compute the last block only for the first token and these
            positions, for heads that read no others: the same numbers with less work.
            `get_output_at` then replaces `get_sequence_output`. [B, 0] is enough for the pooler.
          use_einsum: of Google's code; no number depends on it.
          skip_padding: compute tokens only where a position does not depend on others; what the
            getters return is 0 for padding, and equal for tokens. Shapes depend on the batch.

        Raises:
          UserError: the sequence is longer than config.max_position_embeddings.
        """
        del use_einsum
        self.config = config
        self._hidden_dropout = config.hidden_dropout_prob if is_training else 0.0
        self._attention_dropout = config.attention_probs_dropout_prob if is_training else 0.0
        self._compute_type = compute_type
        self.skips_padding = skip_padding
        if input_mask is None:
            input_mask = tf.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = tf.zeros_like(input_ids)
        with tf.variable_scope(scope, default_name="bert"):
            with tf.variable_scope("embeddings"):
                self._rows = Packed(input_mask) if skip_padding else Padded(input_mask)
                words = self._embed_words(self._rows.place(input_ids), use_one_hot_embeddings)
                self._embedded = self._add_positions_and_types(
                    words, self._rows.place(token_type_ids), shape_list(input_ids)[1])
            with tf.variable_scope("encoder"):
                positions = None
                if output_positions is not None:
                    first = tf.zeros_like(input_ids[:, :1], output_positions.dtype)
                    positions = tf.concat([first, output_positions], 1)  # [B, 1 + P]
                self._output_positions = output_positions
                self._layers = self._encode(self._embedded, recompute, positions)
                if positions is not None:
                    self._outputs = tf.cast(self._rows.in_order(self._layers[-1]), tf.float32)
            with tf.variable_scope("pooler"):
                first_token = (self._rows.first(self._layers[-1]) if positions is None
                               else self._outputs[:, 0, :])  # [B, H]
                self._pooled_output = self._dense(
                    tf.cast(first_token, tf.float32), config.hidden_size, "dense",
                    activation=tf.tanh)

    def get_sequence_output(self):
        """float [B, S, H]: the last layer.

        Raises:
          ValueError: the model was built with `output_positions`.
        """
        return self.get_all_encoder_layers()[-1]

    def get_output_at(self, positions):
        """float [B, P, H]: the last layer at int [B, P].

        Raises:
          ValueError: the model was built with other `output_positions`.
        """
        if self._output_positions is None:
            return gather_rows(self.get_sequence_output(), positions)
        if positions is not self._output_positions:
            raise ValueError("the model was built with other output_positions than these")
        return self._outputs[:, 1:, :]

    def get_pooled_output(self):
        """float [B, H]: tanh of a dense layer over the first token."""
        return self._pooled_output

    def get_all_encoder_layers(self):
        """A list of float [B, S, H], the output of every (inner) layer in order.

        Raises:
          ValueError: the model was built with `output_positions`.
        """
        if self._output_positions is not None:
            raise ValueError("the model was built with output_positions; get_output_at returns the "
                             "last layer at these")
        return [self._padded(layer) for layer in self._layers]

    def get_embedding_output(self):
        """float [B, S, H] (brightmart) or [B, S, E] (google), after LayerNorm and dropout."""
        return self._padded(self._embedded)

    def _padded(self, x):
        return tf.cast(self._rows.padded(x), tf.float32)

    def get_embedding_table(self):
        """float [V, E]: the word embeddings."""
        return self._embedding_table

    def get_embedding_projection(self):
        """float [E, H]: brightmart's word_embeddings_2; None in google's layout."""
        return self._embedding_projection

    get_embedding_table_2 = get_embedding_projection  # as albert_zh calls it

    def _dense(self, x, units, name, activation=None):
        return dense(x, units, name, self.config.initializer_range, activation)

    def _variable(self, name, shape):
        return tf.get_variable(
            name, shape, initializer=initializer(self.config.initializer_range))

    # Rows, [rows, W] below, are [B, S, W] with padding and [T, W] without.

    def _embed_words(self, input_ids, use_one_hot_embeddings):
        """int [rows] -> [rows, E] (google) or [rows, H] (brightmart, which projects here)."""
        config = self.config
        self._embedding_table = self._variable(
            "word_embeddings", [config.vocab_size, config.embedding_size])
        self._embedding_projection = None
        words = lookup(self._embedding_table, input_ids, use_one_hot_embeddings,
                       self._compute_type)  # [rows, E]
        if config.layout == "brightmart":
            self._embedding_projection = self._variable(
                "word_embeddings_2", [config.embedding_size, config.hidden_size])
            words = matmul_last(words, self._embedding_projection)  # [rows, H]
        return words

    def _add_positions_and_types(self, words, token_type_ids, length):
        """Adds position and type embeddings to [rows, W], W = E or H; LayerNorm and dropout."""
        config = self.config
        width = shape_list(words)[-1]
        type_table = self._variable("token_type_embeddings", [config.type_vocab_size, width])
        position_table = self._variable(
            "position_embeddings", [config.max_position_embeddings, width])
        # The table has two rows: a one-hot product is faster than a gather and its gradient.
        types = lookup(type_table, token_type_ids, True, words.dtype)  # [rows, W]
        with tf.control_dependencies(_check_length(length, config.max_position_embeddings)):
            summed = self._rows.add_positions(tf.add_n([words, types]), position_table)
        return dropout(layer_norm(summed), self._hidden_dropout)

    def _encode(self, x, recompute, positions):
        """[rows, E or H] -> every layer's output [rows, H].

        With int `positions` [B, 1 + P] the last layer is computed for these only, [B, 1 + P, H].
        """
        config = self.config
        if x.shape[-1] != config.hidden_size:
            x = self._dense(x, config.hidden_size, "embedding_hidden_mapping_in")
        scopes = block_scopes(config)
        blocks = [self._block] * (len(scopes) - 1)
        blocks.append(functools.partial(self._block, positions=positions))
        layers = []
        weights = {}
        for scope, block in zip(scopes, blocks):
            with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
                if recompute:
                    seeds = draw_seeds(3 if self._hidden_dropout or self._attention_dropout else 0)
                    x = recomputed(block, weights, x, *seeds)
                else:
                    x = block(x)
            layers.append(x)
        return layers

    def _block(self, x, *seeds, positions=None):
        """One transformer block, [rows, H] -> [rows, H]; variables are named as in the layout.

        `seeds` are none or three dropout seeds: of the attention weights, the attention output and
        the block output. With int `positions` [B, P] only these are computed: [B, P, H].
        """
        seeds = seeds or (None,) * 3
        config = self.config
        names = BLOCK_NAMES[config.layout]
        pre_norm = config.ln_type == "preln"

        attention_input = queries = layer_norm(x, names.attention_norm) if pre_norm else x
        if positions is not None:
            queries = self._rows.at(attention_input, positions)
            x = self._rows.at(x, positions)
        attended = self._attend(queries, attention_input, names.attention, seeds[0])
        x += dropout(attended, self._hidden_dropout, seeds[1])
        if not pre_norm:
            x = layer_norm(x, names.attention_norm)

        inner = self._dense(layer_norm(x, names.output_norm) if pre_norm else x,
                            config.intermediate_size, names.intermediate,
                            activation(config.hidden_act))  # [rows, I]
        outer = self._dense(inner, config.hidden_size, names.output)  # [rows, H]
        x += dropout(outer, self._hidden_dropout, seeds[2])
        return x if pre_norm else layer_norm(x, names.output_norm)

    def _attend(self, queries, x, scope, seed):
        """Multi-head attention to [rows, H] and output projection, of the queries' shape."""
        config = self.config
        with tf.variable_scope(scope):
            query, key, value = (
                self._dense(given, config.hidden_size, "self/" + name)
                for name, given in (("query", queries), ("key", x), ("value", x)))
            context = self._rows.attend(query, key, value, config.num_attention_heads,
                                        self._attention_dropout, seed)
            return self._dense(context, config.hidden_size, "output/dense")


def block_scopes(config):
    """The variable scope of every block in order; blocks of the same scope share weights."""
    if config.layout == "brightmart":
        return ["layer_shared"] * config.num_hidden_layers
    return ["transformer/group_%d/inner_group_%d" % (group, inner)
            for group in (layer * config.num_hidden_groups // config.num_hidden_layers
                          for layer in range(config.num_hidden_layers))
            for inner in range(config.inner_group_num)]


def get_masked_lm_output(config, model, positions, label_ids, label_weights, total_weight=None):
    """The masked-LM head over the masked positions only.

    Args:
      config: an AlbertConfig.
      model: the AlbertModel.
      positions: int [B, P] of the masked tokens, padded with any position; if the model was built
        with `output_positions`, that very tensor.
      label_ids: int [B, P], the original tokens.
      label_weights: float [B, P], 1 for a prediction and 0 for padding.
      total_weight: sum of the label weights of the whole batch if this is a part of it; None: the
        sum of these.

    Returns:
      (loss, per_example_loss, logits): a scalar, sum(w * loss) / (sum(w) + 1e-5) as in the original
      code, or the part's share of it; [B*P]; [B*P, V]. Both are 0 where a label weight is 0 if
      the model skips padding.
    """
    hidden = tf.reshape(model.get_output_at(positions), [-1, config.hidden_size])  # [B*P, H]
    weights = tf.reshape(tf.cast(label_weights, tf.float32), [-1])
    losses = functools.partial(_masked_lm_losses, config, model)
    if model.skips_padding:
        losses = functools.partial(only_where, weights > 0, losses)
    per_example_loss, logits = losses(hidden, tf.reshape(label_ids, [-1]))
    total_weight = tf.reduce_sum(weights) if total_weight is None else total_weight
    loss = tf.reduce_sum(weights * per_example_loss) / (total_weight + 1e-5)
    return loss, per_example_loss, logits


def _masked_lm_losses(config, model, hidden, labels):
    """[n, H] and int [n] -> losses [n], logits [n, V]."""
    width = config.hidden_size if config.layout == "brightmart" else config.embedding_size
    with tf.variable_scope("cls/predictions"):
        hidden = dense(hidden, width, "transform/dense", config.initializer_range,
                       activation(config.hidden_act))
        hidden = layer_norm(hidden, "transform/LayerNorm")  # [n, H or E]
        if config.layout == "brightmart":
            hidden = matmul(hidden, model.get_embedding_projection(), transpose_b=True)
        bias = tf.get_variable("output_bias", [config.vocab_size],
                               initializer=tf.zeros_initializer())
        return softmax_losses(hidden, model.get_embedding_table(), bias, labels)


def get_sentence_order_output(config, pooled_output, labels):
    """The sentence-order head: are two consecutive segments in order (0) or swapped (1)?

    Args:
      config: an AlbertConfig.
      pooled_output: float [B, H].
      labels: int [B] or [B, 1].

    Returns:
      (loss, per_example_loss, logits): a scalar mean, [B], [B, 2].
    """
    with tf.variable_scope("cls/seq_relationship"):
        weights = tf.get_variable("output_weights", [2, config.hidden_size],
                                  initializer=initializer(config.initializer_range))
        bias = tf.get_variable("output_bias", [2], initializer=tf.zeros_initializer())
    logits = tf.matmul(pooled_output, weights, transpose_b=True) + bias
    per_example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.reshape(labels, [-1]), logits=logits)
    return tf.reduce_mean(per_example_loss), per_example_loss, logits


def _check_length(length, limit):
    """Rejects a sequence longer than the position table, now or when the graph runs."""
    if isinstance(length, int):
        if length > limit:
            raise UserError("sequence length %d is larger than max_position_embeddings %d; use a "
                            "smaller max_seq_length" % (length, limit))
        return []
    return [tf.debugging.assert_less_equal(
        length, limit, message="sequence is longer than max_position_embeddings")]


# Names that code written for the originals imports.


class BertConfig(AlbertConfig):
    """AlbertConfig by the name and with the constructor of albert_zh's code."""

    _arguments = collections.OrderedDict([
        ("vocab_size", REQUIRED), ("hidden_size", 768), ("num_hidden_layers", 12),
        ("num_attention_heads", 12), ("intermediate_size", 3072), ("hidden_act", "gelu"),
        ("hidden_dropout_prob", 0.1), ("attention_probs_dropout_prob", 0.1),
        ("max_position_embeddings", 512), ("type_vocab_size", 16), ("initializer_range", 0.02),
        ("layout", "brightmart")])


BertModel = AlbertModel
get_activation = activation


def create_initializer(initializer_range=0.02):
    """A truncated normal distribution with this deviation."""
    return initializer(initializer_range)


def get_shape_list(tensor, expected_rank=None, name=None):
    """The shape as a list, static where it is known; ValueError if the rank is not as expected.

    Args:
      expected_rank: a number or a list of numbers; None: any.
      name: of the tensor, for the error.
    """
    ranks = [expected_rank] if isinstance(expected_rank, int) else expected_rank
    if ranks is not None and tensor.shape.ndims not in ranks:
        raise ValueError("%s: rank %s, expected %s" % (
            name or tensor.name, tensor.shape.ndims, " or ".join(map(str, ranks))))
    return shape_list(tensor)


def get_assignment_map_from_checkpoint(tvars, init_checkpoint, num_of_group=0):
    """What tf.train.init_from_checkpoint reads of a checkpoint into these variables.

    Args:
      num_of_group: groups of layers, of which those that the checkpoint lacks begin as group 0
        does. A map can name group 0 but once, so there is one for each group. Google's code
        overwrites entries of group 0 with those of group 1, which leaves it at random.

    Returns:
      ({name in the checkpoint: name in the graph}, {names that are read, with and without ":0": 1})
      where num_of_group is 0, else a list of such maps and the names.
    """
    saved = {name for name, _ in tf.train.list_variables(init_checkpoint)}
    maps = [collections.OrderedDict() for _ in range(max(1, num_of_group))]
    initialized = {}
    for variable in tvars:
        name = source = variable.name.split(":")[0]
        group = 0
        if num_of_group > 1 and name not in saved:
            match = re.search(r"/group_(\d+)/", name)
            group = min(int(match.group(1)), num_of_group - 1) if match else 0
            source = re.sub(r"/group_\d+/", "/group_0/", name)
        if source in saved:
            maps[group][source] = name
            initialized[name] = initialized[name + ":0"] = 1
    return (maps if num_of_group else maps[0]), initialized
