"""An answer that takes longer than one Execute call may goes through several of them, and nobody sees the seams."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.chaos.answers import SURFACES, Ask, native
from tests.chaos.platforms import Parts, open_platform
from tests.chaos.simulation import Simulation
from tests.stack import Edge, Stack, Tenant

BUDGET_S = 0.25
"""A message is broken off after two of them."""


@pytest.fixture(scope="module")
async def parts(stack: Stack) -> AsyncIterator[Parts]:
    async with stack.fleet() as fleet:
        yield await open_platform(fleet, pace={"ttft_ms": 5}, agent_env={"DORMOUSE_EXECUTE_BUDGET_S": str(BUDGET_S)})


async def test_an_answer_of_many_handoffs_is_the_one_of_a_single_call(parts: Parts, tenant: Tenant) -> None:
    edge = parts.edge
    async with edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        asked: list[tuple[Ask, str, dict[str, Any]]] = [
            *((ask, f"Count to {90 + number}.", {}) for number, ask in enumerate(SURFACES.values())),
            (native, "Count to 60.", {"options": {"reasoning": True}}),
        ]

        async def ask_all() -> list[tuple[object, ...]]:
            answers = await asyncio.gather(*(ask(http, text, **options) for ask, text, options in asked))
            return [answer.said for answer in answers]

        await simulation.set(token_ms=0)
        in_one = await ask_all()
        assert await handoffs(edge) == 0
        await simulation.clear()
        await simulation.set(token_ms=25)
        assert await ask_all() == in_one
        # More than two seconds of tokens, half a second of them in a call.
        assert await handoffs(edge) >= 3 * len(asked)
        assert {request["last_role"] for request in await simulation.requests(state="done")} == {"assistant"}
        assert len(await simulation.requests(state="aborted")) == await handoffs(edge)


async def test_an_answer_that_cannot_be_gone_on_with_is_not_broken_off(parts: Parts, tenant: Tenant) -> None:
    edge = parts.edge
    async with edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        await simulation.set(token_ms=25)
        answer = await native(http, "Count to 40.", model="dormouse-dev-noprefill")
        assert (answer.end, answer.completion_tokens) == ("finished", 40)
        assert "message.replaced" not in answer.kinds
        # Where nothing has been said yet, a handoff breaks nothing off: a busy machine may have some.
        assert [request["state"] for request in await simulation.requests(tokens=1)] == ["done"]


async def handoffs(edge: Edge) -> int:
    """How many calls of Execute ended with one."""
    found = re.search(r'^dormouse_run_attempts_total\{outcome="handoff"\} (\S+)', await edge.metrics(), re.MULTILINE)
    return int(float(found[1])) if found else 0
