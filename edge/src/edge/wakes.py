"""Wakes functions that a run will need while it does not need them yet, so that their starts run side by side."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import grpc.aio
from dormouse.tool.v1.tool_service_pb2 import ListToolsRequest
from dormouse.tool.v1.tool_service_pb2_grpc import ToolServiceStub
from dormouse_runtime.client import call_metadata
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from .agents import AgentDirectory
from .metrics import WAKE_SECONDS

TOOLS: Final = "tool_fn"
DOCUMENTS: Final = "embed_fn"
DOCUMENTS_TOOL: Final = "rag_search"

AWAKE_S: Final = 15.0
"""So long after an answer a function counts as awake: below the shortest time after which one is put to sleep."""

SEARCHES_AGAIN_S: Final = 3600.0
"""A tenant whose agent has searched documents is likely to do so again for so long."""

SEARCHERS_KEPT: Final = 10_000

WAKE_TIMEOUT_S: Final = 120.0
"""A start with an image to fetch takes long; what asks for longer is no start."""

_log = logging.getLogger(__name__)


class Waker:
    """Asks functions something and so has Knative start them. Nobody waits for the answer.

    embed_fn is asked for its health. tool_fn is asked what the run's agent will ask first, its tools: so it connects to
    servers of tools, and loads what a first call would wait for, while agent_fn still starts.
    """

    def __init__(self, agents: AgentDirectory, channels: Mapping[str, grpc.aio.Channel | None]) -> None:
        self._agents = agents
        self._channels = {name: channel for name, channel in channels.items() if channel is not None}
        self._answered_at = dict.fromkeys(self._channels, float("-inf"))
        self._waking: dict[str, asyncio.Task[None]] = {}
        self._searched_at: dict[tuple[str, str], float] = {}  # by tenant and agent, the latest last

    def for_run(self, tenant: str, agent_id: str, tools: Sequence[str] | None, token: str = "") -> None:
        """Wakes what this agent may call. tools: the names it is limited to; None: all that are its own. token: what
        the run calls tool_fn with.
        """
        agents = self._agents.known
        agent = agents and agents.agent(agent_id)
        may_call_tools = bool(tools) if tools is not None else bool(agent and (agent.any_tools or agent.tools))
        if not may_call_tools:
            return
        self._wake(TOOLS, token)
        # Who names the tool is about to search. Agents that may do anything seldom do, but where they have lately.
        if tools is None:
            is_likely = time.monotonic() - self._searched_at.get((tenant, agent_id), float("-inf")) < SEARCHES_AGAIN_S
        else:
            is_likely = DOCUMENTS_TOOL in tools
        if is_likely:
            self._wake(DOCUMENTS)

    def for_call(self, tenant: str, agent_id: str, tool: str) -> None:
        """Wakes what this tool, which a model has begun to call, is going to ask."""
        if tool != DOCUMENTS_TOOL:
            return
        self._wake(DOCUMENTS)
        self._searched_at.pop((tenant, agent_id), None)
        while len(self._searched_at) >= SEARCHERS_KEPT:
            del self._searched_at[next(iter(self._searched_at))]
        self._searched_at[tenant, agent_id] = time.monotonic()

    @property
    def waking(self) -> Collection[asyncio.Task[None]]:
        """The questions that are under way."""
        return tuple(self._waking.values())

    async def close(self) -> None:
        """Ends questions that are under way."""
        for task in (waking := self.waking):
            task.cancel()
        await asyncio.gather(*waking, return_exceptions=True)

    def _wake(self, name: str, token: str = "") -> None:
        if name not in self._channels or name in self._waking:
            return
        if time.monotonic() - self._answered_at[name] > AWAKE_S:
            self._waking[name] = asyncio.create_task(self._ask(name, token), name=f"wake {name}")

    async def _ask(self, name: str, token: str) -> None:
        began, channel = time.monotonic(), self._channels[name]
        try:
            if token:
                request, metadata = ListToolsRequest(), call_metadata(token)
                await ToolServiceStub(channel).ListTools(request, timeout=WAKE_TIMEOUT_S, metadata=metadata)
            else:
                await HealthStub(channel).Check(HealthCheckRequest(), timeout=WAKE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            # The run's own call comes later, and says what is wrong.
            _log.info("a function could not be woken", extra={"function": name, "code": error.code().name})
        else:
            self._answered_at[name] = time.monotonic()
            WAKE_SECONDS.labels(name).observe(self._answered_at[name] - began)
        finally:
            del self._waking[name]
