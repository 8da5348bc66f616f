"""Documents of made-up passages with made-up vectors, stored as ingestion stores them."""

import hashlib
import math
import secrets
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.records import Document, Model, NewDocument, NewEmbedding

RECIPE = "test-1"
DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage, as a chunker gives it."""

    number: int
    text: str
    start: int
    end: int
    headings: Sequence[str] = field(default_factory=tuple)
    first_page: int = 0
    last_page: int = 0


def cut(*texts: str, gap: int = 1) -> list[Cut]:
    """Passages of one text, one behind the other, `gap` characters of white space between them."""
    chunks, start = [], 0
    for number, text in enumerate(texts):
        chunks.append(Cut(number, text, start, start + len(text)))
        start += len(text) + gap
    return chunks


def new_document(name: str = "manual.md", *, metadata: Mapping[str, str] | None = None, text: str = "") -> NewDocument:
    content = hashlib.sha256((text or secrets.token_hex(8)).encode()).hexdigest()
    return NewDocument(f"file-{secrets.token_hex(12)}", name, 100, content, RECIPE, metadata or {})


def vector(*values: float, dimensions: int = DIMENSIONS) -> "array[float]":
    """Of length 1; what is left out is 0."""
    padded = [*values, *(0.0 for _ in range(dimensions - len(values)))]
    length = math.sqrt(sum(value * value for value in padded))
    return array("f", [value / length for value in padded])


def vector_of(text: str, *, dimensions: int = DIMENSIONS) -> "array[float]":
    """The same for the same text, and near no other."""
    digest = hashlib.shake_128(text.encode(errors="surrogatepass")).digest(dimensions)
    return vector(*(byte - 127.5 for byte in digest), dimensions=dimensions)


async def embed_all(store: DocumentStore, tenant: str, document_id: str, model: Model, batch: int = 100) -> None:
    while lacking := await store.unembedded(tenant, document_id, model, batch):
        vectors = [NewEmbedding(each.key, vector_of(each.text, dimensions=model.dimensions)) for each in lacking]
        await store.add_embeddings(tenant, model, vectors)


async def store_document(
    store: DocumentStore, models: ModelStore, tenant: str, chunks: Sequence[Cut], new: NewDocument | None = None
) -> Document:
    """The whole way of a document; its vectors are those of `vector_of`."""
    model = await models.active(tenant, await models.ensure("test-embed", "1", DIMENSIONS))
    assert model is not None
    document = await store.begin(tenant, new or new_document())
    await store.parsed(tenant, document.id, media_type="text/plain", page_count=0, chunk_total=len(chunks))
    for start in range(0, len(chunks), 100):
        await store.add_chunks(tenant, document.id, RECIPE, chunks[start : start + 100])
    await embed_all(store, tenant, document.id, model)
    completed = await store.complete(tenant, document.id)
    assert completed is not None
    return completed
