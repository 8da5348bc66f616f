"""`/v1/users`: admins look after the users of their tenant."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.ids import USER_PATTERN
from edge.native.parameters import After, Limit
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.services import services_of

from .conversion import user_to_json
from .schemas import (
    USER_EXAMPLE,
    Invitation,
    UserChanges,
    UserList,
    UserObject,
    UserRequest,
    UserWithInvitation,
)

router = APIRouter(tags=["Users"])

Admin = Annotated[Caller, Requires(Scope.USERS)]
UserId = Annotated[
    str,
    Path(description="The user's id.", json_schema_extra={"pattern": USER_PATTERN}, examples=[USER_EXAMPLE["id"]]),
]
_INVITATION: Final = "dm_invite_default:user_8dYh2mPz0ZcA5kQw1nRtXvBg:…"
_CREATED = {**USER_EXAMPLE, "status": "invited", "invitation": _INVITATION}
_INVITED = {"object": "invitation", "user_id": USER_EXAMPLE["id"], "invitation": _INVITATION}
_LIST_EXAMPLE = {"object": "list", "data": [USER_EXAMPLE], "has_more": False, "last_id": USER_EXAMPLE["id"]}
# No cache on the way may keep an invitation.
_SECRET_HEADERS: Final = {"cache-control": "no-store"}


@router.post(
    "/v1/users",
    operation_id="createUser",
    summary="Make a user",
    description="With a password, or with an invitation to choose one, which is in this answer and nowhere else.",
    status_code=201,
    responses={201: json_answer(UserWithInvitation, "The user.", _CREATED), **errors(400, 409, 413, 415)},
    openapi_extra=json_body(UserRequest),
    response_class=Response,
)
async def create_user(request: Request, caller: Admin) -> Response:
    wanted = await read_json(request, UserRequest)
    user, invitation = await services_of(request).people.create_user(
        caller, email=wanted.email, name=wanted.name, role=wanted.role, password=wanted.password
    )
    headers = {"location": f"/v1/users/{user.id}", **_SECRET_HEADERS}
    return _json({**user_to_json(user), "invitation": invitation}, 201, headers)


@router.get(
    "/v1/users",
    operation_id="listUsers",
    summary="List users",
    description="Newest first, disabled ones too.",
    responses={200: json_answer(UserList, "Users.", _LIST_EXAMPLE), **errors(400)},
    response_class=Response,
)
async def list_users(request: Request, caller: Admin, limit: Limit = 20, after: After = None) -> Response:
    page = await services_of(request).people.users(caller, limit=limit, after=after)
    last_id = page.users[-1].id if page.users else None
    data = [user_to_json(user) for user in page.users]
    return _json({"object": "list", "data": data, "has_more": page.has_more, "last_id": last_id})


@router.get(
    "/v1/users/{user_id}",
    operation_id="getUser",
    summary="Look up a user",
    responses={200: json_answer(UserObject, "The user.", USER_EXAMPLE), **errors(404)},
    response_class=Response,
)
async def get_user(request: Request, caller: Admin, user_id: UserId) -> Response:
    return _json(user_to_json(await services_of(request).people.user(caller, user_id)))


@router.patch(
    "/v1/users/{user_id}",
    operation_id="updateUser",
    summary="Change, disable or enable a user",
    description="Counts for everything the user has, sessions and keys, within 60 s. A tenant keeps one admin.",
    responses={200: json_answer(UserObject, "The user.", USER_EXAMPLE), **errors(400, 404, 409, 413, 415)},
    openapi_extra=json_body(UserChanges),
    response_class=Response,
)
async def update_user(request: Request, caller: Admin, user_id: UserId) -> Response:
    wanted = await read_json(request, UserChanges)
    user = await services_of(request).people.change_user(
        caller, user_id, name=wanted.name, role=wanted.role, disabled=wanted.disabled
    )
    return _json(user_to_json(user))


@router.post(
    "/v1/users/{user_id}/invitation",
    operation_id="inviteUser",
    summary="Let a user choose a password",
    description="For who was invited too long ago, or has forgotten the password. One from before stops working; the "
    "password stays until another is chosen.",
    responses={200: json_answer(Invitation, "The invitation.", _INVITED), **errors(404, 409)},
    response_class=Response,
)
async def invite_user(request: Request, caller: Admin, user_id: UserId) -> Response:
    invitation = await services_of(request).people.invite(caller, user_id)
    answer = {"object": "invitation", "user_id": user_id, "invitation": invitation}
    return _json(answer, headers=_SECRET_HEADERS)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
