"""The shapes of answers about files."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.openapi import json_text, ref


class FileProgress(BaseModel):
    """How far the ingestion is."""

    phase: Literal["waiting", "received", "parsed", "chunked", "embedded", "stored"]
    done: int = Field(description="Passages.")
    total: int = Field(description="0: not known yet.")


class FileObject(BaseModel):
    """A file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int = Field(description="Seconds since 1970.")
    expires_at: int | None = Field(description="When it goes by itself, with what was made of it. Null: it stays.")
    filename: str = Field(description="Without folders, and without what is not seen.")
    purpose: str
    status: Literal["uploaded", "processed", "error"] = Field(
        description="`processed`: searches find it. `error`: `status_details` says why not."
    )
    status_details: str | None = Field(description="Also what an attempt that will be repeated has failed of.")
    progress: FileProgress
    media_type: str | None = Field(description="By its content. Null: not known yet.")
    page_count: int
    chunk_count: int
    sha256: str
    metadata: dict[str, str]


class UploadedFile(FileObject):
    """A file that was uploaded."""

    already_existed: bool = Field(description="The same content was there already; this is the file that has it.")


class FileList(BaseModel):
    object: Literal["list"]
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None = Field(description="For `after`, to read on.")


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class FilePassage(BaseModel):
    """A passage of a file."""

    id: str
    object: Literal["file.chunk"]
    file_id: str
    filename: str
    text: str
    headings: list[str] = Field(description="Above the passage, outermost first.")
    first_page: int | None = Field(description="1 is the first. Null: the type has no pages.")
    last_page: int | None
    start_offset: int = Field(description="Unicode code points from the start of the file's text.")
    end_offset: int = Field(description="Exclusive.")


class FileUpload(BaseModel):
    """A form (multipart/form-data). Metadata is given as fields `metadata[key]`, at most 16.

    A file goes by itself with the fields `expires_after[anchor]=created_at` and `expires_after[seconds]`, 3600 to
    2592000. A file that is sent again stays as long as the later of both.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"file": "# Dormice\n\nThey sleep.\n"}]})

    file: str = Field(min_length=1, json_schema_extra={"format": "binary"})
    purpose: str = Field("assistants", pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Any word.")


class FileStep(BaseModel):
    """An event on the way."""

    type: Literal["file.received", "file.parsed", "file.chunked", "file.embedded", "file.stored"]
    done: int = Field(description="Passages.")
    total: int


class FileState(BaseModel):
    """The first event, and the last."""

    type: Literal["file.uploaded", "file.processed", "file.failed"]
    file: FileObject


class FileGone(BaseModel):
    """The last event when the file was deleted meanwhile."""

    type: Literal["file.deleted"]


class FileStreamError(BaseModel):
    """The last event when the stream, not the ingestion, fails."""

    type: Literal["error"]
    error: dict[str, Any]


MODELS: Final = (
    FileObject,
    UploadedFile,
    FileList,
    FileDeleted,
    FilePassage,
    FileUpload,
    FileStep,
    FileState,
    FileGone,
    FileStreamError,
)

_EVENTS: Final = (FileStep, FileState, FileGone, FileStreamError)
EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "data": json_text({"anyOf": [ref(model) for model in _EVENTS]}),
    },
    "required": ["event", "data"],
}

EXAMPLE: Final[dict[str, Any]] = {
    "id": "file-8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "file",
    "bytes": 24,
    "created_at": 1795167295,
    "expires_at": None,
    "filename": "dormice.md",
    "purpose": "assistants",
    "status": "uploaded",
    "status_details": None,
    "progress": {"phase": "waiting", "done": 0, "total": 0},
    "media_type": None,
    "page_count": 0,
    "chunk_count": 0,
    "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "metadata": {},
}
UPLOADED_EXAMPLE: Final = EXAMPLE | {"already_existed": False}
LIST_EXAMPLE: Final[dict[str, Any]] = {
    "object": "list",
    "data": [EXAMPLE],
    "has_more": False,
    "first_id": EXAMPLE["id"],
    "last_id": EXAMPLE["id"],
}
PASSAGE_EXAMPLE: Final[dict[str, Any]] = {
    "id": "17",
    "object": "file.chunk",
    "file_id": EXAMPLE["id"],
    "filename": "dormice.md",
    "text": "They sleep.",
    "headings": ["Dormice"],
    "first_page": None,
    "last_page": None,
    "start_offset": 11,
    "end_offset": 22,
}
STREAM_EXAMPLE: Final = (
    'event: file.parsed\ndata: {"type":"file.parsed","done":0,"total":0}\n\n'
    'event: file.embedded\ndata: {"type":"file.embedded","done":12,"total":40}\n\n'
)
