"""A paragraph of raw text -> its sentences, in Chinese, in English and where the two mix.

    split_sentences("他说：“好。”然后走了。Dr. Li paid $3.50. OK!")
      -> ["他说：“好。”", "然后走了。", "Dr. Li paid $3.50.", "OK!"]

Every sentence is a slice of the paragraph: nothing but white space is lost or changed. The time is
linear in the text, about 60 MB a second on one core.
"""

import re

_FULL_WIDTH_ENDS = "。｡！？；﹖﹗"
_PLAIN_ENDS = frozenset(_FULL_WIDTH_ENDS + "!?")
# Quotes and brackets that only close; " and ' close where they directly follow an end.
_CLOSING = "”’」』﹂﹄）〕］】｝〉》〗〙〛»›)]}"
_OPENING = frozenset("\"'“‘「『﹁﹃（〔［【｛〈《〖〘〚«‹([{")
_CONTINUING = frozenset("，、：﹐﹑,;:")  # a sentence never begins with one of these
_INSIDE = frozenset("〉》)）")  # 《加油！》 is a name, （真的！） a remark inside a sentence

_END = r"""(?= [%s!?….] ) (?:  # the look-ahead is for speed: most characters end nothing
      [%s]
    | (?<![\x00-\x7f…]) [!?…]+
    | (?<![!?…]) [!?…]+ (?![!?…0-9A-Za-z_=&/%%#\[-])   # not in a.cn/?q=1, x!=y, 1…9
    | (?<!\.) \.+ (?![.0-9A-Za-z])                    # not in 3.14, v1.2.3, a.cn, wait...what
    )""" % (_FULL_WIDTH_ENDS, _FULL_WIDTH_ENDS)
# Where a sentence may end, with all the punctuation that stays with it, the white space after it
# (group 1) and the next character (group 2), which is only looked at.
_STOP = re.compile(r"""%s (?: %s | ["'~～] | \s*[%s%s] )* (\s*) (?=(\S?))""" % (
    _END, _END, re.escape(_CLOSING), _FULL_WIDTH_ENDS), re.X)
_HARD_END = re.compile("[%s!?…]" % _FULL_WIDTH_ENDS)
_WORD = re.compile(r"\w")
# Punctuation without a word is not a sentence; a longer run is, to keep the time linear.
_LONGEST_ORNAMENT = 100

_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
# Between these a full stop needs no white space: 你好.再见
_DENSE_BEFORE = re.compile("[%s”’]" % _CJK)
_DENSE_AFTER = re.compile("[%s“‘]" % _CJK)

# Matched against the text before a full stop that ends no sentence: abbreviations; single initials;
# U.S., e.g., Ph.D.; the first item of an enumeration (主要有：1. 书).
_ABBREVIATION = re.compile(r"""
      (?<![A-Za-z]) (?: Mrs? | Ms | Dr | Prof | St | Sr | Jr | Gen | Col | Capt | Lt | Sgt | Gov
        | Sen | Rep | Rev | Hon | Pres | Messrs | Mme | Mt | Inc | Ltd | Co | Corp | Bros | Dept
        | Univ | Ave | Blvd | [Vv]s | etc | cf | viz | al | approx | ca | resp ) \Z
    | (?<![\w'’]) [A-Za-zÀ-ɏЀ-ӿ] \Z
    | \. [A-Za-z] \Z
    | (?<![0-9]) [：:] \s? [0-9]{1,2} \Z""", re.X)
# Abbreviations only before a number: "No. I know." is two sentences.
_BEFORE_NUMBER = re.compile(r"""
    (?<![A-Za-z]) (?: [Nn]os? | [Ff]igs? | [Vv]ol | [Ee]qs? | pp? | Sec | Ch | Art | Tab | Jan | Feb
        | Mar | Apr | Jun | Jul | Aug | Sept? | Oct | Nov | Dec ) \Z""", re.X)
_LONGEST_ABBREVIATION = 10
# The number of an item that begins the sentence: "2.1. Results", "一.概述"
_ITEM_NUMBER = re.compile(r"\W*(?:[0-9]{1,3}(?:\.[0-9]{1,3})*|[一二三四五六七八九十]{1,3})\Z")


def split_sentences(paragraph):
    """str -> list of str: the sentences, stripped, none empty.

    A sentence ends
      - at 。！？；… and runs of them, and at ! and ? but not between ASCII words without a space;
      - not at the half-width ";" and not at a dash. The full-width ；does end one: the clauses that
        it joins are long enough to be the sentences of sentence-order prediction;
      - at a full stop before white space and then an upper-case letter, a digit, an opening quote
        or bracket or a script without case, and between Chinese characters (你好.再见); not after
        abbreviations, initials and the number of an item.

    Closing quotes and brackets, and ~, stay with the sentence they close. It ends there
    (他说：“好。” | 然后走了。) unless a comma or colon follows, the end is inside a title or remark
    (《加油！》), or a lower-case word follows ("Stop!" he said). Punctuation without a word goes
    with the next sentence.
    """
    paragraph = paragraph.strip()
    pieces = []
    begin = 0
    is_quoted = False  # whether an odd number of " precedes `begin`
    has_quotes = '"' in paragraph
    for match in _STOP.finditer(paragraph):
        end, next_begin = match.span(1)
        if not _is_end(paragraph, begin, end, match):
            continue
        if has_quotes:
            is_quoted ^= paragraph.count('"', begin, end) % 2
            if is_quoted and paragraph[end - 1] == '"' and end == next_begin < len(paragraph):
                end = next_begin = end - 1  # it opens the next sentence
                is_quoted = False
        pieces.append(paragraph[begin:end])
        begin = next_begin
    if begin < len(paragraph):
        pieces.append(paragraph[begin:])
    return pieces


def _is_end(paragraph, begin, end, match):
    """Whether the sentence that begins at `begin` ends at `end`, with a match of _STOP."""
    space, following = match.groups()
    if not following:
        return True
    if following in _CONTINUING:
        return False
    last = paragraph[end - 1]
    if last in _INSIDE and not space and paragraph[begin] not in "(（":
        return False
    stop = match.start()
    if stop - begin < _LONGEST_ORNAMENT and not _WORD.search(paragraph, begin, stop):
        return False
    if paragraph[stop] == "." and not _HARD_END.search(paragraph, stop, end):
        return _is_full_stop(paragraph, begin, stop, space, following)
    # "Stop!" he said; wait… what
    return not (space and following.islower() and last not in _PLAIN_ENDS)


def _is_full_stop(paragraph, begin, stop, space, following):
    """Whether full stops at `stop`, with the closing punctuation after them, are an end."""
    if _ITEM_NUMBER.match(paragraph, begin, stop):
        return False
    if not space:
        return bool(_DENSE_BEFORE.match(paragraph, stop - 1) and _DENSE_AFTER.match(following))
    if following.islower() or not (following.isalnum() or following in _OPENING):
        return False
    window = max(begin, stop - _LONGEST_ABBREVIATION)
    return not (_ABBREVIATION.search(paragraph, window, stop)
                or following.isdigit() and _BEFORE_NUMBER.search(paragraph, window, stop))
