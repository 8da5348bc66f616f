"""What a tool tells never blocks it and never piles up."""

import asyncio

from tool_fn.feed import Feed
from tool_fn.tool import Progress


async def test_unread_output_grows_together_and_unread_progress_is_replaced() -> None:
    feed = Feed(100)
    for number in range(5):
        feed.tell(str(number))
        feed.tell(Progress(f"step {number}", number / 5))
    assert await feed.take() == ["01234", Progress("step 4", 0.8)]
    feed.tell("more")
    assert await feed.take() == ["more"]


async def test_the_reader_waits_and_gets_the_end_last() -> None:
    feed = Feed(100)
    reading = asyncio.create_task(feed.take())
    await asyncio.sleep(0)
    assert not reading.done()
    feed.tell("first")
    assert await reading == ["first"]
    feed.tell("last")
    feed.close()
    feed.tell("too late")
    assert await feed.take() == ["last"]
    assert await feed.take() == []
    assert await feed.take() == []


async def test_output_beyond_its_limit_is_dropped() -> None:
    feed = Feed(10)
    for _ in range(1000):
        feed.tell("abc")
    feed.tell("")
    assert await feed.take() == ["abcabcabca"]


async def test_long_output_comes_in_pieces_and_long_messages_are_cut() -> None:
    feed = Feed(100_000)
    feed.tell("x" * 40_000)
    feed.tell(Progress("y" * 10_000))
    *pieces, progress = await feed.take()
    assert "".join(map(str, pieces)) == "x" * 40_000
    assert max(len(str(piece)) for piece in pieces) == 16 * 1024
    assert progress == Progress("y" * 500)


async def test_other_threads_may_tell_too() -> None:
    feed = Feed(100)
    await asyncio.to_thread(feed.tell, "from a thread")
    assert await feed.take() == ["from a thread"]
