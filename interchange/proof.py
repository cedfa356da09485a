"""What a model says about a few sentences, computed here and by transformers, and compared.

    largest = proof.differences(outputs(first, batch), outputs(second, batch))
    # {"hidden": 3e-6, "logits": 1e-6}
"""

import contextlib

from util import console

import numpy as np

import tokenization
from interchange import inference_graph, tables

SENTENCES = [("我喜欢妈妈做的汤。", "妈妈做的汤我很喜欢喝，每天都想喝一大碗。"),
             ("The quick brown fox jumps over the lazy dog.", "It was 3,200 m away in 1998!"),
             ("长江发源于青藏高原，全长约6300公里。", "")]
LIMIT = 1e-4  # of float32 and some tens of layers


def batch(tokenizer, config, length=64):
    """{"input_ids", "input_mask", "segment_ids": int32 [3, S]} of a few sentences.

    Args:
      tokenizer: of tokenization.py; None: made-up ids.
      config: an AlbertConfig.
      length: S at most.
    """
    length = min(length, config.max_position_embeddings)
    rows = np.zeros([3, len(SENTENCES), length], np.int32)
    random = np.random.RandomState(1)
    for index, (first, second) in enumerate(SENTENCES):
        if tokenizer:
            packed = tokenization.pack(tokenizer.encode(first), tokenizer.encode(second), tokenizer,
                                       length)
            ids, segments = packed["input_ids"], packed["segment_ids"]
        else:
            ids = random.randint(0, config.vocab_size, 9 + 12 * index)[:length]
            segments = np.arange(len(ids)) >= 5
        rows[0, index, :len(ids)] = ids
        rows[1, index, :len(ids)] = 1
        if config.type_vocab_size > 1:
            rows[2, index, :len(ids)] = segments
    return dict(zip(("input_ids", "input_mask", "segment_ids"), rows))


def outputs(weights, features, head=None):
    """What this code's graph computes with some weights.

    Args:
      weights: layouts.Weights, of either layout.
      features: of `batch`.
      head: of tables.HEADS, or None.

    Returns:
      {"hidden": [B, S, H]} with "pooled" [B, H], "masked_lm" [B, S, V], "sentence_order" [B, 2] and
      "logits" of the head where the weights have them; hidden and masked_lm are 0 at padding.
    """
    count, length = features["input_ids"].shape
    everywhere = np.tile(np.arange(length), [count, 1])
    computed = inference_graph.Session(weights, None).run(
        dict(features, **{tables.POSITIONS: everywhere}))
    named = {ours: computed[name] for name, ours in (
        ("sequence_output", "hidden"), ("pooled_output", "pooled"),
        ("masked_lm_logits", "masked_lm"), ("sentence_order_logits", "sentence_order"))
        if name in computed}
    if head:
        named["logits"] = inference_graph.Session(weights, head).run(features)["logits"]
    return without_padding(named, features)


def without_padding(named, features):
    is_token = features["input_mask"][:, :, np.newaxis]
    return {name: array * is_token if array.ndim == 3 else array for name, array in named.items()}


def transformers_outputs(directory, architecture, features):
    """As `outputs`, by transformers and PyTorch on a directory that was written.

    Returns:
      As `outputs`; None where either is not installed.
    """
    try:
        import torch
        import transformers
    except ImportError:
        return None
    with _quiet(transformers.logging), torch.no_grad():
        model = getattr(transformers, architecture).from_pretrained(directory).eval()
        call = [torch.tensor(features[name], dtype=torch.long)
                for name in ("input_ids", "input_mask", "segment_ids")]
        if architecture.endswith("ForMultipleChoice"):
            call = [array[:, None] for array in call]
        theirs = model(**dict(zip(("input_ids", "attention_mask", "token_type_ids"), call)),
                       output_hidden_states=True)
    return without_padding(named_outputs(theirs, architecture), features)


def named_outputs(returned, architecture):
    """{name as in `outputs`: array} of what a model of transformers returned."""
    names = {"pooler_output": "pooled", "prediction_logits": "masked_lm",
             "sop_logits": "sentence_order", "seq_relationship_logits": "sentence_order",
             "logits": "masked_lm" if architecture.endswith("ForMaskedLM") else "logits"}
    named = {ours: np.array(returned[theirs])
             for theirs, ours in names.items() if theirs in returned}
    if architecture.endswith("ForMultipleChoice"):
        named["logits"] = named["logits"].reshape(-1, 1)
    if "start_logits" in returned:
        named["logits"] = np.stack([returned["start_logits"], returned["end_logits"]], -1)
    return dict(named, hidden=np.array(returned["hidden_states"][-1]))


@contextlib.contextmanager
def _quiet(logging):
    """The progress bars and the advice of transformers do not reach the console."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def differences(first, second):
    """{name: the largest absolute difference} of the outputs that both have."""
    return {name: float(np.abs(first[name] - second[name]).max())
            for name in first if name in second}


def report(name, largest):
    """Prints the differences from one computation; returns the largest."""
    console.say("%s: %s", name, ", ".join(
        "%s %.1e" % item for item in sorted(largest.items())))
    return max(largest.values())
