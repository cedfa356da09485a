#!/usr/bin/env bash
# Fine-tunes on CMRC 2018. From the environment: TEXT_DIR (train.json and dev.json, or
# cmrc2018_train.json and so on, downloaded where missing), VOCAB, CONFIG, INIT (without VOCAB a
# released model is downloaded), OUTPUT; more flags as arguments.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/cmrc} TEXT_DIR=${TEXT_DIR:-$DATA/cmrc2018}

get() {  # split, SHA-256
  [ -s "$TEXT_DIR/$1.json" ] || fetch \
    "https://raw.githubusercontent.com/ymcui/cmrc2018/master/squad-style-data/cmrc2018_$1.json" \
    "$TEXT_DIR/cmrc2018_$1.json" "$2"
}

get train 5497aa2f81908e31d6b0e27d99b1f90ab63a8f58fa92fffe5d17cf62eba0c212
get dev e9ff74231f05c230c6fa88b84441ee334d97234cbb610991cd94b82db00c7f1f
chinese_model
run_task cmrc2018 run_squad.py --task_name=cmrc2018 --data_dir="$TEXT_DIR" --max_seq_length=512 \
  --doc_stride=128 --max_query_length=64 --max_answer_length=50 --warmup_proportion=.1 \
  --train_batch_size=32 --learning_rate=1e-4 --num_train_epochs=3
finish
