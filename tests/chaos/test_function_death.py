"""agent_fn is killed in mid-answer, and no client notices."""

import asyncio
import random
from collections import Counter

from tests.chaos.answers import SURFACES
from tests.chaos.conftest import Tasks, moments
from tests.chaos.disturbance import PACE, PHASES, ROUND_S, hold_through
from tests.chaos.platforms import Parts, open_platform
from tests.chaos.simulation import Simulation
from tests.stack import Fleet, Tenant

KILLS = 20
LANES = 2
"""Platforms side by side: two need little more time than one."""


async def test_killing_agent_fn_twenty_times_changes_no_answer(
    fleet: Fleet, tenant: Tenant, dice: random.Random
) -> None:
    kills = moments(dice, KILLS, ROUND_S)

    async def run(parts: Parts, kills: list[float]) -> Counter[str]:
        return await hold_through(parts, tenant, kills, lambda: parts.agent_fn.restart(ready=False))

    lanes = await asyncio.gather(*(open_platform(fleet, pace=PACE) for _ in range(LANES)))
    hits = await asyncio.gather(*(run(parts, kills[number::LANES]) for number, parts in enumerate(lanes)))
    hit = sum(hits, Counter())
    print(hit)
    assert set(hit) >= PHASES, hit


async def test_an_answer_that_its_model_cannot_continue_is_replaced_where_the_client_can_be_told(
    fleet: Fleet, tenant: Tenant, tasks: Tasks
) -> None:
    model = "dormouse-dev-noprefill"
    parts = await open_platform(
        fleet, pace={"ttft_ms": 20, "token_ms": 10}, agent_env={"DORMOUSE_DEFAULT_MODEL": model}
    )
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        asking = [
            tasks.start(ask(http, "Count to 50.", **({} if surface == "ag_ui" else {"model": model})))
            for surface, ask in SURFACES.items()
        ]
        await Simulation(control).wait(tokens=10, count=len(asking))
        await parts.agent_fn.restart(ready=False)
        answers = {answer.surface: answer for answer in await asyncio.gather(*asking)}
        # What has been streamed as Chat Completion cannot be taken back: the client is to ask again.
        assert (answers["chat"].end, answers["chat"].error) == ("failed", "stream_broken")
        del answers["chat"]
        for answer in answers.values():
            assert (answer.end, answer.text[-8:], answer.completion_tokens) == ("finished", ", 49, 50", 50)
            assert answer.text.count("1, 2, 3") == 1
        for surface, restated in (
            ("native", "message.replaced"),
            ("thread", "message.replaced"),
            ("ag_ui", "MESSAGES_SNAPSHOT"),
        ):
            assert answers[surface].kinds.count(restated) == 1
