"""ALBERT's three changes over BERT, as numbers: python test_changes.py.

1. Factorized embeddings: V x H becomes V x E + E x H (ALBERT paper, section 3.1).
2. Cross-layer sharing: one transformer layer's parameters for all layers.
3. Sentence order instead of next sentence: two consecutive segments, kept or swapped.
"""

from util import console, platforms

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
from pretraining import instances

LARGE = {"vocab_size": 30000, "embedding_size": 128, "hidden_size": 1024, "num_hidden_layers": 12,
         "num_attention_heads": 16, "intermediate_size": 3072}
XXLARGE = {"vocab_size": 30000, "embedding_size": 128, "hidden_size": 4096, "num_hidden_layers": 1,
           "num_attention_heads": 64, "intermediate_size": 16384}


def parameters(config, prefix):
    """Parameters in the variables whose names start with `prefix`, counted in the model's graph."""
    with tf.Graph().as_default():
        modeling.AlbertModel(config, False, tf.zeros([1, 8], tf.int32))
        return sum(int(np.prod(variable.shape.as_list())) for variable in tf.global_variables()
                   if variable.name.startswith(prefix))


def encoder_parameters(shared):
    """Parameters of 12 transformer layers of width 1024, shared or, as in BERT, separate."""
    groups = 1 if shared else 12
    config = modeling.AlbertConfig(num_hidden_groups=groups, **LARGE)
    return parameters(config, "bert/encoder/transformer/")


def embedding_parameters(factorized):
    """Parameters of the word embeddings and, if factorized, of their projection to H."""
    config = modeling.AlbertConfig(
        num_hidden_groups=1, **dict(XXLARGE, embedding_size=128 if factorized else 4096))
    return parameters(config, ("bert/embeddings/word_embeddings",
                               "bert/encoder/embedding_hidden_mapping_in/kernel"))


def test_factorized_embeddings():
    """V x H = 122,880,000 for xxlarge becomes V x E + E x H = 4,364,288."""
    assert embedding_parameters(factorized=False) == 30000 * 4096 == 122880000
    assert embedding_parameters(factorized=True) == 30000 * 128 + 128 * 4096 == 4364288


def test_shared_layers():
    """12 layers of width 1024: 125,976,576 parameters unshared, 10,498,048 shared."""
    encoder = 10498048
    layer_norms = 2 * 2 * 1024
    attention, ffn = 4 * (1024 * 1024 + 1024), 2 * 1024 * 3072 + 3072 + 1024
    assert attention + ffn + layer_norms == encoder
    assert encoder_parameters(shared=True) == encoder
    assert encoder_parameters(shared=False) == 12 * encoder == 125976576


class _Letters(object):
    """A vocabulary for the test below: special tokens 0-4, then 95 ordinary ones."""

    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)
    ordinary_ids = list(range(5, 100))


def test_sentence_order():
    """Segments are consecutive pieces of one document, swapped in half of the instances."""
    sentences, length = 40, 5
    ids = np.arange(100, 100 + sentences * length, dtype=np.int32)  # every token is unique
    document = instances.Document(
        ids, np.ones(len(ids), bool), np.arange(0, len(ids) + 1, length), b"document",
        unknown=[])
    settings = instances.Settings(
        max_seq_length=32, max_predictions_per_seq=4, masked_lm_prob=0.1, short_seq_prob=0.1,
        dupe_factor=200, ngram=3, whole_words=True, brightmart_labels=False,
        store_word_starts=False, random_seed=1)
    swapped = []
    for instance in instances.document_instances(document, settings, _Letters()):
        tokens = instance.tokens.copy()
        tokens[instance.positions] = instance.labels
        first_end = int(np.flatnonzero(tokens == _Letters.sep_id)[0])
        first, second = tokens[1:first_end], tokens[first_end + 1:-1]
        if instance.is_swapped:
            first, second = second, first
        gap = second[0] - first[-1] - 1  # tokens that were cut where the segments meet
        assert gap == 0 if len(tokens) < 32 else gap >= 0
        swapped.append(instance.is_swapped)
    assert len(swapped) > 1000
    assert abs(np.mean(swapped) - 0.5) < 4 * 0.5 / np.sqrt(len(swapped))


def main(_):
    """Runs the three tests and prints what they checked."""
    for test in (test_factorized_embeddings, test_shared_layers, test_sentence_order):
        test()
        console.say("ok  %s: %s", test.__name__, test.__doc__.split("\n")[0])


if __name__ == "__main__":
    platforms.run(main, lambda: None)
