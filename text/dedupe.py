"""Documents without what the corpus held before: near-duplicate documents, repeated lines.

    for document in dedupe.unique(documents, counts): ...

Only hashes are held: 8 bytes a line that was kept and 72 a document, for a moment twice that.
"""

import hashlib

from util.errors import UserError

import numpy as np

# MinHash LSH (Broder 1997; Leskovec et al., Mining of Massive Datasets, chapter 3) over all runs of
# five characters: documents that share a share of 0.9 are found in 93 % of the cases, of 0.8 in
# 40 %, of 0.6 in 1 %.
THRESHOLD, PERMUTATIONS, SHINGLE = 0.8, 128, 5
# So many shingles are hashed at a time; each takes a kilobyte meanwhile.
AT_ONCE = 1 << 13

# What is counted, as the closing table says it.
NEAR_DUPLICATES = "near-duplicate documents left out"
REPEATED_LINES = "repeated lines left out"
NOTHING_NEW = "documents of repeated lines alone left out"


def load():
    """The package datasketch.

    Raises:
      UserError: it is not installed.
    """
    try:
        import datasketch
    except ImportError as error:
        raise UserError("--dedupe needs datasketch (%s); pip install -r requirements-data.txt, or "
                        "leave --dedupe out" % error) from None
    return datasketch


def unique(documents, counts):
    """Yields documents, lists of lines, without what was in those before them.

    A document is left out if it is nearly the same as one before; from the others every line is
    left out that a document before, or the same one, holds just so.

    Args:
      documents: iterable of lists of lines.
      counts: a Counter; gets NEAR_DUPLICATES, REPEATED_LINES and NOTHING_NEW.

    Raises:
      UserError: as `load`.
    """
    bands_of, bands, lines = Bands(), HashSet(), HashSet()
    for document in documents:
        hashes = bands_of(document)
        if bands.contains(hashes).any():
            counts[NEAR_DUPLICATES] += 1
            continue
        bands.insert(hashes)
        is_new = lines.add(np.array([_hash(line.encode("utf-8", "surrogatepass"))
                                     for line in document], np.uint64))
        kept = [line for line, new in zip(document, is_new) if new]
        counts[REPEATED_LINES] += len(document) - len(kept)
        counts[NOTHING_NEW] += not kept
        if kept:
            yield kept


class HashSet:
    """A set of 64-bit hashes: sorted arrays, each at least twice as long as the next."""

    def __init__(self):
        self._arrays = []

    def contains(self, hashes):
        """uint64 [n] -> bool [n]."""
        is_known = np.zeros(len(hashes), bool)
        for array in self._arrays:
            places = np.minimum(np.searchsorted(array, hashes), len(array) - 1)
            is_known |= array[places] == hashes
        return is_known

    def insert(self, hashes):
        """Takes in hashes that are not there."""
        new = np.unique(hashes)
        while self._arrays and len(self._arrays[-1]) < 2 * len(new):
            new = np.concatenate([self._arrays.pop(), new])
            new.sort()
        if len(new):
            self._arrays.append(new)

    def add(self, hashes):
        """Takes in hashes; bool [n], whether each was neither there nor before it in `hashes`."""
        is_new = np.zeros(len(hashes), bool)
        is_new[np.unique(hashes, return_index=True)[1]] = True
        is_new &= ~self.contains(hashes)
        self.insert(hashes[is_new])
        return is_new


class Bands:
    """A document -> a hash of each band of its MinHash; two documents are near-duplicates if they
    share one.
    """

    def __init__(self):
        datasketch = load()
        index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        self._number, self._rows = index.b, index.r
        self._empty = datasketch.MinHash(num_perm=PERMUTATIONS, hashfunc=int)

    def __call__(self, document):
        """A list of lines -> uint64 [bands]."""
        minhash = self._empty.copy()
        pieces = shingles(document)
        for begin in range(0, len(pieces), AT_ONCE):
            minhash.update_batch(pieces[begin:begin + AT_ONCE].tolist())
        rows = minhash.hashvalues[:self._number * self._rows].reshape(self._number, self._rows)
        return np.array([_hash(b"%d " % number + row.astype("<u8").tobytes())
                         for number, row in enumerate(rows)], np.uint64)


def shingles(document):
    """32-bit hashes of all runs of SHINGLE characters of a list of lines, each once, sorted.

    White space and case do not count; a shorter document is one run.
    """
    text = "".join("".join(document).lower().split())
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    size = min(SHINGLE, len(codes))
    hashes = np.zeros(len(codes) - size + 1, np.uint64)
    for offset in range(size):
        # A multiplicative hash (Knuth 6.4), whose overflow is the modulus.
        hashes = (hashes + codes[offset:len(codes) - size + 1 + offset]) * np.uint64(
            0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes >> np.uint64(32))


def _hash(content):
    """64 bits of a hash of bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
