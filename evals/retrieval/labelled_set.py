"""The labelled set: files of prose, and questions with the passages that answer them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
_WORD: Final = re.compile(r"\w+")
_PAGE: Final = re.compile(r"^## ", re.MULTILINE)


class Kind(StrEnum):
    """What makes a question hard: see README.md."""

    KEYWORD = "keyword"
    PARAPHRASE = "paraphrase"
    NUMBER = "number"
    NEAR_DUPLICATE = "near_duplicate"
    VERSION = "version"
    MULTI_PASSAGE = "multi_passage"
    UNANSWERABLE = "unanswerable"


@dataclass(frozen=True, slots=True)
class Answer:
    """quote: occurs exactly once in the file."""

    file: str
    quote: str


@dataclass(frozen=True, slots=True)
class Question:
    """answers: all are needed; none where the kind is UNANSWERABLE."""

    id: str
    kind: Kind
    text: str
    answers: Sequence[Answer]


def corpus_files() -> list[Path]:
    """Markdown, several pages in each; a page begins with a heading of the second level."""
    return sorted((FOLDER / "corpus").glob("*.md"))


def pages(text: str) -> list[str]:
    """The pages of a file."""
    return _PAGE.split(text)[1:]


def read_questions() -> list[Question]:
    """In the order of the file."""
    lines = (FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [_question(json.loads(line)) for line in lines]


def _question(line: dict[str, object]) -> Question:
    match line:
        case {"id": str(number), "kind": str(kind), "question": str(text), "answers": list(answers), **rest} if (
            not rest
        ):
            return Question(number, Kind(kind), text, tuple(Answer(**answer) for answer in answers))
    raise ValueError(f"not a question: {line}")


def words(text: str) -> str:
    """The text's words and numbers in lower case, a blank around each: marks of tables and white space do not count."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def holding(quote: str, passages: Sequence[str]) -> set[int]:
    """The places of the passages that hold the quote. Where it was cut, of those that hold the larger part, too."""
    wanted = words(quote)
    texts = [words(passage) for passage in passages]
    whole = {place for place, text in enumerate(texts) if wanted in text}
    if whole:
        return whole
    parts = wanted.split()
    half = len(parts) // 2 + 1
    first, last = f" {' '.join(parts[:half])} ", f" {' '.join(parts[-half:])} "
    return {place for place, text in enumerate(texts) if first in text or last in text}
