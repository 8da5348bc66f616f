#!/usr/bin/env bash
# Resolves every part's dependencies together and writes one hash-pinned file per part.
# `requirements/compile.sh` keeps the pins that still fit; `requirements/compile.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

own=(dormouse-stubs dormouse-runtime)
options=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links
  --no-annotate --quiet --custom-compile-command "make lock")
for package in "${own[@]}"; do options+=(--no-emit-package "$package"); done

parts=(edge agent_fn tool_fn embed_fn migrations devstack)
# What nobody needs to run the platform: it is checked and tested with the rest, and has an image of its own.
extra=(loadtest)
projects=()
for part in "${parts[@]}"; do projects+=("$part/pyproject.toml"); done

compile() { # output, inputs…
  local output=$1
  shift
  uv pip compile "${options[@]}" "$@" --output-file "$output"
}

compile requirements/dev.txt "${projects[@]}" "${extra[@]/%//pyproject.toml}" requirements/dev.in requirements/up.in "$@"
compile requirements/up.txt "${projects[@]}" requirements/up.in --constraints requirements/dev.txt
for part in "${parts[@]}" "${extra[@]}"; do
  compile "requirements/$part.txt" "$part/pyproject.toml" --constraints requirements/dev.txt
done
compile requirements/uv.txt requirements/uv.in
compile requirements/audit.txt requirements/audit.in
# For images: what builds them, and what two of them need instead of a part's own list.
for group in build sandbox model_server; do
  compile "requirements/$group.txt" "requirements/$group.in" --constraints requirements/dev.txt
done
compile requirements/retrieval-eval.txt requirements/retrieval-eval.in --no-deps
compile requirements/terraform.txt requirements/terraform.in
