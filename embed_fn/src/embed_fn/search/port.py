"""What a search is asked and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from embed_fn.store.records import Passage


class Mode(StrEnum):
    """AUTO: FAST, BALANCED or DEEP, as the question wants."""

    AUTO = "auto"
    FAST = "fast"
    BALANCED = "balanced"
    DEEP = "deep"


@dataclass(frozen=True, slots=True)
class Question:
    """text: 1 to 4,096 characters. limit: passages, 0 for the mode's own, at most 100.

    metadata: only documents that have all of these. document_ids: only these documents; empty: all.
    """

    text: str
    mode: Mode = Mode.AUTO
    limit: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    document_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """score: comparable within one answer. vector_score: cosine similarity, None: not among the nearest.

    text_score: None: no word matched, or too many better ones.
    """

    passage: Passage
    score: float
    vector_score: float | None
    text_score: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """mode: never AUTO. left_out: what failed or took too long: "vectors", "text", "rewriting", "reranking"."""

    hits: Sequence[Hit]
    mode: Mode
    left_out: Sequence[str] = ()


class Search(Protocol):
    """Finds passages in the ready documents of a tenant."""

    async def search(self, tenant: str, question: Question) -> Found:
        """Best first, within the mode's time. Errors: INVALID_ARGUMENT, DATABASE_UNAVAILABLE."""
        ...


class Reasoner(Protocol):
    """The model's part of a deep search."""

    async def rewrite(self, question: str, timeout_s: float) -> Sequence[str]:
        """Other ways to ask for the same, at most 3. Errors: MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        ...

    async def rank(self, question: str, passages: Sequence[str], timeout_s: float) -> Sequence[float]:
        """How well each passage answers the question, 0 to 1. Errors: MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        ...
