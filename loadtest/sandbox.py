"""Measures the sandbox of the python tool: `python -m loadtest.sandbox`.

Prints what is on disk and in memory, how long a worker takes to be ready, and what a call takes from the tool's side:
a request into the worker, a fresh instance, the program `1 + 1`, the report. Beside it what a call of the pool takes
without a sandbox, so that the difference is the instance. CPU is the worker's for each call, which a busy machine does
not change as it does the times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass

import msgspec
import psutil
from dormouse_runtime.workers import WorkerKind
from tool_fn.sandbox.component import Component
from tool_fn.sandbox.report import Program, Report
from tool_fn.tools.python import WORKER
from tool_fn.workers import Workers

from loadtest.figures import percentile

ECHO = WorkerKind("echo", "loadtest.echo_worker")
LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls one after the other, in ms; cpu_ms: of the worker, for each."""

    p50_ms: float
    p99_ms: float
    most_ms: float
    cpu_ms: float


async def main(calls: int) -> int:
    component = Component()
    problem = component.problem()
    if problem:
        print(f"The sandbox cannot be used: {problem}. Run `make sandbox`.", file=sys.stderr)
        return 1
    workers = Workers()
    workers.declare(WORKER)
    workers.declare(ECHO)
    try:
        began = time.perf_counter()
        await _check(workers)
        print(f"first call, with the start of a worker   {(time.perf_counter() - began) * 1000:8.0f} ms")
        echo = await _measure(workers, ECHO, b"1 + 1", calls)
        python = await _measure(workers, WORKER, _program("1 + 1"), calls)
        _print("call of a worker without a sandbox", echo)
        _print("call of the sandbox", python)
        memory = psutil.Process(workers.pids(WORKER.name)[0]).memory_full_info()
        shared = f"{(memory.rss - memory.uss) / 1e6:.0f} of it shared"
        print(f"worker's memory: resident                {memory.rss / 1e6:8.0f} MB, {shared}")
        print(f"compiled component on disk               {component.code.stat().st_size / 1e6:8.0f} MB")
        load = os.getloadavg()[0]
        print(f"load of the machine                      {load:8.1f} on {os.cpu_count()} cores")
    finally:
        await workers.close()
    return 0


def _program(source: str) -> bytes:
    return msgspec.json.encode(Program(source, LIMIT_S, 1000))


async def _check(workers: Workers) -> None:
    report = msgspec.json.decode(await workers.call(WORKER.name, _program("6 * 7"), LIMIT_S), type=Report)
    assert report.value == "42"


async def _measure(workers: Workers, kind: WorkerKind, request: bytes, calls: int) -> Calls:
    for _ in range(20):
        await workers.call(kind.name, request, LIMIT_S)
    [pid] = workers.pids(kind.name)
    worker = psutil.Process(pid)
    cpu = sum(worker.cpu_times()[:2])
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        await workers.call(kind.name, request, LIMIT_S)
        times.append((time.perf_counter() - began) * 1000)
    used = sum(worker.cpu_times()[:2]) - cpu
    return Calls(percentile(times, 0.5), percentile(times, 0.99), max(times), used / calls * 1000)


def _print(what: str, calls: Calls) -> None:
    times = f"p50 {calls.p50_ms:5.2f} ms  p99 {calls.p99_ms:5.2f} ms  most {calls.most_ms:5.2f} ms"
    print(f"{what:40} {times}  CPU {calls.cpu_ms:.2f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=500, help="how many of each (500)")
    sys.exit(asyncio.run(main(parser.parse_args().calls)))
