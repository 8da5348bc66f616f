"""What tells a tenant's things apart in any answer: a word that only its texts hold, and the ids that it was given."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ID = re.compile(r"(?:thread_|run_|art_|file-|key_|user_|sess_|budget_|chatcmpl-)[0-9A-Za-z]{24}")
_KIND = re.compile(r"[a-z]+")


class LeakError(AssertionError):
    """A tenant was shown something of another."""


@dataclass(slots=True)
class Marks:
    """Of all tenants together."""

    canaries: Mapping[str, str]
    """By tenant. Each of its texts holds its canary."""
    owners: dict[str, str] = field(default_factory=dict)
    """The tenant that an id was shown to first."""

    def check(self, tenant: str, sent: str, shown: str) -> list[str]:
        """The ids in what the tenant was shown, new ones now its own.

        Raises LeakError where it holds another's canary or name, or another's id that was not in what it had sent.
        """
        for other, canary in self.canaries.items():
            if other != tenant:
                for mark in (canary, other):
                    if mark in shown:
                        raise LeakError(f"{tenant} is shown {mark!r} of {other}: …{_around(shown, mark)}…")
        ids = sorted(set(ID.findall(shown)))
        for name in ids:
            owner = self.owners.setdefault(name, tenant)
            if owner != tenant and name not in sent:
                raise LeakError(f"{tenant} is shown {name} of {owner}: …{_around(shown, name)}…")
        return ids

    def of(self, tenants: Iterable[str], kind: str) -> list[str]:
        """Ids of these tenants that begin so."""
        wanted = set(tenants)
        return [name for name, owner in self.owners.items() if name.startswith(kind) and owner in wanted]


def kind_of(name: str) -> str:
    """`thread`, `run`, `art`, …"""
    match = _KIND.match(name)
    assert match is not None, name
    return match[0]


def unknown_like(name: str, letters: str) -> str:
    """An id of the same form that nobody has."""
    return name[:-24] + letters


def _around(text: str, mark: str) -> str:
    place = text.index(mark)
    return text[max(0, place - 150) : place + 150]
