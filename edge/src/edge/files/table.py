"""The table of files: what there is, and which replica works on what."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal

import psycopg
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.types.json import Jsonb

from edge.database import Database
from edge.ids import is_file_id

from .model import FilePage, FileRecord, FileStatus, NewFile, Phase, Progress

_UNEXPIRED: Final = "(expires_at is null or expires_at > clock_timestamp())"
_SEEN: Final = f"status in ('uploaded', 'processed', 'error') and {_UNEXPIRED}"
_KEPT: Final = f"status in ('uploaded', 'processed') and {_UNEXPIRED}"
_EXPIRED_AT_ONCE: Final = 100


class FileTable:
    """Every method raises DATABASE_UNAVAILABLE when Postgres does not answer; those with a tenant see only its rows.

    Another tenant's file is as unknown as one that never was: DOCUMENT_NOT_FOUND. `owner` is a replica, and a lease how
    long it has the file for itself; what an owner notes of a file that is its own no longer is not written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, file_id: str) -> FileRecord:
        """Errors: DOCUMENT_NOT_FOUND."""
        if is_file_id(file_id):
            rows = await self._rows(tenant, f"select * from files where id = %s and {_SEEN}", file_id)  # noqa: S608
            if rows:
                return _record(rows[0])
        raise not_found(file_id)

    async def page(
        self, tenant: str, *, limit: int, after: str | None, order: Literal["asc", "desc"], purpose: str | None
    ) -> FilePage:
        """Files behind the file `after`, by the time they came; none when there is no such file."""
        if after is not None and not is_file_id(after):
            return FilePage((), has_more=False)
        way = "<" if order == "desc" else ">"
        rows = await self._rows(
            tenant,
            f"""select * from files where {_SEEN} and (%s::text is null or purpose = %s)
                  and (%s::text is null or (created_at, id) {way} (select created_at, id from files where id = %s))
                order by created_at {order}, id {order} limit %s""",  # noqa: S608 - constants
            *(purpose, purpose, after, after, limit + 1),
        )
        return FilePage([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def with_content(self, tenant: str, sha256: str) -> FileRecord | None:
        """The file with this content, unless that could not be processed."""
        query = f"select * from files where sha256 = %s and {_KEPT}"  # noqa: S608 - a constant
        rows = await self._rows(tenant, query, sha256)
        return _record(rows[0]) if rows else None

    async def prolong(self, tenant: str, file_id: str, expires_after: timedelta | None) -> FileRecord | None:
        """Keeps the file at least as long as one that came now would be kept. None: it has gone meanwhile."""
        rows = await self._rows(
            tenant,
            f"""update files set expires_at = case when %s::interval is not null and expires_at is not null
                    then greatest(expires_at, clock_timestamp() + %s::interval) end
                where id = %s and {_KEPT} returning *""",  # noqa: S608 - a constant
            *(expires_after, expires_after, file_id),
        )
        return _record(rows[0]) if rows else None

    async def documents_of(self, tenant: str, file_ids: Iterable[str]) -> Mapping[str, str]:
        """The documents of those files that there are and that have one."""
        query = f"select id, document_id from files where id = any(%s) and {_SEEN} and document_id <> ''"  # noqa: S608
        return {row["id"]: row["document_id"] for row in await self._rows(tenant, query, list(file_ids))}

    async def deleted_among(self, tenant: str, file_ids: Iterable[str]) -> set[str]:
        """Those that are deleted, or have expired, while their documents may still be there."""
        query = "select id from files where id = any(%s) and (status = 'deleted' or expires_at <= clock_timestamp())"
        return {row["id"] for row in await self._rows(tenant, query, list(file_ids))}

    async def store(self, candidate: str, place: str) -> tuple[str, str]:
        """The id and the place of the store that has the originals: the given one's where there was none before."""
        async with self._database.connection() as connection:
            cursor = await connection.execute("select id, place from file_store_of(%s, %s)", (candidate, place))
            row = await cursor.fetchone()
        assert row is not None
        return row["id"], row["place"]

    async def begin_upload(self, tenant: str, user: str, file_id: str, owner: str, lease_s: float) -> None:
        """A hidden row, so that what a crash leaves of the upload is found."""
        await self._rows(
            tenant,
            """insert into files (tenant_id, id, user_id, name, owner, due_at)
               values (%s, %s, %s, '', %s, clock_timestamp() + %s) returning id""",
            *(tenant, file_id, user, owner, timedelta(seconds=lease_s)),
        )

    async def complete_upload(self, tenant: str, file_id: str, owner: str, new: NewFile) -> FileRecord | None:
        """Makes the row seen, and due. None: there is a file with this content.

        Errors: CONFLICT when the row is the owner's no longer.
        """
        try:
            rows = await self._rows(
                tenant,
                """update files set status = 'uploaded', name = %s, purpose = %s, metadata = %s, size_bytes = %s,
                       sha256 = %s, owner = null, due_at = clock_timestamp(), created_at = clock_timestamp(),
                       expires_at = clock_timestamp() + %s
                   where id = %s and owner = %s and status = 'uploading' returning *""",
                *(new.name, new.purpose, Jsonb(dict(new.metadata)), new.size_bytes, new.sha256),
                *(new.expires_after, file_id, owner),
            )
        except psycopg.errors.UniqueViolation:
            return None
        if not rows:
            raise DormouseError(ErrorReason.ERROR_REASON_CONFLICT, "The upload took too long; send the file again.")
        return _record(rows[0])

    async def mark_deleted(self, tenant: str, file_id: str) -> FileRecord:
        """Hides the file. Whoever works on it keeps it, to stop and to clear it away. Errors: DOCUMENT_NOT_FOUND."""
        if is_file_id(file_id):
            query = f"update files set status = 'deleted' where id = %s and {_SEEN} returning *"  # noqa: S608
            if rows := await self._rows(tenant, query, file_id):
                return _record(rows[0])
        raise not_found(file_id)

    async def drop(self, tenant: str, file_id: str) -> None:
        """Forgets a file that is hidden."""
        query = "delete from files where id = %s and status in ('uploading', 'deleted') returning id"
        await self._rows(tenant, query, file_id)

    async def claim(self, owner: str, lease_s: float, batch: int) -> list[tuple[str, str]]:
        """Takes at most `batch` files of any tenants that somebody should work on: tenant and id.

        Among them are those whose time is over, to be cleared away.
        """
        async with self._database.connection() as connection:
            await connection.execute("select expire_files(%s)", (_EXPIRED_AT_ONCE,))
            cursor = await connection.execute(
                "select * from claim_files(%s, %s, %s)", (owner, timedelta(seconds=lease_s), batch)
            )
            return [(row["tenant_id"], row["id"]) for row in await cursor.fetchall()]

    async def claim_deleted(self, tenant: str, file_id: str, owner: str, lease_s: float) -> bool:
        """Takes a deleted file that nobody else works on."""
        rows = await self._rows(
            tenant,
            """update files set owner = %s, due_at = clock_timestamp() + %s where id = %s and status = 'deleted'
                 and (owner is null or owner = %s or due_at <= clock_timestamp()) returning id""",
            *(owner, timedelta(seconds=lease_s), file_id, owner),
        )
        return bool(rows)

    async def hold(self, owner: str, lease_s: float, file_ids: Iterable[str]) -> set[str]:
        """Lengthens leases; returns the files that are still the owner's, and wanted."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select id from hold_files(%s, %s, %s)", (owner, timedelta(seconds=lease_s), list(file_ids))
            )
            return {row["id"] for row in await cursor.fetchall()}

    async def owned(self, tenant: str, file_id: str, owner: str) -> FileRecord | None:
        """A file of the owner's, also a hidden one."""
        rows = await self._rows(tenant, "select * from files where id = %s and owner = %s", file_id, owner)
        return _record(rows[0]) if rows else None

    async def note(self, tenant: str, file_id: str, owner: str, progress: Progress) -> None:
        """How far the ingestion is."""
        query = "update files set phase = %s, done = %s, total = %s where id = %s and owner = %s returning id"
        await self._rows(tenant, query, progress.phase, progress.done, progress.total, file_id, owner)

    async def finish(
        self,
        tenant: str,
        file_id: str,
        owner: str,
        *,
        error: str = "",
        media_type: str = "",
        page_count: int = 0,
        chunk_count: int = 0,
        document_id: str = "",
    ) -> None:
        """The end of the ingestion: `processed`, or with an error `error`."""
        done: tuple[Any, ...] = ()
        change = "status = 'error'"
        if not error:
            change = "status = 'processed', phase = %s, done = %s, total = %s"
            done = (Phase.STORED, chunk_count, chunk_count)
        await self._rows(
            tenant,
            f"""update files set {change}, error = %s, media_type = %s, page_count = %s, chunk_count = %s,
                    document_id = %s, owner = null, failures = 0, breaks = 0
                where id = %s and owner = %s and status = 'uploaded' returning id""",  # noqa: S608 - constants
            *(*done, error, media_type, page_count, chunk_count, document_id, file_id, owner),
        )

    async def postpone(
        self, tenant: str, file_id: str, owner: str, delay_s: float, *, failures: int, breaks: int, error: str
    ) -> None:
        """Gives the file back, for another attempt after `delay_s` seconds. error: a sentence that says why."""
        await self._rows(
            tenant,
            """update files set owner = null, due_at = clock_timestamp() + %s, failures = %s, breaks = %s, error = %s
               where id = %s and owner = %s returning id""",
            *(timedelta(seconds=delay_s), failures, breaks, error, file_id, owner),
        )

    async def give_back(self, tenant: str, file_id: str, owner: str) -> None:
        """Somebody else should go on, now."""
        query = "update files set owner = null, due_at = clock_timestamp() where id = %s and owner = %s returning id"
        await self._rows(tenant, query, file_id, owner)

    async def _rows(self, tenant: str, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall()


def not_found(file_id: str) -> DormouseError:
    """For what is not there, or somebody else's."""
    shown = file_id if is_file_id(file_id) else "with this id"
    return DormouseError(ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND, f"There is no file {shown}.")


def _record(row: Mapping[str, Any]) -> FileRecord:
    names = ("id", "name", "purpose", "size_bytes", "sha256", "metadata", "error", "media_type", "page_count")
    more = ("chunk_count", "document_id", "failures", "breaks", "created_at", "expires_at")
    return FileRecord(
        tenant=row["tenant_id"],
        user=row["user_id"],
        status=FileStatus(row["status"]),
        progress=Progress(Phase(row["phase"]), row["done"], row["total"]),
        **{name: row[name] for name in (*names, *more)},
    )
