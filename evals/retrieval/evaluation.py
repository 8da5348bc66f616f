"""Every question asked of one library, and the measures of each way to answer it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from embed_fn.store.passages import ChunkId
from embed_fn.store.records import Passage

from evals.retrieval.labelled_set import Answer, Kind, Question, holding, words
from evals.retrieval.library import Library, StoredText
from evals.retrieval.measures import Held, ndcg, recall, reciprocal_rank


class Way(StrEnum):
    """SERVED: the hybrid ranking as a search answers it, with neighbouring passages joined."""

    TEXT = "full text"
    VECTORS = "vectors"
    HYBRID = "hybrid"
    SERVED = "as served"


MEASURES: Final = ("recall@5", "recall@10", "MRR@10", "nDCG@10")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question's measures, in the order of MEASURES. nearest: the best cosine similarity."""

    question: Question
    measures: Mapping[Way, tuple[float, ...]]
    nearest: float


@dataclass(slots=True)
class Evaluation:
    """What one model brought. split: questions with a quote that no passage holds whole."""

    model: str
    passages: int
    asked: list[Asked] = field(default_factory=list)
    split: list[str] = field(default_factory=list)

    def values(self, way: Way, measure: str, kinds: Iterable[Kind] = Kind) -> list[float]:
        """One number for each answerable question of these kinds."""
        place, wanted = MEASURES.index(measure), set(kinds)
        return [each.measures[way][place] for each in self.asked if each.question.kind in wanted and each.measures]

    def nearest(self, *, answerable: bool) -> list[float]:
        """The best similarity of each question that has an answer, or has none."""
        return [each.nearest for each in self.asked if bool(each.question.answers) is answerable]


async def evaluate(
    model: str, library: Library, stored: Mapping[int, StoredText], questions: Sequence[Question]
) -> Evaluation:
    """Asks all questions, one after the other."""
    found = Evaluation(model, len(stored))
    for question in questions:
        held = holders(question, stored)
        found.asked.append(await _ask(library, question, stored, held))
        if any(not _is_whole(answer, stored) for answer in question.answers):
            found.split.append(question.id)
    return found


def holders(question: Question, stored: Mapping[int, StoredText]) -> dict[int, Held]:
    """Passages by key that hold an answer, and which. Errors: ValueError for a quote that is nowhere."""
    held: dict[int, set[int]] = {}
    for number, answer in enumerate(question.answers):
        keys = [key for key, passage in stored.items() if passage.file == answer.file]
        places = holding(answer.quote, [stored[key].text for key in keys])
        if not places:
            raise ValueError(f"no passage holds {answer.quote!r} of {answer.file}")
        for place in places:
            held.setdefault(keys[place], set()).add(number)
    return {key: frozenset(numbers) for key, numbers in held.items()}


async def _ask(
    library: Library, question: Question, stored: Mapping[int, StoredText], held: Mapping[int, Held]
) -> Asked:
    halves = await library.halves(question.text)
    nearest = next(iter(halves.vectors.values()), 0.0)
    if not question.answers:
        return Asked(question, {}, nearest)
    rankings = {
        Way.TEXT: _ranking(halves.text, held),
        Way.VECTORS: _ranking(halves.vectors, held),
        Way.HYBRID: _ranking(halves.hybrid, held),
        Way.SERVED: [_joined(hit.passage, stored, held) for hit in await library.served(question.text)],
    }
    count = len(question.answers)
    measures = {
        way: (
            recall(ranking, count, 5),
            recall(ranking, count, 10),
            reciprocal_rank(ranking, 10),
            min(ndcg(ranking, held.values(), 10), 1.0),
        )
        for way, ranking in rankings.items()
    }
    return Asked(question, measures, nearest)


def _ranking(scores: Iterable[int], held: Mapping[int, Held]) -> list[Held]:
    return [held.get(key, frozenset()) for key in scores]


def _joined(passage: Passage, stored: Mapping[int, StoredText], held: Mapping[int, Held]) -> Held:
    identity = ChunkId.parse(passage.chunk_id)
    assert identity is not None
    numbers = range(identity.first, identity.last + 1)
    keys = (key for key in held if stored[key].file == passage.document_name and stored[key].number in numbers)
    return frozenset[int]().union(*(held[key] for key in keys))


def _is_whole(answer: Answer, stored: Mapping[int, StoredText]) -> bool:
    wanted = words(answer.quote)
    return any(passage.file == answer.file and wanted in words(passage.text) for passage in stored.values())
