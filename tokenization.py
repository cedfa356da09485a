"""Text -> token ids with character offsets into the raw text: WordPiece and SentencePiece.

    tokenizer = load_tokenizer(vocab_file="vocab.txt")      # or spm_model_file="30k-clean.model"
    tokenizer.tokenize("我用iPhone")                         # ["我", "用", "iph", "##one"]
    ids, starts, ends = tokenizer.encode_with_offsets(text)  # text[starts[i]:ends[i]] is token i
"""

import functools
import hashlib
import re
import unicodedata

from util import files, text_lines
from util.errors import UserError

import numpy as np

# Longer words are [UNK], as in Google's BERT; this also bounds the quadratic greedy search.
MAX_WORD_CHARACTERS = 200
# A word's pieces are cached; long words (URLs, base64) do not repeat and would fill the memory.
CACHED_WORDS = 1 << 16
MAX_CACHED_CHARACTERS = 40

# The Unicode blocks whose characters BERT makes words: ideographs, not kana, hangul or punctuation.
CJK_RANGES = (
    ("\u4e00", "\u9fff"), ("\u3400", "\u4dbf"), ("\U00020000", "\U0002a6df"),
    ("\U0002a700", "\U0002b73f"), ("\U0002b740", "\U0002b81f"), ("\U0002b820", "\U0002ceaf"),
    ("\uf900", "\ufaff"), ("\U0002f800", "\U0002fa1f"))

# The kinds of characters of a text, and what they make: words, and tokens side by side.
_SPACE, _TOKEN, _LETTER = " ", "t", "w"
_RUN = re.compile("%s+|%s+" % (_TOKEN, _LETTER))


def load_tokenizer(vocab_file=None, spm_model_file=None, do_lower_case=True):
    """The tokenizer of the given file; SentencePiece if both are given (as in Google's ALBERT).

    Raises:
      UserError: neither is given, or the file is missing or invalid.
    """
    if spm_model_file:
        return SentencePieceTokenizer(spm_model_file, do_lower_case)
    if vocab_file:
        return WordPieceTokenizer(vocab_file, do_lower_case)
    raise UserError("neither --vocab_file nor --spm_model_file is given; name the vocab.txt of a "
                    "Chinese model or the .model file of an English one")


def fit_pair(first_length, second_length, room):
    """How many tokens of two texts to keep so that both fit; the longer is cut first (as in BERT).

    fit_pair(70, 20, 61) -> (41, 20); fit_pair(70, 60, 61) -> (31, 30)
    """
    if first_length + second_length <= room:
        return first_length, second_length
    second = min(second_length, max(room // 2, room - first_length))
    return room - second, second


def pack(first, second, tokenizer, max_seq_length):
    """Token ids of one or two texts -> SEQUENCE features of at most S tokens.

    [CLS] first [SEP] (second [SEP]); the longer text loses tokens at its end first (as BERT).
    """
    second = [] if second is None else second
    room = max_seq_length - (3 if len(second) else 2)
    keep_first, keep_second = fit_pair(len(first), len(second), room)
    ids = [tokenizer.cls_id] + list(first[:keep_first]) + [tokenizer.sep_id]
    segments = [0] * len(ids)
    if len(second):
        ids += list(second[:keep_second]) + [tokenizer.sep_id]
        segments += [1] * (keep_second + 1)
    return {"input_ids": np.array(ids, np.int32), "segment_ids": np.array(segments, np.int32),
            "lengths": np.array([len(ids)], np.int32)}


def pad(rows):
    """The features that `pack` gave to several texts -> {name: int32 [B, S]}, 0 behind their ends,
    with "input_mask", 1 for tokens."""
    length = max(len(row["input_ids"]) for row in rows)
    arrays = {name: np.zeros([len(rows), length], np.int32)
              for name in ("input_ids", "input_mask", "segment_ids")}
    for index, row in enumerate(rows):
        count = len(row["input_ids"])
        arrays["input_ids"][index, :count] = row["input_ids"]
        arrays["segment_ids"][index, :count] = row["segment_ids"]
        arrays["input_mask"][index, :count] = 1
    return arrays


class Tokenizer:
    """The interface of both tokenizers; V is the size of the vocabulary.

    Attributes:
      tokens: list [V] of the tokens by id.
      vocab: dict from token to id.
      is_word_start: bool array [V]; False for a piece that continues a word.
      pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special tokens.
      fingerprint: hex SHA-256 of vocabulary, class and lower-casing; equal means equal ids.
    """

    special_tokens = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    rules = ""  # changes when the same vocabulary gives other ids than it did

    def __init__(self, path, do_lower_case, content, tokens):
        self.path = path
        self.do_lower_case = bool(do_lower_case)
        self.tokens = tokens
        self.vocab = {token: index for index, token in enumerate(tokens)}
        missing = [token for token in self.special_tokens if token not in self.vocab]
        if missing:
            raise UserError("%s: no %s among its %d tokens, expected %s; check that it is the file "
                            "of a BERT or ALBERT model, or make one with create_vocab.py"
                            % (path, " ".join(missing), len(tokens), " ".join(self.special_tokens)))
        if len(tokens) == len(self.special_tokens):
            raise UserError("%s: nothing but the special tokens %s, expected words or characters "
                            "too; make it anew with create_vocab.py or take that of the model"
                            % (path, " ".join(self.special_tokens)))
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.vocab[token] for token in self.special_tokens)
        options = "%s %s%s" % (type(self).__name__, self.do_lower_case, self.rules)
        self.fingerprint = hashlib.sha256(content + options.encode("utf-8")).hexdigest()

    def __reduce__(self):
        # Caches and C++ objects do not pickle; a worker process reads the file again.
        return type(self), (self.path, self.do_lower_case)

    @property
    def vocab_size(self):
        return len(self.tokens)

    def tokenize_with_offsets(self, text):
        """str -> (tokens, starts, ends); token i is text[starts[i]:ends[i]], before normalization.

        Starts never decrease. Tokens cut from one character (한 is three in WordPiece) share its
        span; a SentencePiece "▁" that stands alone has an empty one.
        """
        raise NotImplementedError

    def encode_with_offsets(self, text):
        """str -> (ids, starts, ends), the ids of `tokenize_with_offsets`."""
        raise NotImplementedError

    def tokenize(self, text):
        """str -> list of tokens."""
        return self.tokenize_with_offsets(text)[0]

    def encode(self, text):
        """str -> list of ids, without [CLS] and [SEP]."""
        return self.encode_with_offsets(text)[0]

    def convert_tokens_to_ids(self, tokens):
        """List of tokens -> list of ids; a token outside the vocabulary gets `unk_id`."""
        return [self.vocab.get(token, self.unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """List of ids in [0, V) -> list of tokens."""
        return [self.tokens[index] for index in ids]


def _read(path, flag):
    """The bytes of a file, which must exist and not be empty."""
    with files.open_file(files.require_file(path, flag), "rb") as stream:
        content = stream.read()
    if not content.strip():
        raise UserError("--%s=%s: the file is empty; download it again" % (flag, path))
    return content


def _parse_vocabulary(path, content):
    """Bytes of a vocabulary, one token per line -> list of tokens; the line number is the id."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError("%s line %d: not UTF-8, expected one token per line; %s"
                        % (path, line, text_lines.way_to_utf8(content))) from None
    # Not splitlines and not strip: U+2028 is a token of the released vocabulary.
    tokens = [line.strip(" \t\r") for line in text.rstrip("\r\n").split("\n")]
    first = {}
    for number, token in enumerate(tokens, 1):
        if token in first:
            raise UserError("%s line %d: token %r is already on line %d, expected every token "
                            "once; remove one of the two lines (later ids shift by one) or take "
                            "the file of the released model" % (path, number, token, first[token]))
        first[token] = number
    return tokens


def is_cjk(char):
    """Whether BERT treats this character as a word of its own."""
    return any(first <= char <= last for first, last in CJK_RANGES)


def is_punctuation(char):
    """Unicode punctuation, and every ASCII symbol ("$", "+", "^"), as in BERT."""
    if char < "\x80":
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char).startswith("P")


def _is_dropped(char):
    """NUL, the replacement character, control and format characters that are not white space."""
    if char in "\t\n\r":
        return False
    return char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf")


class _Table(dict):
    """key -> `function(key)`, computed on first access.

    Of Unicode's 1,114,112 characters a Chinese corpus has about 8,000.
    """

    def __init__(self, function):
        super().__init__()
        self._function = function

    def __missing__(self, key):
        value = self[key] = self._function(key)
        return value


def _translation(function):
    """A table for str.translate that applies `function`, one character -> str."""
    return _Table(lambda code: function(chr(code)))


class BasicTokenizer:
    """Splits text into words as BERT does, before WordPiece.

        BasicTokenizer(do_lower_case=True).tokenize("Müller说: OK")  # ["muller", "说", ":", "ok"]
    """

    def __init__(self, do_lower_case=True):
        self.do_lower_case = do_lower_case
        self._cleaned = _translation(lambda char: "" if _is_dropped(char) else char)
        self._unmarked = _translation(
            lambda char: "" if unicodedata.category(char) == "Mn" else char)
        self._apart = _translation(
            lambda char: " %s " % char if is_cjk(char) or is_punctuation(char) else char)

    def normalize(self, text):
        """Drops control characters; with `do_lower_case`, lower-cases and drops accents."""
        text = text.translate(self._cleaned)
        if self.do_lower_case:
            text = unicodedata.normalize("NFD", text.lower()).translate(self._unmarked)
        return text

    def tokenize(self, text):
        """str -> list of words."""
        return self.normalize(text).translate(self._apart).split()

    def settle_sigmas(self, text):
        """Lower-cases Σ by its context (ς at the end of a word), and no other letter.

        It is the only letter whose lower case depends on context, and that context does not end at
        punctuation: the first Σ of "Σ.Α" is σ.
        """
        kept = [index for index, char in enumerate(text) if not _is_dropped(char)]
        # İ is the only letter whose lower case is two characters; I gives the same context.
        lowered = "".join(text[index] for index in kept).replace("İ", "I").lower()
        chars = list(text)
        for index, char in zip(kept, lowered):
            if text[index] == "Σ":
                chars[index] = char
        return "".join(chars)


class WordPieceTokenizer(Tokenizer):
    """The tokenizer of BERT and the Chinese ALBERT models; its tokens are exactly Google's.

        WordPieceTokenizer("vocab.txt").tokenize("unaffable")  # ["un", "##aff", "##able"]

    A character that is a token by itself (ideographs, punctuation) costs one table look-up. The
    text between those and white space is a word; its pieces are cached.

    Args:
      vocab_file: UTF-8 text, one token per line; the line number, from 0, is the id.
      do_lower_case: lower-case and drop accents; False for a cased vocabulary.

    Raises:
      UserError: the file is missing, empty, not UTF-8, repeats a token or lacks a special one.
    """

    def __init__(self, vocab_file, do_lower_case=True):
        content = _read(vocab_file, "vocab_file")
        super().__init__(vocab_file, do_lower_case, content, _parse_vocabulary(vocab_file, content))
        self.is_word_start = np.array([not token.startswith("##") for token in self.tokens])
        self._first = {token: index for token, index in self.vocab.items() if token[:2] != "##"}
        self._later = {token[2:]: index for token, index in self.vocab.items() if token[:2] == "##"}
        self._longest = max(map(len, self.tokens))
        self._basic = BasicTokenizer(self.do_lower_case)
        self._kinds = _translation(self._kind)
        self._char_ids = _Table(self._char_id)
        self._cached_cut = functools.lru_cache(CACHED_WORDS)(self._cut)

    def tokenize_with_offsets(self, text):
        ids, starts, ends = self.encode_with_offsets(text)
        return self.convert_ids_to_tokens(ids), starts, ends

    def encode_with_offsets(self, text):
        if self.do_lower_case and "Σ" in text:
            text = self._basic.settle_sigmas(text)
        ids, starts, ends = [], [], []
        kinds = text.translate(self._kinds)
        for match in _RUN.finditer(kinds):
            begin, end = match.span()
            if kinds[begin] == _LETTER:
                self._add_word(text, begin, end, ids, starts, ends)
            else:
                ids += map(self._char_ids.__getitem__, text[begin:end])
                starts += range(begin, end)
                ends += range(begin + 1, end + 1)
        return ids, starts, ends

    def _add_word(self, text, begin, end, ids, starts, ends):
        cut = self._cached_cut if end - begin <= MAX_CACHED_CHARACTERS else self._cut
        word_ids, word_starts, word_ends = cut(text[begin:end])
        ids += word_ids
        starts += [begin + start for start in word_starts]
        ends += [begin + end for end in word_ends]

    def _kind(self, char):
        """What a character is: a token by itself, _SPACE, or a _LETTER of a word."""
        if _is_dropped(char):
            return _LETTER  # and dropped from its word: "a\\u200bb" is the word "ab"
        if char.isspace():
            return _SPACE
        normal = self._basic.normalize(char)
        is_token = len(normal) == 1 and (is_cjk(normal) or is_punctuation(normal))
        return _TOKEN if is_token else _LETTER

    def _char_id(self, char):
        """The id of a character that is a token by itself."""
        return self._first.get(self._basic.normalize(char), self.unk_id)

    def _cut(self, raw):
        """A raw word -> (ids, starts, ends) of its pieces, relative to its first character."""
        word = self._basic.normalize(raw)
        starts, ends = [], []  # in `raw`, of every character of `word`
        for index, char in enumerate(raw):
            length = len(self._basic.normalize(char))
            starts += [index] * length
            ends += [index + 1] * length
            if not length and ends and unicodedata.category(char) == "Mn":
                ends[-1] = index + 1  # the dropped accent belongs to its letter
        if not word:
            return [], [], []
        pieces = self._pieces(word)
        return ([piece for piece, _, _ in pieces], [starts[first] for _, first, _ in pieces],
                [ends[last - 1] for _, _, last in pieces])

    def _pieces(self, word):
        """A word -> [(id, first character, last character + 1)]."""
        pieces = None
        if len(word) <= MAX_WORD_CHARACTERS:
            pieces = _longest_matches(word, self._first, self._later, self._longest)
        return pieces or [(self.unk_id, 0, len(word))]


def _longest_matches(word, first, later, longest):
    """A word -> [(piece, first character, last character + 1)], longest match first, or None.

    Args:
      first, later: {text: piece} of what a word may begin and of what it may go on with.
      longest: characters of a piece, at most.
    """
    pieces, begin, vocab = [], 0, first
    while begin < len(word):
        for end in range(min(len(word), begin + longest), begin, -1):
            piece = vocab.get(word[begin:end])
            if piece is not None:
                break
        else:
            return None
        pieces.append((piece, begin, end))
        begin, vocab = end, later
    return pieces


def _fold(char):
    """One character after ALBERT's clean-up: NFKD without combining marks."""
    if unicodedata.category(char) == "Cs":
        return "\ufffd"  # a lone surrogate, from broken JSON, cannot be encoded as UTF-8
    return "".join(part for part in unicodedata.normalize("NFKD", char)
                   if not unicodedata.combining(part))


class SentencePieceCleaner:
    """Google ALBERT's text clean-up before SentencePiece, here with character offsets.

    White space becomes one space, characters are decomposed (NFKD), accents dropped, letters
    lower-cased. `` and '' stay; XLNet's code and transformers' slow tokenizer make them \".

        SentencePieceCleaner().clean("Ｃafé")  # ("cafe", [0, 1, 2, 3, 4], [1, 2, 3, 4])
    """

    _chunks = re.compile(r"\s+|\S+")

    def __init__(self, do_lower_case=True):
        self.do_lower_case = do_lower_case
        self._folded = _Table(_fold)

    def clean(self, text):
        """Raw text -> (clean text of C characters, starts, ends); the offsets are into `text`.

        `starts` has C + 1 entries; the last is the length of `text`.
        """
        parts, starts, ends = [], [], []
        for match in self._chunks.finditer(text.rstrip(), len(text) - len(text.lstrip())):
            chunk, begin = match.group(), match.start()
            if chunk.isspace():
                parts.append(" ")
                starts.append(begin)
                ends.append(match.end())
                continue
            for index, char in enumerate(chunk, begin):
                folded = self._folded[char]
                parts.append(folded)
                starts += [index] * len(folded)
                ends += [index + 1] * len(folded)
                if not folded and ends:
                    ends[-1] = index + 1  # the dropped accent belongs to its letter
        starts.append(len(text))
        cleaned = "".join(parts)
        return (cleaned.lower() if self.do_lower_case else cleaned), starts, ends


def _continues_word(piece):
    """Whether a SentencePiece piece continues the word before it.

    A piece that begins with "▁" or punctuation does not, nor does one of a script written without
    spaces, ideographs or kana (as in Google's ALBERT).
    """
    first = piece[0]
    return (first.isalnum() or first in "'’") and not is_cjk(first) and not "぀" <= first <= "ヿ"


class SentencePieceTokenizer(Tokenizer):
    """The tokenizer of Google's ALBERT, with its clean-up and its splitting of "1999,".

        SentencePieceTokenizer("30k-clean.model").tokenize("Hello, 1999,")
        # ["▁hello", ",", "▁1999", ","]

    `tokenize` returns an unknown piece as its text; its id is `unk_id`. `model` is the
    SentencePieceProcessor.

    Args:
      spm_model_file: a SentencePiece model (the .model file, not .vocab).
      do_lower_case: lower-case the text; accents are dropped in any case, as in Google's ALBERT.

    Raises:
      UserError: the file is missing or not a SentencePiece model, it lacks a special token, or the
        sentencepiece library is not installed.
    """

    special_tokens = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    rules = " 2"  # `` and '' stay, and a number within a word gets a "▁"

    def __init__(self, spm_model_file, do_lower_case=True):
        content = _read(spm_model_file, "spm_model_file")
        self.model = _load_sentencepiece(spm_model_file, content)
        size = self.model.get_piece_size()
        if any(self.model.is_byte(index) for index in range(size)):
            raise UserError("%s cuts unknown characters into bytes (byte fallback), as no ALBERT "
                            "does; give the model's own spiece.model" % spm_model_file)
        if self.model.normalize("a").endswith("▁"):
            raise UserError("%s marks the ends of words (treat_whitespace_as_suffix), as no ALBERT "
                            "does; train it without that option" % spm_model_file)
        try:
            pieces = [self.model.id_to_piece(index) for index in range(size)]
        except UnicodeDecodeError:
            raise UserError("%s: damaged, it holds pieces that are not UTF-8; copy or download it "
                            "again" % spm_model_file) from None
        super().__init__(spm_model_file, do_lower_case, content, pieces)
        self.is_word_start = np.array([not _continues_word(token) for token in self.tokens])
        # Text never gets the id of a control symbol, even if it spells one.
        self._text_ids = {token: index for index, token in enumerate(self.tokens)
                          if not self.model.is_control(index)}
        self._cleaner = SentencePieceCleaner(self.do_lower_case)
        self._cached_split = functools.lru_cache(CACHED_WORDS)(self._split_number)

    def encode_with_offsets(self, text):
        pieces, starts, ends = self.tokenize_with_offsets(text)
        get, unknown = self._text_ids.get, self.unk_id
        return [get(piece, unknown) for piece in pieces], starts, ends

    def tokenize_with_offsets(self, text):
        cleaned, raw_starts, raw_ends = self._cleaner.clean(text)
        # The model normalizes again: character i of the concatenated pieces is at offsets[i] of
        # `cleaned`. The span of a piece "▁a" is that of its "a".
        offsets = self.model.normalize(cleaned, with_offsets=True)[1]
        tokens, starts, ends = [], [], []
        begin = 0  # of the piece among the characters of all pieces
        pieces, added = self.split(cleaned)
        for index, piece in enumerate(pieces):
            end = begin + len(piece) - (index in added)
            first = begin + (piece[0] == "▁" and index not in added)
            start = raw_starts[offsets[first]]
            tokens.append(piece)
            starts.append(start)
            if first == end:
                ends.append(start)
            else:
                # One raw character may become several ("㎡" -> "m2"), or several become one (한).
                ends.append(raw_ends[max(offsets[end] - 1, offsets[end - 1])])
            begin = end
        return tokens, starts, ends

    def split(self, cleaned):
        """Clean text -> (pieces, the indices of those whose "▁" was added).

        "1999," is the number and the comma. Within a word ("x1999,") the number gets a "▁" that is
        not there: Google's ALBERT means to take it away, but compares text with bytes, and its
        models learnt from what it does. The slow tokenizer of transformers takes it away.
        """
        pieces, added = [], set()
        for piece in self.model.encode(cleaned, out_type=str):
            if piece[-1] == "," and piece[-2:-1].isdigit():
                number = self._cached_split(piece)
                if piece[0] != "▁" and number[0][0] == "▁":
                    added.add(len(pieces))
                pieces += number
            else:
                pieces.append(piece)
        return pieces, added

    def _split_number(self, piece):
        """"▁1999," -> ("▁1999", ","); "999," -> ("▁999", ",")."""
        return tuple(self.model.encode(piece[:-1].replace("▁", ""), out_type=str)) + (",",)


def _load_sentencepiece(path, content):
    """The bytes of a .model file -> SentencePieceProcessor."""
    try:
        import sentencepiece
    except ImportError:
        raise UserError("%s needs the sentencepiece library, which is not installed; "
                        "pip install -r requirements.txt" % path) from None
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=content)
    except RuntimeError:
        raise UserError("%s: not a SentencePiece model; give the .model file (the .vocab beside it "
                        "is only for reading)" % path) from None


# Names that code written for the originals imports.


class FullTokenizer:
    """`load_tokenizer` by the name, the arguments and the attributes of both original codes.

        tokenizer = FullTokenizer(vocab_file="vocab.txt", do_lower_case=True)
        ids = tokenizer.convert_tokens_to_ids(["[CLS]"] + tokenizer.tokenize(text) + ["[SEP]"])

    With a SentencePiece model it leaves the text as it is: `preprocess_text` cleans it before.
    """

    def __init__(self, vocab_file, do_lower_case=True, spm_model_file=None):
        self._tokenizer = load_tokenizer(vocab_file, spm_model_file, do_lower_case)
        self.vocab = self._tokenizer.vocab
        self.inv_vocab = dict(enumerate(self._tokenizer.tokens))
        self.sp_model = self._tokenizer.model if spm_model_file else None
        self.convert_tokens_to_ids = self._tokenizer.convert_tokens_to_ids
        self.convert_ids_to_tokens = self._tokenizer.convert_ids_to_tokens

    @classmethod
    def from_scratch(cls, vocab_file, do_lower_case, spm_model_file):
        """As the constructor."""
        return cls(vocab_file, do_lower_case, spm_model_file)

    def tokenize(self, text):
        """str or bytes -> list of tokens."""
        text = convert_to_unicode(text)
        return self._tokenizer.split(text)[0] if self.sp_model else self._tokenizer.tokenize(text)


class WordpieceTokenizer:
    """Words between white space -> word pieces, as `WordPieceTokenizer` cuts them.

        WordpieceTokenizer(vocab={"un": 0, "##able": 1}).tokenize("unable x")  # "un", "##able",
                                                                               # "[UNK]"
    """

    def __init__(self, vocab, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD_CHARACTERS):
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self._first = {token: token for token in vocab}
        self._later = {token[2:]: token for token in vocab if token[:2] == "##"}
        self._longest = max(map(len, vocab), default=0)

    def tokenize(self, text):
        """str or bytes -> list of tokens."""
        tokens = []
        for word in convert_to_unicode(text).split():
            pieces = None
            if len(word) <= self.max_input_chars_per_word:
                pieces = _longest_matches(word, self._first, self._later, self._longest)
            tokens += [piece for piece, _, _ in pieces] if pieces else [self.unk_token]
        return tokens


def preprocess_text(inputs, remove_space=True, lower=False):
    """The clean-up of Google's ALBERT before SentencePiece, see `SentencePieceCleaner`."""
    if remove_space:
        return SentencePieceCleaner(lower).clean(inputs)[0]
    text = "".join(map(_fold, inputs))
    return text.lower() if lower else text


def convert_to_unicode(text):
    """str, or bytes of UTF-8 whose mistakes are left out, -> str; ValueError for anything else."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    if not isinstance(text, str):
        raise ValueError("%r is a %s, expected text or bytes" % (text, type(text).__name__))
    return text


printable_text = convert_to_unicode

# BERT's released models by the directories of their archives.
_UNCASED = ("uncased_L-24_H-1024_A-16", "uncased_L-12_H-768_A-12", "multilingual_L-12_H-768_A-12",
            "chinese_L-12_H-768_A-12")
_CASED = ("cased_L-12_H-768_A-12", "cased_L-24_H-1024_A-16", "multi_cased_L-12_H-768_A-12")


def validate_case_matches_checkpoint(do_lower_case, init_checkpoint):
    """A UserError if one of BERT's checkpoints, known by its directory, wants another case."""
    match = re.search(r"([A-Za-z0-9_-]+)/bert_model\.ckpt", init_checkpoint or "")
    model = match.group(1) if match else None
    if model in (_CASED if do_lower_case else _UNCASED):
        raise UserError("--do_lower_case=%s with --init_checkpoint=%s: %s is a model of %s text; "
                        "pass --do_lower_case=%s" % (
                            bool(do_lower_case), init_checkpoint, model,
                            "cased" if do_lower_case else "lower-case", not do_lower_case))
