"""The figures for people, in Markdown, and for programs, in JSON."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from evals.retrieval.evaluation import MEASURES, Evaluation, Way
from evals.retrieval.labelled_set import Kind
from evals.retrieval.measures import mean, separation

_BOTH = (Way.TEXT, Way.VECTORS)
_ANSWERABLE = tuple(kind for kind in Kind if kind is not Kind.UNANSWERABLE)


def markdown(evaluation: Evaluation) -> str:
    """All figures of one model: means with their bootstrapped 95 % intervals."""
    parts = [
        f"## {evaluation.model}: {evaluation.passages} passages, {len(evaluation.asked)} questions",
        _table(
            ("way", *MEASURES),
            [(way, *(str(mean(evaluation.values(way, measure))) for measure in MEASURES)) for way in Way],
        ),
        "What hybrid adds to each half, question by question:",
        _table(
            ("hybrid minus", *MEASURES),
            [(way, *(str(_gain(evaluation, way, each)) for each in MEASURES)) for way in _BOTH],
        ),
        "By kind of question:",
        _table(("kind", "questions", "way", *MEASURES), _by_kind(evaluation)),
        _unanswerable(evaluation),
    ]
    if evaluation.split:
        parts.append(f"Quotes that were cut: {', '.join(evaluation.split)}.")
    return "\n\n".join(parts)


def _gain(evaluation: Evaluation, half: Way, measure: str) -> Any:
    pairs = zip(evaluation.values(Way.HYBRID, measure), evaluation.values(half, measure), strict=True)
    return mean([hybrid - alone for hybrid, alone in pairs])


def _by_kind(evaluation: Evaluation) -> list[tuple[str, ...]]:
    rows = []
    for kind in _ANSWERABLE:
        for way in Way:
            values = [evaluation.values(way, measure, [kind]) for measure in MEASURES]
            name, count = (kind, str(len(values[0]))) if way is Way.TEXT else ("", "")
            rows.append((name, count, way, *(str(mean(each)) for each in values)))
    return rows


def _unanswerable(evaluation: Evaluation) -> str:
    with_answer, without = evaluation.nearest(answerable=True), evaluation.nearest(answerable=False)
    return (
        f"Nearest passage, median similarity: {median(with_answer):.3f} for questions with an answer, "
        f"{median(without):.3f} for the {len(without)} without; the area under the ROC curve is "
        f"{separation(without, with_answer):.3f}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(evaluation: Evaluation) -> Mapping[str, Any]:
    """Each question's measures, so that two runs can be compared question by question."""
    return {
        "model": evaluation.model,
        "passages": evaluation.passages,
        "split": evaluation.split,
        "questions": [
            {
                "id": each.question.id,
                "kind": each.question.kind,
                "nearest": round(each.nearest, 4),
                "measures": {way: dict(zip(MEASURES, values, strict=True)) for way, values in each.measures.items()},
            }
            for each in evaluation.asked
        ],
    }
