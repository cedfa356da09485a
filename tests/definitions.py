"""What tokenizers do by its definition, a character at a time, to compare the fast code with."""

import unicodedata

import tokenization


def slow_words(text, do_lower_case):
    """Basic tokenization by its definition, a character at a time."""
    spaced = ""
    for char in text:
        if char in "\0\ufffd" or (unicodedata.category(char) in ("Cc", "Cf")
                                  and char not in "\t\n\r"):
            continue
        spaced += " %s " % char if tokenization.is_cjk(char) else char
    words = []
    for word in spaced.split():
        if do_lower_case:
            word = "".join(char for char in unicodedata.normalize("NFD", word.lower())
                           if unicodedata.category(char) != "Mn")
        apart = (" %s " % char if tokenization.is_punctuation(char) else char for char in word)
        words += "".join(apart).split()
    return words


def slow_pieces(word, vocab):
    pieces, begin = [], 0
    while begin < len(word):
        ends = [end for end in range(len(word), begin, -1)
                if ("##" if begin else "") + word[begin:end] in vocab]
        if not ends or len(word) > 200:
            return ["[UNK]"]
        pieces.append(("##" if begin else "") + word[begin:ends[0]])
        begin = ends[0]
    return pieces


def slow_tokens(tokenizer, text):
    return [piece for word in slow_words(text, tokenizer.do_lower_case)
            for piece in slow_pieces(word, tokenizer.vocab)]


def slow_clean(text):
    """Google's clean-up by its definition."""
    text = " ".join(text.split())
    folded = unicodedata.normalize("NFKD", text)
    return "".join(char for char in folded if not unicodedata.combining(char)).lower()


def google_pieces(model, text):
    """FullTokenizer.tokenize(preprocess_text(text)) of Google's ALBERT."""
    pieces = []
    for piece in model.encode(slow_clean(text), out_type=str):
        if piece[-1] == "," and piece[-2:-1].isdigit():
            pieces += model.encode(piece[:-1].replace("▁", ""), out_type=str) + [","]
        else:
            pieces.append(piece)
    return pieces


def check_offsets(tokenizer, text):
    """Asserts that the offsets are in order and inside; returns pairs of token and raw text."""
    tokens, starts, ends = tokenizer.tokenize_with_offsets(text)
    assert len(tokens) == len(starts) == len(ends)
    assert list(starts) == sorted(starts)
    assert all(0 <= start <= end <= len(text) for start, end in zip(starts, ends))
    return zip(tokens, [text[start:end] for start, end in zip(starts, ends)])
