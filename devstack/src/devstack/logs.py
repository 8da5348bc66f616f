"""`logs`: the log files, readable, each line with the name of its process."""

import asyncio
from collections import deque
from pathlib import Path
from typing import IO

from devstack.errors import DevstackError
from devstack.home import Home
from devstack.terminal import Terminal

LOOK_S = 0.2


async def show(home: Home, name: str, *, lines: int, follow: bool) -> int:
    """Print the last lines of one log, or of all; with `follow` go on until Ctrl-C."""
    files = sorted(home.logs.glob("*.log"))
    if name:
        files = [file for file in files if file.stem == name]
        if not files:
            known = ", ".join(sorted(file.stem for file in home.logs.glob("*.log"))) or "none yet"
            raise DevstackError(f"there is no log {name!r} in {home.logs}; there are: {known}")
    terminal = Terminal()
    terminal.shows_logs = True
    opened: dict[Path, IO[str]] = {}
    try:
        for file in files:
            opened[file] = file.open(errors="replace")
            for line in deque(opened[file], lines):
                terminal.log(file.stem, line.rstrip("\n"))
        while follow:
            await asyncio.sleep(LOOK_S)
            for file in files:
                _catch_up(terminal, file, opened)
    finally:
        for stream in opened.values():
            stream.close()
    return 0


def _catch_up(terminal: Terminal, file: Path, opened: dict[Path, IO[str]]) -> None:
    for line in opened[file]:
        terminal.log(file.stem, line.rstrip("\n"))
    # The file was full and a new one has begun.
    if file.exists() and file.stat().st_size < opened[file].tell():
        opened[file].close()
        opened[file] = file.open(errors="replace")
