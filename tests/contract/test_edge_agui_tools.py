"""AG-UI with agents that use tools, keep state, write artifacts and ask people; the judge reads every stream."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from tests.agui import AguiChecker, parse_stream
from tests.contract.agent_service import ARGUMENTS
from tests.contract.scripted_edge import ScriptedEdge
from tests.stack import Tenant

WEATHER = {"name": "get_weather", "description": "Tells the weather.", "parameters": {"type": "object"}}


@pytest.fixture
def bench(scripted: ScriptedEdge) -> ScriptedEdge:
    return scripted


class FrontEnd:
    """Holds what an AG-UI application holds: messages, state, and the calls and questions that are open."""

    def __init__(self, http: httpx.AsyncClient, agent: str, thread: str = "t") -> None:
        self._http = http
        self._path = f"/v1/agents/{agent}/ag-ui"
        self._thread = thread
        self._runs = 0
        self.messages: list[dict[str, Any]] = []
        self.state: Any = {}
        self.calls: set[str] = set()

    async def post(self, **others: Any) -> httpx.Response:
        """The next run's answer, whatever it is."""
        self._runs += 1
        body = {"threadId": self._thread, "runId": f"r{self._runs}", "messages": self.messages, "state": self.state}
        return await self._http.post(self._path, json=body | others)

    async def run(self, say: str = "", **others: Any) -> list[Mapping[str, Any]]:
        """The next run's events, judged and taken up."""
        if say:
            self.messages.append({"id": f"q{self._runs}", "role": "user", "content": say})
        response = await self.post(**others)
        assert response.status_code == 200, response.text
        checker = AguiChecker(self.state, self.calls)
        events = parse_stream(response.content)
        for event in events:
            checker.feed(event)
            self._take(event)
        checker.finish()
        assert events[0]["runId"] == events[-1].get("runId", events[0]["runId"]) == f"r{self._runs}"
        self.state, self.calls = checker.state, checker.unanswered_calls
        return events

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "TEXT_MESSAGE_START":
            self.messages.append({"id": event["messageId"], "role": "assistant", "content": ""})
        elif kind == "TEXT_MESSAGE_CONTENT":
            self.messages[-1]["content"] += event["delta"]
        elif kind == "TOOL_CALL_RESULT":
            told = {"id": event["messageId"], "toolCallId": event["toolCallId"], "content": event["content"]}
            self.messages.append({"role": "tool", **told})


@pytest.fixture
async def http(bench: ScriptedEdge, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.edge.client(tenant) as http:
        yield http


def resume(events: list[Mapping[str, Any]], *payloads: Any) -> list[dict[str, Any]]:
    """Answers to the questions that a run ended with; None leaves one without."""
    return [
        {"interruptId": interrupt["id"], **({"status": "cancelled"} if payload is None else resolved(payload))}
        for interrupt, payload in zip(events[-1]["outcome"]["interrupts"], payloads, strict=True)
    ]


def resolved(payload: Any) -> dict[str, Any]:
    return {"status": "resolved", "payload": payload}


def results(events: list[Mapping[str, Any]]) -> list[str]:
    return [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"]


async def test_an_agent_asks_and_goes_on_with_what_people_say(http: httpx.AsyncClient) -> None:
    front_end = FrontEnd(http, "asking")
    asked = await front_end.run("Send it.")
    open_calls = front_end.calls
    first = asked[-1]["outcome"]["interrupts"][0]
    assert (first["reason"], first["message"]) == ("tool_call", "May I send it?")
    assert first["metadata"]["dormouse"] == {"tool": "send", "arguments": ARGUMENTS}
    answers = resume(asked, {"approved": True, "editedArgs": {"to": "bob"}}, {"approved": False, "reason": "No."})
    told = await front_end.run(resume=answers)
    assert results(told) == [
        '{"action":"edit","arguments":{"to":"bob"}}',
        '{"action":"reject","reason":"No."}',
    ]
    assert told[-1]["outcome"] == {"type": "success"}
    assert told[-1]["usage"][0]["totalTokens"] == 8
    front_end.calls = open_calls
    again = await front_end.run(resume=answers)
    assert results(again) == results(told), "a resume that is sent again acts once and tells the same"


async def test_who_holds_nothing_but_the_question_can_answer_it(http: httpx.AsyncClient) -> None:
    front_end = FrontEnd(http, "asking")
    asked = await front_end.run("Send it.")
    front_end.messages = []
    told = await front_end.run(resume=resume(asked, {"approved": True}, {"approved": True}))
    assert len(results(told)) == 2
    assert told[-1]["outcome"] == {"type": "success"}


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ({"approved": True}, '{"action":"approve"}'),
        (True, '{"action":"approve"}'),
        (False, '{"action":"reject"}'),
        ({"approved": False, "reason": 7}, '{"action":"reject"}'),
        (None, '{"action":"reject","reason":"Nobody answered."}'),
        ({"action": "edit", "arguments": {"a": 1}}, '{"action":"edit","arguments":{"a":1}}'),
    ],
)
async def test_answers_come_in_the_words_of_clients_or_in_ours(
    http: httpx.AsyncClient, payload: Any, answer: str
) -> None:
    front_end = FrontEnd(http, "asking")
    asked = await front_end.run("Send it.")
    assert results(await front_end.run(resume=resume(asked, payload, payload))) == [answer, answer]


async def test_a_thread_that_waits_for_answers_takes_nothing_else(http: httpx.AsyncClient) -> None:
    front_end = FrontEnd(http, "asking")
    asked = await front_end.run("Send it.")
    ignored = await front_end.post()
    assert (ignored.status_code, ignored.json()["error"]["code"]) == (409, "thread_busy")
    good = resume(asked, True, True)
    for bad, param in (
        (good[:1], "resume"),
        ([good[0], {**good[1], "payload": "well"}], "resume[1].payload"),
        ([good[0], {**good[1], "payload": {"approved": True, "editedArgs": 5}}], "resume"),
        ([{"interruptId": "unknown", **resolved(True)}], "resume"),
    ):
        refused = await front_end.post(resume=bad)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    unknown = {"interruptId": good[0]["interruptId"].replace("c0", "c7"), **resolved(True)}
    assert len(results(await front_end.run(resume=[*good, unknown]))) == 2, "what nobody asked is passed over"


async def test_answers_to_nothing_that_was_asked_are_passed_over(http: httpx.AsyncClient) -> None:
    front_end = FrontEnd(http, "handing")
    told = await front_end.run("Hi", resume=[{"interruptId": "i", **resolved({"approved": True})}])
    assert told[-1]["outcome"] == {"type": "success"}


async def test_state_and_artifacts_are_shared_and_the_next_run_builds_on_them(
    http: httpx.AsyncClient, bench: ScriptedEdge
) -> None:
    front_end = FrontEnd(http, "writing")
    front_end.state = {"theme": "dark"}
    await front_end.run("one")
    (artifact_id,) = front_end.state["artifacts"]
    assert front_end.state == {
        "theme": "dark",
        "writing": False,
        "artifacts": {
            artifact_id: {
                "title": "Notes: <b>ü</b>", "media_type": "text/html", "lines": ["<script>", "one"], "version": 1,
            },
        },
    }  # fmt: skip
    await front_end.run("two")
    assert bench.agents.requests[-1].artifacts[0].content == "<script>\none"
    assert front_end.state["artifacts"][artifact_id]["lines"] == ["<script>", "one", "two"]
    assert front_end.state["artifacts"][artifact_id]["version"] == 2
    reloaded = FrontEnd(http, "handing")
    reloaded.messages = front_end.messages
    events = await reloaded.run("three")
    assert events[1]["type"] == "STATE_SNAPSHOT"
    assert reloaded.state["artifacts"] == front_end.state["artifacts"]


async def test_tools_of_both_sides_are_told_apart(http: httpx.AsyncClient) -> None:
    front_end = FrontEnd(http, "handing")
    events = await front_end.run("What is the weather?", tools=[WEATHER])
    starts = {event["toolCallName"]: event for event in events if event["type"] == "TOOL_CALL_START"}
    assert set(starts) == {"math", "get_weather"}
    assert results(events) == ["2"]
    assert events[-1]["outcome"]["pendingToolCallIds"] == [starts["get_weather"]["toolCallId"]]
    widget = next(event for event in events if event["type"] == "ACTIVITY_SNAPSHOT")
    assert widget["content"]["message"] == "Half way."
    call = {"id": starts["get_weather"]["toolCallId"], "type": "function"}
    function = {"name": "get_weather", "arguments": '{"city":"Bonn"}'}
    front_end.messages[1]["toolCalls"] = [{**call, "function": function}]
    front_end.messages.append({"id": "a", "role": "tool", "toolCallId": call["id"], "content": "Rain."})
    front_end.calls = set()
    events = await front_end.run(tools=[WEATHER])
    assert [event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT"] == [
        "It rains.",
        "Take a coat.",
    ]


@pytest.mark.parametrize(
    ("props", "status", "param"),
    [
        ({"model": "nope"}, 404, "model"),
        ({"model": 5}, 400, "forwardedProps.model"),
        ({"tools": ["nope"]}, 404, "forwardedProps.tools[0]"),
        ({"tools": [5]}, 400, "forwardedProps.tools[0]"),
        ({"limits": {"tokens": 0}}, 400, "forwardedProps.limits.tokens"),
        ({"model": None, "tools": None, "limits": None}, 200, None),
        ([1, {"tools": 5}], 200, None),
        ("text", 200, None),
        ({"mine": {"tools": 5}}, 200, None),
    ],
)
async def test_forwarded_props_are_wishes_where_they_are_ours(
    http: httpx.AsyncClient, props: Any, status: int, param: str | None
) -> None:
    front_end = FrontEnd(http, "handing")
    front_end.messages = [{"id": "q", "role": "user", "content": "Hi"}]
    response = await front_end.post(forwardedProps=props)
    assert response.status_code == status, response.text
    if param is not None:
        assert response.json()["error"]["param"] == param
