#!/usr/bin/env bash
# albert_zh's data command. From the environment: INPUT (text), OUTPUT (records) and VOCAB; more
# flags as arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python; [ -x "$python" ] || python=python3
"$python" create_pretraining_data.py --do_whole_word_mask=True \
  --input_file="${INPUT:-data/news_zh_1.txt}" --output_file="${OUTPUT:-data/tf_news.tfrecord}" \
  --vocab_file="${VOCAB:-albert_config/vocab.txt}" --do_lower_case=True --max_seq_length=512 \
  --max_predictions_per_seq=51 --masked_lm_prob=0.10 "$@"
