#!/usr/bin/env bash
# Makes the virtual environment and installs one requirements file (up or dev) and the parts themselves, editable.
# PYTHON names the interpreter to make it with, VENV the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
group=$1
venv=${VENV:-.venv}
python=${PYTHON:-python3}

say() { printf '[%3ss] %s\n' "$SECONDS" "$*"; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Dormouse needs Python 3.11 or newer; '$python' is not. Name one: make $group PYTHON=python3.12" >&2
  exit 1
fi
if [ ! -x "$venv/bin/python" ]; then
  say "making the virtual environment $venv"
  if ! "$python" -m venv "$venv"; then
    echo "Python's venv module is missing or broken; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
  fi
fi
if ! [ "$venv/uv.stamp" -nt requirements/uv.txt ]; then
  say "installing uv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  touch "$venv/uv.stamp"
fi

say "installing $(grep -c '==' "requirements/$group.txt") locked packages ($group)"
export VIRTUAL_ENV="$PWD/$venv"
[ "${venv#/}" = "$venv" ] || VIRTUAL_ENV=$venv
"$venv/bin/uv" pip install --quiet --compile-bytecode --require-hashes -r "requirements/$group.txt"
parts=()
for part in libs/stubs libs/runtime edge agent_fn migrations devstack; do parts+=(--editable "$part"); done
"$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation "${parts[@]}"
touch "$venv/$group.stamp"
[ "$group" = up ] || touch "$venv/up.stamp"
say "installed"
