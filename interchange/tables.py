"""What every checkpoint format calls the weights, their shapes, and which are stored transposed.

    rows("hf_albert", config)   # [Row("bert/pooler/dense/kernel", "albert.pooler.weight", …), …]

Our names are those of Google's layout (modeling.py), in which all formats meet.
"""

import collections

# What graphs for inference read and what their heads need.
INPUTS = ("input_ids", "input_mask", "segment_ids")  # int [B, S]
POSITIONS = "masked_lm_positions"  # int [B, P], of a pre-trained model with its masked-LM head
# Heads on the pooled output: the last block is computed for the first token alone.
POOLED = ("classification", "choice")

# Whether a kind of weights is one array, the kernel [in, out] and bias of a dense layer, or the
# gamma and beta of a LayerNorm: (the ending here, in PyTorch, whether PyTorch's is transposed).
KINDS = {"array": (("", "", False),),
         "dense": (("/kernel", ".weight", True), ("/bias", ".bias", False)),
         "norm": (("/gamma", ".weight", False), ("/beta", ".bias", False))}

PYTORCH = ("hf_albert", "hf_bert")

# The scope of a layer: {g} and {i} are its group and its place there, {n} its number among all.
LAYERS = {
    "google": "bert/encoder/transformer/group_{g}/inner_group_{i}/",
    "hf_albert": "albert.encoder.albert_layer_groups.{g}.albert_layers.{i}.",
    "hf_bert": "bert.encoder.layer.{n}.",
    "tf_bert": "bert/encoder/layer_{n}/",
    "brightmart": "bert/encoder/layer_shared/",
}

# Dimensions as in modeling.py, T: token types. albert_zh's arrays are those of layouts.py, where
# its two tables of words are one of E = H.
# kind, shape, Google's name, Hugging Face's of ALBERT, of BERT; that of Google's BERT and albert_zh
_ENCODER = (
    ("array", "V E", "bert/embeddings/word_embeddings",
     "albert.embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight", None),
    ("array", "P E", "bert/embeddings/position_embeddings",
     "albert.embeddings.position_embeddings.weight", "bert.embeddings.position_embeddings.weight",
     None),
    ("array", "T E", "bert/embeddings/token_type_embeddings",
     "albert.embeddings.token_type_embeddings.weight",
     "bert.embeddings.token_type_embeddings.weight", None),
    ("norm", "E", "bert/embeddings/LayerNorm",
     "albert.embeddings.LayerNorm", "bert.embeddings.LayerNorm", None),
)
_MAPPING = ("dense", "E H", "bert/encoder/embedding_hidden_mapping_in",
            "albert.encoder.embedding_hidden_mapping_in", None, None)
# Within the scope of a layer.
_LAYER = (
    ("dense", "H H", "attention_1/self/query",
     "attention.query", "attention.self.query", "attention/self/query"),
    ("dense", "H H", "attention_1/self/key",
     "attention.key", "attention.self.key", "attention/self/key"),
    ("dense", "H H", "attention_1/self/value",
     "attention.value", "attention.self.value", "attention/self/value"),
    ("dense", "H H", "attention_1/output/dense",
     "attention.dense", "attention.output.dense", "attention/output/dense"),
    ("norm", "H", "LayerNorm",
     "attention.LayerNorm", "attention.output.LayerNorm", "attention/output/LayerNorm"),
    ("dense", "H I", "ffn_1/intermediate/dense",
     "ffn", "intermediate.dense", "intermediate/dense"),
    ("dense", "I H", "ffn_1/intermediate/output/dense",
     "ffn_output", "output.dense", "output/dense"),
    ("norm", "H", "LayerNorm_1",
     "full_layer_layer_norm", "output.LayerNorm", "output/LayerNorm"),
)
_POOLER = (
    ("dense", "H H", "bert/pooler/dense", "albert.pooler", "bert.pooler.dense", None),
)
_MASKED_LM = (
    ("dense", "H E", "cls/predictions/transform/dense",
     "predictions.dense", "cls.predictions.transform.dense", None),
    ("norm", "E", "cls/predictions/transform/LayerNorm",
     "predictions.LayerNorm", "cls.predictions.transform.LayerNorm", None),
    ("array", "V", "cls/predictions/output_bias",
     "predictions.bias", "cls.predictions.bias", None),
)
_SENTENCE_ORDER = (
    ("array", "2 H", "cls/seq_relationship/output_weights",
     "sop_classifier.classifier.weight", "cls.seq_relationship.weight", None),
    ("array", "2", "cls/seq_relationship/output_bias",
     "sop_classifier.classifier.bias", "cls.seq_relationship.bias", None),
)

# Heads of the tasks: ours, Hugging Face's, whether that is transposed; L labels.
# {head: (the class's name after Albert or Bert, rows)}.
HEADS = {
    "classification": ("ForSequenceClassification", (
        ("output_weights", "classifier.weight", "L H", False),
        ("output_bias", "classifier.bias", "L", False))),
    "choice": ("ForMultipleChoice", (
        ("output_weights", "classifier.weight", "1 H", False),
        ("output_bias", "classifier.bias", "1", False))),
    "tagging": ("ForTokenClassification", (
        ("tagging/output_weights", "classifier.weight", "H L", True),
        ("tagging/output_bias", "classifier.bias", "L", False))),
    "reading": ("ForQuestionAnswering", (
        ("squad/output_weights", "qa_outputs.weight", "2 H", False),
        ("squad/output_bias", "qa_outputs.bias", "2", False))),
}

# What a checkpoint may lack: the pooler, for heads that do not read it, and either head.
PARTS = collections.OrderedDict([
    ("pooler", _POOLER), ("masked_lm", _MASKED_LM), ("sentence_order", _SENTENCE_ORDER)])

# One array. ours, theirs: its names; shape: ours, a tuple; transposed: whether theirs is;
# part: of PARTS, "encoder", or the name of a task's head.
Row = collections.namedtuple("Row", "ours theirs shape transposed part")


def rows(file_format, config):
    """All arrays of a model in a format, those that a checkpoint may lack among them.

    Args:
      file_format: a key of LAYERS.
      config: an AlbertConfig of Google's layout.
    """
    column = 3 + {"hf_albert": 0, "hf_bert": 1}.get(file_format, 2)
    has_mapping = file_format == "hf_albert" or config.embedding_size != config.hidden_size
    expanded = []
    for line in _ENCODER + ((_MAPPING,) if has_mapping else ()):
        expanded += _expand(line, column, file_format, config, "encoder")
    for number, (group, inner) in enumerate(layers(config)):
        numbers = {"g": group, "i": inner, "n": number}
        scopes = LAYERS["google"].format(**numbers), LAYERS[file_format].format(**numbers)
        for line in _LAYER:
            expanded += _expand(line, column, file_format, config, "encoder", scopes)
    for part, lines in PARTS.items():
        for line in lines:
            expanded += _expand(line, column, file_format, config, part)
    return expanded


def layers(config):
    """[(group, place in the group)] of all layers with weights of their own, in order."""
    return [(group, inner) for group in range(config.num_hidden_groups)
            for inner in range(config.inner_group_num)]


def head_rows(head, config, num_labels):
    """The Rows of a task's head in Hugging Face's formats."""
    sizes = dict(_sizes(config), L=num_labels)
    return [Row(ours, theirs, _shape(shape, sizes), transposed, head)
            for ours, theirs, shape, transposed in HEADS[head][1]]


def _expand(line, column, file_format, config, part, scopes=("", "")):
    """The Rows of a line of the tables."""
    array_type, shape, ours = line[:3]
    theirs = ours if file_format == "google" else line[column] or ours
    expanded = []
    for ending, their_ending, transposed in KINDS[array_type]:
        if file_format not in PYTORCH:
            their_ending, transposed = ending, False
        size = shape if ending in ("", "/kernel") else shape.split()[-1]
        expanded.append(Row(scopes[0] + ours + ending, scopes[1] + theirs + their_ending,
                            _shape(size, _sizes(config)), transposed, part))
    return expanded


def _sizes(config):
    return {"V": config.vocab_size, "E": config.embedding_size, "H": config.hidden_size,
            "I": config.intermediate_size, "P": config.max_position_embeddings,
            "T": config.type_vocab_size}


def _shape(text, sizes):
    """"V E" -> (21128, 128)."""
    return tuple(sizes[name] if name in sizes else int(name) for name in text.split())
