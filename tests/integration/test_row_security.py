"""Row-level security under every table of tenants: read from the catalogue, and tried as the services' role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.stack import Stack, Tenant

OF_NO_TENANT = {"alembic_version", "checkpoint_migrations", "embedding_models", "file_store", "signing_keys"}
"""What the platform knows of itself. A table that is not here belongs to tenants, and the database separates them."""

DEFINERS = {
    "add_tenant",
    "append_audit_entry",
    "claim_files",
    "count_words",
    "delete_chunks",
    "documents_to_clear",
    "ensure_embedding_model",
    "expire_files",
    "file_store_of",
    "find_api_key",
    "hold_files",
    "hold_requests",
    "hold_reservations",
    "left_reservations",
    "match_words",
    "note_api_key_uses",
    "prune_embedding_cache",
    "prune_requests",
    "prune_run_logs",
    "prune_search_outcomes",
    "prune_tool_calls",
    "renew_api_key_mac",
    "resumed_runs",
    "store_words",
}
"""Functions that see more than their caller. Before another is added here: it tells no tenant anything of another."""

TABLES = """
select c.relname, c.relrowsecurity and c.relforcerowsecurity as forced, pg_get_userbyid(c.relowner) as owner,
    has_table_privilege('dormouse_app', c.oid, 'select, insert, update, delete') as reachable
from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1
"""
POLICIES = """
select c.relname, p.polname, pg_get_expr(p.polqual, p.polrelid) as using_,
    pg_get_expr(p.polwithcheck, p.polrelid) as checks,
    array(select case when r = 0 then 'public' else pg_get_userbyid(r) end from unnest(p.polroles) r) as roles
from pg_policy p join pg_class c on c.oid = p.polrelid
"""
FUNCTIONS = """
select p.proname, p.proconfig, p.prosecdef, pg_get_userbyid(p.proowner) as owner,
    coalesce((select bool_or(a.grantee = 0) from aclexplode(p.proacl) a), true) as by_everybody
from pg_proc p where p.pronamespace = 'public'::regnamespace
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
"""


@asynccontextmanager
async def connected(url: str, tenant: str = "") -> AsyncIterator[psycopg.AsyncConnection[dict[str, Any]]]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        if tenant:
            await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
        yield connection
        await connection.rollback()


async def asked(stack: Stack, query: str) -> list[dict[str, Any]]:
    async with connected(stack.database.owner_url) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_every_table_of_tenants_has_forced_security_with_a_policy_on_the_tenant(stack: Stack) -> None:
    """A new table without one fails here."""
    policies = await asked(stack, POLICIES)
    for table in await asked(stack, TABLES):
        name = table["relname"]
        assert table["owner"] != "dormouse_app"
        if name in OF_NO_TENANT:
            continue
        assert table["forced"], f"{name}: alter table … enable and force row level security"
        own = [policy for policy in policies if policy["relname"] == name and policy["roles"] != [table["owner"]]]
        assert own or not table["reachable"], f"{name} has no policy"
        for policy in own:
            for condition in (policy["using_"], policy["checks"]):
                assert "current_setting('dormouse.tenant'::text, true)" in condition, (name, policy["polname"])
                assert " OR " not in condition


async def test_the_services_role_is_bound_by_it(stack: Stack) -> None:
    (role,) = await asked(
        stack,
        """select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,
            pg_has_role('dormouse_app', 'dormouse', 'member') as is_owner,
            has_schema_privilege('dormouse_app', 'public', 'create') as makes_tables,
            exists (select from pg_class where relowner = 'dormouse_app'::regrole) as owns
           from pg_roles where rolname = 'dormouse_app'""",
    )
    assert not any(role.values()), role


async def test_what_sees_more_than_its_caller_is_known_and_cannot_be_tricked(stack: Stack) -> None:
    functions = await asked(stack, FUNCTIONS)
    for function in functions:
        if function["prosecdef"]:
            name = function["proname"]
            assert any(setting.startswith("search_path=pg_catalog, ") for setting in function["proconfig"] or ()), name
            assert not function["by_everybody"], f"{name}: revoke all … from public"
    assert {function["proname"] for function in functions if function["prosecdef"]} == DEFINERS
    views = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')"
    assert not await asked(stack, views), "a view sees with its owner's eyes"


SEED = (
    "insert into users (tenant_id, id, email, role) values (%(t)s, 'u', 'a@example.org', 'member')",
    "insert into threads (id, tenant_id) values ('thread_' || %(t)s, %(t)s)",
    "insert into runs (id, tenant_id, thread_id, agent_id, status, request)"
    " values ('run_' || %(t)s, %(t)s, 'thread_' || %(t)s, 'chat', 'completed', '\\x00')",
    "insert into run_logs (run_id, tenant_id, last_seq, data) values ('run_' || %(t)s, %(t)s, 1, '\\x00')",
    "insert into checkpoints (thread_id, checkpoint_id, checkpoint) values (%(t)s || ':thread_1', '1', '{}')",
    "insert into checkpoint_blobs (thread_id, channel, version, type) values (%(t)s || ':thread_1', 'c', '1', 'x')",
    "insert into checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, blob)"
    " values (%(t)s || ':thread_1', '1', 't', 0, 'c', '\\x00')",
    "insert into tool_calls (tenant_id, key, tool, arguments_hash, owner) values (%(t)s, 'k', 'x', '\\x00', 1)",
    "insert into libraries (tenant_id) values (%(t)s)",
    "insert into files (tenant_id, id, user_id, name) values (%(t)s, 'file-1', 'u', 'n')",
    "select append_audit_entry(%(t)s, 'user:u', '', 'thing.done', '', '', '', '{}')",
)


async def test_as_the_services_role_nothing_of_another_tenant_can_be_read_or_written(
    stack: Stack, tenant: Tenant
) -> None:
    other = await stack.database.tenant()
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        for statement in SEED:
            await connection.execute(statement.encode(), {"t": tenant.id})
    tables = [table for table in await asked(stack, TABLES) if table["relname"] not in OF_NO_TENANT]
    seeded = 0
    for table in tables:
        name = sql.Identifier(table["relname"])
        if not table["reachable"]:
            continue
        rows = sql.SQL("select to_jsonb(t) as row from {} t").format(name)
        async with connected(stack.database.url, tenant.id) as connection:
            own = await (await connection.execute(rows)).fetchall()
        seeded += bool(own)
        for stranger in ("", other.id):
            async with connected(stack.database.url, stranger) as connection:
                seen = await (await connection.execute(rows)).fetchall()
            assert tenant.id not in repr(seen), table["relname"]
            assert stranger or not seen
            for statement in ("delete from {}", "update {} set {} = default"):
                column = sql.Identifier(next(iter(own[0]["row"])) if own else "tenant_id")
                async with connected(stack.database.url, stranger) as connection:
                    try:
                        cursor = await connection.execute(sql.SQL(statement).format(name, column))
                    except psycopg.errors.InsufficientPrivilege:
                        continue  # the role may not do that to its own rows either
                    except (psycopg.errors.NotNullViolation, psycopg.errors.IntegrityError):
                        assert seen, "only a row that is seen can break a rule"
                    else:
                        assert cursor.rowcount <= len(seen), table["relname"]
            for entry in own:
                async with connected(stack.database.url, stranger) as connection:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        await connection.execute(
                            sql.SQL(
                                "insert into {0} overriding system value"
                                " select * from jsonb_populate_record(null::{0}, %s)"
                            ).format(name),
                            [Jsonb(entry["row"])],
                        )
    assert seeded >= len(SEED) + 2


async def test_a_tenant_with_a_colon_could_not_pose_as_another(stack: Stack) -> None:
    """`a` and `a:b` would share the beginning of LangGraph's thread ids."""
    async with connected(stack.database.owner_url, "a:b") as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute("insert into tenants (id, name) values ('a:b', 'x')")
    async with connected(stack.database.url, "a:b") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(
                "insert into checkpoints (thread_id, checkpoint_id, checkpoint) values ('a:b:thread_1', '1', '{}')"
            )


async def test_a_key_is_told_only_to_who_has_its_secret(stack: Stack, tenant: Tenant) -> None:
    find = "select * from find_api_key(%s::bytea[])"
    async with connected(stack.database.url, tenant.id) as connection:
        row = await (await connection.execute("select mac from api_keys")).fetchone()
        assert row is not None
    async with connected(stack.database.url) as connection:
        found = await (await connection.execute(find, [[row["mac"], b"\0" * 32]])).fetchall()
        assert [key["tenant_id"] for key in found] == [tenant.id]
        assert await (await connection.execute(find, [[b"\0" * 32]])).fetchall() == []
        assert await (await connection.execute("select id from api_keys")).fetchall() == []
