"""Tells how a file's ingestion goes on, on whichever replica that is."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from .driver import IngestionDriver, Watch
from .model import FileRecord, Phase, Progress
from .table import FileTable

LOOK_AGAIN_S: Final = 0.3
"""So often the row is read while another replica works on the file, or nobody does."""

AWAY_LIMIT: Final = 100
"""So often in a row the row may be unreadable before a stream ends."""


@dataclass(frozen=True, slots=True)
class FileEvent:
    """A step of an ingestion; with `file`, the first event or the last one. Neither: the file was deleted."""

    file: FileRecord | None = None
    progress: Progress | None = None


async def follow(
    table: FileTable, driver: IngestionDriver, tenant: str, file_id: str
) -> AsyncGenerator[list[FileEvent], None]:
    """The file as it is; each phase once, in order, the passages embedded as often as is known; the file at its end.

    Errors: DOCUMENT_NOT_FOUND with the first; DATABASE_UNAVAILABLE when that lasts.
    """
    file = await table.get(tenant, file_id)
    yield [FileEvent(file=file)]
    told = Progress()
    while not file.status.is_final:
        watch = driver.watch(file_id)
        changed = None if watch is None else watch.changed
        progress = file.progress if watch is None else max(watch.progress, file.progress)
        if progress > told:
            yield list(_steps(told, progress))
            told = progress
        await _wait(watch, changed)
        if watch is not None and not watch.has_ended:
            continue
        try:
            file = await _read(table, tenant, file_id)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND:
                raise
            yield [FileEvent()]
            return
    if not file.error and file.progress > told:
        yield list(_steps(told, file.progress))
    yield [FileEvent(file=file)]


def _steps(told: Progress, reached: Progress) -> Iterator[FileEvent]:
    """What lies between; who looks only now and then must not miss a phase."""
    for phase in range(told.phase + 1, reached.phase):
        total = reached.total if phase >= Phase.CHUNKED else 0
        yield FileEvent(progress=Progress(Phase(phase), total, total))
    yield FileEvent(progress=reached)


async def _wait(watch: Watch | None, changed: asyncio.Event | None) -> None:
    if watch is None or changed is None:
        await asyncio.sleep(LOOK_AGAIN_S)
    elif not watch.has_ended:
        await changed.wait()


async def _read(table: FileTable, tenant: str, file_id: str) -> FileRecord:
    for _ in range(AWAY_LIMIT):
        try:
            return await table.get(tenant, file_id)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
    return await table.get(tenant, file_id)
