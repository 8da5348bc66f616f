"""A ToolService whose tools do what a test wants, on real gRPC: slow, failing, gone, with effects that are counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import orjson
from dormouse.common.v1 import error_pb2
from dormouse.tool.v1.tool_pb2 import InvokeProgress, InvokeResult, Tool
from dormouse.tool.v1.tool_service_pb2 import (
    InvokeRequest,
    InvokeResponse,
    ListToolsRequest,
    ListToolsResponse,
)
from dormouse.tool.v1.tool_service_pb2_grpc import ToolServiceServicer, add_ToolServiceServicer_to_server
from dormouse_runtime.errors import DormouseError, abort
from dormouse_runtime.identity import TokenVerifier
from dormouse_runtime.transport import server_options

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[["Invocation"], Awaitable[str]]


class ToolError(Exception):
    """A result that is an error."""


@dataclass
class Invocation:
    """One call as it arrived; what a behaviour may look at and do."""

    name: str
    arguments: dict[str, Any]
    key: str
    context: Context

    async def progress(self, message: str) -> None:
        await self.context.write(InvokeResponse(progress=InvokeProgress(message=message)))


@dataclass
class ScriptedTools(ToolServiceServicer):
    """Tools by name. `calls` are all that arrived, `effects` how often each key took effect."""

    verifier: TokenVerifier
    tools: dict[str, Tool] = field(default_factory=dict)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    calls: list[Invocation] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    lists: int = 0
    cancelled: int = 0
    address: str = ""
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _stored: dict[str, InvokeResult] = field(default_factory=dict)
    _server: grpc.aio.Server | None = None

    def add(self, name: str, behaviour: Behaviour, **fields: Any) -> None:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        about = {"description": f"Does what {name} does.", "input_json_schema": orjson.dumps(schema).decode()}
        self.tools[name] = Tool(**{"name": name, "time_limit_ms": 5000, **about, **fields})
        self.behaviours[name] = behaviour

    def reset(self) -> None:
        """Forgets what arrived."""
        self.calls.clear()
        self.effects.clear()
        self._stored.clear()
        self.cancelled = 0

    def names(self) -> list[str]:
        """The calls that arrived."""
        return [call.name for call in self.calls]

    async def wait_for(self, count: int) -> None:
        """Returns when so many calls have arrived."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.calls) >= count)

    async def start(self) -> None:
        server = grpc.aio.server(options=server_options())
        add_ToolServiceServicer_to_server(self, server)
        port = server.add_insecure_port(self.address or "127.0.0.1:0")
        assert port
        self.address = f"127.0.0.1:{port}"
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Ends at once; calls under way are broken off."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def _identify(self, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        identity = self.verifier.verify(str(metadata.get("authorization", "")).removeprefix("Bearer "))
        if "tools" not in identity.scopes:
            raise DormouseError(error_pb2.ERROR_REASON_PERMISSION_DENIED, "The token allows no tools.")

    async def ListTools(self, request: ListToolsRequest, context: Context) -> ListToolsResponse:  # noqa: N802
        try:
            self._identify(context)
        except DormouseError as error:
            await abort(context, error)
        self.lists += 1
        return ListToolsResponse(tools=[self.tools[name] for name in sorted(self.tools)])

    async def Invoke(self, request: InvokeRequest, context: Context) -> None:  # type: ignore[override]  # noqa: N802
        try:
            self._identify(context)
            tool = self.tools.get(request.name)
            if tool is None:
                raise DormouseError(error_pb2.ERROR_REASON_TOOL_NOT_FOUND, f"There is no tool {request.name!r}.")
            call = Invocation(request.name, orjson.loads(request.arguments_json), request.idempotency_key, context)
            async with self.arrived:
                self.calls.append(call)
                self.arrived.notify_all()
            if tool.has_side_effects and call.key in self._stored:
                await context.write(InvokeResponse(result=self._stored[call.key]))
                return
            try:
                result = InvokeResult(content=await self.behaviours[request.name](call), duration_ms=7)
            except ToolError as error:
                result = InvokeResult(content=str(error), is_error=True)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            if tool.has_side_effects:
                self.effects[call.key] += 1
                self._stored[call.key] = result
            await context.write(InvokeResponse(result=result))
        except DormouseError as error:
            await abort(context, error)


@asynccontextmanager
async def serving_tools(trusted_keys: Path) -> AsyncIterator[ScriptedTools]:
    """An empty ToolService on a port of its own."""
    tools = ScriptedTools(TokenVerifier.from_file(trusted_keys, "tool_fn"))
    await tools.start()
    try:
        yield tools
    finally:
        await tools.stop()
