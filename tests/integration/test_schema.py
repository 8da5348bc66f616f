"""The schema: tenants are separated by the database itself, and LangGraph's tables are as its own setup makes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import sql

from tests.stack import Stack, Tenant

INSERT_THREAD = "insert into threads (id, tenant_id) values (%s, %s)"
INSERT_RUN = (
    "insert into runs (id, tenant_id, thread_id, agent_id, status, request) values (%s, %s, %s, 'chat', %s, '\\x00')"
)


@asynccontextmanager
async def transaction_of(stack: Stack, tenant: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """As the services work: the application role, one tenant per transaction."""
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
        yield connection


async def test_a_tenant_sees_and_changes_only_its_own_rows(stack: Stack, tenant: Tenant) -> None:
    other = await stack.database.tenant()
    async with transaction_of(stack, tenant.id) as connection:
        await connection.execute(INSERT_THREAD, [f"thread_{tenant.id}", tenant.id])
        await connection.execute(INSERT_RUN, [f"run_{tenant.id}", tenant.id, f"thread_{tenant.id}", "queued"])
    async with transaction_of(stack, other.id) as connection:
        for table in ("threads", "runs"):
            query = sql.SQL("select count(*) from {}").format(sql.Identifier(table))
            assert await (await connection.execute(query)).fetchone() == (0,)
        assert (await connection.execute("update runs set status = 'failed'")).rowcount == 0
        assert (await connection.execute("delete from threads")).rowcount == 0
    async with transaction_of(stack, tenant.id) as connection:
        assert await (await connection.execute("select id, status from runs")).fetchall() == [
            (f"run_{tenant.id}", "queued")
        ]


async def test_without_a_tenant_no_row_is_visible_even_to_the_owner(stack: Stack, tenant: Tenant) -> None:
    async with transaction_of(stack, tenant.id) as connection:
        await connection.execute(INSERT_THREAD, [f"thread_{tenant.id}", tenant.id])
    for url in (stack.database.url, stack.database.owner_url):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert await (await connection.execute("select count(*) from threads")).fetchone() == (0,)


async def test_a_row_of_another_tenant_cannot_be_written(stack: Stack, tenant: Tenant) -> None:
    other = await stack.database.tenant()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        async with transaction_of(stack, other.id) as connection:
            await connection.execute(INSERT_THREAD, [f"thread_{other.id}", tenant.id])


async def test_a_run_cannot_belong_to_another_tenants_thread(stack: Stack, tenant: Tenant) -> None:
    other = await stack.database.tenant()
    async with transaction_of(stack, tenant.id) as connection:
        await connection.execute(INSERT_THREAD, [f"thread_{tenant.id}", tenant.id])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        async with transaction_of(stack, other.id) as connection:
            await connection.execute(INSERT_RUN, [f"run_{other.id}", other.id, f"thread_{tenant.id}", "queued"])


async def test_one_thread_has_one_running_run(stack: Stack, tenant: Tenant) -> None:
    thread = f"thread_{tenant.id}"
    async with transaction_of(stack, tenant.id) as connection:
        await connection.execute(INSERT_THREAD, [thread, tenant.id])
        await connection.execute(INSERT_RUN, [f"run_1_{tenant.id}", tenant.id, thread, "running"])
        await connection.execute(INSERT_RUN, [f"run_2_{tenant.id}", tenant.id, thread, "queued"])
    with pytest.raises(psycopg.errors.UniqueViolation, match="runs_one_running"):
        async with transaction_of(stack, tenant.id) as connection:
            await connection.execute("update runs set status = 'running' where id = %s", [f"run_2_{tenant.id}"])


async def test_deleting_a_thread_deletes_its_runs(stack: Stack, tenant: Tenant) -> None:
    thread = f"thread_{tenant.id}"
    async with transaction_of(stack, tenant.id) as connection:
        await connection.execute(INSERT_THREAD, [thread, tenant.id])
        await connection.execute(INSERT_RUN, [f"run_{tenant.id}", tenant.id, thread, "completed"])
        await connection.execute("delete from threads where id = %s", [thread])
        assert await (await connection.execute("select count(*) from runs")).fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into api_keys values ('k', 'default', 'u', 'n', 'p', '\\x00')",
        "update tenants set name = 'Mine'",
        "delete from api_keys",
        "create table mine (id int)",
        "alter table runs no force row level security",
        "truncate runs",
    ],
)
async def test_the_application_role_may_not(stack: Stack, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


async def test_a_second_upgrade_changes_nothing_and_says_so(stack: Stack) -> None:
    lines = await stack.database.migrate()
    assert len(lines) == 1
    assert "was current" in lines[0]


async def test_the_bootstrap_key_is_stored_only_as_its_mac(stack: Stack) -> None:
    key = stack.credentials.api_key
    async with transaction_of(stack, "default") as connection:
        query = "select tenant_id, user_id, api_keys::text from api_keys where prefix = %s"
        rows = await (await connection.execute(query, [key[:16]])).fetchall()
    assert [(row[0], row[1]) for row in rows] == [("default", "bootstrap")]
    assert key not in rows[0][2]


SHAPE = """
select 'column', table_name, column_name, data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
from information_schema.columns where table_schema = %(schema)s and table_name like 'checkpoint%%'
union all
select 'index', tablename, indexname, replace(indexdef, %(schema)s || '.', '')
from pg_indexes where schemaname = %(schema)s and tablename like 'checkpoint%%'
order by 1, 2, 3
"""


async def test_the_checkpoint_tables_are_those_of_the_installed_langgraph(stack: Stack) -> None:
    """When this fails, langgraph-checkpoint-postgres has new migrations: add a revision that does the same."""
    async with await psycopg.AsyncConnection.connect(
        stack.database.owner_url, autocommit=True, row_factory=psycopg.rows.dict_row
    ) as connection:
        await connection.execute("create schema langgraph_setup")
        try:
            await connection.execute("set search_path to langgraph_setup")
            await AsyncPostgresSaver(connection).setup()
            theirs = await (await connection.execute(SHAPE, {"schema": "langgraph_setup"})).fetchall()
            ours = await (await connection.execute(SHAPE, {"schema": "public"})).fetchall()
            versions = "select v from {}.checkpoint_migrations order by v"
            their_versions = await (await connection.execute(versions.format("langgraph_setup").encode())).fetchall()
            our_versions = await (await connection.execute(versions.format("public").encode())).fetchall()
        finally:
            await connection.execute("drop schema langgraph_setup cascade")
    assert ours == theirs
    assert our_versions == their_versions


async def test_the_checkpointer_works_with_the_application_role(stack: Stack, tenant: Tenant) -> None:
    config = {"configurable": {"thread_id": f"{tenant.id}:thread_x", "checkpoint_ns": ""}}
    async with AsyncPostgresSaver.from_conn_string(stack.database.url) as saver:
        assert await saver.aget_tuple(config) is None  # type: ignore[arg-type]
        await saver.adelete_thread(f"{tenant.id}:thread_x")
