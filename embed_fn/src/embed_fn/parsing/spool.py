"""Passages on their way: kept in a temporary file as soon as they are more than a little."""

import asyncio
import struct
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Any, Final

import orjson

from embed_fn.chunking.chunk import Chunk

_MEMORY_BYTES: Final = 4 << 20
_HEAD: Final = struct.Struct(">II")  # passages in a portion, and its length


class Spool:
    """Portions of passages in order. For one reader or writer at a time; whoever opens it closes it."""

    def __init__(self) -> None:
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 - closed by close
        self.count = 0

    async def add(self, chunks: list[Any]) -> None:
        """Keeps passages, each as the list of its fields."""
        if chunks:
            data = orjson.dumps(chunks)
            await asyncio.to_thread(self._file.write, _HEAD.pack(len(chunks), len(data)) + data)
            self.count += len(chunks)

    async def batches(self, size: int, first: int) -> AsyncIterator[list[Chunk]]:
        """From the passage with the number `first` on, `size` at a time; the last time what is left."""
        position = number = 0
        batch: list[Chunk] = []
        while number < self.count:
            count, position, data = await asyncio.to_thread(self._portion, position, first - number)
            number += count
            for fields in orjson.loads(data) if data else ():
                if fields[0] >= first:
                    place, text, headings, *rest = fields
                    batch.append(Chunk(place, text, tuple(headings), *rest))
                    if len(batch) == size:
                        yield batch
                        batch = []
        if batch:
            yield batch

    async def close(self) -> None:
        await asyncio.to_thread(self._file.close)

    def _portion(self, position: int, skip: int) -> tuple[int, int, bytes]:
        """The portion at a position: how many passages, where the next one is, and its content; that is empty where
        all of it is to be skipped."""
        self._file.seek(position)
        count, length = _HEAD.unpack(self._file.read(_HEAD.size))
        data = self._file.read(length) if count > skip else b""
        return count, position + _HEAD.size + length, data
