"""The npm package @ag-ui/client, unmodified, as a front end that tests talk through."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.agui import check_stream
from tests.stack import Platform, Tenant

FOLDER = Path(__file__).parent / "agui"
INSTALL_TIMEOUT_S = 100
TURN_TIMEOUT_S = 30
LINE_LIMIT = 16 * 1024 * 1024
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")


@dataclass(frozen=True, slots=True)
class Turn:
    """What the client saw of one run, and what it then held."""

    events: Sequence[Mapping[str, Any]]
    messages: Sequence[Mapping[str, Any]]
    """The whole conversation."""
    added: Sequence[Mapping[str, Any]]
    """What this run has added to it."""
    state: Any
    """The shared state."""
    interrupts: Sequence[Mapping[str, Any]]
    """The questions that the client knows to be open."""
    tools: Sequence[tuple[str, Mapping[str, Any]]]
    pending: Sequence[str] | None
    """Tool calls that are left to the application; None for a run that did not end in success."""
    raw: str
    """The bytes of the stream."""
    failure: Mapping[str, Any] | None
    verdict: str
    """`content`, or what the client's verifier objects to."""
    warnings: Sequence[str]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "TEXT_MESSAGE_CONTENT")

    def of(self, kind: str) -> Mapping[str, Any]:
        """The one event of this type."""
        (event,) = (event for event in self.events if event["type"] == kind)
        return event

    def must_be_lawful(self, *, state: Any = None, calls: Sequence[str] = ()) -> None:
        """Both judges are content with the whole stream: the client's own and ours.

        state, calls: what the client held before, and which calls earlier runs had left unanswered.
        """
        assert self.failure is None
        assert self.verdict == "content"
        assert not self.warnings
        assert [event["type"] for event in check_stream(self.raw.encode(), state=state, calls=calls)] == self.types


class FrontEnd:
    """Runs turns of conversations; each agent and thread is one HttpAgent that lives on between its turns."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def turn(self, platform: Platform, tenant: Tenant, thread: str, *add: Any, **wishes: Any) -> Turn:
        """Adds messages and runs the agent; the wishes are those that driver.mjs knows."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"url": platform.edge.url, "key": tenant.api_key, "agent": "chat", "thread": thread, "add": add}
        command |= wishes
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(TURN_TIMEOUT_S):
            line = await self._process.stdout.readline()
        assert line, f"the client has crashed: {await self._last_words()}"
        return Turn(**json.loads(line))

    async def _last_words(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()


@asynccontextmanager
async def running_front_end() -> AsyncIterator[FrontEnd]:
    """Installs the package if need be, and starts it. Skips the test where that cannot be."""
    await _install()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node", "driver.mjs", cwd=FOLDER, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE_LIMIT
    )
    try:
        yield FrontEnd(process)
    finally:
        process.kill()
        await process.wait()


async def _install() -> None:
    """`npm ci`, once for each state of the lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("@ag-ui/client was not tested: there is no node and npm here")
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    installed = FOLDER / "node_modules" / ".installed"
    if installed.exists() and installed.read_text() == wanted:
        return
    argv = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(INSTALL_TIMEOUT_S):
        said = (await process.communicate())[0].decode()
    if process.returncode and any(code in said for code in OFFLINE):
        pytest.skip(f"@ag-ui/client was not tested: npm cannot reach its registry: {said[-300:]}")
    assert process.returncode == 0, said
    installed.write_text(wanted)
