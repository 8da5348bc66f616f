"""Each agent with the development model: the right tool, the right arguments, an answer made of the results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Agents
from tests.e2e.runs import Run, resume, run
from tests.stack import Tenant


@pytest.fixture
async def http(agents: Agents, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with agents.edge.client(tenant) as http:
        yield http


async def notes_of(agents: Agents, tenant_key: str) -> list[Any]:
    """What was posted to the provider server with this text in it."""
    async with httpx.AsyncClient(base_url=agents.providers.url) as http:
        notes = (await http.get("/notes")).json()["notes"]
    return [note["content"] for note in notes if tenant_key in str(note["content"])]


async def test_chat_answers_without_tools(http: httpx.AsyncClient) -> None:
    said = await run(http, "chat", "What is the weather in Berlin?")
    assert (said.calls, said.end.data["finish_reason"]) == ([], "stop")
    assert "development model" in said.text


@pytest.mark.parametrize(
    ("question", "calls", "grounds"),
    [
        (
            "What is the weather in Berlin, and who was Ada Lovelace?",
            [("weather", {"place": "Berlin"}), ("wikipedia", {"query": "Ada Lovelace"})],
            ["State of Berlin, Germany", "English mathematician"],
        ),
        (
            "Look up the user ann@example.com, then list the items of that user",
            [("find_user", {"email": "ann@example.com"}), ("items_of_user", {"user_id": 1})],
            ["Ann Field", "Acorn jar"],
        ),
        ("Search the web for hibernation", [("web_search", {"query": "hibernation"})], ["Dormouse"]),
        (
            "Calculate 12 * (3 + 4), then add 16 to the result",
            [("math", {"expression": "12 * (3 + 4)"}), ("math", {"expression": "84 + 16"})],
            ["84", "100"],
        ),
        ("Run this code:\n```python\nprint(6 * 7)\n```", [("python", {"code": "print(6 * 7)"})], ["42"]),
        (
            "What is the average price per city in this table?\ncity,price\nRome,10\nOslo,20\nRome,30",
            [
                (
                    "data_analysis",
                    {"steps": [{"do": "group_by", "columns": ["city"], "aggregate": {"price": ["mean"]}}]},
                )
            ],
            ["price_mean", "| Rome | 2 | 20 |"],
        ),
        (
            "Run the SQL query `select count(*) as users from users`",
            [("sql_query", {"database": "shop", "sql": "select count(*) as users from users"})],
            ["| 2 |"],
        ),
        ("What is the weather in Atlantis?", [("weather", {"place": "Atlantis"})], ["failed", "no place 'Atlantis'"]),
        ("Please explain entropy", [], ["entropy"]),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
async def test_react_calls_the_tool_that_fits_and_answers_with_what_it_gave(
    http: httpx.AsyncClient, question: str, calls: list[tuple[str, dict[str, Any]]], grounds: list[str]
) -> None:
    said = await run(http, "react", question)
    assert [name for name, _ in said.calls] == [name for name, _ in calls]
    for (_, given), (_, wanted) in zip(said.calls, calls, strict=True):
        assert given.items() >= wanted.items()
    for ground in grounds:
        assert ground in said.text
    assert said.end.data["finish_reason"] == "stop"


async def test_a_model_without_tools_is_driven_by_text(http: httpx.AsyncClient) -> None:
    question = "What is the weather in Paris, Texas, and who was Alan Turing?"
    said = await run(http, "react", question, model="dormouse-dev-notools")
    assert said.calls == [("weather", {"place": "Paris, Texas"}), ("wikipedia", {"query": "Alan Turing"})]
    assert "Bletchley Park" in said.text
    assert "<tool_call>" not in said.text


async def test_plan_execute_runs_what_is_independent_side_by_side_and_the_rest_in_order(
    http: httpx.AsyncClient,
) -> None:
    question = "Who was Charles Babbage? Look up the user bo@example.com, then list the items of that user."
    said = await run(http, "plan-execute", question)
    assert sorted(name for name, _ in said.calls) == ["find_user", "items_of_user", "wikipedia"]
    assert dict(said.calls)["items_of_user"] == {"user_id": 2}
    (plan,) = (await state_of(http, said))["plan"]["rounds"]
    assert [step["depends_on"] for step in plan["steps"]] == [[], [], ["s1", "s2"]]
    assert {step["status"] for step in plan["steps"]} == {"done"}
    assert plan["verification"]["complete"] is True
    for ground in ("Analytical Engine", "Bo Lind", "Wool blanket"):
        assert ground in said.text


async def test_what_a_verification_finds_missing_is_done_in_the_next_round(http: httpx.AsyncClient) -> None:
    places = ["Berlin", "Paris", "London", "New York", "Tokyo", "Sydney", "Cairo", "Nairobi", "Reykjavik"]
    question = f"What is the weather in {', '.join(places[:-1])} and {places[-1]}?"
    said = await run(http, "plan-execute", question)
    first, second = (await state_of(http, said))["plan"]["rounds"]
    assert (len(first["steps"]), first["verification"]["complete"]) == (8, False)
    assert [step["task"] for step in second["steps"]] == first["verification"]["missing"]
    assert second["verification"]["complete"] is True
    assert sorted(arguments["place"] for _, arguments in said.calls) == sorted(places)
    assert all(place in said.text for place in places)


async def test_auto_hands_over_to_the_agent_that_fits_and_says_why(http: httpx.AsyncClient) -> None:
    for question, agent in (
        ("Good morning!", "chat"),
        ("What is the weather in Tokyo?", "react"),
        ("Research who Ada Lovelace was and who Alan Turing was, then compare the two", "plan-execute"),
    ):
        said = await run(http, "auto", question)
        route = (await state_of(http, said))["route"]
        assert route["agent"] == agent, route
        assert route["why"]
        assert bool(said.calls) == (agent != "chat")


async def test_canvas_makes_a_document_and_changes_a_line_of_it(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}/runs"
    made = await run(http, "canvas", 'Write a markdown list called "Winter" for moss and hazelnuts', path=path)
    artifact = made.of("artifact.saved")[0]["artifact_id"]
    changed = await run(http, "canvas", 'Replace "moss" with "dry moss"', path=path)
    edits = [{"find": "moss", "replace": "dry moss"}]
    assert changed.calls == [("edit_artifact", {"id": artifact, "edits": edits})]
    (delta,) = changed.of("artifact.delta")
    assert delta["patch"] == [{"op": "replace", "path": "/lines/2", "value": "- dry moss"}]
    versions = (await http.get(f"/v1/artifacts/{artifact}/versions")).json()["data"]
    assert [version["version"] for version in versions] == [2, 1]
    held = (await http.get(f"/v1/artifacts/{artifact}")).json()
    assert "- dry moss\n- hazelnuts" in held["content"]


async def test_a_call_runs_once_with_the_arguments_that_a_person_wrote(
    http: httpx.AsyncClient, agents: Agents, tenant: Tenant
) -> None:
    asked = await run(http, "react", f'Post {{"text": "{tenant.id}"}} to {agents.providers.url}/notes')
    assert asked.end.name == "run.interrupted"
    assert await notes_of(agents, tenant.id) == []
    arguments = {"url": f"{agents.providers.url}/notes", "json": {"text": f"{tenant.id} as edited"}}
    done = await resume(http, asked, {"action": "edit", "arguments": arguments})
    assert await notes_of(agents, tenant.id) == [{"text": f"{tenant.id} as edited"}]
    assert "201 Created" in done.text


async def test_a_call_that_a_person_rejects_is_not_made_and_the_answer_says_so(
    http: httpx.AsyncClient, agents: Agents, tenant: Tenant
) -> None:
    asked = await run(http, "react", f'Post {{"text": "{tenant.id}"}} to {agents.providers.url}/notes')
    done = await resume(http, asked, {"action": "reject", "reason": "It is Sunday."})
    assert await notes_of(agents, tenant.id) == []
    assert "It is Sunday." in done.text


async def test_the_trace_shows_calls_with_arguments_and_results(http: httpx.AsyncClient) -> None:
    said = await run(http, "react", "Who was Alan Turing?")
    trace = (await http.get(f"/v1/runs/{said.id}/trace")).json()
    assert trace["totals"]["tool_calls"] == 1
    (call,) = spans(trace["root"], "tool_call")
    assert (call["name"], call["arguments"]) == ("wikipedia", {"query": "Alan Turing"})
    assert "Bletchley Park" in call["result"]["content"]


async def state_of(http: httpx.AsyncClient, said: Run) -> Any:
    """What the agent of a run keeps, at its end."""
    return (await http.get(f"/v1/runs/{said.id}/trace")).json()["root"]["state"]


def spans(span: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The spans of a kind, however deep."""
    below = [found for child in span["children"] for found in spans(child, kind)]
    return [span, *below] if span["kind"] == kind else below
