"""What a run knows to cite, under labels that are unique in it, and whatever else its answers may rest on."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent_fn.citing import labels
from agent_fn.conversation import Message, text_of
from agent_fn.sources import Source, from_stored
from agent_fn.tools.port import ToolOutcome


class Sources:
    """The passages of a run, and of the conversation before it.

    Every result numbers its passages from 1. They get numbers of the run here, before anybody sees the result: so they
    are in the log with it, and a later attempt, which has the results from there, knows the same ones.
    """

    def __init__(self, recovered: Iterable[ToolOutcome] = ()) -> None:
        """recovered: what the calls of earlier attempts have brought."""
        self._by_label: dict[str, Source] = {}
        self.are_in_use = False
        """Whether a call of this run has brought passages."""
        self.other: dict[str, None] = {}
        """What else was said, other tools' results and the user's words: claims may rest on them as well."""
        for outcome in recovered:
            self.note(outcome)

    def __bool__(self) -> bool:
        return bool(self._by_label)

    def get(self, label: str) -> Source | None:
        """The passage with this label."""
        return self._by_label.get(label)

    @property
    def all(self) -> Sequence[Source]:
        """All passages."""
        return list(self._by_label.values())

    def note(self, outcome: ToolOutcome) -> None:
        """Remembers what a call has brought; it has its labels already."""
        for source in outcome.sources:
            self._by_label[source.label] = source
            self.are_in_use = True
        if not outcome.sources and not outcome.is_error and outcome.content:
            self.other.setdefault(outcome.content)

    def learn(self, conversation: Sequence[Message]) -> None:
        """Remembers what was quoted earlier on a thread, and what the user has said. Twice is as good as once."""
        for message in conversation:
            for source in from_stored(message.get("sources", ())):
                self._by_label.setdefault(source.label, source)
            if message["role"] == "user" and (text := text_of(message)):
                self.other.setdefault(text)

    def cited_in(self, text: str) -> list[Source]:
        """The passages whose labels stand in the text."""
        read = (label for found in labels.LABELS.finditer(text) for label in labels.read(found[1]))
        return [source for label in dict.fromkeys(read) if (source := self._by_label.get(label)) is not None]

    def relabelled(self, outcome: ToolOutcome) -> ToolOutcome:
        """A new result with labels of the run in place of its own. What it quotes again keeps its label."""
        if not outcome.sources:
            return outcome
        known = {_place(source): source.label for source in self._by_label.values()}
        last = max((int(label) for label in self._by_label if label.isdecimal()), default=0)
        names: dict[str, str] = {}
        sources: list[Source] = []
        for source in outcome.sources:
            label = known.get(_place(source))
            if label is None:
                last += 1
                label = str(last)
            names[source.label] = label
            sources.append(replace(source, label=label))
            self._by_label[label] = sources[-1]
        self.are_in_use = True
        return replace(outcome, content=labels.renamed(outcome.content, names), sources=tuple(sources))


def shown(outcome: ToolOutcome, content: str) -> ToolOutcome:
    """The outcome with a shorter content, and the sources that are still in it."""
    left = set[str]().union(*(labels.read(found[1]) for found in labels.LABELS.finditer(content)))
    kept = tuple(source for source in outcome.sources if source.label in left)
    return replace(outcome, content=content, sources=kept)


def _place(source: Source) -> tuple[str, int, int, str]:
    return source.chunk_id, source.start_offset, source.end_offset, source.text
