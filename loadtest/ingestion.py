"""Brings large files to their end through the platform, and watches its memory: `python -m loadtest.ingestion`.

Each file is uploaded to /v1/files as a client does it, kept, read, cut, embedded by the development embedder and
stored, until a search finds what stands in its last lines. Memory is looked at all the while: the highest resident
memory of embed_fn, of the process that reads for it, and of the edge; and of embed_fn and its readers together at one
moment, where what they share counts once (PSS, Linux only). Ends with 1 when these together pass the bound, or a file
does not come to its end.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from devstack.errors import DevstackError

from loadtest.parsing import SENTENCE, lines
from loadtest.pdf_writer import text_pdf
from loadtest.platform_stack import Stack, whole_platform

MEMORY_MB = 250
PDF_PAGES = 600
FORM_BYTES = 4096
"""Below the most that a request's body has, for what a form has beside its file."""
_LAST = "The lighthouse keeper of Vandrum counts seven grey herons."
_SAMPLE_S = 0.02
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Ingested:
    """One file. Memory in MB: the highest. kept_s: until all bytes were kept; done_s: until searches found it."""

    name: str
    megabytes: float
    passages: int
    kept_s: float
    done_s: float
    embed_fn_mb: float
    reader_mb: float
    together_mb: float
    edge_mb: float


async def main(megabytes: int, names: list[str], minutes: float) -> int:
    """Ingests the files that are named, one after the other, each in a platform of its own."""
    ingested = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder, name)
            await asyncio.to_thread(_FILES[name], path, megabytes * 1_000_000 - FORM_BYTES)
            async with (
                asyncio.timeout(minutes * 60),
                whole_platform({"ttft_ms": 0, "token_ms": 0}, documents=True) as stack,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
            ):
                ingested.append(await _ingest(stack, http, path))
            await asyncio.to_thread(path.unlink)
    print("file            MB  passages   kept s   done s  passages/s   embed_fn MB  reader  together  edge")
    for one in ingested:
        print(
            f"{one.name:13}{one.megabytes:5.0f} {one.passages:9,} {one.kept_s:8.1f} {one.done_s:8.1f}"
            f" {one.passages / one.done_s:11,.0f} {one.embed_fn_mb:13.0f} {one.reader_mb:7.0f} {one.together_mb:9.0f}"
            f" {one.edge_mb:5.0f}"
        )
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if any(one.together_mb > MEMORY_MB for one in ingested):
        print(f"embed_fn and its readers took more than {MEMORY_MB} MB", file=sys.stderr)
        return 1
    return 0


async def _ingest(stack: Stack, http: aiohttp.ClientSession, path: Path) -> Ingested:
    url = f"http://{stack.addresses['edge']}/v1"
    headers = {"authorization": f"Bearer {stack.credentials.api_key}"}
    watch = _Watch(psutil.Process(stack.pids["embed_fn"]), psutil.Process(stack.pids["edge"]))
    watching = asyncio.create_task(watch.run())
    try:
        began = time.perf_counter()
        with path.open("rb") as content:
            form = aiohttp.FormData({"purpose": "assistants"})
            form.add_field("file", content, filename=path.name)
            file = await _json(http.post(f"{url}/files", data=form, headers=headers))
        kept_s = time.perf_counter() - began
        while file["status"] == "uploaded":
            await asyncio.sleep(_POLL_S)
            file = await _json(http.get(f"{url}/files/{file['id']}", headers=headers))
        done_s = time.perf_counter() - began
        if file["status"] != "processed":
            raise RuntimeError(f"{path.name}: {file['status_details']}")
        found = await _json(http.post(f"{url}/search", json={"query": _LAST, "mode": "balanced"}, headers=headers))
        if not any(_LAST in hit["text"] for hit in found["data"]):
            raise RuntimeError(f"{path.name}: a search does not find its last line")
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    size = (await asyncio.to_thread(path.stat)).st_size / 1e6
    memory = (watch.embed_fn_mb, watch.reader_mb, watch.together_mb, watch.edge_mb)
    return Ingested(path.name, size, file["chunk_count"], kept_s, done_s, *memory)


async def _json(request: Any) -> Any:
    async with request as response:
        if response.status >= 400:
            raise RuntimeError(f"{response.status}: {await response.text()}")
        return await response.json()


class _Watch:
    """The highest memory, in MB."""

    def __init__(self, embed_fn: psutil.Process, edge: psutil.Process) -> None:
        self._embed_fn = embed_fn
        self._edge = edge
        self.embed_fn_mb = self.reader_mb = self.together_mb = self.edge_mb = 0.0

    async def run(self) -> None:
        while True:
            own = _memory_mb(self._embed_fn)
            readers = [_memory_mb(child) for child in self._embed_fn.children(recursive=True)]
            self.embed_fn_mb = max(self.embed_fn_mb, own)
            self.reader_mb = max(self.reader_mb, *readers, 0)
            # Read from the kernel page by page, so only where it could be the highest.
            if own + sum(readers) > self.together_mb:
                together = [self._embed_fn, *self._embed_fn.children(recursive=True)]
                self.together_mb = max(self.together_mb, sum(map(_share_mb, together)))
            self.edge_mb = max(self.edge_mb, _memory_mb(self._edge))
            await asyncio.sleep(_SAMPLE_S)


def _share_mb(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", memory.rss)) / 1e6
    return 0.0


def _memory_mb(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss) / 1e6
    return 0.0


def _ended(write: Callable[[Path, int], None], last: str) -> Callable[[Path, int], None]:
    def write_all(path: Path, size: int) -> None:
        write(path, size - len(last))
        with path.open("a", encoding="utf-8") as file:
            file.write(last)

    return write_all


def _pdf(path: Path, size: int) -> None:
    """A scanned book with its text: pictures make it large."""
    pages = [
        [f"# Chapter {page}", *(SENTENCE.format(page * line)[:95] for line in range(45))] for page in range(PDF_PAGES)
    ]
    pages[-1].append(_LAST)
    dice = random.Random(7)
    pictures = [dice.randbytes((size // PDF_PAGES - 2000) // 100 * 100) for _ in range(PDF_PAGES)]
    path.write_bytes(text_pdf(pages, pictures=pictures))


_FILES: dict[str, Callable[[Path, int], None]] = {
    "prose.txt": _ended(lines(lambda number: SENTENCE.format(number) * 5 + "\n\n"), f"{_LAST}\n"),
    "table.csv": _ended(
        lines(lambda number: f'{number},pump {number % 97},{number * 3.5},2026-11-20,"level, low"\n'),
        f'0,"{_LAST}",0,2026-11-20,""\n',
    ),
    "pictures.pdf": _pdf,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100, help="of each file (100)")
    parser.add_argument("--files", nargs="+", choices=_FILES, default=list(_FILES), help="which of them (all)")
    parser.add_argument("--minutes", type=float, default=30, help="the most that a file may take (30)")
    options = parser.parse_args()
    try:
        sys.exit(asyncio.run(main(options.megabytes, options.files, options.minutes)))
    except (DevstackError, RuntimeError, TimeoutError) as error:
        sys.exit(f"The measurement ended early: {error or 'out of time'}")
