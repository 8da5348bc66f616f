"""What Postgres is asked in a search: each half by itself, and the passages of what was found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from embed_fn.postgres import Postgres
from embed_fn.search import statements
from embed_fn.search.complexity import Thresholds
from embed_fn.search.limits import Effort
from embed_fn.search.plan import Selection, Way, ef_search_for, way_for
from embed_fn.search.port import Question
from embed_fn.store.passages import passage_from
from embed_fn.store.records import Model, Passage
from embed_fn.store.rows import model_from, storable
from embed_fn.store.settling import BATCH, Settling
from embed_fn.store.transactions import READ_S, Transactions

if TYPE_CHECKING:
    from array import array

    from dormouse_runtime.postgres import Connection


class ModelChangedError(Exception):
    """The tenant's model is not, or no longer, the one that the question was embedded with."""


@dataclass(frozen=True, slots=True)
class Library:
    """model: the tenant's, None where nothing can be found. chunks: passages of ready documents."""

    model: Model | None
    chunks: int
    thresholds: Thresholds


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

    async def library(self, tenant: str, *, timeout_s: float = READ_S) -> Library:
        """What there is to search."""

        async def work(connection: "Connection") -> Library:
            row = await (await connection.execute(statements.LIBRARY, {"tenant": tenant})).fetchone()
            if row is None:
                return Library(None, 0, Thresholds())
            model = None if row["id"] is None else model_from(row)
            return Library(model, row["chunks"], Thresholds(row["balanced_from"], row["deep_from"]))

        return await self._transactions.run(tenant, work, timeout_s=timeout_s, reading=True)

    async def nearest(
        self,
        tenant: str,
        model: Model,
        vector: "array[float]",
        question: Question,
        effort: Effort,
        *,
        way: Way | None = None,
    ) -> dict[int, float]:
        """The cosine similarity of the nearest passages by key, nearest first. way: None for the cheapest.

        Errors: ModelChangedError.
        """
        values = _filter(tenant, question) | {
            "vector": orjson.dumps(vector.tolist()).decode(),
            "most": effort.candidates,
            "model": model.id,
        }

        async def work(connection: "Connection") -> dict[int, float]:
            library = await (await connection.execute(statements.LIBRARY, values)).fetchone()
            if library is None or library["id"] != model.id:
                raise ModelChangedError
            selection = await _selection(connection, question, values, library, effort)
            taken = way or way_for(selection)
            if selection.chunks == 0:
                return {}
            if taken is Way.INDEX:
                waiting = await (await connection.execute(statements.WAITING, values)).fetchone()
                if waiting is not None and waiting["waiting"] == BATCH:
                    self._settling.wake(tenant)
            wide = values | {"ef_search": ef_search_for(selection, effort.ef_search)}
            await connection.execute(statements.settings(taken), wide)
            statement = statements.nearest(taken, model=model.id, dimensions=model.dimensions)
            rows = await connection.execute(statement, values | {"numbers": selection.numbers})
            return {row["chunk"]: row["similarity"] for row in await rows.fetchall()}

        return await self._transactions.run(tenant, work, timeout_s=effort.time_s, reading=True)

    async def matching(self, tenant: str, text: str, question: Question, effort: Effort) -> dict[int, float]:
        """The rank of passages that have words of the text by key, best first."""
        values = _filter(tenant, question) | {
            "question": storable(text),
            "most": effort.candidates,
            "matched": effort.matched,
            "numbers": None,
        }

        async def work(connection: "Connection") -> dict[int, float]:
            if question.metadata or question.document_ids:
                row = await (await connection.execute(statements.SELECTED, values)).fetchone()
                values["numbers"] = row["numbers"] if row else []
            rows = await connection.execute(statements.MATCHING, values)
            return {row["chunk"]: row["score"] for row in await rows.fetchall()}

        return await self._transactions.run(tenant, work, timeout_s=effort.time_s, reading=True)

    async def passages(self, tenant: str, keys: Iterable[int]) -> Mapping[int, StoredPassage]:
        """Those of the passages that are still there."""
        values = {"tenant": tenant, "keys": list(keys)}

        async def work(connection: "Connection") -> Mapping[int, StoredPassage]:
            rows: Sequence[Mapping[str, Any]] = await (await connection.execute(statements.PASSAGES, values)).fetchall()
            return {row["key"]: StoredPassage(passage_from(row), row["number"]) for row in rows}

        return await self._transactions.run(tenant, work, reading=True)


def _filter(tenant: str, question: Question) -> dict[str, Any]:
    metadata = {storable(key): storable(value) for key, value in question.metadata.items()}
    return {
        "tenant": tenant,
        "metadata": orjson.dumps(metadata).decode(),
        "ids": [storable(each) for each in question.document_ids],
    }


async def _selection(
    connection: "Connection",
    question: Question,
    values: Mapping[str, Any],
    library: Mapping[str, Any],
    effort: Effort,
) -> Selection:
    chunks, numbers = library["chunks"], None
    if question.metadata or question.document_ids:
        row = await (await connection.execute(statements.SELECTED, values)).fetchone() or {}
        chunks, numbers = row["chunks"], row["numbers"]
    return Selection(chunks, library["hidden"], numbers, library["indexed"] or 0, effort.candidates)
