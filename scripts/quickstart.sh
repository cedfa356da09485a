#!/usr/bin/env bash
# Raw text -> records -> pre-training, then fine-tuning -> predictions, from the sample model that comes
# with this code, set-up included. Results: output/quickstart, or $OUTPUT; a second run resumes there.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

python=$(find_or_fetch_python $SUPPORTED)
make_environment .venv "$python" requirements.txt
python=.venv/bin/python
output=${OUTPUT:-output/quickstart}
model=${MODEL:-data/albert_tiny_sample}
mkdir -p "$output"
amp=()
if grep -Eqs 'amx_bf16|avx512_bf16' /proc/cpuinfo && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
  echo "this processor multiplies bfloat16 fast: training computes its products in it (--amp)"
  amp=(--amp)
fi

echo "== 1/4 pre-training data: the last 20 documents are held out"
awk -v RS= -v ORS='\n\n' 'NR <= 160' data/news_zh_1.txt > "$output/train.txt"
awk -v RS= -v ORS='\n\n' 'NR > 160' data/news_zh_1.txt > "$output/held_out.txt"
for split in train held_out; do
  "$python" create_pretraining_data.py --input_file="$output/$split.txt" \
    --output_file="$output/$split.tfrecord" --vocab_file=$model/vocab.txt \
    --max_seq_length=128 --max_predictions_per_seq=26 --masked_lm_prob=0.15 --store_sentences
done

echo "== 2/4 pre-training goes on from $model, on that text"
"$python" run_pretraining.py --input_file="$output/train.tfrecord" \
  --eval_input_file="$output/held_out.tfrecord" --output_dir="$output/pretraining" \
  --do_train --do_eval --dynamic_masking --init_checkpoint=$model \
  --bert_config_file=$model/config.json --train_batch_size=32 --max_seq_length=128 \
  --max_predictions_per_seq=26 --num_train_steps=100 --optimizer=adamw --learning_rate=1e-4 \
  ${amp[@]+"${amp[@]}"}

echo "== 3/4 fine-tuning on sentence pairs, from $model"
"$python" run_classifier.py --task_name=lcqmc_pair --do_train --do_eval --do_predict \
  --data_dir=data/lcqmc --vocab_file=$model/vocab.txt --bert_config_file=$model/config.json \
  --init_checkpoint=$model --output_dir="$output/lcqmc" --max_seq_length=64 \
  --train_batch_size=32 --learning_rate=1e-4 --num_train_epochs=6 ${amp[@]+"${amp[@]}"}

echo "== 4/4 three predictions (1: both questions ask the same)"
paste data/lcqmc/test.txt <(tail -n +2 "$output/lcqmc/test_results.tsv") |
  awk -F'\t' 'NR <= 3 { printf "%s | %s  ->  %s (probability of 1: %.2f; truth: %s)\n", $1, $2, $5, $7, $3 }'
echo
echo "Next: your own text (one sentence a line, a blank line between documents) in place of"
echo "data/news_zh_1.txt, your own pairs in place of data/lcqmc; README.md lists the commands, also"
echo "those for a vocabulary and a model of your own."
echo "TensorBoard: $python -m tensorboard.main --logdir $output"
