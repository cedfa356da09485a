#!/usr/bin/env bash
# Fine-tunes on CLUE and collects a table. From the environment: TASKS (some of the names below),
# TEXT_DIR (a directory for each; downloaded where missing), VOCAB, CONFIG, INIT (without VOCAB a
# released model is downloaded), OUTPUT; more flags as arguments. Submission files are written
# beside the results.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"
OUTPUT=${OUTPUT:-output/clue} TEXT_DIR=${TEXT_DIR:-$DATA/clue}

run() {  # name, length, batch, rate, epochs, file that must be there, SHA-256 of the archive
  wanted "$1" || return 0
  local script=run_classifier.py url=https://storage.googleapis.com/cluebenchmark/tasks/$1_public.zip
  case $1 in
    c3 | chid) script=run_race.py ;;
    ocnli) url=https://github.com/CLUEbenchmark/OCNLI/archive/02d55cb3c7dc984682677b8dd81db6a1e4710720.zip ;;
  esac
  fetch_archive "$url" "$TEXT_DIR/$1" "$6" "${7:-}"
  run_task "$1" "$script" --task_name="$1" --data_dir="$TEXT_DIR/$1" --do_predict \
    --max_seq_length="$2" --train_batch_size="$3" --learning_rate="$4" --num_train_epochs="$5"
}

chinese_model
run afqmc 128 16 2e-5 3 train.json 5a4cb1556b833010c329fa2ad2207d9e98fc94071b7e474015e9dd7c385db4dc
run tnews 128 16 2e-5 3 train.json 77c476e70cfe0b014a81b84c6e1db2142a8a2f52f4ae0a8216aa75e673933462
run iflytek 128 32 2e-5 3 train.json c59b961b29f1d0bad0c5e01aa62e4a61a80e9cfb980ce89b06c000851fbb3b06
run ocnli 128 32 3e-5 3 train.50k.json
run cmnli 128 64 3e-5 2 train.json 3a3f3b1d3d27134cf11e585156f07fa050bd0a0836821c02696af0dbaa14513b
run cluewsc2020 128 16 1e-5 10 train.json ebe5f357b19392d601be401b2fd4246983f534809a078eab7bda1de418fb3ffe
run csl 128 16 1e-5 5 train.json 795d1a2e475d59acad8236f6c5baba7a0b43d3e0508cb60f15ffbc76d5f437c4
run c3 512 16 2e-5 8 m-train.json 20dfa683c57c9795129e22d8dd0c299d6b2a29fbc84758ef2ebdb8b2904d7e12
run chid 64 24 2e-5 3 train_answer.json be02dbcc41a9c237542141f53836e70a209f7a686cf894891411c7e5534f73a4
finish
