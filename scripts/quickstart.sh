#!/usr/bin/env bash
# Raw text -> vocabulary -> records -> pre-training -> fine-tuning -> predictions on the bundled
# sample, set-up included. Results: output/quickstart, or $OUTPUT; a second run resumes there.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

python=$(find_or_fetch_python $SUPPORTED)
make_environment .venv "$python" requirements.txt
python=.venv/bin/python
output=${OUTPUT:-output/quickstart}
mkdir -p "$output"
amp=()
if grep -qs amx_bf16 /proc/cpuinfo && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
  echo "this processor multiplies bfloat16 fast: training computes its products in it (--amp)"
  amp=(--amp)
fi

echo "== 1/5 vocabulary"
"$python" create_vocab.py --input_file=data/news_zh_1.txt,data/lcqmc/train.txt \
  --vocab_size=4000 --output_file="$output/vocab.txt"
vocab_size=$(wc -l < "$output/vocab.txt")
# Without dropout the model would memorize so little data.
sed -e "s/\"vocab_size\": [0-9]*/\"vocab_size\": $((vocab_size))/" -e 's/dropout_prob": 0.0/dropout_prob": 0.1/' \
  albert_config/albert_config_tiny_google.json > "$output/config.json"

echo "== 2/5 pre-training data: the last 20 documents are held out"
awk -v RS= -v ORS='\n\n' 'NR <= 160' data/news_zh_1.txt > "$output/train.txt"
awk -v RS= -v ORS='\n\n' 'NR > 160' data/news_zh_1.txt > "$output/held_out.txt"
for split in train held_out; do
  "$python" create_pretraining_data.py --input_file="$output/$split.txt" \
    --output_file="$output/$split.tfrecord" --vocab_file="$output/vocab.txt" \
    --max_seq_length=64 --max_predictions_per_seq=10 --masked_lm_prob=0.15 --dupe_factor=20
done

echo "== 3/5 pre-training"
"$python" run_pretraining.py --input_file="$output/train.tfrecord" \
  --eval_input_file="$output/held_out.tfrecord" --output_dir="$output/pretraining" \
  --do_train --do_eval --bert_config_file="$output/config.json" --train_batch_size=32 \
  --max_seq_length=64 --max_predictions_per_seq=10 --num_train_steps=1000 \
  --num_warmup_steps=100 --optimizer=adamw --learning_rate=2e-4 ${amp[@]+"${amp[@]}"}

echo "== 4/5 fine-tuning on sentence pairs"
"$python" run_classifier.py --task_name=lcqmc_pair --do_train --do_eval --do_predict \
  --data_dir=data/lcqmc --vocab_file="$output/vocab.txt" --bert_config_file="$output/config.json" \
  --init_checkpoint="$output/pretraining" --output_dir="$output/lcqmc" --max_seq_length=64 \
  --train_batch_size=32 --learning_rate=1e-4 --num_train_epochs=6 ${amp[@]+"${amp[@]}"}

echo "== 5/5 three predictions (1: both questions ask the same)"
paste data/lcqmc/test.txt <(tail -n +2 "$output/lcqmc/test_results.tsv") | head -3 |
  awk -F'\t' '{ printf "%s | %s  ->  %s (probability of 1: %.2f; truth: %s)\n", $1, $2, $5, $7, $3 }'
echo
echo "Next: your own text (one sentence a line, a blank line between documents) in place of"
echo "data/news_zh_1.txt, your own pairs in place of data/lcqmc; README.md lists the commands."
echo "TensorBoard: $python -m tensorboard.main --logdir $output"
