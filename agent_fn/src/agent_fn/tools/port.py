"""What agents ask of tools, whoever runs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agent_fn.conversation import ToolCall
from agent_fn.events import Event
from agent_fn.generation import ToolDefinition
from agent_fn.sources import Source

DEFAULT_TIME_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool that an agent may call. `needs_approval`: a person has to agree to each call.

    The last three: see dormouse.tool.v1.Tool.
    """

    definition: ToolDefinition
    has_side_effects: bool = False
    needs_approval: bool = False
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    quotes_strangers: bool = False
    reaches_out: bool = False
    approval_waived: bool = False

    @property
    def name(self) -> str:
        """Under which a model calls it."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a call brought: the text that the model reads, also where it is an error.

    `outcome_unknown`: the call had begun and nobody can say whether it was carried out. `duration_ms`: of the tool
    itself, 0 where it did not run. `is_answered`: it comes from the tool; if not, the tool could not be reached or
    broke off. `events` are told together with the result. `sources`: the passages
    that the content quotes.
    """

    content: str
    is_error: bool = False
    outcome_unknown: bool = False
    duration_ms: int = 0
    is_answered: bool = True
    events: Sequence[Event] = ()
    sources: Sequence[Source] = ()


def unknown_outcome(name: str) -> ToolOutcome:
    """For a call that may have begun, and nobody is left who knows how it ended."""
    text = (
        f"The connection to {name} was lost. Nobody knows whether this call was carried out. Do not simply make it "
        "again: say so, or find out by another tool."
    )
    return ToolOutcome(text, is_error=True, outcome_unknown=True, is_answered=False)


class Toolbox(Protocol):
    """The tools of one run."""

    async def describe(self) -> Sequence[ToolDescription]:
        """The tools, by name. Empty where they cannot be reached; `is_reachable` then says so."""
        ...

    @property
    def is_reachable(self) -> bool:
        """Whether the last `describe` got an answer. True where there is nobody to ask."""
        ...

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        """Runs a call whose arguments are a JSON object; with the same `key` twice it takes effect once.

        `tell` hears sentences for people while it lasts. Raises nothing but CancelledError and defects: what goes
        wrong is an outcome for the model.
        """
        ...


class NoTools:
    """The toolbox of a run that may call none."""

    is_reachable = True

    async def describe(self) -> Sequence[ToolDescription]:
        """None."""
        return ()

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        """See Toolbox."""
        return ToolOutcome(f"There is no tool {call['name']!r} here.", is_error=True)
