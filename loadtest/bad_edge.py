"""An edge that is worse on purpose, so that a gate can show what it sees. python -m loadtest.bad_edge --slower 1.3"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Message]], Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with it; without any it is the edge itself."""

    slower: float = 1.0
    """Everything comes so many times as late after its request."""
    lost: float = 0.0
    """The share of streams that end without their second half, as if that were the end."""
    leak: int = 0
    """So many bytes are kept of every stream."""


class BadApp:
    """The edge's application, with faults in its streams of events; everything else passes through."""

    def __init__(self, app: App, faults: Faults) -> None:
        self._app, self._faults = app, faults
        self._kept: list[bytes] = []

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Send
    ) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        queue: asyncio.Queue[tuple[float, Message] | None] = asyncio.Queue()

        async def put(message: Message) -> None:
            queue.put_nowait((loop.time(), message))

        async def send_late() -> None:
            lost, streams, pieces = False, False, 0
            while (found := await queue.get()) is not None:
                at, message = found
                if message["type"] == "http.response.start":
                    streams = b"text/event-stream" in dict(message["headers"]).get(b"content-type", b"")
                    lost = streams and random.random() < self._faults.lost
                    if streams and self._faults.leak:
                        self._kept.append(b"x" * self._faults.leak)
                pieces += message["type"] == "http.response.body"
                if lost and pieces > 5:
                    message = {**message, "body": b""}
                if streams:
                    await asyncio.sleep(began + self._faults.slower * (at - began) - loop.time())
                await send(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(send_late())
            try:
                await self._app(scope, receive, put)
            finally:
                queue.put_nowait(None)


def main() -> int:
    """Serve, as `python -m edge` does."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bad_edge", description=__doc__)
    default = Faults()
    parser.add_argument("--slower", type=float, default=default.slower, metavar="TIMES")
    parser.add_argument("--lost", type=float, default=default.lost, metavar="SHARE")
    parser.add_argument("--leak", type=int, default=default.leak, metavar="BYTES")
    faults = Faults(**vars(parser.parse_args()))
    # Not before: it takes a second, which a wrong argument need not wait for.
    from edge import __main__, server

    module: Any = server
    create_app = module.create_app
    module.create_app = lambda *given: BadApp(create_app(*given), faults)
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
