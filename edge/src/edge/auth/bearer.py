"""The `Authorization` header as a dependency of every route that speaks for somebody: the one place that checks."""

from typing import Any, Final

from dormouse_runtime.strict_jwt import looks_like_one
from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from edge.errors import ApiError, insufficient_scope, unauthenticated
from edge.limits.groups import group_of
from edge.request_context import context_of
from edge.services import services_of

from .caller import Caller
from .scopes import Scope


class BearerScheme(SecurityBase):
    """Reads the credential, tells its owner, checks the route's scopes, and stands in the OpenAPI document."""

    scheme_name = "Bearer"
    model = HTTPBearer(
        bearerFormat="dm_live_… or JWT",
        description="An API key of the platform, `Authorization: Bearer dm_live_…`; the access token of a session; or "
        "the token of an issuer that the platform trusts. Beside each operation stands the scope it has to carry.",
    )

    async def __call__(self, request: Request, required: SecurityScopes) -> Caller:
        """The caller.

        Raises ApiError 401, ApiError 403 where a scope is missing, ApiError 429 and 503 as `Limits.admit` does, and
        DATABASE_UNAVAILABLE or FUNCTION_UNAVAILABLE when the credential cannot be checked now.
        """
        given = request.headers.getlist("authorization")
        # Of two, a proxy before us may have checked the other one.
        scheme, _, credential = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise unauthenticated(
                "You didn't provide an API key. Send it in an Authorization header: `Authorization: Bearer dm_live_…`."
            )
        caller = await services_of(request).credentials.authenticate(credential)
        if caller is None:
            raise _refused(credential)
        context_of(request.scope).tenant = caller.tenant
        for scope in required.scopes:
            if scope not in caller.scopes:
                raise insufficient_scope(scope)
        route = getattr(request.scope.get("route"), "path", "")
        await services_of(request).limits.admit(request, caller, group_of(required.scopes, route, request.method))
        await services_of(request).idempotency.begin(request, caller)
        return caller


SCHEME: Final = BearerScheme()


def _refused(credential: str) -> ApiError:
    """One text for every reason: who was let in can tell what to do, who was not learns nothing."""
    if not looks_like_one(credential):
        return unauthenticated("The API key is not valid: it is mistyped, unknown or revoked.")
    challenge = 'Bearer realm="dormouse", error="invalid_token"'
    return ApiError(
        401,
        "The access token is not valid: it has expired, its session is over, or it is not one of ours.",
        code="invalid_token",
        headers={"www-authenticate": challenge},
    )


def Requires(*scopes: Scope) -> Any:  # noqa: N802 - reads as FastAPI's own Security and Depends do
    """`caller: Annotated[Caller, Requires(Scope.RUNS)]`: who asks, once they may. No scope: whoever is somebody."""
    return Security(SCHEME, scopes=[str(scope) for scope in scopes])
