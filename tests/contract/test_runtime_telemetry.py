"""Traces: one from caller through functions, exported over OTLP, and never at the cost of an exit."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.contract.runtime_process import SERVICE, sample_function

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Collector:
    """Takes spans as a collector does, over HTTP with protobuf."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def attributes(span: Span) -> dict[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in span.attributes}


async def test_one_trace_goes_through_every_function_and_is_exported_at_the_end(tmp_path: Path) -> None:
    async with (
        collector() as collected,
        sample_function(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collected.url) as function,
    ):
        metadata = (*function.metadata("req-1"), ("traceparent", PARENT))
        answer = (await function.ask(f"forward:{function.address}", metadata=metadata)).split()
        assert answer[2][3:35] == TRACE_ID
        with pytest.raises(grpc.aio.AioRpcError):
            await function.ask("missing:x", metadata=metadata)
        assert await function.terminate(timeout=5) == 0
    assert collected.services == {"sample"}
    spans = {span.span_id: span for span in collected.spans}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    outer, *inner = sorted(
        (span for span in spans.values() if span.kind == Span.SPAN_KIND_SERVER),
        key=lambda span: span.start_time_unix_nano,
    )
    assert outer.parent_span_id.hex() == "b7ad6b7169203331"
    assert outer.name == f"{SERVICE}/GetThreadState"
    assert attributes(outer) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/GetThreadState",
        "rpc.response.status_code": "OK",
    }
    *forwarded, failed = inner
    for span in forwarded:
        client = spans[span.parent_span_id]
        assert client.kind == Span.SPAN_KIND_CLIENT
        assert client.parent_span_id == outer.span_id
        assert attributes(client)["rpc.response.status_code"] == "OK"
        assert client.end_time_unix_nano >= span.end_time_unix_nano
    assert attributes(failed)["error.type"] == "THREAD_NOT_FOUND"
    assert failed.status.code == 2


@pytest.mark.parametrize("behaviour", ["refuses", "hangs"])
async def test_a_collector_that_is_down_holds_up_neither_calls_nor_the_exit(tmp_path: Path, behaviour: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if behaviour == "hangs":
            listener.listen()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with sample_function(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as function:
            for _ in range(20):
                await function.ask("ids")
            started = time.perf_counter()
            assert await function.terminate(timeout=10) == 0
            assert (
                time.perf_counter() - started < 4
            )  # a second for the export, the rest for a busy machine; the exporter itself would take 10


async def test_without_an_endpoint_no_exporter_is_even_loaded(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function:
        maps = await asyncio.to_thread(Path(f"/proc/{function.pid}/maps").read_text)
    assert "opentelemetry" not in maps
