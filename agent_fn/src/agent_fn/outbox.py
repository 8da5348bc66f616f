"""The queue between a run and its gRPC stream.

Batching by back-pressure, never by a timer: a lone event goes out at once; what comes while one response is being
written becomes the next one, and neighbouring deltas of one message become one event.
"""

import asyncio
from collections.abc import Sequence

from agent_fn.events import Event, ReasoningDelta, TextDelta

# Unread characters of text and events beyond which a run has to wait for its reader.
_MOST_CHARACTERS = 64 * 1024
_MOST_EVENTS = 256


class Outbox:
    """One writer, one reader. The writer looks at `congested`; what it puts is always taken."""

    __slots__ = ("_characters", "_closed", "_error", "_events", "_loop", "_reader", "_room", "congested")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: list[Event] = []
        self._characters = 0
        self._closed = False
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.congested = False

    def put(self, events: Sequence[Event]) -> None:
        """Adds events behind what has not been read yet."""
        held = self._events
        for event in events:
            if type(event) is TextDelta or type(event) is ReasoningDelta:
                self._characters += len(event.text)
                if held and type(last := held[-1]) is type(event) and last.message_id == event.message_id:
                    last.text += event.text
                    last.pieces += event.pieces
                    continue
            held.append(event)
        self.congested = self._characters > _MOST_CHARACTERS or len(held) > _MOST_EVENTS
        self._wake_reader()

    def close(self, error: BaseException | None = None) -> None:
        """Ends the stream, after what is still unread; with an error the reader gets it last."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._wake_reader()

    async def clear(self) -> None:
        """Returns when there is room."""
        while self.congested:
            if self._room is None:
                self._room = self._loop.create_future()
            await self._room

    async def take(self) -> list[Event]:
        """Everything that is ready; empty at the end. Raises what the stream was closed with, once."""
        while not self._events:
            if self._closed:
                if (error := self._error) is not None:
                    self._error = None
                    try:
                        raise error
                    finally:
                        del error  # it holds this frame and the writer's, which hold the outbox
                return []
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        events, self._events = self._events, []
        self._characters = 0
        self.congested = False
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None
        return events

    def _wake_reader(self) -> None:
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)
