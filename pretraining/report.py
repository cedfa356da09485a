"""What was made of a corpus, in numbers, and what looks wrong with it, in words."""

import collections

# Above these shares something is said.
UNKNOWN_SHARE, DROPPED_SHARE, CUT_SHARE, BAD_LINE_SHARE = 0.02, 0.5, 0.2, 0.01
SHOWN_CHARACTERS = 50


class Statistics:
    """Counts over documents and instances; those of several workers add up.

    Attributes:
      counts: Counter of what closing_table names, and more.
      lengths: Counter {tokens of an instance: instances}.
      span_lengths: Counter {words of a masked span: spans}.
      unknown: Counter {character that the vocabulary lacks, or "a…" for a word: how often}.
    """

    def __init__(self):
        for name in self.names:
            setattr(self, name, collections.Counter())

    names = ("counts", "lengths", "span_lengths", "unknown")

    def add_document(self, sentences, document, vocab):
        """Counts a document as it was read and as instances.Document."""
        self.counts["documents"] += 1
        self.counts["sentences"] += len(sentences)
        self.counts["tokens of the text"] += len(document.ids)
        self.counts["unknown tokens"] += len(document.unknown)
        if len(document.bounds) < 3:
            self.counts["documents dropped (fewer than two sentences)"] += 1
        for piece in document.unknown:
            lacking = [char for char in piece.lower()
                       if not {char, "##" + char, "▁" + char} & vocab.keys()]
            # Of a word whose characters all have tokens, its first: there is no end of words.
            self.unknown.update(lacking or [piece[:1] + "…"])

    def add_instance(self, instance):
        """Counts a instances.Instance."""
        self.counts["instances"] += 1
        self.counts["instances swapped"] += instance.is_swapped
        self.counts["tokens"] += len(instance.tokens)
        self.counts["masked tokens"] += len(instance.positions)
        self.lengths[len(instance.tokens)] += 1
        self.span_lengths.update(instance.span_lengths)

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
    """What looks wrong, a sentence each, with the likely remedy.

    Args:
      statistics: Statistics of a whole corpus.
      settings: instances.Settings.
    """
    counts, share, found = statistics.counts, statistics.share, []
    if counts["documents"] == 1 or counts["documents cut in pieces"]:
        found.append(
            "%d document(s) in %s sentences, %d cut in pieces for their length; documents must be "
            "separated by blank lines, or pairs span unrelated texts" % (
                counts["documents"], "{:,}".format(counts["sentences"]),
                counts["documents cut in pieces"]))
    if share("unknown tokens", "tokens of the text") > UNKNOWN_SHARE:
        found.append(
            "%.1f %% of the tokens are [UNK], most often %s; the vocabulary does not fit the text "
            "(check --vocab_file and --do_lower_case, or make one with create_vocab.py)" % (
                100 * share("unknown tokens", "tokens of the text"),
                " ".join(char for char, _ in statistics.frequent_unknown(10))))
    if share("documents dropped (fewer than two sentences)", "documents") > DROPPED_SHARE:
        found.append(
            "%.0f %% of the documents have fewer than two sentences and were dropped; put one "
            "sentence on a line, or pass --split_sentences for lines that are paragraphs"
            % (100 * share("documents dropped (fewer than two sentences)", "documents")))
    if not counts["instances"]:
        return found
    length = share("tokens", "instances")
    if length < settings.max_seq_length / 2:
        found.append(
            "an instance has %.0f tokens on average, under half of --max_seq_length=%d; the "
            "documents are short: lower it, or padding is most of what is computed"
            % (length, settings.max_seq_length))
    cut = 1 - (counts["tokens"] - 3 * counts["instances"]) / max(
        counts["tokens of the text"] * settings.dupe_factor, 1)
    if cut > CUT_SHARE:
        found.append(
            "%.0f %% of the text is in no instance, because sentences are long for "
            "--max_seq_length=%d or alone in their documents; raise it, or pass --split_sentences "
            "if lines are paragraphs" % (100 * cut, settings.max_seq_length))
    masked = share("masked tokens", "tokens")
    if not settings.store_word_starts and masked < 0.7 * settings.masked_lm_prob:
        found.append(
            "%.1f %% of the tokens are masked, --masked_lm_prob=%g asks for more; raise "
            "--max_predictions_per_seq=%d to about %d" % (
                100 * masked, settings.masked_lm_prob, settings.max_predictions_per_seq,
                round(settings.max_seq_length * settings.masked_lm_prob)))
    lines = counts["lines"] + counts["bad lines"]
    if counts["bad lines"] > BAD_LINE_SHARE * lines:
        found.append("%d of %d lines are not UTF-8 and were left out; convert the text (iconv -t "
                     "utf-8)" % (counts["bad lines"], lines))
    return found


def closing_table(statistics, settings, paths):
    """The summary a person reads at the end, as one text."""
    counts, share = statistics.counts, statistics.share
    rows = ["%-46s %12s" % (name, "{:,}".format(counts[name])) for name in (
        "documents", "sentences", "documents dropped (fewer than two sentences)",
        "documents cut in pieces", "long lines cut", "bad lines", "instances")]
    rows += ["%-46s %12.1f" % row for row in [
        ("tokens an instance", share("tokens", "instances")),
        ("masked tokens an instance", share("masked tokens", "instances"))]]
    rows += ["%-46s %11.1f%%" % (name, 100 * value) for name, value in [
        ("instances swapped", share("instances swapped", "instances")),
        ("[UNK]", share("unknown tokens", "tokens of the text"))]]
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
        "swapped_share": share("instances swapped", "instances"),
        "warnings": warnings(statistics, settings),
    }
