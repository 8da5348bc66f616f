"""Unmodified OpenAI clients against the running platform."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import BaseModel, SecretStr

from tests.stack import Fleet, Platform, Tenant

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def client(platform: Platform, tenant: Tenant) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=tenant.api_key, base_url=f"{platform.edge.url}/v1", max_retries=0) as client:
        yield client


def ask(content: Any = "What is a dormouse?") -> list[Any]:
    return [{"role": "user", "content": content}]


async def test_a_streamed_answer_says_what_the_whole_one_says(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="chat", messages=ask())
    stream = await client.chat.completions.create(
        model="chat", messages=ask(), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0


async def test_a_model_can_be_chatted_with_under_its_own_name(client: AsyncOpenAI) -> None:
    for name in ("sim", "sim:latest"):
        answer = await client.chat.completions.create(model=name, messages=ask(), max_tokens=5)
        assert answer.model == name
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 5


async def test_tools_are_called_in_pieces_and_their_results_taken(client: AsyncOpenAI) -> None:
    question = ask("What is the weather in Bonn, and what is the weather in Paris?")
    stream = await client.chat.completions.create(model="chat", messages=question, tools=[WEATHER], stream=True)
    calls: dict[int, dict[str, str]] = {}
    finish = None
    async for chunk in stream:
        finish = chunk.choices[0].finish_reason or finish
        for delta in chunk.choices[0].delta.tool_calls or ():
            call = calls.setdefault(delta.index, {"id": delta.id or "", "name": "", "arguments": ""})
            assert delta.function is not None
            call["name"] += delta.function.name or ""
            call["arguments"] += delta.function.arguments or ""
    assert finish == "tool_calls"
    assert [json.loads(call["arguments"]) for call in calls.values()] == [{"city": "Bonn"}, {"city": "Paris"}]
    whole = await client.chat.completions.create(model="chat", messages=question, tools=[WEATHER])
    asked = whole.choices[0].message
    assert asked.tool_calls is not None
    assert [call.function.arguments for call in asked.tool_calls if call.type == "function"] == [
        call["arguments"] for call in calls.values()
    ]
    assert len({call["id"] for call in calls.values()}) == 2
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": "It rains."} for call in asked.tool_calls
    ]
    told: list[Any] = [*question, asked.model_dump(exclude_none=True), *results]
    answer = await client.chat.completions.create(model="chat", messages=told, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "stop"
    assert "rains" in (answer.choices[0].message.content or "")


class Animal(BaseModel):
    name: str
    legs: int


async def test_an_answer_can_be_held_to_a_schema(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(model="chat", messages=ask(), response_format=Animal)
    assert isinstance(answer.choices[0].message.parsed, Animal)


async def test_reasoning_comes_apart_from_the_answer(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="chat", messages=ask(), stream=True, reasoning_effort="high", stream_options={"include_usage": True}
    )
    thoughts, texts, usage = [], [], None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            thoughts.append(getattr(choice.delta, "reasoning_content", None) or "")
            texts.append(choice.delta.content or "")
    assert "".join(thoughts)
    assert "".join(texts)
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert (usage.completion_tokens_details.reasoning_tokens or 0) > 0


async def test_models_and_agents_are_listed_and_looked_up(client: AsyncOpenAI) -> None:
    names = {model.id: model.owned_by async for model in client.models.list()}
    assert names["chat"] == "dormouse"
    assert names["dormouse-dev:latest"] == "ollama"
    assert (await client.models.retrieve("dormouse-dev")).id == "dormouse-dev:latest"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("hf.co/nobody/nothing:Q4")


async def test_errors_arrive_as_the_sdks_own(client: AsyncOpenAI, platform: Platform) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nope", messages=ask())
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="nope", messages=ask(), stream=True)
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="chat", messages=[])
    assert bad.value.param == "messages"
    assert bad.value.request_id
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="chat", messages=ask(5))
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with pytest.raises(openai.BadRequestError) as blind:
        await client.chat.completions.create(model="chat", messages=ask([image]))
    assert blind.value.param == "messages[0].content[0].image_url.url"
    stranger = client.with_options(api_key="dm_live_" + "0" * 49)
    with pytest.raises(openai.AuthenticationError) as unknown:
        await stranger.models.list()
    assert unknown.value.code == "invalid_api_key"
    assert unknown.value.response.headers["www-authenticate"].startswith("Bearer")
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{platform.edge.url}/v1/models")).status_code == 401


async def test_langchain_streams_calls_tools_and_counts(platform: Platform, tenant: Tenant) -> None:
    model = ChatOpenAI(
        model="chat",
        api_key=SecretStr(tenant.api_key),
        base_url=f"{platform.edge.url}/v1",
        stream_usage=True,
        max_retries=0,
    )
    whole: AIMessageChunk | None = None
    async for chunk in model.astream([HumanMessage("What is a dormouse?")]):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    asked = await model.bind_tools([WEATHER]).ainvoke([HumanMessage("What is the weather in Bonn?")])
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("get_weather", {"city": "Bonn"})]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_first_token_frees_the_model(
    fleet: Fleet, tenant: Tenant, stream: bool
) -> None:
    model_server = await fleet.model_server(ttft_ms=60_000)
    edge = await fleet.edge(await fleet.agent_fn(model_server))
    body = {"model": "sim", "messages": ask(), "stream": stream}
    async with edge.client(tenant) as http, model_server.control() as control:
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=body))
        waited = await control.get("/_sim/wait", params={"state": "prefilling"})
        assert waited.status_code == 200
        started = asyncio.get_running_loop().time()
        asking.cancel()
        gone = await control.get("/_sim/wait", params={"state": "aborted"})
        assert gone.status_code == 200
        assert asyncio.get_running_loop().time() - started < 1


async def test_a_run_that_fails_before_its_first_word_is_an_http_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="sim", messages=ask(), stream=True, reasoning_effort="high")
    assert refused.value.code == "model_capability_missing"


async def test_a_run_that_is_stopped_in_mid_answer_raises_in_the_sdk(fleet: Fleet, tenant: Tenant) -> None:
    edge = await fleet.edge(await fleet.agent_fn(await fleet.model_server(ttft_ms=1, token_ms=50, tokens=10_000)))
    async with (
        AsyncOpenAI(api_key=tenant.api_key, base_url=f"{edge.url}/v1", max_retries=0) as client,
        edge.client(tenant) as http,
    ):
        stream = await client.chat.completions.create(model="sim", messages=ask(), stream=True)
        run_id = stream.response.headers["x-dormouse-run-id"]
        cancelled = await http.post(f"/v1/runs/{run_id}/cancel")
        assert cancelled.json()["status"] == "cancelled"
        with pytest.raises(openai.APIError) as stopped:
            [chunk async for chunk in stream]
        assert stopped.value.code == "run_cancelled"
