"""Answers written beforehand, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.model_server.conftest import Server, lines, text_of

MODEL = "dormouse-dev"


async def script(server: Server, *wanted: dict[str, Any]) -> httpx.Response:
    return await server.http.put("/_sim/script", json={"lines": list(wanted)})


def calls_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [call for line in lines(response) for call in line["message"].get("tool_calls", ())]


async def test_lines_are_said_one_after_the_other_and_then_the_model_speaks_again(server: Server) -> None:
    await script(server, {"content": "First."}, {"content": "Second.", "thinking": "Hm."})
    assert text_of(await server.chat(model=MODEL)) == "First."
    second = await server.chat(model=MODEL)
    assert (text_of(second), lines(second)[0]["message"]["thinking"]) == ("Second.", "Hm.")
    assert "development model" in text_of(await server.chat(model=MODEL))


async def test_a_turn_may_say_something_and_call_several_tools(server: Server) -> None:
    calls = [{"name": "a", "arguments": {"x": 1}}, {"name": "b"}]
    await script(server, {"content": "I look.", "tool_calls": calls})
    said = await server.chat(model=MODEL)
    assert text_of(said) == "I look."
    assert [call["function"] for call in calls_of(said)] == [
        {"index": 0, "name": "a", "arguments": {"x": 1}},
        {"index": 1, "name": "b", "arguments": {}},
    ]


async def test_broken_calls_go_out_as_they_stand(server: Server) -> None:
    broken = [{"function": {"name": "a", "arguments": '{"x": '}}, {"function": {}}, {"nonsense": 1}]
    await script(server, {"tool_calls": broken})
    assert calls_of(await server.chat(model=MODEL)) == broken


async def test_a_line_waits_for_the_request_that_it_is_for(server: Server) -> None:
    await script(
        server,
        {"content": "results", "results": 2, "times": 0},
        {"content": "json", "formatted": True},
        {"content": "other", "model": "sim"},
        {"content": "Kiel", "contains": "Kiel"},
    )
    assert text_of(await server.chat("about Kiel", model=MODEL)) == "Kiel"
    assert text_of(await server.chat(model=MODEL, format="json")) == "json"
    assert text_of(await server.chat(model="sim")) == "other"
    messages = [{"role": "user", "content": "go"}, *({"role": "tool", "content": "1"} for _ in range(2))]
    for _ in range(2):
        answer = await server.http.post("/api/chat", json={"model": MODEL, "messages": messages})
        assert text_of(answer) == "results"
    assert [line["content"] for line in (await server.http.get("/_sim/script")).json()["lines"]] == ["results"]


async def test_a_line_that_was_cut_off_is_continued(server: Server) -> None:
    await script(server, {"content": "One two three four.", "tool_calls": [{"name": "a"}]})
    await server.fault(kind="cut", at_token=2)
    calls = [{"function": {"name": "b", "arguments": {}}}]
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    with pytest.raises(httpx.RemoteProtocolError):
        await server.http.post("/api/chat", json={"model": MODEL, "messages": messages})
    again = [*messages, {"role": "assistant", "content": "One two"}]
    rest = await server.http.post("/api/chat", json={"model": MODEL, "messages": again})
    assert text_of(rest) == " three four."
    assert len(calls_of(rest)) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"say": "x"}, "a line has no say"),
        ({"content": 1}, "content wants a string"),
        ({"times": "1"}, "times wants an integer"),
        ({"tool_calls": ["a"]}, "tool_calls wants"),
    ],
)
async def test_a_line_that_cannot_be_spoken_is_refused(server: Server, line: dict[str, Any], words: str) -> None:
    response = await script(server, line)
    assert response.status_code == 400
    assert words in response.json()["error"]
