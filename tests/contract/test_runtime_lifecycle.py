"""A function's process from its start to its end, as an orchestrator sees it."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc.aio
import psutil
import pytest
from devstack.errors import StartError
from dormouse.agent.v1 import agent_service_pb2 as pb
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import from_rpc_error
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.contract.runtime_process import SERVICE, SampleFunction, next_seq, sample_function
from tests.stack.ports import free_port

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def statuses(function: SampleFunction, service: str = "") -> AsyncGenerator[int, None]:
    """What a watcher of the health service sees."""
    async with grpc.aio.insecure_channel(function.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)
        async for update in watch:
            yield update.status


async def test_sigterm_lets_calls_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function, function.stub() as stub:
        running = stub.Execute(pb.ExecuteRequest(run_id="until_drain"), timeout=30, metadata=function.metadata())
        await running.read()
        watch = statuses(function)
        assert await anext(watch) == SERVING
        function.send(signal.SIGTERM)
        assert await anext(watch) == NOT_SERVING
        assert await next_seq(running) == 1
        assert await running.read() is grpc.aio.EOF
        assert await function.ended() == 0
        await watch.aclose()
    assert function.events()[-4:] == ["draining", "stream closed", "closed", "stopped"]


async def test_a_call_during_the_drain_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    async with (
        sample_function(tmp_path, SAMPLE_DRAIN="hang", DORMOUSE_DRAIN_S="1") as function,
        function.stub() as stub,
    ):
        running = stub.Execute(pb.ExecuteRequest(run_id="silent:30"), timeout=30, metadata=function.metadata())
        await running.read()
        with function.process.log.expect(lambda line: '"draining"' in line) as draining:
            function.send(signal.SIGTERM)
            await asyncio.wait_for(draining, 5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=function.metadata())
        error = from_rpc_error(caught.value)
        assert error.reason in (error_pb2.ERROR_REASON_SHUTTING_DOWN, error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE)
        assert error.retryable
        with pytest.raises(grpc.aio.AioRpcError) as cut_off:
            await running.read()
        assert from_rpc_error(cut_off.value).retryable
        assert await function.ended() == 0
    assert "calls cut off at the end of the drain" in function.events()


async def test_a_drain_that_fails_ends_in_order_all_the_same(tmp_path: Path) -> None:
    async with sample_function(tmp_path, SAMPLE_DRAIN="fail") as function:
        assert await function.terminate(timeout=5) == 0
    assert function.events()[-3:] == ["drain failed", "closed", "stopped"]


async def test_load_balancers_get_time_to_notice(tmp_path: Path) -> None:
    async with sample_function(tmp_path, DORMOUSE_SHUTDOWN_DELAY_S="1") as function, function.stub() as stub:
        watch = statuses(function, SERVICE)
        assert await anext(watch) == SERVING
        started = time.perf_counter()
        function.send(signal.SIGTERM)
        assert await anext(watch) == NOT_SERVING
        await stub.ListAgents(pb.ListAgentsRequest(), timeout=5, metadata=function.metadata())
        assert await function.ended() == 0
        assert time.perf_counter() - started > 0.9
        await watch.aclose()


async def test_no_call_that_was_taken_is_lost_when_a_function_stops_under_load(tmp_path: Path) -> None:
    whole: list[list[int]] = []
    refusals: list[grpc.aio.AioRpcError] = []

    async with sample_function(tmp_path) as function, function.stub() as stub:

        async def call_until_refused() -> None:
            while True:
                call = stub.Execute(pb.ExecuteRequest(run_id="count:20"), timeout=10, metadata=function.metadata())
                try:
                    whole.append([response.events[0].seq async for response in call])
                except grpc.aio.AioRpcError as error:
                    refusals.append(error)
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(call_until_refused())
            await asyncio.sleep(0.3)
            watch = statuses(function)
            await anext(watch)
            function.send(signal.SIGTERM)
            assert await function.ended(10) == 0
        await watch.aclose()
    assert all(got == list(range(20)) for got in whole)
    assert (await function.entry("closed"))["streams"] == len(whole) > 0
    assert all(from_rpc_error(error).retryable for error in refusals)
    assert "error" not in {entry["level"] for entry in function.entries}


async def test_an_idle_function_exits_promptly(tmp_path: Path) -> None:
    async with sample_function(tmp_path) as function:
        watch = statuses(function)
        await anext(watch)  # a watcher that stays doesn't hold it
        started = time.perf_counter()
        assert await function.terminate(timeout=10) == 0
        assert time.perf_counter() - started < 3  # the drain may take 25
        await watch.aclose()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    async with sample_function(tmp_path, SAMPLE_DRAIN="hang") as function:
        with function.process.log.expect(lambda line: '"draining"' in line) as draining:
            function.send(number)
            await asyncio.wait_for(draining, 5)
        started = time.perf_counter()
        function.send(number)
        assert await function.ended() == code
        assert time.perf_counter() - started < 3


async def test_what_hangs_while_closing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sample_function(tmp_path, SAMPLE_CLOSE="hang", DORMOUSE_DRAIN_S="0.1") as function:
        function.send(signal.SIGTERM)
        assert await function.ended(15) == 1
    assert function.events()[-1] == "still not stopped: ending the process"


async def test_a_signal_during_the_start_ends_the_start(tmp_path: Path) -> None:
    function = SampleFunction(tmp_path, {"SAMPLE_BUILD": "hang"})
    await function.process.start_until(lambda line: '"building"' in line, timeout=10)
    assert await function.terminate(timeout=5) == 0
    assert function.events()[-1] == "stopped"


async def test_process_one_of_a_container_stops_on_sigterm(tmp_path: Path) -> None:
    probe = await asyncio.create_subprocess_exec("unshare", "-Urpf", "true", stderr=asyncio.subprocess.DEVNULL)
    if await probe.wait():
        pytest.skip("this system gives no pid namespaces")
    function = SampleFunction(tmp_path, {})
    function.process.argv[:0] = ["unshare", "-Urpf", "--kill-child"]
    await function.start(ready=False)
    (first,) = psutil.Process(function.pid).children()
    first.terminate()
    assert await function.ended() == 0


@pytest.mark.parametrize(
    ("env", "code", "says"),
    [
        ({"DORMOUSE_TRUSTED_KEYS": ""}, 2, "bad settings: DORMOUSE_TRUSTED_KEYS is not set"),
        ({"DORMOUSE_DRAIN_S": "x"}, 2, "bad settings: DORMOUSE_DRAIN_S='x': wants seconds"),
        ({"DORMOUSE_TRUSTED_KEYS": "/nowhere/keys.json"}, 1, "can't start: /nowhere/keys.json: "),
        ({"SAMPLE_BUILD": "fail"}, 1, "can't start: OSError: no such luck"),
        ({"DORMOUSE_LISTEN": "192.0.2.1:1"}, 1, "can't start: gRPC can't listen on 192.0.2.1:1"),
        ({"DORMOUSE_METRICS_LISTEN": "192.0.2.1:1"}, 1, "can't start: metrics can't listen on 192.0.2.1:1"),
    ],
)
async def test_a_start_that_fails_says_why_in_one_line(
    tmp_path: Path, env: dict[str, str], code: int, says: str
) -> None:
    function = SampleFunction(tmp_path, env)
    with pytest.raises(StartError):
        await function.start(ready=False)
    assert function.process.returncode == code
    assert says in function.log_lines[-1]
    assert len([line for line in function.log_lines if '"error"' in line or "bad settings" in line]) == 1


@pytest.mark.parametrize("variable", ["DORMOUSE_LISTEN", "DORMOUSE_METRICS_LISTEN"])
async def test_a_port_that_is_taken_is_an_error(tmp_path: Path, variable: str) -> None:
    async with sample_function(tmp_path / "first") as first:
        taken = first.address if variable == "DORMOUSE_LISTEN" else first.metrics_address
        second = SampleFunction(tmp_path / "second", {variable: taken})
        with pytest.raises(StartError):
            await second.start(ready=False)
        assert taken in second.entries[-1]["event"]
        assert second.process.returncode == 1


async def test_health_follows_what_the_function_says_of_itself(tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    function = SampleFunction(tmp_path, {"SAMPLE_READY": str(flag), "DORMOUSE_LISTEN": f"127.0.0.1:{free_port()}"})
    function.address = function.process.env["DORMOUSE_LISTEN"]
    await function.process.start_until(lambda line: '"not ready"' in line, timeout=10)
    watches = [statuses(function, service) for service in ("", SERVICE)]

    async def both_say(status: int) -> None:
        for watch in watches:
            assert await asyncio.wait_for(anext(watch), 5) == status

    await both_say(NOT_SERVING)
    flag.write_text("")
    await both_say(SERVING)
    flag.write_text("raise")
    await both_say(NOT_SERVING)
    flag.write_text("")
    await both_say(SERVING)
    for watch in watches:
        await watch.aclose()
    assert await function.terminate(timeout=5) == 0
    assert function.events().count("serving") == 1


async def test_without_uvloop_asyncio_serves(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('no wheel')\n")
    async with sample_function(tmp_path, PYTHONPATH=str(tmp_path)) as function:
        await function.ask("ids")
        assert await function.terminate(timeout=5) == 0
