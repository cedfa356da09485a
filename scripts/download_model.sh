#!/usr/bin/env bash
# Downloads a released model and looks whether its files belong together:
#   bash scripts/download_model.sh albert_tiny_zh            # to output/data/albert_tiny_zh, or $DATA
# Without a name it lists them. An interrupted download resumes; DOWNLOAD_MIRROR as in fetch.sh.
set -euo pipefail
source "$(dirname "$0")/fetch.sh"

zh=https://storage.googleapis.com/albert_zh google=https://storage.googleapis.com/albert_models
# name, archive, what it is
models="
albert_tiny_zh                          $zh/albert_tiny_zh.zip                          brightmart, 4 layers of 312
albert_tiny_489k                        $zh/albert_tiny_489k.zip                        brightmart, 4 layers of 312, trained for longer
albert_base_zh                          $zh/albert_base_zh.zip                          brightmart, 12 layers of 768
albert_base_zh_additional_36k_steps     $zh/albert_base_zh_additional_36k_steps.zip     brightmart, 12 layers of 768, trained for longer
albert_large_zh                         $zh/albert_large_zh.zip                         brightmart, 24 layers of 1024
albert_xlarge_zh_177k                   $zh/albert_xlarge_zh_177k.zip                   brightmart, 24 layers of 2048
albert_xlarge_zh_183k                   $zh/albert_xlarge_zh_183k.zip                   brightmart, 24 layers of 2048, trained for longer
albert_tiny_zh_google                   $zh/albert_tiny_zh_google.zip                   Google's layout, 4 layers of 312
albert_small_zh_google                  $zh/albert_small_zh_google.zip                  Google's layout, 6 layers of 384
google_base_zh                          $google/albert_base_zh.tar.gz                   Google, Chinese
google_large_zh                         $google/albert_large_zh.tar.gz                  Google, Chinese
google_xlarge_zh                        $google/albert_xlarge_zh.tar.gz                 Google, Chinese
google_xxlarge_zh                       $google/albert_xxlarge_zh.tar.gz                Google, Chinese
base_v1                                 $google/albert_base_v1.tar.gz                   Google, English
large_v1                                $google/albert_large_v1.tar.gz                  Google, English
xlarge_v1                               $google/albert_xlarge_v1.tar.gz                 Google, English
xxlarge_v1                              $google/albert_xxlarge_v1.tar.gz                Google, English
base_v2                                 $google/albert_base_v2.tar.gz                   Google, English
large_v2                                $google/albert_large_v2.tar.gz                  Google, English
xlarge_v2                               $google/albert_xlarge_v2.tar.gz                 Google, English
xxlarge_v2                              $google/albert_xxlarge_v2.tar.gz                Google, English
"

name=${1:-}
if [ -z "$name" ]; then
  echo "$models" | awk 'NF { printf "%-38s", $1; for (i = 3; i <= NF; i++) printf "%s ", $i; print "" }'
  exit 0
fi
url=$(echo "$models" | awk -v name="$name" '$1 == name { print $2 }')
[ -n "$url" ] || die "$name: no such model; bash scripts/download_model.sh lists them"

directory=$DATA/$name
fetch_archive "$url" "$directory" '*.ckpt*.index'
"$python" convert_checkpoint.py --inspect="$directory"
