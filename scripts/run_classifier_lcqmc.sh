#!/usr/bin/env bash
# Fine-tunes on LCQMC. From the environment: TEXT_DIR (train.txt dev.txt test.txt, downloaded where
# missing; default: data/lcqmc, a sample), VOCAB, CONFIG, INIT (a checkpoint; without VOCAB a
# released model is downloaded), OUTPUT; more flags as arguments.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/lcqmc} TEXT_DIR=${TEXT_DIR:-data/lcqmc}

for split in train dev test; do  # LCQMC has no official download; these are albert_zh's links
  [ -s "$TEXT_DIR/$split.tsv" ] || fetch \
    https://raw.githubusercontent.com/pengming617/text_matching/master/data/$split.txt \
    "$TEXT_DIR/$split.txt"
done
chinese_model
"$python" run_classifier.py --task_name=lcqmc_pair --do_train=true --do_eval=true \
  --do_predict=true --data_dir="$TEXT_DIR" "${model_flags[@]}" --max_seq_length=128 \
  --train_batch_size=64 --learning_rate=1e-4 --num_train_epochs=5 --output_dir="$OUTPUT" "$@"
