"""What each mode may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from embed_fn.search.port import Mode


@dataclass(frozen=True, slots=True)
class Effort:
    """limit: passages shown. time_s: for the whole search. candidates: of each half. ef_search: how widely HNSW looks.

    matched: passages whose words are compared with the question's.
    """

    limit: int
    time_s: float
    candidates: int
    ef_search: int
    matched: int


# Each a little less than what is promised, for the way back.
EFFORTS: Final[Mapping[Mode, Effort]] = {
    Mode.FAST: Effort(limit=5, time_s=0.95, candidates=30, ef_search=80, matched=500),
    Mode.BALANCED: Effort(limit=10, time_s=2.9, candidates=60, ef_search=120, matched=1000),
    Mode.DEEP: Effort(limit=15, time_s=14.5, candidates=100, ef_search=200, matched=3000),
}
MOST_HITS: Final = 100
MOST_CHARACTERS: Final = 4096
