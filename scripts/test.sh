#!/usr/bin/env bash
# Runs every test on the newest TensorFlow, and at the same time, where their Pythons are found,
# those on TensorFlow 2.15.1 and 1.15.5 for which the version can make a difference
# (tests/conftest.py). It makes its own environments (.venv, .venv-2.15, .venv-1.15). Arguments go
# to pytest: scripts/test.sh -k lamb
# For daily work: scripts/test.sh --fast leaves out what is marked slow, and the other TensorFlows.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

fast=
if [ "${1-}" = --fast ]; then
  fast=1
  shift
  set -- -m "not slow" "$@"
fi

python=$(find_or_fetch_python $SUPPORTED)
make_environment .venv "$python" requirements-dev.txt
.venv/bin/ruff check .

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
releases=() processes=()

# begin_others RELEASE PYTHONS: the tests that depend on TensorFlow, on another release of it.
begin_others() {
  local release=$1 other
  if ! other=$(PYTHON='' find_python $2); then
    echo "== not on TensorFlow $release: no Python ${2// /, } found"
  elif [ "$("$other" --version)" != "$("$python" --version)" ]; then
    make_environment ".venv-$release" "$other" requirements-dev.txt
    ".venv-$release/bin/python" -m pytest -q --only-tensorflow \
      -o "cache_dir=.pytest_cache/$release" "${@:3}" > "$logs/$release" 2>&1 &
    releases+=("$release") processes+=($!)
  fi
}

if [ -n "$fast" ]; then
  echo "== the fast tests, on one TensorFlow; without --fast: all, on three"
else
  begin_others 2.15 "3.11 3.10 3.9" "$@"
  begin_others 1.15 "3.7" "$@"
fi

status=0
echo "== $("$python" --version), $(.venv/bin/pip list 2>/dev/null | grep -E '^tensorflow(-cpu)? ')"
.venv/bin/python -m pytest -q "$@" || status=$?
for index in "${!releases[@]}"; do
  other_status=0
  wait "${processes[$index]}" || other_status=$?
  echo "== TensorFlow ${releases[$index]}"
  cat "$logs/${releases[$index]}"
  # 5: the arguments chose only tests that do not depend on TensorFlow.
  [ "$other_status" = 0 ] || [ "$other_status" = 5 ] || status=$other_status
done
exit "$status"
