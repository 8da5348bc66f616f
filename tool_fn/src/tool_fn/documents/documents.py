"""Searches documents by EmbedService, in the name of whoever asked for the call."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from dormouse.common.v1 import error_pb2
from dormouse.embed.v1 import embed_pb2, embed_service_pb2
from dormouse.embed.v1.embed_service_pb2_grpc import EmbedServiceStub
from dormouse_runtime.client import call_metadata, open_channel
from dormouse_runtime.errors import DormouseError, from_rpc_error

from tool_fn.tool import ToolError

T = TypeVar("T")

_PAGE: Final = 200
# Names are looked up in so many pages of the list at most.
_PAGES: Final = 10
# A function that has died is back within seconds.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.2
_FILE_ID: Final = re.compile(r"file-[0-9A-Za-z]{24}")
_E = error_pb2
_PASSING: Final = frozenset((_E.ERROR_REASON_FUNCTION_UNAVAILABLE, _E.ERROR_REASON_SHUTTING_DOWN))
_MODES: Final = {
    "auto": embed_pb2.SEARCH_MODE_AUTO,
    "fast": embed_pb2.SEARCH_MODE_FAST,
    "balanced": embed_pb2.SEARCH_MODE_BALANCED,
    "deep": embed_pb2.SEARCH_MODE_DEEP,
}


@dataclass(frozen=True, slots=True)
class Question:
    """mode: "auto", "fast", "balanced" or "deep". limit: passages, 0 for the mode's own. files: ids or names of the
    documents to search; empty: all.
    """

    text: str
    mode: str = "auto"
    limit: int = 0
    files: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """See dormouse.embed.v1.Passage. Everything in it comes from a document, its name too: trust none of it."""

    chunk_id: str
    document_id: str
    document_name: str
    text: str
    headings: Sequence[str]
    first_page: int
    last_page: int
    start_offset: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class Found:
    """passages: best first. left_out: what failed or took too long, so that they come without it: "vectors", "text",
    "rewriting", "reranking".
    """

    passages: Sequence[Passage]
    left_out: Sequence[str] = ()


class UnknownFileError(Exception):
    """`name` is no document; `known` are some that there are."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known


class Documents:
    """EmbedService. Connects with the first search; keeps no connection while nobody searches."""

    def __init__(self, target: str) -> None:
        """target: as gRPC names it; empty: there are no documents."""
        self.is_configured = bool(target)
        self._target = target
        self._channel: grpc.aio.Channel | None = None

    async def aclose(self) -> None:
        """Closes the connection."""
        if self._channel is not None:
            await self._channel.close()

    async def search(self, question: Question, token: str, timeout_s: float) -> Found:
        """The passages that answer a question. Raises ToolError, UnknownFileError."""
        asked = _Asked(self._stub(), call_metadata(token), asyncio.get_running_loop().time() + timeout_s)
        request = embed_service_pb2.SearchRequest(
            query=question.text,
            mode=_MODES[question.mode],
            limit=question.limit,
            document_ids=await _document_ids(asked, question.files),
        )
        found: embed_service_pb2.SearchResponse = await asked.call("Search", request)
        return Found([_passage(hit.passage) for hit in found.hits], tuple(found.left_out))

    async def is_any_ready(self, token: str, timeout_s: float) -> bool | None:
        """Whether a document can be searched. None: there are some, and they are still being read, or could not be.
        Raises ToolError.
        """
        asked = _Asked(self._stub(), call_metadata(token), asyncio.get_running_loop().time() + timeout_s)
        request = embed_service_pb2.ListDocumentsRequest(page_size=_PAGE)
        listed: embed_service_pb2.ListDocumentsResponse = await asked.call("ListDocuments", request)
        if any(document.state == embed_pb2.DOCUMENT_STATE_READY for document in listed.documents):
            return True
        return None if listed.documents else False

    def _stub(self) -> Any:
        if self._channel is None:
            self._channel = open_channel(self._target)
        return EmbedServiceStub(self._channel)


@dataclass(frozen=True, slots=True)
class _Asked:
    stub: Any
    metadata: tuple[tuple[str, str], ...]
    deadline: float

    async def call(self, method: str, request: Any) -> Any:
        """Reads only, so it is simply asked again where the function is away."""
        loop = asyncio.get_running_loop()
        give_up = min(loop.time() + _PATIENCE_S, self.deadline)
        while True:
            timeout_s = max(self.deadline - loop.time(), 0.01)
            try:
                call: Callable[..., Awaitable[Any]] = getattr(self.stub, method)
                return await call(request, timeout=timeout_s, metadata=self.metadata)
            except grpc.aio.AioRpcError as failed:
                error = from_rpc_error(failed)
                if error.reason not in _PASSING or loop.time() + _PAUSE_S > give_up:
                    raise ToolError(_sentence(error)) from failed
            await asyncio.sleep(_PAUSE_S)


async def _document_ids(asked: _Asked, files: Sequence[str]) -> list[str]:
    if all(_FILE_ID.fullmatch(file) for file in files):
        return list(files)
    by_name: dict[str, list[str]] = {}
    names: list[str] = []
    request = embed_service_pb2.ListDocumentsRequest(page_size=_PAGE)
    for _ in range(_PAGES):
        listed: embed_service_pb2.ListDocumentsResponse = await asked.call("ListDocuments", request)
        for document in listed.documents:
            names.append(document.name)
            by_name.setdefault(document.name.casefold(), []).append(document.id)
        if not listed.next_page_token:
            break
        request.page_token = listed.next_page_token
    ids: list[str] = []
    for file in files:
        found = by_name.get(file.casefold()) or ([file] if _FILE_ID.fullmatch(file) else None)
        if found is None:
            raise UnknownFileError(file, names)
        ids += found
    return ids


def _passage(passage: embed_pb2.Passage) -> Passage:
    return Passage(
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        document_name=passage.document_name,
        text=passage.text,
        headings=tuple(passage.headings),
        first_page=passage.first_page,
        last_page=passage.last_page,
        start_offset=passage.start_offset,
        end_offset=passage.end_offset,
    )


def _sentence(error: DormouseError) -> str:
    if error.reason in (_E.ERROR_REASON_INVALID_ARGUMENT, _E.ERROR_REASON_DOCUMENT_NOT_FOUND):
        return error.message
    if error.reason in (_E.ERROR_REASON_PERMISSION_DENIED, _E.ERROR_REASON_UNAUTHENTICATED):
        return "The documents may not be searched in this run. Answer without them and say so."
    if error.reason == _E.ERROR_REASON_DEADLINE_EXCEEDED:
        return 'The search took too long. Try again with the mode "fast".'
    return "The documents cannot be searched at the moment. Answer without them and say so, or try again later."
