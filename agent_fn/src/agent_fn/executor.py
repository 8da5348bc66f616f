"""Runs agents: one `Execution` per Execute call, its budget, its end, and what becomes of all of them at a shutdown."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, cast

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from agent_fn import errors
from agent_fn.agents.agent import Agent, AgentGraph
from agent_fn.agents.context import Phase, Progress, RunContext
from agent_fn.agents.endings import HandingOff, Interrupted
from agent_fn.agents.run_state import RunState
from agent_fn.citing.sources import Sources
from agent_fn.events import CheckpointSaved, FinishReason, Handoff, RunFinished, RunInterrupted
from agent_fn.models.catalog import ModelCatalog
from agent_fn.models.port import Model, ModelDescription
from agent_fn.outbox import Outbox
from agent_fn.runs import RunRequest
from agent_fn.threads.store import Threads
from agent_fn.tools.port import NoTools, Toolbox

_logger = logging.getLogger(__name__)
# A message that takes longer than this many budgets is broken off, where its model can go on with it.
_BUDGETS_PER_MESSAGE = 2
_LOOK_AGAIN_S = 1.0
# Of the time for a drain, what is left for runs that are broken off to say so.
_DRAIN_RESERVE = 0.2
_DRAIN_RESERVE_MOST_S = 2.0


class Toolboxes(Protocol):
    """Where runs find tools."""

    def open(self, tenant: str, token: str, documents_token: str = "") -> Toolbox:
        """The tools that this service token lets a run of the tenant use; `documents_token`: what they read documents
        with.
        """
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What runs are made with. Without toolboxes agents have tools of their own only."""

    catalog: ModelCatalog
    models: Model
    threads: Threads
    toolboxes: Toolboxes | None = None


class Executor:
    """Runs what is asked for until the process is to stop."""

    def __init__(self, agents: Mapping[str, Agent], means: Means, *, budget_s: float) -> None:
        self.agents = agents
        self._means = means
        self._budget_s = budget_s
        self._running: set[Execution] = set()
        self._draining = False

    def execute(self, request: RunRequest) -> AbstractAsyncContextManager[Outbox]:
        """Runs an attempt; its events come from the outbox, its failure too. Leaving the context cancels it.

        Errors: AGENT_NOT_FOUND, SHUTTING_DOWN at once, the others of AgentService.Execute from the outbox.
        """
        if self._draining:
            raise errors.shutting_down()
        agent = self.agents.get(request.agent_id)
        if agent is None:
            raise errors.agent_not_found(request.agent_id)
        return Execution(request, agent, self._means, request.budget_s or self._budget_s, self._running)

    async def drain(self, seconds: float) -> None:
        """Takes no new runs and returns when none is left, at the latest after `seconds`.

        Runs end by themselves as long as there is time, at their next step at the latest; what is still in the middle
        of a message then is handed off, to be gone on with elsewhere.
        """
        self._draining = True
        for execution in self._running:
            execution.end_at_next_step()
        reserve = min(seconds * _DRAIN_RESERVE, _DRAIN_RESERVE_MOST_S)
        if await self._all_ended(seconds - reserve):
            return
        _logger.info("handing off runs", extra={"runs": len(self._running)})
        for execution in self._running:
            execution.hand_off()
        await self._all_ended(reserve)

    async def _all_ended(self, seconds: float) -> bool:
        tasks = [execution.task for execution in self._running]
        return not tasks or not (await asyncio.wait(tasks, timeout=seconds))[1]


class Execution:
    """One attempt of a run, as a task that fills an outbox; among `running` while its context lasts."""

    def __init__(
        self, request: RunRequest, agent: Agent, means: Means, budget_s: float, running: "set[Execution]"
    ) -> None:
        self._outbox = Outbox()
        self._request = request
        self._agent = agent
        self._means = means
        self._budget_s = budget_s
        self._model: ModelDescription | None = None
        self._progress = Progress()
        self._control = RunControl()
        self._handing_off = False
        self._running = running
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Outbox:
        """Begins."""
        self._timer = self._loop.call_later(self._budget_s, self._budget_used_up)
        self.task = self._loop.create_task(self._fill_outbox(), name=f"run {self._request.run_id}")
        self._running.add(self)
        return self._outbox

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancels the run if it has not ended; returns when nothing of it is left."""
        self._running.discard(self)
        self._timer.cancel()
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])
        # A task that was cancelled holds the error's frames, which hold this: 280 objects that wait for the collector.
        del self.task

    def end_at_next_step(self) -> None:
        """The graph stops before its next step, and the run is handed off there."""
        self._progress.ending = True
        self._control.request_drain("handoff")

    def hand_off(self) -> None:
        """Breaks the run off where it stands."""
        if not self.task.done():
            self._handing_off = True
            self.task.cancel()

    def _budget_used_up(self) -> None:
        if not self._progress.begun:
            self._timer = self._loop.call_later(self._budget_s, self._budget_used_up)
            return
        self.end_at_next_step()
        self._timer = self._loop.call_later(self._budget_s * (_BUDGETS_PER_MESSAGE - 1), self._message_takes_too_long)

    def _message_takes_too_long(self) -> None:
        """Hands off in the middle of a message, but only where nothing of it has to be done again."""
        can_continue = (
            self._model is not None and self._model.continues and self._request.options.response_json_schema is None
        )
        if not can_continue:
            return
        if self._progress.phase is Phase.TEXT:
            self.hand_off()
        else:
            self._timer = self._loop.call_later(_LOOK_AGAIN_S, self._message_takes_too_long)

    async def _fill_outbox(self) -> None:
        try:
            await self._run()
        except (GraphDrained, HandingOff):
            self._outbox.put([Handoff()])
            self._outbox.close()
        except Interrupted as interrupted:
            self._outbox.put([RunInterrupted(interrupted.interrupts)])
            self._outbox.close()
        except asyncio.CancelledError:
            if not self._handing_off:
                raise
            self._outbox.put([Handoff()])
            self._outbox.close()
        except Exception as error:  # noqa: BLE001 - handed to the reader, who maps it
            self._outbox.close(error)
        else:
            self._outbox.close()

    async def _run(self) -> None:
        request = self._request
        self._model = await self._means.catalog.resolve(request.model)
        context = self._context(self._model)
        put = self._outbox.put
        if request.thread is None:
            put([RunFinished(await self._stream(self._agent.graph, context))])
            return
        thread = await self._means.threads.begin(request.thread, request.run_id)
        put([CheckpointSaved(thread.base, is_base=True)])
        # The agent's graph is shared, the saver is this run's.
        graph = self._agent.graph.copy({"checkpointer": thread.checkpointer})
        finish_reason = await self._stream(graph, context, config=thread.config, durability="exit")
        put([RunFinished(finish_reason)])
        await thread.prune()

    def _context(self, model: ModelDescription) -> RunContext:
        request, means = self._request, self._means
        self._progress.tokens = request.recovery.tokens
        try:
            state = RunState.from_log(request.recovery.state_json, request.recovery.state_patches_json)
        except ValueError as error:
            raise errors.invalid_argument("The recovery's state is none.") from error
        toolbox: Toolbox = NoTools()
        if means.toolboxes is not None and request.tools_token:
            toolbox = means.toolboxes.open(request.tenant, request.tools_token, request.documents_token)
        return RunContext(
            run_id=request.run_id,
            model=model,
            models=means.models,
            options=request.options,
            client_tools=request.client_tools,
            recovery=request.recovery,
            progress=self._progress,
            flow=self._outbox,
            toolbox=toolbox,
            selection=request.selection,
            limits=self._agent.limits.lowered(*request.limits),
            artifacts=request.artifacts,
            answers=request.answers,
            can_interrupt=request.can_interrupt,
            state=state,
            safety=request.safety,
            sources=Sources(filter(None, (known.outcome for known in request.recovery.tool_calls))),
        )

    async def _stream(self, graph: AgentGraph, context: RunContext, **options: Any) -> FinishReason:
        """Runs the graph; its nodes tell the outbox what happens. The reason is in the last values of its state."""
        finish_reason = ""
        stream = graph.astream(
            {"messages": self._request.input},
            context=context,
            control=self._control,
            stream_mode="values",
            **{**options, "config": {**options.get("config", {}), "recursion_limit": self._agent.steps}},
        )
        async with aclosing(cast("AsyncGenerator[dict[str, Any], None]", stream)) as states:
            async for state in states:
                finish_reason = state.get("finish_reason", "")
        return FinishReason[finish_reason]
