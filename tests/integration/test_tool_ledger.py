"""The ledger in Postgres: what its rows hold, who sees them, and when they go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from tool_fn.ledger import postgres
from tool_fn.ledger.port import Different, Entry, Finished, Lost, Mine, NotBegun, Running, arguments_hash
from tool_fn.ledger.postgres import PostgresLedger
from tool_fn.results import Result
from tool_fn.sources import Source

from tests.stack import Stack, Tenant

INSERT = """
    insert into tool_calls (tenant_id, key, tool, arguments_hash, owner, status, content, created_at, finished_at)
    values (%s, %s, 'note', '\\x00', 1, 'finished', '', now() - %s::interval, now())
"""
CUT = """
    select pg_terminate_backend(pid) from pg_locks, tool_calls
    where locktype = 'advisory' and granted and (classid::bigint << 32) + objid::bigint = owner
"""

HELD = """
    select state, backend_xmin from pg_stat_activity join pg_locks using (pid)
    where locktype = 'advisory' and granted
        and (classid::bigint << 32) + objid::bigint in (select owner from tool_calls where key = 'k1')
"""


@asynccontextmanager
async def transaction_of(stack: Stack, tenant: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """As the services work: the application role, one tenant per transaction."""
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
        yield connection


@pytest.fixture
async def ledgers(stack: Stack) -> AsyncIterator[tuple[PostgresLedger, PostgresLedger]]:
    """Those of two processes."""
    one, other = [await PostgresLedger.open(stack.database.url, kept_days=7) for _ in range(2)]
    yield one, other
    await one.aclose()
    await other.aclose()


def entry(tenant: Tenant, key: str = "k1", arguments: bytes = b"{}") -> Entry:
    return Entry(tenant.id, key, "note", arguments_hash(arguments))


async def test_a_call_goes_from_begun_to_finished(
    ledgers: tuple[PostgresLedger, PostgresLedger], tenant: Tenant
) -> None:
    one, other = ledgers
    assert await one.begin(entry(tenant), may_run=False) == NotBegun()
    assert await one.begin(entry(tenant), may_run=True) == Mine()
    assert await other.begin(entry(tenant), may_run=True) == Running()
    assert await other.begin(entry(tenant, arguments=b"[1]"), may_run=True) == Different()
    source = Source("file-1", "a\u00fc.md", "chunk-1", 5, 9, 2, "text", "1")
    brought = Result("é😀", is_error=True, is_truncated=True, outcome_unknown=True, duration_ms=7, sources=(source,))
    await one.finish(entry(tenant), brought)
    for ledger in ledgers:
        assert await ledger.begin(entry(tenant), may_run=False) == Finished(brought)
    await other.finish(entry(tenant), Result("late"))
    assert await other.begin(entry(tenant), may_run=True) == Finished(brought), "only who began it can finish it, once"


async def test_what_this_process_began_and_does_not_remember_has_not_run(
    ledgers: tuple[PostgresLedger, PostgresLedger], tenant: Tenant
) -> None:
    """A commit whose answer was lost: the caller was told that the call did not run, and it did not."""
    for _ in range(2):
        assert await ledgers[0].begin(entry(tenant), may_run=True) == Mine()


async def test_a_process_that_ends_loses_its_calls_at_once(
    ledgers: tuple[PostgresLedger, PostgresLedger], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_GRACE_S", 0)  # this database may have started just now
    one, other = ledgers
    assert await one.begin(entry(tenant), may_run=True) == Mine()
    assert await other.begin(entry(tenant), may_run=True) == Running()
    await one.aclose()
    async with asyncio.timeout(1):
        while await other.begin(entry(tenant), may_run=True) != Lost():
            await asyncio.sleep(0.01)


async def test_a_sign_of_life_that_was_cut_comes_back(
    stack: Stack, ledgers: tuple[PostgresLedger, PostgresLedger], tenant: Tenant
) -> None:
    one, other = ledgers
    assert await one.begin(entry(tenant), may_run=True) == Mine()
    async with transaction_of(stack, tenant.id) as connection:
        cut = await connection.execute(CUT)
        assert await cut.fetchall() == [(True,)]
    async with asyncio.timeout(10):
        while await other.begin(entry(tenant), may_run=True) != Running():
            await asyncio.sleep(0.02)
    assert await one.begin(entry(tenant, "k2"), may_run=True) == Mine()


async def test_a_sign_of_life_keeps_no_snapshot(
    stack: Stack, ledgers: tuple[PostgresLedger, PostgresLedger], tenant: Tenant
) -> None:
    """It lasts as long as its process: with a snapshot no dead row would be cleared meanwhile, no index be built."""
    assert await ledgers[0].begin(entry(tenant), may_run=True) == Mine()
    async with transaction_of(stack, tenant.id) as connection:
        found = await connection.execute(HELD)
        assert await found.fetchall() == [("idle in transaction", None)]


async def test_old_calls_go_by_themselves_those_of_all_tenants(
    stack: Stack, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PRUNE_AFTER_S", 0.0)
    monkeypatch.setattr(postgres, "_PRUNE_ROWS", 2)
    tenants = [tenant, await stack.database.tenant()]
    for owner in tenants:
        async with transaction_of(stack, owner.id) as connection:
            for key, age in (("old 1", "8 days"), ("old 2", "7 days 1 hour"), ("young", "6 days 23 hours")):
                await connection.execute(INSERT, [owner.id, key, age])
    ledger = await PostgresLedger.open(stack.database.url, kept_days=7)
    await ledger.begin(entry(tenant), may_run=True)
    async with asyncio.timeout(10):
        while [await keys_of(stack, owner.id) for owner in tenants] != [["k1", "young"], ["young"]]:
            await asyncio.sleep(0.02)
    await ledger.aclose()


async def test_a_tenants_calls_are_its_own(
    stack: Stack, ledgers: tuple[PostgresLedger, PostgresLedger], tenant: Tenant
) -> None:
    await ledgers[0].begin(entry(tenant), may_run=True)
    other = await stack.database.tenant()
    assert await keys_of(stack, other.id) == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        async with transaction_of(stack, other.id) as connection:
            await connection.execute(INSERT, [tenant.id, "mine", "0"])
    for url in (stack.database.url, stack.database.owner_url):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert await (await connection.execute("select count(*) from tool_calls")).fetchone() == (0,)
            await connection.execute("select set_config('dormouse.maintenance', 'on', true)")
            if url == stack.database.url:
                assert await (await connection.execute("select count(*) from tool_calls")).fetchone() == (0,)


async def keys_of(stack: Stack, tenant: str) -> list[str]:
    async with transaction_of(stack, tenant) as connection:
        return [
            row[0] for row in await (await connection.execute("select key from tool_calls order by key")).fetchall()
        ]
