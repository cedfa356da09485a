"""The tokenizer as a part of a TensorFlow graph: raw strings -> token ids, as tokenization.py's.

    encode = text_signature.encoder(tokenizer)
    ids = encode(strings)                         # [B] -> ragged int32 [B, tokens]
    features = text_signature.pack(ids, encode(other_strings), tokenizer, max_seq_length)

What a character becomes stands in tables that the functions of tokenization.py fill, so that
neither the version of Unicode nor the rules of tensorflow-text, ICU and RE2 matter. tensorflow-text
cuts words into pieces, and texts into those of SentencePiece.

Dimensions: B texts, C characters of all texts, K keys, W words of all texts, S sequence.
"""

import functools
import glob
import os
import random
import unicodedata

from util import sources, text_lines

import numpy as np
import tensorflow.compat.v1 as tf

import tokenization

REQUIREMENTS = "pip install --no-deps -r requirements-text.txt"
LETTER, SPACE, ALONE, DROPPED = range(4)  # of WordPiece: what a character is
OTHER, CASED, IGNORABLE = range(3)  # for the lower case of Σ
UTF8_BYTES = 4  # of a character, at most
CHARACTERS = 0x110000

# Of texts to compare tokens on: what is easily got wrong, and characters that random ones hold.
EDGES = ["", " ", "a" * 200, "a" * 201, "\u0301", "a \u0301 b", "\0a\uffff", "x1999, 1,000,",
         "ΑΣ ΑΣΑ Σ ΑΣ. Σ.Α ΣΣ Α\u200bΣ", "STRASSE straße İI", "[MASK] ##a", "e\u0301 é ﷺ ㎡ ﬁ ¨"]
COMMON = "的一是了我 ab1,ΣÉﬁ ß\t\u3000\u200b\u0301"


def library():
    """The module tensorflow_text, or an ImportError that says what to do."""
    try:
        import tensorflow_text
    except ImportError as error:
        raise ImportError("%s; %s" % (error, REQUIREMENTS)) from None
    return tensorflow_text


def encoder(tokenizer):
    """A function of string [B] -> ragged int32 [B, tokens], for the default graph.

    Args:
      tokenizer: of tokenization.py.

    Raises:
      ImportError: tensorflow-text is not installed.
    """
    is_wordpiece = isinstance(tokenizer, tokenization.WordPieceTokenizer)
    return (_wordpiece if is_wordpiece else _sentencepiece)(tokenizer, library())


def pack(first, second, tokenizer, max_seq_length):
    """As tokenization.pack, of ragged int32 [B, tokens] twice.

    Returns:
      {"input_ids", "segment_ids": int32 [B, S], "lengths": int32 [B]}.
    """
    counts = [tf.cast(ids.row_lengths(), tf.int32) for ids in (first, second)]
    has_second = tf.cast(counts[1] > 0, tf.int32)
    room = max_seq_length - 2 - has_second
    shorter = tf.minimum(counts[1], tf.maximum(room // 2, room - counts[0]))
    keep_second = tf.where(counts[0] + counts[1] > room, shorter, counts[1])
    keep_first = tf.minimum(counts[0], room - keep_second)
    batch = tf.shape(counts[0])

    def part(ids, lengths):
        return tf.RaggedTensor.from_tensor(ids, lengths=lengths)

    def special(index, lengths):
        return part(tf.fill([batch[0], 1], np.int32(index)), lengths)

    ones = tf.ones(batch, tf.int32)
    ids = tf.concat([
        special(tokenizer.cls_id, ones), part(first.to_tensor(), keep_first),
        special(tokenizer.sep_id, ones), part(second.to_tensor(), keep_second),
        special(tokenizer.sep_id, has_second)], 1)
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    padded = ids.to_tensor()
    position = tf.range(tf.shape(padded)[1])[tf.newaxis]
    is_second = (position >= keep_first[:, tf.newaxis] + 2) & (position < lengths[:, tf.newaxis])
    return {"input_ids": padded, "segment_ids": tf.cast(is_second, tf.int32), "lengths": lengths}


# ---- tables of characters ----

@functools.lru_cache(None)
def _assigned():
    """The code points that mean something: assigned ones, and all of the ideographs' blocks."""
    ideographs = {code for first, last in tokenization.CJK_RANGES
                  for code in range(ord(first), ord(last) + 1)}
    return [code for code in range(CHARACTERS)
            if code in ideographs or unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")]


class _Classes(object):
    """The class of a character, 0 if it is not assigned, as runs of code points: int [C] -> [C]."""

    def __init__(self, function):
        classes = np.zeros(CHARACTERS, np.int32)
        for code in _assigned():
            classes[code] = function(chr(code))
        self._starts = np.flatnonzero(np.append(True, classes[1:] != classes[:-1]))
        self._values = classes[self._starts]

    def __call__(self, codes):
        run = tf.searchsorted(tf.constant(self._starts, tf.int32), codes, side="right") - 1
        return tf.gather(tf.constant(self._values), run)


class _Replacements(object):
    """What characters become, for those that do not stay: int [C] -> (int [D], int64 [D]).

    The second says of which of the C each of the D came.
    """

    def __init__(self, function):
        changed = [(code, function(chr(code))) for code in _assigned()]
        changed = [(code, text) for code, text in changed if text != chr(code)]
        self._keys = [code for code, _ in changed]
        self._texts = [[ord(char) for char in text] for _, text in changed]

    def __call__(self, codes):
        keys = tf.constant(self._keys, tf.int32)
        row = tf.minimum(tf.searchsorted(keys, codes), len(self._keys) - 1)
        index = tf.where(tf.equal(tf.gather(keys, row), codes), row + 1, tf.zeros_like(row))
        lengths = [1] + [len(text) for text in self._texts]
        rows = tf.RaggedTensor.from_row_lengths(
            tf.constant([-1] + [code for text in self._texts for code in text], tf.int32), lengths)
        chosen = tf.gather(rows, index)  # row 0 stands for the character itself
        source = chosen.value_rowids()
        values = chosen.flat_values
        return tf.where(values < 0, tf.gather(codes, source), values), source


def _case(char):
    """What a character is beside a Σ, as Python's lower() has it."""
    if (char + "Σ").lower()[-1] == "ς":
        return CASED
    return IGNORABLE if ("A" + char + "Σ").lower()[-1] == "ς" else OTHER


@functools.lru_cache(None)
def _cases():
    return _Classes(_case)


def _settle_sigmas(codes, rows):
    """Writes the Σ of characters int [C] at the end of their words as ς; rows: int64 [C]."""
    case = _cases()(codes)
    index = tf.where(tf.not_equal(case, IGNORABLE))[:, 0]
    cased, row = tf.equal(tf.gather(case, index), CASED), tf.gather(rows, index)
    together = tf.equal(row[1:], row[:-1])
    edge = tf.zeros([tf.minimum(tf.size(index), 1)], tf.bool)
    before = tf.concat([edge, cased[:-1] & together], 0)
    after = tf.concat([cased[1:] & together, edge], 0)
    is_last = tf.equal(tf.gather(codes, index), ord("Σ")) & before & ~after
    last = tf.boolean_mask(index, is_last)
    return tf.tensor_scatter_nd_update(
        codes, last[:, tf.newaxis], tf.fill([tf.size(last)], np.int32(ord("ς"))))


def _decode(texts):
    """string [B] -> (the characters int [C], the row of each int64 [C])."""
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    return codes.flat_values, codes.value_rowids()


def _encode(codes, rows, count, unknown):
    """The inverse: -> string [count]; what is no character of Unicode becomes `unknown`."""
    ragged = tf.RaggedTensor.from_value_rowids(codes, rows, nrows=count)
    return tf.strings.unicode_encode(ragged, "UTF-8", replacement_char=unknown)


def _unknown_character(tokens):
    """A code point for private use that no token has."""
    used = set().union(*tokens)
    return next(code for code in range(0xe000, 0xf900) if chr(code) not in used)


def _rows(texts):
    return tf.cast(tf.size(texts), tf.int64)


# ---- WordPiece ----

@functools.lru_cache(None)
def _wordpiece_tables(do_lower_case):
    """(_Classes, _Replacements) of tokenization.BasicTokenizer."""
    basic = tokenization.BasicTokenizer(do_lower_case)

    def of(char):
        normal = basic.normalize(char)
        if not normal:
            return LETTER if unicodedata.category(char) == "Mn" else DROPPED
        if char.isspace():
            return SPACE
        is_alone = len(normal) == 1 and (
            tokenization.is_cjk(normal) or tokenization.is_punctuation(normal))
        return ALONE if is_alone else LETTER

    return _Classes(of), _Replacements(basic.normalize)


def _wordpiece(tokenizer, text):
    classes, normalize = _wordpiece_tables(tokenizer.do_lower_case)
    unknown = _unknown_character(tokenizer.tokens)
    # A token that no text gives, but a piece that the library would not take.
    tokens = [token if token not in ("", "##") else "%c%d" % (unknown, index)
              for index, token in enumerate(tokenizer.tokens)]
    longest = tokenization.MAX_WORD_CHARACTERS
    cutter = text.FastWordpieceTokenizer(
        vocab=tokens, max_bytes_per_word=UTF8_BYTES * longest, token_out_type=tf.int32,
        unknown_token="[UNK]", no_pretokenization=True, support_detokenization=False)

    def encode(texts):
        codes, rows = _decode(texts)
        kept = tf.not_equal(classes(codes), DROPPED)
        codes, rows = tf.boolean_mask(codes, kept), tf.boolean_mask(rows, kept)
        if tokenizer.do_lower_case:
            codes = _settle_sigmas(codes, rows)
        word, is_letter = _words(classes(codes), rows)
        normal, source = normalize(codes)
        kept = tf.gather(is_letter, source)
        normal, source = tf.boolean_mask(normal, kept), tf.boolean_mask(source, kept)
        # Words of accents alone are gone by now, so that words are numbered anew.
        _, word = tf.unique(tf.gather(word, source), tf.int64)
        count = tf.reduce_max(tf.concat([[np.int64(-1)], word], 0)) + 1
        row = tf.math.unsorted_segment_max(tf.gather(rows, source), word, count)
        length = tf.math.unsorted_segment_sum(tf.ones_like(word), word, count)
        words = _encode(normal, word, count, unknown)
        words = tf.where(length > longest, tf.fill([count], chr(unknown)), words)
        pieces = cutter.tokenize(words)
        return tf.RaggedTensor.from_value_rowids(
            pieces.flat_values, tf.gather(row, pieces.value_rowids()), nrows=_rows(texts))

    return encode


def _words(kinds, rows):
    """Classes and rows of characters [C] -> (the number of each one's word, whether it is in one).
    """
    def before(array):
        return tf.concat([array[:1], array[:-1]], 0)

    breaks = (tf.not_equal(kinds, LETTER) | tf.not_equal(before(kinds), LETTER)
              | tf.not_equal(rows, before(rows)))
    return tf.cumsum(tf.cast(breaks, tf.int64)), tf.not_equal(kinds, SPACE)


# ---- SentencePiece ----

@functools.lru_cache(None)
def _sentencepiece_tables():
    """Of tokenization.SentencePieceCleaner: (whether a character is a space, folding, lower case).
    """
    fold = tokenization.SentencePieceCleaner(do_lower_case=False).clean
    return (_Classes(str.isspace),
            _Replacements(lambda char: " " if char.isspace() else fold("a%sa" % char)[0][1:-1]),
            _Replacements(str.lower))


def _sentencepiece(tokenizer, text):
    is_space, fold, lower = _sentencepiece_tables()
    unknown = _unknown_character(tokenizer.tokens)
    with open(tokenizer.path, "rb") as stream:
        content = stream.read()
    cutters = [text.SentencepieceTokenizer(content, out_type=kind)
               for kind in (tf.int32, tf.string)]
    comma = tokenizer.encode(",")[-1]
    digits = "".join("\\x{%x}" % code for code in _assigned() if chr(code).isdigit())

    def clean(texts):
        codes, rows = _decode(texts)
        space = tf.cast(is_space(codes), tf.bool)
        for end in (1, 0):  # spaces after spaces and at the beginning, then at the end
            same = tf.equal(rows[1:], rows[:-1])
            beside = tf.concat([space[:1] | True, space[:-1] | ~same] if end else
                               [~same, space[:1] | True], 0)
            kept = ~(space & beside)
            codes, rows, space = (tf.boolean_mask(one, kept) for one in (codes, rows, space))
        codes, source = fold(codes)
        rows = tf.gather(rows, source)
        if tokenizer.do_lower_case:
            codes, source = lower(_settle_sigmas(codes, rows))
            rows = tf.gather(rows, source)
        return _encode(codes, rows, _rows(texts), unknown)

    def encode(texts):
        ids, pieces = (cutter.tokenize(clean(texts)) for cutter in cutters)
        is_number = tf.strings.regex_full_match(pieces.flat_values, "(?s).*[%s]," % digits)
        number = tf.strings.regex_replace(
            tf.strings.regex_replace(pieces.flat_values, "▁", ""), ",$", "")
        cut = cutters[0].tokenize(tf.where(is_number, number, tf.fill(tf.shape(number), "")))
        last = tf.where(is_number, tf.fill(tf.shape(number), np.int32(comma)), ids.flat_values)
        cut = tf.concat([cut, tf.RaggedTensor.from_tensor(last[:, tf.newaxis])], 1)
        return tf.RaggedTensor.from_value_rowids(
            cut.flat_values, tf.gather(ids.value_rowids(), cut.value_rowids()),
            nrows=_rows(texts))

    return encode


# ---- the same tokens? ----

def samples(seed=0):
    """Texts to compare tokens on: the sample's sentences, every character, and random mixtures."""
    paths = sorted(glob.glob(os.path.join(sources.ROOT, "data", "**", "*.t[sx][vt]"),
                             recursive=True))
    texts = [line for path in paths if os.path.basename(path) != "vocab.txt"
             for _, line in text_lines.read_lines(path)]
    codes = [code for code in _assigned() if not 0xd800 <= code < 0xe000]
    texts += ["".join(map(chr, codes[begin:begin + 256])) for begin in range(0, len(codes), 256)]
    texts += EDGES
    draw = random.Random(seed)
    for _ in range(2000):
        texts.append("".join(draw.choice(COMMON) if draw.random() < 0.6 else chr(draw.choice(codes))
                             for _ in range(draw.randrange(1, 40))))
    return texts


def difference(tokenizer, texts):
    """Compares the graph's tokens with the tokenizer's.

    Returns:
      None, or the first text whose ids differ, as a sentence.

    Raises:
      ImportError: tensorflow-text is not installed.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        given = tf.placeholder(tf.string, [None])
        ids = encoder(tokenizer)(given)
        tokenized = session.run(ids, {given: [text.encode("utf-8") for text in texts]})
    for text, row in zip(texts, tokenized.to_list()):
        expected = tokenizer.encode(text)
        if row != expected:
            return "%r is %s in the graph, %s here" % (text[:80], row[:20], expected[:20])
    return None
