"""From rows to records, and from texts to what Postgres can hold."""

import re
from collections.abc import Mapping
from typing import Any, Final

from embed_fn.store.records import Document, DocumentState, Model

DOCUMENT: Final = """
    id, number, name, media_type, size_bytes, sha256, state, recipe, page_count, chunk_count, chunk_total, error,
    metadata, (extract(epoch from created_at) * 1000000)::bigint as created_us
"""
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def document_from(row: Mapping[str, Any]) -> Document:
    """Of a row with the columns DOCUMENT."""
    return Document(
        id=row["id"],
        name=row["name"],
        media_type=row["media_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        state=DocumentState(row["state"]),
        recipe=row["recipe"],
        page_count=row["page_count"],
        chunk_count=row["chunk_count"],
        chunk_total=row["chunk_total"],
        created_unix_ms=row["created_us"] // 1000,
        error=row["error"],
        metadata=row["metadata"],
    )


def model_from(row: Mapping[str, Any]) -> Model:
    """Of a row of embedding_models."""
    return Model(row["id"], row["name"], row["version"], row["dimensions"])


def storable(text: str) -> str:
    """The text, of the same length, with U+FFFD for NUL and lone surrogates, which Postgres does not take."""
    return _UNSTORABLE.sub("\ufffd", text)
