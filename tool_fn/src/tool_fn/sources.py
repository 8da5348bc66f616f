"""Passages of documents that a tool's result quotes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tool_fn.fitting import fit


@dataclass(frozen=True, slots=True)
class Source:
    """See dormouse.common.v1.Source. `label`: given by Call.cite. Offsets in code points of the document's text."""

    document_id: str
    document_name: str
    chunk_id: str
    start_offset: int
    end_offset: int
    first_page: int
    text: str
    label: str = ""


_DECODER: Final = msgspec.json.Decoder(tuple[Source, ...])


def labelled(source: Source, label: str) -> Source:
    """The source under this label, with nothing in it that cannot be sent or stored."""
    return Source(
        document_id=fit(source.document_id),
        document_name=fit(source.document_name),
        chunk_id=fit(source.chunk_id),
        start_offset=source.start_offset,
        end_offset=source.end_offset,
        first_page=source.first_page,
        text=fit(source.text),
        label=label,
    )


def to_json(sources: Sequence[Source]) -> str:
    """For a store."""
    return msgspec.json.encode(sources).decode()


def from_json(text: str | bytes) -> tuple[Source, ...]:
    """Raises msgspec.DecodeError for what is none of `to_json`."""
    return _DECODER.decode(text)
