"""What a token for tool_fn says: which tools may be called, and where they may send to."""

from collections.abc import Iterable
from typing import Final

HOST_PREFIX: Final = "host:"
ALL_TOOLS: Final = "tools"
_ONE_TOOL: Final = "tool:"


def tool_scopes(names: Iterable[str] | None, limit: Iterable[str] | None) -> tuple[str, ...]:
    """The scopes of a token for tool_fn: these tools, None for all, and these hosts, None for all."""
    scopes = (ALL_TOOLS,) if names is None else tuple(f"{_ONE_TOOL}{name}" for name in sorted(names))
    if limit is None:
        return scopes
    return (*scopes, *(f"{HOST_PREFIX}{pattern}" for pattern in sorted(limit) or ("",)))
