"""A question answered with passages: both halves at once, fused, within the mode's time.

What is slow or fails is left out, and the answer says so. A deep search asks a model for other words for the question
and for an order of what was found; without that model it is a balanced one that shows more.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.embedding.port import Embedder, Purpose
from embed_fn.search.complexity import Outcome, chosen, complexity
from embed_fn.search.fusion import Ranked, Ranking, fused, hits_from
from embed_fn.search.limits import EFFORTS, MOST_CHARACTERS, MOST_HITS, Effort
from embed_fn.search.outcomes import Outcomes
from embed_fn.search.passage_index import Library, ModelChangedError, PassageIndex, StoredPassage
from embed_fn.search.port import Found, Mode, Question, Reasoner
from embed_fn.store.records import Model
from embed_fn.store.rows import storable
from embed_fn.store.transactions import READ_S
from embed_fn.work_meter import WorkMeter

_logger = logging.getLogger(__name__)

_REWRITTEN_WEIGHT: Final = 0.5
_RERANKED: Final = 30
_CHEAPER: Final = {Mode.BALANCED: Mode.FAST, Mode.DEEP: Mode.BALANCED}
# Of the deep search's time: rewriting may take this part, so that ranking has some left.
_REWRITING_SHARE: Final = 0.35
_SHOWING_S: Final = 0.15
"""Kept for reading the passages."""


class Searcher:
    """See port.Search."""

    def __init__(
        self,
        index: PassageIndex,
        embedder: Embedder,
        outcomes: Outcomes,
        reasoner: Reasoner | None = None,
        meter: WorkMeter | None = None,
    ) -> None:
        """reasoner: None: deep searches are balanced ones that show more."""
        self._meter = meter or WorkMeter()
        self._index = index
        self._embedder = embedder
        self._outcomes = outcomes
        self._reasoner = reasoner

    async def search(self, tenant: str, question: Question) -> Found:
        """See port.Search.search."""
        with self._meter.search() as numbers:
            found = await self._search(tenant, question)
            numbers.mode, numbers.left_out = found.mode.value, tuple(found.left_out)
        return found

    async def _search(self, tenant: str, question: Question) -> Found:
        _check(question)
        question = replace(question, text=storable(question.text))
        began = asyncio.get_running_loop().time()
        promised = Mode.BALANCED if question.mode is Mode.AUTO else question.mode
        time_s = min(EFFORTS[promised].time_s, READ_S)
        library = await self._index.library(tenant, question, timeout_s=time_s)
        score = complexity(question.text)
        mode = chosen(question.mode, score, library.thresholds)
        if library.model is None or library.chunks == 0:
            return Found((), mode)
        work = _Work(self._index, self._embedder, self._reasoner, tenant, question, mode, library, began)
        try:
            async with asyncio.timeout_at(began + EFFORTS[mode].time_s):
                found, gain = await work.found()
        except TimeoutError as error:
            raise errors.too_slow() from error
        took_ms = int((asyncio.get_running_loop().time() - began) * 1000)
        if gain is not None:
            self._outcomes.record(tenant, Outcome(score, mode, gain), took_ms)
        return found


class _Work:
    """One search."""

    def __init__(
        self,
        index: PassageIndex,
        embedder: Embedder,
        reasoner: Reasoner | None,
        tenant: str,
        question: Question,
        mode: Mode,
        library: Library,
        began: float,
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._reasoner = reasoner
        self._tenant = tenant
        self._question = question
        self._mode = mode
        self._library = library
        self._limit = question.limit or EFFORTS[mode].limit
        effort = EFFORTS[mode]
        self._effort = Effort(
            self._limit, effort.time_s, max(effort.candidates, 2 * self._limit), effort.ef_search, effort.matched
        )
        self._until = began + effort.time_s
        self._left_out: list[str] = []
        self._problem: DormouseError | None = None

    async def found(self) -> tuple[Found, float | None]:
        """The answer, and what this mode has brought beyond the next cheaper one, if that can be told."""
        halves = self._halves(self._question.text)
        rewriting = self._rewritings() if self._mode is Mode.DEEP else None
        results = await self._in_time(
            {"vectors": halves[0], "text": halves[1], **({"rewriting": rewriting} if rewriting else {})}
        )
        vectors, text = results.get("vectors"), results.get("text")
        if vectors is None and text is None:
            raise self._problem or errors.too_slow()
        rankings = [Ranking(vectors or {}), Ranking(text or {})]
        plain = fused(rankings)
        more: Sequence[Mapping[int, float]] = results.get("rewriting") or ()
        scores = fused([*rankings, *(Ranking(each, _REWRITTEN_WEIGHT) for each in more)]) if more else plain
        passages = await self._index.passages(self._tenant, list(scores)[: max(2 * self._limit, _RERANKED)])
        order = await self._reranked(scores, passages) if self._mode is Mode.DEEP else scores
        ranked = [
            Ranked(passages[key].passage, passages[key].number, score, (vectors or {}).get(key), (text or {}).get(key))
            for key, score in order.items()
            if key in passages
        ]
        hits = hits_from(ranked, self._limit)
        return Found(hits, self._mode, tuple(self._left_out)), self._gain(list(order), list(plain), rankings)

    def _halves(self, text: str) -> tuple[Coroutine[Any, Any, dict[int, float]], Coroutine[Any, Any, dict[int, float]]]:
        return self._nearest(text), self._index.matching(self._tenant, text, self._question, self._effort)

    async def _nearest(self, text: str) -> dict[int, float]:
        library = self._library
        for _ in range(3):
            if library.model is None:
                return {}
            vector = await self._vector(library.model, text)
            try:
                return await self._index.nearest(self._tenant, library, vector, self._question, self._effort)
            except ModelChangedError:
                library = await self._index.library(self._tenant, self._question)
        raise errors.conflict("The embedding model keeps changing.")

    async def _vector(self, model: Model, text: str) -> Any:
        served = await self._embedder.model(model.name)
        if (served.version, served.dimensions) != (model.version, model.dimensions):
            # Under the same name there are other weights now; their vectors cannot be compared with what is stored.
            raise errors.model_not_found(model.name)
        embedded = await self._embedder.embed(self._tenant, [text], model=model.name, purpose=Purpose.QUERY)
        [item] = embedded.items
        if item.error or len(item.vector) != model.dimensions:
            raise errors.invalid_argument(item.error or "The question cannot be embedded.")
        return item.vector

    async def _rewritings(self) -> list[dict[int, float]]:
        """What other words for the question find."""
        if self._reasoner is None:
            raise errors.model_not_found("")
        time_s = (self._until - asyncio.get_running_loop().time()) * _REWRITING_SHARE
        async with asyncio.timeout(time_s):
            texts = await self._reasoner.rewrite(self._question.text, time_s)
        found = await asyncio.gather(
            *(half for text in texts if text.strip() for half in self._halves(text[:MOST_CHARACTERS])),
            return_exceptions=True,
        )
        return [each for each in found if isinstance(each, dict)]

    async def _reranked(
        self, scores: Mapping[int, float], passages: Mapping[int, StoredPassage]
    ) -> Mapping[int, float]:
        """The first passages in the model's order, the others behind them."""
        if self._reasoner is None:
            self._left_out.append("reranking")
            return scores
        first = [key for key in scores if key in passages][:_RERANKED]
        time_s = self._until - asyncio.get_running_loop().time() - _SHOWING_S
        if not first or time_s <= 0:
            self._left_out.append("reranking")
            return scores
        texts = [passages[key].passage.text for key in first]
        grades = (await self._in_time({"reranking": self._reasoner.rank(self._question.text, texts, time_s)})).get(
            "reranking"
        )
        if grades is None or len(grades) != len(first):
            return scores
        # A grade says more than a place; between equal grades the place decides.
        graded = {key: grade + scores[key] for key, grade in zip(first, grades, strict=True)}
        rest = {key: score for key, score in scores.items() if key not in graded}
        return dict(sorted(graded.items(), key=lambda item: -item[1])) | rest

    async def _in_time(self, parts: Mapping[str, Coroutine[Any, Any, Any]]) -> dict[str, Any]:
        """What the parts bring until the search's time is over. The others are cancelled and noted."""
        tasks = {name: asyncio.create_task(part) for name, part in parts.items()}
        for task in tasks.values():
            task.add_done_callback(_look_at)
        try:
            left_s = self._until - _SHOWING_S - asyncio.get_running_loop().time()
            await asyncio.wait(tasks.values(), timeout=max(left_s, 0))
        finally:
            for task in tasks.values():
                task.cancel()
        results = {}
        for name, task in tasks.items():
            if not task.done():
                self._left_out.append(name)
                continue
            try:
                results[name] = task.result()
            except (DormouseError, TimeoutError) as error:
                self._left_out.append(name)
                if isinstance(error, DormouseError) and (self._problem is None or name == "text"):
                    self._problem = error
                _logger.info("a part of a search failed", extra={"part": name, "error": type(error).__name__})
        return results

    def _gain(self, order: Sequence[int], plain: Sequence[int], rankings: Sequence[Ranking]) -> float | None:
        """The share of the best passages that the next cheaper mode would not have shown.

        What a balanced search shows beyond a fast one counts where both halves have found it.
        """
        if self._left_out or self._mode is Mode.FAST or not order:
            return None
        cheaper = EFFORTS[_CHEAPER[self._mode]].limit
        shown = set(plain[:cheaper])
        if self._mode is Mode.DEEP:
            best = order[:cheaper]
            return sum(key not in shown for key in best) / len(best)
        best = order[: EFFORTS[self._mode].limit]
        return sum(key not in shown and all(key in each.scores for each in rankings) for key in best) / len(best)


def _look_at(task: "asyncio.Task[Any]") -> None:
    """A part that fails after it was given up troubles nobody."""
    if not task.cancelled():
        task.exception()


def _check(question: Question) -> None:
    if not 1 <= len(question.text) <= MOST_CHARACTERS:
        raise errors.invalid_argument(f"A query has 1 to {MOST_CHARACTERS:,} characters.")
    if not 0 <= question.limit <= MOST_HITS:
        raise errors.invalid_argument(f"A search shows at most {MOST_HITS} passages.")
