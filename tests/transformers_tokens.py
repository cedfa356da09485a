"""Run by the Python of .venv-2.15: the ids that transformers' tokenizers give to strings.

    python transformers_tokens.py STRINGS.json BERT_DIRECTORY ALBERT_DIRECTORY OUTPUT.json
"""

import json
import sys


def main(strings_path, bert, albert, output):
    import transformers
    transformers.logging.set_verbosity_error()
    tokenizers = {"slow": transformers.BertTokenizer.from_pretrained(bert),
                  "fast": transformers.AutoTokenizer.from_pretrained(bert),
                  "albert": transformers.AlbertTokenizer.from_pretrained(albert)}
    with open(strings_path, encoding="utf-8") as stream:
        strings = json.load(stream)
    ids = {name: [tokenizer.encode(text, add_special_tokens=False) for text in strings]
           for name, tokenizer in tokenizers.items()}
    pair = tokenizers["fast"]("我们", "他们")
    with open(output, "w", encoding="utf-8") as stream:
        json.dump(dict(ids, classes=[type(one).__name__ for one in tokenizers.values()],
                       segments=pair["token_type_ids"],
                       longest=tokenizers["fast"].model_max_length), stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
