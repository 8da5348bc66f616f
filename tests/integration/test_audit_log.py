"""The audit log: nobody changes it, and whoever does anyway is found out."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
import pytest
from edge.audit import AuditLog, Entry, append
from edge.audit.chain import Anchor, Report
from edge.audit.verification import dump_anchors, export_heads, load_anchors, verify
from edge.database import Database
from psycopg.rows import dict_row

from tests.stack import Stack, Tenant

AWKWARD = 'Ünïcode "quoted" back\\slash \n\t\b\f\r\x01\x1f\x7f\u2028 🐭'


def entry(tenant: Tenant, action: str = "key.created", **fields: Any) -> Entry:
    return Entry(tenant=tenant.id, actor=f"user:{tenant.user}", action=action, **fields)


async def write(stack: Stack, *entries: Entry) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database.url, autocommit=True) as connection:
        for each in entries:
            await append(connection, each)


async def examined(stack: Stack, tenant: Tenant, anchors: Sequence[Anchor] = ()) -> Report:
    async with await psycopg.AsyncConnection.connect(stack.database.owner_url) as connection:
        [report] = await verify(connection, tenant=tenant.id, anchors=anchors)
    return report


async def tamper(stack: Stack, tenant: Tenant, *statements: LiteralString) -> None:
    """As somebody who owns the database and has taken its guards away for a moment."""
    async with await psycopg.AsyncConnection.connect(stack.database.owner_url) as connection:
        await connection.execute("select set_config('dormouse.maintenance', 'on', true)")
        for table in ("audit_entries", "audit_heads"):
            await connection.execute(f"alter table {table} disable trigger user".encode())
        for statement in statements:
            assert (await connection.execute(statement, {"tenant": tenant.id})).rowcount > 0
        for table in ("audit_entries", "audit_heads"):
            await connection.execute(f"alter table {table} enable trigger user".encode())


async def test_entries_are_numbered_without_gaps_under_concurrency_and_abandoned_transactions(
    stack: Stack, tenant: Tenant
) -> None:
    async def one(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
            await append(connection, entry(tenant, target=str(number)))
            if number % 3 == 0:
                await connection.rollback()

    await asyncio.gather(*(one(number) for number in range(30)))
    report = await examined(stack, tenant)
    assert report.is_whole, report.findings
    assert report.entries == 20


async def test_what_awkward_texts_hash_to_is_the_same_in_both_places(stack: Stack, tenant: Tenant) -> None:
    await write(
        stack,
        entry(tenant, target=AWKWARD, details={"z": AWKWARD, "a": [1, 2.5, True, None, {"n": "\0"}]}),
        entry(tenant, target="a\0b \ud800", key_id="x" * 5000, details={"long": "y" * 10_000}),
    )
    report = await examined(stack, tenant)
    assert report.is_whole, report.findings
    assert report.entries == 2


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["update audit_entries set actor = 'user:somebody' where tenant_id = %(tenant)s and seq = 3"], "3 has been"),
        (["update audit_entries set at = at + '1us' where tenant_id = %(tenant)s and seq = 3"], "3 has been"),
        (["update audit_entries set details = '{ }' where tenant_id = %(tenant)s and seq = 3"], "3 has been"),
        (["delete from audit_entries where tenant_id = %(tenant)s and seq = 3"], "3 is missing"),
        (["delete from audit_entries where tenant_id = %(tenant)s and seq = 1"], "1 is missing"),
        (["delete from audit_entries where tenant_id = %(tenant)s and seq > 3"], "ends with entry 3, and should with"),
        (
            [
                "update audit_entries set seq = 99 where tenant_id = %(tenant)s and seq = 2",
                "update audit_entries set seq = 2 where tenant_id = %(tenant)s and seq = 3",
                "update audit_entries set seq = 3 where tenant_id = %(tenant)s and seq = 99",
            ],
            "2 does not follow",
        ),
        (["delete from audit_heads where tenant_id = %(tenant)s"], "record of the chain's end is gone"),
    ],
    ids=["changed", "another time", "other details", "deleted", "first deleted", "tail cut", "swapped", "head deleted"],
)
async def test_tampering_is_found(
    stack: Stack, tenant: Tenant, statements: Sequence[LiteralString], finding: str
) -> None:
    await write(stack, *(entry(tenant, target=f"key_{number}") for number in range(5)))
    assert (await examined(stack, tenant)).is_whole
    await tamper(stack, tenant, *statements)
    assert finding in " ".join((await examined(stack, tenant)).findings)


async def test_a_log_that_was_cut_or_written_anew_with_its_head_does_not_fit_an_anchor(
    stack: Stack, tenant: Tenant
) -> None:
    await write(stack, *(entry(tenant, target=f"key_{number}") for number in range(5)))
    async with await psycopg.AsyncConnection.connect(stack.database.owner_url) as connection:
        kept = dump_anchors(await export_heads(connection))
    await write(stack, entry(tenant, "key.revoked", target="key_3"))
    assert (await examined(stack, tenant, load_anchors(kept))).is_whole
    await tamper(
        stack,
        tenant,
        "delete from audit_entries where tenant_id = %(tenant)s and seq > 3",
        "update audit_heads set seq = 3, hash = (select hash from audit_entries e where e.tenant_id = %(tenant)s "
        "and e.seq = 3) where tenant_id = %(tenant)s",
    )
    assert (await examined(stack, tenant)).is_whole, "without an anchor nobody can tell"
    assert "entry 5, which an anchor names, is gone" in (await examined(stack, tenant, load_anchors(kept))).findings
    await write(stack, *(entry(tenant, target="something else") for _ in range(3)))
    assert "entry 5 is another than an anchor says" in (await examined(stack, tenant, load_anchors(kept))).findings


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_entries set actor = 'nobody'",
        "delete from audit_entries",
        "truncate audit_entries",
        "delete from audit_heads",
        "truncate audit_heads",
    ],
)
async def test_nobody_changes_it_not_even_the_owner(stack: Stack, tenant: Tenant, statement: str) -> None:
    await write(stack, entry(tenant))
    for url in (stack.database.url, stack.database.owner_url):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("select set_config('dormouse.maintenance', 'on', true)")
            await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "insert into audit_entries select * from audit_entries",
        "select * from audit_heads",
        "update audit_heads set seq = 0",
        "alter table audit_entries disable trigger user",
        "drop trigger append_only on audit_entries",
    ],
)
async def test_the_application_only_appends(stack: Stack, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


async def test_a_tenant_reads_and_writes_its_own_chain_only(stack: Stack, tenant: Tenant) -> None:
    other = await stack.database.tenant()
    await write(stack, entry(tenant), entry(other))
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        rows = await (await connection.execute("select tenant_id from audit_entries")).fetchall()
        assert rows == [(tenant.id,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await append(connection, entry(other))


async def test_the_command_fails_for_a_chain_that_is_broken(stack: Stack, tenant: Tenant) -> None:
    await write(stack, *(entry(tenant) for _ in range(3)))
    await tamper(stack, tenant, "update audit_entries set target = 'x' where tenant_id = %(tenant)s and seq = 2")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.admin", "--database", stack.database.owner_url),
        *("audit", "verify", "--tenant", tenant.id),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 1
    assert "entry 2 has been changed" in printed.decode()


class Person:
    def __init__(self, tenant: Tenant) -> None:
        self.tenant, self.user, self.key_id = tenant.id, tenant.user, "key_1"


async def test_what_cannot_be_noted_stops_changes_of_identity_but_not_of_files(
    stack: Stack, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    from dormouse_runtime.errors import DormouseError

    database = Database("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.2)
    await database.open()
    try:
        log = AuditLog(database)
        with pytest.raises(DormouseError):
            await log.note(Person(tenant), "key.created", "key_2")
        await log.note(Person(tenant), "file.deleted", "file-1")
        assert "an audit entry is lost" in caplog.text
    finally:
        await database.close()


async def test_a_note_says_who_did_what(stack: Stack, tenant: Tenant) -> None:
    database = Database(stack.database.url)
    await database.open()
    try:
        log = AuditLog(database)
        await log.note(Person(tenant), "key.created", "key_2", scopes=["runs"])
        await log.note(None, "auth.refused", tenant=tenant.id)
        async with database.tenant(tenant.id) as connection:
            connection.row_factory = dict_row
            cursor = await connection.execute("select * from audit_entries order by seq")
            first, second = await cursor.fetchall()
    finally:
        await database.close()
    assert (first["actor"], first["action"], first["target"]) == (f"user:{tenant.user}", "key.created", "key_2")
    assert (first["key_id"], json.loads(first["details"])) == ("key_1", {"scopes": ["runs"]})
    assert (second["actor"], second["action"]) == ("anonymous", "auth.refused")
