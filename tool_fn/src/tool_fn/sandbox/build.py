"""Builds the sandbox: `python -m tool_fn.sandbox.build` makes what is missing or out of date, in about 15 s.

CPython and the program around it become one WebAssembly component, which is compiled ahead for this kind of processor.
Needs `componentize-py` in the same environment, and no network.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from wasmtime.component import Component as WasmComponent

from tool_fn.sandbox.component import GUEST, Component, needs
from tool_fn.sandbox.engine import make_engine

_LIMIT_S: Final = 600


def main(arguments: list[str]) -> int:
    """`--force` builds what is up to date, too. The exit status."""
    component = Component()
    if "--force" not in arguments and not component.problem():
        return 0
    return _build(component)


def _build(component: Component) -> int:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:4.0f}s] {what}", flush=True)  # noqa: T201 - a command that a person runs

    say("building the sandbox of the python tool: CPython as WebAssembly")
    component.folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=component.folder) as folder:
        wasm, code, manifest = (Path(folder, name) for name in ("python.wasm", "python.cwasm", "python.json"))
        problem = _componentize(wasm)
        if problem:
            print(problem, file=sys.stderr)  # noqa: T201
            return 1
        say("compiling it for this processor")
        code.write_bytes(WasmComponent(make_engine(), wasm.read_bytes()).serialize())
        manifest.write_text(json.dumps(needs(), indent=2))
        # The manifest goes first and comes last: who looks in between sees a sandbox that is not built.
        component.manifest.unlink(missing_ok=True)
        code.replace(component.code)
        manifest.replace(component.manifest)
        sizes = f"{wasm.stat().st_size / 1e6:.0f} MB, compiled {component.code.stat().st_size / 1e6:.0f} MB"
    say(f"the sandbox is built ({sizes})")
    return 0


def _componentize(wasm: Path) -> str:
    """Makes the component; what went wrong, or nothing."""
    program = Path(sys.executable).with_name("componentize-py")
    command: list[str | Path] = [
        program,
        "--quiet",
        "--wit-path",
        GUEST / "python.wit",
        "--world",
        "sandbox",
        "componentize",
    ]
    command += ["--python-path", GUEST, "--output", wasm, "interpreter"]
    # Nothing of the environment: it would look there for packages to take in.
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT_S)  # noqa: S603
    except FileNotFoundError:
        return f"componentize-py is not installed beside {sys.executable}"
    except subprocess.TimeoutExpired:
        return f"componentize-py did not end within {_LIMIT_S} s"
    return "" if done.returncode == 0 else f"componentize-py failed:\n{done.stdout}{done.stderr}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
