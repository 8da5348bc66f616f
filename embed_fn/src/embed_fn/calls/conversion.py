"""Documents and passages as protos."""

from collections.abc import Mapping
from typing import Final

from dormouse.embed.v1 import embed_pb2

from embed_fn.store.records import Document, DocumentState, Passage

_STATES: Final[Mapping[DocumentState, embed_pb2.DocumentState.ValueType]] = {
    DocumentState.INGESTING: embed_pb2.DOCUMENT_STATE_INGESTING,
    DocumentState.READY: embed_pb2.DOCUMENT_STATE_READY,
    DocumentState.FAILED: embed_pb2.DOCUMENT_STATE_FAILED,
}


def document_proto(document: Document) -> embed_pb2.Document:
    """chunk_count: how many passages there are or, while it is INGESTING, will be; 0 until that is known."""
    return embed_pb2.Document(
        id=document.id,
        name=document.name,
        media_type=document.media_type,
        size_bytes=document.size_bytes,
        sha256=document.sha256,
        state=_STATES[document.state],
        page_count=document.page_count,
        chunk_count=document.chunk_total or 0,
        created_unix_ms=document.created_unix_ms,
        error=document.error,
        metadata=document.metadata,
    )


def passage_proto(passage: Passage) -> embed_pb2.Passage:
    """The passage."""
    return embed_pb2.Passage(
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        document_name=passage.document_name,
        text=passage.text,
        headings=passage.headings,
        first_page=passage.first_page,
        last_page=passage.last_page,
        start_offset=passage.start,
        end_offset=passage.end,
    )
