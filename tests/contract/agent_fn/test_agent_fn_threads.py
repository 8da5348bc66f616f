"""Threads: what runs read and extend, wherever they begin, and how little of it is kept."""

import psycopg
import pytest
from dormouse.agent.v1.agent_pb2 import ThreadRef
from dormouse.agent.v1.agent_service_pb2 import PruneMode
from dormouse.agent.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from tests.contract.agent_fn.caller import Caller, calling, kinds, only, recovery, request, text_of, user
from tests.contract.agent_fn.conftest import Shared
from tests.stack import Stack, Tenant

THREAD = "thread_1"


def on(thread_id: str = THREAD, **base: object) -> ThreadRef:
    return ThreadRef(thread_id=thread_id, **base)  # type: ignore[arg-type]


async def conversation(caller: Caller, checkpoint_id: str = "") -> list[tuple[str, str]]:
    state = await caller.state(THREAD, checkpoint_id)
    return [(message.id, message.content[0].text) for message in state.messages]


async def questions(caller: Caller) -> list[str]:
    """What users have said on the thread."""
    state = await caller.state(THREAD)
    return [message.content[0].text for message in state.messages if message.role == ROLE_USER]


async def rows(stack: Stack, tenant: Tenant) -> dict[str, int]:
    """How much of the thread is stored."""
    found = {}
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            cursor = await connection.execute(
                f"select count(*) from {table} where thread_id = %s",
                [f"{tenant.id}:{THREAD}"],
            )
            row = await cursor.fetchone()
            assert row is not None
            found[table] = int(row[0])
    return found


async def test_a_run_on_a_thread_says_what_lies_before_it_and_stores_what_it_said(caller: Caller) -> None:
    events = await caller.run(request("Hello there.", run_id="run_a", thread=on()))
    assert kinds(events)[0] == "checkpoint_saved"
    assert events[0].checkpoint_saved.is_base
    assert events[0].checkpoint_saved.checkpoint_id == ""
    assert kinds(events)[-1] == "run_finished"
    state = await caller.state(THREAD)
    assert [message.role for message in state.messages] == [ROLE_USER, ROLE_ASSISTANT]
    assert state.messages[1].content[0].text == text_of(events)
    assert state.messages[1].id == only(events, "message_started").message_id
    assert state.values_json == "{}"


async def test_a_second_run_reads_the_first(caller: Caller, shared: Shared) -> None:
    await caller.run(request("My cat is called Fridolin.", run_id="run_a", thread=on()))
    before = (await caller.state(THREAD)).checkpoint_id
    events = await caller.run(request("What did I say?", run_id="run_b", thread=on()))
    assert events[0].checkpoint_saved.checkpoint_id == before
    assert len(await conversation(caller)) == 4
    async with shared.model_server.control() as http:
        asked = (await http.get("/_sim/requests", params={"contains": "Fridolin"})).json()["requests"]
    assert asked[-1]["id"] > asked[0]["id"], "the second question came with the first one"


async def test_a_run_can_begin_at_an_earlier_checkpoint(caller: Caller) -> None:
    await caller.run(request("One.", run_id="run_a", thread=on()))
    base = (await caller.state(THREAD)).checkpoint_id
    await caller.run(request("Two.", run_id="run_b", thread=on()))
    events = await caller.run(request("Three.", run_id="run_c", thread=on(checkpoint_id=base)))
    assert events[0].checkpoint_saved.checkpoint_id == base
    assert await questions(caller) == ["One.", "Three."]


async def test_a_run_can_begin_with_nothing(caller: Caller) -> None:
    await caller.run(request("One.", run_id="run_a", thread=on()))
    events = await caller.run(request("Two.", run_id="run_b", thread=on(empty=True)))
    assert events[0].checkpoint_saved.checkpoint_id == ""
    assert await questions(caller) == ["Two."]


async def test_a_second_attempt_doubles_nothing(caller: Caller) -> None:
    await caller.run(request("Zero.", run_id="run_0", thread=on()))
    base = (await caller.state(THREAD)).checkpoint_id
    first = request("One.", run_id="run_a", thread=on())
    events = await caller.run(first)
    # It was stored whole, and yet its caller, who was not told the end, calls again.
    first.recovery.CopyFrom(recovery(events[: len(events) // 2]))
    again = await caller.run(first)
    assert again[0].checkpoint_saved.checkpoint_id == base
    assert text_of(events[: len(events) // 2]) + text_of(again) == text_of(events)
    assert await questions(caller) == ["Zero.", "One."]
    assert (await conversation(caller))[-1] == ("run_a.m1", text_of(events))


async def test_a_message_with_a_known_id_takes_the_place_of_the_earlier_one(caller: Caller) -> None:
    await caller.run(request(run_id="run_a", thread=on(), input=[user("Draft.", "mine")]))
    await caller.run(request(run_id="run_b", thread=on(), input=[user("Final.", "mine"), user("Next.", "other")]))
    assert await questions(caller) == ["Final.", "Next."]


async def test_a_cancelled_run_leaves_its_question(stack: Stack, caller: Caller, tenant: Tenant) -> None:
    call, _ = await caller.start(request("Never answered.", run_id="run_a", thread=on()))
    call.cancel()
    for _ in range(100):
        try:
            assert [text for _, text in await conversation(caller)] == ["Never answered."]
            break
        except DormouseError:
            continue
    await caller.run(request("Next.", run_id="run_b", thread=on()))
    assert await questions(caller) == ["Never answered.", "Next."]


async def test_what_a_thread_takes_does_not_grow_with_its_runs(stack: Stack, caller: Caller, tenant: Tenant) -> None:
    sizes = []
    for number in range(5):
        await caller.run(request("Again.", run_id=f"run_{number}", thread=on()))
        sizes.append(await rows(stack, tenant))
    assert sizes[1] == sizes[2] == sizes[3] == sizes[4]
    assert sizes[4]["checkpoints"] == 2, "the latest, and the one before the latest run"


async def test_pruning_leaves_the_latest_or_nothing(stack: Stack, caller: Caller, tenant: Tenant) -> None:
    for number in range(2):
        await caller.run(request("Again.", run_id=f"run_{number}", thread=on()))
    latest = await caller.state(THREAD)
    await caller.prune(THREAD, "thread_unknown", mode=PruneMode.PRUNE_MODE_KEEP_LATEST)
    assert (await rows(stack, tenant))["checkpoints"] == 1
    assert await caller.state(THREAD) == latest
    await caller.prune(THREAD, mode=PruneMode.PRUNE_MODE_DELETE)
    assert set((await rows(stack, tenant)).values()) == {0}


async def test_nobody_reads_another_tenants_thread(stack: Stack, shared: Shared, caller: Caller) -> None:
    await caller.run(request("Mine.", run_id="run_a", thread=on()))
    async with calling(stack, shared.agent_fn, await stack.database.tenant()) as stranger:
        with pytest.raises(DormouseError) as failed:
            await stranger.state(THREAD)
        assert failed.value.reason == error_pb2.ERROR_REASON_THREAD_NOT_FOUND
        await stranger.prune(THREAD, mode=PruneMode.PRUNE_MODE_DELETE)
    assert len((await caller.state(THREAD)).messages) == 2


@pytest.mark.parametrize("checkpoint_id", ["", "nowhere"])
async def test_a_state_that_is_not_there_is_not_found(caller: Caller, checkpoint_id: str) -> None:
    if checkpoint_id:
        await caller.run(request("One.", run_id="run_a", thread=on()))
    with pytest.raises(DormouseError) as failed:
        await caller.state(THREAD, checkpoint_id)
    assert failed.value.reason == error_pb2.ERROR_REASON_THREAD_NOT_FOUND


async def test_a_run_from_a_checkpoint_that_is_not_there_is_refused(caller: Caller) -> None:
    error, seen = await caller.failure(request("One.", thread=on(checkpoint_id="nowhere")))
    assert error.reason == error_pb2.ERROR_REASON_THREAD_NOT_FOUND
    assert seen == []
