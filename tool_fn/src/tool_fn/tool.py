"""What a tool is: a name, a schema, and a function from arguments to a text for the model."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tool_fn.arguments import Arguments, Reader
from tool_fn.sources import Source, labelled

MOST_SECONDS: Final = 600.0
LEAST_OUTPUT_BYTES: Final = 256
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

A = TypeVar("A", bound=Arguments)


class ToolError(Exception):
    """The call failed. The text is a sentence that a model can act on: what was wrong, what to do instead."""


class OutcomeUnknownError(Exception):
    """The call broke off where it may have taken effect. The text is for the model, as a ToolError's."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call is: a sentence for people, and 0 to 1 where that is known."""

    message: str
    fraction: float | None = None


def _nobody(_told: Progress | str) -> None:
    """Takes what a call tells where nobody listens."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a running tool may know and do.

    run_id: empty outside of a run. idempotency_key: the same for every attempt at this call; pass it on to services
    that take one; empty where the caller sent none, which tools with side effects never see. deadline: when the call
    is cut off, by the event loop's clock. tell: who listens. documents_token: the service token for embed_fn that came
    with the call; empty where the caller lets no documents be read. sources: what was cited so far. hosts: where the
    call may send to, as patterns of config.Http; None: wherever the operator lets it.
    """

    tenant: str
    user: str
    run_id: str
    idempotency_key: str
    deadline: float
    tell: Callable[[Progress | str], None] = field(default=_nobody, repr=False)
    documents_token: str = field(default="", repr=False)
    sources: list[Source] = field(default_factory=list, repr=False)
    hosts: tuple[str, ...] | None = None

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Says how far the call is. Never blocks; what comes faster than it can be sent replaces what came before."""
        self.tell(Progress(message, fraction))

    def output(self, chunk: str) -> None:
        """Shows a piece of the output to people who watch; the result holds all of it once more. Never blocks."""
        self.tell(chunk)

    def cite(self, source: Source) -> str:
        """Says that the result quotes this passage; returns its label, "1" for the first, which the result puts before
        it in brackets: [1]. Where the passage itself has such brackets, take them out: see quoting.defused.
        """
        label = str(len(self.sources) + 1)
        self.sources.append(labelled(source, label))
        return label

    def remaining_s(self) -> float:
        """Seconds until the call is cut off, at least 0."""
        return max(self.deadline - asyncio.get_running_loop().time(), 0.0)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. Raises ValueError for one that callers could not use.

    name: lower-case letters, digits and underscores, at most 64. description: for a model: what it does and when to use
    it. input_schema: JSON Schema of an object. invoke: takes the arguments as JSON and gives the text that the model
    reads; raises ToolError, OutcomeUnknownError,
    or CancelledError when it takes too long. Whatever else it raises is logged, and the model
    is told that the tool failed. has_side_effects: it changes something outside; then it runs once for each key, and
    only a result or a ToolError says for sure what happened. needs_approval: a person has to approve each call.
    time_limit_s: at most 600. output_limit_bytes: of UTF-8, at least 256; what is longer is cut. quotes_strangers: its
    results hold text that somebody else has written, and that may try to give orders. reaches_out: it sends what it is
    given to the address in its argument `url`. approval_waived: the operator says that no call needs approval. What
    these two change for a run that has read what strangers wrote is agent_fn's to decide. expect: called when a run has
    been told of the tool for the first time: starts what its first call would wait for, and does not wait itself.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    invoke: Callable[[bytes, Call], Awaitable[str]]
    has_side_effects: bool = False
    needs_approval: bool = False
    time_limit_s: float = 30.0
    output_limit_bytes: int = 32 * 1024
    quotes_strangers: bool = False
    reaches_out: bool = False
    approval_waived: bool = False
    expect: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"tool {self.name!r}: a name has at most 64 lower-case letters, digits and underscores, a letter first"
            )
        if not self.description.strip():
            raise ValueError(f"tool {self.name}: the model needs a description")
        if self.input_schema.get("type") != "object":
            raise ValueError(f"tool {self.name}: input_schema must be a JSON Schema of an object")
        if not 0 < self.time_limit_s <= MOST_SECONDS:
            raise ValueError(f"tool {self.name}: time_limit_s must be from 0 to {MOST_SECONDS:g}")
        if self.output_limit_bytes < LEAST_OUTPUT_BYTES:
            raise ValueError(f"tool {self.name}: output_limit_bytes must be at least {LEAST_OUTPUT_BYTES}")


def typed_tool(
    *,
    name: str,
    description: str,
    input: type[A],  # noqa: A002 - what a tool's author looks for
    run: Callable[[A, Call], Awaitable[str]],
    has_side_effects: bool = False,
    needs_approval: bool = False,
    time_limit_s: float = 30.0,
    output_limit_bytes: int = 32 * 1024,
    quotes_strangers: bool = False,
    reaches_out: bool = False,
    expect: Callable[[], None] | None = None,
) -> Tool:
    """A tool whose schema and strict reading come from a type. Raises TypeError for a type that has no schema.

    Arguments that do not fit are told to the model as a ToolError that names the field; `run` never sees them.
    """
    reader = Reader(input)

    async def invoke(raw: bytes, call: Call) -> str:
        try:
            arguments = reader.read(raw)
        except ValueError as error:
            raise ToolError(str(error)) from error
        return await run(arguments, call)

    return Tool(
        name=name,
        description=description,
        input_schema=reader.schema,
        invoke=invoke,
        has_side_effects=has_side_effects,
        needs_approval=needs_approval,
        time_limit_s=time_limit_s,
        output_limit_bytes=output_limit_bytes,
        quotes_strangers=quotes_strangers,
        reaches_out=reaches_out,
        expect=expect,
    )
