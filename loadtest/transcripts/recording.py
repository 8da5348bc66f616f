"""Plays scenes against a platform and compares or writes their pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiohttp

from loadtest.transcripts.exchanges import Client
from loadtest.transcripts.pages import page
from loadtest.transcripts.scenes import SCENES, Scene

FOLDER = Path("docs/transcripts")


async def record(url: str, api_key: str, provider: str, scenes: Sequence[Scene] = SCENES) -> dict[str, str]:
    """The pages by file name. `provider` is the provider server's host:port. Raises ExchangeError."""
    pages: dict[str, str] = {}
    async with aiohttp.ClientSession() as http:
        for scene in scenes:
            client = Client(http, url, api_key)
            await scene.play(client, provider)
            pages[f"{scene.name}.md"] = page(scene, client.exchanges, provider)
    return pages


def differences(pages: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """The names of pages that are not as the folder has them, and of files that no scene makes."""
    held = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    changed = [name for name, text in pages.items() if held.get(name) != text]
    return changed + [f"{name} (no scene makes it)" for name in sorted(held.keys() - pages.keys())]


def write(pages: dict[str, str], folder: Path = FOLDER) -> None:
    """Make the folder hold these pages and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
