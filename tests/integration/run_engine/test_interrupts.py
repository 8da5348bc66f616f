"""A run asks a person, ends, and goes on with the answer: once, anywhere, whenever."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import TokenVerifier
from edge.runs import RunEngine
from edge.runs.model import Limits, OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, Gate, eventually, kinds
from tests.integration.run_engine.scripted_agent import asking, call, delta, finished, interrupted, saying, started

APPROVE = {"c1.approval": {"action": "approve"}}
REJECT = {"c1.approval": {"action": "reject", "reason": "no"}}


async def resumed(bench: Bench, engine: RunEngine, run_id: str, answers: dict[str, Any]) -> list[RunEvent]:
    """Answers, and reads what comes of it."""
    return await bench.read(engine, run_id, await engine.resume(bench.tenant.id, run_id, answers))


async def refusal(engine: RunEngine, bench: Bench, run_id: str, answers: dict[str, Any]) -> int:
    with pytest.raises(DormouseError) as refused:
        await engine.resume(bench.tenant.id, run_id, answers)
    return refused.value.reason


async def test_an_interrupted_run_is_executed_by_nobody_and_says_what_it_waits_for(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine)
    assert bench.agent.inside == 0
    assert not engine._executions
    other = await bench.replica()
    for replica in (engine, other):
        record = await replica.get(bench.tenant.id, run_id)
        assert (record.status, [question.id for question in record.interrupts]) == (
            RunStatus.INTERRUPTED,
            ["c1.approval"],
        )
        assert record.finished_at is None
    (listed,) = (await other.list(bench.tenant.id, status=RunStatus.INTERRUPTED)).runs
    assert listed.interrupts[0].tool_call_id == "c1"


async def test_an_answered_run_goes_on_in_the_same_log_with_what_it_had_said(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine)
    after = await engine.resume(bench.tenant.id, run_id, APPROVE)
    events = await bench.read(engine, run_id, after)
    assert kinds(events)[0] == "run_resumed"
    assert events[0].run_resumed.answers[0].response_json == '{"action":"approve"}'
    assert kinds(events)[1:] == ["tool_result", "message_delta", "usage_reported", "run_finished"]
    whole = await bench.read(engine, run_id)
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    assert whole[after:] == events
    request = bench.agent.requests[1]
    assert (request.recovery.attempt, request.recovery.tool_results[0].tool_call_id) == (2, "c1")
    record = await engine.get(bench.tenant.id, run_id)
    assert (record.status, list(record.interrupts), record.usage.completion_tokens) == (RunStatus.COMPLETED, [], 1)


async def test_every_later_attempt_gets_all_answers_of_the_run(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine, "c1", "c2")
    events = await resumed(bench, engine, run_id, APPROVE)
    assert kinds(events)[-1] == "run_interrupted"
    bench.agent.failures = [grpc.StatusCode.UNAVAILABLE]
    events = await resumed(bench, engine, run_id, {"c2.approval": {"action": "reject", "reason": "no"}})
    assert kinds(events)[-1] == "run_finished"
    told = [[answer.interrupt_id for answer in request.answers] for request in bench.agent.requests]
    assert told == [[], ["c1.approval"], ["c1.approval", "c2.approval"], ["c1.approval", "c2.approval"]]
    results = [event.tool_result.content for event in await bench.read(engine, run_id) if event.HasField("tool_result")]
    assert results == ['{"action":"approve"}', '{"action":"reject","reason":"no"}']


async def test_a_run_is_answered_at_another_replica_when_redis_has_forgotten_it(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    run_id = await bench.interrupted(first, on_disconnect=OnDisconnect.CONTINUE)
    await bench.stop(first)
    await bench.forget(run_id)
    after = await second.resume(bench.tenant.id, run_id, APPROVE)
    assert kinds(await bench.read(second, run_id, after))[-1] == "run_finished"
    third = await bench.replica()
    whole = await bench.read(third, run_id)
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    assert kinds(whole).count("run_interrupted") == 1
    (request,) = bench.agent.requests[1:]
    assert (request.run_id, request.agent_id, request.input) == (run_id, "chat", bench.agent.requests[0].input)
    assert request.can_interrupt


async def test_the_same_answers_act_once_however_often_and_wherever_they_come(bench: Bench) -> None:
    engines = [await bench.replica(), await bench.replica()]
    run_id = await bench.interrupted(engines[0])
    sent = [engines[n % 2].resume(bench.tenant.id, run_id, APPROVE) for n in range(8)]
    places = await asyncio.gather(*sent)
    assert len(set(places)) == 1
    logs = await asyncio.gather(*(bench.read(engine, run_id, places[0]) for engine in engines))
    assert logs[0] == logs[1]
    assert kinds(logs[0])[-1] == "run_finished"
    assert kinds(await bench.read(engines[0], run_id)).count("run_resumed") == 1
    assert len(bench.agent.requests) == 2
    # Also after its end, when Redis has forgotten it, and never with other answers.
    await bench.forget(run_id)
    assert await engines[1].resume(bench.tenant.id, run_id, APPROVE) == places[0]
    assert await refusal(engines[0], bench, run_id, REJECT) == ErrorReason.ERROR_REASON_CONFLICT


async def test_of_different_answers_at_the_same_time_one_is_taken(bench: Bench) -> None:
    engines = [await bench.replica(), await bench.replica()]
    run_id = await bench.interrupted(engines[0])
    sent = [engines[n % 2].resume(bench.tenant.id, run_id, APPROVE if n < 4 else REJECT) for n in range(8)]
    outcomes = await asyncio.gather(*sent, return_exceptions=True)
    reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, DormouseError)}
    assert reasons == {ErrorReason.ERROR_REASON_CONFLICT}
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 4
    assert kinds(await bench.read(engines[1], run_id))[-1] == "run_finished"
    assert len(bench.agent.requests) == 2


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"c9.approval": {"action": "approve"}},
        {**APPROVE, "c9.approval": {"action": "approve"}},
        {"c1.approval": "approve"},
        {"c1.approval": {"action": "maybe"}},
        {"c1.approval": {"action": "edit"}},
        {"c1.approval": {"action": "edit", "arguments": "{}"}},
        {"c1.approval": {"action": "reject", "reason": 7}},
        pytest.param({"c1.approval": object()}, id="what is no JSON"),
    ],
    ids=str,
)
async def test_answers_that_do_not_fit_are_refused_and_change_nothing(bench: Bench, answers: dict[str, Any]) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine)
    assert await refusal(engine, bench, run_id, answers) == ErrorReason.ERROR_REASON_INVALID_ARGUMENT
    assert (await engine.get(bench.tenant.id, run_id)).status is RunStatus.INTERRUPTED
    assert kinds(await resumed(bench, engine, run_id, APPROVE))[-1] == "run_finished"


async def test_only_what_waits_can_be_answered(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await engine.start(bench.spec(stored=True))
    await bench.read(engine, run_id)
    assert await refusal(engine, bench, run_id, APPROVE) == ErrorReason.ERROR_REASON_CONFLICT
    unknown = "run_000000000000000000000000"
    assert await refusal(engine, bench, unknown, APPROVE) == ErrorReason.ERROR_REASON_RUN_NOT_FOUND
    waiting = await bench.interrupted(engine)
    with pytest.raises(DormouseError) as refused:
        await engine.resume("somebody-else", waiting, APPROVE)
    assert refused.value.reason == ErrorReason.ERROR_REASON_RUN_NOT_FOUND


async def test_a_question_that_nobody_can_be_asked_fails_the_run(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = asking("c1")
    for is_stored in (True, False):
        run_id = await engine.start(bench.spec(stored=is_stored, can_interrupt=not is_stored))
        assert kinds(await bench.read(engine, run_id))[-1] == "run_failed"


async def test_a_client_that_leaves_does_not_end_a_run_that_waits(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine, on_disconnect=OnDisconnect.CANCEL)
    await engine.client_gone(bench.tenant.id, run_id)
    assert (await engine.get(bench.tenant.id, run_id)).status is RunStatus.INTERRUPTED


async def test_a_client_that_leaves_before_it_knows_that_its_answer_was_taken_has_answered(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine)
    gate = Gate(engine._resumptions._store, "resume", before=False)
    impatient = asyncio.create_task(engine.resume(bench.tenant.id, run_id, APPROVE))
    await gate.reached.wait()
    impatient.cancel()
    await asyncio.wait([impatient])
    gate.opened.set()

    async def is_over() -> bool:
        return (await engine.get(bench.tenant.id, run_id)).status is RunStatus.COMPLETED

    await eventually(is_over)


async def test_an_answered_run_may_go_on_without_its_client(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await bench.interrupted(engine, on_disconnect=OnDisconnect.CANCEL)
    go_on = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield delta("on ", "m2")
        await go_on.wait()
        yield finished()

    bench.agent.script = script
    after = await engine.resume(bench.tenant.id, run_id, APPROVE, on_disconnect=OnDisconnect.CONTINUE)
    await engine.client_gone(bench.tenant.id, run_id)
    go_on.set()
    assert kinds(await bench.read(engine, run_id, after))[-1] == "run_finished"


async def test_a_reader_behind_the_question_has_had_everything_until_it_is_answered(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    run_id = await bench.interrupted(first)
    last = (await bench.read(first, run_id))[-1].seq
    for engine in (first, second):
        assert await bench.read(engine, run_id, last) == []
    assert await first.resume(bench.tenant.id, run_id, APPROVE) == last
    assert kinds(await bench.read(second, run_id, last))[0] == "run_resumed"


async def test_tools_limits_and_tokens_for_tools_and_documents_reach_the_agent(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying("hi")
    runs = []
    for fields in ({}, {"tools": [], "limits": Limits(tool_calls=3)}, {"tools": ["math"]}):
        runs.append(await engine.start(bench.spec(**fields)))
        await bench.read(engine, runs[-1])
    plain, none, some = bench.agent.requests
    assert (plain.HasField("tools"), plain.HasField("limits"), plain.can_interrupt) == (False, False, False)
    assert (none.HasField("tools"), list(none.tools.names), none.limits.tool_calls) == (True, [], 3)
    assert list(some.tools.names) == ["math"]
    assert (bench.agent.tool_tokens[1], bench.agent.document_tokens[1]) == ("", ""), "without tools nobody needs them"
    for audience, scope, token, run_id in (
        ("tool_fn", "tools", bench.agent.tool_tokens[0], runs[0]),
        ("embed_fn", "documents:read", bench.agent.document_tokens[0], runs[0]),
        ("tool_fn", "tool:math", bench.agent.tool_tokens[2], runs[2]),
    ):
        verifier = TokenVerifier.from_file(bench.stack.credentials.trusted_keys, audience)
        identity = verifier.verify(token)
        assert (identity.tenant, identity.user, identity.run_id, identity.scopes) == (
            bench.tenant.id,
            bench.tenant.user,
            run_id,
            frozenset({scope}),
        )


async def test_what_a_repeated_attempt_says_again_is_in_the_log_once(bench: Bench) -> None:
    engine = await bench.replica()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        yield started()
        yield call("c1")
        yield interrupted("c1")

    bench.agent.script = script
    run_id = await engine.start(bench.spec(stored=True, can_interrupt=True))
    await bench.read(engine, run_id)
    events = await resumed(bench, engine, run_id, APPROVE)
    assert kinds(events) == ["run_resumed", "run_interrupted"]
