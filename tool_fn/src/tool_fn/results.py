"""What a call brought."""

from dataclasses import dataclass

from tool_fn.sources import Source


@dataclass(frozen=True, slots=True)
class Result:
    """See dormouse.tool.v1.InvokeResult. `content` is fit to be sent."""

    content: str
    is_error: bool = False
    is_truncated: bool = False
    is_replay: bool = False
    outcome_unknown: bool = False
    duration_ms: int = 0
    sources: tuple[Source, ...] = ()
