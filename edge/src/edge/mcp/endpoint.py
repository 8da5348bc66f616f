"""The MCP server's life: its SDK is loaded with the first request, and closed with the edge.

The SDK takes a third of a second to load, which no start and no other client should pay for.
"""

import asyncio
import importlib
from collections.abc import Sequence
from contextvars import Context
from typing import Protocol

from starlette.types import Receive, Scope, Send

from edge.tool_client import ToolClient

SERVER = "edge.mcp.server"


class _Manager(Protocol):
    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class McpEndpoint:
    """Answers requests by the SDK; every request stands for itself, there are no sessions to lose.

    origins: of web pages that may use it.
    """

    def __init__(self, tools: ToolClient, *, origins: Sequence[str], max_body_bytes: int) -> None:
        self.origins = frozenset(origins)
        self._tools = tools
        self._max_body_bytes = max_body_bytes
        self._serving: asyncio.Task[None] | None = None
        self._manager: asyncio.Future[_Manager] | None = None
        self._closing = asyncio.Event()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. The scope names the caller."""
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            # Not in this request's context: it outlives it.
            self._serving = asyncio.create_task(self._serve(self._manager), context=Context())
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """Ends what is under way."""
        self._closing.set()
        if self._serving is not None:
            await asyncio.wait([self._serving])

    async def _serve(self, started: "asyncio.Future[_Manager]") -> None:
        try:
            # In a thread, so that streams go on meanwhile.
            server = await asyncio.to_thread(importlib.import_module, SERVER)
            manager = server.build(self._tools, self._max_body_bytes)
            async with manager.run():
                started.set_result(manager)
                await self._closing.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
                self._manager = None  # the next request tries again
            raise
