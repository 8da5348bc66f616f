#!/usr/bin/env bash
# Generates the Python messages and gRPC stubs into the folder given. BIN is the folder of the pinned tools.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
bin=${BIN:-.venv/bin}
mapfile -t protos < <(find proto -name '*.proto' | LC_ALL=C sort)
PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc --proto_path=proto \
  --python_out="$out" --mypy_out="quiet:$out" "${protos[@]}"
mapfile -t services < <(find proto -name '*_service.proto' | LC_ALL=C sort)
PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc --proto_path=proto \
  --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" "${services[@]}"
touch "$out/dormouse/py.typed"
