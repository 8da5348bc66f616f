"""agent_fn or tool_fn is killed at each step of a run with three tools: each effect happens once, the answer stands."""

import asyncio
import itertools
import json
from collections import Counter
from dataclasses import dataclass

import httpx
import pytest

from loadtest.transcripts.setting import providers_config
from tests.stack import AgentFn, Edge, Fleet, Tenant
from tests.stack.server import Server, ToolFn

KILLS = {"agent_fn": 29, "tool_fn": 21}
"""At least so many each."""

LANES = 3
"""Platforms side by side: while the functions of one start, the others go on."""

STEPS = ("run.started", "step.", "message.finished", "tool_call.")
"""What the names of the events at a step's boundary begin with. A call that is under way goes on without agent_fn."""

BETWEEN_CALLS = ("run.started", "tool_call.result", "step.finished tools")
"""Those after which no tool is at work: one that tool_fn dies under has an outcome that nobody knows."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The functions that are killed, and the edge in front of them."""

    agent_fn: AgentFn
    tool_fn: ToolFn
    edge: Edge


@pytest.mark.parametrize("victim", KILLS)
async def test_killing_a_function_at_each_step_of_a_run_with_tools_repeats_no_effect(
    fleet: Fleet, tenant: Tenant, victim: str
) -> None:
    model_server = await fleet.model_server(ttft_ms=100, token_ms=1)
    providers = await fleet.providers()
    config = fleet.stack.folder / "three-tools.yaml"
    config.write_text(providers_config(providers.address) + "approval: {http_post: false}\n")

    async def open_lane() -> Lane:
        tool_fn = await fleet.tool_fn(config=config)
        agent_fn = await fleet.agent_fn(model_server, tools=tool_fn)
        return Lane(agent_fn, tool_fn, await fleet.edge(agent_fn, tools=tool_fn))

    lanes = await asyncio.gather(*(open_lane() for _ in range(LANES)))
    events = list(enumerate(await run(lanes[0], tenant, providers, "calm")))
    boundaries = [
        number for number, name in events if name.startswith(STEPS if victim == "agent_fn" else BETWEEN_CALLS)
    ]
    kills = list(itertools.islice(itertools.cycle(boundaries), max(KILLS[victim], len(boundaries))))
    print(f"{len(boundaries)} boundaries, {len(kills)} kills of {victim}")

    async def work(lane: Lane, kills: list[tuple[int, int]]) -> None:
        for number, boundary in kills:
            await run(lane, tenant, providers, f"kill-{number}", boundary, getattr(lane, victim))

    numbered = list(enumerate(kills))
    await asyncio.gather(*(work(lane, numbered[number::LANES]) for number, lane in enumerate(lanes)))
    async with httpx.AsyncClient(base_url=providers.url) as http:
        notes = Counter(note["content"] for note in (await http.get("/notes")).json()["notes"])
    keys = ["calm", *(f"kill-{number}" for number in range(len(kills)))]
    assert notes == Counter(f"{which} {key}" for key in keys for which in ("first", "last"))


async def run(
    lane: Lane, tenant: Tenant, providers: Server, key: str, kill_at: int = -1, victim: Server | None = None
) -> list[str]:
    """Asks for two notes and a product between them; kills the victim at that event. The names of the run's events."""
    notes = f"{providers.url}/notes"
    question = f'Post "first {key}" to {notes}, then calculate 17 * 23, then post "last {key}" to {notes}'
    body = {"agent": "react", "input": {"messages": [{"role": "user", "content": question}]}}
    names, text, results, revival = list[str](), "", list[dict[str, object]](), None
    async with lane.edge.client(tenant) as http, http.stream("POST", "/v1/runs", json=body) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                if len(names) == kill_at and victim is not None:
                    revival = asyncio.create_task(victim.restart(ready=False))
                data = json.loads(line.removeprefix("data: "))
                names.append(f"{name} {data['name']}" if name.startswith("step.") else name)
                if name == "message.delta":
                    text += data["text"]
                elif name == "tool_call.result":
                    results.append(data)
    if revival is not None:
        await revival
    assert names[-1] == "run.finished", (key, names[-1], data)
    assert [result["is_error"] for result in results] == [False] * 3, (key, results)
    assert "391" in text, (key, text)
    return names
