"""Several rankings made one, and neighbouring passages made one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from embed_fn.search.port import Hit
from embed_fn.store.passages import ChunkId, merged
from embed_fn.store.records import Passage

RANK_CONSTANT: Final = 60
"""Of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): how little the first ranks differ."""
LEAST_SHARE: Final = 0.05
"""Of the best score in a ranking: what the scores below it, and those under 0, count as."""
MOST_MERGED: Final = 4
MOST_GAP: Final = 16
"""Code points between two passages that may be missing, white space as a rule; wider gaps are not bridged."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Passages by key, best first, with the scores they have there."""

    scores: Mapping[int, float]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A stored passage and its scores. number: its place in the document."""

    passage: Passage
    number: int
    score: float
    vector_score: float | None
    text_score: float | None


def fused(rankings: Iterable[Ranking]) -> dict[int, float]:
    """Each passage's sum of weight * share / (RANK_CONSTANT + rank), best first; equals by key.

    share: of the ranking's best score. Ranks alone let a passage that shares one common word with the question count
    nearly as much as the one that has all of its words (docs/retrieval.md has figures).
    """
    sums: dict[int, float] = {}
    for ranking in rankings:
        best = max(ranking.scores.values(), default=0.0)
        for rank, (key, score) in enumerate(ranking.scores.items(), start=1):
            share = max(score / best, LEAST_SHARE) if best > 0 else 1.0
            sums[key] = sums.get(key, 0.0) + ranking.weight * share / (RANK_CONSTANT + rank)
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def hits_from(ranked: Sequence[Ranked], limit: int) -> list[Hit]:
    """At most `limit` hits, best first. A passage joins a better one that it stands next to, MOST_MERGED in all.

    A hit has the best scores of its passages. What is far behind joins nothing.
    """
    groups: list[list[Ranked]] = []
    for each in ranked[: max(2 * limit, limit + MOST_MERGED - 1)]:
        group = _neighbours(groups, each)
        if group is not None:
            group.append(each)
        elif len(groups) < limit:
            groups.append([each])
    return [_hit(_joined(groups, group)) for group in groups if group]


def _neighbours(groups: Sequence[list[Ranked]], new: Ranked) -> list[Ranked] | None:
    for group in groups:
        if len(group) < MOST_MERGED and any(_adjacent(new, member) for member in group):
            return group
    return None


def _adjacent(one: Ranked, other: Ranked) -> bool:
    if one.passage.document_id != other.passage.document_id or abs(one.number - other.number) != 1:
        return False
    first, second = sorted((one.passage, other.passage), key=lambda passage: passage.start)
    return second.start - first.end <= MOST_GAP


def _joined(groups: Sequence[list[Ranked]], group: list[Ranked]) -> list[Ranked]:
    """The group, and those behind it that have become its neighbours: what lay between came after both."""
    for other in groups:
        fits = other is not group and len(group) + len(other) <= MOST_MERGED
        if fits and any(_adjacent(one, two) for one in group for two in other):
            group.extend(other)
            other.clear()
    return group


def _hit(group: Sequence[Ranked]) -> Hit:
    in_order = sorted(group, key=lambda each: each.number)
    first, last = in_order[0], in_order[-1]
    passage = first.passage
    if len(in_order) > 1:
        chunk_id = ChunkId(passage.document_id, first.number, last.number)
        passage = merged([each.passage for each in in_order], chunk_id)
    return Hit(
        passage,
        score=max(each.score for each in group),
        vector_score=_best(each.vector_score for each in group),
        text_score=_best(each.text_score for each in group),
    )


def _best(scores: Iterable[float | None]) -> float | None:
    return max((score for score in scores if score is not None), default=None)
