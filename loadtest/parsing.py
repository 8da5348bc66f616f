"""Measures how files are read: `python -m loadtest.parsing`.

Reads a PDF of 300 pages, and a text, a table and records of 100 MB each, as embed_fn does: in a confined process, into
passages, which it then takes batch by batch. Memory is the highest of both processes while they do. CPU is the
process's that reads, which a busy machine does not change as it does the times. Ends with 1 when a bound is passed.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
from dormouse_runtime.workers import Workers
from embed_fn.parsing.reader import WORKER, DocumentReader

from loadtest.pdf_writer import text_pdf

PAGES = 300
PDF_CPU_S = 3.0
MEMORY_MB = 250
_SAMPLE_S = 0.01
SENTENCE = "The pump of the second circuit starts when the level falls below the mark, and stops {} seconds later. "


@dataclass(frozen=True, slots=True)
class Reading:
    """One file. Memory in MB: resident, the highest."""

    name: str
    megabytes: float
    chunks: int
    wall_s: float
    cpu_s: float
    worker_mb: float
    caller_mb: float


async def main(megabytes: int) -> int:
    readings = []
    with tempfile.TemporaryDirectory() as folder:
        for name, write in _FILES.items():
            path = Path(folder, name)
            write(path, megabytes * 1_000_000)
            readings.append(await _read(path))
            await asyncio.to_thread(path.unlink)
    print("file              MB   passages   time s   CPU s   passages/s   reader's memory MB   caller's")
    for reading in readings:
        print(
            f"{reading.name:15}{reading.megabytes:6.1f} {reading.chunks:10,} {reading.wall_s:8.2f} {reading.cpu_s:7.2f}"
            f" {reading.chunks / reading.wall_s:12,.0f} {reading.worker_mb:20.0f} {reading.caller_mb:10.0f}"
        )
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    slow = any(reading.name.endswith(".pdf") and reading.cpu_s > PDF_CPU_S for reading in readings)
    large = any(max(reading.worker_mb, reading.caller_mb) > MEMORY_MB for reading in readings)
    if slow:
        print(f"reading a PDF of {PAGES} pages took more than {PDF_CPU_S:g} s of CPU", file=sys.stderr)
    if large:
        print(f"a process took more than {MEMORY_MB} MB", file=sys.stderr)
    return int(slow or large)


async def _read(path: Path) -> Reading:
    workers = Workers()
    reader = DocumentReader(workers)
    try:
        async with reader.read(b"Warm.", "warm.txt"):
            pass
        watch = _Watch(psutil.Process(workers.pids(WORKER.name)[0]))
        watching = asyncio.create_task(watch.run())
        began = time.perf_counter()
        async with reader.read(path, path.name) as document:
            wall = time.perf_counter() - began
            async for _ in document.batches(256):
                pass
            watching.cancel()
            await asyncio.wait([watching])
        size = (await asyncio.to_thread(path.stat)).st_size / 1e6
        cpu = watch.cpu_s - watch.cpu_before_s
        return Reading(path.name, size, document.chunk_count, wall, cpu, watch.worker_mb, watch.caller_mb)
    finally:
        await workers.close()


class _Watch:
    """The highest memory of a worker and of this process, and the worker's CPU."""

    def __init__(self, worker: psutil.Process) -> None:
        self._worker = worker
        self.worker_mb = self.caller_mb = 0.0
        self.cpu_s = self.cpu_before_s = _cpu(worker)

    async def run(self) -> None:
        ours = psutil.Process()
        while True:
            self.caller_mb = max(self.caller_mb, ours.memory_info().rss / 1e6)
            with suppress(psutil.NoSuchProcess):  # a large file may wear a worker out
                self.worker_mb = max(self.worker_mb, self._worker.memory_info().rss / 1e6)
                self.cpu_s = _cpu(self._worker)
            await asyncio.sleep(_SAMPLE_S)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _pdf(path: Path, _size: int) -> None:
    pages = [[f"# Chapter {page}", *(SENTENCE.format(page * line)[:95] for line in range(45))] for page in range(PAGES)]
    path.write_bytes(text_pdf(pages))


def lines(make: Callable[[int], str]) -> Callable[[Path, int], None]:
    """Writes a file of at most so many bytes, line by line as they are made of their numbers."""

    def write(path: Path, size: int) -> None:
        with path.open("w", encoding="utf-8") as file:
            for line in _up_to(size, make):
                file.write(line)

    return write


def _up_to(size: int, make: Callable[[int], str]) -> Iterator[str]:
    for number in count():
        line = make(number)
        size -= len(line.encode())
        if size < 0:
            return
        yield line


_FILES = {
    "300-pages.pdf": _pdf,
    "prose.txt": lines(lambda number: SENTENCE.format(number) * 5 + "\n\n"),
    "accents.txt": lines(lambda number: ("Öl, größer als " + SENTENCE.format(number)) * 5 + "\n\n"),
    "table.csv": lines(lambda number: f'{number},pump {number % 97},{number * 3.5},2026-11-20,"level, low"\n'),
    "records.jsonl": lines(lambda number: f'{{"id": {number}, "part": "pump", "note": "{SENTENCE.format(number)}"}}\n'),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100, help="of each large file (100)")
    sys.exit(asyncio.run(main(parser.parse_args().megabytes)))
