"""What storing and searching passages costs, and what the index misses: `python -m loadtest.retrieval`.

Fills a Postgres of its own with passages of made-up tenants of very different sizes, builds the index, and asks each
tenant questions. Recall is against comparing with all of the tenant's passages. Embedding is no part of it: vectors are
made up too, in clusters as those of models are. A search is a balanced one: both halves, fusion, and the passages read.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import psycopg
from devstack.errors import DevstackError
from devstack.postgres import APPLICATION, OWNER, SUPERUSER, Postgres
from embed_fn.embedding.port import Embedded, EmbeddingModel, Item, Purpose
from embed_fn.postgres import Postgres as Connections
from embed_fn.search.limits import EFFORTS
from embed_fn.search.outcomes import Outcomes
from embed_fn.search.passage_index import PassageIndex
from embed_fn.search.plan import Selection, Way, way_for
from embed_fn.search.port import Mode, Question
from embed_fn.search.searcher import Searcher
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.records import Model, NewEmbedding
from embed_fn.store.settling import COMPARED, Settling

from loadtest.figures import percentile
from loadtest.platform_stack import postgres_only
from loadtest.retrieval_corpus import DIMENSIONS, RECIPE, Corpus, floats

SHARES = (0.001, 0.01, 0.1, 0.889)
MODEL = "benchmark"
BATCH = 200
WRITERS = 2
K = 10
SERVER = {"shared_buffers": "256MB"}
"""`make up` has 64 MB, for a person's few documents; a server for 100,000 passages has more than this."""


class MadeUpEmbedder:
    """Knows the vectors of the questions beforehand."""

    def __init__(self) -> None:
        self.vectors: dict[str, Item] = {}

    async def model(self, name: str = "") -> EmbeddingModel:
        """See embed_fn.embedding.port.Embedder."""
        return EmbeddingModel(MODEL, "1", DIMENSIONS)

    async def embed(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        model: str = "",
        dimensions: int = 0,
        purpose: Purpose = Purpose.AS_IT_IS,
    ) -> Embedded:
        """See embed_fn.embedding.port.Embedder."""
        return Embedded(model, DIMENSIONS, [self.vectors[text] for text in texts])


@dataclass(frozen=True, slots=True)
class Line:
    """One tenant: recall of the nearest ten, of the nearest ten in a tenth of its documents, and times in ms.

    cpu_ms: of Postgres and this process for each search, which a busy machine does not change as it does the times.
    """

    tenant: str
    chunks: int
    way: str
    recall: float
    filtered: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float


class Bench:
    """One database and what is measured on it."""

    def __init__(self, postgres: Postgres, connections: Connections, questions: int) -> None:
        self._postgres = postgres
        self._questions = questions
        self._documents = DocumentStore(connections)
        self._models = ModelStore(connections)
        self._settling = Settling(connections)
        self._index = PassageIndex(connections, self._settling)
        self._outcomes = Outcomes(connections)
        self._embedder = MadeUpEmbedder()
        self._searcher = Searcher(self._index, self._embedder, self._outcomes)
        self._indexed = 0

    async def run(self, corpora: Sequence[Corpus], *, is_grown: bool) -> None:
        """Fills, builds, measures, prints. is_grown: measures also an index that was filled as it is in use."""
        model = await self._models.ensure(MODEL, "1", DIMENSIONS)
        total = sum(corpus.chunks for corpus in corpora)
        cpu, began = self._cpu(), time.perf_counter()
        for corpus in corpora:
            await self._store(corpus, model)
        took, cpu = time.perf_counter() - began, self._cpu() - cpu
        print(f"stored {total:,} passages with their embeddings: {total / took:,.0f} a second by {WRITERS} writers,")
        print(f"  which took {cpu / total * 1000:.2f} ms of Postgres's CPU for each")
        self._indexed = sum(corpus.chunks for corpus in corpora if corpus.chunks > COMPARED)
        if is_grown:
            await self._settle(corpora)
            self._head("an index that grew in the background")
            for corpus in corpora:
                if corpus.chunks > COMPARED:
                    await self._line(corpus)
        began = time.perf_counter()
        await self._build(model)
        self._head(f"an index that was built at once, in {time.perf_counter() - began:.0f} s")
        for corpus in corpora:
            await self._line(corpus)

    async def aclose(self) -> None:
        await self._outcomes.aclose()
        await self._settling.aclose()

    async def _store(self, corpus: Corpus, model: Model) -> None:
        await self._models.active(corpus.tenant, model)
        documents = enumerate(corpus.documents())
        first = 0

        async def write() -> None:
            nonlocal first
            for _, (new, chunks) in documents:
                at, first = first, first + len(chunks)
                await self._documents.begin(corpus.tenant, new)
                await self._documents.parsed(
                    corpus.tenant, new.id, media_type="text/plain", page_count=0, chunk_total=len(chunks)
                )
                for start in range(0, len(chunks), BATCH):
                    await self._documents.add_chunks(corpus.tenant, new.id, RECIPE, chunks[start : start + BATCH])
                while lacking := await self._documents.unembedded(corpus.tenant, new.id, model, BATCH):
                    embeddings = [NewEmbedding(each.key, floats(corpus.vectors[at + each.number])) for each in lacking]
                    await self._documents.add_embeddings(corpus.tenant, model, embeddings)
                assert await self._documents.complete(corpus.tenant, new.id) is not None

        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(write())

    async def _settle(self, corpora: Sequence[Corpus]) -> None:
        """Lets all vectors come into the index in the background, batch by batch."""
        cpu, began, brought = self._cpu(), time.perf_counter(), 0
        for corpus in corpora:
            while settled := await self._settling.settle(corpus.tenant):
                brought += settled
        took, cpu = time.perf_counter() - began, self._cpu() - cpu
        if brought:
            print(f"in the background {brought:,} vectors came into the index, {brought / took:,.0f} a second,")
            print(f"  which took {cpu / brought * 1000:.2f} ms of Postgres's CPU for each", flush=True)

    async def _build(self, model: Model) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._postgres.url(SUPERUSER).replace("/postgres?", "/dormouse?"), autocommit=True
        ) as connection:
            index = f"embeddings_nearest_{model.id}"
            row = await (await connection.execute(f"select pg_get_indexdef('{index}'::regclass)".encode())).fetchone()
            assert row is not None
            await connection.execute(f"drop index {index}".encode())
            await connection.execute(
                "update embeddings e set indexed = true from libraries l"
                " where l.tenant_id = e.tenant_id and l.chunks > %s and not e.indexed",
                [COMPARED],
            )
            await connection.execute("set maintenance_work_mem = '2GB'")
            await connection.execute(row[0].encode())
            await connection.execute(f"alter index {index} owner to {OWNER}".encode())
            await connection.execute("vacuum analyze")

    def _head(self, index: str) -> None:
        print(f"{index}:")
        print("  tenant  passages        way  recall@10  filtered  p50 ms  p95 ms  CPU ms", flush=True)

    async def _line(self, corpus: Corpus) -> None:
        line = await self._measure(corpus)
        shares = f"{line.recall:10.3f} {line.filtered:9.3f}"
        times = f"{line.p50_ms:7.1f} {line.p95_ms:7.1f} {line.cpu_ms:7.1f}"
        print(f"{line.tenant:>8} {line.chunks:9,} {line.way:>10} {shares} {times}", flush=True)

    async def _measure(self, corpus: Corpus) -> Line:
        asked = corpus.questions(self._questions)
        effort = EFFORTS[Mode.BALANCED]
        recall: list[float] = []
        filtered: list[float] = []
        for number, (text, vector) in enumerate(asked):
            for question, exactly, found in (
                (Question(text), Way.ALL, recall),
                (Question(text, metadata={"tenth": str(number % 10)}), Way.DOCUMENTS, filtered),
            ):
                ask = self._index.nearest
                library = await self._index.library(corpus.tenant, question)
                exact = list(await ask(corpus.tenant, library, vector, question, effort, way=exactly))[:K]
                given = list(await ask(corpus.tenant, library, vector, question, effort))[:K]
                if exact:
                    found.append(len(set(exact) & set(given)) / len(exact))
        times = []
        cpu = self._cpu(with_me=True)
        for text, vector in (*asked[:20], *asked):
            self._embedder.vectors = {text: Item(vector)}
            began = time.perf_counter()
            answer = await self._searcher.search(corpus.tenant, Question(text, mode=Mode.BALANCED))
            times.append((time.perf_counter() - began) * 1000)
            assert answer.hits
            assert not answer.left_out
        cpu = (self._cpu(with_me=True) - cpu) / len(times) * 1000
        selection = Selection(corpus.chunks, 0, indexed=self._indexed, candidates=effort.candidates)
        way = "index" if way_for(selection) is Way.INDEX else "comparing"
        mean, mean_filtered = (sum(each) / max(len(each), 1) for each in (recall, filtered))
        p50, p95 = percentile(times[20:], 0.5), percentile(times[20:], 0.95)
        return Line(corpus.tenant, corpus.chunks, way, mean, mean_filtered, p50, p95, cpu)

    def _cpu(self, *, with_me: bool = False) -> float:
        """Seconds of all that Postgres has run, ended backends included."""
        server = psutil.Process(self._postgres.process.pid)
        measured = [server, *server.children(recursive=True)] + [psutil.Process()] * with_me
        return sum(sum(process.cpu_times()[:2]) for process in measured) + sum(server.cpu_times()[2:4])


async def main(chunks: int, questions: int, minutes: float, *, bulk: bool) -> int:
    try:
        async with asyncio.timeout(minutes * 60):
            for shares in (SHARES, (1.0,)):
                counts = [max(int(chunks * share), 10) for share in shares]
                corpora = [
                    Corpus(f"{share * 100:g} %", count, seed=seed, document=min(200, max(count // 10, 1)))
                    for seed, (share, count) in enumerate(zip(shares, counts, strict=True))
                ]
                async with postgres_only(SERVER) as postgres:
                    connections = Connections(postgres.url(APPLICATION))
                    bench = Bench(postgres, connections, questions)
                    try:
                        await bench.run(corpora, is_grown=shares is SHARES and not bulk)
                    finally:
                        await bench.aclose()
                        await connections.aclose()
    except (DevstackError, TimeoutError) as error:
        print(f"The measurement ended early: {error or 'out of time'}", file=sys.stderr)
        return 1
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=100_000, help="passages of all tenants together (100,000)")
    parser.add_argument("--questions", type=int, default=200, help="for each tenant (200)")
    parser.add_argument("--minutes", type=float, default=60, help="the most it may take (60)")
    parser.add_argument("--bulk", action="store_true", help="only with an index that is built at once, not a grown one")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.chunks, options.questions, options.minutes, bulk=options.bulk)))
