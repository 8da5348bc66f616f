"""Plays scenes against a platform and compares or writes their pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiohttp

from loadtest.transcripts.exchanges import Client
from loadtest.transcripts.pages import PROVIDER, index, page
from loadtest.transcripts.scenes import SCENES, Scene
from loadtest.transcripts.setting import providers_config

FOLDER = Path("docs/transcripts")


async def record(url: str, api_key: str, provider: str, scenes: Sequence[Scene] = SCENES) -> dict[str, str]:
    """The files of the folder by name. `provider` is the provider server's host:port. Raises ExchangeError."""
    pages = {"README.md": index(scenes), "tools.yaml": providers_config(PROVIDER)}
    async with aiohttp.ClientSession() as http:
        for scene in scenes:
            client = Client(http, url, api_key)
            await scene.play(client, provider)
            pages[f"{scene.name}.md"] = page(scene, client.exchanges, provider)
    return pages


def differences(pages: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """The names of files that are not as the folder has them, and of those that no scene makes."""
    held = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.*")}
    changed = [name for name, text in pages.items() if held.get(name) != text]
    return changed + [f"{name} (no scene makes it)" for name in sorted(held.keys() - pages.keys())]


def write(pages: dict[str, str], folder: Path = FOLDER) -> None:
    """Make the folder hold these files and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.*"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
