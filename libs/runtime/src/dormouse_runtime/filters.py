"""Filters for texts that come in pieces: what may become something is held back until it is clear that it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol

from dormouse_runtime.detectors import PERSONAL_DATA, REMOTE_IMAGES, SECRETS, Detector, Found, Patterns

GROUP: Final = "dormouse.filters"
"""Entry points of plug-ins. Each is an object with `find(text) -> iterable of (start, end, kind)`, and `longest`, the
most characters that something has which it finds."""

# More than this is never held back.
_MOST_HELD: Final = 10_000
_LONGEST_KIND: Final = 40


class Action(StrEnum):
    """What is done about what was found."""

    FLAG = "flag"
    MASK = "mask"
    BLOCK = "block"


class BlockedError(Exception):
    """The text must not go on. `name` is the filter's, `kind` what it found."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(f"{name}: {kind}")
        self.name = name
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Rule:
    """One filter. patterns: for the filter "patterns"."""

    name: str
    action: Action
    patterns: tuple[str, ...] = ()


Tell = Callable[[str, Action, str], None]
"""Hears of what was found: the filter's name, what it does, the kind."""


class UnknownFilterError(ValueError):
    """There is no filter of this name, or its patterns are none."""


def detector_of(rule: Rule) -> Detector:
    """What the filter looks with. Raises UnknownFilterError."""
    return _detector(rule.name, rule.patterns)


@lru_cache(maxsize=256)
def _detector(name: str, patterns: tuple[str, ...]) -> Detector:
    match name:
        case "secrets":
            return SECRETS
        case "personal_data":
            return PERSONAL_DATA
        case "remote_images":
            return REMOTE_IMAGES
        case "patterns":
            try:
                return Patterns(patterns)
            except re.error as error:
                raise UnknownFilterError(f"a pattern is no regular expression: {error}") from error
    from importlib import metadata  # some milliseconds, for plug-ins only

    for entry in metadata.entry_points(group=GROUP, name=name):
        return _Plugin(entry.load())
    raise UnknownFilterError(f"there is no filter {name!r}: neither built in nor an entry point of {GROUP}")


class _Plugin:
    """Somebody else's finder, kept to what a Detector promises."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder
        self._longest = max(int(getattr(finder, "longest", 200)), 1)

    def find(self, text: str) -> Iterator[Found]:
        at = 0
        for start, end, kind in sorted(self._finder.find(text)):
            if at <= start < end <= len(text):
                at = end
                yield Found(start, end, str(kind)[:_LONGEST_KIND])

    def open_from(self, text: str) -> int:
        return max(len(text) - self._longest, 0)


class Stage(Protocol):
    """A filter on one text's way."""

    def feed(self, text: str) -> str:
        """What may go on now. Raises BlockedError."""
        ...

    def finish(self) -> str:
        """What is left when the text is complete. Raises BlockedError."""
        ...


class Screen:
    """Filters with one detector."""

    def __init__(self, rule: Rule, tell: Tell) -> None:
        self._rule = rule
        self._detector = detector_of(rule)
        self._tell = tell
        self._held = ""

    def feed(self, text: str) -> str:
        """See Stage."""
        self._held += text
        return self._released(self._detector.open_from(self._held), is_over=False)

    def finish(self) -> str:
        """See Stage."""
        return self._released(len(self._held), is_over=True)

    def _released(self, upto: int, *, is_over: bool) -> str:
        upto = max(upto, len(self._held) - _MOST_HELD)
        parts: list[str] = []
        at = 0
        for found in self._detector.find(self._held):
            if not is_over and found.end > upto:
                upto = min(upto, found.start)
                break
            self._tell(self._rule.name, self._rule.action, found.kind)
            if self._rule.action is Action.BLOCK:
                raise BlockedError(self._rule.name, found.kind)
            if self._rule.action is Action.MASK:
                parts += (self._held[at : found.start], f"[{found.kind}]")
                at = found.end
        parts.append(self._held[at : max(upto, at)])
        self._held = self._held[max(upto, at) :]
        return "".join(parts)


class Sieve:
    """Several filters, one behind the other. Without any, texts pass as they are."""

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self._stages = stages

    @property
    def is_open(self) -> bool:
        """Whether everything passes."""
        return not self._stages

    def feed(self, text: str) -> str:
        """See Stage."""
        for stage in self._stages:
            text = stage.feed(text)
        return text

    def finish(self) -> str:
        """See Stage."""
        rest = ""
        for stage in self._stages:
            rest = (stage.feed(rest) if rest else "") + stage.finish()
        return rest


def screens(rules: Iterable[Rule], tell: Tell) -> list[Stage]:
    """A stage for each rule. Raises UnknownFilterError."""
    return [Screen(rule, tell) for rule in rules]


def whole(text: str, stages: Sequence[Stage]) -> str:
    """A whole text through fresh stages. Raises BlockedError."""
    sieve = Sieve(stages)
    return sieve.feed(text) + sieve.finish()
