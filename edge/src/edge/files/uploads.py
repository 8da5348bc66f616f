"""Takes a file in: from the body of a request to the store, piece by piece, and into the table."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.errors import ApiError, invalid_argument
from edge.ids import new_file_id
from edge.metrics import UPLOADED_BYTES, UPLOADS

from .form import UploadForm, file_in, form_fingerprint
from .leases import Leases
from .model import FileRecord, NewFile
from .names import clean_name
from .originals import Originals
from .store_place import StorePlace
from .table import FileTable

PIECE_BYTES: Final = 256 * 1024
PIECES_AHEAD: Final = 2

DEFAULT_PURPOSE: Final = "assistants"
METADATA_PAIRS: Final = 16
SHORTEST_S: Final = 3600
LONGEST_S: Final = 30 * 24 * 3600
"""As OpenAI has it: from an hour to 30 days."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_METADATA: Final = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)
_METADATA_VALUE: Final = 512


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What has come of an upload."""

    file: FileRecord
    already_existed: bool
    """The same content was there: nothing new was kept."""
    fingerprint: bytes = b""
    """Of the form."""


class Uploads:
    """Holds a bounded part of each file in memory."""

    def __init__(
        self, table: FileTable, originals: Originals, leases: Leases, place: StorePlace, *, max_bytes: int
    ) -> None:
        self._table = table
        self._place = place
        self._originals = originals
        self._leases = leases
        self._max_bytes = max_bytes

    async def receive(self, caller: Caller, content_type: str | None, body: AsyncIterator[bytes]) -> Uploaded:
        """Reads a form to its end and keeps its file, all of it or, whatever happens, nothing.

        Errors: ApiError 400, 413, 415 for what is no good; StorageAwayError, WrongStoreError, DATABASE_UNAVAILABLE.
        """
        form = UploadForm(content_type)
        await self._place.confirm()
        async with aclosing(file_in(form, body, PIECE_BYTES)) as pieces:
            first = await anext(pieces, b"")
            if not first:
                raise invalid_argument("The file is empty.", "file")
            try:
                uploaded = await self._keep(caller, form, first, pieces)
            except ApiError as error:
                UPLOADS.labels(f"error_{error.status}").inc()
                raise
        UPLOADS.labels("existed" if uploaded.already_existed else "kept").inc()
        if not uploaded.already_existed:
            UPLOADED_BYTES.inc(uploaded.file.size_bytes)
        return uploaded

    async def _keep(self, caller: Caller, form: UploadForm, first: bytes, pieces: AsyncIterator[bytes]) -> Uploaded:
        file_id = new_file_id()
        await self._table.begin_upload(caller.tenant, caller.user, file_id, self._leases.owner, self._leases.lease_s)
        try:
            with self._leases.held(file_id, lambda: None):
                size, sha256 = await self._store(caller.tenant, file_id, first, pieces)
                fingerprint = form_fingerprint(form, sha256)
                name, expires_after = clean_name(form.file_name or b""), _expires_after(form)
                new = NewFile(name, _purpose(form), _metadata(form), size, sha256, expires_after)
                existing = await self._existing(caller.tenant, new)
                if existing is None:
                    kept = await self._table.complete_upload(caller.tenant, file_id, self._leases.owner, new)
                    if kept is not None:
                        return Uploaded(kept, already_existed=False, fingerprint=fingerprint)
                    existing = await self._existing(caller.tenant, new)
                if existing is None:
                    raise ApiError(409, "A file with the same content was deleted just now; send it again.")
        except BaseException:
            await _in_spite_of_cancellation(self._forget(caller.tenant, file_id))
            raise
        await self._forget(caller.tenant, file_id)
        return Uploaded(existing, already_existed=True, fingerprint=fingerprint)

    async def _existing(self, tenant: str, new: NewFile) -> FileRecord | None:
        """The file with this content, which stays at least as long as the new one would."""
        existing = await self._table.with_content(tenant, new.sha256)
        if existing is None or existing.expires_at is None:
            return existing
        return await self._table.prolong(tenant, existing.id, new.expires_after)

    async def _store(self, tenant: str, file_id: str, first: bytes, pieces: AsyncIterator[bytes]) -> tuple[int, str]:
        """The number of bytes, and their hash in hex."""
        pipe = _Pipe()
        storing = asyncio.create_task(self._originals.put(tenant, file_id, pipe.out()))
        storing.add_done_callback(pipe.nobody_reads)
        size, digest, piece = 0, hashlib.sha256(), first
        try:
            while piece and not storing.done():
                size += len(piece)
                if size > self._max_bytes:
                    message = f"The file is longer than {self._max_bytes} bytes."
                    raise ApiError(413, message, code="request_too_large", param="file")
                digest.update(piece)
                await pipe.put(piece)
                piece = await anext(pieces, b"")
            await pipe.put(b"")
            # Never cancelled: see Originals.put.
            await asyncio.shield(storing)
        except BaseException:
            pipe.break_off()
            await _in_spite_of_cancellation(_ended(storing))
            raise
        return size, digest.hexdigest()

    async def _forget(self, tenant: str, file_id: str) -> None:
        """What cannot be cleared away now is found by its row later."""
        with suppress(DormouseError, ApiError):
            await self._originals.delete(tenant, file_id)
            await self._table.drop(tenant, file_id)


class _BrokenOffError(Exception):
    """The rest of the file does not come."""


class _Pipe:
    """Between the request, which may be cancelled at any moment, and the store, which must not be."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_AHEAD)
        self._is_read = True

    async def put(self, piece: bytes) -> None:
        """Waits until the store keeps up. An empty piece is the end."""
        if self._is_read:  # else the store has failed, and says so when it is awaited
            await self._queue.put(piece)

    def break_off(self) -> None:
        """The store fails."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def nobody_reads(self, _: object) -> None:
        """What is put from now on is dropped."""
        self._is_read = False
        while not self._queue.empty():  # lets a writer that waits go on
            self._queue.get_nowait()

    async def out(self) -> AsyncGenerator[bytes, None]:
        """For the store."""
        while (piece := await self._queue.get()) is not None:
            if not piece:
                return
            yield piece
        raise _BrokenOffError


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen: it is ours, or that which is on its way


async def _in_spite_of_cancellation(work: Coroutine[Any, Any, None]) -> None:
    """Finishes the work; a cancellation meanwhile counts afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _purpose(form: UploadForm) -> str:
    purpose = form.fields.get("purpose", DEFAULT_PURPOSE)
    if _PURPOSE.fullmatch(purpose) is None:
        raise invalid_argument("`purpose` must be a word such as `assistants`.", "purpose")
    return purpose


def _expires_after(form: UploadForm) -> timedelta | None:
    anchor, seconds = form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid_argument("`expires_after[anchor]` must be `created_at`.", "expires_after[anchor]")
    if seconds is None or _SECONDS.fullmatch(seconds) is None or not SHORTEST_S <= int(seconds) <= LONGEST_S:
        raise invalid_argument(
            f"`expires_after[seconds]` must be a number from {SHORTEST_S} to {LONGEST_S}.", "expires_after[seconds]"
        )
    return timedelta(seconds=int(seconds))


def _metadata(form: UploadForm) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in form.fields.items():
        if not name.startswith("metadata"):
            continue
        match = _METADATA.fullmatch(name)
        if match is None or not _is_storable(match[1]):
            raise invalid_argument(
                "Metadata is given as `metadata[key]=value`, with a key of 1 to 64 characters.", name
            )
        if len(value) > _METADATA_VALUE:
            raise invalid_argument(f"`{name}` is longer than {_METADATA_VALUE} characters.", name)
        found[match[1]] = value
    if len(found) > METADATA_PAIRS:
        raise invalid_argument(f"There are more than {METADATA_PAIRS} pairs of metadata.", "metadata")
    return found


def _is_storable(text: str) -> bool:
    return "\0" not in text
