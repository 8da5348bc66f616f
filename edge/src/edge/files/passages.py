"""Passages of files, for who follows a citation."""

from typing import Final

import grpc
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_pb2 import Passage
from dormouse.embed.v1.embed_service_pb2 import GetPassageRequest
from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.embed_client import EmbedClient, translate

PASSAGE_TIMEOUT_S: Final = 10.0
_LONGEST_ID: Final = 200


async def passage_of(
    embed: EmbedClient, caller: Caller, document_id: str, chunk_id: str, request_id: str = ""
) -> Passage:
    """A passage of this document. Errors: DOCUMENT_NOT_FOUND, also for one of another; what embed_fn says."""
    missing = DormouseError(ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND, "The file has no passage with this id.")
    if len(chunk_id) > _LONGEST_ID or not chunk_id.isprintable():
        raise missing
    try:
        answer = await embed.stub.GetPassage(
            GetPassageRequest(chunk_id=chunk_id),
            timeout=PASSAGE_TIMEOUT_S,
            metadata=embed.metadata(caller, request_id),
        )
    except grpc.aio.AioRpcError as error:
        translated = translate(error)
        if translated.reason in (
            ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND,
            ErrorReason.ERROR_REASON_INVALID_ARGUMENT,
        ):
            raise missing from error
        raise translated from error
    if answer.passage.document_id != document_id:
        raise missing
    passage: Passage = answer.passage
    return passage
