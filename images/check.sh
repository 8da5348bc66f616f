#!/usr/bin/env bash
# Checks built images: each starts without root, with a read-only root file system, and brings no installer along.
#   images/check.sh [PART…]     REGISTRY, TAG and ENGINE as for images/build.sh; an ENGINE may carry options:
#   ENGINE="podman --runtime runc"
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra engine <<<"${ENGINE:-docker}"
tag=${TAG:?"which tag? images/build.sh prints it"}
declare -A modules=([edge]=edge.app [agent_fn]=agent_fn.app [tool_fn]=tool_fn.app [embed_fn]=embed_fn.app
  [migrations]=migrations.upgrade [model_server]=devstack.model_server.app [loadtest]=loadtest.__main__)
declare -A workers=([embed_fn]=embed_fn.parsing.worker
  [tool_fn]="tool_fn.math_worker.worker tool_fn.data_worker.worker tool_fn.sandbox.worker")
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(migrations edge agent_fn tool_fn embed_fn model_server loadtest)

# What must be true inside of each image. A module's import takes every dependency along that its start needs.
inside='
import importlib, importlib.util, json, os, shutil, sys, sysconfig
from pathlib import Path
part, module, workers = sys.argv[1:]
problems = []
def want(truth, otherwise):
    if not truth: problems.append(otherwise)
want(os.getuid() == 65532, f"runs as {os.getuid()}")
for folder in ("/", "/opt", "/opt/code", "/opt/venv", "/usr/local"):
    try: Path(folder, "written").write_text("")
    except OSError: pass
    else: problems.append(f"{folder} can be written")
for program in ("pip", "pip3", "uv", "cc", "gcc", "c++", "make", "git"):
    want(shutil.which(program) is None, f"{program} is inside")
importlib.import_module(module)
# What else a part starts: its worker processes, which import what the part itself does not.
for worker in workers.split():
    try: importlib.import_module(worker).prepare()
    except Exception as error: problems.append(f"{worker} does not start: {error}")
for path in (Path("/opt/code"), Path(sysconfig.get_path("purelib"))):
    loaded = [Path(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
    missing = [p for p in loaded if p.suffix == ".py" and p.is_relative_to(path)
               and not Path(importlib.util.cache_from_source(str(p))).is_file()]
    want(not missing, f"no bytecode for {missing[:3]}")
missing = [n for n, m in sys.modules.items() if getattr(m, "__file__", None) and m.__file__.endswith(".py")
           and not Path(importlib.util.cache_from_source(m.__file__)).is_file()]
want(not missing, f"no bytecode for {missing[:5]}")
tests = [p for p in Path(sysconfig.get_path("purelib")).rglob("tests") if p.is_dir()]
want(not tests, f"tests of packages are inside: {tests[:3]}")
bill = json.loads(Path("/opt/code/sbom.cdx.json").read_text())
want(len(bill["components"]) > 3, "the list of what is inside is empty")
print(part, "ok," if not problems else "NOT ok:", len(bill["components"]), "packages inside", *problems, sep=" ")
sys.exit(bool(problems))
'

failed=0
for part in "${parts[@]}"; do
  name=dormouse-${part//_/-}:$tag
  [ -z "${REGISTRY:-}" ] || name=$REGISTRY/$name
  "${engine[@]}" run --rm --read-only --network none --cap-drop ALL --entrypoint python "$name" \
    -P -c "$inside" "$part" "${modules[$part]}" "${workers[$part]:-}" || failed=1
done
exit "$failed"
