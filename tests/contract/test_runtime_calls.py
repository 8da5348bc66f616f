"""What every call to a function passes through, seen from the caller's side of a real process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from dormouse.agent.v1 import agent_service_pb2 as pb
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from dormouse.common.v1 import error_pb2
from dormouse_runtime import logs
from dormouse_runtime.calls import CallInterceptor
from dormouse_runtime.client import call_metadata, open_channel
from dormouse_runtime.errors import DormouseError, from_rpc_error
from dormouse_runtime.identity import TokenIssuer, TokenVerifier, current_identity
from dormouse_runtime.keys import write_key_pair
from dormouse_runtime.metrics import RpcMetrics
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.contract.runtime_process import SERVICE, SampleFunction, next_seq, sample_function

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
async def function(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SampleFunction]:
    async with sample_function(tmp_path_factory.mktemp("sample"), DORMOUSE_LOG_LEVEL="debug") as function:
        yield function


async def failure(function: SampleFunction, what: str, **call: object) -> DormouseError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await function.ask(what, **call)  # type: ignore[arg-type]
    return from_rpc_error(caught.value)


async def test_the_handler_knows_who_calls(function: SampleFunction) -> None:
    async with function.stub() as stub:
        metadata = function.metadata(tenant="t1", user="u1", scopes=("b", "a"), run_id="run_1")
        answer = await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=metadata)
    assert answer.default_model == "dormouse-edge/t1/u1/a b/run_1"


async def test_callers_at_the_same_time_keep_their_identities(function: SampleFunction) -> None:
    async with function.stub() as stub:

        async def ask(name: str) -> str:
            metadata = function.metadata(tenant=name)
            answer = await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=metadata)
            return answer.default_model.split("/")[1]

        names = [f"tenant{number}" for number in range(50)]
        assert await asyncio.gather(*map(ask, names)) == names


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "a" * 8193]
)
async def test_no_call_is_anonymous(function: SampleFunction, authorization: str | None) -> None:
    metadata = () if authorization is None else (("authorization", authorization),)
    error = await failure(function, "ids", metadata=metadata)
    assert error.reason == error_pb2.ERROR_REASON_UNAUTHENTICATED
    assert not error.retryable


async def test_streams_are_not_anonymous_either(function: SampleFunction) -> None:
    async with function.stub() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.Execute(pb.ExecuteRequest(run_id="count:1"), timeout=5):
                pass
    assert from_rpc_error(caught.value).reason == error_pb2.ERROR_REASON_UNAUTHENTICATED


async def test_anybody_may_ask_for_health_and_reflection(function: SampleFunction) -> None:
    async with grpc.aio.insecure_channel(function.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        listed, described = [answer async for answer in reflection.ServerReflectionInfo(iter(requests), timeout=5)]
    assert {service.name for service in listed.list_services_response.service} == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert described.file_descriptor_response.file_descriptor_proto


async def test_a_key_is_rotated_without_a_restart(function: SampleFunction) -> None:
    old = function.metadata()
    await function.ask("ids", metadata=old)
    write_key_pair(function.private_key, function.trusted_keys)
    new = function.metadata()
    deadline = time.monotonic() + 5
    while True:  # the file is looked at once a second
        try:
            await function.ask("ids", metadata=new)
            break
        except grpc.aio.AioRpcError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    await function.ask("ids", metadata=old)


async def test_an_error_arrives_as_it_was_raised(function: SampleFunction) -> None:
    error = await failure(function, "missing:Kein Gespräch.")
    assert (error.reason, error.message, error.details, error.retryable) == (
        error_pb2.ERROR_REASON_THREAD_NOT_FOUND,
        "Kein Gespräch.",
        {"thread_id": "t1"},
        False,
    )


@pytest.mark.parametrize("what", ["defect", "stray"])
async def test_a_defect_is_internal_and_keeps_its_text_to_the_log(function: SampleFunction, what: str) -> None:
    error = await failure(function, what)
    assert error.reason == error_pb2.ERROR_REASON_INTERNAL
    assert "text of an exception" not in error.message
    entry = await function.entry("handler failed")
    assert entry["tenant"] == "acme"
    assert "runtime_function.py" in entry["exception"]


async def test_a_stream_that_fails_ends_with_the_mapped_status(function: SampleFunction) -> None:
    async with function.stub() as stub:
        call = stub.Execute(pb.ExecuteRequest(run_id="defect"), timeout=5, metadata=function.metadata())
        assert await next_seq(call) == 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert from_rpc_error(caught.value).reason == error_pb2.ERROR_REASON_INTERNAL


async def test_a_cancelled_call_cancels_its_handler(function: SampleFunction) -> None:
    log = function.process.log
    with log.expect(lambda line: '"waiting"' in line) as waiting, log.expect(lambda line: '"cancelled"' in line) as end:
        async with function.stub() as stub:
            call = stub.GetThreadState(
                pb.GetThreadStateRequest(thread_id="wait:one"), timeout=60, metadata=function.metadata()
            )
            await asyncio.wait_for(waiting, 5)
            call.cancel()
            await asyncio.wait_for(end, 5)


async def test_a_deadline_cancels_the_handler(function: SampleFunction) -> None:
    with function.process.log.expect(lambda line: '"cancelled"' in line) as cancelled:
        error = await failure(function, "wait:two", timeout=0.2)
        await asyncio.wait_for(cancelled, 5)
    assert error.reason == error_pb2.ERROR_REASON_DEADLINE_EXCEEDED
    assert (await function.entry("call cancelled"))["level"] == "debug"


async def test_a_stream_that_nobody_reads_any_more_is_closed(function: SampleFunction) -> None:
    failures = function.events().count("handler failed")
    for _ in range(20):
        with function.process.log.expect(lambda line: '"stream closed"' in line) as closed:
            async with function.stub() as stub:
                call = stub.Execute(pb.ExecuteRequest(run_id="endless"), timeout=60, metadata=function.metadata())
                await call.read()
                call.cancel()
                await asyncio.wait_for(closed, 5)
    assert function.events().count("handler failed") == failures


async def test_a_call_without_a_deadline_is_refused_on_both_sides(function: SampleFunction) -> None:
    async with function.stub() as stub:
        with pytest.raises(ValueError, match=f"{SERVICE}/ListAgents needs timeout="):
            stub.ListAgents(pb.ListAgentsRequest(), metadata=function.metadata())
    async with grpc.aio.insecure_channel(function.address) as channel:
        stub = AgentServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListAgents(pb.ListAgentsRequest(), metadata=function.metadata())
    error = from_rpc_error(caught.value)
    assert error.reason == error_pb2.ERROR_REASON_INVALID_ARGUMENT
    assert "deadline" in error.message


async def test_deadline_request_id_and_trace_travel_on_to_the_next_function(function: SampleFunction) -> None:
    metadata = (*function.metadata("req-7"), ("traceparent", PARENT))
    remaining, request_id, trace = (
        await function.ask(f"forward:{function.address}", timeout=3, metadata=metadata)
    ).split()
    assert 0 < float(remaining) < 3.05  # on the wire gRPC rounds up by 1 %
    assert (request_id, trace) == ("req-7", PARENT)


async def test_the_request_id_that_is_bound_here_goes_along(function: SampleFunction) -> None:
    with logs.bind(request_id="req-8"):
        assert (await function.ask("ids")).split() == ["req-8"]
        assert (await function.ask("ids", metadata=function.metadata("req-9"))).split() == ["req-9"]
    assert (await function.ask("ids")).startswith("req_")


async def test_an_endless_request_id_is_replaced(function: SampleFunction) -> None:
    assert (await function.ask("ids", metadata=function.metadata("x" * 129))).startswith("req_")


async def test_a_log_line_carries_the_calls_ids_and_no_secret(function: SampleFunction) -> None:
    with function.process.log.expect(lambda line: '"a line"' in line) as logged:
        metadata = (*function.metadata("req-3", run_id="run_3"), ("traceparent", PARENT))
        await function.ask("log:abcdefgh", metadata=metadata)
        await asyncio.wait_for(logged, 5)
    entry = await function.entry("a line")
    assert {"request_id": "req-3", "run_id": "run_3", "tenant": "acme", "service": "sample"}.items() <= entry.items()
    assert entry["trace_id"] == PARENT[3:35]
    assert entry["token"] == "Bearer ***"


async def test_metrics_count_calls_by_method_and_code(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function:
        await function.ask("ids")
        await failure(function, "missing:x")
        await failure(function, "ids", metadata=())
        await failure(function, "wait:x", timeout=0.05)
        async with function.stub() as stub:
            call = stub.Execute(pb.ExecuteRequest(run_id="endless"), timeout=60, metadata=function.metadata())
            await call.read()
            page = await function.metrics()
        async with asyncio.timeout(10):  # the function hears of the cancellation a moment after the caller
            while f'dormouse_rpc_in_flight{{method="{SERVICE}/Execute"}} 0.0' not in await function.metrics():
                await asyncio.sleep(0.01)
    method = f'method="{SERVICE}/GetThreadState"'
    for code in ("OK", "NOT_FOUND", "UNAUTHENTICATED", "DEADLINE_EXCEEDED"):
        assert f'dormouse_rpc_handled_total{{code="{code}",{method}}} 1.0' in page
    assert f"dormouse_rpc_seconds_count{{{method}}} 4.0" in page
    assert f'dormouse_rpc_seconds_bucket{{le="+Inf",{method}}} 4.0' in page
    assert f'dormouse_rpc_in_flight{{method="{SERVICE}/Execute"}} 1.0' in page
    assert "process_resident_memory_bytes" in page
    assert "sample_streams 1.0" in page
    assert "Health" not in page


async def test_the_metrics_port_answers_nothing_else(function: SampleFunction) -> None:
    async def ask(request: bytes) -> bytes:
        host, _, port = function.metrics_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        try:
            answer = await reader.read()
        except ConnectionResetError:  # closed before all was read, which TCP may tell as a reset
            answer = b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        return answer.partition(b"\r\n")[0]

    assert await ask(b"GET / HTTP/1.1\r\n\r\n") == b"HTTP/1.1 404 Not Found"
    assert await ask(b"POST /metrics HTTP/1.1\r\n\r\n") == b"HTTP/1.1 405 Method Not Allowed"
    assert await ask(b"HEAD /metrics HTTP/1.1\r\n\r\n") == b"HTTP/1.1 200 OK"
    assert await ask(b"GET /metrics?name[]=x HTTP/1.1\r\nhost: a\r\n\r\n") == b"HTTP/1.1 200 OK"
    assert await ask(b"x" * 100_000) == b""


async def test_a_full_function_says_so_at_once_and_still_answers_for_its_health(tmp_path: Path) -> None:
    async with (
        sample_function(tmp_path, DORMOUSE_MAX_CONCURRENT_RPCS="2") as function,
        function.stub() as stub,
        grpc.aio.insecure_channel(function.address) as channel,
    ):
        calls = [
            stub.Execute(pb.ExecuteRequest(run_id="until_drain"), timeout=60, metadata=function.metadata())
            for _ in range(2)
        ]
        for call in calls:
            await call.read()
        error = await failure(function, "ids")
        assert error.reason == error_pb2.ERROR_REASON_OVERLOADED
        assert error.retryable
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        calls[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calls[0].code()
        await asyncio.wait_for(eventually(function), 5)


async def eventually(function: SampleFunction) -> None:
    """A place is free as soon as the function has seen the cancellation."""
    while True:
        try:
            await function.ask("ids")
        except grpc.aio.AioRpcError:
            continue
        return


async def test_all_four_kinds_of_calls_are_guarded_alike(tmp_path: Path) -> None:
    """In this process, with handlers of bare bytes: no service of ours has all four kinds."""
    write_key_pair(tmp_path / "private.json", tmp_path / "trusted.json")

    async def one(request: bytes, context: object) -> bytes:
        return request + current_identity().tenant.encode()

    async def many(request: bytes, context: object) -> AsyncIterator[bytes]:
        yield request + current_identity().tenant.encode()

    async def joined(requests: AsyncIterator[bytes], context: object) -> bytes:
        return b"".join([request async for request in requests]) + current_identity().tenant.encode()

    async def echoed(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request + current_identity().tenant.encode()

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Joined": grpc.stream_unary_rpc_method_handler(joined),
        "Echoed": grpc.stream_stream_rpc_method_handler(echoed),
    }
    verifier = TokenVerifier.from_file(tmp_path / "trusted.json", "kinds")
    server = grpc.aio.server(interceptors=[CallInterceptor(verifier, RpcMetrics(), 10)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.Kinds", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    token = TokenIssuer.from_file(tmp_path / "private.json").mint(audience="kinds", tenant="acme", user="ada")
    try:
        async with open_channel(f"127.0.0.1:{port}") as opened:
            channel: Any = opened
            call: dict[str, Any] = {"timeout": 5, "metadata": call_metadata(token)}
            assert await channel.unary_unary("/a.Kinds/One")(b"1", **call) == b"1acme"
            assert [got async for got in channel.unary_stream("/a.Kinds/Many")(b"1", **call)] == [b"1acme"]
            assert await channel.stream_unary("/a.Kinds/Joined")(iter([b"1", b"2"]), **call) == b"12acme"
            echoed_back = channel.stream_stream("/a.Kinds/Echoed")(iter([b"1", b"2"]), **call)
            assert [got async for got in echoed_back] == [b"1acme", b"2acme"]

            anonymous = [
                channel.unary_unary("/a.Kinds/One")(b"1", timeout=5),
                channel.unary_stream("/a.Kinds/Many")(b"1", timeout=5),
                channel.stream_unary("/a.Kinds/Joined")(iter([b"1"]), timeout=5),
                channel.stream_stream("/a.Kinds/Echoed")(iter([b"1"]), timeout=5),
            ]
            for refused in anonymous:
                assert await refused.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        await server.stop(None)


async def test_messages_have_a_limit_in_both_directions(tmp_path: Path) -> None:
    async with sample_function(tmp_path, DORMOUSE_MAX_MESSAGE_BYTES="10000") as function:
        assert len(await function.ask("big:9000")) == 9000
        for what in ("big:20000", "x" * 20000):
            error = await failure(function, what)
            assert error.reason == error_pb2.ERROR_REASON_INVALID_ARGUMENT
            assert not error.retryable
