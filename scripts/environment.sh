# Sourced by the other scripts: finds a supported Python and makes an environment of pinned versions.
#   python=$(find_python 3.11 3.10 3.9) && make_environment .venv "$python" requirements.txt

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# Prints the path of the first Python of the given versions that starts.
find_python() {
  local version candidate roots="${PYENV_ROOT:-$HOME/.pyenv}/versions"
  for version in "$@"; do
    for candidate in "python$version" "$roots/$version" "$roots/$version".*; do
      [ -d "$candidate" ] && candidate="$candidate/bin/python"
      "$candidate" -c "import sys; assert '%d.%d' % sys.version_info[:2] == '$version'" \
        2>/dev/null && { command -v "$candidate"; return 0; }
    done
    command -v uv >/dev/null && uv python find "$version" 2>/dev/null && return 0
  done
  return 1
}

# make_environment DIR PYTHON REQUIREMENTS: does nothing if DIR already has exactly these versions.
make_environment() {
  local directory=$1 python=$2 requirements=$3 stamp
  stamp="$(cat requirements*.txt | cksum) $requirements"
  [ "$(cat "$directory/stamp" 2>/dev/null)" = "$stamp" ] && return 0
  echo "making $directory with $("$python" --version) and $requirements" >&2
  if ! "$python" -m venv --clear "$directory"; then
    echo "error: $python cannot make environments; install its venv package (python3-venv)" >&2
    return 1
  fi
  "$directory/bin/python" -m pip install --quiet --upgrade "pip<25" "setuptools<70" wheel &&
    "$directory/bin/python" -m pip install --quiet -r "$requirements" &&
    echo "$stamp" > "$directory/stamp" && return 0
  echo "error: installing $requirements failed; check the network and start again" >&2
  return 1
}

no_python() {
  echo "error: no Python $* found; install one (apt-get install python3.11 python3.11-venv, pyenv" \
    "install 3.11, or uv python install 3.11)" >&2
  exit 1
}
