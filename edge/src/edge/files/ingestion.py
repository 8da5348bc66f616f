"""One attempt to have embed_fn make a document of a file."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_pb2 import Document
from dormouse.embed.v1.embed_service_pb2 import IngestHeader, IngestProgress, IngestRequest
from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.embed_client import EmbedClient, Ingested, translate
from edge.errors import ApiError

from .model import FileRecord, Phase, Progress
from .originals import OriginalMissingError, Originals

INGEST_TIMEOUT_S: Final = 590.0
"""Below the longest request that Knative lets through. What is done by then stays done: the next attempt goes on."""

MESSAGE_BYTES: Final = 1024 * 1024


async def ingest(
    embed: EmbedClient, originals: Originals, file: FileRecord, tell: Callable[[Progress], None]
) -> Document:
    """The document, complete or failed for good. `tell` hears of each step.

    Errors: what embed_fn says; STREAM_BROKEN when it stopped in the middle, FUNCTION_UNAVAILABLE when it has not begun;
    StorageAwayError; OriginalMissingError.
    """
    caller = Caller(file.tenant, file.user, "")
    call = embed.stub.Ingest(timeout=INGEST_TIMEOUT_S, metadata=embed.metadata(caller))
    sending = asyncio.create_task(_send(call, originals, file))
    has_begun = False
    try:
        async for answer in call:
            has_begun = True
            if answer.WhichOneof("event") == "document":
                if embed.on_ingested is not None and answer.uses:
                    attempt = f"{file.id}.{file.failures}"
                    embed.on_ingested(Ingested(attempt, file.tenant, file.user, answer.uses))
                return answer.document
            tell(_progress(answer.progress))
    except grpc.aio.AioRpcError as error:
        _raise_own(sending)
        translated = translate(error)
        if has_begun and translated.reason == ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE:
            raise _broken() from error
        raise translated from error
    finally:
        call.cancel()
        sending.cancel()
        await asyncio.wait([sending])
    _raise_own(sending)
    raise _broken()


async def _send(call: Any, originals: Originals, file: FileRecord) -> None:
    """Whatever fails here ends the call; what the call itself has against it is said by its answers."""
    header = IngestHeader(
        document_id=file.id,
        name=file.name,
        metadata=file.metadata,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
    )
    try:
        await call.write(IngestRequest(header=header))
        async for piece in await originals.read(file.tenant, file.id):
            for start in range(0, len(piece), MESSAGE_BYTES):
                await call.write(IngestRequest(data=piece[start : start + MESSAGE_BYTES]))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # it has ended, perhaps because nothing more is wanted
    except (ApiError, OriginalMissingError):
        call.cancel()
        raise


def _raise_own(sending: "asyncio.Task[None]") -> None:
    """What went wrong with our part is the cause of what the call says."""
    if sending.done() and not sending.cancelled() and (error := sending.exception()) is not None:
        raise error


def _progress(progress: IngestProgress) -> Progress:
    phase = int(progress.phase)
    return Progress(Phase(phase if phase <= Phase.STORED else 0), progress.done, progress.total)


def _broken() -> DormouseError:
    return DormouseError(ErrorReason.ERROR_REASON_STREAM_BROKEN, "Reading the file broke off.")
