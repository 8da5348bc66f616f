"""One real process of the platform, and what a test can do to it."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any, Self

import grpc.aio
import httpx
from devstack.process import Process
from devstack.services import Program, serving_addresses
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.stack.database import Tenant

START_TIMEOUT_S = 30.0


class Server:
    """A process that says where it serves. `address` is host:port; it keeps its port over restarts."""

    listen_variable = "DORMOUSE_LISTEN"

    def __init__(self, name: str, program: Program, log: Path) -> None:
        self.name = name
        self.address = ""
        self.metrics_address = ""
        self.process = Process(name, program.argv, env=program.env, log=log)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def log_lines(self) -> list[str]:
        """The end of what it printed, at most 400 lines, over restarts."""
        return list(self.process.log.tail)

    async def start(self, *, ready: bool = True) -> Self:
        """Start it and wait until it serves, and with `ready` until it says that it can do its work."""
        line = await self.process.start_until(lambda line: serving_addresses(line) is not None, timeout=START_TIMEOUT_S)
        addresses = serving_addresses(line)
        assert addresses is not None
        self.address, self.metrics_address = addresses
        self._keep_address()
        if ready:
            await self.wait_ready()
        return self

    async def wait_ready(self, *, timeout: float = START_TIMEOUT_S) -> None:
        """Return once it can do its work."""

    async def kill(self) -> None:
        """SIGKILL, as a crash; returns when it is gone."""
        await self.process.kill()

    async def terminate(self, *, timeout: float = 40.0) -> int:
        """SIGTERM, as in a rollout; returns the exit code, -9 when it took longer than `timeout` seconds."""
        return await self.process.stop(timeout=timeout)

    def send(self, number: signal.Signals) -> None:
        self.process.send(number)

    def suspend(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, like a frozen machine."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send(signal.SIGCONT)

    async def restart(self, *, ready: bool = True) -> Self:
        """Start it again on the same port; kill it first if it runs."""
        if self.process.running:
            await self.kill()
        return await self.start(ready=ready)

    async def metrics(self) -> str:
        """Its Prometheus page."""
        async with httpx.AsyncClient(timeout=5) as http:
            response = await http.get(f"http://{self.metrics_address}/metrics")
        response.raise_for_status()
        return response.text

    def _keep_address(self) -> None:
        self.process.env[self.listen_variable] = self.address
        if self.metrics_address:
            self.process.env["DORMOUSE_METRICS_LISTEN"] = self.metrics_address


class ModelServer(Server):
    """The development model server."""

    def _keep_address(self) -> None:
        argv = self.process.argv
        argv[argv.index("--listen") + 1] = self.address

    def control(self) -> httpx.AsyncClient:
        """A client of its HTTP API, the simulation's controls under /_sim included."""
        return httpx.AsyncClient(base_url=self.url, timeout=30)


class Function(Server):
    """A gRPC function."""

    async def wait_ready(self, *, timeout: float = START_TIMEOUT_S) -> None:
        await wait_healthy(self.address, timeout=timeout)


class AgentFn(Function):
    """The agents."""


class ToolFn(Function):
    """The tools."""


class EmbedFn(Function):
    """Embeddings, documents and search."""


class Edge(Server):
    listen_variable = "DORMOUSE_EDGE_LISTEN"

    async def wait_ready(self, *, timeout: float = START_TIMEOUT_S) -> None:
        await wait_ok(f"{self.url}/readyz", timeout=timeout)

    def client(self, tenant: Tenant | None = None, *, timeout: float = 30, **options: Any) -> httpx.AsyncClient:
        """A client of this replica that authenticates as the tenant, or not at all."""
        headers = tenant.headers if tenant is not None else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, **options)


async def wait_ok(url: str, *, timeout: float = START_TIMEOUT_S) -> None:
    """Poll until the URL answers 200. TimeoutError says what it answered last."""
    deadline = time.monotonic() + timeout
    last = "nothing"
    async with httpx.AsyncClient(timeout=5) as http:
        while True:
            try:
                response = await http.get(url)
                last = f"{response.status_code} {response.text[:500]}"
                if response.status_code == 200:
                    return
            except httpx.TransportError as error:
                last = repr(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} was not green after {timeout:.0f} s; last: {last}")
            await asyncio.sleep(0.02)


async def wait_healthy(address: str, *, service: str = "", timeout: float = START_TIMEOUT_S) -> None:
    """Watch grpc.health.v1 until it says SERVING."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=timeout, wait_for_ready=True)
        async for update in watch:
            if update.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return
