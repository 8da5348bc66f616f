"""Wakes functions that a run will need while it does not need them yet, so that their starts run side by side."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from .agents import AgentDirectory
from .metrics import WAKE_SECONDS

TOOLS: Final = "tool_fn"
DOCUMENTS: Final = "embed_fn"
DOCUMENTS_TOOL: Final = "rag_search"

AWAKE_S: Final = 15.0
"""So long after an answer a function counts as awake: below the shortest time after which one is put to sleep."""

WAKE_TIMEOUT_S: Final = 120.0
"""A start with an image to fetch takes long; what asks for longer is no start."""

_log = logging.getLogger(__name__)


class Waker:
    """Asks functions for their health and so has Knative start them. Nobody waits for the answer."""

    def __init__(self, agents: AgentDirectory, channels: Mapping[str, grpc.aio.Channel | None]) -> None:
        self._agents = agents
        self._stubs = {name: HealthStub(channel) for name, channel in channels.items() if channel is not None}
        self._answered_at = dict.fromkeys(self._stubs, float("-inf"))
        self._waking: dict[str, asyncio.Task[None]] = {}

    def for_run(self, agent_id: str, tools: Sequence[str] | None) -> None:
        """Wakes what this agent may call. tools: the names it is limited to; None: all that are its own."""
        agents = self._agents.known
        agent = agents and agents.agent(agent_id)
        may_call_tools = bool(tools) if tools is not None else bool(agent and (agent.any_tools or agent.tools))
        if not may_call_tools:
            return
        self._wake(TOOLS)
        # Who names the tool is about to search; agents that may do anything seldom do.
        if tools is not None and DOCUMENTS_TOOL in tools:
            self._wake(DOCUMENTS)

    @property
    def waking(self) -> Collection[asyncio.Task[None]]:
        """The questions that are under way."""
        return tuple(self._waking.values())

    async def close(self) -> None:
        """Ends questions that are under way."""
        for task in (waking := self.waking):
            task.cancel()
        await asyncio.gather(*waking, return_exceptions=True)

    def _wake(self, name: str) -> None:
        if name not in self._stubs or name in self._waking:
            return
        if time.monotonic() - self._answered_at[name] > AWAKE_S:
            self._waking[name] = asyncio.create_task(self._ask(name), name=f"wake {name}")

    async def _ask(self, name: str) -> None:
        began = time.monotonic()
        try:
            await self._stubs[name].Check(HealthCheckRequest(), timeout=WAKE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            # The run's own call comes later, and says what is wrong.
            _log.info("a function could not be woken", extra={"function": name, "code": error.code().name})
        else:
            self._answered_at[name] = time.monotonic()
            WAKE_SECONDS.labels(name).observe(self._answered_at[name] - began)
        finally:
            del self._waking[name]
