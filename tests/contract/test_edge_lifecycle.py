"""The edge as a process: when it is ready, what it says while parts are away, and how it leaves."""

import asyncio
import os
import signal
import subprocess
import sys

import httpx
import pytest

from tests.agui import parse_stream
from tests.stack import Edge, Fleet, Tenant

CHAT = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
RUN = {"model": "sim", "input": {"messages": [{"role": "user", "content": "Hi"}]}}
AGUI = {"threadId": "t", "runId": "r", "messages": [{"id": "q", "role": "user", "content": "Hi"}]}


async def slow_edge(fleet: Fleet, tokens: int, **env: str) -> Edge:
    model_server = await fleet.model_server(ttft_ms=1, token_ms=20, tokens=tokens)
    agent_fn = await fleet.agent_fn(model_server, env={"DORMOUSE_DEFAULT_MODEL": "sim:latest"})
    return await fleet.edge(agent_fn, env=env)


async def open_stream(http: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    """A stream that has said something."""
    response = await http.send(http.build_request("POST", path, json=body), stream=True)
    assert response.status_code == 200
    return response


async def test_a_stream_that_was_admitted_is_finished_after_sigterm(fleet: Fleet, tenant: Tenant) -> None:
    edge = await slow_edge(fleet, tokens=40)
    async with edge.client(tenant) as http:
        responses = [
            await open_stream(http, "/v1/chat/completions", CHAT),
            await open_stream(http, "/v1/runs", RUN),
        ]
        whole = asyncio.create_task(http.post("/v1/chat/completions", json={**CHAT, "stream": False}))
        await asyncio.sleep(0.1)
        leaving = asyncio.create_task(edge.terminate())
        chat, native = [(await response.aread()).decode() for response in responses]
        assert chat.endswith("data: [DONE]\n\n")
        assert "event: run.finished" in native
        assert (await whole).json()["choices"][0]["finish_reason"] == "stop"
        assert await leaving == 0
        with pytest.raises(httpx.TransportError):
            await http.get("/healthz")


async def test_when_the_grace_is_over_every_stream_is_told(fleet: Fleet, tenant: Tenant) -> None:
    edge = await slow_edge(fleet, tokens=10_000, DORMOUSE_DRAIN_S="0.3")
    async with edge.client(tenant) as http:
        responses = [
            await open_stream(http, "/v1/chat/completions", CHAT),
            await open_stream(http, "/v1/runs", RUN),
            await open_stream(http, "/v1/agents/chat/ag-ui", AGUI),
        ]
        leaving = asyncio.create_task(edge.terminate(timeout=15))
        chat, native, agui = [await response.aread() for response in responses]
        assert b'"code":"shutting_down"' in chat.splitlines()[-2]
        assert b"[DONE]" not in chat
        assert native.endswith(b"resume with Last-Event-ID\n\n")
        assert b"event: run.f" not in native
        assert parse_stream(agui)[-1]["code"] == "shutting_down"
        assert await leaving == 0


async def test_load_balancers_are_told_before_the_door_is_closed(fleet: Fleet, tenant: Tenant) -> None:
    edge = await slow_edge(fleet, tokens=5, DORMOUSE_SHUTDOWN_DELAY_S="0.8")
    async with edge.client(tenant) as http:
        assert (await http.get("/readyz")).status_code == 200
        edge.send(signal.SIGTERM)
        async with asyncio.timeout(5):
            while (ready := await http.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.02)
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert (await http.post("/v1/chat/completions", json=CHAT)).status_code == 200
    assert await edge.process.wait() == 0


async def test_readiness_follows_agent_fn_and_names_what_is_away(fleet: Fleet, tenant: Tenant) -> None:
    agent_fn = await fleet.agent_fn("http://127.0.0.1:1", ready=False)
    edge = await fleet.edge(agent_fn, env={"DORMOUSE_AGENT_PROBE_S": "0.1"})
    async with edge.client(tenant) as http:

        async def until(path: str, status: int, state: str) -> httpx.Response:
            async with asyncio.timeout(20):
                while True:
                    response = await http.get(path)
                    if (response.status_code, response.json()["status"]) == (status, state):
                        return response
                    await asyncio.sleep(0.05)

        assert (await http.get("/healthz")).json() == {"status": "ok"}
        ready = await until("/readyz", 200, "degraded")
        assert {name for name, part in ready.json()["components"].items() if part["status"] != "ok"} == {"model_server"}
        await until("/health/model_server", 200, "degraded")
        await agent_fn.kill()
        away = await until("/readyz", 503, "unavailable")
        assert away.json()["components"]["agent_fn"]["status"] == "unavailable"
        await until("/health/agent_fn", 503, "unavailable")
        assert (await http.get("/v1/models")).status_code == 200, "the last list is better than none"
        assert (await http.get("/health/nonsense")).status_code == 404
        await agent_fn.restart(ready=False)
        await until("/readyz", 200, "degraded")


async def test_without_agent_fn_it_starts_says_so_and_refuses_clearly(fleet: Fleet, tenant: Tenant) -> None:
    edge = await fleet.edge("127.0.0.1:1", ready=False, env={"DORMOUSE_LOG_LEVEL": "error"})
    async with edge.client(tenant) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        for request in (http.get("/v1/models"), http.post("/v1/chat/completions", json=CHAT)):
            response = await request
            assert (response.status_code, response.json()["error"]["code"]) == (503, "function_unavailable")
            assert response.headers["retry-after"]


def test_a_wrong_environment_is_told_in_one_line() -> None:
    environment = {"PATH": os.environ["PATH"], "DORMOUSE_EDGE_LISTEN": "nowhere"}
    process = subprocess.run(
        [sys.executable, "-m", "edge"], env=environment, capture_output=True, text=True, timeout=20
    )
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert "DORMOUSE_EDGE_LISTEN" in line
    assert "DORMOUSE_AGENT_TARGET is not set" in line
