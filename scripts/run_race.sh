#!/usr/bin/env bash
# Fine-tunes on RACE with the settings of Google's run_race.py. From the environment: TEXT_DIR
# (train, dev and test with middle and high in each; downloaded where missing), VOCAB, CONFIG, INIT
# (without VOCAB a released model is downloaded), OUTPUT; more flags as arguments (--high_only).
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/race} TEXT_DIR=${TEXT_DIR:-$DATA/race}

fetch_archive http://www.cs.cmu.edu/~glai1/data/race/RACE.tar.gz "$TEXT_DIR" train/high \
  b2769cc9fdc5c546a693300eb9a966cec6870bd349fbc44ed5225f8ad33006e5
english_model
run_task race run_race.py --task_name=race --data_dir="$TEXT_DIR" --do_predict \
  --max_seq_length=512 --max_qa_length=128 --train_batch_size=32 --learning_rate=1e-5 \
  --train_step=12000 --warmup_step=1000 --eval_every_steps=2000
finish
