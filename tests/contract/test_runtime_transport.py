"""Connections: silent streams stay, idle channels let go, and a function that comes back is found again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import psutil
import pytest
from dormouse.agent.v1 import agent_service_pb2 as pb
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceStub, add_AgentServiceServicer_to_server
from dormouse.common.v1 import error_pb2
from dormouse_runtime.client import open_channel
from dormouse_runtime.errors import from_rpc_error
from dormouse_runtime.transport import client_options, server_options

from tests.contract.runtime_function import Sample
from tests.contract.runtime_process import next_seq, sample_function


def connections(port: int) -> int:
    """Open TCP connections from this process to the port."""
    return sum(
        1
        for connection in psutil.Process().net_connections("tcp")
        if connection.raddr and connection.raddr.port == port and connection.status == psutil.CONN_ESTABLISHED
    )


async def test_an_idle_channel_closes_its_connection_and_opens_it_again(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function, open_channel(function.address, idle_timeout_s=0.5) as channel:
        stub = AgentServiceStub(channel)
        metadata = function.metadata()
        for _ in range(2):  # grpc's own idle timeout works the first time only
            running = stub.Execute(pb.ExecuteRequest(run_id="silent:0.8"), timeout=10, metadata=metadata)
            assert await next_seq(running) == 0
            assert await next_seq(running) == 1  # silent for longer than the timeout, but not idle
            assert await running.read() is grpc.aio.EOF
            assert connections(function.port) == 1
            del running  # a call object that somebody keeps, keeps its connection
            async with asyncio.timeout(5):
                while connections(function.port):
                    await asyncio.sleep(0.02)


async def test_every_way_a_call_can_end_lets_the_channel_go(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function, open_channel(function.address, idle_timeout_s=0.3) as channel:
        stub = AgentServiceStub(channel)
        metadata = function.metadata()
        cancelled = stub.Execute(pb.ExecuteRequest(run_id="endless"), timeout=10, metadata=metadata)
        await next_seq(cancelled)
        cancelled.cancel()
        del cancelled
        broken_off = stub.Execute(pb.ExecuteRequest(run_id="endless"), timeout=10, metadata=metadata)
        async for _ in broken_off:
            break
        broken_off.cancel()
        del broken_off
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetThreadState(pb.GetThreadStateRequest(thread_id="wait"), timeout=0.1, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetThreadState(pb.GetThreadStateRequest(thread_id="defect"), timeout=5, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.ListAgents(pb.ListAgentsRequest(), timeout=5)
        with pytest.raises(TypeError):
            stub.ListAgents(pb.ListAgentsRequest(), timeout="soon", metadata=metadata)  # type: ignore[arg-type]
        await channel.channel_ready()
        async with asyncio.timeout(5):
            while connections(function.port):
                await asyncio.sleep(0.02)
        assert channel.get_state() is grpc.ChannelConnectivity.IDLE
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        stub.ListAgents(pb.ListAgentsRequest(), timeout=5)


@asynccontextmanager
async def pinged_server(server_keepalive_s: float) -> AsyncIterator[int]:
    server = grpc.aio.server(options=server_options(keepalive_s=server_keepalive_s))
    add_AgentServiceServicer_to_server(Sample(asyncio.Event()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def silent_stream(port: int, client_keepalive_s: float) -> list[int]:
    """Reads a stream that is silent for many pings."""
    options = client_options(keepalive_s=client_keepalive_s)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call = AgentServiceStub(channel).Execute(pb.ExecuteRequest(run_id="silent:4.5"), timeout=10)
        return [response.events[0].seq async for response in call]


async def test_a_silent_stream_outlives_its_pings_because_both_ends_agree_on_them() -> None:
    async with pinged_server(1) as agreeing, pinged_server(60) as other:
        kept, cut_off = await asyncio.gather(
            silent_stream(agreeing, 1), silent_stream(other, 1), return_exceptions=True
        )
    assert kept == [0, 1]
    # What happens otherwise, so that the line above means something.
    assert isinstance(cut_off, grpc.aio.AioRpcError)
    assert cut_off.details() == "Too many pings"


async def test_a_function_that_comes_back_is_called_again_soon(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function, function.stub() as stub:
        await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=function.metadata())
        await function.kill()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=function.metadata())
        error = from_rpc_error(caught.value)
        assert error.reason == error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE
        assert error.retryable
        await asyncio.sleep(0.5)  # some attempts to connect fail in the meantime
        function.process.env["DORMOUSE_LISTEN"] = function.address
        await function.start(ready=False)
        started = time.perf_counter()
        await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=function.metadata(), wait_for_ready=True)
        assert time.perf_counter() - started < 2


async def test_no_proxy_is_asked_on_the_way_to_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with sample_function(tmp_path) as function:
        await function.ask("ids")


async def test_a_token_may_be_as_long_as_a_verifier_takes(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function:
        metadata = function.metadata(scopes=[f"scope:{number:04}" for number in range(500)])
        assert 7_000 < len(metadata[0][1]) < 8_192
        for _ in range(50):
            await function.ask("ids", metadata=metadata)
