"""Plays one answer token by token to a connection, at the simulated rate and with the simulated faults."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from devstack.model_server.faults import Fault
from devstack.model_server.frames import LAST_CHUNK, STREAM_HEAD, Frames, chunk
from devstack.model_server.journal import FAILED, STREAMING, Entry, Journal

_RESET = struct.pack("ii", 1, 0)


class Playback:
    """A member of the timer wheel: one step writes the tokens that are due.

    `done` gets True when the answer is complete, False when a fault cut it short.
    """

    def __init__(
        self,
        frames: Frames,
        *,
        transport: asyncio.Transport | None,
        closing: Callable[[], bytes],
        interval_s: float,
        entry: Entry,
        journal: Journal,
        fault: Fault | None,
    ) -> None:
        self._chunks = frames.chunks
        self._costs = frames.costs
        self._transport = transport
        self._closing = closing
        self._interval = interval_s * (fault.factor if fault and fault.kind == "slow" else 1)
        self._entry = entry
        self._journal = journal
        self._fault = fault if fault and fault.kind != "slow" else None
        # A fault strikes after its token, at the latest before the closing line.
        self._strikes_at = min(fault.at_token, len(frames.chunks)) if self._fault and fault else -1
        self._due = 0.0
        self._position = 0
        self._stopped = False
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def start(self, due: float) -> float:
        """Set when the first token is due; returns it."""
        self._due = due
        return due

    def stop(self) -> None:
        """Write nothing more: the client has gone."""
        self._stopped = True

    def step(self, now: float) -> float:
        """Write what is due; returns when the next token is, 0 at the end."""
        if self._stopped or (self._transport is not None and self._transport.is_closing()):
            return 0  # the client has gone, and maybe the handler does not know yet
        position, frames, interval = self._position, self._chunks, self._interval
        late = now - self._due
        upto = position + 1
        if late >= interval:
            upto = position + 1 + int(late / interval) if interval else len(frames) + 1
        self._due += (upto - position) * interval
        ended = upto > len(frames)
        if self._fault is not None and upto > self._strikes_at:
            upto, ended = self._strikes_at, False
        upto = min(upto, len(frames))
        if upto > position:
            self._send(position, upto)
        if self._fault is not None and self._position >= self._strikes_at:
            return self._strike(self._fault)
        if ended:
            self._finish()
            return 0
        return self._due

    def _send(self, position: int, upto: int) -> None:
        data = self._chunks[position] if upto == position + 1 else b"".join(self._chunks[position:upto])
        entry = self._entry
        entry.tokens_sent += self._costs[position] if upto == position + 1 else sum(self._costs[position:upto])
        self._position = upto
        if position == 0:
            self._journal.enter(entry, STREAMING)
            data = STREAM_HEAD + data
        else:
            self._journal.changed()
        if self._transport is not None:
            self._transport.write(data)

    def _finish(self) -> None:
        if self._transport is not None:
            head = STREAM_HEAD if self._position == 0 else b""
            self._transport.write(head + chunk(self._closing()) + LAST_CHUNK)
        self.done.set_result(True)

    def _strike(self, fault: Fault) -> float:
        transport = self._transport
        if fault.kind == "hang":
            return 0  # and `done` stays open until the client leaves
        # Before the connection goes, because that cancels the handler, which would take it for a client that left.
        self._journal.enter(self._entry, FAILED, f"fault {fault.kind}")
        if transport is not None:
            head = STREAM_HEAD if self._position == 0 else b""
            if fault.kind == "reset":
                reset(transport)
            elif fault.kind == "truncate":
                transport.write(head + LAST_CHUNK)
            elif fault.kind == "cut":
                transport.close()
            elif fault.kind == "malformed":
                transport.write(head + chunk(b'{"model":"broken","message":{"role":"assis\n') + LAST_CHUNK)
            elif fault.kind == "error":
                transport.write(head + chunk(b'{"error":"simulated failure of the model runner"}\n') + LAST_CHUNK)
        self.done.set_result(False)
        return 0


def reset(transport: asyncio.Transport) -> None:
    """Close the connection so that the peer sees a reset, not an end."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
