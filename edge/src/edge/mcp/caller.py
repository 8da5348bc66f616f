"""Who an MCP request speaks for, on its way through the SDK in the request's scope."""

from collections.abc import MutableMapping
from typing import Any, Final

from edge.auth.caller import Caller

KEY: Final = "dormouse.caller"


def put_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Called once, when the key has been found to be somebody's."""
    scope[KEY] = caller


def caller_of(scope: MutableMapping[str, Any]) -> Caller:
    """The request's caller."""
    caller = scope[KEY]
    assert isinstance(caller, Caller)
    return caller
