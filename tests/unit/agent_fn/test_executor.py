"""When a run of several steps is handed off."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agent_fn.agents.agent import Agent, ConversationState
from agent_fn.agents.context import RunContext
from agent_fn.conversation import Message
from agent_fn.events import Event, FinishReason, Handoff, RunFinished, StepFinished
from agent_fn.executor import Executor, Means
from agent_fn.models.catalog import ModelCatalog
from agent_fn.models.meter import ModelMeter
from agent_fn.models.ollama.client import OllamaClient, Timeouts
from agent_fn.models.port import ModelDescription
from agent_fn.outbox import Outbox
from agent_fn.runs import RunRequest
from agent_fn.threads.store import Threads
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_fn import errors

ASKED = Message(id="a", role="user", content=[{"text": "Go."}])


class Steps:
    """A graph of two steps; the first ends when it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        graph = StateGraph(ConversationState, context_schema=RunContext)
        graph.add_node("one", self.one)
        graph.add_node("two", self.two)
        graph.add_edge(START, "one")
        graph.add_edge("one", "two")
        graph.add_edge("two", END)
        self.agent = Agent(id="steps", description="Two steps.", graph=graph.compile())

    async def one(self, state: ConversationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        runtime.context.progress.begun = True
        await self.let_go.wait()
        runtime.context.flow.put([StepFinished("1", "one")])
        return {"messages": []}

    async def two(self, state: ConversationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        runtime.context.flow.put([StepFinished("2", "two")])
        return {"messages": [], "finish_reason": "STOP"}


class KnownModel(ModelCatalog):
    """A catalog that need not ask: no model is called here."""

    async def resolve(self, name: str) -> ModelDescription:
        if name == "none":
            raise errors.model_not_found(name)
        return ModelDescription(name or "m", frozenset({"completion"}))


@pytest.fixture
def steps() -> Steps:
    return Steps()


@asynccontextmanager
async def executing(steps: Steps, budget_s: float = 60) -> AsyncIterator[Executor]:
    async with OllamaClient.open("http://127.0.0.1:9", Timeouts(1, 1, 1), ModelMeter()) as client:
        means = Means(KnownModel(client, default_model="", prefill=None), client, Threads(""))
        yield Executor({"steps": steps.agent}, means, budget_s=budget_s)


def run(run_id: str = "run_1", model: str = "") -> RunRequest:
    return RunRequest(run_id=run_id, agent_id="steps", model=model, input=[ASKED])


async def everything(executor: Executor) -> list[Event]:
    seen: list[Event] = []
    async with executor.execute(run()) as outbox:
        while events := await outbox.take():
            seen += events
    return seen


async def test_a_run_goes_through_its_steps(steps: Steps) -> None:
    steps.let_go.set()
    async with executing(steps) as executor:
        assert await everything(executor) == [
            StepFinished("1", "one"),
            StepFinished("2", "two"),
            RunFinished(FinishReason.STOP),
        ]


async def test_after_its_budget_a_run_is_handed_off_before_its_next_step(steps: Steps) -> None:
    async with executing(steps, budget_s=0.02) as executor:
        asyncio.get_running_loop().call_later(0.1, steps.let_go.set)
        assert await everything(executor) == [StepFinished("1", "one"), Handoff()]


async def test_a_drain_hands_runs_off_at_their_next_step_and_takes_no_more(steps: Steps) -> None:
    async with executing(steps) as executor:
        running = asyncio.create_task(everything(executor))
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(executor.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(DormouseError) as refused:
            await everything(executor)
        assert refused.value.reason == error_pb2.ERROR_REASON_SHUTTING_DOWN
        steps.let_go.set()
        assert await running == [StepFinished("1", "one"), Handoff()]
        await draining


async def test_a_drain_breaks_off_what_does_not_end_in_time(steps: Steps) -> None:
    async with executing(steps) as executor:
        running = asyncio.create_task(everything(executor))
        await asyncio.sleep(0.05)
        await executor.drain(0.1)
        assert await running == [Handoff()]


async def test_leaving_a_run_cancels_it(steps: Steps) -> None:
    async with executing(steps) as executor:
        async with executor.execute(run()):
            await asyncio.sleep(0.05)
        await executor.drain(0)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "run run_1"]


async def test_a_run_that_is_cancelled_or_fails_is_freed_at_once(steps: Steps) -> None:
    gc.collect()  # what earlier tests have left is not ours
    gc.disable()
    try:
        async with executing(steps) as executor:
            await leave_early(executor)
            await fail(executor)
            assert not [found for found in gc.get_objects() if type(found) is Outbox]
    finally:
        gc.enable()


async def leave_early(executor: Executor) -> None:
    async with executor.execute(run()):
        await asyncio.sleep(0.02)


async def fail(executor: Executor) -> None:
    with pytest.raises(DormouseError):
        async with executor.execute(run(model="none")) as outbox:
            await outbox.take()
