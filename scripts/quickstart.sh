#!/usr/bin/env bash
# Raw text -> vocabulary -> records -> pre-training -> fine-tuning -> predictions, on the bundled
# sample, with its own set-up. OUTPUT=output/quickstart by default; a second run goes on there.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

python=$(find_python 3.11 3.10 3.9 3.7) || no_python "3.11, 3.10, 3.9 or 3.7"
make_environment .venv "$python" requirements.txt
python=.venv/bin/python
output=${OUTPUT:-output/quickstart}
mkdir -p "$output"

echo "== 1/5 vocabulary"
[ -f "$output/vocab.txt" ] || "$python" create_vocab.py --input_file=data/news_zh_1.txt,data/lcqmc/train.txt \
  --vocab_size=4000 --output_file="$output/vocab.txt"
vocab_size=$(wc -l < "$output/vocab.txt")
sed "s/\"vocab_size\": [0-9]*/\"vocab_size\": $vocab_size/" \
  albert_config/albert_config_tiny_google.json > "$output/config.json"
