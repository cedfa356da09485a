"""jieba's words, found faster than by jieba: its dictionary, probabilities and rules, decoded anew.

    cut = decoding.Decoder().cut
    cut("我喜欢汤")  # ["我", "喜欢", "汤"]

The likeliest words of the dictionary first; what is left over as single characters goes through
jieba's hidden Markov model. Every sum adds the same numbers in the same order as in jieba, so that
ties and near-ties fall as they do there.
"""

import math
import warnings

with warnings.catch_warnings():  # of jieba's patterns, where Python compiles it for the first time
    warnings.simplefilter("ignore", SyntaxWarning)
    import jieba
    from jieba import finalseg

_NEVER = float("-inf")


class Decoder:
    """`cut(sentence)` gives the words of `jieba.Tokenizer().cut(sentence)` as a list.

    jieba itself would take what any user of this machine left as jieba.cache in the directory of
    temporary files; this reads the dictionary from jieba's package.
    """

    def __init__(self):
        self._weights, self._unknown = _dictionary()
        self._emissions = _Emissions()

    def cut(self, sentence):
        """str -> list of its words, of white space too; joined they are the sentence."""
        words = []
        for number, block in enumerate(jieba.re_han_default.split(sentence)):
            if number % 2:
                self._cut_block(block, words)
                continue
            for part_number, part in enumerate(jieba.re_skip_default.split(block)):
                if part_number % 2:
                    words.append(part)  # white space
                else:
                    words += part
        return words

    def _cut_block(self, block, words):
        """Appends the words of a text without white space and punctuation."""
        begin = first_single = 0
        for end in self._ends(block):
            if end - begin > 1:
                if first_single < begin:
                    self._cut_singles(block[first_single:begin], words)
                words.append(block[begin:end])
                first_single = end
            begin = end
        if first_single < begin:
            self._cut_singles(block[first_single:], words)

    def _ends(self, block):
        """Where words of the dictionary end on the likeliest way through a text, as a list.

        As jieba.Tokenizer.calc: of equally likely words the longest; a character that begins no
        word of the dictionary is one by itself, as rare as a word can be.
        """
        find, length = self._weights.get, len(block)
        best = [0.0] * (length + 1)  # the log-probability from here to the end
        end_of = [0] * length  # of the word that begins here
        for begin in range(length - 1, -1, -1):
            value, likeliest, end = _NEVER, begin + 1, begin + 1
            weight = find(block[begin])
            while weight is not None:
                if weight and weight + best[end] >= value:
                    value, likeliest = weight + best[end], end
                if end == length:
                    break
                end += 1
                weight = find(block[begin:end])
            best[begin] = value if value != _NEVER else self._unknown + best[begin + 1]
            end_of[begin] = likeliest
        ends, begin = [], 0
        while begin < length:
            begin = end_of[begin]
            ends.append(begin)
        return ends

    def _cut_singles(self, text, words):
        """Appends the words among characters that the dictionary did not join."""
        if len(text) == 1:
            words.append(text)
        elif self._weights.get(text):
            words += text
        else:
            for number, block in enumerate(finalseg.re_han.split(text)):
                if number % 2:
                    ends = self._hidden_ends(block)
                    words += map(block.__getitem__, map(slice, [0] + ends, ends))
                else:
                    words += filter(None, finalseg.re_skip.split(block))

    def _hidden_ends(self, block):
        """Where words end on the likeliest way through the hidden Markov model, as a list.

        As finalseg.viterbi. A character begins a word (B), stands in its middle (M), ends it (E) or
        is one (S). Of two equally likely states before it, jieba takes the later in the alphabet.
        """
        emissions = map(self._emissions.__getitem__, block)
        b, m, e, s = map(float.__add__, _START, next(emissions))
        before = []  # for each character whether S and not E precedes B and S, and M precedes M, E
        for at_b, at_m, at_e, at_s in emissions:
            s_b, e_b = s + _SB + at_b, e + _EB + at_b
            m_m, b_m = m + _MM + at_m, b + _BM + at_m
            m_e, b_e = m + _ME + at_e, b + _BE + at_e
            s_s, e_s = s + _SS + at_s, e + _ES + at_s
            before.append((s_b >= e_b, m_m >= b_m, m_e >= b_e, s_s >= e_s))
            b, m, e, s = max(s_b, e_b), max(m_m, b_m), max(m_e, b_e), max(s_s, e_s)
        ends = [len(block)]
        state = 3 if s >= e else 2
        for position in range(len(block) - 1, 0, -1):
            later = before[position - 1][state]
            if state in (0, 3):  # a word begins here, and one ends before
                ends.append(position)
                state = 3 if later else 2
            else:
                state = 1 if later else 0
        return ends[::-1]


def _dictionary():
    """({word or beginning of one: log-probability, 0.0 of a mere beginning}, that of a count of 1).

    As jieba.Tokenizer.gen_pfdict and calc have them.
    """
    with jieba.Tokenizer().get_dict_file() as stream:
        columns = stream.read().decode("utf-8").split()  # word, count, part of speech
    words, counts = columns[::3], list(map(int, columns[1::3]))
    log_total = math.log(sum(counts))
    logs = {count: math.log(count) - log_total if count else 0.0 for count in set(counts)}
    weights, longer = {}, words
    for length in range(1, max(map(len, words))):
        longer = [word for word in longer if len(word) > length]
        weights.update(dict.fromkeys((word[:length] for word in longer), 0.0))
    weights.update(zip(words, map(logs.__getitem__, counts)))
    return weights, -log_total


class _Emissions(dict):
    """{character: its log-probabilities in the states B, M, E, S}, computed on first access."""

    def __missing__(self, char):
        states = self[char] = tuple(
            finalseg.emit_P[state].get(char, finalseg.MIN_FLOAT) for state in "BMES")
        return states


_START = [finalseg.start_P[state] for state in "BMES"]
_BM, _BE, _MM, _ME, _EB, _ES, _SB, _SS = (
    finalseg.trans_P[pair[0]][pair[1]] for pair in ("BM", "BE", "MM", "ME", "EB", "ES", "SB", "SS"))
