"""Rounds of answers that are disturbed at random moments, and what they have to be in the end all the same."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from tests.chaos.answers import Answer, Ask, ag_ui, chat, native, on_thread, whole_chat
from tests.chaos.platforms import Parts
from tests.chaos.simulation import Simulation
from tests.stack import Tenant

WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}

ASKED: Sequence[tuple[Ask, str, dict[str, Any]]] = (
    (native, "Count to 50.", {}),
    (on_thread, "Count to 54.", {}),
    (ag_ui, "Count to 58.", {}),
    (chat, "Count to 62.", {}),
    (whole_chat, "Count to 46.", {}),
    (native, "Count to 22.", {"options": {"reasoning": True}}),
    (chat, "Count to 18.", {"reasoning_effort": "high"}),
    (chat, "What is the weather in Bonn, and what is the weather in Paris?", {"tools": [WEATHER]}),
)
"""Every surface, and every kind of thing that a model says. Each answer differs from all others."""

SPREAD_S = 0.3
"""The starts of one round's answers are spread over this, so that a disturbance hits them in different phases."""

ROUND_S = 0.6
"""So long a round takes when nothing disturbs it."""

PACE = {"ttft_ms": 60, "token_ms": 4}
"""The model server's, for rounds of that length."""

PHASES = frozenset({"queued", "prefilling", "part 1 of 4", "part 2 of 4", "part 3 of 4", "part 4 of 4"})


async def ask_all(http: httpx.AsyncClient, spread_s: float = 0.0) -> list[Answer]:
    """All questions, their starts spread evenly over so many seconds."""

    async def later(number: int) -> Answer:
        await asyncio.sleep(spread_s * number / len(ASKED))
        ask, text, options = ASKED[number]
        return await ask(http, text, **options)

    return list(await asyncio.gather(*(later(number) for number in range(len(ASKED)))))


async def hold_through(
    parts: Parts, tenant: Tenant, moments: Sequence[float], disturb: Callable[[], Awaitable[object]]
) -> Counter[str]:
    """Asks everything once per moment and disturbs it then: each answer must be the undisturbed one.

    A round begins while the one before it still recovers, so some of its answers are disturbed twice. Returns how many
    answers were in which phase when they were disturbed.
    """
    hit: Counter[str] = Counter()
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        undisturbed = [answer.said for answer in await ask_all(http)]
        assert {said[1] for said in undisturbed} == {"finished"}
        async with asyncio.TaskGroup() as tasks:
            rounds = [tasks.create_task(ask_all(http))]
            for moment in moments:
                await simulation.set(slots=4)
                rounds.append(tasks.create_task(ask_all(http, SPREAD_S)))
                await asyncio.sleep(moment)
                hit.update(phase(request) for request in await simulation.unfinished())
                await disturb()
                assert [answer.said for answer in await rounds[-2]] == undisturbed
            assert [answer.said for answer in await rounds[-1]] == undisturbed
    return hit


def phase(request: dict[str, Any]) -> str:
    """What a disturbance hits, in the model server's words, and the part of the answer that has been said."""
    if request["state"] != "streaming":
        return str(request["state"])
    return f"part {min(4 * request['tokens_sent'] // request['tokens'], 3) + 1} of 4"


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 5) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.05)
