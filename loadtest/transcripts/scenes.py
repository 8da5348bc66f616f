"""What is shown of each agent: the requests of a client, one scene a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from loadtest.transcripts.exchanges import Client

NOTES_PATH = "/notes"


@dataclass(frozen=True, slots=True)
class Scene:
    """One page: `name` is its file's, `play` asks what is asked. Its second argument is the provider's host:port."""

    name: str
    title: str
    about: str
    play: Callable[[Client, str], Awaitable[object]]


def run(agent: str, content: str, **more: Any) -> dict[str, Any]:
    """The body of a native run."""
    return {"agent": agent, **more, "input": {"messages": [{"role": "user", "content": content}]}}


async def _chat(client: Client, provider: str) -> None:
    hours = "The library opens at nine. On Saturdays the library closes at two, on other days at six."
    messages = [
        {"role": "system", "content": hours},
        {"role": "user", "content": "When does the library close on Saturdays?"},
    ]
    await client.post("A question", "/v1/chat/completions", {"model": "chat", "messages": messages, "stream": True})


async def _react(client: Client, provider: str) -> None:
    await client.post(
        "Two calls at once",
        "/v1/runs",
        run("react", "Who was Ada Lovelace, and what is the weather in Berlin?"),
        note="The parts of the question do not depend on each other, so both tools run in one turn.",
    )
    await client.post(
        "One call after the other",
        "/v1/runs",
        run("react", "Look up the user ann@example.com, then list the items of that user"),
        note="The second call needs what the first one brings.",
    )
    await client.post(
        "A calculation that goes on with its result",
        "/v1/runs",
        run("react", "Calculate 12 * (3 + 4), then add 16 to the result"),
    )
    await client.post(
        "Figures about a table",
        "/v1/runs",
        run("react", "What is the average price per city in this table?\ncity,price\nRome,10\nOslo,20\nRome,30"),
    )
    await client.post(
        "An error that a tool reports",
        "/v1/runs",
        run("react", "What is the weather in Atlantis?"),
        note="The model reads the error and says so.",
    )


async def _react_as_text(client: Client, provider: str) -> None:
    await client.post(
        "Calls as text",
        "/v1/runs",
        run("react", "Calculate 12 * 7 and tell me the weather in Paris, Texas", model="dormouse-dev-notools"),
        note="This model knows no tool calls, so the agent tells it of the tools in its prompt and reads calls out of "
        "its text. Clients see the same events.",
    )


async def _plan_execute(client: Client, provider: str) -> None:
    question = (
        "Who was Charles Babbage, and what is the weather in London? Also look up the user bo@example.com, "
        "then list the items of that user."
    )
    await client.post("A plan with steps that wait and steps that do not", "/v1/runs", run("plan-execute", question))
    await client.post(
        "A second round",
        "/v1/runs",
        run("plan-execute", "Look up the Analytical Engine on Wikipedia, and who was Konrad Zuse?"),
        note="A step fails; the verification says what is missing, and the next round tries another tool.",
    )


async def _auto(client: Client, provider: str) -> None:
    for title, content in (
        ("A greeting goes to chat", "Good morning!"),
        ("One thing to look up goes to react", "What is the weather in Tokyo?"),
        (
            "Several things that build on each other go to plan-execute",
            "Research who Ada Lovelace was and who Alan Turing was, then compare the two and write a report",
        ),
    ):
        await client.post(title, "/v1/runs", run("auto", content))


async def _approval(client: Client, provider: str) -> None:
    note = f'Post {{"text": "Buy hazelnuts"}} to http://{provider}{NOTES_PATH}'
    for title, answer in (
        ("The person changes the arguments", _edit),
        ("The person rejects the call", _reject),
    ):
        asked = await client.post(
            f"{title}: the run stops and asks",
            "/v1/runs",
            run("react", note),
            note="`http_post` has side effects and needs a person's approval. Nothing runs while nobody answers.",
        )
        run_id = asked.of("run.started")[0]["run_id"]
        interrupt = asked.of("run.interrupted")[0]["interrupts"][0]
        await client.post(
            f"{title}: the answer, and what comes of it",
            f"/v1/runs/{run_id}/resume",
            {"answers": {interrupt["id"]: answer(interrupt)}},
        )


def _edit(interrupt: Any) -> dict[str, Any]:
    arguments = {**interrupt["details"]["arguments"], "json": {"text": "Buy hazelnuts and acorns"}}
    return {"action": "edit", "arguments": arguments}


def _reject(interrupt: Any) -> dict[str, Any]:
    return {"action": "reject", "reason": "We have enough hazelnuts."}


async def _client_tools(client: Client, provider: str) -> None:
    question = {"role": "user", "content": "What is 6 * 7, and switch on the lamp in the kitchen"}
    parameters = {
        "type": "object",
        "properties": {"room": {"type": "string", "description": "Which room"}, "on": {"type": "boolean"}},
        "required": ["room", "on"],
    }
    function = {"name": "switch_lamp", "description": "Switches the lamp of a room on or off", "parameters": parameters}
    body = {"model": "react", "messages": [question], "tools": [{"type": "function", "function": function}]}
    asked = await client.post(
        "The client's own tool beside the platform's",
        "/v1/chat/completions",
        body,
        note="`math` runs on the platform; the call of `switch_lamp` is handed back.",
    )
    message = asked.answer["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "The lamp is on."} for call in message["tool_calls"]
    ]
    await client.post(
        "The client answers with its result",
        "/v1/chat/completions",
        {**body, "messages": [question, message, *results]},
    )


async def _canvas(client: Client, provider: str) -> None:
    thread = (await client.post("A thread", "/v1/threads", {})).answer["id"]
    made = await client.post(
        "Make a document",
        f"/v1/threads/{thread}/runs",
        run("canvas", 'Write a markdown checklist called "Winter sleep" for hazelnuts, moss and a hollow tree'),
    )
    artifact = made.of("artifact.saved")[0]["artifact_id"]
    await client.post(
        "Change a part of it",
        f"/v1/threads/{thread}/runs",
        run("canvas", 'Replace "moss" with "dry moss"'),
        note="Only the line that changes is sent: an RFC 6902 patch.",
    )
    await client.get("The document's versions", f"/v1/artifacts/{artifact}/versions")
    await client.get("What changed between them", f"/v1/artifacts/{artifact}/compare?from=1&to=2")


SCENES = (
    Scene("chat", "chat", "Talks, and has no tools of its own.", _chat),
    Scene("react", "react", "Thinks, calls tools and reads what they bring, until it can answer.", _react),
    Scene("react-as-text", "react with a model that has no tools", "The same agent, calls as text.", _react_as_text),
    Scene("plan-execute", "plan-execute", "Plans, runs what the plan allows side by side, verifies.", _plan_execute),
    Scene("canvas", "canvas", "Writes documents and changes parts of them; every version is kept.", _canvas),
    Scene("auto", "auto", "Chooses the agent that a request needs, and says why.", _auto),
    Scene("approval", "A person approves, changes or rejects a call", "Human in the loop.", _approval),
    Scene("client-tools", "Tools that the client runs", "Offered to the model, handed back as calls.", _client_tools),
)
