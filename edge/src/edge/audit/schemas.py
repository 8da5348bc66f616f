"""The shape of the audit log's answers."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field


class AuditEntry(BaseModel):
    """Something that somebody did, and its place in the chain."""

    object: Literal["audit.entry"]
    seq: int = Field(description="1, 2, 3 … without gaps.")
    created_at: datetime
    actor: str = Field(description="`user:<id>`, `service:<name>`, `cli:<name>`, or `anonymous`.")
    key_id: str | None = Field(description="The API key that was used.")
    action: str
    target: str | None = Field(description="The id of what it was done to.")
    details: dict[str, Any]
    address: str | None = Field(description="The client's, where the platform keeps addresses.")
    request_id: str | None
    previous_hash: str
    hash: str = Field(description="SHA-256 over the entry and the hash before it, in hexadecimal digits.")


class AuditEntryList(BaseModel):
    object: Literal["list"]
    data: list[AuditEntry]
    has_more: bool
    last_seq: int | None = Field(description="For `before`, to read on.")


EXAMPLE: Final[dict[str, Any]] = {
    "object": "audit.entry",
    "seq": 17,
    "created_at": "2026-11-20T09:34:55.595112Z",
    "actor": "user:u-1",
    "key_id": None,
    "action": "key.created",
    "target": "key_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "details": {"scopes": ["runs"]},
    "address": None,
    "request_id": "req_0d4c2f6b7a8e9f1023456789",
    "previous_hash": "3f5a" + "0" * 60,
    "hash": "9b1c" + "0" * 60,
}
LIST_EXAMPLE: Final[dict[str, Any]] = {"object": "list", "data": [EXAMPLE], "has_more": False, "last_seq": 17}
MODELS: Final = (AuditEntry, AuditEntryList)
