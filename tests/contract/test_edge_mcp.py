"""MCP with its official client over real HTTP: tools, errors, progress, leaving, many at once, and strangers.

Both of the protocol's eras are tested: the handshake of 2025 and the requests of 2026 that stand for themselves.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from dormouse_runtime.identity import TokenVerifier
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from tests.contract.tool_service import ScriptedTools, serving
from tests.stack import Edge, Fleet, Platform, Stack, Tenant

PAGE = "https://inspector.example.org"
ERAS = ("legacy", "auto")
LEFT_WITHIN_S = 5
CALL: dict[str, Any] = {
    "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}},
}  # fmt: skip
ACCEPT = {"accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class Bench:
    edge: Edge
    tools: ScriptedTools


@pytest.fixture(scope="module")
async def bench(stack: Stack, platform: Platform) -> AsyncIterator[Bench]:
    tools = ScriptedTools(TokenVerifier.from_file(stack.credentials.trusted_keys, "tool_fn"))
    async with serving(tools) as address, stack.fleet() as fleet:
        settings = {"DORMOUSE_TOOL_TARGET": address, "DORMOUSE_MCP_ORIGINS": PAGE, "DORMOUSE_MAX_BODY_BYTES": "100000"}
        yield Bench(await fleet.edge(platform.agent_fn, env=settings), tools)


@asynccontextmanager
async def connected(edge: Edge, tenant: Tenant, era: str = "auto") -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers=tenant.headers, timeout=30) as http:
        transport = streamable_http_client(f"{edge.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            yield client


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.parametrize("era", ERAS)
async def test_tools_are_listed_and_called_in_the_callers_name(bench: Bench, tenant: Tenant, era: str) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with connected(bench.edge, tenant, era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool("echo", {"text": "hi"}, progress_callback=progress)
    assert tools["echo"].description == "Says it again."
    assert tools["echo"].input_schema["required"] == ["text"]
    assert (text_of(result), result.is_error) == (f'{{"text":"hi"}} for {tenant.id}', False)
    assert told == [(0.5, 1.0, "Half way.")]


@pytest.mark.parametrize("era", ERAS)
async def test_what_goes_wrong_is_said_where_a_model_or_a_program_can_read_it(
    bench: Bench, tenant: Tenant, era: str
) -> None:
    async with connected(bench.edge, tenant, era) as client:
        said = {name: await client.call_tool(name, {"text": "x"}) for name in ("fail", "leave", "refuse")}
        assert all(result.is_error for result in said.values())
        assert "broke off" in text_of(said["leave"])
        assert text_of(said["refuse"]) == "`text` must be a word."
        with pytest.raises(MCPError, match="Unknown tool: nothing"):
            await client.call_tool("nothing", {})


async def test_a_tool_that_needs_approval_is_neither_offered_nor_called(bench: Bench, tenant: Tenant) -> None:
    async with connected(bench.edge, tenant) as client:
        assert "send" not in [tool.name for tool in (await client.list_tools()).tools]
        with pytest.raises(MCPError, match="Unknown tool: send"):
            await client.call_tool("send", {"text": "x"})
    assert all(request.name != "send" for _, request in bench.tools.calls)


async def test_many_clients_of_two_tenants_at_once_get_their_own_answers(
    bench: Bench, stack: Stack, tenant: Tenant
) -> None:
    tenants = [tenant, await stack.database.tenant()]

    async def work(number: int) -> None:
        mine = tenants[number % 2]
        async with connected(bench.edge, mine, ERAS[number // 2 % 2]) as client:
            for turn in range(4):
                result = await client.call_tool("echo", {"text": f"{number}.{turn}"})
                assert text_of(result) == f'{{"text":"{number}.{turn}"}} for {mine.id}'

    await asyncio.gather(*(work(number) for number in range(8)))
    keys = [request.idempotency_key for _, request in bench.tools.calls]
    assert len(keys) == len(set(keys)), "each call is one of its own"


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_a_client_that_leaves_ends_its_call(bench: Bench, tenant: Tenant, version: str) -> None:
    bench.tools.hanging.clear()
    bench.tools.cut_off.clear()
    params = {**CALL["params"], "name": "hang"}
    headers = {**ACCEPT, "mcp-protocol-version": version}
    if version >= "2026":
        headers |= {"mcp-method": "tools/call", "mcp-name": "hang"}
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {},
        }  # fmt: skip
    async with bench.edge.client(tenant) as http:
        call = asyncio.create_task(http.post("/mcp", json={**CALL, "params": params}, headers=headers))
        await bench.tools.hanging.wait()
        call.cancel()
        async with asyncio.timeout(LEFT_WITHIN_S):
            await bench.tools.cut_off.wait()


async def test_nobody_without_a_key_gets_as_far_as_the_protocol(bench: Bench) -> None:
    async with bench.edge.client() as http:
        for headers in ({}, {"authorization": "Bearer dm_live_" + "0" * 49}):
            response = await http.post("/mcp", json=CALL, headers={**ACCEPT, **headers})
            assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
            assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("origin", "status"), [(None, 200), (PAGE, 200), ("http://evil.example", 403), ("null", 403)])
async def test_only_pages_that_the_operator_names_may_use_it(
    bench: Bench, tenant: Tenant, origin: str | None, status: int
) -> None:
    headers = ACCEPT if origin is None else {**ACCEPT, "origin": origin, "host": "evil.example"}
    async with bench.edge.client(tenant) as http:
        response = await http.post("/mcp", json=CALL, headers=headers)
    assert response.status_code == status


async def test_there_are_no_sessions_to_listen_to_or_to_end(bench: Bench, tenant: Tenant) -> None:
    async with bench.edge.client(tenant) as http:
        for method in ("GET", "DELETE"):
            response = await http.request(method, "/mcp", headers=ACCEPT)
            assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 50_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}',
        b'{"jsonrpc":"2.0","id":{},"method":"nothing"}',
        json.dumps({**CALL, "params": {"name": "echo", "arguments": {"text": "\0\ud800"}}}).encode(),
        json.dumps({**CALL, "params": {"name": "x" * 50_000}}).encode(),
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":1e999}}}',
    ],
)
@pytest.mark.parametrize("version", [None, "2026-07-28"])
async def test_what_is_no_request_breaks_nothing(
    bench: Bench, tenant: Tenant, body: bytes, version: str | None
) -> None:
    headers = {**ACCEPT, "content-type": "application/json"} | ({"mcp-protocol-version": version} if version else {})
    async with bench.edge.client(tenant, timeout=5) as http:
        response = await http.post("/mcp", content=body, headers=headers)
    assert response.status_code < 500, response.text


async def test_a_body_that_is_too_long_is_refused(bench: Bench, tenant: Tenant) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 10_000

    async with bench.edge.client(tenant) as http:
        for body in (b" " * 200_000, pieces()):
            response = await http.post("/mcp", content=body, headers={**ACCEPT, "content-type": "application/json"})
            assert response.status_code == 413


async def test_a_tool_function_that_is_away_is_an_error_of_the_protocol(
    fleet: Fleet, platform: Platform, tenant: Tenant
) -> None:
    edge = await fleet.edge(platform.agent_fn, env={"DORMOUSE_TOOL_TARGET": fleet.address()})
    async with connected(edge, tenant) as client:
        with pytest.raises(MCPError, match="can't be reached"):
            await client.list_tools()


async def test_without_tools_there_is_an_empty_list(platform: Platform, tenant: Tenant) -> None:
    async with connected(platform.edge, tenant) as client:
        assert (await client.list_tools()).tools == []
