"""What people say stays out of logs and traces: canaries are sent through the platform and looked for everywhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.security.world import TOOLS_FOLDER
from tests.stack import Edge, ModelServer, Stack, Tenant

PERSONAL = ("ann.canary@example.org", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "+49 30 90182012")
SECRET = "sk-proj-canary4eC39HqLyjWDarjtT1zdp7dc"


@dataclass(slots=True)
class Collector:
    """Takes spans over OTLP, as text."""

    url: str = ""
    received: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        self.received.append(str(ExportTraceServiceRequest.FromString(body)))
        return web.Response(content_type="application/x-protobuf")

    @property
    def text(self) -> str:
        return "\n".join(self.received)


@dataclass(frozen=True, slots=True)
class Watched:
    """A platform, the files that its parts log to, and where their spans go."""

    edge: Edge
    model_server: ModelServer
    logs: list[Path]
    collector: Collector

    def log(self) -> str:
        return "\n".join(path.read_text() for path in self.logs)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector, app = Collector(), web.Application(client_max_size=32 << 20)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
async def watched(stack: Stack) -> AsyncIterator[Watched]:
    async with collecting() as collector, stack.fleet() as fleet:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "DORMOUSE_LOG_LEVEL": "debug",
        }
        folder = stack.folder / stack.next_name("watched")
        folder.mkdir()
        config = folder / "tools.yaml"
        config.write_text(f"own: {{folder: '{folder}'}}\n")
        model_server = await fleet.model_server(ttft_ms=0, token_ms=0)
        tool_fn = await fleet.tool_fn(config=config, folder=TOOLS_FOLDER, env=env)
        agent_fn = await fleet.agent_fn(
            model_server, tools=tool_fn, env={**env, "DORMOUSE_DEFAULT_MODEL": "dormouse-dev-gullible"}
        )
        edge = await fleet.edge(agent_fn, tools=tool_fn, env=env)
        logs = [stack.logs / f"{server.name}.log" for server in (tool_fn, agent_fn, edge)]
        yield Watched(edge, model_server, logs, collector)


async def drive(watched: Watched, tenant: Tenant, said: str) -> None:
    """Says it in as many ways as there are to get it into a log: answered, refused, failed."""
    order = f"{said} order_status {json.dumps({'order': said})} send_mail {json.dumps({'to': said, 'nonsense': said})}"
    async with watched.edge.client(tenant) as http:
        chat = {"model": "react", "messages": [{"role": "user", "content": order}], "stop": [said[:40]]}
        answers = [await http.post("/v1/chat/completions", json=chat)]
        answers.append(await http.post("/v1/runs", json={"agent": "react", "input": {"messages": chat["messages"]}}))
        assert [answer.status_code for answer in answers] == [200, 200]
        await http.post("/v1/chat/completions", json={**chat, "messages": said})
        await http.post("/v1/chat/completions", content=f'{{"model": "{said}')
        await http.post("/v1/chat/completions", json={**chat, "model": said})
        await http.post("/v1/chat/completions", json={**chat, "agent_tools": [said[:60]]})
        await http.get(f"/v1/threads/{said}")
        await http.get("/v1/models", headers={"authorization": f"Bearer {said[:40]}"})
        async with watched.model_server.control() as control:
            await control.post("/_sim/faults", json={"kind": "error", "at_token": 1})
        await http.post("/v1/chat/completions", json=chat)


async def test_neither_logs_nor_traces_hold_what_was_said(watched: Watched, tenant: Tenant) -> None:
    word = f"Heffalump{secrets.token_hex(6)}"
    await drive(watched, tenant, f"{word} {' '.join(PERSONAL)} {SECRET} {tenant.api_key}")
    await asyncio.sleep(0.5)  # the exporters' delay; what comes later is looked for as well as it can be
    log, traces = watched.log(), watched.collector.text
    assert "execute_tool order_status" in traces
    assert '"path":"/v1/chat/completions"' in log
    for hidden in (*PERSONAL, SECRET, tenant.api_key):
        assert hidden not in log, hidden
        assert hidden not in traces, hidden
    # A path and a model's name are said by clients, too: they stand in the access log, without personal data.
    rest = [line for line in log.splitlines() if word in line and '"path":"/v1/threads/' not in line]
    assert not rest, rest[:3]


async def test_a_tenant_may_let_words_stand_but_no_secret(watched: Watched, stack: Stack, tenant: Tenant) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database.owner_url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        settings = json.dumps({"safety": {"log_content": True}})
        await connection.execute("update tenants set settings = %s where id = %s", [settings, tenant.id])
    word = f"Woozle{secrets.token_hex(6)}"
    await drive(watched, tenant, f"{word} {PERSONAL[0]} {SECRET}")
    async with asyncio.timeout(20):
        while word not in watched.collector.text:
            await asyncio.sleep(0.05)
    spans = [line for line in watched.collector.text.splitlines() if word in line]
    assert any(PERSONAL[0] in line for line in spans)
    assert SECRET not in watched.collector.text
    assert SECRET not in watched.log()
