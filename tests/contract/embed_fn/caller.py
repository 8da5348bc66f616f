"""A caller of embed_fn, as the edge is one: real tokens, real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from dormouse.embed.v1 import embed_service_pb2 as pb
from dormouse.embed.v1 import embed_service_pb2_grpc
from dormouse_runtime.client import Metadata, call_metadata, open_channel
from dormouse_runtime.errors import DormouseError, from_rpc_error

from tests.stack import EmbedFn, ModelServer, Stack, Tenant

TIMEOUT_S = 20.0


class Caller:
    """Calls one embed_fn on behalf of one tenant; failures come as DormouseError."""

    def __init__(self, stub: embed_service_pb2_grpc.EmbedServiceAsyncStub, metadata: Metadata) -> None:
        self.stub = stub
        self.metadata = metadata

    async def embed(
        self, inputs: Sequence[str], *, model: str = "", dimensions: int = 0, timeout: float = TIMEOUT_S
    ) -> pb.EmbedResponse:
        """The whole answer."""
        request = pb.EmbedRequest(model=model, inputs=inputs, dimensions=dimensions)
        try:
            return await self.stub.Embed(request, timeout=timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


@asynccontextmanager
async def calling(
    stack: Stack,
    embed_fn: EmbedFn,
    tenant: Tenant,
    *,
    scopes: tuple[str, ...] = ("documents",),
    audience: str = "embed_fn",
) -> AsyncIterator[Caller]:
    """A caller with a channel of its own."""
    token = stack.token(tenant, audience=audience, scopes=scopes)
    async with open_channel(embed_fn.address) as channel:
        yield Caller(embed_service_pb2_grpc.EmbedServiceStub(channel), call_metadata(token))


async def refusal(awaitable: Awaitable[object]) -> DormouseError:
    """The error that a call is refused with."""
    try:
        brought = await awaitable
    except DormouseError as error:
        return error
    raise AssertionError(f"not refused: {brought}")


async def embed_requests(model_server: ModelServer) -> list[dict[str, Any]]:
    """What /api/embed was asked, oldest first: state, fault, and the texts as `input`."""
    async with model_server.control() as http:
        listed = (await http.get("/_sim/requests", params={"endpoint": "embed"})).json()["requests"]
        whole = [(await http.get(f"/_sim/requests/{entry['id']}")).json() for entry in listed]
    return [{**entry, "input": entry["body"]["input"]} for entry in whole]


async def strike(model_server: ModelServer, kind: str, times: int = 1, **options: Any) -> None:
    """The next embeddings fail in this way; see devstack.model_server.faults."""
    async with model_server.control() as http:
        answer = await http.put("/_sim/faults", json={"kind": kind, "endpoint": "embed", "times": times, **options})
        answer.raise_for_status()


async def slow_down(model_server: ModelServer, embed_ms: float) -> None:
    """So long every batch takes from now on."""
    async with model_server.control() as http:
        (await http.put("/_sim/config", json={"embed_ms": embed_ms})).raise_for_status()


async def wait_for_requests(model_server: ModelServer, count: int = 1, **query: str) -> None:
    """Returns when so many embeddings are as the query says, for instance state="aborted"."""
    async with model_server.control() as http:
        params: dict[str, str | int] = {"endpoint": "embed", "count": count, "timeout_s": 5, **query}
        answer = await http.get("/_sim/wait", params=params)
        assert answer.status_code == 200, answer.text


async def wait_for_a_fault(model_server: ModelServer) -> None:
    """Returns when a fault has struck an embedding."""
    async with asyncio.timeout(30):
        while not any(request["fault"] for request in await embed_requests(model_server)):
            await asyncio.sleep(0.02)
