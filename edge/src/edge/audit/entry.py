"""One entry of the audit log, and how it gets there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

PLATFORM: Final = "*"
"""The chain of what belongs to no tenant: tenants themselves, strangers, service keys."""

TEXT_LIMIT: Final = 256
DETAILS_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that somebody did. `tenant` is whose log it goes into; PLATFORM where it is nobody's."""

    tenant: str
    actor: str
    """Whose doing it was: `user:<id>`, `service:<name>`, `cli:<name>`, or `anonymous`."""
    action: str
    """`thing.done`, for instance `key.created`."""
    target: str = ""
    """The id of what it was done to."""
    key_id: str = ""
    """The API key that the actor used; "" without one."""
    address: str = ""
    """Where the request came from; "" unless the platform keeps addresses."""
    request_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Small facts as JSON: ids, names of scopes, counts."""


async def append(connection: psycopg.AsyncConnection[Any], entry: Entry) -> int:
    """Appends it to its tenant's chain, in the connection's transaction if there is one; its number, from 1 on.

    The chain stays locked until that transaction ends, so that numbers have no gaps: make it the last thing you do
    there. Raises what psycopg raises.
    """
    cursor = await connection.execute(
        "select append_audit_entry(%s, %s, %s, %s, %s, %s, %s, %s) as seq",
        (
            entry.tenant,
            _clean(entry.actor),
            _clean(entry.key_id),
            _clean(entry.action),
            _clean(entry.target),
            _clean(entry.address),
            _clean(entry.request_id),
            canonical(entry.details),
        ),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row["seq"] if isinstance(row, dict) else row[0])


def canonical(details: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no blanks; details that are too long are left out, and that is said."""
    text = json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _storable(text) if len(text) <= DETAILS_LIMIT else '{"too_long":true}'


def _clean(text: str) -> str:
    return _storable(text.replace("\0", "\ufffd"))[:TEXT_LIMIT]


def _storable(text: str) -> str:
    """Postgres takes no half characters."""
    return text.encode("utf-8", "replace").decode()
