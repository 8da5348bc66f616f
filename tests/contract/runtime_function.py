"""A small function on the real runtime, started as a process by the runtime's tests.

What a call does is named by its request: GetThreadState's thread_id and Execute's run_id. SAMPLE_READY is a file whose
presence makes it ready, SAMPLE_BUILD and SAMPLE_DRAIN say how building and draining go wrong.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
from dormouse.agent.v1 import agent_service_pb2 as pb
from dormouse.agent.v1 import agent_service_pb2_grpc, run_event_pb2
from dormouse.common.v1 import error_pb2
from dormouse_runtime import deadlines, logs, telemetry
from dormouse_runtime.client import open_channel
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import current_identity
from dormouse_runtime.server import Function, ServerSettings, run
from dormouse_runtime.settings import exit_on_bad_settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_logger = logging.getLogger("sample")
Context = grpc.aio.ServicerContext[Any, Any]


class Sample(agent_service_pb2_grpc.AgentServiceServicer):
    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self.streams = 0

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:  # noqa: N802
        """Says who calls."""
        caller = current_identity()
        scopes = " ".join(sorted(caller.scopes))
        return pb.ListAgentsResponse(
            default_model=f"{caller.issuer}/{caller.tenant}/{caller.user}/{scopes}/{caller.run_id}"
        )

    async def GetThreadState(  # noqa: N802
        self, request: pb.GetThreadStateRequest, context: Context
    ) -> pb.GetThreadStateResponse:
        what, _, detail = request.thread_id.partition(":")
        answer = ""
        match what:
            case "missing":
                raise DormouseError(error_pb2.ERROR_REASON_THREAD_NOT_FOUND, detail, details={"thread_id": "t1"})
            case "defect":
                raise RuntimeError("the text of an exception")
            case "stray":
                raise asyncio.CancelledError
            case "wait":
                _logger.info("waiting", extra={"detail": detail})
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    _logger.info("cancelled", extra={"detail": detail})
                    raise
            case "remaining":
                answer = str(deadlines.remaining_s())
            case "ids":
                answer = f"{logs.bound_id('request_id')} {dict(telemetry.outgoing()).get('traceparent', '')}"
            case "forward":
                answer = await self._forward(detail, context)
            case "log":
                _logger.info("a line", extra={"token": f"Bearer {detail}"})
            case "block":
                time.sleep(float(detail))  # noqa: ASYNC251 - a handler that hogs the loop
            case "big":
                answer = "x" * int(detail)
        return pb.GetThreadStateResponse(checkpoint_id=answer)

    async def _forward(self, target: str, context: Context) -> str:
        """Asks another function for as long as it likes, with the caller's token."""
        metadata = dict(context.invocation_metadata() or ())
        async with open_channel(target) as channel:
            stub = agent_service_pb2_grpc.AgentServiceStub(channel)
            answers = [
                await stub.GetThreadState(
                    pb.GetThreadStateRequest(thread_id=what),
                    timeout=1000,
                    metadata=(("authorization", str(metadata["authorization"])),),
                )
                for what in ("remaining", "ids")
            ]
        return " ".join(answer.checkpoint_id for answer in answers)

    async def PruneThreads(  # noqa: N802
        self, request: pb.PruneThreadsRequest, context: Context
    ) -> pb.PruneThreadsResponse:
        return pb.PruneThreadsResponse()

    async def Execute(  # noqa: N802
        self, request: pb.ExecuteRequest, context: Context
    ) -> AsyncIterator[pb.ExecuteResponse]:
        self.streams += 1
        what, _, detail = request.run_id.partition(":")
        try:
            match what:
                case "count":
                    for number in range(int(detail)):
                        yield _response(number)
                case "until_drain":
                    yield _response(0)
                    await self._draining.wait()
                    yield _response(1)
                case "silent":
                    yield _response(0)
                    await asyncio.sleep(float(detail))
                    yield _response(1)
                case "defect":
                    yield _response(0)
                    raise RuntimeError("the text of an exception")
                case "endless":
                    number = 0
                    while True:
                        yield _response(number)
                        number += 1
        finally:
            _logger.info("stream closed", extra={"run": request.run_id})


class Streams:
    """A metric of the function's own."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily("sample_streams", "Streams begun.", value=self._sample.streams)


def _response(number: int) -> pb.ExecuteResponse:
    return pb.ExecuteResponse(events=[run_event_pb2.RunEvent(seq=number)])


def _read(flag: str) -> bool:
    if Path(flag).exists() and Path(flag).read_text() == "raise":
        raise RuntimeError("probe")
    return Path(flag).exists()


@asynccontextmanager
async def build() -> AsyncIterator[Function]:
    draining = asyncio.Event()
    flag = os.environ.get("SAMPLE_READY")
    match os.environ.get("SAMPLE_BUILD"):
        case "fail":
            raise OSError("no such luck")
        case "hang":
            _logger.info("building")
            await asyncio.Event().wait()

    async def drain(seconds: float) -> None:
        draining.set()
        match os.environ.get("SAMPLE_DRAIN"):
            case "hang":
                await asyncio.Event().wait()
            case "fail":
                raise RuntimeError("drain")

    async def is_ready() -> bool:
        return flag is None or _read(flag)

    sample = Sample(draining)
    add = partial(agent_service_pb2_grpc.add_AgentServiceServicer_to_server, sample)
    try:
        yield Function({"dormouse.agent.v1.AgentService": add}, is_ready, drain, (Streams(sample),))
    finally:
        if os.environ.get("SAMPLE_CLOSE") == "hang":
            await asyncio.Event().wait()
        _logger.info("closed", extra={"streams": sample.streams})


if __name__ == "__main__":
    with exit_on_bad_settings():
        settings = ServerSettings.from_env(os.environ)
    sys.exit(run("sample", settings, build))
