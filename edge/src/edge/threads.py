"""Threads in Postgres. What was said on them is with agent_fn; here are their ids, owners and metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.types.json import Jsonb

from .database import Database
from .ids import is_thread_id, new_thread_id

Metadata = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation."""

    id: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """Some threads, newest first, and whether there are more."""

    threads: Sequence[Thread]
    has_more: bool


class ThreadStore:
    """Every method sees one tenant's threads only and raises DATABASE_UNAVAILABLE when Postgres does not answer.

    Another tenant's thread is as unknown as one that never was: THREAD_NOT_FOUND.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: str, metadata: Metadata) -> Thread:
        """A new thread."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                """insert into threads (id, tenant_id, metadata) values (%s, %s, %s)
                   returning id, metadata, created_at, updated_at""",
                (new_thread_id(), tenant, Jsonb(dict(metadata))),
            )
            row = await cursor.fetchone()
        assert row is not None, "an insert returns its row"
        return _thread(row)

    async def ensure(self, tenant: str, thread_id: str, metadata: Metadata) -> bool:
        """Makes the thread if it is not there. True: it was made just now."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                "insert into threads (id, tenant_id, metadata) values (%s, %s, %s) on conflict (id) do nothing",
                (thread_id, tenant, Jsonb(dict(metadata))),
            )
            return cursor.rowcount == 1

    async def get(self, tenant: str, thread_id: str) -> Thread:
        """The thread. Raises THREAD_NOT_FOUND."""
        _check(thread_id)
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                "select id, metadata, created_at, updated_at from threads where id = %s", (thread_id,)
            )
            row = await cursor.fetchone()
        return _found(row, thread_id)

    async def exists(self, tenant: str, thread_id: str) -> bool:
        """Whether the tenant has such a thread."""
        if not is_thread_id(thread_id):
            return False
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute("select 1 from threads where id = %s", (thread_id,))
            return await cursor.fetchone() is not None

    async def merge_metadata(self, tenant: str, thread_id: str, changes: Mapping[str, str | None]) -> Thread:
        """Sets the given keys, and removes those given as None. Raises THREAD_NOT_FOUND."""
        _check(thread_id)
        added = {key: value for key, value in changes.items() if value is not None}
        removed = [key for key, value in changes.items() if value is None]
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                """update threads set metadata = (metadata - %s::text[]) || %s, updated_at = now()
                   where id = %s returning id, metadata, created_at, updated_at""",
                (removed, Jsonb(added), thread_id),
            )
            row = await cursor.fetchone()
        return _found(row, thread_id)

    async def delete(self, tenant: str, thread_id: str) -> None:
        """Removes the thread and the rows of its runs. Raises THREAD_NOT_FOUND."""
        _check(thread_id)
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute("delete from threads where id = %s", (thread_id,))
            if cursor.rowcount == 0:
                raise _not_found(thread_id)

    async def page(self, tenant: str, *, limit: int, after: str | None) -> ThreadPage:
        """Threads, newest first, behind the thread `after`; none when there is no such thread."""
        if after is not None and not is_thread_id(after):
            return ThreadPage((), has_more=False)
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                """select id, metadata, created_at, updated_at from threads
                   where %(after)s::text is null
                      or (created_at, id) < (select created_at, id from threads where id = %(after)s)
                   order by created_at desc, id desc limit %(limit)s""",
                {"after": after, "limit": limit + 1},
            )
            rows = await cursor.fetchall()
        return ThreadPage([_thread(row) for row in rows[:limit]], has_more=len(rows) > limit)


def _thread(row: Mapping[str, Any]) -> Thread:
    return Thread(row["id"], row["metadata"], row["created_at"], row["updated_at"])


def _found(row: Mapping[str, Any] | None, thread_id: str) -> Thread:
    if row is None:
        raise _not_found(thread_id)
    return _thread(row)


def _check(thread_id: str) -> None:
    if not is_thread_id(thread_id):
        raise _not_found(thread_id)


def _not_found(thread_id: str) -> DormouseError:
    shown = thread_id if is_thread_id(thread_id) else "with this id"
    return DormouseError(ErrorReason.ERROR_REASON_THREAD_NOT_FOUND, f"There is no thread {shown}.")
