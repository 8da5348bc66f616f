"""What the edge says of itself: alive, ready, and how each part that it needs is doing."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dormouse_runtime.errors import DormouseError

from .agents import AgentDirectory
from .database import Database
from .embed_client import EmbedClient
from .errors import ApiError
from .files import Files
from .files.store_place import WrongStoreError
from .lifecycle import Lifecycle
from .runs import RunEngine
from .tool_client import ToolClient

Status = Literal["ok", "degraded", "unavailable"]

CHECK_TIMEOUT_S: Final = 0.8
"""Below the second that Kubernetes gives a probe."""

POSTGRES_TIMEOUT_S: Final = 0.64
"""A quarter more for a server that has stopped in mid-answer makes it the same."""

FILE_STORE_FRESH_S: Final = 10.0
"""So long an answer of the store of files counts: with S3 each question costs."""

REPORT_FRESH_S: Final = 0.5
"""So long a report is given again: many probes cost no more than a few."""


@dataclass(frozen=True, slots=True)
class Component:
    """One part: how it is, and what that means for users."""

    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """Every part at one moment."""

    ready: bool
    status: Literal["ready", "degraded", "unavailable", "draining"]
    components: Mapping[str, Component]


class Health:
    """Checks the parts when asked. agent_fn decides readiness: without it nothing can be answered."""

    def __init__(
        self,
        *,
        database: Database,
        agents: AgentDirectory,
        tools: ToolClient,
        embed: EmbedClient,
        files: Files | None,
        runs: RunEngine,
        lifecycle: Lifecycle,
        agent_probe_s: float,
        models_sleep: bool = False,
    ) -> None:
        """models_sleep: a model server that is not there is no fault: a question has it come."""
        self._database = database
        self._agents = agents
        self._tools = tools
        self._embed = embed
        self._files = files
        self._file_store_at = float("-inf")
        self._runs = runs
        self._lifecycle = lifecycle
        self._agent_probe_s = agent_probe_s
        self._models_sleep = models_sleep
        self._components: Mapping[str, Component] = {}
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def report(self) -> Report:
        """The state of everything, at most half a second old."""
        async with self._lock:
            if time.monotonic() - self._checked_at > REPORT_FRESH_S:
                self._components = await self._check()
                self._checked_at = time.monotonic()
        components = self._components
        if self._lifecycle.draining:
            return Report(False, "draining", components)
        if components["agent_fn"].status == "unavailable":
            return Report(False, "unavailable", components)
        if any(component.status != "ok" for component in components.values()):
            return Report(True, "degraded", components)
        return Report(True, "ready", components)

    async def _check(self) -> Mapping[str, Component]:
        postgres, (agent_fn, model_server), tool_fn, embed_fn, file_store = await asyncio.gather(
            self._postgres(), self._agent_fn(), self._tool_fn(), self._embed_fn(), self._file_store()
        )
        return {
            "agent_fn": agent_fn,
            "embed_fn": embed_fn,
            "file_store": file_store,
            "model_server": model_server,
            "postgres": postgres,
            "redis": self._redis(),
            "tool_fn": tool_fn,
        }

    async def _postgres(self) -> Component:
        try:
            async with self._database.connection(POSTGRES_TIMEOUT_S) as connection:
                await connection.execute("select 1")
        except DormouseError:
            detail = "It does not answer. Threads and stored runs are refused; known API keys and stateless chats work."
            return Component("degraded", detail)
        return Component("ok", "It answers.")

    def _redis(self) -> Component:
        if self._runs.resume_available:
            return Component("ok", "Runs can be resumed on every replica.")
        return Component("degraded", "It does not answer. Runs stream, but cannot be resumed.")

    async def _tool_fn(self) -> Component:
        if not self._tools.is_configured:
            return Component("ok", "There is none: agents have only tools of their own.")
        if self._is_due(self._tools.last_answer):
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await self._tools.refresh()
            except (TimeoutError, DormouseError):
                return Component("degraded", "It does not answer. Agents answer without its tools.")
        return Component("ok", "It answers.")

    async def _embed_fn(self) -> Component:
        if not self._embed.is_configured:
            return Component("ok", "There is none: there are no embeddings and no documents.")
        if self._is_due(self._embed.last_answer):
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await self._embed.probe()
            except (TimeoutError, DormouseError):
                return Component("degraded", "It does not answer. Documents cannot be searched, nor texts embedded.")
        return Component("ok", "It answers.")

    async def _file_store(self) -> Component:
        if self._files is None:
            return Component("ok", "There is none: no files are kept.")
        if time.monotonic() - self._file_store_at > FILE_STORE_FRESH_S:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await self._files.probe()
            except WrongStoreError as error:
                return Component("degraded", f"{error.message} Files are refused.")
            except (TimeoutError, ApiError, DormouseError):
                return Component("degraded", "It does not answer. Files are neither taken nor given back.")
            self._file_store_at = time.monotonic()
        return Component("ok", "It answers.")

    def _is_due(self, last_answer: float) -> bool:
        """Whether a function has been silent for so long that it is asked."""
        age = time.monotonic() - last_answer
        return age > self._agent_probe_s if self._agent_probe_s else age == float("inf")

    async def _agent_fn(self) -> tuple[Component, Component]:
        if self._is_due(self._agents.last_answer):
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await self._agents.refresh()
            except (TimeoutError, DormouseError):
                away = Component("unavailable", "It does not answer.")
                return away, Component("degraded", "Not known while agent_fn does not answer.")
        catalogue = self._agents.known
        assert catalogue is not None  # it has answered once
        answers = Component("ok", "It answers.")
        if catalogue.model_server_reachable:
            return answers, Component("ok", f"It serves {len(catalogue.models)} models.")
        if self._models_sleep:
            return answers, Component("ok", "It sleeps, or did when agent_fn looked; runs wait until it has woken.")
        return answers, Component("degraded", "It does not answer agent_fn; chats fail until it does.")
