"""How the nearest passages of a selection are found: by comparing with all, or by the index.

Postgres's planner is not asked: its statistics know nothing of one tenant among many, nor of row-level security's
conditions. What decides is the exact number of passages, which the library's row and the documents' rows hold.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from embed_fn.store.settling import COMPARED

_COMPARE_US: Final = 0.5
"""To compare with one vector of 384 dimensions, in microseconds of one core; as measured, like the next."""
_WALK_US: Final = 35.0
"""To walk the index to the next nearest one, whoever's it is: it passes by many that the search is not about."""

_MOST_WIDER: Final = 4


class Way(Enum):
    """ALL: compare with all of the tenant's passages. DOCUMENTS: with those of certain documents, one after the other.

    INDEX: ask the HNSW index for those it holds, and compare with the rest.
    """

    ALL = "all"
    DOCUMENTS = "documents"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Selection:
    """chunks: passages of ready documents that the search is about. hidden: passages of documents that are not ready.

    is_filtered: whether it is about certain documents, and not all of the tenant's. indexed: vectors of all tenants in
    the index, about. candidates: passages wanted.
    """

    chunks: int
    hidden: int
    is_filtered: bool = False
    indexed: float = 0
    candidates: int = 60


def ef_search_for(selection: Selection, least: int) -> int:
    """How widely the index looks: the more it passes by, the more."""
    passed = selection.indexed / max(selection.chunks, 1)
    return int(least * min(max(passed, 1), _MOST_WIDER))


def way_for(selection: Selection) -> Way:
    """The cheapest way that misses nothing, or next to nothing."""
    if selection.chunks > COMPARED:
        passed = selection.candidates * max(selection.indexed / selection.chunks, 1)
        if selection.chunks * _COMPARE_US > passed * _WALK_US:
            return Way.INDEX
    if selection.is_filtered or selection.hidden > max(COMPARED // 4, selection.chunks):
        return Way.DOCUMENTS
    return Way.ALL
