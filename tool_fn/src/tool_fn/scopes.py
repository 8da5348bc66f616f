"""Which tools a caller's token allows, and which hosts they may send to."""

from typing import Final

from dormouse_runtime.identity import Identity

ALL: Final = "tools"
_ONE: Final = "tool:"
_HOST: Final = "host:"


def allows(caller: Identity, name: str) -> bool:
    """The scope `tools` allows every tool, `tool:<name>` that one."""
    return ALL in caller.scopes or _ONE + name in caller.scopes


def hosts(caller: Identity) -> tuple[str, ...] | None:
    """Where the caller's tools may send to: the patterns of the scopes `host:<pattern>`; None where there is none.

    `host:` alone is a pattern that fits no host.
    """
    found = tuple(sorted(scope.removeprefix(_HOST) for scope in caller.scopes if scope.startswith(_HOST)))
    return found or None
