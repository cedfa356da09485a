"""Statistics of the instances made from a corpus, and warnings about what looks wrong with it."""

import collections
import itertools

from util.errors import UserError

from text import corpus, dedupe

# So much of the text in no instance is an error.
LOST_SHARE = 0.8
# Warning thresholds.
UNKNOWN_SHARE, DROPPED_SHARE, CUT_SHARE, BAD_LINE_SHARE = 0.02, 0.5, 0.2, 0.01
SHOWN_CHARACTERS = 50  # unknown ones in a report


class Statistics:
    """Counts of documents and instances; those of several workers can be added up.

    Attributes:
      counts: Counter of documents, instances, tokens and more, by name.
      lengths: Counter {tokens of an instance: instances}.
      span_lengths: Counter {words of a masked span: spans}.
      unknown: Counter {character that the vocabulary lacks, or "a…" for a word: how often}.
    """

    def __init__(self):
        for name in self.names:
            setattr(self, name, collections.Counter())

    names = ("counts", "lengths", "span_lengths", "unknown")

    def add_document(self, sentences, document, vocab):
        """Counts a document: a list of sentences and the instances.Document of them."""
        self.counts["documents"] += 1
        self.counts["sentences"] += len(sentences)
        self.counts["tokens of the text"] += len(document.ids)
        self.counts["unknown tokens"] += len(document.unknown)
        if len(document.bounds) < 3:
            self.counts["documents dropped (fewer than two sentences)"] += 1
        for piece in document.unknown:
            missing = [char for char in piece.lower()
                       if vocab.keys().isdisjoint((char, "##" + char, "▁" + char))]
            # A word whose characters are all known counts by its first one: words are too many.
            self.unknown.update(missing or [piece[:1] + "…"])

    def add_instances(self, instances):
        """Counts a list of instances.Instance."""
        lengths = [one.length for one in instances]
        self.counts.update({
            "instances": len(instances), "tokens": sum(lengths),
            "instances swapped": sum(one.is_swapped for one in instances),
            "masked tokens": sum(len(one.positions) for one in instances)})
        self.lengths.update(lengths)
        self.span_lengths.update(itertools.chain.from_iterable(
            one.span_lengths for one in instances))

    def update(self, other):
        """Adds what another Statistics has counted."""
        for name in self.names:
            getattr(self, name).update(getattr(other, name))

    def to_json(self):
        return {name: dict(getattr(self, name)) for name in self.names}

    @classmethod
    def from_json(cls, values):
        statistics = cls()
        for name in cls.names:
            keys_are_numbers = name in ("lengths", "span_lengths")
            getattr(statistics, name).update(
                {int(key) if keys_are_numbers else key: count
                 for key, count in values[name].items()})
        return statistics

    def share(self, part, whole):
        """counts[part] / counts[whole], 0 where there is nothing."""
        return self.counts[part] / max(self.counts[whole], 1)

    def frequent_unknown(self, number):
        """[(character, how often)], the most frequent first."""
        return sorted(self.unknown.items(), key=lambda item: (-item[1], item[0]))[:number]


def warnings(statistics, settings):
    """A list of sentences: what looks wrong, with the likely remedy.

    Args:
      statistics: Statistics of a corpus.
      settings: instances.Settings.
    """
    sentences = _document_warnings(statistics)
    if statistics.counts["instances"]:
        sentences += _instance_warnings(statistics, settings)
    return sentences


def _document_warnings(statistics):
    counts, share, sentences = statistics.counts, statistics.share, []
    if counts["documents"] == 1 or counts["documents cut in pieces"]:
        sentences.append(
            "%d document(s) in %s sentences, %d cut in pieces for their length; documents must be "
            "separated by blank lines, or pairs span unrelated texts" % (
                counts["documents"], "{:,}".format(counts["sentences"]),
                counts["documents cut in pieces"]))
    if share("unknown tokens", "tokens of the text") > UNKNOWN_SHARE:
        sentences.append(
            "%.1f %% of the tokens are [UNK], most often %s; the vocabulary does not fit the text "
            "(check --vocab_file and --do_lower_case, or make one with create_vocab.py)" % (
                100 * share("unknown tokens", "tokens of the text"),
                " ".join(char for char, _ in statistics.frequent_unknown(10))))
    if share("documents dropped (fewer than two sentences)", "documents") > DROPPED_SHARE:
        sentences.append(
            "%.0f %% of the documents have fewer than two sentences and were dropped; put one "
            "sentence on a line, or pass --split_sentences for lines that are paragraphs"
            % (100 * share("documents dropped (fewer than two sentences)", "documents")))
    return sentences


def _instance_warnings(statistics, settings):
    counts, share, sentences = statistics.counts, statistics.share, []
    length = share("tokens", "instances")
    if length < settings.max_seq_length / 2:
        sentences.append(
            "an instance has %.0f tokens on average, under half of --max_seq_length=%d; the "
            "documents are short: lower it, or padding is most of what is computed"
            % (length, settings.max_seq_length))
    if lost_share(statistics, settings) > CUT_SHARE:
        sentences.append(_lost_sentence(statistics, settings))
    masked = share("masked tokens", "tokens")
    if not settings.store_word_starts and masked < 0.7 * settings.masked_lm_prob:
        sentences.append(
            "%.1f %% of the tokens are masked, --masked_lm_prob=%g asks for more; raise "
            "--max_predictions_per_seq=%d to about %d" % (
                100 * masked, settings.masked_lm_prob, settings.max_predictions_per_seq,
                round(settings.max_seq_length * settings.masked_lm_prob)))
    lines = counts["lines"] + counts["bad lines"]
    if counts["bad lines"] > BAD_LINE_SHARE * lines:
        sentences.append("%d of %d lines are not UTF-8 and were left out; without "
                         "--skip_bad_lines an error says how to convert the text"
                         % (counts["bad lines"], lines))
    return sentences


def lost_share(statistics, settings):
    """The share of the text's tokens that are in no instance."""
    counts = statistics.counts
    return 1 - (counts["tokens"] - 3 * counts["instances"]) / max(
        counts["tokens of the text"] * settings.dupe_factor, 1)


def _lost_sentence(statistics, settings):
    return ("%.0f %% of the text is in no instance, because sentences are long for "
            "--max_seq_length=%d or alone in their documents; raise it, or pass --split_sentences "
            "if lines are paragraphs"
            % (100 * lost_share(statistics, settings), settings.max_seq_length))


def lost_error(statistics, settings):
    """The UserError of a text that is nearly all in no instance, or None."""
    if lost_share(statistics, settings) <= LOST_SHARE:
        return None
    return UserError("%s; %s sentences in %s documents were found" % (
        _lost_sentence(statistics, settings), "{:,}".format(statistics.counts["sentences"]),
        "{:,}".format(statistics.counts["documents"])))


def closing_table(statistics, settings, paths):
    """The summary a person reads at the end, as one text."""
    counts, share = statistics.counts, statistics.share
    rows = ["%-46s %12s" % (name, "{:,}".format(counts[name])) for name in (
        "documents", "sentences", "documents dropped (fewer than two sentences)",
        "documents cut in pieces", "long lines cut", "bad lines", corpus.ARTICLE_TAGS,
        "instances")]
    rows[1:1] = ["%-46s %12s" % (name, "{:,}".format(counts[name])) for name in (
        dedupe.NEAR_DUPLICATES, dedupe.NOTHING_NEW, dedupe.REPEATED_LINES) if name in counts]
    rows += ["%-46s %12.1f" % row for row in [
        ("tokens an instance", share("tokens", "instances")),
        ("masked tokens an instance", share("masked tokens", "instances"))]]
    shares = [("instances swapped", share("instances swapped", "instances")),
              ("[UNK]", share("unknown tokens", "tokens of the text"))]
    rows += ["%-46s %11.1f%%" % (name, 100 * value)
             for name, value in shares[settings.store_sentences:]]  # drawn while training
    rows.append("written to %s" % (
        ", ".join(paths) if len(paths) < 5 else "%s ... %s" % (paths[0], paths[-1])))
    rows += ["warning: %s" % text for text in warnings(statistics, settings)]
    return "\n".join(rows)


def report(statistics, settings):
    """What --report writes: a dict for JSON, shares from 0 to 1."""
    share, spans = statistics.share, sum(statistics.span_lengths.values())
    return {
        "counts": dict(statistics.counts),
        "mean_length": share("tokens", "instances"),
        "lengths": {str(length): count for length, count in sorted(statistics.lengths.items())},
        "unknown_share": share("unknown tokens", "tokens of the text"),
        "unknown_characters": statistics.frequent_unknown(SHOWN_CHARACTERS),
        "masked_share": share("masked tokens", "tokens"),
        "span_lengths": {str(length): {"spans": count, "share": count / spans}
                         for length, count in sorted(statistics.span_lengths.items())},
        "swapped_share": None if settings.store_sentences else share(
            "instances swapped", "instances"),
        "warnings": warnings(statistics, settings),
    }
