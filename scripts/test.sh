#!/usr/bin/env bash
# Runs every test on TensorFlow 2.15.1 and, where a Python 3.7 is found, again on TensorFlow 1.15.5.
# It makes its own environments (.venv, .venv-tf1). Arguments go to pytest: scripts/test.sh -k lamb
set -euo pipefail
source "$(dirname "$0")/environment.sh"

python=$(find_python 3.11 3.10 3.9) || no_python "3.11, 3.10 or 3.9"
make_environment .venv "$python" requirements-dev.txt
.venv/bin/ruff check .

status=0
if classic=$(find_python 3.7); then
  make_environment .venv-tf1 "$classic" requirements-dev.txt
  echo "== Python 3.7, TensorFlow 1.15.5"
  .venv-tf1/bin/python -m pytest -q "$@" || status=$?
else
  echo "no Python 3.7 found: the tests run on TensorFlow 2.15.1 only (pyenv install 3.7 adds 1.15.5)"
fi
echo "== $("$python" --version), TensorFlow 2.15.1"
.venv/bin/python -m pytest -q "$@" || status=$?
exit "$status"
