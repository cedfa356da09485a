"""Small models as what the exporters get, without a training."""

import tiny
import tokenization
from serving import exporting, package
from test_conversion import random_weights

POSITIONS = 48  # of these models


def random_package(directory, head=None, kind=None, labels=("no", "maybe", "yes"), **config):
    """A Package with random weights; its vocabulary and model.json are in the directory."""
    tokenizer = tokenization.load_tokenizer(tiny.write_vocab(directory / "vocab.txt"))
    weights = random_weights(3, head, len(labels), **dict(
        {"max_position_embeddings": POSITIONS}, **config))
    found = package.Package(head, kind, list(labels) if head in ("classification", "tagging") else
                            [], POSITIONS, tokenizer, None, weights, "fingerprint", "tsv")
    package.save(found, str(directory))
    return found


def assert_equal_answers(found, artifacts):
    """Each artifact answers as the checkpoint; its limit is that of float32 or looser."""
    reference = exporting.Reference(found)
    for artifact in artifacts:
        report = reference.compare(artifact)
        assert report.difference <= artifact.limit, (artifact.name, report)
        assert report.bytes > 1000 and report.milliseconds > 0
