"""What the supervisor starts and keeps running: the embedded servers and the services, behind one face."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from devstack.postgres import Postgres
from devstack.process import Process
from devstack.services import Program, serving_addresses
from devstack.valkey import Valkey

START_TIMEOUT_S = 60.0


class Unit(Protocol):
    """One process that can be started, again too, and stopped."""

    name: str
    address: str
    metrics_address: str

    @property
    def process(self) -> Process: ...

    async def start(self) -> None:
        """Start it; return when it can do its work. StartError says why it cannot."""

    async def stop(self) -> None: ...


class PostgresUnit:
    """The embedded Postgres."""

    name = "postgres"
    metrics_address = ""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._prepared = False
        self.address = str(server.folder) if server.uses_socket else f"127.0.0.1:{server.port}"

    @property
    def process(self) -> Process:
        return self._server.process

    async def start(self) -> None:
        if self._prepared:
            await self._server.resume(timeout=START_TIMEOUT_S)
        else:
            await self._server.start(timeout=START_TIMEOUT_S)
            self._prepared = True

    async def stop(self) -> None:
        await self._server.stop()


class ValkeyUnit:
    """The embedded Valkey."""

    name = "valkey"
    metrics_address = ""

    def __init__(self, server: Valkey) -> None:
        self._server = server
        self.address = str(server.socket) if server.uses_socket else f"127.0.0.1:{server.port}"

    @property
    def process(self) -> Process:
        return self._server.process

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()


class ServiceUnit:
    """A process that says in one line of its log where it serves."""

    def __init__(
        self,
        name: str,
        program: Program,
        log: Path,
        *,
        on_line: Callable[[str], None] | None = None,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self.address = ""
        self.metrics_address = ""
        self._process = Process(name, program.argv, env=program.env, log=log, on_line=on_line)
        self._stop_timeout_s = stop_timeout_s

    @property
    def process(self) -> Process:
        return self._process

    async def start(self) -> None:
        line = await self._process.start_until(
            lambda line: serving_addresses(line) is not None, timeout=START_TIMEOUT_S
        )
        addresses = serving_addresses(line)
        assert addresses is not None
        self.address, self.metrics_address = addresses

    async def stop(self) -> None:
        await self._process.stop(timeout=self._stop_timeout_s)
