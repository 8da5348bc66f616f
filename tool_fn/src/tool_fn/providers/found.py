"""What web search engines are asked, and what they find."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """most: of results. period: "", or the last day, week, month or year. news: rather than all of the web."""

    text: str
    most: int = 5
    period: str = ""
    news: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One page. text: what of it fits the query. date: of publication, "" where nobody knows."""

    title: str
    url: str
    text: str
    date: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The best page first. facts: what the engine itself answers."""

    hits: list[Hit]
    facts: list[str] = field(default_factory=list)


class SearchEngine(Protocol):
    """One that can be asked. `name`: for people."""

    name: str

    async def search(self, query: SearchQuery) -> Found:
        """Raises ToolError."""
