"""The least that a Python function can be: what waking one costs on a cluster whatever it does."""

import asyncio

import grpc.aio
from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server


async def main() -> None:
    """Serves health on port 8080."""
    server = grpc.aio.server()
    add_HealthServicer_to_server(aio.HealthServicer(), server)
    server.add_insecure_port("0.0.0.0:8080")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
