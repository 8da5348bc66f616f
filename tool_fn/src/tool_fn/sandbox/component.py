"""Where the built sandbox is, and whether it fits what is installed here."""

import hashlib
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GUEST: Final = Path(__file__).with_name("guest")
# In the package, so that an image that copies the package has it. Made by `python -m tool_fn.sandbox.build`.
FOLDER: Final = Path(__file__).with_name("component")
# Part of the fingerprint: what runs must have been compiled with the settings that it runs with.
_ENGINE: Final = Path(__file__).with_name("engine.py")


@dataclass(frozen=True, slots=True)
class Component:
    """The files of one build. code: for this kind of processor. manifest: what it was made of."""

    folder: Path = FOLDER

    @property
    def code(self) -> Path:
        return self.folder / "python.cwasm"

    @property
    def manifest(self) -> Path:
        return self.folder / "python.json"

    def problem(self) -> str:
        """Why it cannot be used, for the log; empty: it can."""
        try:
            made_of = json.loads(self.manifest.read_text())
        except FileNotFoundError:
            return "it is not built"
        except (OSError, ValueError) as error:
            return f"its manifest cannot be read: {error}"
        if not self.code.is_file():
            return "its code is missing"
        here = needs()
        return "; ".join(
            f"built with {name} {made_of.get(name)}, here is {value}"
            for name, value in here.items()
            if made_of.get(name) != value
        )


def needs() -> dict[str, str]:
    """What a component must have been built with to run here."""
    from importlib import metadata  # slow to import, and nobody needs it before the first program

    return {
        "wasmtime": metadata.version("wasmtime"),
        "system": f"{sys.platform} {platform.machine()}",
        "source": _fingerprint(),
    }


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in [_ENGINE, *sorted(GUEST.glob("*.py")), *sorted(GUEST.glob("*.wit"))]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
