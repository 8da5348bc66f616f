"""A Valkey of this folder's own, which nobody harms: limits need nothing else."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from devstack.valkey import Valkey


def folder_of_valkey() -> Path:
    """Short, because the paths of Unix sockets are."""
    folder = Path(tempfile.mkdtemp(prefix="dormouse-limits-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
async def valkey() -> AsyncIterator[Valkey]:
    folder = folder_of_valkey()
    valkey = Valkey(folder / "v", "secret", log=folder / "valkey.log", persist=False)
    try:
        await valkey.start()
        yield valkey
    finally:
        await valkey.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
