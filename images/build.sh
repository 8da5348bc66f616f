#!/usr/bin/env bash
# Builds the images of the parts, with whichever of docker, podman and buildah is there.
#   images/build.sh [PART…]     parts: edge agent_fn tool_fn embed_fn migrations model_server loadtest (all of them)
# Environment: REGISTRY (a prefix, for instance registry.example.org/dormouse), TAG (the git revision), BASE (the base
# image), ENGINE, PLATFORM (for instance linux/arm64), CA (a bundle of certificates, behind a company's proxy), PUSH=1,
# CACHE (a tag in the registry: what has not changed since those images is taken from them; docker only).
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A folders=([edge]=edge [agent_fn]=agent_fn [tool_fn]=tool_fn [embed_fn]=embed_fn [migrations]=migrations
  [model_server]=devstack [loadtest]=loadtest)
order=(migrations edge agent_fn tool_fn embed_fn model_server loadtest)

case ${1:-} in -h | --help)
  sed -n '2,7s/^# \{0,1\}//p' "$0"
  exit 0
  ;;
esac
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=("${order[@]}")
for part in "${parts[@]}"; do
  [ -n "${folders[$part]:-}" ] || {
    echo "There is no part '$part'. Parts: ${order[*]}" >&2
    exit 2
  }
done

find_engine() {
  local engine
  for engine in docker podman buildah; do
    if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then
      echo "$engine"
      return
    fi
  done
  echo "Building images needs docker, podman or buildah; none of them answers here." >&2
  exit 1
}

engine=${ENGINE:-$(find_engine)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
dirty=
[ -z "$(git status --porcelain 2>/dev/null)" ] || dirty=-dirty
tag=${TAG:-${revision:0:12}$dirty}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' edge/pyproject.toml)

options=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision$dirty")
[ -z "${BASE:-}" ] || options+=(--build-arg "BASE=$BASE")
[ -z "${PLATFORM:-}" ] || options+=(--platform "$PLATFORM")
[ -z "${CA:-}" ] || options+=(--secret "id=ca,src=$CA")
# docker keeps the layers of every stage by itself; the others want to be told.
[ "$engine" = docker ] || options+=(--layers)
export DOCKER_BUILDKIT=1

for part in "${parts[@]}"; do
  name=dormouse-${part//_/-}:$tag
  [ -z "${REGISTRY:-}" ] || name=$REGISTRY/$name
  names=("$name")
  cache=()
  if [ -n "${CACHE:-}" ] && [ "$engine" = docker ]; then
    names+=("${name%:*}:$CACHE")
    cache=(--cache-from "${name%:*}:$CACHE" --build-arg BUILDKIT_INLINE_CACHE=1 --tag "${name%:*}:$CACHE")
  fi
  began=$SECONDS
  "$engine" build --quiet "${options[@]}" "${cache[@]}" --file "${folders[$part]}/Dockerfile" --tag "$name" . >/dev/null
  size=$("$engine" inspect --type image --format '{{.Size}}' "$name" 2>/dev/null || true)
  printf '%-60s %4s s%s\n' "$name" "$((SECONDS - began))" "${size:+  $((size / 1000000)) MB}"
  [ -z "${PUSH:-}" ] || for name in "${names[@]}"; do "$engine" push --quiet "$name"; done
done
