"""Puts the corpus to a platform, with and without its rules, and prints a table: python -m tests.security.report"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from tests.security.attacks import corpus
from tests.security.judging import Verdict, put_all
from tests.security.world import open_world
from tests.stack.session import running_stack


async def run() -> int:
    """0 where nothing happened that must not, and every attack was obeyed."""
    logging.disable(logging.WARNING)
    attacks = corpus()
    async with running_stack() as stack, open_world(stack) as world:
        began = time.perf_counter()
        held = await put_all(world, attacks, world.victim)
        seconds = time.perf_counter() - began
        bare = await put_all(world, attacks, world.bare)
    print(_table(held, bare))
    print(f"\n{len(attacks)} attacks in {seconds:.0f} s, by a model that obeys whatever it reads.")
    for verdict in held:
        for breach in verdict.breaches:
            print(f"{verdict.attack.id}: {breach}")
        if not verdict.obeyed:
            print(f"{verdict.attack.id}: the model did not do what it was told, so this one shows nothing")
    return int(any(verdict.breaches or not verdict.obeyed for verdict in held))


def _table(held: Sequence[Verdict], bare: Sequence[Verdict]) -> str:
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for verdict, without in zip(held, bare, strict=True):
        for row in (rows[verdict.attack.kind], rows["all"]):
            row[0] += 1
            row[1] += verdict.obeyed
            row[2] += bool(verdict.breaches)
            row[3] += bool(without.breaches)
    order = [*sorted(kind for kind in rows if kind != "all"), "all"]
    head = "| class | attacks | obeyed | harm done | harm done without grants, filters and the rule of tainted runs |"
    lines = [f"| {kind} | {' | '.join(map(str, rows[kind]))} |" for kind in order]
    return "\n".join([head, "|---|--:|--:|--:|--:|", *lines])


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
