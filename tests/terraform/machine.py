"""What this machine has of Terraform: the program and AWS' provider, unpacked somewhere. Nothing is downloaded."""

import asyncio
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROVIDER = Path("registry.terraform.io/hashicorp/aws")
VERSION = "5.100.0"
LEAST = (1, 11)


@dataclass(frozen=True, slots=True)
class Machine:
    terraform: str
    plugins: Path
    """The folder that holds registry.terraform.io."""
    provider: Path
    """The provider's program."""


async def look_around() -> Machine:
    """Skips the test, saying why, where something is missing."""
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not installed")
    version = await _version(program)
    if version < LEAST:
        pytest.skip(f"terraform {'.'.join(map(str, version))} is older than {'.'.join(map(str, LEAST))}")
    for folder in _plugin_folders():
        if found := _provider(folder):
            return Machine(program, folder, found)
    pytest.skip(
        f"AWS' provider {VERSION} is not on this machine: put it there with `TF_PLUGIN_CACHE_DIR=FOLDER "
        "terraform -chdir=terraform/modules/network init` and set DORMOUSE_TF_PLUGINS=FOLDER"
    )


async def _version(program: str) -> tuple[int, ...]:
    process = await asyncio.create_subprocess_exec(
        program,
        "version",
        "-json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "CHECKPOINT_DISABLE": "1"},
    )
    output, _ = await process.communicate()
    text = json.loads(output)["terraform_version"]
    return tuple(int(part) for part in text.split("-")[0].split("."))


def _plugin_folders() -> Iterator[Path]:
    """What the person names, then where Terraform itself looks, then where images of build machines put them."""
    for name in ("DORMOUSE_TF_PLUGINS", "TF_PLUGIN_CACHE_DIR"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    home = Path.home()
    yield from (home / ".terraform.d/plugins", home / ".terraform.d/plugin-cache")
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    for shared in (data, Path("/usr/local/share"), Path("/usr/share")):
        yield shared / "terraform/plugins"
    yield from (found.parent for found in sorted(Path("/opt").glob("*/registry.terraform.io")))


def _provider(folder: Path) -> Path | None:
    system = platform.system().lower()
    processor = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    programs = (folder / PROVIDER / VERSION / f"{system}_{processor}").glob("terraform-provider-aws_v*")
    return next(iter(sorted(programs)), None)
