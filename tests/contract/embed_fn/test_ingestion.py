"""Ingest over the wire: what becomes of a file, who joins whom, what resumes, what wins."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import psycopg
import pytest
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1 import embed_pb2
from dormouse.embed.v1 import embed_service_pb2 as pb

from tests.contract.embed_fn.caller import (
    embed_requests,
    refusal,
    slow_down,
    strike,
    wait_for_requests,
)
from tests.contract.embed_fn.library import (
    CHUNKED,
    EMBEDDED,
    PARSED,
    RECEIVED,
    STORED,
    Ingested,
    Library,
    manual,
    new_id,
    reading,
)
from tests.stack import EmbedFn, Fleet, ModelServer, Stack, Tenant


@pytest.fixture
async def library(stack: Stack, embed_fn: EmbedFn, tenant: Tenant) -> AsyncIterator[Library]:
    async with reading(stack, embed_fn, tenant) as library:
        yield library


async def rows(stack: Stack, tenant: Tenant, table: str) -> int:
    """How many the tenant has."""
    connection = await psycopg.AsyncConnection.connect(stack.database.url, autocommit=True)
    async with connection:
        await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
        row = await (await connection.execute(f"select count(*) from {table}")).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_file_becomes_a_document_that_searches_find(library: Library) -> None:
    content = manual(40)
    told = await library.ingest(content, metadata={"kind": "manual"})
    document = told.stored
    assert told.phases == [RECEIVED, PARSED, CHUNKED, EMBEDDED, STORED]
    assert (document.state, document.name, document.media_type) == (
        embed_pb2.DOCUMENT_STATE_READY,
        "manual.md",
        "text/markdown",
    )
    assert (document.size_bytes, document.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert document.metadata == {"kind": "manual"}
    assert document.chunk_count >= 40
    assert told.progress[-1] == (STORED, document.chunk_count, document.chunk_count)
    assert await library.get(document.id) == document
    assert [*(await library.list()).documents] == [document]
    found = await library.search("Step 00017-03 of the kettle", metadata={"kind": "manual"})
    assert "00017-03" in found.hits[0].passage.text
    passage = await library.passage(found.hits[0].passage.chunk_id)
    assert passage == found.hits[0].passage
    assert not (await library.search("Step 00017-03", metadata={"kind": "other"})).hits


async def test_what_is_there_is_answered_without_its_bytes(model_server: ModelServer, library: Library) -> None:
    content = manual(300)
    first = await library.ingest(content)
    asked = len(await embed_requests(model_server))
    for document_id in (first.stored.id, new_id()):
        again = await library.send(partial(only_the_header, content, document_id))
        assert (again.document, again.phases) == (first.document, [])
    without_announcement = await library.ingest(content, new_id(), announce=False)
    assert without_announcement.document == first.document
    assert len(await embed_requests(model_server)) == asked
    assert await library.ids() == {first.stored.id}


async def only_the_header(content: bytes, document_id: str) -> AsyncIterator[pb.IngestRequest]:
    """Of a file whose bytes never come."""
    sha256 = hashlib.sha256(content).hexdigest()
    yield pb.IngestRequest(
        header=pb.IngestHeader(document_id=document_id, name="a.md", sha256=sha256, size_bytes=len(content))
    )
    await asyncio.Event().wait()


async def test_a_second_call_joins_the_first(model_server: ModelServer, library: Library) -> None:
    await slow_down(model_server, 200)
    content, document_id, told = manual(150), new_id(), Ingested()
    first = asyncio.create_task(library.ingest(content, document_id, told=told))
    await library.until(told, CHUNKED)
    second, twin = await asyncio.gather(library.ingest(content, document_id), library.ingest(content, new_id()))
    assert second.document == twin.document == (await first).document
    assert second.phases == [RECEIVED, PARSED, CHUNKED, EMBEDDED, STORED]
    assert sum(len(request["input"]) for request in await embed_requests(model_server)) == second.stored.chunk_count


async def test_who_follows_keeps_it_going_when_the_first_caller_leaves(
    model_server: ModelServer, library: Library
) -> None:
    await slow_down(model_server, 200)
    content, document_id, told = manual(150), new_id(), Ingested()
    first = asyncio.create_task(library.ingest(content, document_id, told=told))
    await library.until(told, CHUNKED)
    joined = Ingested()
    second = asyncio.create_task(library.ingest(content, document_id, told=joined))
    await library.until(joined, PARSED)
    first.cancel()
    assert (await second).stored.state == embed_pb2.DOCUMENT_STATE_READY
    assert not [request for request in await embed_requests(model_server) if request["state"] == "aborted"]


async def test_a_caller_that_leaves_ends_the_work_and_the_next_one_resumes_it(
    model_server: ModelServer, library: Library
) -> None:
    await slow_down(model_server, 100)
    content, document_id, told = manual(500), new_id(), Ingested()
    call = asyncio.create_task(library.ingest(content, document_id, told=told))
    await library.until(told, EMBEDDED, 1)
    # The caller leaves while a batch is under way, and what came before it has been stored.
    await slow_down(model_server, 800)
    begun = len(await embed_requests(model_server))
    async with asyncio.timeout(10):
        while True:
            asked = await embed_requests(model_server)
            answered = sum(len(request["input"]) for request in asked if request["state"] == "done")
            stored = max(count for phase, count, _ in told.progress if phase == EMBEDDED)
            if len(asked) > begun and stored >= answered:
                break
            await asyncio.sleep(0.01)
    call.cancel()
    await wait_for_requests(model_server, state="aborted")
    await slow_down(model_server, 0)
    half = await library.get(document_id)
    assert half.state == embed_pb2.DOCUMENT_STATE_INGESTING
    assert not (await library.search("Step 00001-03 of the kettle")).hits
    assert (await refusal(library.passage(f"{document_id}.0"))).reason == ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND
    before = [
        text
        for request in await embed_requests(model_server)
        if request["state"] == "done"
        for text in request["input"]
    ]
    again = await library.ingest(content, document_id)
    assert again.stored.state == embed_pb2.DOCUMENT_STATE_READY
    requests = [request for request in await embed_requests(model_server) if request["state"] == "done"]
    texts = [text for request in requests for text in request["input"]]
    assert len(set(before)) == len(before) > 0
    assert len(texts) == len(set(texts)) == again.stored.chunk_count, "no passage is embedded twice"


async def test_a_deletion_wins_over_the_ingestion(
    model_server: ModelServer, library: Library, stack: Stack, tenant: Tenant
) -> None:
    await slow_down(model_server, 900)
    document_id = new_id()
    call = asyncio.create_task(library.ingest(manual(100), document_id))
    await wait_for_requests(model_server, state="streaming")
    await library.delete(document_id)
    assert (await refusal(call)).reason == ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND
    await wait_for_requests(model_server, state="aborted")
    assert await library.ids() == set()
    assert [await rows(stack, tenant, table) for table in ("documents", "chunks", "embeddings")] == [0, 0, 0]
    await slow_down(model_server, 0)
    assert (await library.ingest(manual(100), document_id)).stored.state == embed_pb2.DOCUMENT_STATE_READY


async def test_a_deletion_while_the_bytes_come_wins_too(library: Library) -> None:
    content, document_id = manual(100), new_id()
    deleted = asyncio.Event()

    async def requests() -> AsyncIterator[pb.IngestRequest]:
        sha256 = hashlib.sha256(content).hexdigest()
        yield pb.IngestRequest(
            header=pb.IngestHeader(document_id=document_id, name="a.md", sha256=sha256, size_bytes=len(content))
        )
        yield pb.IngestRequest(data=content[:1000])
        await deleted.wait()
        yield pb.IngestRequest(data=content[1000:])

    call = asyncio.create_task(library.send(requests))
    while document_id not in await library.ids():
        await asyncio.sleep(0.01)
    await library.delete(document_id)
    deleted.set()
    assert (await refusal(call)).reason == ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND
    assert await library.ids() == set()


async def test_a_broken_file_has_failed_and_says_why(library: Library, stack: Stack, tenant: Tenant) -> None:
    document_id = new_id()
    error = await refusal(library.ingest(b"%PDF-1.7\nthis is no PDF at all", document_id, name="broken.pdf"))
    assert error.reason == ErrorReason.ERROR_REASON_INVALID_ARGUMENT
    failed = await library.get(document_id)
    assert (failed.state, failed.error) == (embed_pb2.DOCUMENT_STATE_FAILED, error.message)
    assert [await rows(stack, tenant, table) for table in ("chunks", "embeddings")] == [0, 0]
    # The id is not lost.
    assert (await library.ingest(manual(3), document_id)).stored.state == embed_pb2.DOCUMENT_STATE_READY


async def test_without_the_model_the_rest_waits_for_another_call(model_server: ModelServer, library: Library) -> None:
    content, document_id = manual(30), new_id()
    await strike(model_server, "error", times=0)
    error = await refusal(library.ingest(content, document_id))
    assert (error.reason, error.retryable) == (ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, True)
    assert (await library.get(document_id)).state == embed_pb2.DOCUMENT_STATE_INGESTING
    assert not (await library.search("Step 00001-03 of the kettle")).hits
    async with model_server.control() as http:
        await http.delete("/_sim/faults")
    # All passages are stored: it need not come and be read again.
    resumed = await library.send(partial(only_the_header, content, document_id))
    assert resumed.phases == [RECEIVED, EMBEDDED, STORED]
    assert resumed.stored.state == embed_pb2.DOCUMENT_STATE_READY


async def test_bytes_other_than_announced_are_refused(library: Library) -> None:
    content = manual(10)
    headers: list[dict[str, Any]] = [
        {"sha256": "0" * 64},
        {"size_bytes": len(content) + 1},
        {"size_bytes": len(content) - 1},
        {"size_bytes": 200_000_000},
        {"size_bytes": 0, "sha256": "0" * 64},
    ]
    for header in headers:
        error = await refusal(library.ingest(content, **header))
        assert error.reason == ErrorReason.ERROR_REASON_INVALID_ARGUMENT, header
    for listed in (await library.list()).documents:
        assert listed.state == embed_pb2.DOCUMENT_STATE_FAILED


@pytest.mark.parametrize(
    "header",
    [
        {"document_id": "../etc"},
        {"document_id": "a.1"},
        {"document_id": "x" * 65},
        {"name": ""},
        {"sha256": "AB" * 32},
        {"metadata": {f"key-{number}": "" for number in range(17)}},
        {"metadata": {"": "x"}},
        {"metadata": {"key": "x" * 513}},
    ],
)
async def test_a_header_that_makes_no_sense_is_refused(library: Library, header: dict[str, Any]) -> None:
    fields: Any = {"document_id": new_id(), "name": "a.txt", **header}

    async def requests() -> AsyncIterator[pb.IngestRequest]:
        yield pb.IngestRequest(header=pb.IngestHeader(**fields))
        yield pb.IngestRequest(data=b"text")

    assert (await refusal(library.send(requests))).reason == ErrorReason.ERROR_REASON_INVALID_ARGUMENT
    assert await library.ids() == set()


async def test_messages_in_another_order_or_too_large_are_refused(library: Library) -> None:
    header = pb.IngestRequest(header=pb.IngestHeader(document_id=new_id(), name="a.txt"))
    large = pb.IngestRequest(data=b"x" * (1024 * 1024 + 1))
    for messages in ([], [pb.IngestRequest(data=b"x")], [header, header], [header, large]):

        async def requests(messages: list[pb.IngestRequest] = messages) -> AsyncIterator[pb.IngestRequest]:
            for message in messages:
                yield message

        assert (await refusal(library.send(requests))).reason == ErrorReason.ERROR_REASON_INVALID_ARGUMENT
    assert await library.ids() == set()


async def test_names_are_kept_without_folders_and_controls(library: Library) -> None:
    told = await library.ingest(manual(1), name="../../etc/\u202egnp.md\x00")
    assert told.stored.name == "gnp.md"


async def test_documents_are_listed_in_pages_newest_first(library: Library) -> None:
    made = [(await library.ingest(f"Text number {number} is here.".encode())).stored.id for number in range(5)]
    first = await library.list(page_size=2)
    second = await library.list(2, first.next_page_token)
    third = await library.list(2, second.next_page_token)
    listed = [document.id for page in (first, second, third) for document in page.documents]
    assert (listed, third.next_page_token) == (made[::-1], "")
    for call in (library.list(201), library.list(2, "nonsense")):
        assert (await refusal(call)).reason == ErrorReason.ERROR_REASON_INVALID_ARGUMENT


async def test_who_may_only_read_cannot_write(
    stack: Stack, embed_fn: EmbedFn, library: Library, tenant: Tenant
) -> None:
    document = (await library.ingest(manual(2))).stored
    async with reading(stack, embed_fn, tenant, scopes=("documents:read",)) as reader:
        assert await reader.get(document.id) == document
        assert (await reader.search("turn the dial")).hits
        for call in (reader.ingest(manual(3)), reader.delete(document.id), reader.reindex()):
            assert (await refusal(call)).reason == ErrorReason.ERROR_REASON_PERMISSION_DENIED
    assert await library.ids() == {document.id}


async def test_ingestions_wait_for_a_place_and_none_is_lost(
    fleet: Fleet, model_server: ModelServer, stack: Stack, tenant: Tenant
) -> None:
    embed_fn = await fleet.embed_fn(model_server, env={"DORMOUSE_INGESTIONS": "1"})
    async with reading(stack, embed_fn, tenant) as library:
        told = await asyncio.gather(*(library.ingest(manual(20, f"lamp {number}")) for number in range(6)))
        leaving = [asyncio.create_task(library.ingest(manual(200, f"left {number}"))) for number in range(4)]
        await asyncio.sleep(0.05)
        for call in leaving:
            call.cancel()
        assert (await library.ingest(manual(5, "the last"))).stored.state == embed_pb2.DOCUMENT_STATE_READY
    assert len({ingested.stored.id for ingested in told}) == 6


async def test_two_processes_share_a_document_and_see_each_others_deletions(
    fleet: Fleet, model_server: ModelServer, stack: Stack, tenant: Tenant, library: Library
) -> None:
    other_process = await fleet.embed_fn(model_server)
    await slow_down(model_server, 50)
    content, document_id = manual(300), new_id()
    async with reading(stack, other_process, tenant) as other:
        first, second = await asyncio.gather(library.ingest(content, document_id), other.ingest(content, document_id))
        assert first.document == second.document
        assert (
            await rows(stack, tenant, "chunks") == await rows(stack, tenant, "embeddings") == first.stored.chunk_count
        )
        document_id, told = new_id(), Ingested()
        call = asyncio.create_task(library.ingest(manual(300, "the lamp"), document_id, told=told))
        await library.until(told, EMBEDDED)
        await other.delete(document_id)
        assert (await refusal(call)).reason == ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND
        assert await library.ids() == await other.ids() == {first.stored.id}
