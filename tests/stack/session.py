"""What lasts for a whole test session: the folder, the keys, Postgres and Valkey."""

import asyncio
import itertools
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from devstack.credentials import Credentials, load_or_make
from devstack.valkey import Valkey
from dormouse_runtime.identity import TokenIssuer

from tests.stack.database import Database, Tenant
from tests.stack.fleet import Fleet
from tests.stack.server import AgentFn, Edge, ModelServer

FOLDER = re.compile(r"dormouse-test-(\d+)-\w+")


@dataclass(frozen=True, slots=True)
class Platform:
    """One of each, on the session's Postgres and Valkey. For tests that harm none of them."""

    model_server: ModelServer
    agent_fn: AgentFn
    edge: Edge


class Stack:
    """The session's Postgres (`database`), Valkey (`valkey`) and keys (`credentials`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.credentials: Credentials = load_or_make(folder / "secrets")
        self.database = Database(folder / "postgres", self.credentials, self.logs)
        # In memory: a disk that others keep busy would let it answer nobody. Who kills one has one of their own.
        self.valkey = Valkey(folder / "valkey", "secret", log=self.logs / "valkey.log", persist=False)
        # Tests decide what a service is configured with, not the shell that they were started from.
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("DORMOUSE_", "OTEL_", "OLLAMA_"))
        }
        self.ports: set[int] = set()
        """Given out by fleets, used or not."""
        self._numbers: defaultdict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(1))

    def next_name(self, name: str) -> str:
        return f"{name}-{next(self._numbers[name])}"

    def fleet(self) -> Fleet:
        """`async with stack.fleet() as fleet:` for processes that live longer or shorter than a test."""
        return Fleet(self)

    def token(
        self,
        tenant: Tenant,
        *,
        audience: str = "agent_fn",
        scopes: tuple[str, ...] = (),
        run_id: str = "",
        ttl_s: int = 300,
    ) -> str:
        """A service token as the edge would mint it."""
        issuer = TokenIssuer.from_file(self.credentials.service_key)
        return issuer.mint(
            audience=audience, tenant=tenant.id, user=tenant.user, scopes=scopes, run_id=run_id, ttl_s=ttl_s
        )


@asynccontextmanager
async def running_stack() -> AsyncIterator[Stack]:
    """Start the session's servers; stop them and remove their folder at the end."""
    await asyncio.to_thread(_remove_leftovers)
    folder = _make_folder()
    stack = Stack(folder)
    try:
        await asyncio.gather(stack.database.start(), stack.valkey.start())
        yield stack
    finally:
        if stack.valkey.process.running:
            await stack.valkey.process.kill()
        await stack.database.end()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _make_folder() -> Path:
    # Short, because Unix socket paths are, and open to the account that Postgres runs as.
    folder = Path(tempfile.mkdtemp(prefix=f"dormouse-test-{os.getpid()}-"))
    folder.chmod(0o755)
    return folder


def _remove_leftovers() -> None:
    """Remove the folders of sessions that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("dormouse-test-*"):
        match = FOLDER.fullmatch(folder.name)
        if match and not psutil.pid_exists(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)
