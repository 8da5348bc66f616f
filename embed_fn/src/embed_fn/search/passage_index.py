"""What Postgres is asked in a search: each half by itself, and the passages of what was found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from embed_fn.postgres import Postgres
from embed_fn.search import statements
from embed_fn.search.complexity import Thresholds
from embed_fn.search.limits import Effort
from embed_fn.search.plan import Selection, Way, ef_search_for, way_for
from embed_fn.search.port import Question
from embed_fn.store import settling
from embed_fn.store.passages import passage_from
from embed_fn.store.records import Model, Passage
from embed_fn.store.rows import model_from, storable
from embed_fn.store.settling import BATCH, Settling
from embed_fn.store.transactions import READ_S, Transactions

if TYPE_CHECKING:
    from array import array


class ModelChangedError(Exception):
    """The tenant's model is not, or no longer, the one that the question was embedded with."""


@dataclass(frozen=True, slots=True)
class Library:
    """What a tenant has when it is looked at; but for the model it only decides how a search is done.

    model: the tenant's, None where nothing can be found. chunks: passages of ready documents. selected: those that the
    question is about. hidden: passages of documents that are not ready. indexed: vectors of all tenants in the model's
    index, about. is_behind: whether so many vectors wait for the index that it is worth to wake who brings them in.
    """

    model: Model | None
    chunks: int
    thresholds: Thresholds
    selected: int = 0
    hidden: int = 0
    indexed: float = 0
    is_behind: bool = False


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """number: its place in the document."""

    passage: Passage
    number: int


class PassageIndex:
    """Every method reaches only the ready documents of its tenant. Errors: DATABASE_UNAVAILABLE."""

    def __init__(self, postgres: Postgres, settling: Settling) -> None:
        self._transactions = Transactions(postgres)
        self._settling = settling

    async def library(self, tenant: str, question: Question | None = None, *, timeout_s: float = READ_S) -> Library:
        """What there is to search, for a question with its filters."""
        values = _filter(tenant, question) | {"compared": settling.COMPARED, "most_waiting": BATCH}
        rows = await self._transactions.ask(statements.LIBRARY, values, timeout_s=timeout_s)
        if not rows:
            return Library(None, 0, Thresholds())
        [row] = rows
        return Library(
            model=None if row["id"] is None else model_from(row),
            chunks=row["chunks"],
            thresholds=Thresholds(row["balanced_from"], row["deep_from"]),
            selected=row["chunks"] if row["selected"] is None else row["selected"],
            hidden=row["hidden"],
            indexed=row["indexed"] or 0,
            is_behind=row["waiting"] == BATCH,
        )

    async def nearest(
        self,
        tenant: str,
        library: Library,
        vector: "array[float]",
        question: Question,
        effort: Effort,
        *,
        way: Way | None = None,
    ) -> dict[int, float]:
        """The cosine similarity of the nearest passages by key, nearest first. library: as it is for this question; the
        vector is its model's. way: None for the cheapest.

        Errors: ModelChangedError.
        """
        model = library.model
        if model is None:
            raise ModelChangedError
        is_filtered = bool(question.metadata or question.document_ids)
        selection = Selection(library.selected, library.hidden, is_filtered, library.indexed, effort.candidates)
        if selection.chunks == 0:
            return {}
        taken = way or way_for(selection)
        if library.is_behind:
            self._settling.wake(tenant)
        values = _filter(tenant, question) | {
            "model": model.id,
            "dimensions": model.dimensions,
            "vector": orjson.dumps(vector.tolist()).decode(),
            "way": taken.value,
            "most": effort.candidates,
            "ef_search": ef_search_for(selection, effort.ef_search),
        }
        rows = await self._transactions.ask(statements.NEAREST, values, timeout_s=effort.time_s)
        if rows and rows[0]["chunk"] is None:
            raise ModelChangedError
        return {row["chunk"]: row["similarity"] for row in rows}

    async def matching(self, tenant: str, text: str, question: Question, effort: Effort) -> dict[int, float]:
        """The rank of passages that have words of the text by key, best first."""
        values = _filter(tenant, question) | {
            "question": storable(text),
            "most": effort.candidates,
            "matched": effort.matched,
        }
        rows = await self._transactions.ask(statements.MATCHING, values, timeout_s=effort.time_s)
        return {row["chunk"]: row["score"] for row in rows}

    async def passages(self, tenant: str, keys: Iterable[int]) -> Mapping[int, StoredPassage]:
        """Those of the passages that are still there."""
        rows = await self._transactions.ask(statements.PASSAGES, {"tenant": tenant, "keys": list(keys)})
        return {row["key"]: StoredPassage(passage_from(row), row["number"]) for row in rows}


def _filter(tenant: str, question: Question | None) -> dict[str, Any]:
    """wanted: null where the question is about all documents."""
    if question is None or not (question.metadata or question.document_ids):
        return {"tenant": tenant, "wanted": None, "ids": []}
    metadata = {storable(key): storable(value) for key, value in question.metadata.items()}
    return {
        "tenant": tenant,
        "wanted": orjson.dumps(metadata).decode(),
        "ids": [storable(each) for each in question.document_ids],
    }
