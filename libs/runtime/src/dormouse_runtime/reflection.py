"""gRPC server reflection, loaded when somebody asks for it: its protos are 0.6 MB that a start need not pay for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

SERVICE_NAME: Final = "grpc.reflection.v1alpha.ServerReflection"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Lets clients ask the server for these services and their messages."""
    names = (*services, SERVICE_NAME)

    async def answer(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        from grpc_reflection.v1alpha import reflection, reflection_pb2

        async def read() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            async for request in requests:
                yield reflection_pb2.ServerReflectionRequest.FromString(request)

        async for response in reflection.aio.ReflectionServicer(names).ServerReflectionInfo(read(), context):
            yield response.SerializeToString()

    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(answer)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))
