"""Reads a tenant's audit log in pages, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from edge.database import Database


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries. None: all of them."""

    action: str | None = None
    """One action, or with a dot at its end all actions of a kind: `key.`."""
    actor: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Before this moment."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Some entries as the database has them, newest first, and whether there are more."""

    entries: Sequence[Mapping[str, Any]]
    has_more: bool


_PAGE: Final = """
select seq, at, actor, key_id, action, target, address, request_id, details, previous_hash, hash
from audit_entries
where tenant_id = %(tenant)s
    and (%(before)s::bigint is null or seq < %(before)s)
    and (%(action)s::text is null or action = %(action)s)
    and (%(kind)s::text is null or starts_with(action, %(kind)s))
    and (%(actor)s::text is null or actor = %(actor)s)
    and (%(target)s::text is null or target = %(target)s)
    and (%(since)s::timestamptz is null or at >= %(since)s)
    and (%(until)s::timestamptz is null or at < %(until)s)
order by seq desc limit %(limit)s
"""


async def read_page(database: Database, tenant: str, wanted: Filter, *, limit: int, before: int | None) -> EntryPage:
    """Entries with numbers below `before`. Errors: DATABASE_UNAVAILABLE."""
    if any(text and "\0" in text for text in (wanted.action, wanted.actor, wanted.target)):
        return EntryPage((), has_more=False)  # Postgres holds no such text, and takes none
    is_kind = wanted.action is not None and wanted.action.endswith(".")
    values = {
        "tenant": tenant,
        "before": before,
        "action": None if is_kind else wanted.action,
        "kind": wanted.action if is_kind else None,
        "actor": wanted.actor,
        "target": wanted.target,
        "since": wanted.since,
        "until": wanted.until,
        "limit": limit + 1,
    }
    async with database.tenant(tenant) as connection:
        cursor = await connection.execute(_PAGE, values)
        rows = await cursor.fetchall()
    return EntryPage(rows[:limit], has_more=len(rows) > limit)
