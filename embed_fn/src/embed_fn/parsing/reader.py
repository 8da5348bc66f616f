"""Reads files in confined processes: what comes out are passages, in bounded memory.

reader = DocumentReader(workers)                     # once, with the workers of the process
async with reader.read(path, "report.pdf") as document:
    document.media_type, document.title, document.page_count, document.chunk_count
    async for chunks in document.batches(256, first=stored):
        ...
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from embed_fn.chunking.chunk import CHUNK_LIMITS, Chunk, ChunkLimits
from embed_fn.parsing.document import ParsedDocument
from embed_fn.parsing.limits import LIMITS, Limits

RECIPE: Final = "1"
"""Names how files are read and cut by default: another one wherever the same file could give other passages."""


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

    async def batches(self, size: int, *, first: int = 0) -> AsyncIterator[list[Chunk]]:
        """The passages from number `first` on, at most `size` at a time. May be called more than once."""
        if size < 1:
            yield []
        raise NotImplementedError


class DocumentReader:
    """Reads any number of files; as many at a time as there are processes, the others wait."""

    def __init__(self, workers: Any, limits: Limits = LIMITS, cut: ChunkLimits = CHUNK_LIMITS) -> None:
        self._limits = limits
        self._cut = cut

    @asynccontextmanager
    async def read(self, content: Path | bytes, name: str) -> AsyncIterator[ReadDocument]:
        """Reads and cuts a file. Errors: UnreadableError, whose message is for people; FUNCTION_UNAVAILABLE.

        name: as the uploader gave it; it decides only between kinds of text (Markdown, CSV, plain). Cancellation ends
        the process at once.
        """
        if not name:
            yield ReadDocument("", "", "", 0, 0, 0)
        raise NotImplementedError

    async def parse(self, content: Path | bytes, name: str) -> ParsedDocument:
        """The whole text of a file, in memory. Errors as `read`."""
        raise NotImplementedError
