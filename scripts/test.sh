#!/usr/bin/env bash
# Runs every test on TensorFlow 2.15.1 and, where a Python 3.7 is found, at the same time on
# TensorFlow 1.15.5. It makes its own environments (.venv, .venv-tf1). Arguments go to pytest:
# scripts/test.sh -k lamb
set -euo pipefail
source "$(dirname "$0")/environment.sh"

python=$(find_python 3.11 3.10 3.9) || no_python "3.11, 3.10 or 3.9"
make_environment .venv "$python" requirements-dev.txt
.venv/bin/ruff check .

classic_tests=
if classic=$(find_python 3.7); then
  make_environment .venv-tf1 "$classic" requirements-dev.txt
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  .venv-tf1/bin/python -m pytest -q -o cache_dir=.pytest_cache/tf1 "$@" > "$log" 2>&1 &
  classic_tests=$!
else
  echo "no Python 3.7 found: the tests run on TensorFlow 2.15.1 only (pyenv install 3.7 adds 1.15.5)"
fi

status=0
echo "== $("$python" --version), TensorFlow 2.15.1"
.venv/bin/python -m pytest -q "$@" || status=$?
if [ -n "$classic_tests" ]; then
  wait "$classic_tests" || status=$?
  echo "== Python 3.7, TensorFlow 1.15.5"
  cat "$log"
fi
exit "$status"
