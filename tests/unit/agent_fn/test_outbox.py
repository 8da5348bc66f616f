"""The queue between a run and its stream: what waits together goes out together."""

import asyncio

import pytest
from agent_fn.events import MessageFinished, MessageStarted, ReasoningDelta, TextDelta
from agent_fn.outbox import Outbox


async def test_a_lone_event_goes_out_at_once() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.put([MessageStarted("m")])
    assert await taking == [MessageStarted("m")]


async def test_neighbouring_deltas_of_a_message_become_one() -> None:
    outbox = Outbox()
    outbox.put([MessageStarted("m"), ReasoningDelta("m", "a", 1)])
    outbox.put([ReasoningDelta("m", "b", 2)])
    outbox.put([TextDelta("m", "c", 1), TextDelta("m", "d", 1)])
    outbox.put([TextDelta("n", "e", 1)])
    assert await outbox.take() == [
        MessageStarted("m"),
        ReasoningDelta("m", "ab", 3),
        TextDelta("m", "cd", 2),
        TextDelta("n", "e", 1),
    ]


async def test_what_was_taken_is_never_added_to() -> None:
    outbox = Outbox()
    outbox.put([TextDelta("m", "a", 1)])
    first = await outbox.take()
    outbox.put([TextDelta("m", "b", 1)])
    assert first == [TextDelta("m", "a", 1)]
    assert await outbox.take() == [TextDelta("m", "b", 1)]


async def test_the_end_comes_after_what_is_unread() -> None:
    outbox = Outbox()
    outbox.put([MessageFinished("m")])
    outbox.close()
    assert await outbox.take() == [MessageFinished("m")]
    assert await outbox.take() == []
    assert await outbox.take() == []


async def test_an_error_comes_after_what_is_unread() -> None:
    outbox = Outbox()
    outbox.put([MessageFinished("m")])
    outbox.close(ValueError("broken"))
    assert await outbox.take() == [MessageFinished("m")]
    with pytest.raises(ValueError, match="broken"):
        await outbox.take()


async def test_a_writer_waits_while_too_much_is_unread() -> None:
    outbox = Outbox()
    outbox.put([TextDelta("m", "x" * 100_000, 1)])
    assert outbox.congested
    waiting = asyncio.create_task(outbox.clear())
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.take()
    await waiting
    assert not outbox.congested


async def test_many_small_events_congest_too() -> None:
    outbox = Outbox()
    outbox.put([MessageStarted(f"m{number}") for number in range(1000)])
    assert outbox.congested


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])
    outbox.put([MessageStarted("m")])
    assert await outbox.take() == [MessageStarted("m")]
