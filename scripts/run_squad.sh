#!/usr/bin/env bash
# Fine-tunes on SQuAD 1.1 and 2.0 and collects a table. From the environment: TASKS (squad, squad2),
# TEXT_DIR (train-v1.1.json and so on; downloaded where missing), VOCAB, CONFIG, INIT (without VOCAB
# a released model is downloaded), OUTPUT; more flags as arguments.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/squad} TEXT_DIR=${TEXT_DIR:-$DATA/squad}

run() {  # name, version, batch, rate, epochs, SHA-256 of the training and of the dev file
  wanted "$1" || return 0
  local server=https://rajpurkar.github.io/SQuAD-explorer/dataset
  fetch "$server/train-$2.json" "$TEXT_DIR/train-$2.json" "$6"
  fetch "$server/dev-$2.json" "$TEXT_DIR/dev-$2.json" "$7"
  run_task "$1" run_squad.py --task_name="$1" --data_dir="$TEXT_DIR" --max_seq_length=384 \
    --doc_stride=128 --max_query_length=64 --n_best_size=20 --max_answer_length=30 \
    --warmup_proportion=.1 --train_batch_size="$3" --learning_rate="$4" --num_train_epochs="$5"
}

english_model
run squad v1.1 48 5e-5 2 3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955 \
  95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9
run squad2 v2.0 48 3e-5 2 68dcfbb971bd3e96d5b46c7177b16c1a4e7d4bdef19fb204502738552dede002 \
  80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8
finish
