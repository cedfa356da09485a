"""The tokenizer of a model as transformers reads it, and where a model's directory has its own.

    tokenizer = tokenization.load_tokenizer("vocab.txt")
    tokenizer_files.write(tokenizer, "output/hf", max_length=512)
"""

import os

from util import files, whole_files
from util.errors import UserError

import tokenization

VOCAB, SENTENCEPIECE = "vocab.txt", "spiece.model"
SPECIAL_KEYS = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
# What released archives call them.
VOCAB_NAMES = (VOCAB, "vocab_chinese.txt", "30k-clean.vocab.txt")
SENTENCEPIECE_NAMES = (SENTENCEPIECE, "30k-clean.model")
MODEL_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]


def find(directory):
    """(vocab file, SentencePiece model) in a model's directory; None for what is not there."""
    def first(names):
        paths = [os.path.join(directory, name) for name in names]
        return next(filter(files.is_file, paths), None)
    return first(VOCAB_NAMES), first(SENTENCEPIECE_NAMES)


def load(directory, vocab_file=None, spm_model_file=None, do_lower_case=True):
    """The tokenizer of the files that are named, else of those beside a checkpoint, or None."""
    if not (vocab_file or spm_model_file):
        vocab_file, spm_model_file = find(directory)
    if not (vocab_file or spm_model_file):
        return None
    return tokenization.load_tokenizer(vocab_file, spm_model_file, do_lower_case)


def check_size(tokenizer, config):
    """Raises a UserError if a vocabulary has not the size of a model's."""
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError("%s has %d tokens, the model %d; give the vocabulary that came with it"
                        % (tokenizer.path, tokenizer.vocab_size, config.vocab_size))


def copy(tokenizer, directory):
    """Copies a tokenizer's file to the name by which `load` finds it, unless it stands there."""
    is_wordpiece = isinstance(tokenizer, tokenization.WordPieceTokenizer)
    path = os.path.join(directory, VOCAB if is_wordpiece else SENTENCEPIECE)
    if files.identity(path) != files.identity(tokenizer.path):
        with files.open_file(tokenizer.path, "rb") as stream, \
                whole_files.replacing(path) as temporary, \
                files.open_file(temporary, "wb") as copied:
            copied.write(stream.read())


def special_ids(tokenizer):
    """What config.json says of the vocabulary; [CLS] begins and [SEP] ends a sequence."""
    return {"pad_token_id": tokenizer.pad_id, "bos_token_id": tokenizer.cls_id,
            "eos_token_id": tokenizer.sep_id}


def write(tokenizer, directory, max_length):
    """Writes the vocabulary, tokenizer_config.json, special_tokens_map.json and, for WordPiece,
    tokenizer.json.

    There is none for SentencePiece: what transformers' fast tokenizer makes of a text differs from
    Google's code in numbers with commas (docs/interchange.md); it builds one itself of the model.

    Args:
      tokenizer: of tokenization.py.
      max_length: the most tokens of the model.
    """
    copy(tokenizer, directory)
    special = dict(zip(SPECIAL_KEYS, tokenizer.special_tokens))
    whole_files.write_json(os.path.join(directory, "special_tokens_map.json"), special)
    config = dict(special, do_lower_case=tokenizer.do_lower_case, model_max_length=max_length,
                  model_input_names=MODEL_INPUTS)
    if isinstance(tokenizer, tokenization.WordPieceTokenizer):
        config.update(tokenizer_class="BertTokenizer", tokenize_chinese_chars=True,
                      strip_accents=None)
        _write_wordpiece(tokenizer, os.path.join(directory, "tokenizer.json"))
    else:
        config.update(tokenizer_class="AlbertTokenizer", bos_token="[CLS]", eos_token="[SEP]",
                      remove_space=True, keep_accents=False)
    whole_files.write_json(os.path.join(directory, "tokenizer_config.json"), config)


def _write_wordpiece(tokenizer, path):
    """tokenizer.json, which transformers' fast tokenizers read."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    made = Tokenizer(models.WordPiece(
        tokenizer.vocab, unk_token="[UNK]",
        max_input_chars_per_word=tokenization.MAX_WORD_CHARACTERS))
    made.add_special_tokens(list(tokenizer.special_tokens))
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None,
        lowercase=tokenizer.do_lower_case)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokenizer.cls_id), ("[SEP]", tokenizer.sep_id)])
    made.decoder = decoders.WordPiece(prefix="##")
    with whole_files.replacing(path) as temporary:
        made.save(temporary)
