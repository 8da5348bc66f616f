"""What the routes ask of files; opened once per process."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.database import Database
from edge.embed_client import EmbedClient
from edge.errors import ApiError

from .driver import IngestionDriver
from .following import FileEvent, follow
from .leases import Leases
from .model import FileRecord
from .originals import OriginalMissingError, Originals
from .store_place import StorePlace
from .table import FileTable, not_found
from .uploads import Uploaded, Uploads

_DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""As embed_fn takes them."""


@dataclass(frozen=True, slots=True)
class Place:
    """name: the file's, empty for what is none."""

    document_id: str
    name: str = ""


class Files:
    """Every method sees one tenant's files only; another tenant's is as unknown as one that never was."""

    def __init__(
        self,
        table: FileTable,
        originals: Originals,
        uploads: Uploads,
        driver: IngestionDriver,
        embed: EmbedClient,
        place: StorePlace,
    ) -> None:
        self.table = table
        self._place = place
        self._originals = originals
        self._uploads = uploads
        self._driver = driver
        self._embed = embed

    async def upload(self, caller: Caller, content_type: str | None, body: AsyncIterator[bytes]) -> Uploaded:
        """Keeps the file in a form, and has it ingested. Errors: those of `Uploads.receive`; FUNCTION_UNAVAILABLE."""
        _ = self._embed.stub  # without an embed_fn nothing would ever come of it
        uploaded = await self._uploads.receive(caller, content_type, body)
        self._driver.nudge()
        return uploaded

    async def read(self, file: FileRecord, start: int, end: int) -> AsyncIterator[bytes]:
        """The original from byte `start` to before byte `end`. Errors: DOCUMENT_NOT_FOUND, StorageAwayError."""
        try:
            return await self._originals.read(file.tenant, file.id, start, end)
        except OriginalMissingError:
            raise not_found(file.id) from None

    async def document(self, tenant: str, file_id: str) -> Place:
        """Where the passages of a file are. A document that is no file, because another service has put it there, is
        its own. Errors: DOCUMENT_NOT_FOUND for a file that is deleted, though its passages may still be there."""
        try:
            file = await self.table.get(tenant, file_id)
        except DormouseError as error:
            is_unknown = error.reason == ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND
            if not is_unknown or not _DOCUMENT_ID.fullmatch(file_id):
                raise
            if await self.table.deleted_among(tenant, [file_id]):
                raise
            return Place(file_id)
        return Place(file.document_id or file.id, file.name)

    async def probe(self) -> None:
        """Whether originals can be reached. Errors: StorageAwayError, WrongStoreError, DATABASE_UNAVAILABLE."""
        await self._place.confirm()
        await self._originals.probe()

    def follow(self, tenant: str, file_id: str) -> AsyncGenerator[list[FileEvent], None]:
        """How the ingestion goes on, to its end. Errors: DOCUMENT_NOT_FOUND with the first."""
        return follow(self.table, self._driver, tenant, file_id)

    async def delete(self, tenant: str, file_id: str) -> None:
        """Hides the file at once, and clears away what can be cleared away now; the rest follows by itself.

        Errors: DOCUMENT_NOT_FOUND.
        """
        await self.table.mark_deleted(tenant, file_id)
        await self._driver.clear(tenant, file_id)


class NoFilesError(ApiError):
    """Nobody has said where files are to be kept."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "This platform keeps no files.",
            type="server_error",
            code="files_unavailable",
            headers={"x-should-retry": "false"},
        )


async def refusal(database_url: str, place: str | None) -> str:
    """Why a process must not start with this place for its files: one sentence. Empty: it may."""
    if place is None:
        return ""
    database = Database(database_url, max_connections=1)
    await database.open()
    try:
        return await StorePlace(FileTable(database), Originals(place)).refusal()
    finally:
        await database.close()


@asynccontextmanager
async def open_files(
    database: Database, embed: EmbedClient, *, place: str | None, owner: str, lease_s: float, max_bytes: int
) -> AsyncIterator[Files | None]:
    """None where there is no place for files."""
    if place is None:
        yield None
        return
    table, originals = FileTable(database), Originals(place)
    leases, store_place = Leases(table, owner=owner, lease_s=lease_s), StorePlace(table, originals)
    driver = IngestionDriver(table, originals, embed, leases, store_place)
    uploads = Uploads(table, originals, leases, store_place, max_bytes=max_bytes)
    try:
        yield Files(table, originals, uploads, driver, embed, store_place)
    finally:
        await driver.close()
        await leases.close()
