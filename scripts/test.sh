#!/usr/bin/env bash
# Runs every test on the newest TensorFlow, and at the same time, where their Pythons are found,
# those on TensorFlow 1.15.5 and 2.15.1 for which the version can make a difference
# (tests/conftest.py), on the middle one without what is marked slow, unless it is marked
# every_platform. It makes its own environments (.venv, .venv-2.15, .venv-1.15). Arguments go
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

# add RELEASE PYTHONS: one more environment, where this machine has one of these Pythons.
releases=() environments=() pythons=()
add() {
  local release=$1 found
  if ! found=$(PYTHON='' find_python $2); then
    echo "== not on TensorFlow $release: no Python ${2// /, } found"
  elif [ "$("$found" --version)" != "$("$python" --version)" ]; then
    releases+=("$release") environments+=(".venv-$release") pythons+=("$found")
  fi
}

python=$(find_or_fetch_python $SUPPORTED)
if [ -z "$fast" ]; then
  add 1.15 "3.7"
  add 2.15 "3.11 3.10 3.9"
fi
environments+=(.venv) pythons+=("$python")
jobs=()
for index in "${!environments[@]}"; do
  make_environment "${environments[$index]}" "${pythons[$index]}" requirements-dev.txt &
  jobs+=($!)
done
for job in "${jobs[@]}"; do
  wait "$job"
done
.venv/bin/ruff check .

# The tests that depend on TensorFlow, on the other releases, one after the other.
test_on_others() {
  local release status middle worst=0
  for release in ${releases[@]+"${releases[@]}"}; do
    echo "== TensorFlow $release"
    status=0 middle=()
    [ "$release" = 1.15 ] || middle=(-m "not slow or every_platform")
    ".venv-$release/bin/python" -m pytest -q --only-tensorflow \
      -o "cache_dir=.pytest_cache/$release" ${middle[@]+"${middle[@]}"} "$@" || status=$?
    # 5: the arguments chose only tests that do not depend on TensorFlow.
    [ "$status" = 0 ] || [ "$status" = 5 ] || worst=$status
  done
  return "$worst"
}

if [ -n "$fast" ]; then
  echo "== the fast tests on $("$python" --version) alone; without --fast: all, on three TensorFlows"
else
  echo "== all tests on $("$python" --version); beside them on TensorFlow ${releases[*]:-: no other}"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
test_on_others "$@" > "$log" 2>&1 &
others=$!
status=0
.venv/bin/python -m pytest -q "$@" || status=$?
wait "$others" || status=1
cat "$log"
exit "$status"
