"""`/v1/files`: documents that agents answer from, in OpenAI's shape and with their progress."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from edge import untrusted
from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import ApiError, invalid_argument
from edge.idempotency.claims import claim_of
from edge.ids import FILE_PATTERN
from edge.openapi import errors, event_stream, json_answer, ref
from edge.request_context import context_of
from edge.services import services_of
from edge.sse import EventStream

from .encoding import FileEventEncoder, file_to_json, passage_to_json
from .passages import passage_of
from .ranges import UnsatisfiableError, wanted_part
from .schemas import (
    EVENT_SCHEMA,
    EXAMPLE,
    LIST_EXAMPLE,
    PASSAGE_EXAMPLE,
    STREAM_EXAMPLE,
    UPLOADED_EXAMPLE,
    FileDeleted,
    FileList,
    FileObject,
    FilePassage,
    FileUpload,
    UploadedFile,
)
from .service import Files, NoFilesError

router = APIRouter(tags=["Files"])

PATH: Final = "/v1/files"
FORM_BYTES: Final = 64 * 1024
"""What a form may have beside its file."""

FileId = Annotated[
    str,
    Path(
        description="The file's id.",
        json_schema_extra={"pattern": FILE_PATTERN},
        examples=["file-8dYh2mPz0ZcA5kQw1nRtXvBg"],
    ),
]
_STREAM = event_stream("How the ingestion goes on, to its end.", EVENT_SCHEMA, STREAM_EXAMPLE)
_UPLOAD_ANSWER: Final[dict[str, Any]] = json_answer(UploadedFile, "The file.", UPLOADED_EXAMPLE)
_EXISTING: Final[dict[str, Any]] = {
    "description": "The file that has this content already; or, where that was asked for, the progress of the new one.",
    "headers": _STREAM["headers"],
    "content": _UPLOAD_ANSWER["content"] | _STREAM["content"],
}


@router.post(
    PATH,
    operation_id="uploadFile",
    summary="Upload a file",
    description=(
        "Kept as it is, and ingested so that searches find it: PDF, DOCX, PPTX, XLSX, CSV, text, Markdown, HTML, JSON, "
        "JSONL. Answers once all bytes are kept. With `stream=true`, or `accept: text/event-stream`, the answer is the "
        "progress of the ingestion, to its end."
    ),
    status_code=201,
    responses={201: _UPLOAD_ANSWER, 200: _EXISTING, **errors(400, 409, 413, 415)},
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": ref(FileUpload)}}}},
    response_class=Response,
)
async def upload_file(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.FILES)],
    stream: Annotated[bool, Query(description="Answer with the progress.")] = False,
) -> Response:
    files = files_of(request)
    await services_of(request).spending.check(caller)
    try:
        uploaded = await files.upload(caller, request.headers.get("content-type"), request.stream())
    except ClientDisconnect:
        raise invalid_argument("The body ended before it was complete.") from None
    if not uploaded.already_existed:
        await services_of(request).audit.note(caller, "file.uploaded", uploaded.file.id, bytes=uploaded.file.size_bytes)
    if (claim := claim_of(request.scope)) is not None:
        claim.content = uploaded.fingerprint
    headers = {"location": f"{PATH}/{uploaded.file.id}"}
    if stream or "text/event-stream" in request.headers.get("accept", ""):
        return _progress(request, files, caller.tenant, uploaded.file.id, headers)
    answer = file_to_json(uploaded.file) | {"already_existed": uploaded.already_existed}
    return _json(answer, 200 if uploaded.already_existed else 201, headers)


@router.get(
    PATH,
    operation_id="listFiles",
    summary="List files",
    responses={200: json_answer(FileList, "Files.", LIST_EXAMPLE), **errors(400)},
    response_class=Response,
)
async def list_files(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.FILES_READ)],
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many at most.")] = 100,
    after: Annotated[str | None, Query(max_length=200, description="Read on behind this id.")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")] = "desc",
    purpose: Annotated[str | None, Query(max_length=64, description="Only those with this purpose.")] = None,
) -> Response:
    if purpose is not None and "\0" in purpose:
        purpose = ""
    table = files_of(request).table
    page = await table.page(caller.tenant, limit=limit, after=after, order=order, purpose=purpose)
    ids = [file.id for file in page.files]
    return _json(
        {
            "object": "list",
            "data": [file_to_json(file) for file in page.files],
            "has_more": page.has_more,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
    )


@router.get(
    f"{PATH}/{{file_id}}",
    operation_id="getFile",
    summary="Look up a file",
    responses={200: json_answer(FileObject, "The file.", EXAMPLE), **errors(404)},
    response_class=Response,
)
async def get_file(
    request: Request, caller: Annotated[Caller, Requires(Scope.FILES_READ)], file_id: FileId
) -> Response:
    return _json(file_to_json(await files_of(request).table.get(caller.tenant, file_id)))


@router.delete(
    f"{PATH}/{{file_id}}",
    operation_id="deleteFile",
    summary="Delete a file",
    description="And what was made of it. An ingestion that goes on is stopped.",
    responses={
        200: json_answer(FileDeleted, "It is gone.", {"id": EXAMPLE["id"], "object": "file", "deleted": True}),
        **errors(404),
    },
    response_class=Response,
)
async def delete_file(request: Request, caller: Annotated[Caller, Requires(Scope.FILES)], file_id: FileId) -> Response:
    await files_of(request).delete(caller.tenant, file_id)
    await services_of(request).audit.note(caller, "file.deleted", file_id)
    return _json({"id": file_id, "object": "file", "deleted": True})


@router.get(
    f"{PATH}/{{file_id}}/content",
    operation_id="downloadFile",
    summary="Download a file",
    description="As it was uploaded, to be saved; also a part of it (`range: bytes=…`). Browsers run nothing in it.",
    responses={
        200: {
            "description": "The file.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "# Dormice\n"}},
        },
        206: {
            "description": "The part that was asked for.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "# Dor"}},
        },
        **errors(404, 416),
    },
    response_class=Response,
)
async def download_file(
    request: Request, caller: Annotated[Caller, Requires(Scope.FILES_READ)], file_id: FileId
) -> Response:
    files = files_of(request)
    file = await files.table.get(caller.tenant, file_id)
    etag = f'"{file.sha256}"'
    asked = request.headers.get("range")
    if request.headers.get("if-range", etag) != etag:
        asked = None
    try:
        part = wanted_part(asked, file.size_bytes)
    except UnsatisfiableError:
        headers = {"content-range": f"bytes */{file.size_bytes}"}
        raise ApiError(416, "The file ends before that.", code="range_not_satisfiable", headers=headers) from None
    start, end = part or (0, file.size_bytes)
    which: dict[str, Any] = {} if part is None else {"first_byte": start, "last_byte": end - 1}
    await services_of(request).audit.note(caller, "file.downloaded", file_id, **which)
    content = await files.read(file, start, end)
    headers = {
        **untrusted.HEADERS,
        "content-type": file.media_type or "application/octet-stream",
        "content-disposition": untrusted.attachment(file.name),
        "content-length": str(end - start),
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "etag": etag,
    }
    if part is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    return StreamingResponse(content, 200 if part is None else 206, headers)


@router.get(
    f"{PATH}/{{file_id}}/events",
    operation_id="streamFileEvents",
    summary="Follow the ingestion of a file",
    description="From wherever it is to its end; on any replica.",
    responses={200: _STREAM, **errors(404)},
    response_class=Response,
)
async def stream_file_events(
    request: Request, caller: Annotated[Caller, Requires(Scope.FILES_READ)], file_id: FileId
) -> Response:
    return _progress(request, files_of(request), caller.tenant, file_id, {})


@router.get(
    f"{PATH}/{{file_id}}/chunks/{{chunk_id}}",
    operation_id="getFilePassage",
    summary="Read a passage of a file",
    description="What a citation or a hit of a search points to, also in a document that another service has brought.",
    responses={200: json_answer(FilePassage, "The passage.", PASSAGE_EXAMPLE), **errors(404)},
    response_class=Response,
)
async def get_file_passage(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.FILES_READ)],
    file_id: FileId,
    chunk_id: Annotated[str, Path(description="The passage's id.", examples=["17"])],
) -> Response:
    place = await files_of(request).document(caller.tenant, file_id)
    embed, request_id = services_of(request).embed, context_of(request.scope).request_id
    passage = await passage_of(embed, caller, place.document_id, chunk_id, request_id)
    return _json(passage_to_json(passage, file_id, place.name or passage.document_name))


def files_of(request: Request) -> Files:
    """Raises ApiError 503 where the platform keeps none."""
    files = services_of(request).files
    if files is None:
        raise NoFilesError
    return files


def _progress(
    request: Request, files: Files, tenant: str, file_id: str, headers: Mapping[str, str]
) -> EventStream[Any]:
    return EventStream(
        files.follow(tenant, file_id),
        FileEventEncoder(),
        surface="files",
        lifecycle=services_of(request).lifecycle,
        headers=headers,
    )


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
