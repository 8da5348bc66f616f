"""Measures cold starts: from the start of a process until its gRPC health says SERVING."""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc.aio
from devstack.services import Program
from grpc_health.v1 import health_pb2, health_pb2_grpc

from loadtest.meters import cpu_seconds

POLL_S = 0.005
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Medians of some starts, in ms: until SERVING, and CPU used by then; `least` and `most` are of the time."""

    name: str
    starts: int
    serving_ms: float
    least_ms: float
    most_ms: float
    cpu_ms: float


async def measure_cold_start(name: str, program: Callable[[str], Program], starts: int) -> ColdStart:
    """Start `program(address)` so many times, one after the other."""
    times: list[float] = []
    cpu: list[float] = []
    for _ in range(starts):
        address = _free_address()
        command = program(address)
        took, used = await _start_once(command.argv, command.env, address)
        times.append(took * 1000)
        cpu.append(used * 1000)
    return ColdStart(name, starts, statistics.median(times), min(times), max(times), statistics.median(cpu))


def bare_server(address: str) -> Program:
    """The bare grpcio server with its health service."""
    return Program((sys.executable, "-m", "loadtest.bare_server", address), {"PYTHONPATH": ":".join(sys.path)})


async def _start_once(argv: Sequence[str], env: Mapping[str, str], address: str) -> tuple[float, float]:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _accepts(process, address)
        await _serving(address)
        return time.perf_counter() - began, cpu_seconds(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _accepts(process: asyncio.subprocess.Process, address: str) -> None:
    """Wait for the port first: a gRPC channel that finds it closed would back off for a second."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            if process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{address} does not answer, exit code {process.returncode}") from None
            await asyncio.sleep(POLL_S)
        else:
            writer.close()
            return


async def _serving(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""), timeout=TIMEOUT_S)
        async for update in watch:
            if update.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return


def _free_address() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"
