# Sourced by the task scripts: downloads that are complete or absent, models, a table of results.
#   fetch https://host/train.json output/data/train.json [SHA256]
#   fetch_archive https://host/c3.zip output/data/c3 m-train.json [SHA256]
# Existing files are not downloaded again. DOWNLOAD_MIRROR=http://my.host/files takes every file
# from http://my.host/files/host/train.json instead (and file:///media/disk from a disk).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
python=.venv/bin/python; [ -x "$python" ] || python=python3
DATA=${DATA:-output/data}  # where downloads go
more=("$@")  # the script's own arguments, flags for every task
run_names=() failed_names=()
trap 'exit 130' INT

die() {
  echo "error: $*" >&2
  exit 1
}

# need COMMAND PURPOSE: exits with one sentence if a program is missing.
need() {
  command -v "$1" >/dev/null || die "$2 needs $1, which is not installed (apt-get install $1)"
}

sha256_of() {
  "$python" -c 'import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as stream:
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
print(digest.hexdigest())' "$1"
}

# fetch URL FILE [SHA256]: an interrupted download resumes where it stopped, in FILE.part.
fetch() {
  local url=$1 file=$2 sha256=${3:-} part=$2.part source=$1 status=0 code found
  [ -s "$file" ] && return 0
  [ -z "${DOWNLOAD_MIRROR:-}" ] || source=${DOWNLOAD_MIRROR%/}/${url#*://}
  local by_hand="put the file by hand as $file and start again (DOWNLOAD_MIRROR=... takes another \
address)"
  command -v curl >/dev/null || die "downloading $source needs curl, which is not installed: \
install it (apt-get install curl), or $by_hand"
  mkdir -p "$(dirname "$file")"
  echo "downloading $source" >&2
  code=$(transfer "$source" "$part") || status=$?
  case $status-$code in 33-* | 36-* | 22-416)  # the server cannot resume at the end of FILE.part
    status=0; rm -f "$part"; code=$(transfer "$source" "$part") || status=$? ;;
  esac
  case $status in
    0) ;;
    22) die "$source: the server answers $code (404: no such file, it may have moved); \
$by_hand" ;;
    37) die "$source: no such file; $by_hand" ;;
    18 | 28 | 52 | 55 | 56 | 92) die "$source: the connection broke; start again to resume after \
$(wc -c < "$part" 2>/dev/null || echo 0) bytes, or $by_hand" ;;
    23) die "$part: cannot be written; is the disk full?" ;;
    *) die "$source: cannot be reached (curl: $status), offline? $by_hand" ;;
  esac
  if [ -n "$sha256" ]; then
    found=$(sha256_of "$part")
    [ "$found" = "$sha256" ] || { rm -f "$part"; die "$source: SHA-256 is $found, expected \
$sha256: damaged on the way or replaced there, removed; start again, or if you trust it $by_hand"; }
  fi
  mv "$part" "$file"
}

# transfer URL FILE: prints the server's status code, such as 200; returns curl's exit status.
transfer() {
  local progress=--silent
  [ -t 2 ] && progress=--progress-bar
  curl --continue-at - --fail --location $progress --show-error --retry 2 --connect-timeout 20 \
    --output "$2" --write-out '%{http_code}' "$1"
}

# fetch_archive URL DIRECTORY MARKER [SHA256]: unpacks a zip or tar file so that DIRECTORY/MARKER
# exists, whatever directories the archive has above MARKER, which may be a pattern.
fetch_archive() {
  local url=$1 directory=$2 marker=$3 archive=$2/${1##*/} part=$2/.unpacking inner entry
  compgen -G "$directory/$marker" >/dev/null && return 0
  fetch "$url" "$archive" "${4:-}"
  rm -rf "$part"
  mkdir -p "$part"
  case $archive in
    *.zip) "$python" -m zipfile -e "$archive" "$part" ;;
    *) need tar "unpacking $archive"; tar -xf "$archive" -C "$part" ;;
  esac >/dev/null 2>&1 || {
    rm -rf "$part" "$archive"; die "$archive: damaged, removed; start again"; }
  inner=$(find "$part" -path "*/$marker" -not -path "*/__MACOSX/*" | sed -n 1p)
  [ -n "$inner" ] || { rm -rf "$part"; die "$archive: holds no $marker; unpack it by hand so that \
$directory/$marker is there, and start again"; }
  inner=${inner%/$marker}
  for entry in "$inner"/*; do  # the marker last: if it exists, everything is unpacked
    case ${entry##*/} in ${marker%%/*}) ;; *) move_in "$entry" "$directory" ;; esac
  done
  for entry in "$inner"/${marker%%/*}; do
    move_in "$entry" "$directory"
  done
  rm -rf "$part" "$archive"
}

# move_in ENTRY DIRECTORY: keeps existing files; refuses to touch an incomplete directory.
move_in() {
  local target=$2/${1##*/}
  if [ -d "$target" ] && [ -d "$1" ]; then
    die "$target: there, but incomplete; remove it and start again"
  fi
  [ -e "$target" ] || mv "$1" "$target"
}

# The released model that a task starts from, unless VOCAB is that of another model (.txt, or a
# SentencePiece .model): sets `model_flags` from VOCAB, CONFIG and INIT (none: random weights).
chinese_model() {
  [ ! -s albert_config/vocab.txt ] || VOCAB=${VOCAB:-albert_config/vocab.txt}
  if [ -z "${VOCAB:-}" ]; then
    local model=$DATA/albert_tiny_489k
    fetch_archive https://storage.googleapis.com/albert_zh/albert_tiny_489k.zip "$model" \
      albert_model.ckpt.index
    VOCAB=$model/vocab.txt INIT=${INIT-$model/albert_model.ckpt}
    CONFIG=${CONFIG:-$model/albert_config_tiny.json}
  fi
  set_model_flags "${CONFIG:-albert_config/albert_config_tiny.json}"
}

english_model() {
  if [ -z "${VOCAB:-}" ]; then
    local model=$DATA/albert_base_v2
    fetch_archive https://storage.googleapis.com/albert_models/albert_base_v2.tar.gz "$model" \
      model.ckpt-best.index
    VOCAB=$model/30k-clean.model INIT=${INIT-$model/model.ckpt-best}
    CONFIG=${CONFIG:-$model/albert_config.json}
  fi
  set_model_flags "${CONFIG:-albert_config/albert_config_base_en.json}"
}

set_model_flags() {
  local vocab_flag=vocab_file
  case $VOCAB in *.model) vocab_flag=spm_model_file ;; esac
  model_flags=(--bert_config_file="$1" --$vocab_flag="$VOCAB" ${INIT:+--init_checkpoint="$INIT"})
}

# wanted NAME: whether TASKS, if given, includes it.
wanted() {
  case " ${TASKS:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
}

# run_task NAME SCRIPT FLAGS...: trains and scores with results in $OUTPUT/NAME; after a task fails
# the next one still runs.
run_task() {
  local name=$1 script=$2 status=0
  shift 2
  run_names+=("$name")
  echo "== $name" >&2
  "$python" "$script" --do_train --do_eval "${model_flags[@]}" --output_dir="$OUTPUT/$name" "$@" \
    ${more[@]+"${more[@]}"} || status=$?
  [ "$status" -lt 128 ] || exit "$status"
  [ "$status" = 0 ] || failed_names+=("$name")
}

# finish: prints the results of every task as a Markdown table, also to $OUTPUT/table.md.
finish() {
  [ "${#run_names[@]}" -gt 0 ] || die "TASKS=$TASKS: none of the tasks in ${0##*/}"
  mkdir -p "$OUTPUT"
  "$python" - "$OUTPUT" "${run_names[@]}" > "$OUTPUT/.table.md" <<'PYTHON' || exit 1
import os
import sys

output, names = sys.argv[1], sys.argv[2:]
rows = {}
for name in names:
    path = os.path.join(output, name, "eval_results.txt")
    lines = open(path).read().splitlines() if os.path.exists(path) else []
    rows[name] = dict(line.split(" = ", 1) for line in lines if " = " in line)
metrics = sorted({metric for row in rows.values() for metric in row} - {"global_step"})
columns = metrics + ["global_step"]
print("| task | %s |" % " | ".join(columns))
print("|---%s|" % ("|---" * len(columns)))
for name in names:
    cells = [rows[name].get(metric, "") for metric in columns]
    cells[:-1] = ["%.4f" % float(cell) if cell else "" for cell in cells[:-1]]
    print("| %s | %s |" % (name, " | ".join(cells)))
PYTHON
  mv "$OUTPUT/.table.md" "$OUTPUT/table.md"
  cat "$OUTPUT/table.md"
  [ "${#failed_names[@]}" = 0 ] || die "failed: ${failed_names[*]}; see the errors above"
}
