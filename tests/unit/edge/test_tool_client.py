"""ToolService from the edge: whose token it gets, how lists are kept, and what becomes of calls that break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from devstack.credentials import load_or_make
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.tool.v1.tool_pb2 import Tool
from dormouse.tool.v1.tool_service_pb2 import InvokeResponse
from dormouse_runtime.client import open_channel
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import TokenIssuer, TokenVerifier
from edge.auth.caller import Caller
from edge.tool_client import ToolClient

from tests.contract.tool_service import TOOLS, ScriptedTools, serving

ANN = Caller(tenant="ann", user="u", key_id="k")
BOB = Caller(tenant="bob", user="u", key_id="k")
BY_NAME = {tool.name: tool for tool in TOOLS}


@dataclass(frozen=True, slots=True)
class Bench:
    client: ToolClient
    tools: ScriptedTools
    issuer: TokenIssuer


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    credentials = load_or_make(tmp_path / "secrets")
    issuer = TokenIssuer.from_file(credentials.service_key)
    tools = ScriptedTools(TokenVerifier.from_file(credentials.trusted_keys, "tool_fn"))
    async with serving(tools) as address, open_channel(address) as channel:
        client = ToolClient(channel, issuer)
        yield Bench(client, tools, issuer)
        await client.close()


async def said(bench: Bench, tool: Tool, arguments: str = '{"text": "hi"}') -> list[InvokeResponse]:
    async with aclosing(bench.client.invoke(ANN, tool, arguments, key="k1")) as responses:
        return [response async for response in responses]


async def test_a_call_is_made_in_the_callers_name_and_yields_what_the_tool_says(bench: Bench) -> None:
    responses = await said(bench, BY_NAME["echo"])
    assert [response.WhichOneof("event") for response in responses] == ["progress", "output_chunk", "result"]
    assert responses[-1].result.content == '{"text": "hi"} for ann'
    ((identity, request),) = bench.tools.calls
    assert (identity.tenant, identity.user, sorted(identity.scopes)) == ("ann", "u", ["tools"])
    assert (request.name, request.idempotency_key) == ("echo", "k1")


async def test_a_list_is_kept_for_each_tenant_and_read_anew_behind_the_caller(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(await bench.client.tools(ANN)) == list(BY_NAME)
    assert await bench.client.tools(ANN)
    assert bench.tools.lists == 1
    assert await bench.client.tools(BOB)
    assert bench.tools.lists == 2
    monkeypatch.setattr("edge.tool_client.FRESH_S", 0.0)
    bench.tools.tools = bench.tools.tools[:1]
    assert len(await bench.client.tools(ANN)) == len(TOOLS)
    assert len(await bench.client.refresh(ANN)) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("leave", ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE),
        ("refuse", ErrorReason.ERROR_REASON_INVALID_ARGUMENT),
    ],
)
async def test_a_call_without_a_result_is_an_error(bench: Bench, name: str, reason: int) -> None:
    with pytest.raises(DormouseError) as caught:
        await said(bench, BY_NAME[name])
    assert caught.value.reason == reason


async def test_a_call_that_is_left_is_cancelled(bench: Bench) -> None:
    async with aclosing(bench.client.invoke(ANN, BY_NAME["hang"], "{}", key="k")) as responses:
        await anext(responses)
    async with asyncio.timeout(5):
        await bench.tools.cut_off.wait()


async def test_a_function_that_is_away_is_said_to_be(bench: Bench) -> None:
    async with open_channel("127.0.0.1:1") as channel:
        client = ToolClient(channel, bench.issuer)
        with pytest.raises(DormouseError) as caught:
            await client.tools(ANN)
        assert caught.value.reason == ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE
        assert client.last_answer == float("-inf")
        await client.close()


async def test_an_old_list_outlives_the_function(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.tool_client.FRESH_S", 0.0)
    async with serving(bench.tools) as address, open_channel(address) as channel:
        client = ToolClient(channel, bench.issuer)
        before = await client.tools(ANN)
    assert await client.tools(ANN) == before
    await client.close()


async def test_without_a_function_there_are_no_tools(bench: Bench) -> None:
    without = ToolClient(None, bench.issuer)
    assert not await without.tools(ANN)
    with pytest.raises(DormouseError, match="no tools"):
        await anext(without.invoke(ANN, BY_NAME["echo"], "{}", key="k"))
