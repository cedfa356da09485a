"""The model as an ONNX graph, written from the arrays of a checkpoint without TensorFlow's graph.

    model = onnx_graph.build(weights, head="classification")    # an onnx.ModelProto
    onnx.save(model, "model.onnx")

A shared block's weights stand in the file once, whatever the number of layers. Inputs are int64
[B, S] "input_ids", "input_mask" and "segment_ids" of any batch and length; outputs are those of
interchange/inference_graph.py. The plain form has standard operators of opset 17 only, the fused
one those of ONNX Runtime too ("com.microsoft").
"""

import numpy as np

import modeling
from interchange.tables import INPUTS, POOLED, POSITIONS

OPSET, IR_VERSION = 17, 8
MASKED = -10000.0
_QKV = ("query", "key", "value")

# {head: {output: its dimensions}}; None: a pre-trained model.
OUTPUTS = {
    "classification": {"logits": ("batch", "labels")},
    "choice": {"logits": ("batch", 1)},
    "tagging": {"logits": ("batch", "sequence", "labels")},
    "reading": {"logits": ("batch", "sequence", 2)},
    None: {"sequence_output": ("batch", "sequence", "hidden"), "pooled_output": ("batch", "hidden"),
           "masked_lm_logits": ("batch", "predictions", "vocabulary"),
           "sentence_order_logits": ("batch", 2)},
}


def build(weights, head=None, fused=False):
    """The graph of an encoder and a task's head.

    Args:
      weights: interchange.layouts.Weights of either layout; pre-training heads that are not there
        are left out.
      head: of interchange.tables.HEADS, or None for a pre-trained model.
      fused: whether to use ONNX Runtime's own operators.

    Returns:
      onnx.ModelProto.
    """
    return _Graph(weights, head, fused).model()


class _Graph(object):
    """A graph under construction; values are passed by their names."""

    def __init__(self, weights, head, fused):
        import onnx
        self._onnx = onnx
        self._config, self._arrays = weights
        self._head = head
        self._fused = fused
        self._nodes, self._initializers, self._outputs, self._count = [], {}, {}, 0

    def model(self):
        helper, types = self._onnx.helper, self._onnx.TensorProto
        hidden = self._encode()
        self._add_head(hidden)
        inputs = list(INPUTS) + [POSITIONS] * ("masked_lm_logits" in self._outputs)
        graph = helper.make_graph(
            self._nodes, "albert",
            [helper.make_tensor_value_info(name, types.INT64, [
                "batch", "predictions" if name == POSITIONS else "sequence"]) for name in inputs],
            [helper.make_tensor_value_info(name, types.FLOAT, list(dimensions))
             for name, dimensions in self._outputs.items()],
            [self._onnx.numpy_helper.from_array(array, name)
             for name, array in self._initializers.items()])
        opsets = [helper.make_opsetid("", OPSET)]
        if self._fused:
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION,
                                  producer_name="albert")
        self._onnx.checker.check_model(model)
        return model

    # ---- nodes ----

    def _add(self, operator, *inputs, **options):
        """A node with one output; returns the output's name."""
        self._count += 1
        output = options.pop("output", None) or "%s_%d" % (operator, self._count)
        self._nodes.append(self._onnx.helper.make_node(
            operator, list(inputs), [output], name="node_%d" % self._count, **options))
        return output

    def _own(self, operator, *inputs, **options):
        """A node of ONNX Runtime's."""
        return self._add(operator, *inputs, domain="com.microsoft", **options)

    def _constant(self, array, name):
        """An initializer, once for every name."""
        self._initializers.setdefault(name, np.ascontiguousarray(array))
        return name

    def _numbers(self, *values):
        """A small int64 vector."""
        return self._constant(np.array(values, np.int64), "i_" + "_".join(map(str, values)))

    def _scalar(self, value):
        return self._constant(np.array(value, np.float32), "f_%r" % value)

    def _weight(self, name, transposed=False):
        """An array of the checkpoint, by its name."""
        array = self._arrays[name]
        return self._constant(array.T if transposed else array, name + "_t" * transposed)

    def _dense(self, x, name):
        return self._add("Add", self._add("MatMul", x, self._weight(name + "/kernel")),
                         self._weight(name + "/bias"))

    def _norm(self, x, name):
        return self._add("LayerNormalization", x, self._weight(name + "/gamma"),
                         self._weight(name + "/beta"), axis=-1, epsilon=1e-12)

    def _add_and_norm(self, x, more, bias, name):
        """LayerNorm(x + more + bias)."""
        if self._fused:
            return self._own("SkipLayerNormalization", more, x, self._weight(name + "/gamma"),
                             self._weight(name + "/beta"), bias, epsilon=1e-12)
        return self._norm(self._add("Add", x, self._add("Add", more, bias)), name)

    def _activate(self, x, bias=None):
        """The config's activation of x, or of x + bias."""
        name = self._config.hidden_act
        if self._fused and name in ("gelu", "gelu_erf") and bias:
            return self._own({"gelu": "FastGelu", "gelu_erf": "BiasGelu"}[name], x, bias)
        if bias:
            x = self._add("Add", x, bias)
        if name in ("relu", "tanh"):
            return self._add({"relu": "Relu", "tanh": "Tanh"}[name], x)
        if name == "linear":
            return x
        if name == "gelu_erf":
            inner = self._add("Erf", self._add("Mul", x, self._scalar(float(np.sqrt(0.5)))))
        else:
            cube = self._add("Mul", x, self._add("Mul", x, x))
            inner = self._add("Tanh", self._add("Mul", self._scalar(float(np.sqrt(2 / np.pi))), (
                self._add("Add", x, self._add("Mul", self._scalar(0.044715), cube)))))
        return self._add("Mul", self._add("Mul", x, self._scalar(0.5)),
                         self._add("Add", inner, self._scalar(1.0)))

    # ---- the encoder ----

    def _encode(self):
        """-> the last layer, [B, S, H], or [B, 1, H] for a head on the first token."""
        config, scope = self._config, "bert/embeddings/"
        x = self._add("Gather", self._weight(scope + "word_embeddings"), "input_ids")
        if config.layout == "brightmart":
            x = self._add("MatMul", x, self._weight(scope + "word_embeddings_2"))
        length = self._add("Slice", self._add("Shape", "input_ids"), self._numbers(1),
                           self._numbers(2))
        positions = self._add("Slice", self._weight(scope + "position_embeddings"),
                              self._numbers(0), length, self._numbers(0))
        types = self._add("Gather", self._weight(scope + "token_type_embeddings"), "segment_ids")
        x = self._norm(self._add("Add", self._add("Add", x, types), positions), scope + "LayerNorm")
        if config.layout == "google" and config.embedding_size != config.hidden_size:
            x = self._dense(x, "bert/encoder/embedding_hidden_mapping_in")
        mask = self._mask()
        scopes = modeling.block_scopes(config)
        for number, scope in enumerate(scopes):
            first_only = number == len(scopes) - 1 and self._head in POOLED
            x = self._block(x, mask, "bert/encoder/%s/" % scope, first_only)
        return x

    def _mask(self):
        """[B, 1, 1, S], -10000 at padding; or what the fused Attention takes, int32 [B, S]."""
        types = self._onnx.TensorProto
        self._key_mask = (self._add("Cast", "input_mask", to=types.INT32) if self._fused else None)
        padding = self._add("Sub", self._scalar(1.0),
                            self._add("Cast", "input_mask", to=types.FLOAT))
        return self._add("Unsqueeze", self._add("Mul", padding, self._scalar(MASKED)),
                         self._numbers(1, 2))

    def _block(self, x, mask, scope, first_only):
        """One transformer block; with `first_only` of [B, S, H] -> [B, 1, H]."""
        config, names = self._config, modeling.BLOCK_NAMES[self._config.layout]
        pre_norm = config.ln_type == "preln"
        attention = self._norm(x, scope + names.attention_norm) if pre_norm else x
        queries = attention
        if first_only:
            queries, x = self._first(attention), self._first(x)
        context = self._attend(queries, attention, mask, scope + names.attention + "/self/")
        output = scope + names.attention + "/output/dense"
        attended = self._add("MatMul", context, self._weight(output + "/kernel"))
        bias = self._weight(output + "/bias")
        if pre_norm:
            x = self._add("Add", x, self._add("Add", attended, bias))
            inner_input = self._norm(x, scope + names.output_norm)
        else:
            x = inner_input = self._add_and_norm(x, attended, bias, scope + names.attention_norm)
        inner = self._activate(
            self._add("MatMul", inner_input, self._weight(scope + names.intermediate + "/kernel")),
            self._weight(scope + names.intermediate + "/bias"))
        outer = self._add("MatMul", inner, self._weight(scope + names.output + "/kernel"))
        bias = self._weight(scope + names.output + "/bias")
        if pre_norm:
            return self._add("Add", x, self._add("Add", outer, bias))
        return self._add_and_norm(x, outer, bias, scope + names.output_norm)

    def _first(self, x):
        """[B, S, H] -> [B, 1, H]."""
        return self._add("Slice", x, self._numbers(0), self._numbers(1), self._numbers(1))

    def _attend(self, queries, x, mask, scope):
        """Multi-head attention from [B, P, H] to [B, S, H] -> [B, P, H], without the output layer.
        """
        heads = self._config.num_attention_heads
        if self._fused and queries == x:
            return self._own("Attention", x, *self._joined(scope), self._key_mask,
                             num_heads=heads, mask_filter_value=MASKED)
        size = self._config.hidden_size // heads
        split = self._numbers(0, 0, heads, size)

        def heads_of(rows, name, order):
            dense = self._part_of_joined if self._fused else self._dense
            return self._add("Transpose", self._add(
                "Reshape", dense(rows, scope + name), split), perm=order)

        scores = self._add("MatMul", heads_of(queries, "query", [0, 2, 1, 3]),
                           heads_of(x, "key", [0, 2, 3, 1]))
        scores = self._add("Add", self._add("Mul", scores, self._scalar(float(size ** -0.5))), mask)
        context = self._add("MatMul", self._add("Softmax", scores, axis=-1),
                            heads_of(x, "value", [0, 2, 1, 3]))
        return self._add("Reshape", self._add("Transpose", context, perm=[0, 2, 1, 3]),
                         self._numbers(0, 0, self._config.hidden_size))

    def _joined(self, scope):
        """The kernel [H, 3 H] and the bias [3 H] of queries, keys and values together."""
        return [self._constant(np.concatenate(
            [self._arrays[scope + name + part] for name in _QKV], -1), scope + "qkv" + part)
            for part in ("/kernel", "/bias")]

    def _part_of_joined(self, x, name):
        """`_dense` of one of them; ONNX Runtime cuts it out as it loads the file."""
        scope, _, part = name.rpartition("/")
        size, index = self._config.hidden_size, _QKV.index(part)
        begin, end = self._numbers(index * size), self._numbers((index + 1) * size)
        kernel, bias = (self._add("Slice", joined, begin, end, self._numbers(-1))
                        for joined in self._joined(scope + "/"))
        return self._add("Add", self._add("MatMul", x, kernel), bias)

    # ---- heads ----

    def _add_head(self, hidden):
        """The outputs of the head, from the last layer."""
        if self._head is None:
            self._add_pretraining_heads(hidden)
        elif self._head in POOLED:
            self._emit("logits", self._output_layer(self._pooled(hidden), ""))
        else:
            scope = {"tagging": "tagging/", "reading": "squad/"}[self._head]
            self._emit("logits", self._output_layer(hidden, scope, self._head == "tagging"))

    def _emit(self, name, value):
        self._add("Identity", value, output=name)
        sizes = {"hidden": self._config.hidden_size, "vocabulary": self._config.vocab_size,
                 "labels": len(self._arrays.get("output_bias", self._arrays.get(
                     "tagging/output_bias", ())))}
        self._outputs[name] = [sizes.get(dimension, dimension)
                               for dimension in OUTPUTS[self._head][name]]

    def _pooled(self, hidden):
        """[B, S or 1, H] -> [B, H]."""
        first = self._add("Squeeze", self._first(hidden), self._numbers(1))
        return self._add("Tanh", self._dense(first, "bert/pooler/dense"))

    def _output_layer(self, x, scope, transposed=False):
        return self._add("Add", self._add("MatMul", x, self._weight(
            scope + "output_weights", not transposed)), self._weight(scope + "output_bias"))

    def _add_pretraining_heads(self, hidden):
        self._emit("sequence_output", hidden)
        if "bert/pooler/dense/bias" in self._arrays:
            pooled = self._pooled(hidden)
            self._emit("pooled_output", pooled)
            if "cls/seq_relationship/output_bias" in self._arrays:
                self._emit("sentence_order_logits",
                           self._output_layer(pooled, "cls/seq_relationship/"))
        if "cls/predictions/output_bias" in self._arrays:
            self._emit("masked_lm_logits", self._masked_lm(hidden))

    def _masked_lm(self, hidden):
        """The logits [B, P, V] at POSITIONS."""
        index = self._add("Unsqueeze", POSITIONS, self._numbers(-1))
        x = self._add("GatherND", hidden, index, batch_dims=1)
        scope = "cls/predictions/"
        x = self._activate(self._dense(x, scope + "transform/dense"))
        x = self._norm(x, scope + "transform/LayerNorm")
        if self._config.layout == "brightmart":
            x = self._add("MatMul", x, self._add(
                "Transpose", self._weight("bert/embeddings/word_embeddings_2"), perm=[1, 0]))
        words = self._add("Transpose", self._weight("bert/embeddings/word_embeddings"), perm=[1, 0])
        return self._add("Add", self._add("MatMul", x, words), self._weight(scope + "output_bias"))
