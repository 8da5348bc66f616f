"""Lists of hosts: `example.org`, `*.example.org` for all below it, `:port` for another port than the web's."""

from collections.abc import Iterable
from typing import Final

HOST: Final = r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$"


def narrowed(first: Iterable[str] | None, second: Iterable[str] | None) -> tuple[str, ...] | None:
    """What both lists have. None is a list of everything."""
    if first is None or second is None:
        left = first if second is None else second
        return None if left is None else tuple(sorted({entry.lower() for entry in left}))
    one, other = [entry.lower() for entry in first], [entry.lower() for entry in second]
    both = {entry for entry in one if _is_in(entry, other)} | {entry for entry in other if _is_in(entry, one)}
    return tuple(sorted(both))


def _is_in(entry: str, entries: Iterable[str]) -> bool:
    return any(_covers(wider, entry) for wider in entries)


def _covers(wider: str, entry: str) -> bool:
    """Whether each host that `entry` has is one of `wider`, too."""
    if wider == entry:
        return True
    host, _, port = wider.partition(":")
    inner, _, inner_port = entry.partition(":")
    return port == inner_port and host.startswith("*.") and inner.removeprefix("*").endswith(host[1:])
