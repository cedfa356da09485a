"""Where the words of a raw sentence end, by one of several engines.

    word_ends = segmentation.load("jieba")
    word_ends("我喜欢汤")  # [1, 3, 4]: 我 | 喜欢 | 汤

jieba is the reference. rjieba, its Rust port, is eight times as fast and gives the same words
except where two segmentations are equally likely (1 sentence of 44,666).
"""

import functools
import logging
import re
import sys

from util.errors import UserError

import jieba
import numpy as np

jieba.setLogLevel(logging.WARNING)

# Rare ideographs, which jieba never joins to words and rjieba does.
_OTHER_HAN = re.compile("([\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
# Words that rjieba keeps whole (8.0.13, B-Tree), and the parts that jieba.finalseg cuts them into
# (its re_skip).
_JOINED = re.compile(r"[0-9A-Za-z][._-][0-9A-Za-z]")
_PART = re.compile(r"[0-9A-Za-z]+(?:\.[0-9]+)?%?|[^0-9A-Za-z]+")


def load(name):
    """One of ENGINES -> function (sentence: str) -> int [words], where each ends, in characters.

    The dictionary is read here, so that processes forked afterwards share it.

    Raises:
      UserError: there is no such engine, or its package is missing.
    """
    if name not in _LOADERS:
        raise UserError("--segmenter=%s: no such engine; use %s" % (name, " or ".join(ENGINES)))
    cut = _LOADERS[name]()
    return lambda sentence: np.cumsum([len(word) for word in cut(sentence)], dtype=int)


@functools.lru_cache()
def _load_jieba():
    """jieba's own dictionary, read from its package.

    jieba itself would take what any user of this machine left as jieba.cache in the directory of
    temporary files; reading the dictionary takes no longer.
    """
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer.cut


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
