"""The least a gRPC function can be: grpcio and its health service. What a cold start is compared with."""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health


async def serve(address: str) -> None:
    """Say SERVING at `address` until killed."""
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
