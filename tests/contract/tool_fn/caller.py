"""A caller of tool_fn, as agent_fn is one: real tokens, real gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from dormouse.tool.v1 import tool_pb2, tool_service_pb2_grpc
from dormouse.tool.v1.tool_service_pb2 import InvokeRequest, InvokeResponse, ListToolsRequest
from dormouse_runtime.client import call_metadata, open_channel
from dormouse_runtime.errors import DormouseError, from_rpc_error

from tests.stack import Stack, Tenant, ToolFn

OPERATOR_TOOLS = Path(__file__).with_name("operator_tools")
TIMEOUT_S = 20.0
Result = tool_pb2.InvokeResult


class Caller:
    """Calls one tool_fn on behalf of one tenant; failures come as DormouseError."""

    def __init__(self, stub: tool_service_pb2_grpc.ToolServiceAsyncStub, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = stub
        self._metadata = metadata

    async def tools(self) -> dict[str, tool_pb2.Tool]:
        """What is listed, by name."""
        try:
            listed = await self._stub.ListTools(ListToolsRequest(), timeout=TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return {tool.name: tool for tool in listed.tools}

    def begin(self, name: str, *, key: str = "", timeout: float = TIMEOUT_S, **arguments: Any) -> Any:
        """An open call, the test's to read on or to cancel."""
        asked = InvokeRequest(
            name=name, arguments_json=json.dumps(arguments), idempotency_key=key, tool_call_id="call_1"
        )
        return self._stub.Invoke(asked, timeout=timeout, metadata=self._metadata)

    async def stream(self, name: str, **options: Any) -> list[InvokeResponse]:
        """All that a call says."""
        return await self._read(self.begin(name, **options))

    async def invoke(self, name: str, **options: Any) -> Result:
        """A call's result."""
        return _result(await self.stream(name, **options))

    async def raw(self, request: InvokeRequest) -> Result:
        """The result of a call as it is."""
        return _result(await self._read(self._stub.Invoke(request, timeout=TIMEOUT_S, metadata=self._metadata)))

    async def result(self, call: Any) -> Result:
        """The result of an open call."""
        return _result(await self._read(call))

    async def _read(self, call: Any) -> list[InvokeResponse]:
        try:
            return [response async for response in call]
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()


def _result(responses: list[InvokeResponse]) -> Result:
    kinds = [response.WhichOneof("event") for response in responses]
    assert kinds.count("result") == 1, kinds
    assert kinds[-1] == "result", kinds
    return responses[-1].result


@asynccontextmanager
async def calling(
    stack: Stack,
    tool_fn: ToolFn,
    tenant: Tenant,
    *,
    scopes: tuple[str, ...] = ("tools",),
    run_id: str = "run_1",
    audience: str = "tool_fn",
) -> AsyncIterator[Caller]:
    """A caller with a channel of its own."""
    token = stack.token(tenant, audience=audience, scopes=scopes, run_id=run_id)
    async with open_channel(tool_fn.address) as channel:
        yield Caller(tool_service_pb2_grpc.ToolServiceStub(channel), call_metadata(token))


async def refusal(awaitable: Any) -> DormouseError:
    """The error that a call is refused with."""
    try:
        brought = await awaitable
    except DormouseError as error:
        return error
    raise AssertionError(f"not refused: {brought}")


async def appears(path: Path, *, timeout_s: float = 10.0) -> None:
    """Returns when there is such a file, with something in it or without."""
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(path.exists):
            await asyncio.sleep(0.005)
