"""The tool calls of a run so far: how many there were, and which of them the model repeats."""

from collections.abc import Mapping
from typing import Any

import orjson

from agent_fn.tools.port import ToolOutcome

_STUCK_AT = 3


class CallHistory:
    """Counts calls, and remembers what each brought.

    A new attempt goes through the same calls in the same order, with the results that the log has, and so comes to the
    same counts.
    """

    def __init__(self) -> None:
        self.count = 0
        """Calls so far, repeated ones and those with errors included."""
        self.is_stuck = False
        """The model has asked for the same thing three times: it should answer now, without tools."""
        self._asked: dict[bytes, int] = {}
        self._outcomes: dict[bytes, tuple[ToolOutcome, bool]] = {}

    def asked(self, name: str, arguments: Mapping[str, Any]) -> ToolOutcome | None:
        """Counts a call; returns what the same one brought before, where that still holds."""
        key = _key(name, arguments)
        self.count += 1
        times = self._asked[key] = self._asked.get(key, 0) + 1
        if times >= _STUCK_AT:
            self.is_stuck = True
        known = self._outcomes.get(key)
        return None if known is None else known[0]

    def brought(
        self,
        name: str,
        arguments: Mapping[str, Any],
        outcome: ToolOutcome,
        *,
        changes: bool = False,
        is_final: bool = False,
    ) -> None:
        """Remembers a call's outcome.

        `changes`: the tool changes what others would bring from now on. `is_final`: it stays, though it is an error.
        """
        if changes and (not outcome.is_error or outcome.outcome_unknown):
            self._outcomes = {key: known for key, known in self._outcomes.items() if known[1]}
        # What failed may work the next time; what nobody knows the end of must not be tried again.
        if not outcome.is_error or outcome.outcome_unknown or is_final:
            self._outcomes[_key(name, arguments)] = (outcome, changes)


def _key(name: str, arguments: Mapping[str, Any]) -> bytes:
    return orjson.dumps([name, arguments], option=orjson.OPT_SORT_KEYS)
