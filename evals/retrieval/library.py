"""The corpus in embed_fn's own store: read, cut, embedded and searched by the code that serves."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dormouse_runtime.workers import Workers
from embed_fn.embedding.port import Embedder, Purpose
from embed_fn.ingestion.passage_vectors import PassageVectors
from embed_fn.parsing.reader import RECIPE, DocumentReader
from embed_fn.postgres import Postgres
from embed_fn.search.fusion import Ranking, fused
from embed_fn.search.limits import EFFORTS, Effort
from embed_fn.search.outcomes import Outcomes
from embed_fn.search.passage_index import PassageIndex
from embed_fn.search.port import Hit, Mode, Question
from embed_fn.search.searcher import Searcher
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.records import Model, NewDocument
from embed_fn.store.settling import Settling

EFFORT: Effort = EFFORTS[Mode.BALANCED]
_BATCH = 128


@dataclass(frozen=True, slots=True)
class StoredText:
    """A passage as it is stored. file: its document's name."""

    file: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Halves:
    """Scores by the key of a passage, best first. hybrid: both fused, as searches do."""

    text: dict[int, float]
    vectors: dict[int, float]
    hybrid: dict[int, float]


class Library:
    """One tenant's documents with the vectors of one model."""

    def __init__(self, tenant: str, postgres: Postgres, embedder: Embedder, means: AsyncExitStack) -> None:
        self._tenant = tenant
        self._embedder = embedder
        settling = Settling(postgres)
        means.push_async_callback(settling.aclose)
        outcomes = Outcomes(postgres)
        means.push_async_callback(outcomes.aclose)
        workers = Workers()
        means.push_async_callback(workers.close)
        self._reader = DocumentReader(workers)
        self._documents = DocumentStore(postgres)
        self._models = ModelStore(postgres)
        self._vectors = PassageVectors(embedder, self._models)
        self._index = PassageIndex(postgres, settling)
        self._searcher = Searcher(self._index, embedder, outcomes)
        self._model: Model | None = None

    async def add(self, files: Sequence[Path]) -> dict[int, StoredText]:
        """Stores the files. All their passages by key."""
        self._model = (await self._vectors.choose(self._tenant)).model
        stored: dict[int, StoredText] = {}
        for file in files:
            stored |= await self._add(file, self._model)
        return stored

    async def _add(self, file: Path, model: Model) -> dict[int, StoredText]:
        content = await asyncio.to_thread(file.read_bytes)
        sha256 = hashlib.sha256(content).hexdigest()
        new = NewDocument(f"file-{sha256[:24]}", file.name, len(content), sha256, RECIPE)
        document = await self._documents.begin(self._tenant, new)
        async with self._reader.read(file, file.name) as read:
            await self._documents.parsed(
                self._tenant,
                document.id,
                media_type=read.media_type,
                page_count=read.page_count,
                chunk_total=read.chunk_count,
            )
            async for chunks in read.batches(_BATCH):
                await self._documents.add_chunks(self._tenant, document.id, RECIPE, chunks)
        stored: dict[int, StoredText] = {}
        while lacking := await self._documents.unembedded(self._tenant, document.id, model, _BATCH):
            await self._documents.add_embeddings(
                self._tenant, model, await self._vectors.embed(self._tenant, model, lacking)
            )
            stored |= {each.key: StoredText(file.name, each.number, each.text) for each in lacking}
        completed = await self._documents.complete(self._tenant, document.id)
        assert completed is not None
        assert completed.chunk_count == len(stored)
        return stored

    async def halves(self, text: str) -> Halves:
        """What a balanced search has in its hands before it joins neighbours."""
        assert self._model is not None
        embedded = await self._embedder.embed(self._tenant, [text], purpose=Purpose.QUERY)
        question = Question(text)
        vector = embedded.items[0].vector
        library = await self._index.library(self._tenant)
        vectors = await self._index.nearest(self._tenant, library, vector, question, EFFORT)
        words = await self._index.matching(self._tenant, text, question, EFFORT)
        return Halves(words, vectors, fused([Ranking(vectors), Ranking(words)]))

    async def served(self, text: str) -> Sequence[Hit]:
        """What a balanced search answers: ten hits, neighbours joined."""
        found = await self._searcher.search(self._tenant, Question(text, Mode.BALANCED, 10))
        assert not found.left_out, found.left_out
        return found.hits


@asynccontextmanager
async def open_library(postgres_url: str, tenant: str, embedder: Embedder) -> AsyncIterator[Library]:
    """Closes all that it opened."""
    async with AsyncExitStack() as means:
        postgres = Postgres(postgres_url)
        means.push_async_callback(postgres.aclose)
        yield Library(tenant, postgres, embedder, means)
