"""Ingest."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.calls.conversion import document_proto
from embed_fn.ingestion.ingestions import Told
from embed_fn.ingestion.records import Announced, Progress
from embed_fn.means import Means
from embed_fn.parsing.cleaning import clean_name
from embed_fn.scopes import writer
from embed_fn.uses import begin_counting

MOST_PART_BYTES: Final = 1024 * 1024
MOST_METADATA: Final = 16
_MOST_KEY: Final = 64
_MOST_VALUE: Final = 512
_MOST_NAME: Final = 4096
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class IngestionCalls:
    """Every call reaches only the documents of the caller's tenant."""

    def __init__(self, means: Means) -> None:
        self._ingestions = means.ingestions
        self._upkeep = means.upkeep

    async def ingest(self, requests: AsyncIterator[pb.IngestRequest]) -> AsyncGenerator[pb.IngestResponse, None]:
        """Progress, and the document as the last message. Errors: see Ingestions.ingest; INVALID_ARGUMENT."""
        caller, uses = writer(), begin_counting()
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise errors.invalid_argument("The first message of an ingestion is its header.")
        events = self._ingestions.ingest(caller.tenant, _announced(first.header), _parts(requests))
        async with aclosing(events):
            async for told in events:
                answer = _response(told)
                if answer.HasField("document"):
                    answer.uses.extend(uses.to_protos())
                yield answer
        self._upkeep.wake(caller.tenant)


async def _parts(requests: AsyncIterator[pb.IngestRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "data":
            raise errors.invalid_argument("After the header come only bytes.")
        if len(request.data) > MOST_PART_BYTES:
            raise errors.invalid_argument(f"A message has at most {MOST_PART_BYTES:,} of a file's bytes.")
        yield request.data


def _announced(header: pb.IngestHeader) -> Announced:
    if not _ID.fullmatch(header.document_id):
        raise errors.invalid_argument("A document's id is 1 to 64 letters, digits, underscores and hyphens.")
    if not 1 <= len(header.name) <= _MOST_NAME:
        raise errors.invalid_argument(f"A document's name has 1 to {_MOST_NAME:,} characters.")
    if header.sha256 and not _SHA256.fullmatch(header.sha256):
        raise errors.invalid_argument("A SHA-256 is 64 hexadecimal digits in lower case.")
    metadata = dict(header.metadata)
    if len(metadata) > MOST_METADATA:
        raise errors.invalid_argument(f"A document has at most {MOST_METADATA} entries of metadata.")
    if any(not 1 <= len(key) <= _MOST_KEY or len(value) > _MOST_VALUE for key, value in metadata.items()):
        raise errors.invalid_argument(
            f"A key of the metadata has 1 to {_MOST_KEY} characters, a value at most {_MOST_VALUE}."
        )
    return Announced(header.document_id, clean_name(header.name), metadata, header.sha256, header.size_bytes)


def _response(told: Told) -> pb.IngestResponse:
    if isinstance(told, Progress):
        # The numbers of the phases are the proto's.
        phase = pb.IngestPhase.ValueType(told.phase)
        return pb.IngestResponse(progress=pb.IngestProgress(phase=phase, done=told.done, total=told.total))
    return pb.IngestResponse(document=document_proto(told))
