#!/usr/bin/env bash
# albert_zh's data command. From the environment: INPUT (text), OUTPUT (records) and VOCAB; more
# flags as arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python; [ -x "$python" ] || python=python3
input=${INPUT:-data/news_zh_1.txt}
vocab=${VOCAB:-albert_config/vocab.txt}
if [ -z "${VOCAB-}" ] && [ ! -f "$vocab" ]; then
  # The released models' vocabulary comes in their archives; this one fits none of them.
  vocab=output/sample_vocab.txt
  echo "albert_config/vocab.txt is not here (it comes with the released models): making $vocab" \
    "from $input; for a released model give its own, VOCAB=albert_tiny_zh/vocab.txt" >&2
  [ -f "$vocab" ] || "$python" create_vocab.py --input_file="$input" --output_file="$vocab"
fi
"$python" create_pretraining_data.py --do_whole_word_mask=True \
  --input_file="$input" --output_file="${OUTPUT:-data/tf_news.tfrecord}" \
  --vocab_file="$vocab" --do_lower_case=True --max_seq_length=512 \
  --max_predictions_per_seq=51 --masked_lm_prob=0.10 "$@"
