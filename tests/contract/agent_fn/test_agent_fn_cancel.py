"""Cancelling a run closes the request to the model server, whatever that is doing."""

import asyncio
from typing import Any

import pytest
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from tests.contract.agent_fn.caller import Caller, calling, request
from tests.stack import Fleet, ModelServer, Stack, Tenant

ONE_SECOND = 1.0


async def state_of_requests(server: ModelServer, state: str, count: int = 1, timeout_s: float = 10) -> bool:
    """Whether so many requests get into this state in time."""
    async with server.control() as http:
        waited = await http.get("/_sim/wait", params={"state": state, "count": count, "timeout_s": timeout_s})
    return waited.status_code == 200


@pytest.mark.parametrize(
    ("phase", "simulation"),
    [
        ("loading", {"load_ms": 60_000}),
        ("prefilling", {"ttft_ms": 60_000}),
        ("streaming", {"token_ms": 500}),
    ],
)
async def test_a_cancelled_run_aborts_its_model_call_within_a_second(
    phase: str, simulation: dict[str, Any], stack: Stack, fleet: Fleet, tenant: Tenant
) -> None:
    model_server = await fleet.model_server(**simulation)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller:
        run = asyncio.create_task(caller.run(request("Tell me about dormice.")))
        assert await state_of_requests(model_server, phase)
        run.cancel()
        assert await state_of_requests(model_server, "aborted", timeout_s=ONE_SECOND)


async def test_a_run_cancelled_in_the_model_servers_queue_leaves_it(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(slots=1, ttft_ms=60_000)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller:
        first = asyncio.create_task(caller.run(request("First.", run_id="run_1")))
        assert await state_of_requests(model_server, "prefilling")
        second = asyncio.create_task(caller.run(request("Second.", run_id="run_2")))
        assert await state_of_requests(model_server, "queued")
        second.cancel()
        assert await state_of_requests(model_server, "aborted", timeout_s=ONE_SECOND)
        assert await state_of_requests(model_server, "prefilling", timeout_s=0), "the other one is left alone"
        first.cancel()


async def test_a_callers_deadline_ends_its_model_call(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=60_000)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller:
        with pytest.raises(DormouseError) as failed:
            await caller.run(request("Tell me about dormice."), timeout=0.3)
        assert failed.value.reason == error_pb2.ERROR_REASON_DEADLINE_EXCEEDED
        assert await state_of_requests(model_server, "aborted", timeout_s=ONE_SECOND)


async def test_a_cancelled_run_leaves_nothing_behind(caller: Caller) -> None:
    call, _ = await caller.start(request("Tell me about dormice.", run_id="run_1"))
    call.cancel()
    events = await caller.run(request("Tell me about dormice.", run_id="run_1"))
    assert events[-1].WhichOneof("event") == "run_finished"
