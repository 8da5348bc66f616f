"""The collaborators that embed_fn's calls share.

This is the one place for a new collaborator: a field of `Means`, and its opening in `open_means`. To open one costs
nothing: it connects, starts processes and imports what is heavy when a call first needs it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dormouse_runtime.metrics import Collector
from dormouse_runtime.workers import Workers

from embed_fn.embedding.batches import BatchLimits
from embed_fn.embedding.cache import Cache
from embed_fn.embedding.embedder import ModelEmbedder
from embed_fn.embedding.meter import EmbeddingMeter
from embed_fn.embedding.models import Models
from embed_fn.embedding.port import Embedder
from embed_fn.embedding.postgres_store import PostgresStore
from embed_fn.ingestion.ingestions import Ingestions
from embed_fn.ingestion.passage_vectors import PassageVectors
from embed_fn.ingestion.pipeline import Pipeline
from embed_fn.ingestion.reindexing import Reindexing
from embed_fn.ingestion.upkeep import Upkeep
from embed_fn.ollama.client import OllamaClient, Timeouts
from embed_fn.parsing.limits import LIMITS
from embed_fn.parsing.reader import DocumentReader
from embed_fn.postgres import Postgres
from embed_fn.search.outcomes import Outcomes
from embed_fn.search.passage_index import PassageIndex
from embed_fn.search.port import Search
from embed_fn.search.reasoner import OllamaReasoner
from embed_fn.search.searcher import Searcher
from embed_fn.settings import Settings
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.settling import Settling
from embed_fn.work_meter import WorkMeter


@dataclass(frozen=True, slots=True)
class Means:
    """Handed to all calls. collectors: what Prometheus shows of them."""

    settings: Settings
    postgres: Postgres
    ollama: OllamaClient
    embedder: Embedder
    documents: DocumentStore
    ingestions: Ingestions
    reindexing: Reindexing
    search: Search
    upkeep: Upkeep
    collectors: Sequence[Collector] = ()


@asynccontextmanager
async def open_means(settings: Settings) -> AsyncIterator[Means]:
    """Opens the collaborators and closes them again, the last one first."""
    async with AsyncExitStack() as stack:
        postgres = Postgres(settings.postgres_url)
        stack.push_async_callback(postgres.aclose)
        timeouts = Timeouts(settings.model_connect_timeout_s, settings.model_read_timeout_s)
        ollama = await stack.enter_async_context(OllamaClient.open(settings.ollama_url, timeouts))
        models = Models(ollama, settings.embed_model)
        stack.push_async_callback(models.aclose)
        store = PostgresStore(postgres, settings.cache_days)
        stack.push_async_callback(store.aclose)
        limits = BatchLimits(settings.batch_inputs, settings.batch_tokens)
        meter = EmbeddingMeter()
        embedder = ModelEmbedder(ollama, models, Cache(settings.cache_bytes, store), limits, meter)
        stack.push_async_callback(embedder.aclose)
        workers = Workers()
        stack.push_async_callback(workers.close)
        settling = Settling(postgres)
        stack.push_async_callback(settling.aclose)
        documents, stored_models = DocumentStore(postgres), ModelStore(postgres)
        vectors = PassageVectors(embedder, stored_models)
        reindexing = Reindexing(documents, stored_models, vectors)
        stack.push_async_callback(reindexing.aclose)
        work_meter = WorkMeter()
        pipeline = Pipeline(documents, DocumentReader(workers), vectors, reindexing, settling.wake, work_meter)
        ingestions = Ingestions(documents, pipeline, most=settings.ingestions, most_bytes=LIMITS.file_bytes)
        stack.push_async_callback(ingestions.aclose)
        upkeep = Upkeep(documents, vectors, reindexing, is_model_chosen=bool(settings.embed_model))
        stack.push_async_callback(upkeep.aclose)
        outcomes = Outcomes(postgres)
        stack.push_async_callback(outcomes.aclose)
        reasoner = OllamaReasoner(ollama, settings.deep_model)
        search = Searcher(PassageIndex(postgres, settling), embedder, outcomes, reasoner, work_meter)
        collectors = (meter, work_meter)
        yield Means(settings, postgres, ollama, embedder, documents, ingestions, reindexing, search, upkeep, collectors)
