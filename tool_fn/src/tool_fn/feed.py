"""What a running tool tells, on its way to whoever watches: never blocks the tool, never grows without bound."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tool_fn.fitting import fit
from tool_fn.tool import Progress

_MESSAGE_CHARACTERS: Final = 500
_PIECE_CHARACTERS: Final = 16 * 1024


class Feed:
    """One writer, one reader. Unread progress is replaced by newer, unread output grows together.

    most_characters: of output, in all; what comes after them is dropped, because the result holds it again.
    """

    def __init__(self, most_characters: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._left = most_characters
        self._progress: Progress | None = None
        self._output: list[str] = []
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, told: Progress | str) -> None:
        """Takes what a tool says; from any thread."""
        if threading.get_ident() == self._thread:
            self._put(told)
        else:
            self._loop.call_soon_threadsafe(self._put, told)

    def close(self) -> None:
        """Nothing more is taken; the reader gets what is there and then the end."""
        self._closed = True
        self._changed.set()

    async def take(self) -> Sequence[Progress | str]:
        """Everything there is, waited for; empty at the end."""
        await self._changed.wait()
        taken: list[Progress | str] = []
        if self._output:
            text = "".join(self._output)
            taken += [text[at : at + _PIECE_CHARACTERS] for at in range(0, len(text), _PIECE_CHARACTERS)]
            self._output.clear()
        if self._progress is not None:
            taken.append(self._progress)
            self._progress = None
        if not self._closed:
            self._changed.clear()
        return taken

    def _put(self, told: Progress | str) -> None:
        if self._closed:
            return
        if isinstance(told, Progress):
            self._progress = replace(told, message=fit(told.message[:_MESSAGE_CHARACTERS]))
        elif self._left > 0 and told:
            piece = fit(told[: self._left])
            self._left -= len(piece)
            self._output.append(piece)
        else:
            return
        self._changed.set()
