"""`/v1/keys`: API keys of oneself, and for admins those of the tenant."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Role, Scope
from edge.ids import KEY_PATTERN
from edge.native.conversion import time_to_json
from edge.native.parameters import After, Limit
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.services import services_of

from .powers import Powers
from .rows import ApiKey
from .schemas import (
    EXAMPLE,
    LIST_EXAMPLE,
    SECRET_EXAMPLE,
    KeyChanges,
    KeyDeleted,
    KeyList,
    KeyObject,
    KeyRequest,
    KeyRotation,
    KeyWithSecret,
)

router = APIRouter(tags=["Keys"])

KeyId = Annotated[
    str, Path(description="The key's id.", json_schema_extra={"pattern": KEY_PATTERN}, examples=[EXAMPLE["id"]])
]
OwnKeys = Annotated[Caller, Requires(Scope.KEYS)]
# No cache on the way may keep a secret.
_SECRET_HEADERS: Final = {"cache-control": "no-store"}


@router.post(
    "/v1/keys",
    operation_id="createKey",
    summary="Make an API key",
    description="Its secret is in this answer and nowhere else. A key never gets more than the credential that makes "
    "it has: what is left out is bounded as that is, and what goes beyond is refused with 403.",
    status_code=201,
    responses={
        201: json_answer(KeyWithSecret, "The key, with its secret.", SECRET_EXAMPLE),
        **errors(400, 403, 404, 409, 413, 415),
    },
    openapi_extra=json_body(KeyRequest),
    response_class=Response,
)
async def create_key(request: Request, caller: OwnKeys) -> Response:
    wanted = await read_json(request, KeyRequest)
    # Nobody asks for more than a member's rights by leaving something out.
    least = min(caller.role, Role.MEMBER, key=[Role.VIEWER, Role.MEMBER, Role.ADMIN].index)
    powers = _changed(Powers(role=least), wanted)
    key, secret = await services_of(request).keys.create(caller, name=wanted.name, powers=powers, user=wanted.user)
    return _json({**_to_json(key), "key": secret}, 201, {"location": f"/v1/keys/{key.id}", **_SECRET_HEADERS})


@router.get(
    "/v1/keys",
    operation_id="listKeys",
    summary="List API keys",
    description="One's own; with the scope `keys:all` everybody's. Newest first, without those that are revoked.",
    responses={200: json_answer(KeyList, "Keys.", LIST_EXAMPLE), **errors(400, 403)},
    response_class=Response,
)
async def list_keys(
    request: Request,
    caller: OwnKeys,
    limit: Limit = 20,
    after: After = None,
    user: Annotated[str | None, Query(max_length=100, description="Only those of this user.")] = None,
) -> Response:
    page = await services_of(request).keys.page(caller, limit=limit, after=after, user=user)
    last_id = page.keys[-1].id if page.keys else None
    data = [_to_json(key) for key in page.keys]
    return _json({"object": "list", "data": data, "has_more": page.has_more, "last_id": last_id})


@router.get(
    "/v1/keys/{key_id}",
    operation_id="getKey",
    summary="Look up an API key",
    responses={200: json_answer(KeyObject, "The key.", EXAMPLE), **errors(403, 404)},
    response_class=Response,
)
async def get_key(request: Request, caller: OwnKeys, key_id: KeyId) -> Response:
    return _json(_to_json(await services_of(request).keys.get(caller, key_id)))


@router.patch(
    "/v1/keys/{key_id}",
    operation_id="updateKey",
    summary="Change an API key",
    description="Fields that are left out stay; null takes a bound away, as far as one's own credential goes. Other "
    "replicas hear of it within 60 s.",
    responses={200: json_answer(KeyObject, "The key.", EXAMPLE), **errors(400, 403, 404, 413, 415)},
    openapi_extra=json_body(KeyChanges),
    response_class=Response,
)
async def update_key(request: Request, caller: OwnKeys, key_id: KeyId) -> Response:
    wanted = await read_json(request, KeyChanges)
    key = await services_of(request).keys.change(caller, key_id, wanted.name, lambda powers: _changed(powers, wanted))
    return _json(_to_json(key))


@router.post(
    "/v1/keys/{key_id}/rotate",
    operation_id="rotateKey",
    summary="Give an API key a new secret",
    description="The key stays the same, with its id, its limits and its budgets. The secret from before goes on "
    "working for `overlap_seconds`, so that its users can change over; one from before that stops at once.",
    responses={
        200: json_answer(KeyWithSecret, "The key, with its new secret.", SECRET_EXAMPLE),
        **errors(400, 403, 404, 413, 415),
    },
    openapi_extra=json_body(KeyRotation, required=False),
    response_class=Response,
)
async def rotate_key(request: Request, caller: OwnKeys, key_id: KeyId) -> Response:
    wanted = await read_json(request, KeyRotation, default=KeyRotation())  # type: ignore[call-arg]  # all have defaults
    overlap = timedelta(seconds=wanted.overlap_seconds)
    key, secret = await services_of(request).keys.rotate(caller, key_id, overlap)
    return _json({**_to_json(key), "key": secret}, headers=_SECRET_HEADERS)


@router.delete(
    "/v1/keys/{key_id}",
    operation_id="deleteKey",
    summary="Revoke an API key",
    description="For good. Every replica refuses it within 60 s.",
    responses={
        200: json_answer(KeyDeleted, "It is gone.", {"id": EXAMPLE["id"], "object": "key.deleted", "deleted": True}),
        **errors(403, 404),
    },
    response_class=Response,
)
async def delete_key(request: Request, caller: OwnKeys, key_id: KeyId) -> Response:
    await services_of(request).keys.revoke(caller, key_id)
    return _json({"id": key_id, "object": "key.deleted", "deleted": True})


def _changed(powers: Powers, wanted: KeyChanges) -> Powers:
    """With the fields in place that the client has sent, nulls among them."""
    given = wanted.model_fields_set
    grants = {
        name: None if getattr(wanted, name) is None else frozenset(getattr(wanted, name))
        for name in ("agents", "models", "tools")
        if name in given
    }
    powers = replace(powers, grants=replace(powers.grants, **grants))
    if "role" in given and wanted.role is not None:
        powers = replace(powers, role=wanted.role)
    if "scopes" in given:
        powers = replace(powers, scopes=None if wanted.scopes is None else frozenset(wanted.scopes))
    if "expires_in_seconds" in given:
        left_s = wanted.expires_in_seconds
        expires_at = None if left_s is None else datetime.now(UTC) + timedelta(seconds=left_s)
        powers = replace(powers, expires_at=expires_at)
    return powers


def _to_json(key: ApiKey) -> dict[str, Any]:
    powers = key.powers
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "prefix": key.prefix,
        "user": key.user,
        "role": powers.role.value,
        "scopes": _listed(powers.scopes),
        "agents": _listed(powers.grants.agents),
        "models": _listed(powers.grants.models),
        "tools": _listed(powers.grants.tools),
        "created_at": time_to_json(key.created_at),
        "created_by": key.created_by,
        "expires_at": time_to_json(powers.expires_at),
        "last_used_at": time_to_json(key.last_used_at),
        "rotated_at": time_to_json(key.rotated_at),
        "previous_valid_until": time_to_json(key.previous_until),
    }


def _listed(words: frozenset[Any] | None) -> list[str] | None:
    return None if words is None else sorted(str(word) for word in words)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
