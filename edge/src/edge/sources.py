"""Passages that results quote and answers cite, as the public side shows them."""

from typing import Any, Final
from urllib.parse import quote

from dormouse.agent.v1.run_event_pb2 import Citation
from dormouse.common.v1.source_pb2 import Source
from pydantic import BaseModel, Field


class CitedSource(BaseModel):
    """A passage of a file."""

    label: str = Field(description="How the result names it, for instance `1`.")
    file_id: str
    filename: str
    chunk_id: str
    text: str = Field(description="The passage, as the model was shown it.")
    first_page: int | None = Field(description="1 is the first. Null: the type has no pages.")
    start_offset: int = Field(description="Unicode code points from the start of the file's text.")
    end_offset: int = Field(description="Exclusive.")
    url: str = Field(description="Where the passage can be read: a path of this API.")


def source_to_json(source: Source) -> dict[str, Any]:
    """A CitedSource."""
    return {
        "label": source.label,
        "file_id": source.document_id,
        "filename": source.document_name,
        "chunk_id": source.chunk_id,
        "text": source.text,
        "first_page": source.first_page or None,
        "start_offset": source.start_offset,
        "end_offset": source.end_offset,
        "url": passage_path(source),
    }


def citation_to_json(citation: Citation) -> dict[str, Any]:
    """What a span of a message rests on; `source` is null where nothing supports it."""
    return {
        "message_id": citation.message_id,
        "start": citation.start,
        "end": citation.end,
        "source": source_to_json(citation.source) if citation.HasField("source") else None,
    }


def passage_path(source: Source) -> str:
    """Where the passage can be read."""
    return f"/v1/files/{quote(source.document_id, safe='')}/chunks/{quote(source.chunk_id, safe='')}"


SOURCE_EXAMPLE: Final[dict[str, Any]] = {
    "label": "1",
    "file_id": "file-8dYh2mPz0ZcA5kQw1nRtXvBg",
    "filename": "handbook.pdf",
    "chunk_id": "17",
    "text": "Everyone has 30 days of holidays a year.",
    "first_page": 3,
    "start_offset": 5120,
    "end_offset": 5160,
    "url": "/v1/files/file-8dYh2mPz0ZcA5kQw1nRtXvBg/chunks/17",
}
