"""Verifies the audit log, and exports the ends of its chains: for those who may see every tenant's."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from .chain import Anchor, Report, examine

_BATCH: Final = 1000
_ENTRIES: Final = """
select tenant_id, seq, at, actor, key_id, action, target, address, request_id, details, previous_hash, hash
from audit_entries where tenant_id = %s order by seq
"""


class AnchorError(Exception):
    """What was given as anchors is none; says why."""


async def verify(
    connection: psycopg.AsyncConnection[Any], *, tenant: str | None = None, anchors: Sequence[Anchor] = ()
) -> list[Report]:
    """One report a chain; of one tenant, or of all and the platform's own (`*`). The connection is the owner's.

    Sees one state of the database, whatever is appended meanwhile.
    """
    async with _everything(connection):
        heads = {head.tenant: head for head in await _heads(connection)}
        names = {*heads, *await _tenants(connection), *(anchor.tenant for anchor in anchors)}
        return [
            await examine(name, _rows(connection, name), heads.get(name), anchors)
            for name in sorted(names if tenant is None else {tenant})
        ]


async def export_heads(connection: psycopg.AsyncConnection[Any]) -> list[Anchor]:
    """The ends of all chains now. The connection is the owner's."""
    async with _everything(connection):
        return await _heads(connection)


def dump_anchors(anchors: Iterable[Anchor]) -> str:
    """One line of JSON each."""
    return "".join(
        json.dumps({"tenant": anchor.tenant, "seq": anchor.seq, "hash": anchor.hash.hex()}) + "\n" for anchor in anchors
    )


def load_anchors(text: str) -> list[Anchor]:
    """What `dump_anchors` wrote, of several times too. Raises AnchorError, which names the line."""
    anchors = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
            anchors.append(Anchor(str(read["tenant"]), int(read["seq"]), bytes.fromhex(read["hash"])))
        except (ValueError, KeyError, TypeError):
            raise AnchorError(f"line {number} is no anchor: wants tenant, seq and hash") from None
    return anchors


@asynccontextmanager
async def _everything(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        await connection.execute("select set_config('dormouse.maintenance', 'on', true)")
        yield


async def _heads(connection: psycopg.AsyncConnection[Any]) -> list[Anchor]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("select tenant_id, seq, hash from audit_heads order by tenant_id")
        return [Anchor(row["tenant_id"], row["seq"], bytes(row["hash"])) for row in await cursor.fetchall()]


async def _tenants(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    """Of those that have entries, by jumping from one to the next in the index."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "with recursive found as ("
            " select min(tenant_id) as tenant_id from audit_entries"
            " union all select (select min(e.tenant_id) from audit_entries e where e.tenant_id > found.tenant_id)"
            " from found where found.tenant_id is not null"
            ") select tenant_id from found where tenant_id is not null"
        )
        return [row["tenant_id"] for row in await cursor.fetchall()]


async def _rows(connection: psycopg.AsyncConnection[Any], tenant: str) -> AsyncIterator[dict[str, Any]]:
    async with connection.cursor("audit", row_factory=dict_row) as cursor:
        cursor.itersize = _BATCH
        await cursor.execute(_ENTRIES, (tenant,))
        async for row in cursor:
            yield row
