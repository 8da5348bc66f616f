"""The two pipes between a worker and its parent.

Made here and not by the event loop: uvloop takes socket pairs, and what a child writes into the wrong end of one makes
it fail aloud.
"""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import Final

_READ_AHEAD: Final = 1 << 20


@dataclass(slots=True)
class Pipes:
    """The parent's ends as streams, the child's as descriptors, which `close_child_ends` closes once it has them."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    child_reads: int
    child_writes: int
    _reading: asyncio.BaseTransport

    @classmethod
    async def open(cls) -> "Pipes":
        """Two pipes that no other child inherits."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_AHEAD)
        with contextlib.ExitStack() as undo:
            child_reads, parent_writes = _pipe(undo)
            parent_reads, child_writes = _pipe(undo)
            reading, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(parent_reads), "rb", 0)
            )
            undo.callback(reading.close)
            writing, protocol = await loop.connect_write_pipe(
                lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(os.dup(parent_writes), "wb", 0)
            )
            undo.pop_all()
        os.close(parent_writes)
        os.close(parent_reads)
        writer = asyncio.StreamWriter(writing, protocol, None, loop)
        return cls(reader, writer, child_reads, child_writes, reading)

    def close_child_ends(self) -> None:
        os.close(self.child_reads)
        os.close(self.child_writes)

    def close(self) -> None:
        """Close the parent's ends; a child that reads comes to its end."""
        self._reading.close()
        if not self.writer.transport.is_closing():
            self.writer.transport.abort()


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends
