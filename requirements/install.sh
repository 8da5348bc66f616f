#!/usr/bin/env bash
# Makes the virtual environment and installs one requirements file (up or dev) and the parts themselves, editable.
# PYTHON names the interpreter to make it with (else the first that is new enough is taken), VENV the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
group=$1
venv=${VENV:-.venv}

say() { printf '[%4ss] %s\n' "$SECONDS" "$*"; }

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

new_enough() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || fail "Dormouse needs Python 3.11 or newer; '$PYTHON' is not."
    echo "$PYTHON"
    return
  fi
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$name"; then
      echo "$name"
      return
    fi
  done
  fail "Dormouse needs Python 3.11 or newer, and found none. Name one: make up PYTHON=/path/to/python3.12"
}

make_venv() { # interpreter
  say "making the virtual environment $venv ($("$1" --version))"
  if "$1" -m venv --clear "$venv" >"$log" 2>&1; then return; fi
  # Debian and Ubuntu keep pip's wheel in a package of its own. The system's pip can do as well.
  if "$1" -m venv --clear --without-pip "$venv" >>"$log" 2>&1 &&
    "$1" -m pip --python "$venv/bin/python" install --quiet pip >>"$log" 2>&1; then return; fi
  rm -rf "$venv"
  cat "$log" >&2
  fail "" "Python's venv module is missing or broken. On Debian and Ubuntu: apt-get install python3-venv"
}

# Runs a command that may take minutes, and says every ten seconds that it still does.
patiently() { # what, command…
  local what=$1 began=$SECONDS
  shift
  "$@" &
  local child=$!
  trap 'kill "$child" 2>/dev/null' INT TERM
  (while sleep 10; do say "still $what ($((SECONDS - began)) s)"; done) &
  local beat=$!
  local code=0
  wait "$child" || code=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  trap - INT TERM
  [ "$code" = 0 ] || fail "Failed while $what (exit code $code). The lines above say why; 'make $group' tries again."
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null; }; then
  python=$(find_python)
  make_venv "$python"
fi
if ! [ "$venv/uv.stamp" -nt requirements/uv.txt ]; then
  patiently "installing uv, the installer" \
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  touch "$venv/uv.stamp"
fi

VIRTUAL_ENV=$(cd "$venv" && pwd)
export VIRTUAL_ENV
# Like pip, trust what the machine trusts: behind a company's proxy uv's own certificates do not do.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  if [ -s "$bundle" ]; then export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1}; fi
done
what="installing $(grep -c '==' "requirements/$group.txt") locked packages"
say "$what ($group)"
patiently "$what" "$venv/bin/uv" pip install --quiet --compile-bytecode --require-hashes -r "requirements/$group.txt"
parts=()
for part in libs/stubs libs/runtime edge agent_fn tool_fn embed_fn migrations devstack; do parts+=(--editable "$part"); done
say "installing the parts of Dormouse"
patiently "installing the parts" "$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation "${parts[@]}"
touch "$venv/$group.stamp"
[ "$group" = up ] || touch "$venv/up.stamp"
say "installed"
