#!/usr/bin/env bash
# Fine-tunes on LCQMC. From the environment: TEXT_DIR (train.txt dev.txt test.txt), VOCAB, CONFIG,
# INIT (a checkpoint), OUTPUT; more flags as arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python; [ -x "$python" ] || python=python3
"$python" run_classifier.py --task_name=lcqmc_pair --do_train=true --do_eval=true \
  --do_predict=true --data_dir="${TEXT_DIR:-data/lcqmc}" --vocab_file="${VOCAB:-albert_config/vocab.txt}" \
  --bert_config_file="${CONFIG:-albert_config/albert_config_tiny.json}" --max_seq_length=128 \
  --train_batch_size=64 --learning_rate=1e-4 --num_train_epochs=5 \
  --output_dir="${OUTPUT:-output/lcqmc}" ${INIT:+--init_checkpoint="$INIT"} "$@"
