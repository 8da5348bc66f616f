"""langchain-openai's ChatOpenAI as an application uses it: messages, streams, tools, structured output, counts."""

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.clients.simulation import steering
from tests.stack import Platform, Tenant

QUESTION = "What is a dormouse?"


class Animal(BaseModel):
    """An animal that the question is about."""

    name: str
    legs: int


@tool
def get_weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"It rains in {city}."


@pytest.fixture
def model(platform: Platform, tenant: Tenant) -> ChatOpenAI:
    return chat_model(platform, tenant)


def chat_model(platform: Platform, tenant: Tenant, name: str = "chat", **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        api_key=SecretStr(tenant.api_key),
        base_url=f"{platform.edge.url}/v1",
        max_retries=0,
        **{"stream_usage": True, **options},
    )


def joined(chunks: list[Any]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


def test_an_answer_says_and_counts_the_same_whole_and_streamed(model: ChatOpenAI) -> None:
    whole = model.invoke(QUESTION)
    chunks = list(model.stream(QUESTION))
    streamed = joined(chunks)
    assert whole.text == streamed.text
    assert whole.text
    assert len(chunks) > 3
    assert isinstance(whole, AIMessage)
    assert whole.usage_metadata == streamed.usage_metadata
    assert whole.usage_metadata is not None
    counts = whole.usage_metadata
    assert counts["total_tokens"] == counts["input_tokens"] + counts["output_tokens"] > 0
    for answer in (whole, streamed):
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.response_metadata["model_name"] == "chat"


async def test_an_answer_comes_asynchronously_too(model: ChatOpenAI) -> None:
    messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    whole = await model.ainvoke(messages)
    streamed = joined([chunk async for chunk in model.astream(messages)])
    assert whole.text == streamed.text
    both = await model.abatch([QUESTION, "Say: hazelnut"])
    assert both[0].text
    assert both[1].text == "hazelnut"


async def test_tools_are_bound_called_and_answered(model: ChatOpenAI) -> None:
    question = HumanMessage("What is the weather in Bonn, and what is the weather in Paris?")
    bound = model.bind_tools([get_weather])
    asked = await bound.ainvoke([question])
    streamed = joined([chunk async for chunk in bound.astream([question])])
    assert isinstance(asked, AIMessage)
    for answer in (asked, streamed):
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
            ("get_weather", {"city": "Bonn"}),
            ("get_weather", {"city": "Paris"}),
        ]
        assert answer.response_metadata["finish_reason"] == "tool_calls"
        assert not answer.invalid_tool_calls
    results: list[ToolMessage] = [await get_weather.ainvoke(call) for call in asked.tool_calls]
    final = await bound.ainvoke([question, asked, *results])
    assert "rains in Bonn" in final.text
    assert "rains in Paris" in final.text


async def test_an_agent_with_tools_of_its_own_takes_those_of_the_client_too(tooled: Platform, tenant: Tenant) -> None:
    question = HumanMessage(f"Calculate, and look at the sky over Bonn. {tenant.id}")
    both = [{"name": "math", "arguments": {"operation": "evaluate", "expression": "17*23"}}]
    both.append({"name": "get_weather", "arguments": {"city": "Bonn"}})
    async with steering(tooled.model_server) as simulation:
        await simulation.script(
            {"content": "I look.", "tool_calls": both, "contains": tenant.id, "results": 0, "times": 2},
            {"content": "It rains, and it is 391.", "contains": tenant.id, "results": 1, "times": 2},
        )
        bound = chat_model(tooled, tenant, "react").bind_tools([get_weather])
        asked = await bound.ainvoke([question])
        streamed = joined([chunk async for chunk in bound.astream([question])])
        assert isinstance(asked, AIMessage)
        for answer in (asked, streamed):
            assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("get_weather", {"city": "Bonn"})]
            assert answer.response_metadata["finish_reason"] == "tool_calls"
            assert answer.text == "I look."
        results: list[ToolMessage] = [await get_weather.ainvoke(call) for call in asked.tool_calls]
        final = await bound.ainvoke([question, asked, *results])
        whole = joined([chunk async for chunk in bound.astream([question, asked, *results])])
    assert final.text == whole.text == "It rains, and it is 391."


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_answers_are_structured(model: ChatOpenAI, method: Any) -> None:
    question = "Record the animal: a dormouse named Lisa"
    structured = model.with_structured_output(Animal, method=method)
    assert isinstance(structured.invoke(question), Animal)
    assert isinstance(await structured.ainvoke(question), Animal)
    raw: Any = await model.with_structured_output(Animal, method=method, include_raw=True).ainvoke(question)
    assert raw["parsing_error"] is None
    assert raw["raw"].usage_metadata["output_tokens"] > 0


async def test_thoughts_are_counted(platform: Platform, tenant: Tenant) -> None:
    answer = await chat_model(platform, tenant, reasoning_effort="low").ainvoke(QUESTION)
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_token_details"]["reasoning"] > 0


async def test_errors_are_those_of_the_sdk(platform: Platform, tenant: Tenant) -> None:
    with pytest.raises(openai.NotFoundError):
        await chat_model(platform, tenant, "gpt-9").ainvoke(QUESTION)
    with pytest.raises(openai.NotFoundError):
        chat_model(platform, tenant, "gpt-9").invoke(QUESTION)
    with pytest.raises(openai.BadRequestError):
        await chat_model(platform, tenant, temperature=7).ainvoke(QUESTION)
