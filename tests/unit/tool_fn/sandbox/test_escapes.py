"""No program gets out of the sandbox, and none wears out what is around it.

Every attempt is judged by what it has left behind outside, not by what it says.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tool_fn.sandbox.instance import MEMORY_BYTES
from tool_fn.sandbox.report import Report
from tool_fn.tools.python import WORKER

from tests.unit.tool_fn.sandbox.attempts import ATTEMPTS, PRELUDE
from tests.unit.tool_fn.sandbox.conftest import PRINTED_BYTES, Sandbox

CANARY = "the-canary-still-sings"
SECRET = "a-secret-of-the-function"
# What a machine that is busy with other things may take to notice the end of a program's time, and to free its memory.
PATIENCE_S = 2.0


@dataclass
class Outside:
    """What attempts are after: a file, a secret, somebody who listens; and our child processes."""

    folder: Path
    port: int
    connections: list[object]
    worker: int
    processes: set[int]

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    def program(self, code: str) -> str:
        places = {
            "CANARY": str(self.canary),
            "FOLDER": str(self.folder),
            "PORT": str(self.port),
            "PARENT": str(os.getpid()),
            "SECRET": "DORMOUSE_TEST_SECRET",
        }
        for name, value in places.items():
            code = code.replace(name, value)
        return code


@pytest.fixture(scope="module")
async def outside(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    connections: list[object] = []
    os.environ["DORMOUSE_TEST_SECRET"] = SECRET

    async def welcome(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    try:
        async with await asyncio.start_server(welcome, "127.0.0.1", 0) as server:
            await sandbox.run("0", 5.0)
            [worker] = sandbox.pids
            processes = {child.pid for child in psutil.Process().children()}
            outside = Outside(folder, server.sockets[0].getsockname()[1], connections, worker, processes)
            outside.canary.write_text(CANARY)
            yield outside
    finally:
        del os.environ["DORMOUSE_TEST_SECRET"]


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_the_attempt_fails(sandbox: Sandbox, outside: Outside, name: str) -> None:
    attempt = ATTEMPTS[name]
    began = time.monotonic()

    report = await sandbox.run(outside.program(attempt.code), attempt.limit_s)

    assert time.monotonic() - began < attempt.limit_s + PATIENCE_S
    told = f"{report.printed} {report.value} {report.error} {report.detail}"
    assert "ESCAPED" not in told
    assert CANARY not in told
    assert SECRET not in told
    assert len(report.printed.encode()) <= PRINTED_BYTES
    assert len(told) < PRINTED_BYTES + 50_000
    assert sorted(path.name for path in outside.folder.iterdir()) == ["canary"]
    assert outside.canary.read_text() == CANARY
    assert not outside.connections
    # The same worker is still there, alone, and has given back what the program took.
    assert {child.pid for child in psutil.Process().children()} == outside.processes
    worker = psutil.Process(outside.worker)
    assert worker.children() == []
    assert worker.memory_info().rss < MEMORY_BYTES
    assert await sandbox.run("6 * 7", 5.0) == Report(value="42")
    assert worker.num_threads() == 3  # the first, the one that runs programs, the one that watches


def test_there_are_many_attempts_and_no_two_are_the_same() -> None:
    assert len(ATTEMPTS) >= 100
    assert len({attempt.code for attempt in ATTEMPTS.values()}) == len(ATTEMPTS)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_worker_was_never_larger_than_it_may_be(outside: Outside) -> None:
    status = Path(f"/proc/{outside.worker}/status").read_text()
    [peak] = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak < WORKER.memory_bytes


async def test_an_attempt_that_succeeds_would_be_seen(sandbox: Sandbox) -> None:
    report = await sandbox.run(PRELUDE + "win('in a test of the test')", 5.0)
    assert "ESCAPED" in report.printed
