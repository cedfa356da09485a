"""A text to tag as windows of tokens, and the tags of its tokens as entities; without TensorFlow.

    for features in windows("长江很长", [1, 2, 3, 4], tokenizer, max_seq_length=128):
        tokens += labelled_tokens(features["first_units"], features["last_units"], tag_ids)
    entities(tokens, tags)   # [Entity("LOC", 0, 2)], of units
"""

import bisect

import numpy as np

import tokenization
from tasks import tag_schemes
from text import sentences


def units_of_tokens(unit_ends, starts, ends):
    """The units that each token labels.

    A token labels the unit in which it starts, unless an earlier token starts there too. It may
    reach over further units: single Latin letters on lines of their own are units of one token.

    Args:
      unit_ends: where each unit ends in the text; starts, ends: of each token.

    Returns:
      (first, last), int [tokens]: 1 + the unit that a token labels, and 1 + the last unit that the
      tokens which start there reach; 0 for a token that labels none.
    """
    first, last = np.zeros(len(starts), np.int32), np.zeros(len(starts), np.int32)
    owner, unit = None, None
    for index, (start, end) in enumerate(zip(starts, ends)):
        if start == end:
            continue
        begins_in = bisect.bisect_right(unit_ends, start)
        if begins_in != unit:
            owner, unit = index, begins_in
            first[owner] = 1 + unit
        last[owner] = max(last[owner], 1 + bisect.bisect_right(unit_ends, end - 1))
    return first, last


def cut_windows(num_tokens, room, stops):
    """Windows of at most `room` tokens: [(begin, end, first token that counts, end of those)].

    A window ends behind a sentence (`stops`: numbers of tokens) if one ends in its latter half.
    Else the next window begins a quarter of a window earlier, and each token of that quarter counts
    in the window where it has more context; so every token counts once.
    """
    windows, begin, counted = [], 0, 0
    while num_tokens - begin > room:
        end = begin + room
        inside = [stop for stop in stops if begin + room // 2 < stop <= end]
        if inside:
            end = begin_next = counts_until = inside[-1]
        else:
            begin_next, counts_until = end - room // 4, end - room // 8
        windows.append((begin, end, counted, counts_until))
        begin, counted = begin_next, counts_until
    return windows + [(begin, num_tokens, counted, num_tokens)]


def sentence_stops(text, starts):
    """How many tokens come before the end of each sentence of a text."""
    stops, position = [], 0
    for sentence in sentences.split_sentences(text):
        position = text.index(sentence, position) + len(sentence)
        stops.append(bisect.bisect_left(starts, position))
    return stops


def windows(text, unit_ends, tokenizer, max_seq_length):
    """Yields the features of a text's windows: those of `tokenization.pack`, and "first_units" and
    "last_units" as `units_of_tokens` has them, 0 too for tokens that count in another window.
    """
    ids, starts, ends = tokenizer.encode_with_offsets(text)
    first, last = units_of_tokens(unit_ends, starts, ends)
    room = max_seq_length - 2
    stops = sentence_stops(text, starts) if len(ids) > room else []
    for begin, end, counts_from, counts_until in cut_windows(len(ids), room, stops):
        features = tokenization.pack(ids[begin:end], None, tokenizer, max_seq_length)
        for name, values in (("first_units", first), ("last_units", last)):
            features[name] = np.zeros_like(features["input_ids"])
            features[name][1 + counts_from - begin:1 + counts_until - begin] = (
                values[counts_from:counts_until])
        yield features


def labelled_tokens(first_units, last_units, tag_ids):
    """What a window says: a list of (1 + first unit, 1 + last unit, tag id) of labelled tokens."""
    first_units = np.asarray(first_units)
    counts = first_units > 0
    return list(zip(*(np.asarray(values)[counts].tolist()
                      for values in (first_units, last_units, tag_ids))))


def entities(tokens, tags):
    """The entities of a text, in order, from its `labelled_tokens`; their ends are units.

    They reach over units without a token of their own (white space, dropped characters) where they
    go on behind them.
    """
    tokens, decoded = sorted(tokens), []
    for entity_type, begin, end in tag_schemes.decode([tags[tag_id] for _, _, tag_id in tokens]):
        last = tokens[end - 1][1]
        if end < len(tokens):
            last = min(last, tokens[end][0] - 1)
        decoded.append(tag_schemes.Entity(entity_type, tokens[begin][0] - 1, last))
    return decoded
