"""`/v1/artifacts`: documents that agents write, with all their versions."""

import asyncio
import re
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request, Response

from edge import untrusted
from edge.artifacts import Artifact, ArtifactPage, ArtifactVersion
from edge.artifacts.comparison import compare
from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.ids import is_thread_id
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.services import services_of

from .artifact_schemas import (
    COMPARISON_EXAMPLE,
    EXAMPLE,
    LIST_EXAMPLE,
    VERSIONS_EXAMPLE,
    ArtifactComparison,
    ArtifactList,
    ArtifactObject,
    ArtifactRestore,
    ArtifactVersionList,
)
from .conversion import time_to_json
from .parameters import VERSION_LIMIT, After, ArtifactId, Limit, Version

router = APIRouter(tags=["Artifacts"])

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_EXTENSIONS: Final = {
    "text/markdown": "md",
    "text/html": "html",
    "text/csv": "csv",
    "text/plain": "txt",
    "text/x-python": "py",
    "application/json": "json",
}

WhichVersion = Annotated[int | None, Query(ge=1, le=VERSION_LIMIT, description="1 is the first. Left out: the latest.")]


@router.get(
    "/v1/artifacts",
    operation_id="listArtifacts",
    summary="List artifacts",
    description="In their latest versions; those that were begun last come first.",
    responses={200: json_answer(ArtifactList, "Artifacts.", LIST_EXAMPLE), **errors(400)},
    response_class=Response,
)
async def list_artifacts(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.ARTIFACTS_READ)],
    limit: Limit = 20,
    after: After = None,
    thread_id: Annotated[str | None, Query(max_length=200, description="Only those of this thread.")] = None,
) -> Response:
    page = ArtifactPage((), has_more=False)
    if thread_id is None or is_thread_id(thread_id):
        store = services_of(request).artifacts
        page = await store.page(caller.tenant, limit=limit, after=after, thread_id=thread_id)
    data = [_info(about) for about in page.artifacts]
    last_id = page.artifacts[-1].artifact_id if page.artifacts else None
    return _json({"object": "list", "data": data, "has_more": page.has_more, "last_id": last_id})


@router.get(
    "/v1/artifacts/{artifact_id}",
    operation_id="getArtifact",
    summary="Read an artifact",
    description="In its latest version.",
    responses={200: json_answer(ArtifactObject, "The artifact.", EXAMPLE), **errors(404)},
    response_class=Response,
)
async def get_artifact(
    request: Request, caller: Annotated[Caller, Requires(Scope.ARTIFACTS_READ)], artifact_id: ArtifactId
) -> Response:
    return _json(_object(await services_of(request).artifacts.get(caller.tenant, artifact_id)))


@router.get(
    "/v1/artifacts/{artifact_id}/versions",
    operation_id="listArtifactVersions",
    summary="List the versions of an artifact",
    description="Newest first.",
    responses={200: json_answer(ArtifactVersionList, "Versions.", VERSIONS_EXAMPLE), **errors(400, 404)},
    response_class=Response,
)
async def list_versions(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.ARTIFACTS_READ)],
    artifact_id: ArtifactId,
    limit: Limit = 20,
    before: Annotated[int | None, Query(ge=1, le=VERSION_LIMIT, description="Only older ones than this.")] = None,
) -> Response:
    page = await services_of(request).artifacts.versions(caller.tenant, artifact_id, limit=limit, before=before)
    data = [_info(about) for about in page.versions]
    last = page.versions[-1].version if page.versions else None
    return _json({"object": "list", "data": data, "has_more": page.has_more, "last_version": last})


@router.get(
    "/v1/artifacts/{artifact_id}/versions/{version}",
    operation_id="getArtifactVersion",
    summary="Read a version of an artifact",
    responses={200: json_answer(ArtifactObject, "The artifact in this version.", EXAMPLE), **errors(400, 404)},
    response_class=Response,
)
async def get_version(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.ARTIFACTS_READ)],
    artifact_id: ArtifactId,
    version: Version,
) -> Response:
    return _json(_object(await services_of(request).artifacts.get(caller.tenant, artifact_id, version)))


@router.get(
    "/v1/artifacts/{artifact_id}/compare",
    operation_id="compareArtifactVersions",
    summary="Compare two versions of an artifact",
    responses={200: json_answer(ArtifactComparison, "What changed.", COMPARISON_EXAMPLE), **errors(400, 404)},
    response_class=Response,
)
async def compare_versions(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.ARTIFACTS_READ)],
    artifact_id: ArtifactId,
    old: Annotated[int, Query(alias="from", ge=1, le=VERSION_LIMIT, description="The version to start from.")],
    new: Annotated[
        int | None, Query(alias="to", ge=1, le=VERSION_LIMIT, description="Left out: the latest version.")
    ] = None,
) -> Response:
    artifacts = services_of(request).artifacts
    before = await artifacts.get(caller.tenant, artifact_id, old)
    after = await artifacts.get(caller.tenant, artifact_id, new)
    diff = await asyncio.to_thread(compare, before, after)
    lines = diff.split("\n")[2:]  # behind the two that name the versions
    return _json(
        {
            "object": "artifact.comparison",
            "artifact_id": artifact_id,
            "from_version": before.about.version,
            "to_version": after.about.version,
            "added_lines": sum(line.startswith("+") for line in lines),
            "removed_lines": sum(line.startswith("-") for line in lines),
            "diff": diff,
        }
    )


@router.post(
    "/v1/artifacts/{artifact_id}/restore",
    operation_id="restoreArtifactVersion",
    summary="Make an older version the latest again",
    description="As a new version; what came between stays. Where the latest holds just that already, it stays so.",
    responses={200: json_answer(ArtifactObject, "The artifact.", EXAMPLE), **errors(400, 404, 409, 413, 415)},
    openapi_extra=json_body(ArtifactRestore),
    response_class=Response,
)
async def restore_version(
    request: Request, caller: Annotated[Caller, Requires(Scope.ARTIFACTS)], artifact_id: ArtifactId
) -> Response:
    wanted = await read_json(request, ArtifactRestore)
    return _json(_object(await services_of(request).artifacts.restore(caller.tenant, artifact_id, wanted.version)))


@router.get(
    "/v1/artifacts/{artifact_id}/content",
    operation_id="downloadArtifact",
    summary="Download an artifact",
    description="What it holds, with its media type, as a file to be saved. Browsers run nothing that is in it.",
    responses={
        200: {
            "description": "The content.",
            "content": {"*/*": {"schema": {"type": "string"}, "example": "# Dormice\n\nThey sleep.\n"}},
        },
        **errors(400, 404),
    },
    response_class=Response,
)
async def download(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.ARTIFACTS_READ)],
    artifact_id: ArtifactId,
    version: WhichVersion = None,
) -> Response:
    artifact = await services_of(request).artifacts.get(caller.tenant, artifact_id, version)
    about = artifact.about
    media_type = about.media_type.lower()
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        media_type = "text/plain"
    headers = {
        # What an agent has written is a stranger's: a browser that opens it must not run it as ours.
        **untrusted.HEADERS,
        "content-type": f"{media_type}; charset=utf-8",
        "content-disposition": disposition(about.title, media_type),
    }
    return Response(artifact.content, headers=headers)


def disposition(title: str, media_type: str) -> str:
    """Save it, under a name made of the title (RFC 6266)."""
    name = re.sub(r"[^\w.()-]+", " ", title).strip(" .")[:80] or "artifact"
    extension = _EXTENSIONS.get(media_type, "")
    if extension and not name.lower().endswith(f".{extension}"):
        name = f"{name}.{extension}"
    return untrusted.attachment(name)


def _info(about: ArtifactVersion) -> dict[str, Any]:
    return {
        "id": about.artifact_id,
        "object": "artifact",
        "version": about.version,
        "latest_version": about.latest,
        "thread_id": about.thread_id,
        "run_id": about.run_id,
        "restored_from": about.restored_from,
        "title": about.title,
        "media_type": about.media_type,
        "size_bytes": about.size_bytes,
        "created_at": time_to_json(about.created_at),
    }


def _object(artifact: Artifact) -> dict[str, Any]:
    return _info(artifact.about) | {"content": artifact.content}


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
