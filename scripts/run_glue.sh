#!/usr/bin/env bash
# Fine-tunes on GLUE with the settings of Google's run_glue.sh and collects a table. From the
# environment: TASKS (some of the names below), TEXT_DIR (holds CoLA and so on; downloaded where
# missing), VOCAB, CONFIG, INIT (without VOCAB a released model), OUTPUT; more flags as arguments.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/glue} TEXT_DIR=${TEXT_DIR:-$DATA/glue}
server=https://dl.fbaipublicfiles.com

mrpc() {  # Microsoft's two files; GLUE's dev split is the pairs of dev_ids.tsv in the first
  local to=$TEXT_DIR/MRPC from=$server/senteval/senteval_data/msr_paraphrase
  [ ! -s "$to/train.tsv" ] || return 0
  fetch "${from}_test.txt" "$to/test.tsv" a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784
  fetch "${from}_train.txt" "$to/all.tsv" 60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89
  fetch "$server/glue/data/mrpc_dev_ids.tsv" "$to/dev_ids.tsv" 971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7
  awk -F'\t' -v dev="$to/dev.tsv" 'NR == FNR { sub(/\r$/, ""); held[$1, $2]; next }
    FNR == 1 { print > dev; print; next } ($2, $3) in held { print > dev; next } { print }' \
    "$to/dev_ids.tsv" "$to/all.tsv" > "$to/train.part" && mv "$to/train.part" "$to/train.tsv"
}

run() {  # name, warmup steps, rate, steps, batch, archive, its SHA-256
  wanted "$1" || return 0
  if [ "$1" = MRPC ]; then mrpc; else
    fetch_archive "$server/glue/data/$6.zip" "$TEXT_DIR" "$1/train.tsv" "$7"; fi
  run_task "$1" run_classifier.py --task_name="$1" --data_dir="$TEXT_DIR/$1" --do_predict \
    --max_seq_length=512 --warmup_step="$2" --learning_rate="$3" --train_step="$4" --train_batch_size="$5"
}

english_model
! wanted MNLI || fetch "$server/glue/data/AX.tsv" "$TEXT_DIR/AX/AX.tsv"  # predicted by MNLI's model
run SST-2 1256 1e-5 20935 32 SST-2 d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa
run MNLI 1000 3e-5 10000 128 MNLI e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633
run CoLA 320 1e-5 5336 16 CoLA f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff
run QNLI 1986 1e-5 33112 32 QNLIv2 e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5
run QQP 1000 5e-5 14000 128 QQP-clean 40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0
run RTE 200 3e-5 800 32 RTE 6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee
run STS-B 214 2e-5 3598 16 STS-B e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85
run MRPC 200 2e-5 800 32
finish
