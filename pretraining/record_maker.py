"""Text -> serialized records: what the drivers, shards.py and spark.py, have in common."""

import hashlib
import typing

from util import tfrecords

import tokenization
from pretraining import instances, records
from text import corpus, dedupe, segmentation, sentences

# Instances that are made into records together.
BATCH = 256


class TextSettings(typing.NamedTuple):
    """How text files become sentences, words and tokens."""
    vocab_file: str        # WordPiece vocabulary, or None
    spm_model_file: str    # SentencePiece model in its place, or None
    do_lower_case: bool
    non_chinese: bool      # words come from the tokens (`##` or `▁`), not from the segmenter
    segmenter: str         # what finds Chinese words: one of segmentation.ENGINES
    split_sentences: bool  # lines are paragraphs: split them into sentences
    skip_bad_lines: bool   # count lines that are not UTF-8 and go on
    dedupe: bool = False   # leave out near-duplicate documents and repeated lines


def read_documents(paths, text, counts):
    """corpus.read_documents by TextSettings: yields lists of sentences and counts lines."""
    documents = corpus.read_documents(paths, counts, text.skip_bad_lines,
                                      sentences.split_sentences if text.split_sentences else None)
    return dedupe.unique(documents, counts) if text.dedupe else documents


def order_key(seed, document, instance):
    """Where an instance comes in the shuffled output: a number in [0, 2**64)."""
    digest = hashlib.blake2b(b"%d %d %d" % (seed, document, instance), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


class RecordMaker:
    """A document -> serialized records, the same ones in every process and under every driver.

    Args:
      text: TextSettings.
      settings: instances.Settings.

    Attributes:
      text, settings: as given.
      tokenizer: of tokenization.py.
      engine: the name of the segmenter, or None where words come from the tokens.

    Raises:
      UserError: the vocabulary or the segmenter cannot be loaded.
    """

    def __init__(self, text, settings):
        self.text, self.settings = text, settings
        self.tokenizer = tokenization.load_tokenizer(
            text.vocab_file, text.spm_model_file, text.do_lower_case)
        needs_words = settings.whole_words or settings.brightmart_labels
        has_segmenter = needs_words and not text.non_chinese and not text.spm_model_file
        self.engine = text.segmenter if has_segmenter else None
        self._cut = self.engine and segmentation.load(self.engine)
        self._vocabulary = instances.Vocabulary(self.tokenizer)

    def __call__(self, document, statistics):
        """Yields the Instances of a list of sentences; a report.Statistics counts the document."""
        encoded = instances.encode_document(document, self.tokenizer, self._cut)
        statistics.add_document(document, encoded, self.tokenizer.vocab)
        return instances.document_instances(encoded, self.settings, self._vocabulary)

    def keyed_records(self, documents, first, statistics):
        """Yields (order key, record) of every instance of documents numbered from `first` on."""
        keys, made = [], []
        for ordinal, document in enumerate(documents, first):
            for number, instance in enumerate(self(document, statistics)):
                keys.append(order_key(self.settings.random_seed, ordinal, number))
                made.append(instance)
                if len(made) == BATCH:
                    yield from zip(keys, self._serialized(made, statistics))
                    keys, made = [], []
        if made:
            yield from zip(keys, self._serialized(made, statistics))

    def _serialized(self, made, statistics):
        """Instances -> list of their records; they are counted."""
        statistics.add_instances(made)
        if self.settings.store_sentences:
            return [tfrecords.serialize(instances.sentences_features(one, self.settings))
                    for one in made]
        return tfrecords.serialize_rows(instances.features(made, self.settings))

    def description(self, counts):
        """The description of records it made (records.describe)."""
        text = self.text
        flags = dict(self.settings._asdict(), do_lower_case=text.do_lower_case,
                     non_chinese=text.non_chinese, segmenter=text.segmenter,
                     split_sentences=text.split_sentences, dedupe=text.dedupe)
        return records.describe(
            flags, text.spm_model_file or text.vocab_file, self.tokenizer, counts)
