#!/usr/bin/env bash
# Installs helm, pinned, where the chart's tests look for it: charts/install_tools.sh FOLDER. Needs Go.
set -euo pipefail
version=v3.18.6
folder=$(mkdir -p "$1" && cd "$1" && pwd)
if [ -x "$folder/helm" ] && [ "$(cat "$folder/helm.version" 2>/dev/null)" = "$version" ]; then exit 0; fi
command -v go >/dev/null || {
  echo "Go is not installed: without it helm $version cannot be built. https://go.dev/doc/install" >&2
  exit 3
}
echo "building helm $version"
GOBIN=$folder GOFLAGS=-buildvcs=false go install "helm.sh/helm/v3/cmd/helm@$version" 2>"$folder/helm.log" || {
  cat "$folder/helm.log" >&2
  exit 1
}
echo "$version" >"$folder/helm.version"
