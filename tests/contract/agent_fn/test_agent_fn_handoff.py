"""No admitted run fails when its budget ends or its process does: another call goes on with it."""

import asyncio
import signal
from typing import Any

import pytest
from dormouse.agent.v1.agent_pb2 import ThreadRef
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from tests.contract.agent_fn.caller import Caller, Event, calling, kinds, options, recovery, request, text_of
from tests.stack import Fleet, Stack, Tenant

QUESTION = "Tell me about dormice."


async def until_finished(caller: Caller, **fields: Any) -> tuple[list[list[str]], str]:
    """What each call of a run said, until one of them finished it, and the text of all."""
    said: list[Event] = []
    calls: list[list[str]] = []
    asked = request(QUESTION, **fields)
    while not calls or calls[-1][-1] == "handoff":
        events = await caller.run(asked)
        said += events
        calls.append(kinds(events))
        asked.recovery.CopyFrom(recovery(said, attempt=len(calls) + 1))
    return calls, text_of(said)


async def test_a_message_longer_than_twice_the_budget_goes_on_in_the_next_call(caller: Caller) -> None:
    whole = await caller.run(request(QUESTION))
    calls, text = await until_finished(caller, budget_ms=25)
    assert len(calls) > 1
    assert calls[0] == ["step_started", "message_started", "message_delta", "handoff"]
    assert calls[1][0] == "message_delta"
    assert calls[-1][-1] == "run_finished"
    assert text == text_of(whole)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "dormouse-dev-noprefill"},
        {"options": options(response_json_schema="json")},
    ],
    ids=["template", "schema"],
)
async def test_a_message_that_cannot_go_on_is_not_broken_off(caller: Caller, fields: dict[str, Any]) -> None:
    calls, _ = await until_finished(caller, budget_ms=5, **fields)
    assert len(calls) == 1


async def test_a_run_on_a_thread_is_stored_once_though_it_took_several_calls(caller: Caller) -> None:
    calls, text = await until_finished(caller, budget_ms=25, thread=ThreadRef(thread_id="thread_1"))
    assert len(calls) > 1
    state = await caller.state("thread_1")
    assert [message.content[0].text for message in state.messages] == [QUESTION, text]


async def test_a_terminated_process_lets_its_runs_end(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=5)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller:
        call, seen = await caller.start(request(QUESTION))
        agent_fn.send(signal.SIGTERM)
        seen += await caller.rest(call)
        assert kinds(seen)[-1] == "run_finished"
    assert await agent_fn.process.wait() == 0


async def test_a_terminated_process_hands_off_what_does_not_end_in_time(
    stack: Stack, fleet: Fleet, tenant: Tenant
) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=15)
    agent_fn = await fleet.agent_fn(model_server, env={"DORMOUSE_DRAIN_S": "0.6"})
    other = await fleet.agent_fn(model_server)
    asked = request(QUESTION)
    async with calling(stack, agent_fn, tenant) as caller, calling(stack, other, tenant) as another:
        whole = asyncio.create_task(another.run(request(QUESTION)))
        waiting = asyncio.create_task(caller.run(request("Not yet.", run_id="run_2", model="dormouse-dev-noprefill")))
        call, seen = await caller.start(asked)
        agent_fn.send(signal.SIGTERM)
        seen += await caller.rest(call)
        assert kinds(seen)[-1] == "handoff"
        assert kinds(await waiting)[-1] == "handoff", "one that cannot go on is not left to fail either"
        seen.pop()
        asked.recovery.CopyFrom(recovery(seen))
        seen += await another.run(asked)
        assert text_of(seen) == text_of(await whole)
    assert await agent_fn.process.wait() == 0


async def short_runs_for_ever(caller: Caller) -> None:
    while True:
        await caller.run(request("One more.", run_id="run_2", options=options(max_tokens=1)))


async def test_a_terminated_process_takes_no_new_runs(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=8)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller:
        call, seen = await caller.start(request(QUESTION))
        agent_fn.send(signal.SIGTERM)
        with pytest.raises(DormouseError) as failed:
            await short_runs_for_ever(caller)
        assert failed.value.retryable
        assert failed.value.reason in (
            error_pb2.ERROR_REASON_SHUTTING_DOWN,
            error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE,
        )
        seen += await caller.rest(call)
        assert kinds(seen)[-1] == "run_finished"
