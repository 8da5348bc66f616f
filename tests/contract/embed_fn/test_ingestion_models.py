"""Another embedding model: documents come and are found meanwhile, and all change at once in the end."""

import asyncio

import pytest
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1 import embed_pb2

from tests.contract.embed_fn.caller import (
    embed_requests,
    refusal,
    strike,
    wait_for_a_fault,
    wait_for_requests,
)
from tests.contract.embed_fn.library import Library, manual, reading
from tests.stack import Fleet, ModelServer, Stack, Tenant

OLD, NEW = "another-embed", "dormouse-dev-embed"
"""The new one is the platform's where none is chosen: it is the first in the list."""


@pytest.fixture
async def models(fleet: Fleet) -> ModelServer:
    """A model server with both."""
    server = await fleet.model_server()
    async with server.control() as http:
        (await http.post("/api/copy", json={"source": NEW, "destination": OLD})).raise_for_status()
    return server


async def finds(library: Library, number: int) -> bool:
    hits = (await library.search(f"Step {number:05}-03 of the kettle")).hits
    return any(f"{number:05}-03" in hit.passage.text and hit.vector_score for hit in hits)


async def asked_of(models: ModelServer) -> set[str]:
    """The models that passages were embedded with since the last time."""
    requests = await embed_requests(models)
    async with models.control() as http:
        await http.delete("/_sim/requests")
    return {request["model"].removesuffix(":latest") for request in requests if len(request["input"]) > 1}


async def test_a_tenant_keeps_its_model_until_it_is_reindexed(
    fleet: Fleet, stack: Stack, tenant: Tenant, models: ModelServer
) -> None:
    chosen = {"DORMOUSE_EMBED_MODEL": OLD}
    before, after = await asyncio.gather(fleet.embed_fn(models, env=chosen), fleet.embed_fn(models))
    async with reading(stack, before, tenant) as library, reading(stack, after, tenant) as later:
        first = (await library.ingest(manual(200))).stored
        assert await asked_of(models) == {OLD}
        second = (await later.ingest(manual(2, "the lamp"))).stored
        assert await asked_of(models) == {OLD}, "as long as searches use the old model, documents come with it"
        assert await finds(later, 7)
        told, told_too = await asyncio.gather(later.reindex(), later.reindex())
        total = first.chunk_count + second.chunk_count
        assert (told[-1].done, told[-1].total, told[-1].model) == (total, total, NEW)
        assert told_too[-1] == told[-1]
        assert [step.done for step in told] == sorted(step.done for step in told)
        passages = [request for request in await embed_requests(models) if request["model"].startswith(NEW)]
        assert sum(len(request["input"]) for request in passages) == total, "two at once share the work"
        async with models.control() as http:
            (await http.request("DELETE", "/api/delete", json={"model": OLD})).raise_for_status()
        assert await finds(later, 7)


async def test_the_change_begins_by_itself_and_a_model_that_is_gone_stops_nothing(
    fleet: Fleet, stack: Stack, tenant: Tenant, models: ModelServer
) -> None:
    embed_fn = await fleet.embed_fn(models, env={"DORMOUSE_EMBED_MODEL": OLD})
    async with reading(stack, embed_fn, tenant) as library:
        await library.ingest(manual(100))
    async with models.control() as http:
        (await http.request("DELETE", "/api/delete", json={"model": OLD})).raise_for_status()
    embed_fn = await fleet.embed_fn(models, env={"DORMOUSE_EMBED_MODEL": NEW})
    async with reading(stack, embed_fn, tenant) as library:
        assert not await finds(library, 7), "by its words alone"
        async with asyncio.timeout(10):
            while not await finds(library, 7):
                await asyncio.sleep(0.02)
        await library.ingest(manual(3, "the lamp"))


async def test_a_document_waits_for_the_change_where_the_old_model_is_gone(
    fleet: Fleet, stack: Stack, tenant: Tenant, models: ModelServer
) -> None:
    embed_fn = await fleet.embed_fn(models, env={"DORMOUSE_EMBED_MODEL": OLD})
    async with reading(stack, embed_fn, tenant) as library:
        await library.ingest(manual(100))
    async with models.control() as http:
        (await http.request("DELETE", "/api/delete", json={"model": OLD})).raise_for_status()
    embed_fn = await fleet.embed_fn(models)
    async with reading(stack, embed_fn, tenant) as library:
        lamp = (await library.ingest(manual(3, "the lamp"))).stored
        assert lamp.state == embed_pb2.DOCUMENT_STATE_READY
        assert await finds(library, 7)


async def test_a_reindex_that_is_left_stops_and_goes_on_later(
    fleet: Fleet, stack: Stack, tenant: Tenant, models: ModelServer
) -> None:
    embed_fn = await fleet.embed_fn(models, env={"DORMOUSE_EMBED_MODEL": OLD})
    async with reading(stack, embed_fn, tenant) as library:
        assert [told.total for told in await library.reindex()] == [0]
        await library.ingest(manual(300))
    embed_fn = await fleet.embed_fn(models, env={"DORMOUSE_EMBED_MODEL": NEW})
    async with reading(stack, embed_fn, tenant) as library:
        await asked_of(models)
        await strike(models, "hang", after=4)  # one is under way when the call is left
        call = asyncio.create_task(library.reindex())
        await wait_for_a_fault(models)
        call.cancel()
        await wait_for_requests(models, state="aborted")
        assert 0 < (await library.reindex())[0].done < 301


async def test_reindexing_without_the_model_says_so(
    fleet: Fleet, stack: Stack, tenant: Tenant, models: ModelServer
) -> None:
    embed_fn = await fleet.embed_fn(models)
    await models.kill()
    async with reading(stack, embed_fn, tenant) as library:
        assert (await refusal(library.reindex())).reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
