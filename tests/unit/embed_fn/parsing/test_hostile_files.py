"""Each hostile file is refused with a sentence, or read cleanly, within the limits; and a good one is read after it."""

import re
import time
from collections.abc import AsyncIterator

import psutil
import pytest
from dormouse_runtime.workers import Workers
from embed_fn.chunking.chunk import CHUNK_LIMITS, Chunk
from embed_fn.parsing.errors import UnreadableError
from embed_fn.parsing.limits import Limits
from embed_fn.parsing.reader import WORKER, DocumentReader

from tests.unit.embed_fn.parsing.hostile_files import GOOD, HOSTILE, Hostile

LIMIT_S = 20.0
NOT_TO_BE_SEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


@pytest.fixture(scope="module")
async def workers() -> AsyncIterator[Workers]:
    workers = Workers()
    yield workers
    await workers.close()


@pytest.fixture(scope="module")
def reader(workers: Workers) -> DocumentReader:
    return DocumentReader(workers, Limits(time_s=LIMIT_S))


async def test_there_are_many() -> None:
    assert len({hostile.id for hostile in HOSTILE}) == len(HOSTILE) >= 50


@pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.id for hostile in HOSTILE])
async def test_a_hostile_file_does_no_harm(workers: Workers, reader: DocumentReader, hostile: Hostile) -> None:
    data = hostile.make()
    began = time.monotonic()
    sentence = ""
    try:
        async with reader.read(data, hostile.name) as document:
            assert document.chunk_count > 0
            end = 0
            async for chunks in document.batches(500):
                for chunk in chunks:
                    end = check(chunk, end)
            assert end <= document.characters
    except UnreadableError as error:
        sentence = error.message
    assert time.monotonic() - began < LIMIT_S + 4
    assert hostile.refused is None or hostile.refused == bool(sentence), sentence
    if sentence:
        assert re.fullmatch(r"[A-Z].{10,300}\.", sentence)
        assert not NOT_TO_BE_SEEN.search(sentence)
        assert "Error" not in sentence
        assert "/" not in sentence
    async with reader.read(GOOD, "good.pdf") as document:
        assert document.chunk_count == 1
    for pid in workers.pids(WORKER.name):
        assert psutil.Process(pid).memory_info().rss < 250 * 2**20


def check(chunk: Chunk, end: int) -> int:
    assert 0 < len(chunk.text) <= CHUNK_LIMITS.most
    assert chunk.end - chunk.start == len(chunk.text)
    assert not NOT_TO_BE_SEEN.search(chunk.text)
    assert not any(NOT_TO_BE_SEEN.search(heading) for heading in chunk.headings)
    assert chunk.end > end
    return chunk.end
