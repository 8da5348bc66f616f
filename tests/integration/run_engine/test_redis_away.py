"""Redis goes away, comes back, and comes back empty: runs stream all the same."""

import asyncio
import signal
from collections.abc import AsyncGenerator

import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.runs import RunEngine

from tests.integration.run_engine.conftest import Bench, eventually, text_of
from tests.integration.run_engine.scripted_agent import delta, ended, finished, saying, started
from tests.stack import Fleet


class Steps:
    """A script that says one word at each call of `say`."""

    def __init__(self) -> None:
        self._words: asyncio.Queue[str | None] = asyncio.Queue()

    def say(self, word: str | None) -> None:
        """Says a word; None ends the message and the run."""
        self._words.put_nowait(word)

    async def script(self, request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        while (word := await self._words.get()) is not None:
            yield delta(word)
        yield ended()
        yield finished()


async def resumable(engine: RunEngine) -> bool:
    return engine.resume_available


async def test_a_run_streams_and_can_be_resumed_again_when_redis_returns(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    first, second = await bench.replica(valkey.url), await bench.replica(valkey.url)
    steps = Steps()
    bench.agent.script = steps.script
    run_id = await first.start(bench.spec())
    reading = asyncio.create_task(bench.read(first, run_id))
    steps.say("before ")
    await bench.said(first, run_id, "before ")
    await valkey.process.kill()
    steps.say("during ")
    await bench.said(first, run_id, "during ")
    assert not first.resume_available
    await valkey.start()
    await eventually(lambda: resumable(first))
    steps.say("after")
    steps.say(None)
    events = await reading
    assert text_of(events) == "before during after"
    assert await bench.read(second, run_id) == events


async def test_a_redis_that_has_lost_everything_gets_the_live_logs_again(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey(persist=False)
    first, second = await bench.replica(valkey.url), await bench.replica(valkey.url)
    steps = Steps()
    bench.agent.script = steps.script
    run_id = await first.start(bench.spec())
    steps.say("before ")
    await bench.said(first, run_id, "before ")
    await valkey.process.kill()
    await valkey.start()
    steps.say("after")
    steps.say(None)
    events = await bench.read(first, run_id)
    await eventually(lambda: resumable(first))
    assert text_of(events) == "before after"
    assert await bench.read(second, run_id) == events


async def test_a_run_that_began_and_ended_without_redis_is_logged_when_it_returns(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    first, second = await bench.replica(valkey.url), await bench.replica(valkey.url)
    await valkey.process.kill()
    bench.agent.script = saying("all ", "the same")
    run_id = await first.start(bench.spec())
    events = await bench.read(first, run_id)
    assert text_of(events) == "all the same"
    assert not first.resume_available
    with pytest.raises(DormouseError) as refusal:
        await bench.read(second, run_id)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_CACHE_UNAVAILABLE
    await valkey.start()
    await eventually(lambda: resumable(first))
    assert await bench.read(second, run_id) == events


async def test_a_redis_that_hangs_delays_an_answer_briefly_and_once(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    engine = await bench.replica(valkey.url)
    valkey.process.send(signal.SIGSTOP)
    bench.agent.script = saying("all ", "the same")
    async with asyncio.timeout(5):
        for _ in range(3):
            assert text_of(await bench.read(engine, await engine.start(bench.spec()))) == "all the same"
    valkey.process.send(signal.SIGCONT)
    await eventually(lambda: resumable(engine))


async def test_nobody_takes_runs_over_because_redis_was_away_from_all(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    first, second = await bench.replica(valkey.url), await bench.replica(valkey.url)
    steps = Steps()
    bench.agent.script = steps.script
    run_id = await first.start(bench.spec())
    steps.say("one ")
    await bench.said(first, run_id, "one ")
    await valkey.process.kill()
    await asyncio.sleep(1.2)  # longer than a lease
    await valkey.start()
    await eventually(lambda: resumable(first))
    steps.say("two")
    steps.say(None)
    assert text_of(await bench.read(second, run_id)) == "one two"
    assert len(bench.agent.requests) == 1
