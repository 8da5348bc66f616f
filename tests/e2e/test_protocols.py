"""Agents with tools as clients of other protocols see them: the openai SDK, and AG-UI through its judge."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from tests.agui import check_stream
from tests.e2e.conftest import Agents
from tests.stack import Tenant


@pytest.mark.parametrize("stream", [False, True])
async def test_the_openai_sdk_gets_an_answer_that_tools_have_found(
    agents: Agents, tenant: Tenant, *, stream: bool
) -> None:
    async with AsyncOpenAI(api_key=tenant.api_key, base_url=f"{agents.edge.url}/v1", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "Look up the user ann@example.com"}]
        if stream:
            chunks = [
                chunk
                async for chunk in await client.chat.completions.create(model="react", messages=messages, stream=True)
            ]
            text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
        else:
            answer = await client.chat.completions.create(model="react", messages=messages)
            text = answer.choices[0].message.content or ""
            assert answer.choices[0].finish_reason == "stop"
    assert "name: Ann Field" in text


async def test_a_clients_tool_is_handed_back_while_the_platforms_own_runs(agents: Agents, tenant: Tenant) -> None:
    parameters = {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]}
    function = {"name": "switch_lamp", "description": "Switches a lamp on", "parameters": parameters}
    question = {"role": "user", "content": "Who was Alan Turing, and switch on the lamp in the kitchen"}
    async with AsyncOpenAI(api_key=tenant.api_key, base_url=f"{agents.edge.url}/v1", max_retries=0) as client:
        tools: Any = [{"type": "function", "function": function}]
        answer: Any = await client.chat.completions.create(model="react", messages=[question], tools=tools)  # type: ignore[list-item]
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("switch_lamp", '{"room":"kitchen"}')
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("agent", "question", "ground"),
    [
        ("react", "What is the weather in Berlin, and who was Ada Lovelace?", "English mathematician"),
        ("plan-execute", "Who was Charles Babbage? Then what is the weather in London?", "Analytical Engine"),
        ("canvas", 'Write a markdown list called "Winter" for moss and hazelnuts', "Winter"),
        ("auto", "What is the weather in Tokyo?", "Tokyo"),
    ],
)
async def test_an_agents_stream_is_lawful_ag_ui(
    agents: Agents, tenant: Tenant, agent: str, question: str, ground: str
) -> None:
    body = {"threadId": "t", "runId": "r", "messages": [{"id": "q", "role": "user", "content": question}]}
    async with agents.edge.client(tenant) as http:
        response = await http.post(f"/v1/agents/{agent}/ag-ui", json=body)
    assert response.status_code == 200, response.text
    events = check_stream(response.content)
    text = "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")
    assert ground in text
    assert events[-1]["outcome"] == {"type": "success"}
    kinds = {event["type"] for event in events}
    assert {"TOOL_CALL_START", "TOOL_CALL_RESULT"} <= kinds
    assert ("STATE_DELTA" in kinds) == (agent != "react")


async def test_a_front_end_answers_an_approval(agents: Agents, tenant: Tenant) -> None:
    question = f'Post {{"text": "{tenant.id}"}} to {agents.providers.url}/notes'
    body: dict[str, Any] = {
        "threadId": "t",
        "runId": "r",
        "messages": [{"id": "q", "role": "user", "content": question}],
    }
    async with agents.edge.client(tenant) as http:
        asked = check_stream((await http.post("/v1/agents/react/ag-ui", json=body)).content)
        outcome = asked[-1]["outcome"]
        assert outcome["type"] == "interrupt"
        (interrupt,) = outcome["interrupts"]
        answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"action": "approve"}}
        resumed = await http.post("/v1/agents/react/ag-ui", json={**body, "runId": "r2", "resume": [answer]})
    assert resumed.status_code == 200, resumed.text
    assert "201 Created" in resumed.text
    async with httpx.AsyncClient(base_url=agents.providers.url) as http:
        notes = (await http.get("/notes")).json()["notes"]
    assert [note["content"] for note in notes if tenant.id in str(note["content"])] == [{"text": tenant.id}]
