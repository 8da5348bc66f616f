"""What the store takes and gives."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class DocumentState(StrEnum):
    """Searches see documents that are READY, and no part of others."""

    INGESTING = "ingesting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewDocument:
    """recipe: names how the document is parsed and cut. Passages of another recipe are dropped when it is resumed.

    sha256: lower-case hex, of the content.
    """

    id: str
    name: str
    size_bytes: int
    sha256: str
    recipe: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """chunk_count: passages that are stored. chunk_total: how many there will be; None: not known yet.

    recipe: what its passages were made with. error: for people, where it is FAILED.
    """

    id: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    state: DocumentState
    recipe: str
    page_count: int
    chunk_count: int
    chunk_total: int | None
    created_unix_ms: int
    error: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """next_token: empty on the last page."""

    documents: Sequence[Document]
    next_token: str


class NewChunk(Protocol):
    """A passage as it is cut. number: 0, 1, 2, …; start and end: code points in the document's text.

    The same document and recipe give the same passages, whoever cuts them.
    """

    @property
    def number(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def headings(self) -> Sequence[str]: ...
    @property
    def first_page(self) -> int: ...
    @property
    def last_page(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Passage:
    """chunk_id: `{document}.{number}`, or `{document}.{first}-{last}` for neighbours that were merged."""

    chunk_id: str
    document_id: str
    document_name: str
    text: str
    headings: Sequence[str]
    first_page: int
    last_page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model that the store knows. id: its number here."""

    id: int
    name: str
    version: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A stored passage that lacks a model's embedding. key: for `add_embeddings`. number: in its document."""

    key: int
    number: int
    text: str
    headings: Sequence[str]


@dataclass(frozen=True, slots=True)
class NewEmbedding:
    """key: of `Unembedded`."""

    key: int
    vector: "array[float]"


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """Passages of a tenant's ready documents, and how many of them a model has embedded."""

    done: int
    total: int
