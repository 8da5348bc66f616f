"""What a credential grants: which tools, and among them where they may send to, written as `host:<pattern>`."""

from typing import Final

from edge.auth.caller import Grants
from edge.tool_scopes import HOST_PREFIX

from .hosts import narrowed

SCOPES_BYTES: Final = 5_000
"""A token has 8 KB at the most, of which so much is for names."""


def tool_names(grants: Grants) -> frozenset[str] | None:
    """The tools. None: all."""
    if grants.tools is None:
        return None
    names = frozenset(entry for entry in grants.tools if not entry.startswith(HOST_PREFIX))
    # A list of hosts alone says nothing about tools.
    return None if not names and grants.tools else names


def tools_within(wanted: Grants, own: Grants) -> bool:
    """Whether `wanted` grants no tool and no host beyond `own`. More hosts in a list bind less, not more."""
    names, own_names = tool_names(wanted), tool_names(own)
    if own_names is not None and (names is None or not names <= own_names):
        return False
    limit, own_limit = hosts(wanted), hosts(own)
    if own_limit is None:
        return True
    return limit is not None and narrowed(limit, own_limit) == narrowed(limit, None)


def hosts(grants: Grants) -> tuple[str, ...] | None:
    """Where its tools may send to. None: wherever others may."""
    found = sorted(entry.removeprefix(HOST_PREFIX) for entry in grants.tools or () if entry.startswith(HOST_PREFIX))
    return tuple(found) or None
