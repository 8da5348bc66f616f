"""Starts the sample function as a process, and calls it as the edge would."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
from devstack.services import Program
from dormouse.agent.v1 import agent_service_pb2 as pb
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from dormouse_runtime.client import Metadata, call_metadata, open_channel
from dormouse_runtime.identity import TokenIssuer
from dormouse_runtime.keys import write_key_pair

from tests.stack.server import Server

if TYPE_CHECKING:
    from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

SAMPLE = Path(__file__).with_name("runtime_function.py")
SERVICE = "dormouse.agent.v1.AgentService"
GIVEN = ("PATH", "HOME", "LANG", "TMPDIR")


class SampleFunction(Server):
    """The process, its keys and its log."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.private_key = folder / "private.json"
        self.trusted_keys = folder / "trusted.json"
        write_key_pair(self.private_key, self.trusted_keys)
        program = Program(
            argv=(sys.executable, str(SAMPLE)),
            env={
                **{name: os.environ[name] for name in GIVEN if name in os.environ},
                "DORMOUSE_LISTEN": "127.0.0.1:0",
                "DORMOUSE_METRICS_LISTEN": "127.0.0.1:0",
                "DORMOUSE_TRUSTED_KEYS": str(self.trusted_keys),
                **env,
            },
        )
        super().__init__("sample", program, folder / "sample.log")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return [json.loads(line) for line in self.log_lines if line.startswith("{")]

    async def entry(self, event: str) -> dict[str, Any]:
        """The last line with that event; waits for it, because lines come after answers."""
        async with asyncio.timeout(5):
            while True:
                found = [entry for entry in self.entries if entry["event"] == event]
                if found:
                    return found[-1]
                await asyncio.sleep(0.01)

    async def ended(self, timeout: float = 5) -> int:
        """The exit code, once it has ended by itself and all it printed is here."""
        code = await asyncio.wait_for(self.process.wait(), timeout)
        await asyncio.to_thread(self.process.log.join)
        return code

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.entries]

    def token(self, **claims: Any) -> str:
        return TokenIssuer.from_file(self.private_key).mint(
            **{"audience": "sample", "tenant": "acme", "user": "ada", **claims}
        )

    def metadata(self, request_id: str = "", **claims: Any) -> Metadata:
        return call_metadata(self.token(**claims), request_id)

    @asynccontextmanager
    async def stub(self, **options: Any) -> AsyncIterator["AgentServiceAsyncStub"]:
        async with open_channel(self.address, **options) as channel:
            yield AgentServiceStub(channel)

    async def ask(self, what: str, *, timeout: float = 5, metadata: Metadata | None = None) -> str:
        """One unary call on a channel of its own."""
        async with self.stub() as stub:
            answer = await stub.GetThreadState(
                pb.GetThreadStateRequest(thread_id=what),
                timeout=timeout,
                metadata=self.metadata() if metadata is None else metadata,
            )
        return answer.checkpoint_id


async def next_seq(call: grpc.aio.UnaryStreamCall[pb.ExecuteRequest, pb.ExecuteResponse]) -> int:
    """The number of the stream's next message."""
    response = await call.read()
    assert isinstance(response, pb.ExecuteResponse)
    return response.events[0].seq


@asynccontextmanager
async def sample_function(folder: Path, **env: str) -> AsyncIterator[SampleFunction]:
    """A running sample function; killed at the end if it still runs."""
    function = SampleFunction(folder, env)
    await function.start(ready=False)
    try:
        yield function
    finally:
        if function.process.running:
            await function.kill()
