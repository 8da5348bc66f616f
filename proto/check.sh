#!/usr/bin/env bash
# Lints the protos, compares them with the last release, and compares the committed stubs with freshly generated ones.
# BIN is the folder of the pinned tools.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}

"$bin/buf" lint

# proto/release.binpb is the schema of the last release; `make proto-release` renews it when one is cut.
"$bin/buf" breaking --against proto/release.binpb

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
BIN=$bin proto/generate.sh "$fresh"
if ! diff --recursive --brief --exclude=__pycache__ "$fresh/dormouse" libs/stubs/src/dormouse; then
  echo "libs/stubs is not what proto/ generates; run: make proto" >&2
  exit 1
fi
