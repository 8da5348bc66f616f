"""Chat Completions with agents that use tools: only the client's calls are its business."""

import json
from typing import Any

import httpx
import pytest

from tests.contract.scripted_edge import ScriptedEdge
from tests.stack import Tenant

QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather?"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
ANSWER = "It rains.\n\nTake a coat."


@pytest.fixture
def bench(scripted: ScriptedEdge) -> ScriptedEdge:
    return scripted


async def complete(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """The message and finish reason, however they come."""
    whole: dict[str, Any] = (await http.post("/v1/chat/completions", json=body)).json()
    raw = await http.post(
        "/v1/chat/completions", json={**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert ": running_tool math" in raw.text or "tools" not in body
    chunks = [json.loads(line[6:]) for line in raw.text.split("\n") if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    choice: dict[str, Any] = whole["choices"][0]
    assert "".join(delta.get("content") or "" for delta in deltas) == (choice["message"]["content"] or "")
    pieces = [call for delta in deltas for call in delta.get("tool_calls", ())]
    names = [piece["function"]["name"] for piece in pieces if "id" in piece]
    assert names == [call["function"]["name"] for call in choice["message"].get("tool_calls", ())]
    assert chunks[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert chunks[-1]["usage"] == whole["usage"]
    return whole


async def test_a_clients_tool_goes_round_beside_the_servers_own(bench: ScriptedEdge, tenant: Tenant) -> None:
    async with bench.edge.client(tenant) as http:
        asked = (await complete(http, model="handing", messages=QUESTION, tools=[WEATHER]))["choices"][0]
        (call,) = asked["message"]["tool_calls"]
        assert (call["function"]["name"], call["function"]["arguments"]) == ("get_weather", '{"city":"Bonn"}')
        assert (asked["finish_reason"], asked["message"]["content"]) == ("tool_calls", "Let me see.")
        told = [*QUESTION, asked["message"], {"role": "tool", "tool_call_id": call["id"], "content": "Rain."}]
        answer = await complete(http, model="handing", messages=told)
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == 16, "two model calls"


@pytest.mark.parametrize(
    ("wishes", "status", "param"),
    [
        ({"agent_tools": ["nope"]}, 404, "agent_tools[0]"),
        ({"agent_tools": "math"}, 400, "agent_tools"),
        ({"limits": {"iterations": -1}}, 400, "limits.iterations"),
    ],
)
async def test_wishes_that_cannot_be_met_are_refused(
    bench: ScriptedEdge, tenant: Tenant, wishes: dict[str, Any], status: int, param: str
) -> None:
    async with bench.edge.client(tenant) as http:
        response = await http.post("/v1/chat/completions", json={"model": "handing", "messages": QUESTION, **wishes})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
