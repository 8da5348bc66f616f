"""Run logs as Postgres keeps them: whole, compressed, and with the numbers and times that readers have seen."""

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from dormouse.agent.v1.run_event_pb2 import RunEvent, RunLogEntry

from .live_run import Entry, LiveRun

LEVEL = 1
"""A log of tokens shrinks to a sixth, and more effort gains little."""

OFF_LOOP_BYTES = 128 * 1024
"""A longer log is compressed in a thread: it takes milliseconds."""

ENTRY_EVENTS = 64
"""How many events an entry holds that is made of a stored log."""


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log as it is written to Postgres."""

    last_seq: int
    checkpoint_seq: int
    data: bytes
    """zlib streams, one behind the other."""


async def pack_log(run: LiveRun, end: Entry | None = None) -> StoredLog:
    """The run's log, with its end where that is not in it yet."""
    data = run.log + end.data if end else run.log
    if len(data) > OFF_LOOP_BYTES:
        packed = await asyncio.to_thread(zlib.compress, data, LEVEL)
    else:
        packed = zlib.compress(data, LEVEL)
    return StoredLog(end.last_seq if end else run.last_seq, run.checkpoint_seq, packed)


def pack_event(event: RunEvent) -> bytes:
    """One more event, to be put behind what is stored."""
    return zlib.compress(RunLogEntry(events=[event]).SerializeToString(), LEVEL)


def unpack(data: bytes) -> Sequence[RunEvent]:
    """The events of a stored log. Raises ValueError, zlib.error or DecodeError for what is none."""
    plain: list[bytes] = []
    while data:
        stream = zlib.decompressobj()
        plain.append(stream.decompress(data))
        if not stream.eof:
            raise ValueError("a stored log is cut off")
        data = stream.unused_data
    return RunLogEntry.FromString(b"".join(plain)).events


def entries_of(events: Sequence[RunEvent]) -> list[Entry]:
    """A log's events as entries, for its next owner."""
    entries: list[Entry] = []
    for start in range(0, len(events), ENTRY_EVENTS):
        part = events[start : start + ENTRY_EVENTS]
        entries.append(Entry(part[-1].seq, RunLogEntry(events=part).SerializeToString(), part))
    return entries
