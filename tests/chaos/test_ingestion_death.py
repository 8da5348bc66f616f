"""embed_fn or Postgres is killed in mid-ingestion: the document is whole in the end, and never seen in part."""

import asyncio
import contextlib
import random
import time

import psycopg
import pytest
from dormouse.embed.v1 import embed_pb2
from dormouse_runtime.errors import DormouseError

from tests.chaos.conftest import Tasks, moments
from tests.contract.embed_fn.library import Library, manual, new_id, reading
from tests.stack import Database, EmbedFn, Fleet, Stack, Tenant

KILLS = {"embed_fn": 14, "Postgres": 6}

SECTIONS = 400
EMBED_MS = 40
"""An ingestion takes less than a second: its passages are stored in four batches and embedded in seven."""

LANES = 3
"""embed_fns side by side: while one starts, the other works."""


@pytest.mark.parametrize("victim", KILLS)
async def test_a_death_in_mid_ingestion_leaves_a_document_that_becomes_whole(
    fleet: Fleet, stack: Stack, dice: random.Random, tasks: Tasks, victim: str
) -> None:
    database = await fleet.postgres() if victim == "Postgres" else stack.database
    model_server = await fleet.model_server(embed_ms=EMBED_MS)
    tenant = await database.tenant()
    lanes = 1 if victim == "Postgres" else LANES
    embed_fns = await asyncio.gather(*(fleet.embed_fn(model_server, database=database) for _ in range(lanes)))
    async with reading(stack, embed_fns[0], tenant) as library:
        await library.ingest(manual(3, "a warm-up"))
        began = time.monotonic()
        calm = (await library.ingest(manual(SECTIONS, "calm   "))).stored
        calm_s = time.monotonic() - began
    assert await stored(database, tenant, calm.id) == (calm.chunk_count, calm.chunk_count)
    kills = list(enumerate(moments(dice, KILLS[victim], calm_s)))
    print(f"{calm.chunk_count} passages in {calm_s:.2f} s; kills of {victim} after {[round(s, 2) for _, s in kills]}")

    async def work(embed_fn: EmbedFn, kills: list[tuple[int, float]]) -> None:
        for number, after_s in kills:
            async with reading(stack, embed_fn, tenant) as library:
                await one_death(library, embed_fn, database, tenant, number, after_s)

    async def one_death(
        library: Library, embed_fn: EmbedFn, database: Database, tenant: Tenant, number: int, after_s: float
    ) -> None:
        content, document_id = manual(SECTIONS, f"kill {number:02}"), new_id()
        watching = tasks.start(never_seen_in_part(library, document_id, calm.chunk_count, f"kill {number:02}"))
        call = tasks.start(library.ingest(content, document_id))
        await asyncio.sleep(after_s)
        if victim == "Postgres":
            await database.kill()
            await database.resume()
        else:
            await embed_fn.restart()
        with contextlib.suppress(DormouseError):
            await call
        whole = await persistently(library, content, document_id)
        assert (whole.state, whole.chunk_count) == (embed_pb2.DOCUMENT_STATE_READY, calm.chunk_count)
        assert await stored(database, tenant, document_id) == (calm.chunk_count, calm.chunk_count)
        await watching

    await asyncio.gather(*(work(embed_fn, kills[lane::lanes]) for lane, embed_fn in enumerate(embed_fns)))
    async with reading(stack, embed_fns[0], tenant) as library:
        assert len(await library.ids()) == KILLS[victim] + 2


async def persistently(library: Library, content: bytes, document_id: str) -> embed_pb2.Document:
    """Sends it again until it is done, as the edge does."""
    while True:
        try:
            return (await library.ingest(content, document_id)).stored
        except DormouseError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(0.05)


async def never_seen_in_part(library: Library, document_id: str, chunk_count: int, subject: str) -> None:
    """Looks until the document is found; what is found then is ready, and all of it is there."""
    while True:
        try:
            hits = (await library.search(f"the dial of {subject}", document_ids=[document_id])).hits
            if hits:
                document = await library.get(document_id)
                assert document.state == embed_pb2.DOCUMENT_STATE_READY
                assert (await library.passage(f"{document_id}.{chunk_count - 1}")).text
                return
        except DormouseError as error:
            if not error.retryable:
                raise
        await asyncio.sleep(0.05)


async def stored(database: Database, tenant: Tenant, document_id: str) -> tuple[int, int]:
    """How many passages and embeddings it has in the tables."""
    connection = await psycopg.AsyncConnection.connect(database.url, autocommit=True)
    async with connection:
        await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
        row = await (
            await connection.execute(
                "select count(c.key), count(e.chunk) from documents d join chunks c on c.document = d.number"
                " left join embeddings e on e.chunk = c.key where d.id = %s",
                [document_id],
            )
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
