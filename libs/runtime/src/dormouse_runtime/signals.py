"""SIGTERM and SIGINT as an event that a process waits for, with a way out when its end takes too long."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

from dormouse_runtime import logs

_logger = logging.getLogger(__name__)
_FLUSH_S = 0.2


class StopSignal:
    """Takes both signals from its creation on, as process 1 too, where a signal without a handler is ignored.

    The first sets the event, or cancels the creating task while that is still starting; a second ends the process at
    once with 128 + its number. Where the process is still there patience_s after the first, it ends with status 1.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._task = asyncio.current_task()
        self._starting = True
        self._event = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take, number)

    def started(self) -> None:
        """The start is over: from now on a signal only sets the event."""
        self._starting = False

    def ended_start(self) -> bool:
        """Whether a CancelledError that ends the creating task is this signal's. Takes it back then."""
        if self._task is None or not (self._starting and self._event.is_set()):
            return False
        self._task.uncancel()
        return True

    async def wait(self) -> None:
        """Returns after the first signal."""
        await self._event.wait()

    def _take(self, number: int) -> None:
        if self._event.is_set():
            logs.flush(_FLUSH_S)
            os._exit(128 + number)
        _logger.info("signal", extra={"signal": signal.Signals(number).name})
        watchdog = threading.Timer(self._patience_s, _give_up)
        watchdog.daemon = True
        watchdog.start()
        self._event.set()
        if self._starting and self._task is not None:
            self._task.cancel()


def _give_up() -> None:
    _logger.error("still not stopped: ending the process")
    logs.flush(_FLUSH_S)
    os._exit(1)
