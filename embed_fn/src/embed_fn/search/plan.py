"""How the nearest passages of a selection are found: by comparing with all, or by the index.

Postgres's planner is not asked: its statistics know nothing of one tenant among many, nor of row-level security's
conditions. What decides is the exact number of passages, which the library's row and the documents' rows hold.
"""

from dataclasses import dataclass
from enum import Enum

from embed_fn.store.settling import COMPARED


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

    numbers: the documents that it is about; None: all of the tenant's.
    """

    chunks: int
    hidden: int
    numbers: list[int] | None = None


def way_for(selection: Selection) -> Way:
    """The cheapest way that misses nothing, or next to nothing."""
    if selection.chunks > COMPARED:
        return Way.INDEX
    if selection.numbers is not None or selection.hidden > max(COMPARED // 4, selection.chunks):
        return Way.DOCUMENTS
    return Way.ALL
