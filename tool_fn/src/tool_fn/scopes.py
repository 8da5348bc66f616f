"""Which tools a caller's token allows."""

from typing import Final

from dormouse_runtime.identity import Identity

ALL: Final = "tools"
_ONE: Final = "tool:"


def allows(caller: Identity, name: str) -> bool:
    """The scope `tools` allows every tool, `tool:<name>` that one."""
    return ALL in caller.scopes or _ONE + name in caller.scopes
