"""The openai SDK, synchronous and asynchronous: answers, streams, tools, schemas, models, raw responses."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from tests.stack import Platform, Tenant

QUESTION = "What is a dormouse?"
BOTH_CITIES = "What is the weather in Bonn, and what is the weather in Paris?"


class GetWeather(BaseModel):
    """Tells the weather in a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"] | None


class Animal(BaseModel):
    name: str
    legs: int


class Zoo(BaseModel):
    city: str
    animals: list[Animal]


@pytest.fixture
async def client(platform: Platform, tenant: Tenant) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=tenant.api_key, base_url=f"{platform.edge.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def sync_client(platform: Platform, tenant: Tenant) -> Iterator[OpenAI]:
    with OpenAI(api_key=tenant.api_key, base_url=f"{platform.edge.url}/v1", max_retries=0) as client:
        yield client


def ask(content: Any = QUESTION) -> list[Any]:
    return [{"role": "user", "content": content}]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_the_synchronous_client_streams_what_it_is_told_in_one_piece(sync_client: OpenAI) -> None:
    whole = sync_client.chat.completions.create(model="chat", messages=ask())
    with sync_client.chat.completions.create(model="chat", messages=ask(), stream=True) as stream:
        chunks = list(stream)
    assert text_of(chunks) == whole.choices[0].message.content
    assert whole.choices[0].message.content
    assert whole.choices[0].message.role == "assistant"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_comes_once_at_the_end_and_only_when_it_is_asked_for(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="chat", messages=ask())
    for options in ({"include_usage": True}, {"include_usage": False}, None):
        wish: Any = {} if options is None else {"stream_options": options}
        stream = await client.chat.completions.create(model="chat", messages=ask(), stream=True, **wish)
        chunks = [chunk async for chunk in stream]
        *others, last = chunks
        assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in others)
        if options == {"include_usage": True}:
            assert (last.choices, last.usage) == ([], whole.usage)
            assert all("usage" in chunk.model_fields_set for chunk in others)
        else:
            assert "usage" not in last.model_fields_set
            assert last.choices[0].finish_reason == "stop"


async def test_the_streaming_helper_assembles_the_same_completion(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="chat", messages=ask())
    deltas, done = [], []
    async with client.chat.completions.stream(
        model="chat", messages=ask(), stream_options={"include_usage": True}
    ) as stream:
        async for event in stream:
            if event.type == "content.delta":
                deltas.append(event.delta)
            elif event.type == "content.done":
                done.append(event.content)
        final = await stream.get_final_completion()
    assert "".join(deltas) == done[0] == final.choices[0].message.content == whole.choices[0].message.content
    assert len(done) == 1
    assert final.usage == whole.usage


async def test_a_tool_goes_all_the_way_round(client: AsyncOpenAI) -> None:
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    asked = (await client.chat.completions.parse(model="chat", messages=ask(BOTH_CITIES), tools=tools)).choices[0]
    assert asked.finish_reason == "tool_calls"
    assert asked.message.content is None
    calls = asked.message.tool_calls or []
    weathers = [call.function.parsed_arguments for call in calls]
    assert [weather.city for weather in weathers if isinstance(weather, GetWeather)] == ["Bonn", "Paris"]
    assert len({call.id for call in calls}) == 2
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": f"It is {degrees} degrees."}
        for call, degrees in zip(calls, (12, 17), strict=True)
    ]
    said = asked.message.model_dump(exclude_none=True, exclude={"parsed": True, "tool_calls": {"__all__": {"parsed"}}})
    told = [*ask(BOTH_CITIES), said, *results]
    for stream in (False, True):
        answer: Any = await client.chat.completions.create(model="chat", messages=told, tools=tools, stream=stream)
        if stream:
            text = text_of([chunk async for chunk in answer])
        else:
            assert answer.choices[0].finish_reason == "stop"
            text = answer.choices[0].message.content
        assert "12 degrees" in text
        assert "17 degrees" in text


async def test_streamed_tool_calls_name_themselves_once_and_then_only_go_on(client: AsyncOpenAI) -> None:
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    stream = await client.chat.completions.create(model="chat", messages=ask(BOTH_CITIES), tools=tools, stream=True)
    chunks = [chunk async for chunk in stream]
    deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or ()]
    for index in (0, 1):
        own = [delta for delta in deltas if delta.index == index]
        first, *rest = [(delta.id, delta.type, delta.function.name if delta.function else None) for delta in own]
        assert first[0]
        assert first[1:] == ("function", "get_weather")
        assert set(rest) <= {(None, None, None)}
        arguments = "".join((delta.function.arguments or "") if delta.function else "" for delta in own)
        assert json.loads(arguments)["city"] == ("Bonn", "Paris")[index]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    async with client.chat.completions.stream(model="chat", messages=ask(BOTH_CITIES), tools=tools) as helper:
        final = await helper.get_final_completion()
    assert [call.function.name for call in final.choices[0].message.tool_calls or ()] == ["get_weather"] * 2


@pytest.mark.parametrize("choice", ["none", "auto", {"type": "function", "function": {"name": "get_weather"}}])
async def test_the_choice_of_tools_is_obeyed(client: AsyncOpenAI, choice: Any) -> None:
    tools = [pydantic_function_tool(GetWeather, name="get_weather"), pydantic_function_tool(Animal, name="weather_log")]
    answer = await client.chat.completions.create(
        model="chat", messages=ask("What is the weather in Bonn?"), tools=tools, tool_choice=choice
    )
    calls = answer.choices[0].message.tool_calls or []
    assert bool(calls) == (choice != "none")
    assert {call.function.name for call in calls if call.type == "function"} <= {"get_weather"}


async def test_answers_are_parsed_into_models(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.parse(model="chat", messages=ask(), response_format=Zoo)
    assert isinstance(whole.choices[0].message.parsed, Zoo)
    async with client.chat.completions.stream(model="chat", messages=ask(), response_format=Zoo) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed


@pytest.mark.parametrize("strict", [True, False])
async def test_answers_keep_to_a_schema(client: AsyncOpenAI, strict: bool) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "number", "strict": strict, "schema": schema}}
    answer = await client.chat.completions.create(model="chat", messages=ask(), response_format=wanted)
    assert isinstance(json.loads(answer.choices[0].message.content or "")["n"], int)
    answer = await client.chat.completions.create(model="chat", messages=ask(), response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


async def test_limits_and_stops_end_the_answer_for_the_reason_they_name(client: AsyncOpenAI) -> None:
    short = await client.chat.completions.create(model="sim", messages=ask(), max_completion_tokens=3)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("w1 w2 w3", "length")
    assert short.usage is not None
    assert short.usage.completion_tokens == 3
    stopped = await client.chat.completions.create(model="sim", messages=ask(), stop=[" w4"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("w1 w2 w3", "stop")


async def test_thoughts_are_counted_and_kept_apart(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="chat", messages=ask(), reasoning_effort="low")
    plain = await client.chat.completions.create(model="chat", messages=ask(), reasoning_effort="none")
    assert answer.choices[0].message.content == plain.choices[0].message.content
    thoughts = getattr(answer.choices[0].message, "reasoning_content", "")
    assert thoughts
    assert not hasattr(plain.choices[0].message, "reasoning_content")
    for usage, has_thought in ((answer.usage, True), (plain.usage, False)):
        assert usage is not None
        assert usage.completion_tokens_details is not None
        assert bool(usage.completion_tokens_details.reasoning_tokens) is has_thought


async def test_raw_responses_name_the_request_and_its_run(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="chat", messages=ask(), extra_headers={"x-request-id": "my-own-id"}
    )
    assert raw.headers["x-request-id"] == raw.request_id == "my-own-id"
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["x-dormouse-run-id"].startswith("run_")
    assert "x-dormouse-resume" not in raw.headers
    parsed = raw.parse()
    assert parsed._request_id == "my-own-id"
    assert parsed.id == "chatcmpl-" + raw.headers["x-dormouse-run-id"].removeprefix("run_")
    async with client.chat.completions.with_streaming_response.create(
        model="chat", messages=ask(), stream=True
    ) as streamed:
        assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert streamed.headers["cache-control"] == "no-store"
        assert streamed.headers["x-accel-buffering"] == "no"
        lines = [line async for line in streamed.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith(("data: {", ": ")) for line in lines[:-1])


def test_models_are_listed_and_found_by_name(sync_client: OpenAI) -> None:
    listed = {model.id: model for model in sync_client.models.list()}
    assert {"chat", "sim:latest", "dormouse-dev:latest"} <= set(listed)
    for name, found in listed.items():
        assert (found.object, found.created > 0) == ("model", True)
        assert sync_client.models.retrieve(name).id == name
    assert sync_client.models.retrieve("sim") == listed["sim:latest"]
