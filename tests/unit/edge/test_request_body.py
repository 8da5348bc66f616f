"""Bodies that are no requests: each gets a 400 that names the field."""

import json
from typing import Any

import pytest
from edge.errors import ApiError
from edge.openai.conversion import client_tools_of, messages_of, options_of
from edge.openai.schemas import ChatCompletionRequest
from edge.request_body import read_json
from starlette.requests import Request

PIXEL = "data:image/png;base64,aGk="


def request(body: bytes, content_type: str | None = "application/json") -> Request:
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def read(body: Any) -> ChatCompletionRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await read_json(request(raw), ChatCompletionRequest)


def chat(content: Any = "Hi", **others: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": content}], **others}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"null", None),
        (b'"text"', None),
        (b"\xff\xfe", None),
        (b'{"model": "\xff"}', None),
        (b'{"model": "\\ud800", "messages": []}', None),
        (b"[" * 100_000, None),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "model"),
        ({"model": "chat", "messages": []}, "messages"),
        ({"model": "chat", "messages": "Hi"}, "messages"),
        ({"model": "chat", "messages": ["Hi"]}, "messages[0]"),
        ({"model": "chat", "messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0]"),
        ({"model": "chat", "messages": [{"role": "tool", "content": "Hi"}]}, "messages[0].tool_call_id"),
        (chat(5), "messages[0].content"),
        (chat([{"type": "text"}]), "messages[0].content[0].text"),
        (chat([{"type": "video"}]), "messages[0].content[0]"),
        (chat(stream="yes"), "stream"),
        (chat(temperature="hot"), "temperature"),
        (chat(temperature=3), "temperature"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=1.5), "max_tokens"),
        (chat(n=2), "n"),
        (chat(seed=2**70), "seed"),
        (chat(stop=[""]), "stop[0]"),
        (chat(tools=[{"type": "function", "function": {"name": "a b"}}]), "tools[0].function.name"),
        (chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (b'{"model":"chat","messages":[{"role":"user","content":"Hi"}],"temperature":NaN}', None),
    ],
)
async def test_the_field_that_is_wrong_is_named(body: Any, param: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        await read(body)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    assert caught.value.param == param


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "jsonish"])
async def test_what_is_not_json_is_refused_as_such(content_type: str) -> None:
    with pytest.raises(ApiError) as caught:
        await read_json(request(b"{}", content_type), ChatCompletionRequest)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "content_type", [None, "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
async def test_json_is_taken_under_each_of_its_names(content_type: str | None) -> None:
    body = json.dumps(chat()).encode()
    assert (await read_json(request(body, content_type), ChatCompletionRequest)).model == "chat"


async def test_unknown_fields_and_nulls_are_tolerated() -> None:
    body = chat(logprobs=None, tools=None, stop=None, top_logprobs=3, invented={"a": [1]}, n=1)
    assert (await read(body)).stop is None


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://example.com/a.png", "not fetched"),
        ("data:image/png,raw", "base64"),
        ("data:image/gif;base64,aGk=", "image/png"),
        ("data:image/png;base64,a!", "damaged"),
        ("data:image/png;base64,", "1 to"),
    ],
)
async def test_an_image_that_cannot_be_used_is_named(url: str, complaint: str) -> None:
    body = await read(chat([{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]))
    with pytest.raises(ApiError, match=complaint) as caught:
        messages_of(body)
    assert caught.value.param == "messages[0].content[1].image_url.url"


async def test_a_conversation_is_carried_over_whole() -> None:
    body = await read(
        {
            "model": "chat",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}], "name": "Ann"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": "3"},
            ],
        }
    )
    system, user, assistant, tool = messages_of(body)
    assert (system.role, system.content[0].text) == (1, "Be brief.")
    assert (user.content[0].image.media_type, user.content[0].image.data, user.name) == ("image/png", b"hi", "Ann")
    assert (assistant.tool_calls[0].name, len(assistant.content)) == ("look", 0)
    assert (tool.tool_call_id, tool.content[0].text) == ("c", "3")


async def test_options_that_were_left_open_stay_open() -> None:
    assert options_of(await read(chat())).ListFields() == []
    options = options_of(
        await read(
            chat(
                temperature=0,
                max_tokens=5,
                max_completion_tokens=7,
                stop="x",
                seed=-1,
                reasoning_effort="none",
                response_format={"type": "json_object"},
            )
        )
    )
    assert options.HasField("temperature")
    assert (options.max_tokens, list(options.stop), options.seed) == (7, ["x"], -1)
    assert options.HasField("reasoning")
    assert not options.reasoning
    assert options.response_json_schema == "json"
    schema = {"type": "object", "properties": {"n": {"maximum": 10**30}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    options = options_of(await read(chat(response_format=wanted, reasoning_effort="low")))
    assert json.loads(options.response_json_schema) == schema
    assert options.reasoning


async def test_the_choice_of_tools_decides_which_are_offered() -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("a", "b")]
    named = {"type": "function", "function": {"name": "b"}}
    for choice, offered in ((None, ["a", "b"]), ("auto", ["a", "b"]), ("none", []), (named, ["b"])):
        body = await read(chat(tools=tools, tool_choice=choice))
        assert [tool.name for tool in client_tools_of(body)] == offered
    with pytest.raises(ApiError):
        client_tools_of(await read(chat(tools=tools, tool_choice={"type": "function", "function": {"name": "c"}})))
