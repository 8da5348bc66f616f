"""Runs the development provider server until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator

from aiohttp import web

from devstack.provider_server.app import create_app
from devstack.provider_server.state import Settings, State


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """Serve inside the block; yields the address as host:port. Raises OSError when it can't be bound."""
    runner = web.AppRunner(create_app(State(settings.today)), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
        host, port = runner.addresses[0][:2]
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        await runner.cleanup()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(settings) as address:
        print(json.dumps({"event": "serving", "address": address, "metrics_address": ""}), flush=True)
        await stopped.wait()
