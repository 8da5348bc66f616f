"""A stored log is read as it was written, however often it was gone on with."""

import zlib

import pytest
from dormouse.agent.v1.run_event_pb2 import MessageDelta, RunEvent, RunLogEntry
from edge.runs.durable_log import ENTRY_EVENTS, entries_of, pack_event, unpack


def event(seq: int) -> RunEvent:
    return RunEvent(seq=seq, unix_ms=1, message_delta=MessageDelta(message_id="m", text=f"t{seq}", pieces=1))


def test_what_is_put_behind_a_log_follows_it() -> None:
    entries = [RunLogEntry(events=[event(1), event(2)]), RunLogEntry(events=[event(3)])]
    data = zlib.compress(b"".join(entry.SerializeToString() for entry in entries))
    for seq in (4, 5):
        data += pack_event(event(seq))
    assert list(unpack(data)) == [event(seq) for seq in range(1, 6)]


def test_a_log_that_is_cut_off_is_none() -> None:
    with pytest.raises((ValueError, zlib.error)):
        unpack(pack_event(event(1))[:-3])


def test_entries_hold_every_event_once_and_end_with_their_number() -> None:
    events = [event(seq) for seq in range(1, 2 * ENTRY_EVENTS + 2)]
    entries = entries_of(events)
    assert [entry.last_seq for entry in entries] == [ENTRY_EVENTS, 2 * ENTRY_EVENTS, 2 * ENTRY_EVENTS + 1]
    assert [one for entry in entries for one in RunLogEntry.FromString(entry.data).events] == events
    assert entries_of([]) == []
