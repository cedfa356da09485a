#!/usr/bin/env bash
# Fine-tunes named entity recognition on CLUENER and Weibo and collects a table. From the
# environment: TASKS (cluener, weibo), TEXT_DIR (a directory for each; downloaded where missing),
# VOCAB, CONFIG, INIT (without VOCAB a released model is downloaded), OUTPUT; more flags as
# arguments.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/ner} TEXT_DIR=${TEXT_DIR:-$DATA/ner}

run() {  # name, length, batch, rate, epochs
  wanted "$1" || return 0
  "get_$1" "$TEXT_DIR/$1"
  run_task "$1" run_ner.py --task_name="$1" --data_dir="$TEXT_DIR/$1" --do_predict \
    --max_seq_length="$2" --train_batch_size="$3" --learning_rate="$4" --num_train_epochs="$5"
}

get_cluener() {
  fetch_archive https://storage.googleapis.com/cluebenchmark/tasks/cluener_public.zip "$1" train.json
}

get_weibo() {
  local split
  for split in train dev test; do
    [ -s "$1/$split.conll" ] || fetch \
      "https://raw.githubusercontent.com/hltcoe/golden-horse/master/data/weiboNER_2nd_conll.$split" \
      "$1/weiboNER_2nd_conll.$split"
  done
}

chinese_model
run cluener 128 32 1e-4 5
run weibo 128 16 2e-4 20
finish
