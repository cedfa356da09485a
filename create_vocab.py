"""Makes a vocabulary from raw text: WordPiece (vocab.txt) or SentencePiece (.model and .vocab).

    python create_vocab.py --input_file=data/news_zh_1.txt --output_file=vocab.txt
    python create_vocab.py --input_file="data/en_*.txt" --model_type=sentencepiece \
        --vocab_size=30000 --output_file=30k

WordPiece: the special tokens, then the characters by frequency (ideographs and punctuation are
words of their own and get no ##), then pieces learnt from the remaining words. The same input gives
the same file.
"""

import collections
import contextlib
import importlib
import json
import re
import shlex
import subprocess
import sys
import tempfile

from util import commands, console, files, whole_files
from util.errors import UserError

import tqdm
from absl import flags

import tokenization
from text.corpus import ARTICLE_TAGS, read_lines

SMALLEST, LARGEST = 100, 1000000
# As Google trained ALBERT's vocabulary: at most 10 million sentences, and these symbols.
MAX_SENTENCES = 10000000
USER_DEFINED_SYMBOLS = ["(", ")", '"', "-", ".", "–", "£", "€"]
# SentencePiece silently skips longer lines; its default of 4192 bytes is 1,400 Chinese characters.
# Lines are cut far below it (text/corpus.py), and grow at most elevenfold when they are cleaned.
MAX_LINE_BYTES = 1 << 20
# It silently skips every line with its sign of an unknown piece, too.
RESERVED = "\u2585"
# The trainer crashes in a process that has loaded TensorFlow (issue 813 of google/sentencepiece),
# so it runs in its own: options as an argument, sentences on stdin, the model on stdout.
TRAINER = """
import json, sys
import sentencepiece
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=(line.rstrip(b"\\n") for line in sys.stdin.buffer),
    model_writer=sys.stdout.buffer, **json.loads(sys.argv[1]))
"""


def define_flags():
    flags.DEFINE_string("input_file", None, "UTF-8 text: files, globs or comma lists of them.")
    flags.DEFINE_string("output_file", None,
                        "The vocabulary to write; for sentencepiece a prefix, which gets .model "
                        "and .vocab.")
    flags.DEFINE_enum("model_type", "wordpiece", ["wordpiece", "sentencepiece"],
                      "wordpiece for Chinese, as the released Chinese models; sentencepiece "
                      "(unigram) for other languages, as the English ones.")
    flags.DEFINE_integer("vocab_size", 21128,
                         "Maximum number of tokens, %d to %d; 21128 is that of the released "
                         "Chinese models." % (SMALLEST, LARGEST))
    flags.DEFINE_integer("min_frequency", 2,
                         "wordpiece: how often a character or piece must occur, 1 or more.")
    flags.DEFINE_float("character_coverage", 0.9995,
                       "sentencepiece: share of all characters to have tokens for, 0.98 to 1; "
                       "0.9995 suits Chinese, 1 a small alphabet.")
    flags.DEFINE_bool("do_lower_case", True,
                      "Lower-case the text and drop accents; later commands need the same value.")
    flags.DEFINE_bool("skip_bad_lines", False,
                      "Skip lines that are not UTF-8 instead of stopping at the first.")


class Corpus:
    """The lines of the input files, read again on every pass and never kept in memory.

    Attributes:
      counts: Counter of what text.corpus.read_lines counted in the last pass.
    """

    def __init__(self, paths, skip_bad_lines=False):
        files.check_rereadable(paths)
        self.paths = paths
        self.counts = collections.Counter()
        self._skip_bad_lines = skip_bad_lines

    def lines(self, title):
        """Yields every line that is not blank; long ones in pieces; shows a progress bar."""
        self.counts.clear()
        with console.progress(total=sum(map(files.size, self.paths)), unit="B", desc=title) as bar:
            for line in read_lines(self.paths, self.counts, self._skip_bad_lines):
                if line:
                    yield line
                if self.counts["input bytes"] != bar.n:
                    bar.update(self.counts["input bytes"] - bar.n)


def _tails(word):
    """A word's characters after the first, as pieces: "abc" -> ["##b", "##c"]."""
    return ["##" + char for char in word[1:]]


def count_characters(corpus, do_lower_case):
    """Counter of "a" for every occurrence and "##a" for those inside words, as BERT splits text."""
    tokenize = tokenization.BasicTokenizer(do_lower_case).tokenize
    counts = collections.Counter()
    for line in corpus.lines("counting characters"):
        words = tokenize(line)
        counts.update("".join(words))
        for word in words:
            if len(word) > 1:
                counts.update(_tails(word))
    return counts


def _words_for_pieces(corpus, known, do_lower_case):
    """Yields lines of the words to learn pieces from: of several characters, all of them known."""
    tokenize = tokenization.BasicTokenizer(do_lower_case).tokenize
    for line in corpus.lines("counting words"):
        words = [word for word in tokenize(line)
                 if 1 < len(word) <= tokenization.MAX_WORD_CHARACTERS
                 and word[0] in known and known.issuperset(_tails(word))]
        if words:
            yield " ".join(words)


def train_wordpiece(corpus, counts, vocab_size, min_frequency, do_lower_case):
    """Trains WordPiece as the `tokenizers` library does.

    Args:
      corpus: Corpus.
      counts: what `count_characters` found in it.
      vocab_size: maximum number of tokens; characters come before longer pieces.
      min_frequency: characters and pieces that occur less often are left out.

    Returns:
      list of tokens by id: special ones, characters by frequency, pieces in the order of training.
    """
    import tokenizers

    special = list(tokenization.WordPieceTokenizer.special_tokens)
    frequent = [token for token, count in counts.items() if count >= min_frequency]
    frequent.sort(key=lambda token: (-counts[token], len(token), token))
    characters = frequent[:vocab_size - len(special)]
    # The library orders an alphabet that it collects itself by a hash table, which breaks ties
    # differently in every run; passed as special tokens, the characters keep this order.
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special + characters,
        continuing_subword_prefix="##", show_progress=sys.stderr.isatty())
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    lines = _words_for_pieces(corpus, set(characters), do_lower_case)
    model.train_from_iterator(lines, trainer)
    vocab = model.get_vocab()
    return sorted(vocab, key=vocab.get)


def train_sentencepiece(sentences, vocab_size, character_coverage):
    """Trains a unigram model with the special tokens and options of Google's ALBERT.

    Args:
      sentences: iterable of clean text (see tokenization.SentencePieceCleaner).
      vocab_size: approximate number of pieces; fewer if the text has no more.
      character_coverage: share of all characters that get pieces, 0.98 to 1.

    Returns:
      bytes of the .model file.

    Raises:
      UserError: the library cannot train such a model on this text.
    """
    options = {
        "model_type": "unigram", "vocab_size": vocab_size, "hard_vocab_limit": False,
        "character_coverage": character_coverage, "user_defined_symbols": USER_DEFINED_SYMBOLS,
        "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
        "control_symbols": ["[CLS]", "[SEP]", "[MASK]"], "input_sentence_size": MAX_SENTENCES,
        "shuffle_input_sentence": True, "max_sentence_length": MAX_LINE_BYTES, "minloglevel": 2}
    with tempfile.TemporaryFile() as log:
        trainer = subprocess.Popen([sys.executable, "-c", TRAINER, json.dumps(options)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            with contextlib.suppress(BrokenPipeError):  # it failed; its log says why
                for sentence in sentences:
                    trainer.stdin.write(sentence.encode("utf-8") + b"\n")
            model = _await_output(trainer)
        finally:
            trainer.kill()  # only if reading failed, otherwise it has ended
            trainer.wait()
        if trainer.returncode:
            log.seek(0)
            reason = log.read().decode("utf-8", "replace").strip().split("\n")[-1].split("] ")[-1]
            raise UserError("sentencepiece cannot make %d tokens of this text (%s); raise "
                            "--vocab_size, lower --character_coverage or give more text"
                            % (vocab_size, reason.rstrip(".") or "no sentence is short enough"))
    return model


def _await_output(process):
    """What a process writes to standard output; a long wait shows the elapsed time."""
    with tqdm.tqdm(desc="training", bar_format="{desc}: {elapsed}", delay=3, disable=None) as bar:
        while True:
            try:
                return process.communicate(timeout=1)[0]
            except subprocess.TimeoutExpired:
                bar.update()


def list_pieces(content):
    """Bytes of a .model file -> text of the .vocab file: per line piece, tab, log probability."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_proto=content)
    return "".join("%s\t%g\n" % (model.id_to_piece(index), model.get_score(index))
                   for index in range(model.get_piece_size()))


def measure(tokenizer, corpus):
    """Tokenizes the corpus -> Counter of the figures in the summary.

    "tokens"; "characters", white space excluded; of those "unknown", in an unknown token, and
    "uncovered", unknown by themselves.
    """
    total = collections.Counter()
    for line in corpus.lines("measuring"):
        ids, starts, ends = tokenizer.encode_with_offsets(line)
        total["tokens"] += len(ids)
        total["characters"] += len("".join(line.split()))
        if tokenizer.unk_id not in ids:
            continue
        for index, start, end in zip(ids, starts, ends):
            if index == tokenizer.unk_id:
                total["unknown"] += end - start
                total["uncovered"] += sum(
                    tokenizer.unk_id in tokenizer.encode(char) for char in line[start:end])
    return total


def check_flags(flags):
    """Rejects flags out of range and a missing library before any work."""
    if not flags.output_file:
        raise UserError("--output_file is missing; give the name of the vocabulary to write")
    if not SMALLEST <= flags.vocab_size <= LARGEST:
        raise UserError("--vocab_size=%d is out of range; give a number of tokens from %d to %d"
                        % (flags.vocab_size, SMALLEST, LARGEST))
    if flags.min_frequency < 1:
        raise UserError("--min_frequency=%d is out of range; give 1 or more" % flags.min_frequency)
    if not 0.98 <= flags.character_coverage <= 1:
        raise UserError("--character_coverage=%g is out of range; give a share from 0.98 to 1"
                        % flags.character_coverage)
    library = "tokenizers" if flags.model_type == "wordpiece" else "sentencepiece"
    try:
        importlib.import_module(library)
    except ImportError:
        raise UserError("--model_type=%s needs the %s library, which is not installed; "
                        "pip install -r requirements.txt, or pip install %s"
                        % (flags.model_type, library, library)) from None


def _write(path, content):
    with files.open_file(path, "wb") as stream:
        stream.write(content)


def output_paths(output_file, model_type):
    """The files to write: the vocabulary, or PREFIX.model and, for people to read, PREFIX.vocab."""
    if model_type == "wordpiece":
        return [output_file]
    prefix = re.sub(r"\.model$", "", output_file)
    return [prefix + ".model", prefix + ".vocab"]


def make_wordpiece(flags, corpus, counts):
    """Writes the vocabulary; returns its tokenizer."""
    tokens = train_wordpiece(
        corpus, counts, flags.vocab_size, flags.min_frequency, flags.do_lower_case)
    if len(tokens) == len(tokenization.WordPieceTokenizer.special_tokens):
        raise UserError("--min_frequency=%d: no character of the text occurs so often, the most "
                        "frequent one %d times; lower it or give more text"
                        % (flags.min_frequency, max(counts.values())))
    with whole_files.replacing(flags.output_file) as temporary:
        _write(temporary, "".join(token + "\n" for token in tokens).encode("utf-8"))
    return tokenization.WordPieceTokenizer(flags.output_file, flags.do_lower_case)


def make_sentencepiece(flags, corpus):
    """Writes PREFIX.model and PREFIX.vocab; returns the tokenizer."""
    clean = tokenization.SentencePieceCleaner(flags.do_lower_case).clean
    cleaned = (clean(line)[0].replace(RESERVED, " ") for line in corpus.lines("reading"))
    content = train_sentencepiece(
        filter(None, cleaned), flags.vocab_size, flags.character_coverage)
    model, vocab = output_paths(flags.output_file, flags.model_type)
    with whole_files.replacing(model) as temporary, whole_files.replacing(vocab) as listing:
        _write(temporary, content)
        _write(listing, list_pieces(content).encode("utf-8"))
    return tokenization.SentencePieceTokenizer(model, flags.do_lower_case)


def _summarize(flags, tokenizer, corpus):
    """Prints the vocabulary's size, its coverage of the input and the next command."""
    total = measure(tokenizer, corpus)
    share = 100 / max(total["characters"], 1)
    console.say("%s: %d tokens", tokenizer.path, tokenizer.vocab_size)
    if tokenizer.vocab_size < flags.vocab_size:
        console.say("  fewer than --vocab_size=%d: no others occur often enough in the text; set "
                    "vocab_size to %d in the model's config",
                    flags.vocab_size, tokenizer.vocab_size)
    for name, sentence in [
            ("bad lines", "%d lines are not UTF-8 and were left out"),
            ("long lines cut", "%d long lines were cut in pieces"),
            (ARTICLE_TAGS, "%d lines are <doc ...> or </doc> and were left out")]:
        if corpus.counts[name]:
            console.say("  " + sentence, corpus.counts[name])
    if flags.model_type == "sentencepiece" and corpus.counts["lines"] > MAX_SENTENCES:
        console.say("  it learnt from %d of the %d lines, drawn at random", MAX_SENTENCES,
                    corpus.counts["lines"])
    console.say("  of the input's %d characters %.3f %% are covered and %.3f %% fall in %s; "
                "%.2f characters a token", total["characters"], 100 - share * total["uncovered"],
                share * total["unknown"], tokenizer.tokens[tokenizer.unk_id],
                total["characters"] / max(total["tokens"], 1))
    flag = "vocab_file" if flags.model_type == "wordpiece" else "spm_model_file"
    console.say("next: python create_pretraining_data.py --input_file=%s --%s=%s%s "
                "--output_file=pretraining.tfrecord", shlex.quote(flags.input_file), flag,
                shlex.quote(tokenizer.path),
                "" if flags.do_lower_case else " --do_lower_case=False")


def main(flags):
    check_flags(flags)
    corpus = Corpus(files.expand(flags.input_file), flags.skip_bad_lines)
    whole_files.check_outputs(output_paths(flags.output_file, flags.model_type), corpus.paths)
    # Also for sentencepiece, so that a bad line is found before its trainer starts.
    counts = count_characters(corpus, flags.do_lower_case)
    if not counts:
        raise UserError("--input_file=%s: no text in %d files; give files with a sentence a line"
                        % (flags.input_file, len(corpus.paths)))
    if flags.model_type == "wordpiece":
        tokenizer = make_wordpiece(flags, corpus, counts)
    else:
        tokenizer = make_sentencepiece(flags, corpus)
    _summarize(flags, tokenizer, corpus)


if __name__ == "__main__":
    commands.run(main, define_flags)
