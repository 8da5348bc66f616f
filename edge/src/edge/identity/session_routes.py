"""`/auth/…`: people log in, stay logged in and log out; and the keys that their tokens are signed with."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.client_address import client_address
from edge.errors import ApiError
from edge.ids import SESSION_PATTERN, is_session_id
from edge.native.conversion import time_to_json
from edge.openapi import errors, json_answer, json_body, open_errors
from edge.request_body import read_json
from edge.services import services_of

from .conversion import user_to_json
from .people import Tokens
from .schemas import (
    ME_EXAMPLE,
    SESSION_EXAMPLE,
    TOKENS_EXAMPLE,
    InvitationAnswer,
    KeySetDocument,
    LoginRequest,
    LogoutRequest,
    Me,
    PasswordChange,
    RefreshRequest,
    SessionList,
    TokenPair,
)
from .sessions import Session
from .users import User

router = APIRouter(tags=["Identity"])

KEYS_MAX_AGE_S: Final = 300
_JWKS_EXAMPLE = {
    "keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "5Zq…", "use": "sig", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7Ty…"}]
}
_TOKENS: Final[dict[int | str, Any]] = {200: json_answer(TokenPair, "The tokens.", TOKENS_EXAMPLE)}
_NO_CONTENT: Final[dict[int | str, Any]] = {204: {"description": "Done.", "content": {}}}
Account = Annotated[Caller, Requires(Scope.ACCOUNT)]


@router.post(
    "/auth/login",
    operation_id="logIn",
    summary="Log in",
    description="Begins a session. An unknown tenant, an unknown address and a wrong password get the same answer.",
    responses={**_TOKENS, **open_errors(400, 401, 413, 415, 429, 503)},
    openapi_extra=json_body(LoginRequest),
    response_class=Response,
)
async def log_in(request: Request) -> Response:
    wanted = await read_json(request, LoginRequest)
    people = services_of(request).people
    return _tokens(await people.log_in(wanted.tenant, wanted.email, wanted.password, _address(request)))


@router.post(
    "/auth/refresh",
    operation_id="refreshSession",
    summary="Get new tokens",
    description="A refresh token works once. For ten seconds after its use, and until its successor is used, it brings "
    "that successor again, for answers that got lost; used later it ends the session, because somebody has a copy.",
    responses={**_TOKENS, **open_errors(400, 401, 413, 415, 503)},
    openapi_extra=json_body(RefreshRequest),
    response_class=Response,
)
async def refresh_session(request: Request) -> Response:
    wanted = await read_json(request, RefreshRequest)
    return _tokens(await services_of(request).people.refresh(wanted.refresh_token))


@router.post(
    "/auth/logout",
    operation_id="logOut",
    summary="Log out",
    description="Ends the session of the refresh token. Its access tokens stop counting within 60 s. Answers the same "
    "for what is no refresh token.",
    status_code=204,
    responses={**_NO_CONTENT, **open_errors(400, 413, 415, 503)},
    openapi_extra=json_body(LogoutRequest),
    response_class=Response,
)
async def log_out(request: Request) -> Response:
    wanted = await read_json(request, LogoutRequest)
    await services_of(request).people.log_out(wanted.refresh_token, everywhere=wanted.everywhere)
    return Response(status_code=204)


@router.post(
    "/auth/accept",
    operation_id="acceptInvitation",
    summary="Choose a password with an invitation",
    description="And log in with it. Ends all other sessions of the user.",
    responses={**_TOKENS, **open_errors(400, 401, 413, 415, 503)},
    openapi_extra=json_body(InvitationAnswer),
    response_class=Response,
)
async def accept_invitation(request: Request) -> Response:
    wanted = await read_json(request, InvitationAnswer)
    return _tokens(await services_of(request).people.accept(wanted.invitation, wanted.password))


@router.get(
    "/auth/me",
    operation_id="getMe",
    summary="Who am I",
    description="For every credential, whatever its scopes.",
    responses={200: json_answer(Me, "Whom the credential speaks for.", ME_EXAMPLE), **errors()},
    response_class=Response,
)
async def get_me(request: Request, caller: Annotated[Caller, Requires()]) -> Response:
    return _json(_me(caller, await services_of(request).people.me(caller)))


@router.post(
    "/auth/password",
    operation_id="changePassword",
    summary="Change one's password",
    description="Ends all other sessions.",
    status_code=204,
    responses={**_NO_CONTENT, **errors(400, 403, 413, 415, 429)},
    openapi_extra=json_body(PasswordChange),
    response_class=Response,
)
async def change_password(request: Request, caller: Account) -> Response:
    wanted = await read_json(request, PasswordChange)
    people = services_of(request).people
    await people.change_password(caller, wanted.current_password, wanted.new_password, _address(request))
    return Response(status_code=204)


@router.get(
    "/auth/sessions",
    operation_id="listSessions",
    summary="List one's sessions",
    description="Those that go on, the newest first.",
    responses={
        200: json_answer(SessionList, "Sessions.", {"object": "list", "data": [SESSION_EXAMPLE]}),
        **errors(),
    },
    response_class=Response,
)
async def list_sessions(request: Request, caller: Account) -> Response:
    found = await services_of(request).people.sessions(caller)
    return _json({"object": "list", "data": [_session(session, caller) for session in found]})


@router.delete(
    "/auth/sessions/{session_id}",
    operation_id="endSession",
    summary="End one of one's sessions",
    status_code=204,
    responses={**_NO_CONTENT, **errors(404)},
    response_class=Response,
)
async def end_session(
    request: Request,
    caller: Account,
    session_id: Annotated[
        str,
        Path(
            description="The session's id.",
            json_schema_extra={"pattern": SESSION_PATTERN},
            examples=[SESSION_EXAMPLE["id"]],
        ),
    ],
) -> Response:
    if not is_session_id(session_id):
        raise ApiError(404, "There is no session with this id.", code="session_not_found")
    await services_of(request).people.end_session(caller, session_id)
    return Response(status_code=204)


@router.get(
    "/.well-known/jwks.json",
    operation_id="getKeySet",
    summary="The keys that access tokens are signed with",
    description="For services that verify the platform's access tokens themselves: `typ` at+jwt, `alg` EdDSA. The next "
    "key is here before it signs, an old one until its tokens are gone.",
    responses={200: json_answer(KeySetDocument, "Public keys.", _JWKS_EXAMPLE), **open_errors(503)},
    response_class=Response,
)
async def get_key_set(request: Request) -> Response:
    keys = await services_of(request).credentials.access.keys.published()
    return _json({"keys": keys}, {"cache-control": f"public, max-age={KEYS_MAX_AGE_S}"})


def _address(request: Request) -> str:
    return client_address(request.scope, services_of(request).settings.trusted_proxies)


def _tokens(tokens: Tokens) -> Response:
    return _json(
        {
            "access_token": tokens.access_token,
            "token_type": "Bearer",
            "expires_in": tokens.expires_in,
            "refresh_token": tokens.refresh_token,
        },
        {"cache-control": "no-store"},
    )


def _me(caller: Caller, user: User | None) -> dict[str, Any]:
    credential = "session" if caller.session_id else "api_key" if caller.key_id else "issuer"
    return {
        "object": "me",
        "tenant": caller.tenant,
        "user_id": caller.user,
        "role": caller.role,
        "scopes": sorted(caller.scopes),
        "plan": caller.plan,
        "credential": credential,
        "key_id": caller.key_id or None,
        "session_id": caller.session_id or None,
        "user": user_to_json(user) if user is not None else None,
    }


def _session(session: Session, caller: Caller) -> dict[str, Any]:
    return {
        "id": session.id,
        "object": "session",
        "created_at": time_to_json(session.created_at),
        "refreshed_at": time_to_json(session.refreshed_at),
        "expires_at": time_to_json(session.expires_at),
        "current": session.id == caller.session_id,
    }


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), headers=headers, media_type="application/json")
