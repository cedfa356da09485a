#!/usr/bin/env bash
# Runs the tests on the newest TensorFlow, and where their Pythons are found, those for which the
# version can make a difference on 1.15.5, and on 2.15.1, between the two, those of the core
# (tests/conftest.py). Two processes share the newest's files; the older releases run beside them.
# Of the slow tests, and on 1.15.5 of the files outside of the core, an eighth runs each time, which
# follows from the commit; what is marked every_platform runs each time on the newest and the oldest.
# scripts/test.sh --all runs all of them.
# It makes its own environments (.venv, .venv-2.15, .venv-1.15). Arguments go to pytest:
# scripts/test.sh -k lamb
# Spark's tests want Java: as root on Debian or Ubuntu it is installed, else they are left out.
# For daily work: scripts/test.sh --fast leaves out what is marked slow, and the other TensorFlows.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

fast= part=1/1
case ${1-} in
  --fast) fast=1; shift ;;
  --all) shift ;;
  '') commit=$(git rev-parse --short=7 HEAD 2>/dev/null) && part=$((0x$commit % 8 + 1))/8 ;;
esac

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

# Java for the cluster of tests/test_spark.py.
find_java() {
  command -v java >/dev/null || [ -n "${JAVA_HOME-}" ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== installing openjdk-17-jre-headless"
    { apt-get -qq update && apt-get -qq install -y openjdk-17-jre-headless; } >/dev/null 2>&1 &&
      return 0
  fi
  echo "== not on a Spark cluster: no Java found (openjdk-17-jre-headless, or JAVA_HOME)"
}

# Byte code is written for what is imported, once, instead of for all that is installed (0 stands for
# "do not compile": pip reads it so).
export PIP_NO_COMPILE=0 PYTHONDONTWRITEBYTECODE=

python=$(find_or_fetch_python $SUPPORTED)
if [ -z "$fast" ]; then
  find_java
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

# run ENVIRONMENT MARKS ARGUMENTS: pytest on the tests with these marks ("": all).
run() {
  local environment=$1 marks=$2 status=0
  shift 2
  echo "== $("$environment/bin/python" --version), $environment: ${marks:-all}"
  "$environment/bin/python" -m pytest -q -m "$marks" --part="$part" \
    -o "cache_dir=.pytest_cache/$environment" "$@" || status=$?
  # 5: the arguments chose other tests.
  [ "$status" = 0 ] || [ "$status" = 5 ]
}

# run_newest MARKS ARGUMENTS: on .venv, in two processes that take the next file when one is done
# (what a module's tests share is made once), in the order of tests/conftest.py.
run_newest() {
  local marks=$1
  shift
  run .venv "$marks" -n 2 --dist loadfile --no-loadscope-reorder "$@"
}

# run_older RELEASE ARGUMENTS: those of another release of TensorFlow.
run_older() {
  local release=$1 tests=core
  shift
  [ "$release" != 1.15 ] || tests=all
  run ".venv-$release" "not slow or every_platform" --only-tensorflow="$tests" "$@"
}

if [ -n "$fast" ]; then
  run_newest "not slow" "$@"
  exit
fi
# Tests often wait (for kills, locks, a cluster), so that two cores have time for four processes.
logs=$(mktemp -d)
trap 'rm -r "$logs"' EXIT
jobs=()
for release in ${releases[@]+"${releases[@]}"}; do
  run_older "$release" "$@" > "$logs/$release" 2>&1 &
  jobs+=($!)
done
[ "$part" = 1/1 ] || echo "== part $part of the tests that take turns; scripts/test.sh --all runs them all"
status=0
run_newest "" "$@" || status=1
for job in ${jobs[@]+"${jobs[@]}"}; do
  wait "$job" || status=1
done
for release in ${releases[@]+"${releases[@]}"}; do
  cat "$logs/$release"
done
exit "$status"
