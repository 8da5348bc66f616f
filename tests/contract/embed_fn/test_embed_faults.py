"""Embed while the model server or Postgres fails: repeated where that helps, said where not."""

import asyncio
import itertools
import time

import psycopg
from dormouse.common.v1.error_pb2 import ErrorReason

from tests.contract.embed_fn.caller import (
    Caller,
    calling,
    embed_requests,
    refusal,
    slow_down,
    strike,
    wait_for_requests,
)
from tests.stack import Fleet, ModelServer, Stack, Tenant


async def test_a_busy_or_failing_model_server_is_asked_again(model_server: ModelServer, caller: Caller) -> None:
    for kind in ("busy", "error"):
        await strike(model_server, kind, times=2)
        assert (await caller.embed([kind])).embeddings[0].values
    assert [request["state"] for request in await embed_requests(model_server)] == ["failed", "failed", "done"] * 2


async def test_a_model_server_that_fails_for_good_is_told(model_server: ModelServer, caller: Caller) -> None:
    await strike(model_server, "error", times=0)
    error = await refusal(caller.embed([f"text {number}" for number in range(64)]))
    assert (error.reason, error.retryable) == (ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, True)
    # Four attempts, and the halves: not each text by itself.
    assert len(await embed_requests(model_server)) == 6
    await strike(model_server, "error", times=1)
    assert (await caller.embed(["it works again"])).embeddings[0].values


async def test_a_model_server_that_hangs_is_given_up_and_not_asked_again(
    model_server: ModelServer, caller: Caller
) -> None:
    await strike(model_server, "hang")
    error = await refusal(caller.embed(["x"]))
    assert error.reason == ErrorReason.ERROR_REASON_MODEL_TIMEOUT
    assert [request["state"] for request in await embed_requests(model_server)] == ["aborted"]
    assert (await caller.embed(["x"])).embeddings[0].values


async def test_a_deadline_ends_the_request_to_the_model_server(model_server: ModelServer, caller: Caller) -> None:
    await slow_down(model_server, 900)
    error = await refusal(caller.embed(["x"], timeout=0.3))
    assert error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    await wait_for_requests(model_server, state="aborted")


async def test_a_model_server_that_restarts_is_waited_for(fleet: Fleet, stack: Stack, tenant: Tenant) -> None:
    model_server = await fleet.model_server()
    embed_fn = await fleet.embed_fn(model_server)
    async with calling(stack, embed_fn, tenant) as caller:
        await caller.embed(["before"])
        await model_server.kill()
        error = await refusal(caller.embed(["while it is away"]))
        assert error.reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
        during = asyncio.create_task(caller.embed(["while it starts"]))
        await model_server.restart()
        assert (await during).embeddings[0].values


async def test_another_process_finds_the_vectors_in_postgres(fleet: Fleet, stack: Stack, tenant: Tenant) -> None:
    model_server = await fleet.model_server()
    texts = [f"kept text {number}" for number in range(100)]
    first = await fleet.embed_fn(model_server)
    async with calling(stack, first, tenant) as caller:
        made = await caller.embed(texts)
    await stored(stack, tenant, len(texts))
    await first.kill()
    async with model_server.control() as http:
        await http.delete("/_sim/requests")
    second = await fleet.embed_fn(model_server)
    async with calling(stack, second, tenant) as caller:
        for number in itertools.count():
            await caller.embed([texts[number]])
            if 'source="store"' in await second.metrics():
                break
            await asyncio.sleep(0.05)  # its driver is loaded a moment after the start
        asked = len(await embed_requests(model_server))
        answer = await caller.embed(texts)
        assert len(await embed_requests(model_server)) == asked
    assert [embedding.values for embedding in answer.embeddings] == [embedding.values for embedding in made.embeddings]


async def stored(stack: Stack, tenant: Tenant, count: int) -> None:
    """Returns when the tenant has so many vectors in the table."""
    connection = await psycopg.AsyncConnection.connect(stack.database.url, autocommit=True)
    async with connection, asyncio.timeout(10):
        await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
        while await (await connection.execute("select count(*) from embedding_cache")).fetchone() != (count,):
            await asyncio.sleep(0.02)


async def test_postgres_can_be_away(fleet: Fleet, model_server: ModelServer, stack: Stack, tenant: Tenant) -> None:
    nobody = f"postgresql://nobody@{fleet.address()}/nothing"
    embed_fn = await fleet.embed_fn(model_server, env={"DORMOUSE_POSTGRES_URL": nobody})
    async with calling(stack, embed_fn, tenant) as caller:
        longest = 0.0
        began = time.monotonic()
        for number in itertools.count():
            before = time.monotonic()
            assert (await caller.embed([f"text {number}"])).embeddings[0].values
            longest = max(longest, time.monotonic() - before)
            if before - began > 1.5:  # its driver is loaded a second after the start
                break
        assert longest < 1
    assert await embed_fn.terminate() == 0
