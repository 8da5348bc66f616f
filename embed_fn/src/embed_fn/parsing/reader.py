"""Reads files in confined processes: what comes out are passages, in bounded memory.

reader = DocumentReader(workers)                     # once, with the workers of the process
async with reader.read(path, "report.pdf") as document:
    document.media_type, document.title, document.page_count, document.chunk_count
    async for chunks in document.batches(256, first=stored):
        ...
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from dormouse_runtime.workers import (
    RefusalError,
    TimeLimitError,
    WorkerFailedError,
    WorkerKind,
    WorkerLostError,
    Workers,
    WorkerUnavailableError,
)
from dormouse_runtime.workers.kind import MIB

from embed_fn.chunking.chunk import CHUNK_LIMITS, Chunk, ChunkLimits
from embed_fn.parsing.cleaning import clean_name
from embed_fn.parsing.errors import UnreadableError, parsers_unavailable
from embed_fn.parsing.limits import LIMITS, Limits
from embed_fn.parsing.spool import Spool

RECIPE: Final = "1"
"""Names how files are read and cut by default: another one wherever the same file could give other passages."""
WORKER: Final = WorkerKind("parser", "embed_fn.parsing.worker", memory_bytes=230 * MIB, processes=2)
_SLICE_BYTES: Final = 1 << 20
_ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A file that has been read and cut. Its passages wait in a temporary file.

    name: cleaned: no folders, no control characters, at most 200 characters. characters: of the whole text.
    page_count: 0 where the type has no pages.
    """

    name: str
    media_type: str
    title: str
    page_count: int
    characters: int
    chunk_count: int
    _spool: Spool

    def batches(self, size: int, *, first: int = 0) -> AsyncIterator[list[Chunk]]:
        """The passages from number `first` on, at most `size` at a time. May be asked again, not for two at once."""
        return self._spool.batches(size, first)


class DocumentReader:
    """Reads any number of files; as many at a time as there are processes, the others wait."""

    def __init__(self, workers: Workers, limits: Limits = LIMITS, cut: ChunkLimits = CHUNK_LIMITS) -> None:
        workers.declare(WORKER)
        self._workers = workers
        self._limits = limits
        self._cut = cut

    @asynccontextmanager
    async def read(self, content: Path | bytes, name: str) -> AsyncIterator[ReadDocument]:
        """Reads and cuts a file. Errors: UnreadableError, whose message is for people; FUNCTION_UNAVAILABLE.

        name: as the uploader gave it; it decides only between kinds of text (Markdown, CSV, plain). Cancellation ends
        the process at once.
        """
        name = clean_name(name)
        spool = Spool()
        try:
            told = await self._read(content, name, spool)
            yield ReadDocument(
                name, told["media_type"], told["title"], told["pages"], told["characters"], spool.count, spool
            )
        finally:
            await spool.close()

    async def _read(self, content: Path | bytes, name: str, spool: Spool) -> dict[str, Any]:
        for attempt in range(_ATTEMPTS):
            try:
                return await self._attempt(content, name, spool)
            except WorkerLostError as error:
                # The kernel ends these processes first when the machine lacks memory: it may not be the file.
                if attempt + 1 == _ATTEMPTS or spool.count:
                    raise UnreadableError(
                        "Reading the file takes more memory than it may. Split it into several files."
                    ) from error
            except RefusalError as error:
                raise UnreadableError(str(error)) from error
            except TimeLimitError as error:
                raise UnreadableError(
                    f"Reading the file takes longer than {self._limits.time_s:g} s. Split it into several files."
                ) from error
            except WorkerFailedError as error:
                raise UnreadableError(
                    "The file holds something that cannot be read. Save it anew, or as PDF, and upload that."
                ) from error
            except WorkerUnavailableError as error:
                raise parsers_unavailable() from error
        raise parsers_unavailable()

    async def _attempt(self, content: Path | bytes, name: str, spool: Spool) -> dict[str, Any]:
        file, size = await asyncio.to_thread(_open, content)
        try:
            if size > self._limits.file_bytes:
                raise UnreadableError(
                    f"The file is larger than {self._limits.file_bytes / 1e6:g} MB. Split it into several files."
                )
            async with self._workers.conversation(WORKER.name) as ask:
                loop = asyncio.get_running_loop()
                end = loop.time() + self._limits.time_s
                opened = {"name": name, "size": size, "limits": asdict(self._limits), "cut": asdict(self._cut)}
                await ask(b"O" + orjson.dumps(opened), _left(loop, end))
                slices = _slices(file, size)
                while data := await asyncio.to_thread(next, slices, b""):
                    await ask(b"D" + data, _left(loop, end))
                while True:
                    told: dict[str, Any] = orjson.loads(await ask(b"N", _left(loop, end)))
                    await spool.add(told.pop("chunks"))
                    if told["is_last"]:
                        return told
        finally:
            await asyncio.to_thread(file.close)


def _open(content: Path | bytes) -> tuple[BinaryIO, int]:
    if isinstance(content, bytes):
        return BytesIO(content), len(content)
    return content.open("rb"), content.stat().st_size


def _slices(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Exactly the bytes that were announced, even of a file that is being written to."""
    while size:
        data = file.read(min(size, _SLICE_BYTES))
        if not data:
            return
        size -= len(data)
        yield data


def _left(loop: asyncio.AbstractEventLoop, end: float) -> float:
    left = end - loop.time()
    if left <= 0:
        raise TimeLimitError("The time for the file is over.")
    return left
