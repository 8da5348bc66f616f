"""Which routes share a limit: one table, by the scope that a route asks for."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from edge.auth.scopes import Scope


class Group(StrEnum):
    """What a request costs the platform, roughly."""

    MODELS = "models"
    """Starts or resumes a run."""
    SEARCH = "search"
    """Searches, embeds, or calls a tool."""
    FILES = "files"
    """Uploads or changes files."""
    OTHER = "other"
    """Looks something up, or changes a row."""


_OF_SCOPE: Final[Mapping[str, Group]] = {
    Scope.RUNS: Group.MODELS,
    Scope.SEARCH: Group.SEARCH,
    Scope.EMBEDDINGS: Group.SEARCH,
    Scope.TOOLS: Group.SEARCH,
    Scope.FILES: Group.FILES,
    Scope.LIBRARY: Group.FILES,
}
_OF_ROUTE: Final[Mapping[str, Group]] = {
    # Whoever has used up their runs must still be able to stop one.
    "/v1/runs/{run_id}/cancel": Group.OTHER,
}


def group_of(scopes: Iterable[str], route: str, method: str) -> Group:
    """The group of a route that asks for these scopes; `route` is its template. Looking never costs a run or a file."""
    if method in ("GET", "HEAD"):
        return Group.OTHER
    found = _OF_ROUTE.get(route)
    if found is not None:
        return found
    return next((_OF_SCOPE[scope] for scope in scopes if scope in _OF_SCOPE), Group.OTHER)
