# shellcheck shell=bash
# What the scripts of an installation share. Sourced after `set -euo pipefail`.
# PLAN=1 prints every command instead of running it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
outputs=${OUTPUTS:?OUTPUTS names the file with \`terraform output -json platform\`}

say() { printf '\n== %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

run() {
  if [ -n "${PLAN:-}" ]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# Runs a command on what stdin says; a plan shows both.
feed() {
  if [ -n "${PLAN:-}" ]; then
    printf '%q ' "$@"
    printf '<<MANIFEST\n'
    cat
    printf 'MANIFEST\n'
  else
    "$@"
  fi
}

terraform_commands() { (cd "$root" && "$python" -m terraform.commands "$@"); }

field() { terraform_commands get "$outputs" "$1"; }

# The environment's credentials go into a file of their own; the person's kubeconfig stays as it is.
use_cluster() {
  KUBECONFIG=${KUBECONFIG:-$(dirname "$outputs")/kubeconfig}
  export KUBECONFIG
  local command
  mapfile -t command < <(field cluster.credentials)
  say "credentials of the cluster $(field cluster.name), in $KUBECONFIG"
  run "${command[@]}" >&2
}

need() {
  local name
  [ -n "${PLAN:-}" ] && return
  for name in "$@"; do command -v "$name" >/dev/null || fail "$name is not installed"; done
}
