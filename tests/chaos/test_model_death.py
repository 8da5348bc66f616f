"""The model server is killed, breaks off, or talks nonsense: answers go on, or end with an error that says so."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.chaos.answers import STREAMS, SURFACES, Answer
from tests.chaos.conftest import Tasks, moments
from tests.chaos.disturbance import PACE, PHASES, ROUND_S, hold_through
from tests.chaos.platforms import Parts, open_platform
from tests.chaos.simulation import Simulation
from tests.stack import Fleet, Stack, Tenant

KILLS = 20
LANES = 2
"""Platforms side by side: two need little more time than one."""
PROMPT_TOKENS = 7
"""Of a question that asks to count."""

GIVES_UP_S = 10.0
"""The repetitions take 7.7 s in all."""


@pytest.fixture(scope="module")
async def parts(stack: Stack) -> AsyncIterator[Parts]:
    async with stack.fleet() as fleet:
        yield await open_platform(fleet)


async def test_killing_the_model_server_twenty_times_changes_no_answer(
    fleet: Fleet, tenant: Tenant, dice: random.Random
) -> None:
    kills = moments(dice, KILLS, ROUND_S)

    async def run(parts: Parts, kills: list[float]) -> Counter[str]:
        return await hold_through(parts, tenant, kills, parts.model_server.restart)

    lanes = await asyncio.gather(*(open_platform(fleet, pace=PACE) for _ in range(LANES)))
    hits = await asyncio.gather(*(run(parts, kills[number::LANES]) for number, parts in enumerate(lanes)))
    hit = sum(hits, Counter())
    print(hit)
    assert set(hit) >= PHASES, hit


@pytest.mark.parametrize("kind", ["reset", "cut", "truncate", "malformed", "error", "busy"])
async def test_an_answer_that_the_model_server_spoils_goes_on(parts: Parts, tenant: Tenant, kind: str) -> None:
    asked = list(enumerate([*SURFACES.values()] * 3, start=30))
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.set(ttft_ms=5, token_ms=1)
        await simulation.clear()
        for at_token in (0, 17, 40):  # before its first, in its middle, and instead of its end
            await simulation.fault(kind, at_token=at_token, times=len(SURFACES))
        answers = await asyncio.gather(*(ask(http, f"Count to {count}.") for count, ask in asked))
        assert len(await simulation.requests(state="failed")) == len(asked)
    for (count, _), answer in zip(asked, answers, strict=True):
        assert (answer.end, answer.text) == ("finished", ", ".join(map(str, range(1, count + 1)))), answer.surface
        assert (answer.prompt_tokens, answer.completion_tokens) == (PROMPT_TOKENS, count)


async def test_a_model_server_that_stays_away_is_a_clean_error_and_its_return_is_noticed(
    fleet: Fleet, tenant: Tenant, tasks: Tasks
) -> None:
    parts = await open_platform(fleet)
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.set(token_ms=50)
        begun = [tasks.start(ask(http, "Count to 100.")) for ask in SURFACES.values()]
        await simulation.wait(tokens=5, count=len(begun))
        await parts.model_server.kill()
        new = [tasks.start(ask(http, "Count to 100.")) for ask in SURFACES.values()]
        async with asyncio.timeout(GIVES_UP_S):
            cut_off, never_begun = await asyncio.gather(asyncio.gather(*begun), asyncio.gather(*new))
        for answers in (cut_off, never_begun):
            assert [answer.error for answer in answers] == ["model_unavailable"] * len(SURFACES)
            # A stream has opened by then, so the error is an event in it; a whole answer can still choose its status.
            assert [(answer.surface, answer.end, answer.status) for answer in answers] == [
                *((surface, "failed", 200) for surface in STREAMS),
                ("whole_chat", "refused", 503),
            ]
        assert all(answer.text.startswith("1, 2, 3,") for answer in cut_off if answer.surface in STREAMS)
        assert whole(cut_off).headers["x-should-retry"] == "true"
        assert whole(cut_off).headers["retry-after"]
        await parts.model_server.start()
        again = await asyncio.gather(*(ask(http, "Count to 9.") for ask in SURFACES.values()))
        assert {answer.text for answer in again} == {"1, 2, 3, 4, 5, 6, 7, 8, 9"}


async def test_a_model_that_falls_silent_is_a_timeout_and_its_request_is_closed(fleet: Fleet, tenant: Tenant) -> None:
    parts = await open_platform(fleet, agent_env={"DORMOUSE_MODEL_READ_TIMEOUT_S": "0.4"})
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.set(ttft_ms=5, token_ms=1)
        for at_token in (0, 12):
            await simulation.clear()
            await simulation.fault("hang", at_token=at_token, times=len(SURFACES))
            async with asyncio.timeout(5):
                answers = await asyncio.gather(*(ask(http, "Count to 30.") for ask in SURFACES.values()))
            assert [answer.error for answer in answers] == ["model_timeout"] * len(SURFACES)
            assert whole(answers).status == 504
            await simulation.wait(state="aborted", count=len(SURFACES), timeout_s=1)


def whole(answers: list[Answer]) -> Answer:
    """The answer that is not a stream."""
    return next(answer for answer in answers if answer.surface == "whole_chat")
