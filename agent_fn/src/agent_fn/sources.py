"""Passages of documents that tools have quoted, so that an answer can cite them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict, cast


@dataclass(frozen=True, slots=True)
class Source:
    """See dormouse.common.v1.Source. `label` is unique within a run."""

    label: str
    document_id: str
    document_name: str
    chunk_id: str
    start_offset: int
    end_offset: int
    first_page: int
    text: str


class StoredSource(TypedDict):
    """A source as checkpoints hold it; see conversation."""

    label: str
    document_id: str
    document_name: str
    chunk_id: str
    start_offset: int
    end_offset: int
    first_page: int
    text: str


def to_stored(sources: Sequence[Source]) -> list[StoredSource]:
    """For a message."""
    return [cast("StoredSource", asdict(source)) for source in sources]


def from_stored(sources: Sequence[StoredSource]) -> list[Source]:
    """Of a message."""
    return [Source(**source) for source in sources]
