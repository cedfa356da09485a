# Sourced by the other scripts: finds a supported Python and makes an environment of pinned versions.
#   python=$(find_or_fetch_python $SUPPORTED) && make_environment .venv "$python" requirements.txt

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# Newest first: TensorFlow 2.21 on 3.13 and 3.12, 2.15.1 down to 3.9, 1.15.5 on 3.7.
SUPPORTED="3.13 3.12 3.11 3.10 3.9 3.7"

# Prints the path of the first Python of the given versions that can make environments; with $PYTHON
# set, of that one if it has one of the versions.
find_python() {
  local version candidate candidates roots="${PYENV_ROOT:-$HOME/.pyenv}/versions"
  for version in "$@"; do
    candidates=("python$version" "$roots/$version" "$roots/$version".*)
    [ -n "${PYTHON-}" ] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
      [ -d "$candidate" ] && candidate="$candidate/bin/python"
      "$candidate" -c "import ensurepip, sys, venv
assert '%d.%d' % sys.version_info[:2] == '$version'" 2>/dev/null &&
        { command -v "$candidate"; return 0; }
    done
    [ -z "${PYTHON-}" ] && command -v uv >/dev/null && uv python find "$version" 2>/dev/null &&
      return 0
  done
  return 1
}

# As find_python; where none is found but uv is there, uv fetches the first version. Else it says
# what to install.
find_or_fetch_python() {
  local versions="$*"
  find_python "$@" && return 0
  if [ -n "${PYTHON-}" ]; then
    echo "error: PYTHON=$PYTHON is none of Python ${versions// /, } that can make environments" >&2
    return 1
  fi
  if command -v uv >/dev/null; then
    echo "no Python ${versions// /, } found; uv fetches Python $1" >&2
    uv python install --quiet "$1" >&2 && uv python find "$1" && return 0
  fi
  cat >&2 <<END
error: no Python ${versions// /, } found; install one, then start again:
  Debian, Ubuntu   sudo apt-get install python3 python3-venv   (if its version is one of these)
  macOS            brew install python@3.13
  conda            conda create -y -n albert python=3.13 && conda activate albert
  any system       pip install uv   (uv then fetches a Python by itself)
END
  return 1
}

# The requirements with the build of TensorFlow that fits this machine: without a GPU's half of it
# where there is no NVIDIA GPU, with CUDA where there is one.
fitting_requirements() {
  local build=tensorflow
  if nvidia-smi -L >/dev/null 2>&1; then
    build='tensorflow[and-cuda]'
  elif [ "$(uname -sm)" = "Linux x86_64" ]; then
    build=tensorflow-cpu
  fi
  sed "s/^tensorflow==2/$build==2/" "$1"
}

# What the tests use beside, whose dependencies would replace the build of TensorFlow.
install_without_dependencies() {
  [ "$2" != requirements-dev.txt ] ||
    "$1/bin/python" -m pip install --quiet --no-deps -r requirements-text.txt
}

# make_environment DIR PYTHON REQUIREMENTS: does nothing if DIR already has exactly these versions, or
# the tests', which hold those of the commands.
make_environment() {
  local directory=$1 python=$2 requirements=$3 file fitting stamp
  fitting=$(mktemp -d)
  for file in requirements*.txt; do
    fitting_requirements "$file" > "$fitting/$file"
  done
  stamp="$("$python" --version) $(cat "$fitting"/* | cksum)"
  case "$(cat "$directory/stamp" 2>/dev/null)" in
    "$stamp $requirements" | "$stamp requirements-dev.txt")
      rm -r "$fitting"
      return 0 ;;
  esac
  if [ -L "$directory" ]; then
    echo "error: $directory is a link to another environment, which would be emptied; remove it" >&2
    rm -r "$fitting"
    return 1
  fi
  echo "making $directory with $("$python" --version) and $requirements" >&2
  if ! "$python" -m venv --clear "$directory"; then
    echo "error: $python cannot make environments; install its venv package (python3-venv)" >&2
    rm -r "$fitting"
    return 1
  fi
  "$directory/bin/python" -m pip install --quiet --upgrade "pip<25" "setuptools<70" wheel &&
    "$directory/bin/python" -m pip install --quiet -r "$fitting/$requirements" &&
    install_without_dependencies "$directory" "$requirements" &&
    echo "$stamp $requirements" > "$directory/stamp" && rm -r "$fitting" && return 0
  rm -r "$fitting"
  echo "error: installing $requirements failed; check the network and start again" >&2
  return 1
}
