"""Filters what a model says before anybody is told: its answer, its thoughts, arguments of calls, hidden answers."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from dormouse_runtime.filters import (
    Action,
    BlockedError,
    Rule,
    Sieve,
    Stage,
    UnknownFilterError,
    screens,
    whole,
)
from dormouse_runtime.leaks import LeakGuard

from agent_fn import errors
from agent_fn.events import Event, FilterMatched
from agent_fn.safety.exposure import Exposure
from agent_fn.safety.rules import SafetyRules

_PERSONAL: Final = "personal_data"


class Screened:
    """A text on its way: what is let through, and how many of the model's pieces that are."""

    def __init__(self, sieve: Sieve) -> None:
        self._sieve = sieve
        self._pieces = 0

    def feed(self, text: str, pieces: int) -> tuple[str, int]:
        """Raises DormouseError(CONTENT_FILTERED)."""
        self._pieces += pieces
        return self._told(_unblocked(lambda: self._sieve.feed(text)))

    def finish(self) -> tuple[str, int]:
        """What is held back: nothing follows it for now. Raises DormouseError(CONTENT_FILTERED)."""
        return self._told(_unblocked(self._sieve.finish))

    def _told(self, text: str) -> tuple[str, int]:
        if not text:
            return "", 0
        pieces, self._pieces = self._pieces, 0
        return text, pieces


class Outflow:
    """The filters of one run. `put` tells its caller what they have found."""

    def __init__(self, rules: SafetyRules, exposure: Exposure, put: Callable[[Sequence[Event]], None]) -> None:
        """Raises DormouseError(INVALID_ARGUMENT) for a filter that is not known here."""
        self._rules = rules
        self._exposure = exposure
        self._put = put
        try:
            screens(rules.output, lambda name, action, kind: None)
        except UnknownFilterError as error:
            raise errors.invalid_argument(f"A filter of the run cannot be used: {error}.") from error

    @property
    def is_open(self) -> bool:
        """Whether everything passes."""
        return not self._rules.output and self._rules.leak is None

    def stream(self, place: str) -> Screened | None:
        """For a text that comes in pieces; None where everything passes."""
        return None if self.is_open else Screened(Sieve(self._stages(place, self._rules.output)))

    def arguments(self, text: str, *, reaches_out: bool) -> str:
        """A call's arguments, JSON or not, as they may be made and told. Personal data is a call's to have, unless it
        goes out into the world.
        """
        rules = [rule for rule in self._rules.output if reaches_out or rule.name != _PERSONAL]
        if self.is_open:
            return text
        try:
            value = orjson.loads(text or "{}")
        except orjson.JSONDecodeError:
            return self._text(text, "arguments", rules)
        passed = self._value(value, "arguments", rules)
        return text if passed == value else orjson.dumps(passed).decode()

    def value(self, value: Any) -> Any:
        """An answer that is data and nobody's to read, but may be shown."""
        return value if self.is_open else self._value(value, "plan", self._rules.output)

    def _value(self, value: Any, place: str, rules: Sequence[Rule]) -> Any:
        match value:
            case str():
                return self._text(value, place, rules)
            case dict():
                return {name: self._value(item, place, rules) for name, item in value.items()}
            case list():
                return [self._value(item, place, rules) for item in value]
            case int() | float() if not isinstance(value, bool) and abs(value) >= 10**7:
                passed = self._text(str(value), place, rules)
                return value if passed == str(value) else passed
        return value

    def _text(self, text: str, place: str, rules: Sequence[Rule]) -> str:
        return _unblocked(lambda: whole(text, self._stages(place, rules)))

    def _stages(self, place: str, rules: Sequence[Rule]) -> list[Stage]:
        told: set[tuple[str, str]] = set()

        def tell(name: str, action: Action, kind: str) -> None:
            if (name, kind) not in told:
                told.add((name, kind))
                self._put([FilterMatched(name, action, kind, place)])

        stages = screens(rules, tell)
        # What is to be kept is known by now: a model has to read it before it can tell it.
        kept = "\n".join(filter(None, (self._rules.canary, *self._exposure.confidential)))
        if self._rules.leak is not None and self._exposure.confidential:
            stages.append(LeakGuard(kept, self._rules.leak, tell))
        return stages


def _unblocked(work: Callable[[], str]) -> str:
    try:
        return work()
    except BlockedError as error:
        raise errors.content_filtered(error.kind) from error
