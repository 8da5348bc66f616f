"""An ASGI application behind the edge's own HTTP server, inside the test's process, on any free port."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from edge.connections import ConnectionCounter
from edge.http_protocol import EdgeHttpProtocol
from starlette.types import ASGIApp
from uvicorn.server import ServerState


@asynccontextmanager
async def serving(
    app: ASGIApp, *, tls: ssl.SSLContext | None = None, counter: ConnectionCounter | None = None
) -> AsyncIterator[str]:
    """The application's `host:port`. At the end what is still open is cut off."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: EdgeHttpProtocol(config=config, server_state=state, app_state={}, counter=counter),
        "127.0.0.1",
        0,
        ssl=tls,
    )
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        if state.tasks:
            _, stuck = await asyncio.wait(tuple(state.tasks), timeout=5)
            for task in stuck:
                task.cancel()
            assert not stuck, "an application did not notice that its client is gone"
        await server.wait_closed()
