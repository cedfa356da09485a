"""The words of a raw sentence, by one of several engines.

    cut = segmentation.load("jieba")
    cut("我喜欢汤")  # ["我", "喜欢", "汤"]

jieba is the reference; decoding.py finds its words. rjieba, its Rust port, is six times as fast.
By itself it differs in 3 to 5 sentences of 100 (README.md says how much is left): it keeps B-Tree,
8.0.13 and a_b whole, where jieba cuts at the marks, and joins rare ideographs. The rules below
close that.
"""

import functools
import re
import sys

from util.errors import UserError

# Rare ideographs, which jieba never joins to words and rjieba does.
_OTHER_HAN = re.compile("([\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
# Words that rjieba keeps whole (8.0.13, B-Tree), and the parts that jieba.finalseg cuts them into
# (its re_skip).
_JOINED = re.compile(r"[0-9A-Za-z][._-][0-9A-Za-z]")
_PART = re.compile(r"[0-9A-Za-z]+(?:\.[0-9]+)?%?|[^0-9A-Za-z]+")


def load(name):
    """One of ENGINES -> function sentence -> list of its words, which joined are the sentence.

    The dictionary is read here, so that processes forked afterwards share it.

    Raises:
      UserError: there is no such engine, or its package is missing.
    """
    if name not in _LOADERS:
        raise UserError("--segmenter=%s: no such engine; use %s" % (name, " or ".join(ENGINES)))
    return _LOADERS[name]()


@functools.lru_cache()
def _load_jieba():
    from text import decoding  # jieba takes 70 ms to import
    return decoding.Decoder().cut


def _load_rjieba():
    try:
        import rjieba  # an optional package
    except ImportError as error:
        if sys.version_info < (3, 9):
            raise UserError("--segmenter=rjieba needs Python 3.9 or newer, this is Python %d.%d; "
                            "use --segmenter=jieba" % sys.version_info[:2]) from None
        raise UserError("--segmenter=rjieba needs the package rjieba (%s); pip install "
                        "rjieba==0.2.2, or use --segmenter=jieba" % error) from None

    def cut(sentence):
        words = [word for block in _OTHER_HAN.split(sentence) for word in rjieba.cut(block)]
        if not _JOINED.search(sentence):
            return words
        return [part for word in words
                for part in (_PART.findall(word) if _JOINED.search(word) else [word])]

    return cut


_LOADERS = {"jieba": _load_jieba, "rjieba": _load_rjieba}
ENGINES = tuple(_LOADERS)  # the first is the reference
