"""agent_fn is killed in mid-answer, and no client notices."""

import asyncio
import random
from collections import Counter

from tests.chaos.conftest import moments
from tests.chaos.disturbance import PHASES, ROUND_S, Lane, hold_through, open_lane
from tests.stack import Fleet, Tenant

KILLS = 20
LANES = 2


async def test_killing_agent_fn_twenty_times_changes_no_answer(
    fleet: Fleet, tenant: Tenant, dice: random.Random
) -> None:
    kills = moments(dice, KILLS, ROUND_S)

    async def run(lane: Lane, kills: list[float]) -> Counter[str]:
        return await hold_through(lane, tenant, kills, lambda: lane.agent_fn.restart(ready=False))

    lanes = await asyncio.gather(*(open_lane(fleet) for _ in range(LANES)))
    hits = await asyncio.gather(*(run(lane, kills[number::LANES]) for number, lane in enumerate(lanes)))
    hit = sum(hits, Counter())
    print(hit)
    assert set(hit) >= PHASES, hit
