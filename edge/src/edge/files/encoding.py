"""Files, passages and events as JSON."""

from collections.abc import Sequence
from typing import Any

import orjson
from dormouse.embed.v1.embed_pb2 import Passage

from edge.errors import ApiError

from .following import FileEvent
from .model import FileRecord, FileStatus, Progress

_LAST = {FileStatus.PROCESSED: "file.processed", FileStatus.ERROR: "file.failed"}


def file_to_json(file: FileRecord) -> dict[str, Any]:
    """In OpenAI's shape, with more."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": file.status.value,
        "status_details": file.error or None,
        "progress": {"phase": file.progress.phase.name.lower(), **_counts(file.progress)},
        "media_type": file.media_type or None,
        "page_count": file.page_count,
        "chunk_count": file.chunk_count,
        "sha256": file.sha256,
        "metadata": dict(file.metadata),
    }


def passage_to_json(passage: Passage, file_id: str, name: str) -> dict[str, Any]:
    """A passage of a file, or of what another service has put there."""
    return {
        "id": passage.chunk_id,
        "object": "file.chunk",
        "file_id": file_id,
        "filename": name,
        **place_to_json(passage),
    }


def place_to_json(passage: Passage) -> dict[str, Any]:
    """What a passage says, and where it stands."""
    return {
        "text": passage.text,
        "headings": list(passage.headings),
        "first_page": passage.first_page or None,
        "last_page": passage.last_page or None,
        "start_offset": passage.start_offset,
        "end_offset": passage.end_offset,
    }


class FileEventEncoder:
    """The events of one file's ingestion as server-sent events."""

    must_open = True
    has_content = False

    def __init__(self) -> None:
        self._has_begun = False

    def encode(self, events: Sequence[FileEvent]) -> bytes:
        """Each under its name."""
        return b"".join(self._encode(event) for event in events)

    def broken(self, error: ApiError) -> bytes:
        """The stream ends; how the ingestion ends is told by the file."""
        return _event("error", orjson.loads(error.body()))

    def _encode(self, event: FileEvent) -> bytes:
        if event.progress is not None:
            return _event(f"file.{event.progress.phase.name.lower()}", _counts(event.progress))
        if event.file is None:
            return _event("file.deleted", {})
        name = _LAST.get(event.file.status, "file.uploaded") if self._has_begun else "file.uploaded"
        self._has_begun = True
        return _event(name, {"file": file_to_json(event.file)})


def _counts(progress: Progress) -> dict[str, int]:
    return {"done": progress.done, "total": progress.total}


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **data}))
