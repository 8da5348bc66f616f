#!/usr/bin/env bash
# Runs every test: those of Terraform beside the others, because they need one core and nothing that the others have.
# Two runs, two closing lines; the exit status is 0 when both passed. PYTHON names the interpreter.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-.venv/bin/python}
log=$(mktemp)
trap 'rm -f "$log"; kill "$beside" 2>/dev/null' EXIT

nice -n 5 "$python" -m pytest tests/terraform >"$log" 2>&1 &
beside=$!
"$python" -m pytest --ignore=tests/terraform
code=$?
wait "$beside"
code_beside=$?
echo
echo "tests/terraform, beside the others:"
cat "$log"
exit $((code || code_beside))
