#!/usr/bin/env bash
# Runs every test on TensorFlow 2.15.1 and, where a Python 3.7 is found, at the same time those on
# TensorFlow 1.15.5 for which the version can make a difference (tests/conftest.py). It makes its
# own environments (.venv, .venv-tf1). Arguments go to pytest: scripts/test.sh -k lamb
# For daily work: scripts/test.sh --fast leaves out what is marked slow, and TensorFlow 1.15.5.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

fast=
if [ "${1-}" = --fast ]; then
  fast=1
  shift
  set -- -m "not slow" "$@"
fi

python=$(find_python 3.11 3.10 3.9) || no_python "3.11, 3.10 or 3.9"
make_environment .venv "$python" requirements-dev.txt
.venv/bin/ruff check .

classic_tests=
if [ -n "$fast" ]; then
  echo "== the fast tests, on TensorFlow 2.15.1 only; without --fast: all, on both TensorFlows"
elif classic=$(find_python 3.7); then
  echo "== all tests on TensorFlow 2.15.1 and, beside them, those of TensorFlow on 1.15.5"
  make_environment .venv-tf1 "$classic" requirements-dev.txt
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  .venv-tf1/bin/python -m pytest -q --only-tensorflow -o cache_dir=.pytest_cache/tf1 "$@" \
    > "$log" 2>&1 &
  classic_tests=$!
else
  echo "== all tests on TensorFlow 2.15.1; no Python 3.7 found for 1.15.5 (pyenv install 3.7)"
fi

status=0
echo "== $("$python" --version), TensorFlow 2.15.1"
.venv/bin/python -m pytest -q "$@" || status=$?
if [ -n "$classic_tests" ]; then
  classic_status=0
  wait "$classic_tests" || classic_status=$?
  echo "== Python 3.7, TensorFlow 1.15.5"
  cat "$log"
  # 5: the arguments chose only tests that do not depend on TensorFlow.
  [ "$classic_status" = 0 ] || [ "$classic_status" = 5 ] || status=$classic_status
fi
exit "$status"
