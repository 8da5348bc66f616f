"""Reading in confined processes: limits, bounded batches, cancellation, and who is to blame."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.workers import Workers
from embed_fn.parsing.errors import UnreadableError
from embed_fn.parsing.limits import Limits
from embed_fn.parsing.reader import WORKER, DocumentReader

from tests.unit.embed_fn.parsing.hostile_files import GOOD
from tests.unit.embed_fn.parsing.office_files import docx, paragraph

TEXT = b"".join(b"Paragraph %d says something of its own, and takes some words for it.\n\n" % n for n in range(20_000))
# Nesting as deep as this takes time without end: to look for an open <p>, all open elements are searched.
SLOW = b"<html><body>" + b"<div>" * 300_000 + b"x"


@pytest.fixture(scope="module")
async def workers() -> AsyncIterator[Workers]:
    workers = Workers()
    yield workers
    await workers.close()


async def refused(workers: Workers, data: bytes, name: str = "file", **limits: float) -> str:
    reader = DocumentReader(workers, Limits(**limits))  # type: ignore[arg-type]
    with pytest.raises(UnreadableError) as error:
        async with reader.read(data, name):
            pass
    async with reader.read(b"Fine.", "fine.txt") as document:
        assert document.chunk_count == 1
    return error.value.message


async def test_a_file_on_disk_comes_out_in_batches_from_anywhere(workers: Workers, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(TEXT)
    async with DocumentReader(workers).read(path, "../notes.txt") as document:
        assert (document.name, document.media_type, document.page_count) == ("notes.txt", "text/plain", 0)
        assert document.characters == len(TEXT) - 2
        every = [chunk async for batch in document.batches(100) for chunk in batch]
        assert [chunk.number for chunk in every] == list(range(document.chunk_count))
        text = TEXT.decode()
        assert all(text[chunk.start : chunk.end] == chunk.text for chunk in every)
        sizes = [len(batch) async for batch in document.batches(64, first=500)]
        assert sum(sizes) == document.chunk_count - 500
        assert set(sizes[:-1]) == {64}
        rest = [chunk async for batch in document.batches(7, first=document.chunk_count - 3) for chunk in batch]
        assert rest == every[-3:]
        assert [batch async for batch in document.batches(7, first=document.chunk_count)] == []


async def test_the_same_file_gives_the_same_passages(workers: Workers) -> None:
    async def passages(name: str) -> list[object]:
        async with DocumentReader(workers).read(TEXT, name) as document:
            return [batch async for batch in document.batches(50)]

    assert await passages("one") == await passages("two")


async def test_each_limit_says_what_to_do(workers: Workers) -> None:
    assert "larger than 0.1 MB. Split" in await refused(workers, TEXT, file_bytes=100_000)
    assert "more than 100,000 characters" in await refused(workers, TEXT, text_characters=100_000)
    assert "more than 0 pages. Split" in await refused(workers, GOOD, pages=0)
    assert "unpacks to" in await refused(workers, docx(paragraph("x" * 9000)), unpacked_bytes=5000)
    assert "longer than 1 s. Split" in await refused(workers, SLOW, time_s=1)


async def test_a_cancelled_reading_ends_its_process(workers: Workers) -> None:
    reader = DocumentReader(workers)
    async with reader.read(GOOD, "good.pdf"):
        pids = workers.pids(WORKER.name)

    async def read() -> None:
        async with reader.read(SLOW, "slow.html"):
            pass

    task = asyncio.create_task(read())
    while not any(psutil.Process(pid).cpu_percent(0.02) > 20 for pid in pids):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with reader.read(GOOD, "good.pdf") as document:
        assert document.page_count == 1
    assert set(workers.pids(WORKER.name)) != set(pids)


async def test_without_a_process_the_file_is_not_to_blame() -> None:
    workers = Workers()
    reader = DocumentReader(workers)
    await workers.close()
    with pytest.raises(DormouseError) as error:
        async with reader.read(GOOD, "good.pdf"):
            pass
    assert not isinstance(error.value, UnreadableError)
    assert error.value.retryable
