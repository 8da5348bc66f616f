"""Files as the edge knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum


class FileStatus(StrEnum):
    """As it stands in the table. The first and the last are hidden."""

    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"
    DELETED = "deleted"

    @property
    def is_final(self) -> bool:
        """Whether the ingestion has ended, one way or the other."""
        return self in (FileStatus.PROCESSED, FileStatus.ERROR, FileStatus.DELETED)


class Phase(IntEnum):
    """How far an ingestion is. The numbers are those of dormouse.embed.v1.IngestPhase."""

    WAITING = 0
    RECEIVED = 1
    PARSED = 2
    CHUNKED = 3
    EMBEDDED = 4
    STORED = 5


@dataclass(frozen=True, slots=True, order=True)
class Progress:
    """How far an ingestion is; a later one is greater. `done` of `total` passages; a `total` of 0 is not known yet."""

    phase: Phase = Phase.WAITING
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as its row says."""

    tenant: str
    id: str
    user: str
    name: str
    purpose: str
    size_bytes: int
    sha256: str
    metadata: Mapping[str, str]
    status: FileStatus
    error: str
    progress: Progress
    media_type: str
    page_count: int
    chunk_count: int
    document_id: str
    failures: int
    breaks: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is known of a file once all its bytes are stored. expires_after: that moment; None: it stays."""

    name: str
    purpose: str
    metadata: Mapping[str, str]
    size_bytes: int
    sha256: str
    expires_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class FilePage:
    """Some files in the order that was asked for."""

    files: Sequence[FileRecord]
    has_more: bool
