"""What an ingestion is told and tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Phase(IntEnum):
    """How far a document is. The numbers are those of dormouse.embed.v1.IngestPhase."""

    RECEIVED = 1
    PARSED = 2
    CHUNKED = 3
    EMBEDDED = 4
    STORED = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """done of total passages; a total of 0 is not known yet."""

    phase: Phase
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says of a file before its bytes. sha256: empty, and size_bytes: 0, where he does not know.

    sha256: lower-case hex.
    """

    document_id: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    size_bytes: int = 0
