"""Sees to it that every file is ingested, or cleared away, whichever replica dies in the middle."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_pb2 import Document, DocumentState
from dormouse.embed.v1.embed_service_pb2 import DeleteDocumentRequest
from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.embed_client import EmbedClient, translate
from edge.errors import ApiError
from edge.metrics import FILES_IN_WORK, INGESTIONS

from .ingestion import ingest
from .leases import Leases
from .model import FileRecord, FileStatus, Progress
from .originals import OriginalMissingError, Originals
from .store_place import StorePlace
from .table import FileTable

CONCURRENCY: Final = 4
"""Files that one replica works on at a time."""

POLL_S: Final = 2.0
"""So often a replica looks for work that others have left."""

NOTE_S: Final = 1.0
"""So often the number of embedded passages is written down; a new phase is at once."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
MOST_FAILURES: Final = 30
"""More are not counted."""
WAKE_AFTER_S: Final = 0.05

MOST_BREAKS: Final = 5
"""So often in a row reading a file may break off at the same place. Then it is the file that does it."""

GIVE_UP_AFTER: Final = timedelta(days=1)
DELETE_TIMEOUT_S: Final = 10.0

_E = ErrorReason
# The file's own fault, or somebody's decision: the next attempt would end as this one has.
_FINAL: Final = frozenset({_E.ERROR_REASON_INVALID_ARGUMENT, _E.ERROR_REASON_CONFLICT})
_BREAKS: Final = frozenset({_E.ERROR_REASON_STREAM_BROKEN, _E.ERROR_REASON_INTERNAL})

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Watch:
    """How far a file is that this replica works on."""

    progress: Progress
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the next change, after which there is another one here, and when the work ends."""
    has_ended: bool = False

    def tell(self, progress: Progress) -> None:
        """A later state; an earlier one, which a new attempt goes through, is passed over."""
        if progress > self.progress:
            self.progress = progress
            self._wake()

    def end(self) -> None:
        """Nothing more comes from here."""
        self.has_ended = True
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class IngestionDriver:
    """Takes files from the table as it has room for them, tenants in turn."""

    def __init__(
        self, table: FileTable, originals: Originals, embed: EmbedClient, leases: Leases, place: StorePlace
    ) -> None:
        self._table = table
        self._originals = originals
        self._embed = embed
        self._leases = leases
        self._place = place
        self._owner = leases.owner
        self._work: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._watches: dict[str, Watch] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.create_task(self._take_up())

    async def close(self) -> None:
        """Leaves everything to the other replicas, at once."""
        self._loop.cancel()
        await asyncio.wait([self._loop])
        work = dict(self._work)
        for task in work.values():
            task.cancel()
        if work:
            await asyncio.wait(work.values())
        for tenant, file_id in work:
            with suppress(DormouseError):
                await self._table.give_back(tenant, file_id, self._owner)

    def nudge(self) -> None:
        """There is something to do."""
        self._wake.set()

    def watch(self, file_id: str) -> Watch | None:
        """None: this replica does not work on the file."""
        return self._watches.get(file_id)

    async def clear(self, tenant: str, file_id: str) -> None:
        """Stops the work on a deleted file and clears it away, as far as it is this replica's and can be done now."""
        task = self._work.get((tenant, file_id))
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if await self._table.claim_deleted(tenant, file_id, self._owner, self._leases.lease_s):
            await asyncio.shield(self._start(tenant, file_id, self._work_on(tenant, file_id)))

    async def _take_up(self) -> None:
        while True:
            self._wake.clear()
            room = CONCURRENCY - len(self._work)
            try:
                await self._place.confirm()  # whoever has another store would find the originals missing
                claimed = await self._table.claim(self._owner, self._leases.lease_s, room) if room > 0 else []
            except (DormouseError, ApiError) as error:
                _log.debug("cannot look for files to ingest", extra={"cause": repr(error)})
                claimed = []
            except Exception:  # noqa: BLE001 - the edge of a task: files must be taken up again when whatever it is has passed
                _log.exception("the search for files to ingest broke because of a defect")
                claimed = []
            for tenant, file_id in claimed:
                if (tenant, file_id) not in self._work:
                    self._start(tenant, file_id, self._work_on(tenant, file_id))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    def _start(self, tenant: str, file_id: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        key = (tenant, file_id)
        task = self._work[key] = asyncio.create_task(work)
        FILES_IN_WORK.set(len(self._work))

        def ended(ended_task: "asyncio.Task[None]") -> None:
            if self._work.get(key) is ended_task:
                del self._work[key]
            FILES_IN_WORK.set(len(self._work))
            self._wake.set()

        task.add_done_callback(ended)
        return task

    async def _work_on(self, tenant: str, file_id: str) -> None:
        try:
            file = await self._table.owned(tenant, file_id, self._owner)
            if file is None:
                return
            if file.status is FileStatus.UPLOADED:
                await self._ingest(file)
            elif file.status in (FileStatus.DELETED, FileStatus.UPLOADING):
                await self._clear_away(file)
        except DormouseError as error:  # the database: somebody takes the file up when the lease is over
            _log.debug("left a file to others", extra={"file": file_id, "cause": repr(error)})
        except Exception:  # noqa: BLE001 - the edge of a task: logged, and tried again later
            _log.exception("the work on a file broke because of a defect", extra={"file": file_id})

    async def _ingest(self, file: FileRecord) -> None:
        watch = self._watches[file.id] = Watch(file.progress)
        task = asyncio.current_task()
        assert task is not None
        noting = asyncio.create_task(self._note(file, watch))
        is_lost = False

        def lose() -> None:
            nonlocal is_lost
            is_lost = True
            task.cancel()

        try:
            with self._leases.held(file.id, lose):
                try:
                    with self._embed.demand.during():
                        document = await ingest(self._embed, self._originals, file, watch.tell)
                    await self._settle(file, document)
                except DormouseError as error:
                    await self._failed(file, error, watch.progress)
                except ApiError as error:  # the store
                    away = DormouseError(_E.ERROR_REASON_FUNCTION_UNAVAILABLE, error.message)
                    await self._failed(file, away, watch.progress)
                except OriginalMissingError:
                    await self._fail_for_good(file, "The file's bytes are not in the store any more.")
        except asyncio.CancelledError:
            if not is_lost or task.uncancel() > 0:
                raise
            await self._lost(file)
        finally:
            # First, so that readers are woken and the noting ends by itself: on Python 3.11 the database's client can
            # swallow a cancellation that comes together with an answer, and nobody would wait for the end of that.
            del self._watches[file.id]
            watch.end()
            noting.cancel()
            await asyncio.wait([noting])

    async def _lost(self, file: FileRecord) -> None:
        """Whoever deletes a file that somebody works on leaves it to that one to clear it away."""
        if await self._table.claim_deleted(file.tenant, file.id, self._owner, self._leases.lease_s):
            await self._clear_away(file)

    async def _note(self, file: FileRecord, watch: Watch) -> None:
        """Writes down how far it is, for readers on other replicas and for the attempt after this one."""
        noted, noted_at = watch.progress, 0.0
        while not watch.has_ended:
            changed, progress = watch.changed, watch.progress
            if progress == noted:
                await changed.wait()
                continue
            wait = noted_at + NOTE_S - time.monotonic()
            if progress.phase == noted.phase and wait > 0:
                await asyncio.sleep(wait)
                progress = watch.progress
            with suppress(DormouseError):
                await self._table.note(file.tenant, file.id, self._owner, progress)
            noted, noted_at = progress, time.monotonic()

    async def _settle(self, file: FileRecord, document: Document) -> None:
        """Takes over what embed_fn says of the document."""
        if document.state == DocumentState.DOCUMENT_STATE_FAILED:
            await self._fail_for_good(file, document.error or "The file could not be read.")
            return
        if document.id != file.id:
            # The same content under another id. Two that share a document could not be deleted apart.
            if await self._table.deleted_among(file.tenant, [document.id]):
                await self._postpone(file, "")  # it is about to go
            else:
                there = f"The same content is there already, as the document {document.id!r}."
                await self._fail_for_good(file, f"{there} Delete that one, and send the file again.")
            return
        INGESTIONS.labels("processed").inc()
        await self._table.finish(
            file.tenant,
            file.id,
            self._owner,
            media_type=document.media_type,
            page_count=document.page_count,
            chunk_count=document.chunk_count,
            document_id=document.id or file.id,
        )

    async def _failed(self, file: FileRecord, error: DormouseError, progress: Progress) -> None:
        """Another attempt later, or none, by what went wrong."""
        breaks = file.breaks
        if error.reason in _BREAKS:
            breaks = 1 if progress > file.progress else breaks + 1
        if error.reason in _FINAL:
            await self._fail_for_good(file, error.message)
        elif breaks >= MOST_BREAKS:
            await self._fail_for_good(file, "The file could not be read: that broke off time and again.")
        elif datetime.now(UTC) - file.created_at > GIVE_UP_AFTER:
            await self._fail_for_good(file, f"The file could not be processed within a day. {error.message}")
        else:
            await self._table.note(file.tenant, file.id, self._owner, progress)
            INGESTIONS.labels("repeated").inc()
            await self._postpone(file, error.message, breaks=breaks)
            _log.info("a file will be tried again", extra={"file": file.id, "cause": error.reason_name})

    async def _postpone(self, file: FileRecord, sentence: str, *, breaks: int = 0) -> None:
        pause = _pause(file.failures)
        failures = min(file.failures + 1, MOST_FAILURES)
        key = (file.tenant, file.id, self._owner)
        await self._table.postpone(*key, pause, failures=failures, breaks=breaks, error=sentence)
        asyncio.get_running_loop().call_later(pause + WAKE_AFTER_S, self.nudge)

    async def _fail_for_good(self, file: FileRecord, sentence: str) -> None:
        INGESTIONS.labels("error").inc()
        await self._table.finish(file.tenant, file.id, self._owner, error=sentence)

    async def _clear_away(self, file: FileRecord) -> None:
        """The document, the original, the row; what cannot be done now is done later."""
        try:
            if file.status is not FileStatus.UPLOADING:
                await self._delete_document(file)
            await self._originals.delete(file.tenant, file.id)
        except (DormouseError, ApiError) as error:
            await self._postpone(file, error.message)
            return
        await self._table.drop(file.tenant, file.id)

    async def _delete_document(self, file: FileRecord) -> None:
        caller = Caller(file.tenant, file.user, "")
        try:
            await self._embed.stub.DeleteDocument(
                DeleteDocumentRequest(document_id=file.id),
                timeout=DELETE_TIMEOUT_S,
                metadata=self._embed.metadata(caller),
            )
        except grpc.aio.AioRpcError as error:
            translated = translate(error)
            if translated.reason != _E.ERROR_REASON_DOCUMENT_NOT_FOUND:
                raise translated from error


def _pause(failures: int) -> float:
    """Seconds until the attempt after so many that failed."""
    return float(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))
