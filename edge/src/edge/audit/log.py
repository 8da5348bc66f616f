"""What routes write into the audit log."""

import logging
from contextvars import ContextVar
from typing import Any, Final, Protocol

from dormouse_runtime import logs
from dormouse_runtime.errors import DormouseError

from edge.database import Database
from edge.metrics import AUDIT_LOST

from .entry import PLATFORM, Entry, append
from .reading import EntryPage, Filter, read_page

_log = logging.getLogger("edge.audit")

SOFT: Final = ("file.", "audit.", "access.")
"""Actions that go on where the log cannot be written; it is said in the process's own log. All others must not."""


client: Final[ContextVar[str]] = ContextVar("dormouse_audit_client", default="")
"""The address of the client whose request this is; set where addresses are to be kept."""


class Actor(Protocol):
    """Of a caller, what the log wants to know."""

    @property
    def tenant(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def key_id(self) -> str: ...


class AuditLog:
    """Appends entries, each in a transaction of its own, and reads them. `append` does it in yours."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(
        self,
        caller: Actor | None,
        action: str,
        target: str = "",
        *,
        tenant: str = "",
        **details: Any,
    ) -> None:
        """Notes that `caller` (None: a stranger) did `action` to `target`; awaited before the answer goes out.

        tenant: whose log, where it is not the caller's; with neither it is the platform's.
        Errors: DATABASE_UNAVAILABLE, unless the action is one of SOFT.
        """
        entry = Entry(
            tenant=tenant or (caller.tenant if caller else PLATFORM),
            actor=f"user:{caller.user}" if caller else "anonymous",
            action=action,
            target=target,
            key_id=caller.key_id if caller else "",
            address=client.get(),
            request_id=logs.bound_id("request_id"),
            details=details,
        )
        try:
            async with self._database.tenant(entry.tenant) as connection:
                await append(connection, entry)
        except DormouseError:
            if not action.startswith(SOFT):
                raise
            AUDIT_LOST.labels(action).inc()
            _log.exception(
                "an audit entry is lost", extra={"action": action, "actor": entry.actor, "target": entry.target}
            )

    async def page(self, tenant: str, wanted: Filter, *, limit: int, before: int | None = None) -> EntryPage:
        """Entries of a tenant, newest first. Errors: DATABASE_UNAVAILABLE."""
        return await read_page(self._database, tenant, wanted, limit=limit, before=before)
